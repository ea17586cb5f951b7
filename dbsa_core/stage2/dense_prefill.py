"""Dense causal encoding of tokens behind a prefix: what Fixed ICL does once, and what long prompts begin with.

Knows nothing about demonstrations or queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from dbsa_core.attention import LayerOptions, Visibility, attend
from dbsa_core.devices import free_memory, policy_for
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.stage2.prefix import Prefix, reserve

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
    model, before = prefix.model, prefix.length
    with torch.inference_mode():
        keys, values = reserve(model, before + len(token_ids))
        keys[:, :, :before], values[:, :, :before] = prefix.keys, prefix.values
    at_once = part_tokens or tokens_at_once(prefix, len(token_ids))
    for start in range(0, len(token_ids), at_once):
        part = token_ids[start : start + at_once]
        positions = torch.arange(before + start, before + start + len(part), device=model.device)
        stage = _PrefillStage(keys, values, before + start, Visibility.causal(len(part), before + start + len(part)))
        model.run(model.ids(part), positions, stage, rope_length=prefix.rope_length)
    return replace(prefix, keys=keys, values=values)


@dataclass(frozen=True, eq=False)
class _PrefillStage:
    """Causal attention behind everything that was run before, which stands in the same memory."""

    keys: torch.Tensor
    values: torch.Tensor
    """[layers, kv_heads, capacity, head_dim]; the tokens of this forward are written from `start` on."""
    start: int
    visibility: Visibility

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: LayerOptions
    ) -> torch.Tensor:
        end = self.start + key.shape[2]
        self.keys[layer, :, self.start : end], self.values[layer, :, self.start : end] = key[0], value[0]
        seen = self.keys[layer, None, :, :end], self.values[layer, None, :, :end]
        return attend(query, [seen], self.visibility, options)
