"""The attention of a chunk of blocks as one operator that a compiler takes whole, with a plain twin.

Knows nothing about models. Each block sees keys that stand far before it whole, and a near run that ends with itself
causally; where there is no kernel for a type or device, the twin loops over the blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from dbsa_core.attention import LayerOptions
from dbsa_core.attention.partial import merge
from dbsa_core.attention.query_attention import has_kernel
from dbsa_core.attention.reference import reference_attention
from dbsa_core.attention.visibility import ALL, CAUSAL
from dbsa_core.interrupt import AllWrittenError
from dbsa_core.layer_memory import LayerMemory, channels_of

PLAIN_ROWS = 128
"""Of a tile, where no kernel asks for a number."""


def tile_tokens(heads: int, kv_heads: int, keys: torch.Tensor) -> int:
    """Tokens of a tile, whose rows are its tokens by the query heads of one key head, for such new keys."""
    rows = PLAIN_ROWS
    if has_kernel(keys):
        from dbsa_core.attention import block_kernels

        rows = block_kernels.launch_for(keys.shape[-1], keys.device).rows
    return tokens_of(rows, heads // kv_heads)


def tokens_of(rows: int, group: int) -> int:
    """Tokens of a tile of so many rows, where a key head has `group` query heads."""
    return max(1, rows // group)


def attend_blocks(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    scales: Sequence[torch.Tensor],
    layer: torch.Tensor,
    begin: torch.Tensor,
    before: torch.Tensor,
    turns: Sequence[torch.Tensor],
    partner: torch.Tensor,
    blocks: torch.Tensor,
    tiles: torch.Tensor,
    scaling: float,
) -> torch.Tensor:
    """Writes keys and values of a chunk of blocks to a memory, and attends from each block to what it sees there.

    `query` [1, heads, tokens, head_dim], `key` and `value` [1, kv_heads, tokens, head_dim] are before RoPE. Keys and
    values are written to `keys`, `values` and `scales`, which are those of a `LayerMemory` for all layers, in the layer
    `layer` [] from `begin` [] on; both are integers on the host. Raises `AllWrittenError` behind the last layer's,
    where attention would serve nobody.

    What blocks see is a bank of keys: those at the places `before` [earlier] of the memory, then the chunk's own. Of an
    int8 memory the chunk's own places are named too, for blocks see what is kept; then there is a bank of values as
    well, and the first block's keys give all others' factors where `begin` is 0.
    `turns` are pairs of cos and sin, float32, that rotate: keys as they are kept, keys and queries as they stand among
    near keys, all [tokens, head_dim], kept keys to their place in the bank [earlier, head_dim], and queries for far
    keys [tokens, head_dim], or another number of rows where near ones serve for those too; none in a layer that does
    not rotate. Rotated is `x * cos + (x @ partner) * sin`; `partner` [head_dim, head_dim] has one 1 or -1 in a column,
    or none.

    blocks[i], int32 [8], are: its first token in the chunk and its tokens; where what it sees far before itself begins
    in the bank, where its values do (in the memory, or in their bank), and how much that is; the same of the near run,
    whose last tokens are its own, seen causally; a block of no tokens is none. tiles[t], int32 [2], are a block and its
    first token of a tile of `tile_tokens`, for the kernel alone.

    Returns [1, tokens, heads, head_dim] in the queries' type.
    """
    at, tokens = int(layer), key.shape[2]
    written = slice(int(begin), int(begin) + tokens)
    fast, last = has_kernel(key), at == len(keys) - 1
    prepare = _plain_preparation
    if fast:
        from dbsa_core.attention import block_kernels

        prepare = block_kernels.prepare
    asked, made, found = (part[0].transpose(0, 1) for part in (query, key, value))
    here = LayerMemory(keys[at], values[at], tuple(of_all[at] for of_all in scales))
    if scales and written.start == 0:
        here.scales[2].copy_(channels_of(made, partner, blocks[0, 1]))
    near, far, bank, read = prepare(asked, made, found, here, written, before, turns, partner, last=last)
    if last:
        raise AllWrittenError
    if fast:
        return block_kernels.run_attention(near, far, bank, read, blocks, tiles, scaling)
    return _plain_attention(near, far, bank, read, blocks, scaling)


def _sizes(query: torch.Tensor, *_: Any) -> torch.Tensor:
    return query.new_empty((1, query.shape[2], query.shape[1], query.shape[3]))


# Not by `custom_op`, whose wrappers take more of the host's time than all launches of a call.
_library: Any = torch.library.Library("dbsa", "FRAGMENT")  # type: ignore[no-untyped-call]
_schema = torch.library.infer_schema(attend_blocks, mutates_args=("keys", "values", "scales"))
_library.define(f"block_attention{_schema}")
_library.impl("block_attention", attend_blocks, "CompositeExplicitAutograd")
torch.library.register_fake("dbsa::block_attention", _sizes, lib=_library)
block_attention_op = torch.ops.dbsa.block_attention.default
"""`attend_blocks` as an operator."""


def _plain_preparation(
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
    """Writes keys and values of one layer; returns near and far queries, the bank, and the values that are read. All
    are [tokens, heads, head_dim], and where it is the `last` layer what comes back may hold anything."""
    wide = torch.promote_types(key.dtype, torch.float32)
    matrix = partner.to(wide)

    def turned(states: torch.Tensor, which: int) -> torch.Tensor:
        if not turns:
            return states
        cos, sin = turns[2 * which : 2 * which + 2]
        return (states.to(wide) * cos[:, None] + states.to(wide) @ matrix * sin[:, None]).to(states.dtype)

    memory.write(written, turned(key, KEPT), value)
    if memory.scales:
        kept, values = memory.read(before, key.dtype)
        bank = turned(kept, MOVED)
    else:
        bank, values = torch.cat([turned(memory.keys[before], MOVED), turned(key, NEAR)]), memory.values
    near = turned(query, NEAR).contiguous()
    return near, turned(query, FAR).contiguous() if far_apart(turns, len(query)) else near, bank, values


KEPT, NEAR, MOVED, FAR = range(4)
"""Of the turns."""


def far_apart(turns: Sequence[torch.Tensor], tokens: int) -> bool:
    """Whether far keys are asked by queries of their own."""
    return bool(turns) and len(turns[2 * FAR]) == tokens


def _plain_attention(
    near: torch.Tensor,
    far: torch.Tensor,
    bank: torch.Tensor,
    values: torch.Tensor,
    blocks: torch.Tensor,
    scaling: float,
) -> torch.Tensor:
    options, output = LayerOptions(scaling), torch.empty_like(near)
    for first, count, *read in blocks.tolist():
        own, parts = slice(first, first + count), []
        for query, (in_bank, in_memory, length), sees in ((far, read[:3], ALL), (near, read[3:], CAUSAL)):
            held = bank[None, in_bank : in_bank + length].transpose(1, 2)
            found = values[None, in_memory : in_memory + length].transpose(1, 2)
            asked = query[None, own].transpose(1, 2)
            if length and count:
                parts.append(reference_attention(asked, held, found, sees, options, log_sum_exp=True))
        if parts:
            output[own] = merge(parts)[0].transpose(0, 1)
    return output[None]
