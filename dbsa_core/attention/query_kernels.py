"""The attention of a query step as one kernel for CUDA, and the merge of its splits.

Knows nothing about models. The operator of `attention.query_attention` says what is computed, and holds the plain twin.
Keys are read in tiles. The tiles of all stretches and of the own tokens are dealt out evenly to the splits, whatever
the stretches' lengths, so that few query rows keep the whole device busy; how many stretches there are is read on the
device, so that a captured graph does no work for those that a query does not have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import torch
import triton
import triton.language as tl

from dbsa_core.attention.launches import (
    WIDEST_OF_MANY_ROWS,
    Launch,
    copies_tiles,
    launches_that_fit,
    tiles_of,
    width_of,
)
from dbsa_core.devices import gpu_of

LOG2_E = math.log2(math.e)
MERGED_ROWS = 8
"""Of one program of the merge."""
SPLIT_COST = 0.02
"""What a split costs beside its tiles, as a share of all tiles of one program: it reads and turns its queries."""


@triton.jit
def softmax_more(scores, v, acc, highest, total, sees, scale, WHOLE: tl.constexpr, factor=None):
    """The softmax over one tile of keys more, by their scores [rows, keys]. WHOLE: all of them are seen by all rows.
    Values are to be multiplied by `factor` [1, keys] where there is one."""
    if not WHOLE:
        scores = tl.where(sees, scores, float("-inf"))
    now = tl.maximum(highest, tl.max(scores, 1) * scale)
    base = now
    if not WHOLE:
        base = tl.where(now == float("-inf"), 0.0, now)  # a row that has seen nothing yet
    weights = tl.exp2(scores * scale - base[:, None])
    before = tl.exp2(highest - base)
    held = weights
    if factor is not None:
        held = weights * factor
    acc = tl.dot(held.to(v.dtype), v, acc * before[:, None])
    return acc, now, total * before + tl.sum(weights, 1)


@triton.jit
def _over(
    q, acc, highest, total, k, v, key_scales, value_scales, real, sees, scale, WHOLE: tl.constexpr, INT8: tl.constexpr
):  # fmt: skip
    """The softmax of `q` over one tile of keys `k` [head_dim, keys] more, of which those that are `real` have scales
    where they are int8. WHOLE: every key is seen."""
    if INT8:
        of_keys, of_values = tl.load(key_scales, real, other=0.0), tl.load(value_scales, real, other=0.0)
        scores = tl.dot(q, k.to(q.dtype)) * of_keys[None, :]
        found = softmax_more(scores, v.to(q.dtype), acc, highest, total, sees, scale, WHOLE, of_values[None, :])
    else:
        found = softmax_more(tl.dot(q, k), v, acc, highest, total, sees, scale, WHOLE)
    return found


@triton.jit
def _read(
    q, acc, highest, total, key, value, key_scales, value_scales, there, real, sees, scale,
    WHOLE: tl.constexpr, INT8: tl.constexpr,
):  # fmt: skip
    """The same over a tile at `key` and `value`. WHOLE: every key is there and seen, and heads fill the tile."""
    if WHOLE:
        k, v = tl.load(key), tl.load(value)
    else:
        k, v = tl.load(key, tl.trans(there), other=0), tl.load(value, there, other=0)
    return _over(q, acc, highest, total, k, v, key_scales, value_scales, real, sees, scale, WHOLE, INT8)


@triton.jit
def _share(lengths, stretches, tokens, KEYS: tl.constexpr, STRETCHES: tl.constexpr):
    """Which tiles are this split's: of how many tiles all stretches are, the first tile and the one behind the last,
    the stretch in which the first is, and how many tiles come before that."""
    split, splits = tl.program_id(2), tl.num_programs(2)
    each = tl.arange(0, STRETCHES)
    tiles = (tl.load(lengths + each, each < stretches, other=0) + KEYS - 1) // KEYS
    before_own = tl.sum(tiles)
    all_tiles = before_own + (tokens + KEYS - 1) // KEYS
    begin, end = split * all_tiles // splits, (split + 1) * all_tiles // splits
    stretch = tl.sum(((tl.cumsum(tiles, 0) <= begin) & (each < stretches)).to(tl.int32))
    passed = tl.sum(tl.where(each < stretch, tiles, 0))
    return before_own, begin, end, stretch, passed


@triton.jit
def _attention(
    query,
    partner,
    key,
    value,
    edges,
    seen,
    keys,
    values,
    key_tiles,
    value_tiles,
    key_scales,
    value_scales,
    channels,
    cos,
    sin,
    begins,
    lengths,
    count,
    output,
    sums,
    all_tokens,
    most,
    room,
    row_tiles,
    group,
    head_dim,
    scale,
    query_heads,
    query_tokens,
    key_heads,
    key_tokens,
    value_heads,
    value_tokens,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    WIDTH: tl.constexpr,
    STRETCHES: tl.constexpr,
    WHOLE: tl.constexpr,
    INT8: tl.constexpr,
    TILES: tl.constexpr,
    STAGES: tl.constexpr,
):
    kv_head, kv_heads = tl.program_id(1), tl.num_programs(1)
    split, splits = tl.program_id(2), tl.num_programs(2)
    # Queries one behind the other under each key head: blocks that several of them chose are still in the cache.
    one, row_tile = tl.program_id(0) // row_tiles, tl.program_id(0) % row_tiles
    first = tl.load(edges + one)
    tokens = tl.load(edges + one + 1) - first
    if row_tile * ROWS >= group * tokens:
        return
    stretches = tl.load(count + one)
    seen += tl.cast(one, tl.int64) * most * most
    begins += one * room
    lengths += one * room
    cos += one * room * head_dim
    sin += one * room * head_dim
    # The query heads of a key head are further rows.
    row = row_tile * ROWS + tl.arange(0, ROWS)
    head, token = kv_head * group + row // tokens, row % tokens
    place, column = tl.arange(0, WIDTH), tl.arange(0, KEYS)
    exists, inside = row < group * tokens, place < head_dim
    filled = exists[:, None] & inside[None, :]
    states = (head * query_heads + (first + token) * query_tokens)[:, None] + place[None, :]

    before_own, begin, end, stretch, passed = _share(lengths, stretches, tokens, KEYS, STRETCHES)
    highest = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, WIDTH], tl.float32)
    width = kv_heads * head_dim
    while (stretch < stretches) & (passed < end):
        turn = tl.load(cos + stretch * head_dim + place, inside, other=0.0)
        swap = tl.load(sin + stretch * head_dim + place, inside, other=0.0)
        if INT8:  # the factors of keys go to the query
            channel = tl.load(channels + kv_head * head_dim + place, inside, other=0.0)
            turn, swap = turn * channel, swap * channel
        # Read again for each stretch: kept, they would take the registers of the sums.
        here = tl.load(query + states, filled, other=0.0) * turn[None, :]
        q = (here + tl.load(partner + states, filled, other=0.0) * swap[None, :]).to(key.dtype.element_ty)
        length = tl.load(lengths + stretch)
        first_key = tl.load(begins + stretch)
        start = first_key.to(tl.int64) * width + kv_head * head_dim
        key_tile = keys + start + column[None, :] * width + place[:, None]
        value_tile = values + start + column[:, None] * width + place[None, :]
        every = column < KEYS
        all_there = every[:, None] & inside[None, :]
        last = tl.minimum(end - passed, (length + KEYS - 1) // KEYS)
        full = tl.minimum(last, length // KEYS)
        at_scale = (first_key.to(tl.int64) + column) * kv_heads + kv_head
        of_keys, of_values = key_scales + at_scale, value_scales + at_scale
        scale_step = KEYS * kv_heads
        if TILES:
            for tile in tl.range(tl.maximum(begin - passed, 0), full, num_stages=STAGES):
                k = key_tiles.load([first_key + tile * KEYS, kv_head * WIDTH])
                v = value_tiles.load([first_key + tile * KEYS, kv_head * WIDTH])
                at = tile * scale_step
                acc, highest, total = _over(
                    q, acc, highest, total, k.T, v, of_keys + at, of_values + at, every, True, scale, True, INT8
                )
        else:
            for tile in range(tl.maximum(begin - passed, 0), full):
                at, at_tile = tile * scale_step, tl.cast(tile, tl.int64) * (KEYS * width)
                acc, highest, total = _read(
                    q, acc, highest, total, key_tile + at_tile, value_tile + at_tile, of_keys + at, of_values + at,
                    all_there, every, every[None, :], scale, WHOLE, INT8,
                )  # fmt: skip
        if last > full:
            at, at_tile = full * scale_step, tl.cast(full, tl.int64) * (KEYS * width)
            real = full * KEYS + column < length
            acc, highest, total = _read(
                q, acc, highest, total, key_tile + at_tile, value_tile + at_tile, of_keys + at, of_values + at,
                real[:, None] & inside[None, :], real, real[None, :], scale, False, INT8,
            )  # fmt: skip
        passed += (length + KEYS - 1) // KEYS
        stretch += 1

    if end > before_own:
        q = tl.load(query + states, filled, other=0.0).to(key.dtype.element_ty)
        for tile in range(tl.maximum(begin - before_own, 0), end - before_own):
            own = tile * KEYS + column
            real = own < tokens
            allowed = tl.load(seen + token[:, None] * most + own[None, :], exists[:, None] & real[None, :], other=0)
            key_tile = key + kv_head * key_heads + (first + own)[None, :] * key_tokens + place[:, None]
            value_tile = value + kv_head * value_heads + (first + own)[:, None] * value_tokens + place[None, :]
            there = real[:, None] & inside[None, :]
            acc, highest, total = _read(
                q, acc, highest, total, key_tile, value_tile, key_scales, value_scales, there, real, allowed != 0,
                scale, False, False,
            )  # fmt: skip

    divisor = tl.where(total > 0, total, 1.0)
    at_row = (split * all_tokens + first + token) * kv_heads * group + head
    target = output + at_row.to(tl.int64)[:, None] * head_dim + place[None, :]
    tl.store(target, (acc / divisor[:, None]).to(output.dtype.element_ty), filled)
    if splits > 1:
        tl.store(sums + at_row, tl.where(total > 0, highest + tl.log2(divisor), float("-inf")), exists)


@triton.jit
def _merge(output, sums, made, rows, head_dim, splits, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    place = tl.arange(0, WIDTH)
    exists = row < rows
    there = exists[:, None] & (place[None, :] < head_dim)
    highest = tl.full([ROWS], float("-inf"), tl.float32)
    for split in range(splits):
        highest = tl.maximum(highest, tl.load(sums + split * rows + row, exists, other=0.0))
    total = tl.zeros([ROWS], tl.float32)
    acc = tl.zeros([ROWS, WIDTH], tl.float32)
    for split in range(splits):
        share = tl.exp2(tl.load(sums + split * rows + row, exists, other=0.0) - highest)
        part = output + (split * rows + row).to(tl.int64)[:, None] * head_dim + place[None, :]
        acc += share[:, None] * tl.load(part, there, other=0.0).to(tl.float32)
        total += share
    target = made + row.to(tl.int64)[:, None] * head_dim + place[None, :]
    tl.store(target, (acc / total[:, None]).to(made.dtype.element_ty), there)


LAUNCHES = (Launch(128, 64, 8, 3), Launch(64, 64, 4, 2), Launch(64, 32, 4, 2), Launch(32, 32, 4, 1))
"""The fastest first, as measured on an H100 with heads of 128."""
BATCH_LAUNCHES = (Launch(128, 64, 8, 4), Launch(64, 64, 4, 2))
"""The same for several queries, whose tiles of keys come by the accelerator."""
FASTER_BY_MANY_ROWS = 1.3
"""Rows a second of the first of `BATCH_LAUNCHES`, in those of the second, on an H100 with heads of 128."""


@cache
def batch_launch_for(rows: int, width: int, device: torch.device) -> Launch:
    """The same for several queries, of so many rows each at most: the one whose tiles they fill best."""
    fit = launches_that_fit(width, device, BATCH_LAUNCHES)
    if len(fit) < len(BATCH_LAUNCHES) or width > WIDEST_OF_MANY_ROWS:
        return launch_for(rows, width, device)
    many, few = (math.ceil(rows / launch.rows) * launch.rows for launch in BATCH_LAUNCHES)
    return BATCH_LAUNCHES[int(few * FASTER_BY_MANY_ROWS < many)]


@cache
def launch_for(rows: int, width: int, device: torch.device) -> Launch:
    """The fastest for so many query rows of a key head that fits the device."""
    small = rows <= LAUNCHES[1].rows or width > WIDEST_OF_MANY_ROWS
    fit = launches_that_fit(width, device, LAUNCHES)
    return next((one for one in fit if one.rows <= LAUNCHES[1].rows or not small), LAUNCHES[-1])


@cache
def splits_for(programs: int, processors: int) -> int:
    """Into how many splits to deal the tiles of so many programs, that all processors work until the end."""

    def cost(splits: int) -> float:
        return math.ceil(programs * splits / processors) * (1 / splits + SPLIT_COST)

    return min(range(1, processors + 1), key=cost)


def run_attention(
    query: torch.Tensor,
    partner: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    edges: torch.Tensor,
    seen: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    scales: Sequence[torch.Tensor],
    cos: torch.Tensor,
    sin: torch.Tensor,
    begins: torch.Tensor,
    lengths: torch.Tensor,
    count: torch.Tensor,
    scaling: float,
    launch: Launch | None = None,
    splits: int | None = None,
    by_tiles: bool | None = None,
) -> torch.Tensor:
    """As the operator says; `launch`, `splits` and whether the accelerator copies tiles are chosen for the device where
    they are left out: it does so for several queries and for int8, which wait for products more than for their
    keys, unless the memory holds nothing."""
    _, heads, tokens, head_dim = query.shape
    kv_heads, width = keys.shape[1], width_of(head_dim)
    group, device = heads // kv_heads, query.device
    queries, most, room = len(count), seen.shape[1], lengths.shape[1]
    if by_tiles is None:
        several = queries > 1 or bool(scales)
        by_tiles = several and len(keys) > 0 and copies_tiles(head_dim, device)
    launch = launch or (batch_launch_for if by_tiles and queries > 1 else launch_for)(group * most, width, device)
    row_tiles = triton.cdiv(group * most, launch.rows)
    if splits is None:
        splits = splits_for(queries * row_tiles * kv_heads, gpu_of(device).processors)
    if query.stride() != partner.stride() or query.stride(3) != 1:
        query, partner = query.contiguous(), partner.contiguous()
    key, value = (states if states.stride(3) == 1 else states.contiguous() for states in (key, value))
    copies = tiles_of((keys, values), launch) if by_tiles else (keys, values)
    output = key.new_empty(splits, tokens, heads, head_dim)
    sums = query.new_empty(splits, tokens, heads)
    _attention[(queries * row_tiles, kv_heads, splits)](
        query,
        partner,
        key,
        value,
        edges,
        seen.contiguous(),
        keys,
        values,
        *copies,
        *(scales or [keys] * 3),
        cos.contiguous(),
        sin.contiguous(),
        begins.contiguous(),
        lengths.contiguous(),
        count,
        output,
        sums,
        tokens,
        most,
        room,
        row_tiles,
        group,
        head_dim,
        scaling * LOG2_E,
        query.stride(1),
        query.stride(2),
        key.stride(1),
        key.stride(2),
        value.stride(1),
        value.stride(2),
        ROWS=launch.rows,
        KEYS=launch.keys,
        WIDTH=width,
        STRETCHES=triton.next_power_of_2(max(1, room)),
        WHOLE=width == head_dim,
        INT8=bool(scales),
        TILES=by_tiles,
        STAGES=launch.stages,
        num_warps=launch.warps,
        num_stages=launch.stages,
    )
    if splits == 1:
        return output
    made, rows = key.new_empty(1, tokens, heads, head_dim), tokens * heads
    _merge[(triton.cdiv(rows, MERGED_ROWS),)](
        output, sums, made, rows, head_dim, splits, ROWS=MERGED_ROWS, WIDTH=width, num_warps=4
    )
    return made
