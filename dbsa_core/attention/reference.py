"""Attention written out: the oracle of the fast paths, and the path of layers that those lack.

Knows nothing about devices; scores and softmax are computed in float32, or in the inputs' type where that is wider.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from dbsa_core.attention.partial import Partial
from dbsa_core.attention.visibility import Sees

if TYPE_CHECKING:
    from dbsa_core.attention import LayerOptions

TILE_SCORES = 2**25
"""Scores that are in memory at a time, those of all heads: some 130 MB in float32."""


def attention_scores(query: torch.Tensor, key: torch.Tensor, options: LayerOptions) -> torch.Tensor:
    """What the softmax is taken of, before any mask: [batch, heads, tokens, keys] from queries [batch, heads, tokens,
    head_dim] and keys [batch, kv_heads, keys, head_dim]. Query head h reads key head `h // (heads // kv_heads)`."""
    batch, heads, tokens, head_dim = query.shape
    kv_heads, keys = key.shape[1:3]
    wide = torch.promote_types(query.dtype, torch.float32)
    grouped = query.reshape(batch, kv_heads, -1, head_dim).to(wide)
    scores = (grouped @ key.to(wide).transpose(2, 3)).view(batch, heads, tokens, keys) * options.scaling
    if options.softcap is not None:
        scores = options.softcap * torch.tanh(scores / options.softcap)
    return scores


def probabilities_of(scores: torch.Tensor, options: LayerOptions) -> torch.Tensor:
    """Softmax over the keys [batch, heads, tokens, keys], the layer's sink scores taking their share."""
    return _with_sinks(scores, options).softmax(-1)[..., : scores.shape[-1]]


def reference_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    sees: Sees,
    options: LayerOptions,
    *,
    log_sum_exp: bool = False,
) -> Partial:
    """The same as `sdpa_attention`, for every option; in tiles of rows, for scores are written out."""
    heads, tokens, keys = query.shape[1], query.shape[2], key.shape[2]
    size = max(1, TILE_SCORES // max(1, heads * keys))
    outputs, sums = [], []
    for start in range(0, tokens, size):
        end = min(tokens, start + size)
        scores = attention_scores(query[:, :, start:end], key, options)
        if sees.allowed is not None:
            scores = scores.masked_fill(~sees.allowed[start:end], -torch.inf)
        elif sees.causal:
            seen = torch.ones_like(scores[0, 0], dtype=torch.bool).tril(keys - tokens + start)
            scores = scores.masked_fill(~seen, -torch.inf)
        weights = probabilities_of(scores, options).to(value.dtype)
        grouped = weights.reshape(len(weights), value.shape[1], -1, keys)
        outputs.append((grouped @ value).view(len(weights), heads, end - start, -1))
        if log_sum_exp:
            sums.append(_with_sinks(scores, options).logsumexp(-1))
    return Partial(torch.cat(outputs, dim=2), torch.cat(sums, dim=2) if sums else None)


def _with_sinks(scores: torch.Tensor, options: LayerOptions) -> torch.Tensor:
    """The scores, the layer's sink scores behind them as one more column where it has some."""
    if options.sinks is None:
        return scores
    sinks = options.sinks.to(scores.dtype).view(1, -1, 1, 1).expand(*scores.shape[:3], 1)
    return torch.cat([scores, sinks], dim=-1)
