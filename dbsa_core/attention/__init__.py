"""Attention over one set of queries and keys, by the fastest exact way that a layer allows.

Knows nothing about blocks or caches. What is visible comes in as structure (`Visibility`), never as a ready mask of all
keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from dbsa_core.attention.causal import Masks, causal_attention
from dbsa_core.attention.partial import Partial, merge
from dbsa_core.attention.parts import KeysAndValues, attend, attend_behind, choose
from dbsa_core.attention.reference import reference_attention
from dbsa_core.attention.sdpa import sdpa_attention
from dbsa_core.attention.stretches import Stretches
from dbsa_core.attention.visibility import ALL, CAUSAL, Part, Sees, Visibility


@dataclass(frozen=True)
class LayerOptions:
    """What a layer of stock transformers asks of its attention function, taken from the call itself."""

    scaling: float
    """Factor on the scores, usually `head_dim ** -0.5`."""
    sliding_window: int | None = None
    """A query sees keys at positions less than this before its own; None: all."""
    softcap: float | None = None
    """Scores become `softcap * tanh(scores / softcap)` (Gemma 2)."""
    sinks: torch.Tensor | None = None
    """One learnt score per head [heads] that takes part in the softmax without a value (gpt-oss)."""

    @property
    def plain(self) -> bool:
        """Whether it is a softmax over all keys, and nothing else."""
        return self.sliding_window is None and self.softcap is None and self.sinks is None


class Attention(Protocol):
    """One set of queries over one set of keys, of which they see what `sees` says; the window of `options` is the
    caller's."""

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        sees: Sees,
        options: LayerOptions,
        *,
        log_sum_exp: bool = False,
    ) -> Partial: ...


__all__ = [
    "ALL",
    "CAUSAL",
    "Attention",
    "KeysAndValues",
    "LayerOptions",
    "Masks",
    "Part",
    "Partial",
    "Sees",
    "Stretches",
    "Visibility",
    "attend",
    "attend_behind",
    "causal_attention",
    "choose",
    "merge",
    "reference_attention",
    "sdpa_attention",
]
