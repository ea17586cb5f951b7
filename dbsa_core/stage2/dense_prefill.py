"""Dense causal encoding of tokens behind a prefix: what Fixed ICL does once, and what long prompts begin with.

Knows nothing about demonstrations or queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from dbsa_core.attention import ALL, CAUSAL, LayerOptions, Part, Stretches, Visibility, attend, attend_behind
from dbsa_core.devices import free_memory, policy_for
from dbsa_core.interrupt import AllWrittenError
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.stage1.memory import arena_for, key_forms
from dbsa_core.stage2.prefix import BlocksInPlace, PerLayer, Prefix, reserve
from dbsa_core.stage2.rotation import Rotation
from dbsa_core.store import KeyForm

PART_TOKENS = 4096
"""Tokens of one forward: activations stay bounded, however long the prompt."""
MEMORY_SHARE = 0.5
"""Of the free memory, what the activations of a prompt that goes in one forward may take."""


def tokens_at_once(prefix: Prefix, tokens: int) -> int:
    """How many tokens of a dense prompt of `tokens` behind `prefix` go through the model in one forward."""
    model = prefix.model
    whole = prefix.length == 0 and tokens <= policy_for(model.device).whole_prompt_tokens
    if whole and tokens * _bytes_per_token(model) <= MEMORY_SHARE * free_memory(model.device):
        return tokens
    return PART_TOKENS


def _bytes_per_token(model: LanguageModel) -> int:
    """Of a layer's activations, roughly: three as wide as the MLP, and eight as the model."""
    config = model.model.config.get_text_config()
    widest = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    return int(3 * widest + 8 * config.hidden_size) * model.shape.dtype.itemsize


def prefill(prefix: Prefix, token_ids: Sequence[int], part_tokens: int | None = None) -> Prefix:
    """Run `token_ids` behind `prefix`; no logits are computed. Returns the longer prefix, the given one is left alone.

    `part_tokens` go through the model in one forward; by default as many as `tokens_at_once` says.
    """
    keys, values = reserve(prefix.model, [key.shape[1] + len(token_ids) for key in prefix.keys])
    with torch.inference_mode():
        for layer, (key, value) in enumerate(zip(prefix.keys, prefix.values, strict=True)):
            keys[layer][:, : key.shape[1]], values[layer][:, : key.shape[1]] = key, value
    _run(prefix, token_ids, keys, values, part_tokens or tokens_at_once(prefix, len(token_ids)))
    return replace(prefix, length=prefix.length + len(token_ids), keys=keys, values=values)


def prefill_block(model: LanguageModel, token_ids: Sequence[int], rope_length: int | None = None) -> Prefix:
    """`token_ids`, or nothing, as a prefix of one block. It is read in place where all layers are, so that queries
    behind it may be captured; else it is as `prefill` makes it."""
    nothing = Prefix.empty(model, rope_length)
    if set(key_forms(model)) != {KeyForm.FROM_BLOCK_START}:
        return prefill(nothing, token_ids)
    lengths = [len(token_ids)] if token_ids else []
    arena = arena_for(model, len(token_ids), grows=False).extended(0, lengths)
    # A dense prefill rotates by positions from 0, which is the block's start.
    keys, values = (tuple(layer.transpose(0, 1) for layer in memory) for memory in (arena.keys, arena.values))
    _run(nothing, token_ids, keys, values, tokens_at_once(nothing, len(token_ids)))
    spans = [arena.span(block) for block in range(len(arena))]
    blocks = BlocksInPlace(arena, Stretches(tuple(spans), model.device), tuple(start for start, _ in spans))
    spans_here = tuple((block, *span) for block, span in enumerate(spans))
    return replace(nothing, length=len(token_ids), block_spans=spans_here, blocks=blocks)


def _run(prefix: Prefix, token_ids: Sequence[int], keys: PerLayer, values: PerLayer, at_once: int) -> None:
    """Write keys and values behind those of the prefix, for each layer [kv_heads, tokens, head_dim]."""
    model, before = prefix.model, prefix.length
    for start in range(0, len(token_ids), at_once or 1):
        part = token_ids[start : start + at_once]
        positions = torch.arange(before + start, before + start + len(part), device=model.device)
        stage = _PrefillStage(Rotation(prefix, positions), keys, values, before + start)
        model.run(model.ids(part), positions, stage, deferred=stage.rotation.deferred, rope_length=prefix.rope_length)


@dataclass(frozen=True, eq=False)
class _PrefillStage:
    """Causal attention behind everything that was run before, which stands in the same memory but for blocks that are
    read in place."""

    rotation: Rotation
    keys: PerLayer
    values: PerLayer
    """For each layer [kv_heads, capacity, head_dim]."""
    start: int
    """The position of the first token of this forward."""
    _seen: dict[int, Visibility] = field(default_factory=dict, repr=False)
    """By the position of the first token in a layer's memory."""

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: LayerOptions
    ) -> torch.Tensor:
        prefix, new = self.rotation.prefix, key.shape[2]
        blocks = prefix.in_place(layer)
        first = prefix.blocks_end if blocks is not None else 0
        start, end = self.start - first, self.start - first + new
        memory = self.keys[layer][None], self.values[layer][None]
        memory[0][:, :, start:end], memory[1][:, :, start:end] = self.rotation.placed(layer, key), value
        if layer == len(self.keys) - 1:
            raise AllWrittenError
        placed = self.rotation.placed(layer, query)
        if blocks is None:
            seen = memory[0][:, :, :end], memory[1][:, :, :end]
            return attend(placed, [seen], self._visible(first, [range(end)]), options)
        stretches = [range(start), range(start, end)] if start else [range(end)]
        parts = [(memory[0][:, :, one.start : one.stop], memory[1][:, :, one.start : one.stop]) for one in stretches]
        turned = self.rotation.turned(layer, query)
        behind = blocks.memory(layer), blocks.stretches, placed, parts, self._visible(first, stretches), options
        return attend_behind(turned, *behind)

    def _visible(self, first: int, stretches: Sequence[range]) -> Visibility:
        """All of the stretches, places in a memory that begins at position `first`, and the last of them causally."""
        if first not in self._seen:
            runs = [range(first + one.start, first + one.stop) for one in stretches]
            parts = [*(Part(run, ALL) for run in runs[:-1]), Part(runs[-1], CAUSAL)]
            self._seen[first] = Visibility(range(self.start, runs[-1].stop), tuple(parts))
        return self._seen[first]
