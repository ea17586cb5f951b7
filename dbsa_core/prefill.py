"""Dense causal encoding of tokens behind a context: what Fixed ICL does once.

Knows nothing about demonstrations or queries.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dbsa_core.assemble import Context, QueryStage
from dbsa_core.attention.visibility import causal_tail

CHUNK_TOKENS = 4096
"""Tokens in one forward: activations stay bounded; the first forward needs no mask."""


def prefill(context: Context, token_ids: Sequence[int], chunk_tokens: int = CHUNK_TOKENS) -> Context:
    """Run `token_ids` behind `context` and make them part of it; no logits are computed. Returns the grown context."""
    context = context.with_room(len(token_ids))
    model, cache = context.model, context.cache()
    for start in range(0, len(token_ids), chunk_tokens):
        part = token_ids[start : start + chunk_tokens]
        before = context.length + start
        positions = torch.arange(before + len(part), device=model.device)
        causal = len(part) if before == 0 else 0
        visible = causal_tail(len(part) - causal, len(positions), model.device)
        stage = QueryStage(positions, visible, causal)
        model.run(model.ids(part), positions[before:], stage, rope_length=context.rope_length, cache=cache)
    context.length += len(token_ids)
    return context
