"""Stage 2, the context: chosen blocks at fresh positions in a cache with room for the query and the labels.

Knows nothing about how blocks were chosen or what the query is (arXiv 2503.08640, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from dbsa_core.attention import LayerOptions, Masks, causal_attention, choose
from dbsa_core.attention.reference import attention_probabilities
from dbsa_core.attention.visibility import additive, within_window
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.stage1 import EncodedPool


class ReservedLayer(DynamicLayer):
    """A stock cache layer that writes into memory reserved beforehand instead of copying the context at every step."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor):
        """`keys` and `values`: the reserved memory, [kv_heads, capacity, head_dim]."""
        super().__init__()  # type: ignore[no-untyped-call]  # transformers leaves it without annotations
        self._room = keys[None], values[None]
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        self.resize(0)

    def resize(self, tokens: int) -> None:
        self.keys, self.values = (part[:, :, :tokens] for part in self._room)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.keys is not None
        start, end = self.keys.shape[2], self.keys.shape[2] + key_states.shape[2]
        for room, new in zip(self._room, (key_states, value_states), strict=True):
            room[:, :, start:end] = new
        self.resize(end)
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values


@dataclass
class Context:
    """What a query sees before itself: rotated keys and values at positions 0..length-1, and room behind them."""

    model: LanguageModel
    keys: torch.Tensor
    values: torch.Tensor
    """[layers, kv_heads, capacity, head_dim]."""
    length: int
    """Tokens of the context, without the query."""
    block_spans: tuple[tuple[int, int, int], ...] = ()
    """(block id, start, end) in the context's order."""
    rope_length: int | None = None

    @classmethod
    def reserved(cls, model: LanguageModel, capacity: int, rope_length: int | None = None) -> Context:
        """An empty context with room for `capacity` tokens."""
        size = (model.shape.layers, model.shape.kv_heads, capacity, model.shape.head_dim)
        keys = torch.empty(size, dtype=model.shape.dtype, device=model.device)
        return cls(model, keys, torch.empty_like(keys), 0, (), rope_length)

    @property
    def capacity(self) -> int:
        return self.keys.shape[2]

    @property
    def room(self) -> int:
        """Tokens that fit behind the context."""
        return self.capacity - self.length

    def with_room(self, tokens: int) -> Context:
        """This context with room for `tokens` behind it; itself where there is enough."""
        if self.room >= tokens:
            return self
        grown = Context.reserved(self.model, self.length + tokens, self.rope_length)
        grown.keys[:, :, : self.length] = self.keys[:, :, : self.length]
        grown.values[:, :, : self.length] = self.values[:, :, : self.length]
        grown.length, grown.block_spans = self.length, self.block_spans
        return grown

    def cache(self) -> Cache:
        """A stock cache over this context; what is written behind the context is lost with the next call."""
        layers: list[Any] = []
        for keys, values in zip(self.keys, self.values, strict=True):
            layers.append(ReservedLayer(keys, values))
            layers[-1].resize(self.length)
        return Cache(layers=layers)


def assemble(model: LanguageModel, encoded: EncodedPool, block_ids: Sequence[int], room: int) -> Context:
    """The blocks, in the order given, at positions 0.. with RoPE applied, and room for `room` more tokens."""
    stored = [encoded.store.get(block_id) for block_id in block_ids]
    ends = list(accumulate((kv.keys.shape[2] for kv in stored), initial=0))
    context = Context.reserved(model, ends[-1] + room, encoded.rope_length)
    context.length = ends[-1]
    context.block_spans = tuple(zip(block_ids, ends, ends[1:], strict=False))
    with torch.inference_mode():
        for kv, start, end in zip(stored, ends, ends[1:], strict=False):
            context.values[:, :, start:end] = kv.values
            _rotate_into(context.keys[:, :, start:end], kv.keys, model, start, encoded.rope_length)
    return context


def _rotate_into(
    target: torch.Tensor, keys: torch.Tensor, model: LanguageModel, first: int, rope_length: int | None
) -> None:
    """Rotate a block's keys [layers, kv_heads, tokens, head_dim] to positions `first`.., all layers of a kind at
    once."""
    rope = model.rope
    positions = torch.arange(first, first + keys.shape[2], device=keys.device)
    kinds = {(kind, rotates) for kind, rotates in zip(rope.layer_types, rope.rotates, strict=True)}
    for kind, rotates in kinds:
        layers = [i for i in range(len(rope.rotates)) if (rope.layer_types[i], rope.rotates[i]) == (kind, rotates)]
        every = len(layers) == len(rope.rotates)
        part = keys if every else keys[layers]
        if rotates:
            part = rope.rotate(part, rope.tables(positions, kind, rope_length, dtype=keys.dtype))
        target[slice(None) if every else layers] = part


@dataclass
class AttentionMass:
    """Where the query's last token looked: for every layer and head, the share of attention on every span."""

    spans: tuple[tuple[int, int], ...]
    by_layer: dict[int, torch.Tensor] = field(default_factory=dict)
    """layer -> float32 [heads, spans]."""

    def stacked(self) -> torch.Tensor:
        """float32 [layers, heads, spans] on the CPU."""
        return torch.stack([self.by_layer[layer] for layer in sorted(self.by_layer)]).cpu()


@dataclass
class QueryStage:
    """Attention of stage 2 for one forward of new tokens behind a context.

    The first `causal_rows` new tokens are causal behind all that stands before them, at positions without gaps; the
    others see the keys that `visible` names. Each layer's own sliding window is applied by position.
    """

    positions: torch.Tensor
    """[keys]: of the context's tokens, the earlier new ones and those of this forward, in the cache's order."""
    visible: torch.Tensor | None
    """bool [tokens - causal_rows, keys]; None where there are no such tokens."""
    causal_rows: int = 0
    mass: AttentionMass | None = None
    mass_row: int = 0
    _masks: dict[int | None, torch.Tensor] = field(default_factory=dict)
    _tile_masks: Masks = field(default_factory=dict)

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: LayerOptions
    ) -> torch.Tensor:
        attention, head, outputs = choose(options), self.causal_rows, []
        before = key.shape[2] - query.shape[2]
        if head:
            seen = key[:, :, : before + head], value[:, :, : before + head]
            outputs.append(causal_attention(attention, query[:, :, :head], *seen, options, self._tile_masks))
        if query.shape[2] > head:
            mask = self._mask(options.sliding_window, query)
            outputs.append(attention(query[:, :, head:], key, value, mask, options))
        if self.mass is not None:
            self._look(layer, query, key, options)
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=2)

    def _look(self, layer: int, query: torch.Tensor, key: torch.Tensor, options: LayerOptions) -> None:
        """The weights of one row, which sees the keys up to its own that are within the layer's window."""
        assert self.mass is not None
        last = key.shape[2] - query.shape[2] + self.mass_row + 1
        first = max(0, last - options.sliding_window) if options.sliding_window is not None else 0
        row = query[:, :, self.mass_row : self.mass_row + 1]
        weights = attention_probabilities(row, key[:, :, first:last], None, options)[0, :, 0].float()
        spans = [(max(a - first, 0), max(b - first, 0)) for a, b in self.mass.spans]
        self.mass.by_layer[layer] = torch.stack([weights[:, a:b].sum(-1) for a, b in spans], dim=-1)

    def _mask(self, sliding_window: int | None, query: torch.Tensor) -> torch.Tensor:
        """Additive mask of the rows behind the causal ones, made once for all layers alike."""
        if sliding_window not in self._masks:
            assert self.visible is not None
            asked = self.positions[-len(self.visible) :]
            near = within_window(asked, self.positions, sliding_window)
            self._masks[sliding_window] = additive(self.visible if near is None else self.visible & near, query.dtype)
        return self._masks[sliding_window]
