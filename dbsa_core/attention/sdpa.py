"""Attention by `torch.nn.functional.scaled_dot_product_attention`.

Knows nothing about softcaps: a layer that has one goes to the reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from dbsa_core.attention import LayerOptions


def sdpa_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    options: LayerOptions,
    *,
    causal: bool = False,
) -> torch.Tensor:
    """Queries [batch, heads, tokens, head_dim], keys and values [batch, kv_heads, keys, head_dim]; GQA is
    SDPA's own."""
    return scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        is_causal=causal,
        scale=options.scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
