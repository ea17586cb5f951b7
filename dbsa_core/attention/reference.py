"""Attention written out: the oracle of the fast paths, and the path of layers that those lack.

Knows nothing about devices; scores and softmax are computed in float32, or in the inputs' type where that is wider.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from dbsa_core.attention import LayerOptions


def attention_probabilities(
    query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, options: LayerOptions, *, causal: bool = False
) -> torch.Tensor:
    """Softmax of the scores: [batch, heads, tokens, keys] from queries [batch, heads, tokens, head_dim] and keys
    [batch, kv_heads, keys, head_dim]. Query head h reads key head `h // (heads // kv_heads)`."""
    batch, heads, tokens, head_dim = query.shape
    kv_heads, keys = key.shape[1:3]
    wide = torch.promote_types(query.dtype, torch.float32)
    grouped = query.reshape(batch, kv_heads, -1, head_dim).to(wide)
    scores = (grouped @ key.to(wide).transpose(2, 3)).view(batch, heads, tokens, keys) * options.scaling
    if options.softcap is not None:
        scores = options.softcap * torch.tanh(scores / options.softcap)
    if mask is not None:
        scores = scores + mask
    if causal:
        scores = scores.masked_fill(~torch.ones_like(scores[0, 0], dtype=torch.bool).tril(keys - tokens), -torch.inf)
    if options.sinks is not None:
        sink = options.sinks.to(wide).view(1, heads, 1, 1).expand(batch, heads, tokens, 1)
        return torch.cat([scores, sink], dim=-1).softmax(-1)[..., :-1]
    return scores.softmax(-1)


def reference_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    options: LayerOptions,
    *,
    causal: bool = False,
) -> torch.Tensor:
    """The same as `sdpa_attention`, for every option; memory grows with tokens x keys."""
    probabilities = attention_probabilities(query, key, mask, options, causal=causal).to(value.dtype)
    batch, heads, tokens, keys = probabilities.shape
    grouped = probabilities.reshape(batch, value.shape[1], -1, keys)
    return (grouped @ value).view(batch, heads, tokens, -1)
