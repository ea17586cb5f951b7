"""The block pattern as masks: token by token for oracles, block by block for pictures.

Knows nothing about models. Nothing on the way to a prediction builds an n x n mask; `dense_mask` is for tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dbsa_core.blocks import BlockPattern

if TYPE_CHECKING:
    import torch

NOT_SEEN, SELF, PREVIOUS, SINK = range(4)
"""Categories of `block_picture`."""


def dense_mask(lengths: Sequence[int], pattern: BlockPattern) -> torch.Tensor:
    """Stage 1 token by token: bool [tokens, tokens], row = query. `t <= q and (B(t) < sinks or B(q) - B(t) <=
    previous)`."""
    import torch  # pictures do without

    block = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(list(lengths)))
    q, t = block[:, None], block[None, :]
    causal = torch.ones(len(block), len(block), dtype=torch.bool).tril()
    return causal & ((t < pattern.sink_blocks) | (q - t <= pattern.previous_blocks))


def block_picture(blocks: int, pattern: BlockPattern) -> np.ndarray:
    """Stage 1 block by block: uint8 [blocks, blocks] of NOT_SEEN, SELF, PREVIOUS, SINK; row = the block being
    encoded."""
    row, column = np.indices((blocks, blocks))
    picture = np.full((blocks, blocks), NOT_SEEN, dtype=np.uint8)
    earlier = column < row
    picture[earlier & (row - column <= pattern.previous_blocks)] = PREVIOUS
    picture[earlier & (column < pattern.sink_blocks)] = SINK
    picture[row == column] = SELF
    return picture


def pair_counts(blocks: int, pattern: BlockPattern) -> dict[int, int]:
    """How many pairs of blocks have which category of `block_picture`, without drawing it. Pairs of a block with a
    later one, which no causal model attends to, are not among the NOT_SEEN."""
    sinks = _capped(blocks, pattern.sink_blocks)
    earlier = _capped(blocks, pattern.sink_blocks + pattern.previous_blocks)
    unseen = blocks * (blocks + 1) // 2 - blocks - earlier
    return {SELF: blocks, PREVIOUS: earlier - sinks, SINK: sinks, NOT_SEEN: unseen}


def _capped(count: int, most: int) -> int:
    """The sum of 0, 1, 2 ... `count` - 1, each at most `most`."""
    below = min(count, most)
    return below * (below - 1) // 2 + most * (count - below)
