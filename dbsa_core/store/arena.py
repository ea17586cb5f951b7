"""Keys and values of all blocks of a pool, one memory a layer, written in place while they are encoded.

Knows nothing about models or prompts: blocks are spans of tokens, one behind the other in the order of their ids.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import torch

log = logging.getLogger(__name__)

SPARE = 0.25
"""Room behind a pool for rows that are appended, as a share of its tokens."""


def with_spare(tokens: int) -> int:
    """The tokens that memory is reserved for, where so many are to be encoded."""
    return tokens + math.ceil(SPARE * tokens)


class KeyForm(Enum):
    """How a layer's keys are kept; the values name it in files."""

    BEFORE_ROPE = "before RoPE"
    """As the model makes them: rotated anew for every reader."""
    FROM_BLOCK_START = "rotated from the block's start"
    """By RoPE at positions counted from the first token of their own block: a reader rotates its query instead."""


@dataclass(frozen=True, eq=False)
class BlockKV:
    """One block's keys, each layer's in its form, and its values, both [layers, kv_heads, tokens, head_dim]."""

    keys: torch.Tensor
    values: torch.Tensor


class Arena:
    """Memory for keys and values, and the table of which block stands where in it.

    What was written is never moved or written again, so that pools of the same first blocks share it: one that goes on
    where another has gone on already takes a copy of those blocks, as does one that outgrows the memory.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, forms: Sequence[KeyForm]):
        """Memory without a block in it; see its attributes."""
        self.keys, self.values = keys, values
        """Both [layers, tokens, kv_heads, head_dim]."""
        self.forms = tuple(forms)
        """For each layer, how its keys are kept."""
        self._starts = [0]
        self._lock = threading.Lock()

    @property
    def capacity(self) -> int:
        """Tokens that there is memory for."""
        return self.keys.shape[1]

    @property
    def num_bytes(self) -> int:
        """Of its memory, spare room included."""
        return self.keys.nbytes + self.values.nbytes

    def __len__(self) -> int:
        """Blocks in it."""
        return len(self._starts) - 1

    def __contains__(self, block_id: int) -> bool:
        return 0 <= block_id < len(self)

    def span(self, block_id: int) -> tuple[int, int]:
        """(start, end) of a block's tokens in the memory; `KeyError` for one that is not in it."""
        if block_id not in self:
            raise KeyError(block_id)
        return self._starts[block_id], self._starts[block_id + 1]

    def get(self, block_id: int) -> BlockKV:
        """A block's keys and values, as views into the memory."""
        start, end = self.span(block_id)
        return BlockKV(self.keys[:, start:end].transpose(1, 2), self.values[:, start:end].transpose(1, 2))

    def put(self, block_id: int, kv: BlockKV) -> None:
        """Write a block whose place `extended` has made."""
        there = self.get(block_id)
        there.keys.copy_(kv.keys)
        there.values.copy_(kv.values)

    def extended(self, first: int, lengths: Sequence[int], expected_tokens: int = 0) -> Arena:
        """The arena of this one's blocks before `first`, and of places for further ones of these lengths.

        It is this arena where it ends there and has the room, else a copy of those blocks with room for
        `expected_tokens` in all and some to spare.
        """
        with self._lock:
            held, needed = self._starts[first], self._starts[first] + sum(lengths)
            if first == len(self) and needed <= self.capacity:
                for length in lengths:
                    self._starts.append(self._starts[-1] + length)
                return self
            why = "was continued elsewhere" if needed <= self.capacity else "is full"
        return self._copied(first, held, with_spare(max(needed, expected_tokens)), why).extended(first, lengths)

    def drop_from(self, first: int) -> None:
        """Forget the places of the blocks from `first` on, which were not written after all."""
        with self._lock:
            del self._starts[first + 1 :]

    def _copied(self, blocks: int, held: int, tokens: int, why: str) -> Arena:
        layers, _, *rest = self.keys.shape
        keys, values = (memory.new_empty(layers, tokens, *rest) for memory in (self.keys, self.values))
        larger = Arena(keys, values, self.forms)
        with torch.inference_mode():
            larger.keys[:, :held], larger.values[:, :held] = self.keys[:, :held], self.values[:, :held]
        larger._starts = self._starts[: blocks + 1]
        if held:
            log.info(
                f"The memory of {self.capacity:,} tokens {why}: the {held:,} before were copied once, into one of "
                f"{tokens:,}."
            )
        return larger
