"""Dense causal encoding of tokens behind a context: what Fixed ICL does once, and what long prompts begin with.

Knows nothing about demonstrations or queries.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dbsa_core.model.language_model import LanguageModel
from dbsa_core.model.memory import free_memory
from dbsa_core.stage2.context import Context, QueryStage

PART_TOKENS = 4096
"""Tokens of one forward: activations stay bounded, however long the prompt."""
WHOLE_TOKENS = 32_768
"""On CUDA a prompt of up to so many tokens with nothing before it goes in one forward where memory allows it: SDPA's
kernel for a causal square is almost twice as fast as that for queries behind earlier keys."""
MEMORY_SHARE = 0.5
"""Of the free memory, what the activations of such a prompt may take."""


def tokens_at_once(context: Context, tokens: int) -> int:
    """How many tokens of a dense prompt of `tokens` go through the model in one forward."""
    model = context.model
    whole = model.device.type == "cuda" and context.length == 0 and tokens <= WHOLE_TOKENS
    if whole and tokens * _bytes_per_token(model) <= MEMORY_SHARE * free_memory(model.device):
        return tokens
    return PART_TOKENS


def _bytes_per_token(model: LanguageModel) -> int:
    """Of a layer's activations, roughly: three as wide as the MLP, and eight as the model."""
    config = model.model.config.get_text_config()
    widest = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    return int(3 * widest + 8 * config.hidden_size) * model.shape.dtype.itemsize


def prefill(context: Context, token_ids: Sequence[int], part_tokens: int | None = None) -> Context:
    """Run `token_ids` behind `context` and make them part of it; no logits are computed. Returns the grown context.

    `part_tokens` go through the model in one forward; by default as many as `tokens_at_once` says.
    """
    context = context.with_room(len(token_ids))
    model, cache = context.model, context.cache()
    at_once = part_tokens or tokens_at_once(context, len(token_ids))
    for start in range(0, len(token_ids), at_once):
        part = token_ids[start : start + at_once]
        before = context.length + start
        positions = torch.arange(before + len(part), device=model.device)
        stage = QueryStage(positions, None, causal_rows=len(part))
        model.run(model.ids(part), positions[before:], stage, rope_length=context.rope_length, cache=cache)
    context.length += len(token_ids)
    return context
