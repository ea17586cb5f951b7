"""The attention of a query step as one operator that a compiler and a CUDA graph take whole, with a plain twin.

Knows nothing about models. Which stretches are read is told by tensors, so that a graph that was captured once serves
every choice; where there is no kernel for a type or device, the twin loops over them on the host.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import torch

from dbsa_core.attention import LayerOptions
from dbsa_core.attention.partial import merge
from dbsa_core.attention.reference import reference_attention
from dbsa_core.attention.sdpa import HALF, LARGEST_HEAD
from dbsa_core.attention.visibility import ALL, Sees
from dbsa_core.devices import Kernels, policy_for
from dbsa_core.layer_memory import LayerMemory


@torch.library.custom_op("dbsa::query_attention", mutates_args=())
def query_attention_op(
    query: torch.Tensor,
    partner: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    edges: torch.Tensor,
    seen: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    scales: Sequence[torch.Tensor],
    cos: torch.Tensor,
    sin: torch.Tensor,
    begins: torch.Tensor,
    lengths: torch.Tensor,
    count: torch.Tensor,
    scaling: float,
) -> torch.Tensor:
    """One softmax of new tokens over one another, and over stretches of a memory that all of them see whole; for one or
    more queries, side by side, each by itself.

    `query` and `partner` [1, heads, tokens, head_dim], float32 or wider, are rotated for what the tokens see of one
    another; `key` and `value` [1, kv_heads, tokens, head_dim] are the tokens' own. Those of query q are the tokens
    edges[q]..edges[q + 1], edges [queries + 1]; bool `seen` [queries, most, most] says which of its tokens each of them
    sees, `most` being the most that a query has. `keys`, `values` and `scales` are a `LayerMemory`, read from
    begins[q, i] on, lengths[q, i] of them, for the first count[q] stretches, [queries, stretches] and [queries]; they
    are asked by `query * cos[q, i] + partner * sin[q, i]`, both [queries, stretches, head_dim]. Integers are int32.
    Queries are rounded to the keys' type when they are turned.

    Returns [1, tokens, heads, head_dim] in the keys' type. What no stretch names may hold anything.
    """
    if has_kernel(key):
        from dbsa_core.attention import query_kernels

        return query_kernels.run_attention(
            query, partner, key, value, edges, seen, keys, values, scales, cos, sin, begins, lengths, count, scaling
        )
    options, memory, found = LayerOptions(scaling), LayerMemory(keys, values, tuple(scales)), []
    for q, (start, end) in enumerate(pairwise(edges.tolist())):
        asks, swapped, own, held = (one[:, :, start:end] for one in (query, partner, key, value))
        parts = []
        for stretch in range(int(count[q])):
            turned = (asks * cos[q, stretch] + swapped * sin[q, stretch]).to(key.dtype)
            first, tokens = int(begins[q, stretch]), int(lengths[q, stretch])
            states = memory.read(slice(first, first + tokens), key.dtype)
            read, holds = (one[None].transpose(1, 2) for one in states)
            parts.append(reference_attention(turned, read, holds, ALL, options, log_sum_exp=True))
        sees = Sees(seen[q, : end - start, : end - start])
        parts.append(reference_attention(asks.to(key.dtype), own, held, sees, options, log_sum_exp=True))
        found.append(merge(parts))
    return torch.cat(found, dim=2).transpose(1, 2).contiguous()


@query_attention_op.register_fake
def _(query: torch.Tensor, partner: torch.Tensor, key: torch.Tensor, *_: Any) -> torch.Tensor:
    return key.new_empty((1, query.shape[2], query.shape[1], query.shape[3]))


def has_kernel(states: torch.Tensor) -> bool:
    """Whether there is a kernel for new keys of this device, type and head size; what they meet may be int8."""
    cuda = policy_for(states.device).kernels is Kernels.CUDA and _triton_found()
    return cuda and states.dtype in HALF and states.shape[-1] <= LARGEST_HEAD


@cache
def _triton_found() -> bool:
    return importlib.util.find_spec("triton") is not None
