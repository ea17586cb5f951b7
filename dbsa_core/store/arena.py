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

from dbsa_core.layer_memory import LayerMemory, restored

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
    """One block as it is kept: its keys, each layer's in its form, and its values, both [layers, kv_heads, tokens,
    head_dim]."""

    keys: torch.Tensor
    values: torch.Tensor
    scales: tuple[torch.Tensor, ...] = ()
    """Of int8: of keys and of values, float32 [layers, kv_heads, tokens], and the factors of keys, float32 [layers,
    kv_heads, head_dim]; see `LayerMemory`."""


class Arena:
    """Memory for keys and values, and the table of which block stands where in it.

    What was written is never moved or written again, so that pools of the same first blocks share it: one that goes on
    where another has gone on already takes a copy of those blocks, as does one that outgrows the memory.
    """

    def __init__(
        self,
        keys: torch.Tensor,
        values: torch.Tensor,
        forms: Sequence[KeyForm],
        scales: tuple[torch.Tensor, ...] = (),
        dtype: torch.dtype | None = None,
    ):
        """Memory without a block in it; see its attributes."""
        self.keys, self.values = keys, values
        """Both [layers, tokens, kv_heads, head_dim]."""
        self.forms = tuple(forms)
        """For each layer, how its keys are kept."""
        self.scales = scales
        """Of int8: those of `LayerMemory` for all layers; none where keys and values are as the model makes them."""
        self.dtype = dtype or keys.dtype
        """Of what is read."""
        self._starts = [0]
        self._lock = threading.Lock()

    @property
    def capacity(self) -> int:
        """Tokens that there is memory for."""
        return self.keys.shape[1]

    @property
    def num_bytes(self) -> int:
        """Of its memory, spare room included."""
        return sum(memory.nbytes for memory in (self.keys, self.values, *self.scales))

    @property
    def int8(self) -> bool:
        """Whether keys and values are kept as int8; else as the model makes them."""
        return bool(self.scales)

    def layer(self, layer: int) -> LayerMemory:
        """The memory of one layer."""
        return LayerMemory(self.keys[layer], self.values[layer], tuple(of_all[layer] for of_all in self.scales))

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
        """A block as it is kept, as views into the memory."""
        start, end = self.span(block_id)
        by_token = (self.keys, self.values, *self.scales[:2])
        keys, values, *scales = (memory[:, start:end].transpose(1, 2) for memory in by_token)
        return BlockKV(keys, values, (*scales, *self.scales[2:]))

    def read(self, block_id: int, layers: Sequence[int] | slice = slice(None)) -> tuple[torch.Tensor, torch.Tensor]:
        """A block's keys, each in its layer's form, and values, both [layers, kv_heads, tokens, head_dim], as the model
        makes them; of all layers or some. Views where they can be."""
        start, end = self.span(block_id)
        # Tokens first: a list of layers copies.
        keys, values, *scales = (part[:, start:end][layers] for part in (self.keys, self.values, *self.scales[:2]))
        if scales:
            keys = restored(keys, scales[0], self.dtype, self.scales[2][layers][:, None])
            values = restored(values, scales[1], self.dtype)
        return keys.transpose(1, 2), values.transpose(1, 2)

    def put(self, block_id: int, kv: BlockKV) -> None:
        """Write a block whose place `extended` has made."""
        there = self.get(block_id)
        for kept, given in zip(
            (there.keys, there.values, *there.scales), (kv.keys, kv.values, *kv.scales), strict=True
        ):
            kept.copy_(given)

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
        by_token = (self.keys, self.values, *self.scales[:2])
        made = [memory.new_empty(memory.shape[0], tokens, *memory.shape[2:]) for memory in by_token]
        factors = [torch.empty_like(memory) for memory in self.scales[2:]]
        with torch.inference_mode():
            for there, here in zip(made, by_token, strict=True):
                there[:, :held] = here[:, :held]
            for there, here in zip(factors, self.scales[2:], strict=True):
                there.copy_(here)
        larger = Arena(made[0], made[1], self.forms, (*made[2:], *factors), self.dtype)
        larger._starts = self._starts[: blocks + 1]
        if held:
            log.info(
                f"The memory of {self.capacity:,} tokens {why}: the {held:,} before were copied once, into one of "
                f"{tokens:,}."
            )
        return larger
