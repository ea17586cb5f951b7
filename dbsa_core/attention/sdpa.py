"""Attention by `torch.nn.functional.scaled_dot_product_attention`.

Knows nothing about softcaps: a layer that has one goes to the reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from dbsa_core.attention import LayerOptions


def knows_causal(query: torch.Tensor, keys: int) -> bool:
    """Whether SDPA masks causally by itself, without a mask in memory: a square, or on CUDA a half-precision query of
    the last tokens, whose flash kernel counts from the bottom right."""
    half = query.dtype in (torch.float16, torch.bfloat16)
    return query.shape[2] == keys or (query.device.type == "cuda" and half)


def sdpa_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    options: LayerOptions,
    *,
    causal: bool = False,
) -> torch.Tensor:
    """Queries [batch, heads, tokens, head_dim], keys and values [batch, kv_heads, keys, head_dim]; GQA is SDPA's own.
    `causal` is for what `knows_causal`."""
    if causal and query.shape[2] != key.shape[2]:
        mask, causal = causal_lower_right(query.shape[2], key.shape[2]), False
    return scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        is_causal=causal,
        scale=options.scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
