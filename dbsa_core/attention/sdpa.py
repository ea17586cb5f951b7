"""Attention by the kernels of `torch.nn.functional.scaled_dot_product_attention`, with their log-sum-exp where it is
asked for.

Knows nothing about softcaps: a layer that has one goes to the reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import _disable_current_modes

from dbsa_core.attention.partial import Partial
from dbsa_core.attention.visibility import Sees
from dbsa_core.devices import Kernels, policy_for

if TYPE_CHECKING:
    from dbsa_core.attention import LayerOptions

HALF = (torch.float16, torch.bfloat16)
HEAD_MULTIPLE = 8
"""CUDA's kernels take heads of so many numbers, or a multiple; SDPA pads others, the kernels by themselves do not."""
LARGEST_HEAD = 256
"""Of CUDA's flash kernel."""
FOLDED_MASK = 2**22
"""Numbers of a mask that is repeated for each query head of a key head."""


def knows_causal(query: torch.Tensor, keys: int) -> bool:
    """Whether SDPA masks causally by itself, without a mask in memory: a square, or on CUDA a half-precision query of
    the last tokens, whose flash kernel counts from the bottom right."""
    if query.shape[2] == keys:
        return True
    return policy_for(query.device).kernels is Kernels.CUDA and query.dtype in HALF


def knows_log_sum_exp(query: torch.Tensor) -> bool:
    """Whether a kernel of this device returns the log-sum-exp for queries of this type and head size."""
    if policy_for(query.device).kernels is Kernels.CPU:
        return hasattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu")
    return knows_efficient(query)


def knows_flash(query: torch.Tensor) -> bool:
    """Whether CUDA's flash kernel takes queries of this type and head size."""
    return knows_efficient(query) and query.dtype in HALF and query.shape[-1] <= LARGEST_HEAD


def knows_efficient(query: torch.Tensor) -> bool:
    """Whether CUDA's memory-efficient kernel takes queries of this type and head size."""
    cuda = policy_for(query.device).kernels is Kernels.CUDA
    return cuda and query.dtype in (*HALF, torch.float32) and query.shape[-1] % HEAD_MULTIPLE == 0


def sdpa_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    sees: Sees,
    options: LayerOptions,
    *,
    log_sum_exp: bool = False,
) -> Partial:
    """Queries [batch, heads, tokens, head_dim], keys and values [batch, kv_heads, keys, head_dim]; GQA is SDPA's own.

    Causal attention is for what `knows_causal`, the log-sum-exp for what `knows_log_sum_exp`, and a square where it is
    causal.
    """
    if log_sum_exp:
        return _with_log_sum_exp(query, key, value, sees, options.scaling)
    group = _folded(query, key, sees)
    mask, causal = sees.additive(query.dtype, group), sees.causal
    if causal and query.shape[2] != key.shape[2]:
        with _disable_current_modes():  # it is no tensor to count, and cannot be made where tensors are counted
            mask, causal = causal_lower_right(query.shape[2], key.shape[2]), False
    batch, heads, tokens, head_dim = query.shape
    output = scaled_dot_product_attention(
        query if group == 1 else query.reshape(batch, heads // group, group * tokens, head_dim),
        key,
        value,
        attn_mask=mask,
        is_causal=causal,
        scale=options.scaling,
        enable_gqa=heads // group != key.shape[1],
    )
    return Partial(output if group == 1 else output.reshape(query.shape))


def _folded(query: torch.Tensor, key: torch.Tensor, sees: Sees) -> int:
    """How many query heads of a key head are made further rows of one: all on a CPU, whose kernel takes more rows at a
    time then and reads keys without a copy for each head; one where a mask would grow too large."""
    group = query.shape[1] // key.shape[1]
    if sees.causal:
        return 1
    return mask_rows(group, 0 if sees.allowed is None else query.shape[2] * key.shape[2], query.device)


def mask_rows(group: int, numbers: int, device: torch.device) -> int:
    """How many times a mask of so many numbers is written for the `group` query heads of a key head."""
    folds = policy_for(device).kernels is Kernels.CPU and group * numbers <= FOLDED_MASK
    return group if folds else 1


def _with_log_sum_exp(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, sees: Sees, scaling: float
) -> Partial:
    """GQA without a copy of keys: unmasked, the query heads of a key head are further rows, read against the keys once;
    else every key head is an entry of the batch, and its query heads are the heads."""
    batch, heads, tokens, head_dim = query.shape
    kv_heads = key.shape[1]
    if sees.allowed is None and not sees.causal:
        rows = query.reshape(batch, kv_heads, -1, head_dim)
    else:
        rows = query.reshape(batch * kv_heads, -1, tokens, head_dim)
        key, value = (
            part.reshape(batch * kv_heads, 1, -1, head_dim).expand(-1, rows.shape[1], -1, -1) for part in (key, value)
        )
    run = _on_cpu if policy_for(query.device).kernels is Kernels.CPU else _on_cuda
    output, sums = run(rows, key, value, sees, scaling)
    return Partial(output.reshape(query.shape), sums.reshape(batch, heads, tokens))


def _on_cpu(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, sees: Sees, scaling: float
) -> tuple[torch.Tensor, torch.Tensor]:
    found: tuple[torch.Tensor, torch.Tensor] = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, sees.causal, attn_mask=sees.additive(query.dtype), scale=scaling
    )
    return found


def _on_cuda(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, sees: Sees, scaling: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Flash in half precision without a mask, else the memory-efficient kernel, whose log-sum-exp is padded."""
    mask = sees.additive(query.dtype)
    if mask is None and knows_flash(query):
        found = torch.ops.aten._scaled_dot_product_flash_attention(
            query, key, value, 0.0, sees.causal, False, scale=scaling
        )
        return found[0], found[1]
    bias = None if mask is None else mask.expand(*query.shape[:2], -1, -1)
    found = torch.ops.aten._scaled_dot_product_efficient_attention(
        query, key, value, bias, True, 0.0, sees.causal, scale=scaling
    )
    return found[0], found[1][..., : query.shape[2]]
