"""Stage 2, the prefix: chosen blocks at fresh positions, of which every new token sees everything.

Knows nothing about how blocks were chosen or what the query is (arXiv 2503.08640, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch

from dbsa_core.attention import Stretches
from dbsa_core.layer_memory import LayerMemory
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.stage1.encoding import EncodedPool
from dbsa_core.store import Arena, KeyForm

PerLayer = tuple[torch.Tensor, ...]


@dataclass(frozen=True, eq=False)
class BlocksInPlace:
    """Blocks that are read where they stand, in the layers whose keys are rotated from their block's start."""

    arena: Arena
    stretches: Stretches
    """Where they stand in the arena, in the prefix's order."""
    firsts: tuple[int, ...]
    """The position in the prefix of each one's first token."""

    def memory(self, layer: int) -> LayerMemory:
        """Keys and values of the layer, of all blocks."""
        return self.arena.layer(layer)


@dataclass(frozen=True, eq=False)
class Prefix:
    """What a query sees before itself, at positions 0..length-1. Nobody writes into it, so that many queries may read
    it at once."""

    model: LanguageModel
    length: int
    """Its tokens, without the query."""
    keys: PerLayer
    values: PerLayer
    """For each layer [kv_heads, tokens, head_dim], rotated: those of all positions, or in a layer that reads blocks in
    place those behind the blocks."""
    block_spans: tuple[tuple[int, int, int], ...] = ()
    """(block id, start, end) in the prefix's order."""
    rope_length: int | None = None
    blocks: BlocksInPlace | None = None

    @classmethod
    def empty(cls, model: LanguageModel, rope_length: int | None = None) -> Prefix:
        """Nothing before the query."""
        return cls(model, 0, *reserve(model, [0] * model.shape.layers), rope_length=rope_length)

    @property
    def blocks_end(self) -> int:
        """Where its blocks end, and what was run behind them begins."""
        return self.block_spans[-1][2] if self.block_spans else 0

    def in_place(self, layer: int) -> BlocksInPlace | None:
        """The blocks that a layer reads where they stand, if it does; they come before its `keys`."""
        if self.blocks is None or not self.blocks.firsts:
            return None
        return self.blocks if self.blocks.arena.forms[layer] is KeyForm.FROM_BLOCK_START else None


def reserve(model: LanguageModel, tokens: Sequence[int]) -> tuple[PerLayer, PerLayer]:
    """Memory for keys and for values: of each layer so many tokens, [kv_heads, tokens, head_dim]."""
    shape = model.shape
    sizes = [(shape.kv_heads, count, shape.head_dim) for count in tokens]
    keys = tuple(torch.empty(size, dtype=shape.dtype, device=model.device) for size in sizes)
    return keys, tuple(map(torch.empty_like, keys))


def assemble(model: LanguageModel, encoded: EncodedPool, block_ids: Sequence[int]) -> Prefix:
    """The blocks, in the order given, at positions 0.. with RoPE applied; read in place where a layer's form allows."""
    store = encoded.store
    spans_there = tuple(store.span(block_id) for block_id in block_ids)
    ends = list(accumulate((end - start for start, end in spans_there), initial=0))
    spans = tuple(zip(block_ids, ends, ends[1:], strict=False))
    gathered = [i for i, form in enumerate(store.forms) if form is KeyForm.BEFORE_ROPE]
    blocks = None
    if block_ids and len(gathered) < len(store.forms):
        blocks = BlocksInPlace(store, Stretches(spans_there, model.device), tuple(ends[:-1]))
    with torch.inference_mode():
        keys, values = _gathered(model, encoded, spans, gathered, ends[-1])
    return Prefix(model, ends[-1], keys, values, spans, encoded.rope_length, blocks)


def gathered_bytes(model: LanguageModel, encoded: EncodedPool, tokens: int) -> int:
    """What `assemble` copies of blocks of so many tokens."""
    forms = encoded.store.forms
    return tokens * model.shape.bytes_per_token * forms.count(KeyForm.BEFORE_ROPE) // len(forms)


def _gathered(
    model: LanguageModel,
    encoded: EncodedPool,
    spans: Sequence[tuple[int, int, int]],
    layers: Sequence[int],
    length: int,
) -> tuple[PerLayer, PerLayer]:
    """For each layer keys and values [kv_heads, length, head_dim] at positions 0.., and none in layers but these."""
    shape, every = model.shape, len(layers) == model.shape.layers
    nothing = torch.empty(shape.kv_heads, 0, shape.head_dim, dtype=shape.dtype, device=model.device)
    if not layers:
        return (nothing,) * shape.layers, (nothing,) * shape.layers
    size = (len(layers), shape.kv_heads, length, shape.head_dim)
    keys = torch.empty(size, dtype=shape.dtype, device=model.device)
    values = torch.empty_like(keys)
    for block_id, start, end in spans:
        held, found = encoded.store.read(block_id, slice(None) if every else layers)
        values[:, :, start:end] = found
        _rotate_into(keys[:, :, start:end], held, model, layers, start, encoded.rope_length)
    places = {layer: place for place, layer in enumerate(layers)}

    def by_layer(found: torch.Tensor) -> PerLayer:
        return tuple(found[places[layer]] if layer in places else nothing for layer in range(shape.layers))

    return by_layer(keys), by_layer(values)


def _rotate_into(
    target: torch.Tensor,
    keys: torch.Tensor,
    model: LanguageModel,
    layers: Sequence[int],
    first: int,
    rope_length: int | None,
) -> None:
    """Rotate a block's keys [layers, kv_heads, tokens, head_dim] to positions `first`.., all layers of a kind at
    once."""
    rope = model.rope
    positions = torch.arange(first, first + keys.shape[2], device=keys.device)
    kinds = [(rope.layer_types[layer], rope.rotates[layer]) for layer in layers]
    for kind, rotates in dict.fromkeys(kinds):
        of_kind = [i for i, other in enumerate(kinds) if other == (kind, rotates)]
        every = len(of_kind) == len(kinds)
        part = keys if every else keys[of_kind]
        if rotates:
            part = rope.rotate(part, rope.tables(positions, kind, rope_length, dtype=keys.dtype))
        target[slice(None) if every else of_kind] = part
