"""The kernels of a query step as operators that a compiler and a CUDA graph take whole, with plain twins.

Knows nothing about models. Which stretches are read is told by tensors, so that a graph that was captured once serves
every choice; where there is no kernel for a type or device, the twins loop over them on the host.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch

from dbsa_core.attention.partial import Partial, merge_entries
from dbsa_core.attention.reference import reference_attention
from dbsa_core.attention.sdpa import knows_efficient, knows_flash
from dbsa_core.attention.stretches import as_rows, flash_stretches, of_rows
from dbsa_core.attention.visibility import ALL, Sees
from dbsa_core.devices import Kernels, policy_for

if TYPE_CHECKING:
    from dbsa_core.attention import LayerOptions


@torch.library.custom_op("dbsa::stretches", mutates_args=())
def stretches_op(
    rows: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    edges: torch.Tensor,
    begins: torch.Tensor,
    lengths: torch.Tensor,
    max_rows: int,
    max_keys: int,
    scaling: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows edges[i]..edges[i + 1] of `rows` [rows, kv_heads, head_dim] over the keys and values [tokens, kv_heads,
    head_dim] from begins[i] on, lengths[i] of them; `edges` and `begins` have one entry more, all int32.

    Returns the output in the shape of the rows, and the log-sum-exp, float32 [kv_heads, rows]. Rows of no stretch are
    left as memory was.
    """
    if knows_flash(rows):
        return flash_stretches(rows, keys, values, edges, begins, lengths, max_rows, max_keys, scaling)
    output = torch.full_like(rows, torch.nan)
    sums = torch.full((rows.shape[1], rows.shape[0]), torch.nan, dtype=_wide(rows), device=rows.device)
    for (a, b), first, count in zip(pairwise(edges.tolist()), begins.tolist(), lengths.tolist(), strict=False):
        if a < b:
            key, value = (memory[None, first : first + count].transpose(1, 2) for memory in (keys, values))
            query = rows[None, a:b].transpose(1, 2)
            found = reference_attention(query, key, value, ALL, _plain(scaling), log_sum_exp=True)
            assert found.log_sum_exp is not None
            output[a:b], sums[:, a:b] = found.output[0].transpose(0, 1), found.log_sum_exp[0]
    return output, sums


@stretches_op.register_fake
def _(rows: torch.Tensor, *_: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.empty_like(rows), rows.new_empty((rows.shape[1], rows.shape[0]), dtype=_wide(rows))


@torch.library.custom_op("dbsa::biased", mutates_args=())
def biased_op(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor, scaling: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries, keys and values [1, heads, tokens, head_dim] under a bias [tokens, tokens] on the scores, 0 or -inf.

    Returns the output [1, heads, tokens, head_dim] and the log-sum-exp, float32 [1, heads, tokens].
    """
    if knows_efficient(query):
        output, sums = torch.ops.aten._scaled_dot_product_efficient_attention(
            query, key, value, bias.expand(1, query.shape[1], -1, -1), True, 0.0, False, scale=scaling
        )[:2]
        return output.contiguous(), sums[..., : query.shape[2]].contiguous()  # its log-sum-exp is padded
    found = reference_attention(query, key, value, Sees(bias == 0), _plain(scaling), log_sum_exp=True)
    assert found.log_sum_exp is not None
    return found.output, found.log_sum_exp


@biased_op.register_fake
def _(query: torch.Tensor, *_: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return query.new_empty(query.shape), query.new_empty(query.shape[:3], dtype=_wide(query))


def _wide(states: torch.Tensor) -> torch.dtype:
    return torch.promote_types(states.dtype, torch.float32)


def _plain(scaling: float) -> LayerOptions:
    from dbsa_core.attention import LayerOptions  # the package imports this module

    return LayerOptions(scaling)


@torch.library.custom_op("dbsa::turned_rows", mutates_args=())
def turned_rows_op(
    query: torch.Tensor,
    partner: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    count: torch.Tensor,
    kv_heads: int,
) -> torch.Tensor:
    """`query * cos + partner * sin` for each of the first `count` stretches, as rows [rows, kv_heads, head_dim].

    Query and partner [1, heads, tokens, head_dim], cos and sin float32 [stretches, tokens, head_dim], count int32 [1].
    Rows of further stretches are left as memory was.
    """
    if has_triton(query):
        from dbsa_core.attention import triton_kernels

        return triton_kernels.turned_rows(query, partner, cos, sin, count, _empty_rows(query, cos, kv_heads))
    turned = query.to(cos.dtype) * cos[:, None] + partner.to(cos.dtype) * sin[:, None]
    turned[int(count) :] = torch.nan
    return as_rows(turned.to(query.dtype), kv_heads).contiguous()


@turned_rows_op.register_fake
def _(
    query: torch.Tensor,
    partner: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    count: torch.Tensor,
    kv_heads: int,
) -> torch.Tensor:
    return _empty_rows(query, cos, kv_heads)


def _empty_rows(query: torch.Tensor, cos: torch.Tensor, kv_heads: int) -> torch.Tensor:
    _, heads, tokens, head_dim = query.shape
    return query.new_empty((cos.shape[0] * heads * tokens // kv_heads, kv_heads, head_dim))


@torch.library.custom_op("dbsa::merged_rows", mutates_args=())
def merged_rows_op(
    output: torch.Tensor, sums: torch.Tensor, own: torch.Tensor, own_sums: torch.Tensor, count: torch.Tensor
) -> torch.Tensor:
    """The first `count` stretches' rows [rows, kv_heads, head_dim] with log-sum-exp [kv_heads, rows], and the tokens'
    own part [1, heads, tokens, head_dim] with [1, heads, tokens], made one: [1, tokens, heads, head_dim]."""
    heads, tokens = own.shape[1:3]
    if has_triton(own):
        from dbsa_core.attention import triton_kernels

        made = own.new_empty(1, tokens, heads, own.shape[3])
        return triton_kernels.merged_rows(output, sums, own, own_sums, count, made)
    stretches, used = output.shape[0] * output.shape[1] // (heads * tokens), int(count)
    entries = Partial(*(part[:used] for part in of_rows(output, sums, stretches, heads)))
    return merge_entries(entries, [Partial(own, own_sums)]).transpose(1, 2).contiguous()


@merged_rows_op.register_fake
def _(output: torch.Tensor, sums: torch.Tensor, own: torch.Tensor, *_: Any) -> torch.Tensor:
    return own.new_empty((1, own.shape[2], own.shape[1], own.shape[3]))


def has_triton(states: torch.Tensor) -> bool:
    """Whether there are kernels of our own for this device."""
    return policy_for(states.device).kernels is Kernels.CUDA and _triton_found()


@cache
def _triton_found() -> bool:
    return importlib.util.find_spec("triton") is not None


__all__ = ["biased_op", "has_triton", "merged_rows_op", "stretches_op", "turned_rows_op"]
