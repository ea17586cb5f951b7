"""Attention over parts of the keys, and the parts made one by their log-sum-exp.

Knows nothing about which keys the parts hold. The weights of the parts are e to the power of their log-sum-exp, so the
result is that of one softmax over all keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class Partial:
    """Attention over some of the keys that the queries see, or over several such sets, each an entry of the batch."""

    output: torch.Tensor
    """[batch, heads, tokens, head_dim]."""
    log_sum_exp: torch.Tensor | None = None
    """[batch, heads, tokens], natural, of the scaled scores, in float32 or wider; None where nobody asked for it."""


def merge(parts: Sequence[Partial]) -> torch.Tensor:
    """The attention over all parts' keys [batch, heads, tokens, head_dim], merged in float32 or wider."""
    dtype, (first, *others) = parts[0].output.dtype, parts
    assert first.log_sum_exp is not None
    output, total = first.output.to(first.log_sum_exp.dtype), first.log_sum_exp
    for number, part in enumerate(others, start=1):
        assert part.log_sum_exp is not None
        share = torch.sigmoid(part.log_sum_exp - total)  # of this part, of what is merged so far and it
        output = torch.lerp(output, part.output.to(output.dtype), share[..., None])
        if number < len(others):
            total = torch.logaddexp(total, part.log_sum_exp)
    return output.to(dtype)


def merge_entries(entries: Partial, others: Sequence[Partial]) -> torch.Tensor:
    """The same [1, heads, tokens, head_dim] where the entries of a batch are parts too."""
    parts = [entries, *others]
    shares = torch.cat([part.log_sum_exp for part in parts if part.log_sum_exp is not None]).softmax(0)[..., None]
    outputs = [output for part in parts for output in part.output]
    total = torch.zeros_like(outputs[0], dtype=shares.dtype)
    for output, share in zip(outputs, shares, strict=True):  # one by one: all of them in float32 would be large
        total.addcmul_(output.to(shares.dtype), share)
    return total[None].to(outputs[0].dtype)
