"""The attention of a chunk of blocks as one kernel for CUDA.

Knows nothing about models. The operator of `attention.block_attention` says what is computed, and holds the plain twin.
The query heads of a key head are rows of one tile, so that keys are read once for all of them. Tiles of keys that are
seen whole come by the tensor memory accelerator where the device has one: addresses would take the registers of sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from dbsa_core.attention.block_attention import far_apart, tokens_of
from dbsa_core.attention.launches import (
    SHARED_MARGIN,
    WIDEST_OF_MANY_ROWS,
    Launch,
    copies_tiles,
    launches_that_fit,
    tiles_of,
    width_of,
)
from dbsa_core.attention.query_kernels import LOG2_E, softmax_more
from dbsa_core.layer_memory import LayerMemory


@triton.jit
def _turned(x, swapped, cos, sin, angle, there):
    """RoPE of rows in float32; `swapped` are their partners."""
    return x.to(tl.float32) * tl.load(cos + angle, there, other=0.0) + swapped * tl.load(sin + angle, there, other=0.0)


@triton.jit
def _rows(program, tokens, heads, head_dim, place, ROWS: tl.constexpr):
    """Of a program: token and head of each row, whether it exists, and where it stands in [tokens, head_dim] and in
    [tokens, heads, head_dim]."""
    row = program * ROWS + tl.arange(0, ROWS)
    token, head = (row // heads).to(tl.int64), row % heads
    angle = (token * head_dim)[:, None] + place[None, :]
    return token, head, row < tokens * heads, angle, (row.to(tl.int64) * head_dim)[:, None] + place[None, :]


@triton.jit
def _numbers(x):
    """Rows as int8, rounded to nearest, and their scales; see `quantised`."""
    scale = tl.max(tl.abs(x), 1) / 127
    return libdevice.rint(x / tl.maximum(scale, 1.1754944e-38)[:, None]).to(tl.int8), scale


@triton.jit(do_not_specialize=["begin", "tokens", "earlier", "last", "skipped"])
def _prepare(
    query, key, value, keys, values, key_scales, value_scales, channels, near, far, bank, value_bank, before, partner,
    kept_cos, kept_sin, near_cos, near_sin, moved_cos, moved_sin, far_cos, far_sin,
    begin, tokens, earlier, last, skipped, heads, kv_heads, head_dim,
    query_tokens, query_heads, key_tokens, key_heads, value_tokens, value_heads,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, TURNS: tl.constexpr, APART: tl.constexpr, INT8: tl.constexpr,
):  # fmt: skip
    """Three parts: the chunk's keys and values, queries, keys before them; of int8 all keys and values, which is a
    launch behind the other. So many programs are `skipped`."""
    program, place = tl.program_id(0) + skipped, tl.arange(0, WIDTH)
    inside = place < head_dim
    of_keys, of_queries = (tokens * kv_heads + ROWS - 1) // ROWS, (tokens * heads + ROWS - 1) // ROWS
    if TURNS:
        both = inside[:, None] & inside[None, :]
        matrix = tl.load(partner + place[:, None] * head_dim + place[None, :], both, other=0.0)
    if program < of_keys:
        token, head, exists, angle, packed = _rows(program, tokens, kv_heads, head_dim, place, ROWS)
        there = exists[:, None] & inside[None, :]
        x = tl.load(key + (token * key_tokens + head * key_heads)[:, None] + place[None, :], there, other=0.0)
        v = tl.load(value + (token * value_tokens + head * value_heads)[:, None] + place[None, :], there, other=0.0)
        kept, own = x, x
        if TURNS:
            swapped = tl.dot(x, matrix)
            kept = _turned(x, swapped, kept_cos, kept_sin, angle, there).to(x.dtype)
            own = _turned(x, swapped, near_cos, near_sin, angle, there).to(x.dtype)
        written = packed + tl.cast(begin, tl.int64) * kv_heads * head_dim
        if INT8:
            channel = tl.load(channels + (head * head_dim)[:, None] + place[None, :], there, other=1.0)
            small_key, key_scale = _numbers(kept.to(tl.float32) / channel)
            small_value, value_scale = _numbers(v.to(tl.float32))
            tl.store(keys + written, small_key, there)
            tl.store(values + written, small_value, there)
            at_scale = (tl.cast(begin, tl.int64) + token) * kv_heads + head
            tl.store(key_scales + at_scale, key_scale, exists)
            tl.store(value_scales + at_scale, value_scale, exists)
        else:
            tl.store(keys + written, kept, there)
            tl.store(values + written, v, there)
        if (not INT8) and (last == 0):
            tl.store(bank + packed + tl.cast(earlier, tl.int64) * kv_heads * head_dim, own, there)
    elif program < of_keys + of_queries:
        token, head, exists, angle, packed = _rows(program - of_keys, tokens, heads, head_dim, place, ROWS)
        there = exists[:, None] & inside[None, :]
        x = tl.load(query + (token * query_tokens + head * query_heads)[:, None] + place[None, :], there, other=0.0)
        own = x
        if TURNS:
            swapped = tl.dot(x, matrix)
            own = _turned(x, swapped, near_cos, near_sin, angle, there).to(x.dtype)
            if APART:
                tl.store(far + packed, _turned(x, swapped, far_cos, far_sin, angle, there).to(x.dtype), there)
        tl.store(near + packed, own, there)
    else:
        token, head, exists, angle, packed = _rows(
            program - of_keys - of_queries, earlier, kv_heads, head_dim, place, ROWS
        )
        there = exists[:, None] & inside[None, :]
        at = tl.load(before + token, exists, other=0)
        number = ((at * kv_heads + head) * head_dim)[:, None] + place[None, :]
        if INT8:
            at_scale = at * kv_heads + head
            channel = tl.load(channels + (head * head_dim)[:, None] + place[None, :], there, other=0.0)
            key_scale = tl.load(key_scales + at_scale, exists, other=0.0)[:, None]
            value_scale = tl.load(value_scales + at_scale, exists, other=0.0)[:, None]
            v = tl.load(values + number, there, other=0).to(tl.float32) * value_scale
            tl.store(value_bank + packed, v.to(bank.dtype.element_ty), there)
            x = (tl.load(keys + number, there, other=0).to(tl.float32) * key_scale * channel).to(bank.dtype.element_ty)
        else:
            x = tl.load(keys + number, there, other=0.0)
        if TURNS:
            x = _turned(x, tl.dot(x, matrix), moved_cos, moved_sin, angle, there).to(x.dtype)
        tl.store(bank + packed, x, there)


PREPARED_ROWS = 64
"""Of one program."""


def prepare(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    memory: LayerMemory,
    written: slice,
    before: torch.Tensor,
    turns: Sequence[torch.Tensor],
    partner: torch.Tensor,
    *,
    last: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """As the plain twin of `block_attention`, rotated in float32 and rounded once."""
    query, key, value = (part if part.stride(2) == 1 else part.contiguous() for part in (query, key, value))
    (tokens, heads, head_dim), kv_heads, earlier = query.shape, key.shape[1], len(before)
    apart = far_apart(turns, tokens)
    near = query.new_empty(query.shape)
    far = query.new_empty(query.shape) if apart else near
    int8 = bool(memory.scales)
    bank = key.new_empty(earlier if int8 else earlier + tokens, kv_heads, head_dim)
    values = torch.empty_like(bank) if int8 else memory.values
    written_first, of_queries, of_bank = (
        triton.cdiv(count, PREPARED_ROWS) for count in (tokens * kv_heads, tokens * heads, earlier * kv_heads)
    )
    launches = [(0, written_first)] if last else [(0, written_first + of_queries + of_bank)]
    if int8 and not last:  # what is read is what was written
        launches = [(0, written_first + of_queries), (written_first + of_queries, of_bank)]
    for skipped, programs in launches:
        _prepare[(programs,)](
            query,
            key,
            value,
            memory.keys,
            memory.values,
            *(memory.scales or [partner] * 3),
            near,
            far,
            bank,
            values,
            before,
            partner,
            *(turns or [partner] * 8),
            written.start,
            tokens,
            earlier,
            int(last),
            skipped,
            heads,
            kv_heads,
            head_dim,
            query.stride(0),
            query.stride(1),
            key.stride(0),
            key.stride(1),
            value.stride(0),
            value.stride(1),
            ROWS=PREPARED_ROWS,
            WIDTH=width_of(head_dim),
            TURNS=bool(turns),
            APART=apart,
            INT8=int8,
            num_warps=4,
        )
    return near, far, bank, values


@triton.jit
def _over(
    q, acc, highest, total, bank, values, bank_tiles, value_tiles, in_bank, in_memory, length, last, scale,
    kv_head, kv_heads, head_dim, KEYS: tl.constexpr, WIDTH: tl.constexpr, TILES: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """The softmax over a run of keys more: of a row those up to number `last` [rows] of the run's `length`."""
    place, column = tl.arange(0, WIDTH), tl.arange(0, KEYS)
    inside = place < head_dim
    width = kv_heads * head_dim
    full = (tl.minimum(tl.min(last) + 1, length)) // KEYS
    seen = tl.minimum(tl.max(last) + 1, length)
    keys_at = bank + in_bank.to(tl.int64) * width + kv_head * head_dim
    values_at = values + in_memory.to(tl.int64) * width + kv_head * head_dim
    for tile in tl.range(0, full, num_stages=STAGES):
        if TILES:
            k = bank_tiles.load([in_bank + tile * KEYS, kv_head * WIDTH])
            v = value_tiles.load([in_memory + tile * KEYS, kv_head * WIDTH])
        else:
            at = (tile * KEYS + column).to(tl.int64)[:, None] * width + place[None, :]
            k = tl.load(keys_at + at, inside[None, :], other=0.0)
            v = tl.load(values_at + at, inside[None, :], other=0.0)
        acc, highest, total = softmax_more(tl.dot(q, k.T), v, acc, highest, total, True, scale, True)
    for tile in tl.range(full, (seen + KEYS - 1) // KEYS, num_stages=STAGES):
        number = tile * KEYS + column
        there = (number < length)[:, None] & inside[None, :]
        at = number.to(tl.int64)[:, None] * width + place[None, :]
        k, v = tl.load(keys_at + at, there, other=0.0), tl.load(values_at + at, there, other=0.0)
        sees = (number < length)[None, :] & (number[None, :] <= last[:, None])
        acc, highest, total = softmax_more(tl.dot(q, k.T), v, acc, highest, total, sees, scale, False)
    return acc, highest, total


@triton.jit
def _attention(
    near, far, bank, values, bank_tiles, value_tiles, blocks, tiles, output, head_dim, kv_heads, scale,
    GROUP: tl.constexpr, TOKENS: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr, WIDTH: tl.constexpr,
    TILES: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    kv_head = tl.program_id(1)
    tile = tiles + 2 * tl.program_id(0)
    block = blocks + 8 * tl.load(tile)
    first, tokens = tl.load(block), tl.load(block + 1)
    row, place = tl.arange(0, ROWS), tl.arange(0, WIDTH)
    own, head = tl.load(tile + 1) + row // GROUP, kv_head * GROUP + row % GROUP
    filled = ((own < tokens) & (row < TOKENS * GROUP))[:, None] & (place < head_dim)[None, :]
    token = (first + own).to(tl.int64)
    at = (token * kv_heads * GROUP + head)[:, None] * head_dim + place[None, :]

    highest = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, WIDTH], tl.float32)
    length = tl.load(block + 4)
    if length > 0:
        q = tl.load(far + at, filled, other=0.0)
        acc, highest, total = _over(
            q, acc, highest, total, bank, values, bank_tiles, value_tiles, tl.load(block + 2), tl.load(block + 3),
            length, length + row, scale, kv_head, kv_heads, head_dim, KEYS, WIDTH, TILES, STAGES,
        )  # fmt: skip
    length = tl.load(block + 7)
    q = tl.load(near + at, filled, other=0.0)
    acc, highest, total = _over(
        q, acc, highest, total, bank, values, bank_tiles, value_tiles, tl.load(block + 5), tl.load(block + 6),
        length, length - tokens + own, scale, kv_head, kv_heads, head_dim, KEYS, WIDTH, TILES, STAGES,
    )  # fmt: skip
    tl.store(output + at, (acc / total[:, None]).to(output.dtype.element_ty), filled)


LAUNCHES = (Launch(128, 128, 8, 3), Launch(128, 64, 8, 3), Launch(64, 64, 4, 2), Launch(64, 32, 4, 2))
"""The fastest first, as measured on an H100 with heads of 128."""


@cache
def launch_for(head_dim: int, device: torch.device) -> Launch:
    """The fastest that fits the device's shared memory."""
    width = width_of(head_dim)
    # What the accelerator copies takes no more than the tiles; else the compiler takes more.
    margin = 1.0 if copies_tiles(head_dim, device) else SHARED_MARGIN
    narrow = width <= WIDEST_OF_MANY_ROWS
    fit = launches_that_fit(width, device, LAUNCHES, margin)
    return next((one for one in fit if narrow or one.rows < LAUNCHES[0].rows), LAUNCHES[-1])


def run_attention(
    near: torch.Tensor,
    far: torch.Tensor,
    bank: torch.Tensor,
    values: torch.Tensor,
    blocks: torch.Tensor,
    tiles: torch.Tensor,
    scaling: float,
    launch: Launch | None = None,
    by_tiles: bool = True,
) -> torch.Tensor:
    """Of queries [tokens, heads, head_dim] for near and far keys over the bank [keys, kv_heads, head_dim], with the
    values of one layer, or a bank of them, [memory, kv_heads, head_dim]; the rest, and what comes back, as the operator
    says. `launch`, for whose rows the tiles are, is chosen for the device where it is left out. Without `by_tiles` the
    accelerator rests.
    """
    heads, head_dim = near.shape[1:]
    kv_heads, width = bank.shape[1], width_of(head_dim)
    group, launch = heads // kv_heads, launch or launch_for(head_dim, near.device)
    by_tiles = by_tiles and copies_tiles(head_dim, near.device)
    output = torch.empty_like(near)
    copies = tiles_of((bank, values), launch) if by_tiles else (bank, values)
    _attention[(len(tiles), kv_heads)](
        near,
        far,
        bank,
        values,
        *copies,
        blocks,
        tiles,
        output,
        head_dim,
        kv_heads,
        scaling * LOG2_E,
        GROUP=group,
        TOKENS=tokens_of(launch.rows, group),
        ROWS=launch.rows,
        KEYS=launch.keys,
        WIDTH=width,
        TILES=by_tiles,
        STAGES=launch.stages,
        num_warps=launch.warps,
        num_stages=launch.stages,
    )
    return output[None]
