"""Attention over stretches of one long memory, read where they stand: each by a query of its own, seen whole.

Knows nothing about blocks or RoPE. A stretch's query is the same query rotated for the stretch's keys; the results
are merged by log-sum-exp, so that they are one softmax over all stretches and whatever else is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import torch

from dbsa_core.attention.partial import Partial
from dbsa_core.attention.sdpa import knows_flash
from dbsa_core.attention.visibility import ALL
from dbsa_core.layer_memory import LayerMemory

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
    def places(self) -> torch.Tensor:
        """int64 [tokens], of all tokens, one stretch behind the other."""
        return torch.cat([torch.arange(*span, device=self.device) for span in self.spans])

    @cached_property
    def together(self) -> Stretches:
        """The same where they stand one behind the other."""
        edges = accumulate((end - start for start, end in self.spans), initial=0)
        return Stretches(tuple(pairwise(edges)), self.device)

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
    memory: LayerMemory,
    stretches: Stretches,
    options: LayerOptions,
    attention: Attention,
) -> Partial:
    """One query [stretches, heads, tokens, head_dim] for each stretch of a memory. What is int8 is copied before it is
    read.

    The result is of the queries' shape, with its log-sum-exp. In half precision on CUDA all stretches are read by one
    kernel; `attention` serves elsewhere, stretch by stretch.
    """
    keys, values = memory.keys, memory.values
    if memory.scales:
        keys, values = memory.read(stretches.places, queries.dtype)
        stretches = stretches.together
    if knows_flash(queries):
        return _by_one_kernel(queries, keys, values, stretches, options.scaling)
    found = []
    for query, (start, end) in zip(queries, stretches.spans, strict=True):
        key, value = (states[None, start:end].transpose(1, 2) for states in (keys, values))
        found.append(attention(query[None], key, value, ALL, options, log_sum_exp=True))
    sums = [part.log_sum_exp for part in found if part.log_sum_exp is not None]
    return Partial(torch.cat([part.output for part in found]), torch.cat(sums))


def _by_one_kernel(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, stretches: Stretches, scaling: float
) -> Partial:
    """Flash attention of variable lengths: keys are told by where they begin and how many there are, so they may stand
    anywhere."""
    each = queries.shape[2] * queries.shape[1] // keys.shape[1]
    edges = torch.arange(0, (len(stretches) + 1) * each, each, dtype=torch.int32, device=queries.device)
    output, sums, *_ = torch.ops.aten._flash_attention_forward(
        as_rows(queries, keys.shape[1]),
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
    )
    return Partial(*of_rows(output, sums, len(queries), queries.shape[1]))


def as_rows(queries: torch.Tensor, kv_heads: int) -> torch.Tensor:
    """Queries [stretches, heads, tokens, head_dim] as rows of all stretches [rows, kv_heads, head_dim]. The query heads
    of a key head are further rows: nothing is masked, so a stretch is read once for all of them."""
    return queries.reshape(len(queries), kv_heads, -1, queries.shape[3]).transpose(1, 2).flatten(0, 1)


def of_rows(output: torch.Tensor, sums: torch.Tensor, stretches: int, heads: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The inverse for rows' output and their log-sum-exp [kv_heads, rows]: [stretches, heads, tokens, ...]."""
    kv_heads, head_dim = output.shape[1:]
    tokens = output.shape[0] * kv_heads // (stretches * heads)
    by_head = output.view(stretches, -1, kv_heads, head_dim).transpose(1, 2)
    return (
        by_head.reshape(stretches, heads, tokens, head_dim),
        sums.view(kv_heads, stretches, -1).transpose(0, 1).reshape(stretches, heads, tokens),
    )
