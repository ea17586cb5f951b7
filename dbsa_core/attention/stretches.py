"""Attention over stretches of one long memory, read where they stand: each by a query of its own, seen whole.

Knows nothing about blocks or RoPE. A stretch's query is the same query rotated for the stretch's keys; the results
are merged by log-sum-exp, so that they are one softmax over all stretches and whatever else is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from dbsa_core.attention.partial import Partial
from dbsa_core.attention.sdpa import knows_flash
from dbsa_core.attention.visibility import ALL

if TYPE_CHECKING:
    from dbsa_core.attention import Attention, LayerOptions


@dataclass(frozen=True, eq=False)
class Stretches:
    """Which parts of a memory are read, the same in every layer."""

    spans: tuple[tuple[int, int], ...]
    """(start, end) of each, in any order; they may overlap."""
    device: torch.device

    def __len__(self) -> int:
        return len(self.spans)

    @cached_property
    def longest(self) -> int:
        """Tokens."""
        return max(end - start for start, end in self.spans)

    @cached_property
    def begins(self) -> torch.Tensor:
        """int32 [stretches + 1], as the kernel takes them: it reads one more than there are."""
        return torch.tensor([*(start for start, _ in self.spans), 0], dtype=torch.int32, device=self.device)

    @cached_property
    def lengths(self) -> torch.Tensor:
        """int32 [stretches]."""
        return torch.tensor([end - start for start, end in self.spans], dtype=torch.int32, device=self.device)


def stretches_attention(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    stretches: Stretches,
    options: LayerOptions,
    attention: Attention,
) -> Partial:
    """One query [stretches, heads, tokens, head_dim] for each stretch of keys and values [memory, kv_heads, head_dim].

    The result is of the queries' shape, with its log-sum-exp. In half precision on CUDA all stretches are read by one
    kernel; `attention` serves elsewhere, stretch by stretch.
    """
    if knows_flash(queries):
        return _by_one_kernel(queries, keys, values, stretches, options.scaling)
    found = []
    for query, (start, end) in zip(queries, stretches.spans, strict=True):
        key, value = (memory[None, start:end].transpose(1, 2) for memory in (keys, values))
        found.append(attention(query[None], key, value, ALL, options, log_sum_exp=True))
    sums = [part.log_sum_exp for part in found if part.log_sum_exp is not None]
    return Partial(torch.cat([part.output for part in found]), torch.cat(sums))


def _by_one_kernel(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, stretches: Stretches, scaling: float
) -> Partial:
    """Flash attention of variable lengths, whose keys are told by where they begin and how many there are. The query
    heads of a key head are further rows: nothing is masked, and a stretch is read once for all of them."""
    count, heads, tokens, head_dim = queries.shape
    kv_heads = keys.shape[1]
    each = tokens * heads // kv_heads
    rows = queries.reshape(count, kv_heads, each, head_dim).transpose(1, 2).reshape(-1, kv_heads, head_dim)
    edges = torch.arange(0, (count + 1) * each, each, dtype=torch.int32, device=queries.device)
    output, sums = torch.ops.aten._flash_attention_forward(
        rows,
        keys,
        values,
        edges,
        stretches.begins,
        each,
        stretches.longest,
        0.0,
        False,
        False,
        scale=scaling,
        seqused_k=stretches.lengths,
    )[:2]
    output = output.view(count, each, kv_heads, head_dim).transpose(1, 2).reshape(queries.shape)
    return Partial(output, sums.view(kv_heads, count, each).transpose(0, 1).reshape(count, heads, tokens))
