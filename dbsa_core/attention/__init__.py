"""Attention over one set of queries and keys, by the fastest exact way that a layer allows.

Knows nothing about blocks or caches. Masks come in ready-made, but for causal attention, which makes its own.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

import torch

from dbsa_core.attention.causal import Masks, causal_attention
from dbsa_core.attention.reference import reference_attention
from dbsa_core.attention.sdpa import sdpa_attention

log = logging.getLogger(__name__)


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


class Attention(Protocol):
    """`mask` is additive [tokens, keys] or None; with `causal`, where the last token sees every key, the mask is None.
    Returns the query's shape."""

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        options: LayerOptions,
        *,
        causal: bool = False,
    ) -> torch.Tensor: ...


_said: set[str] = set()


def choose(options: LayerOptions) -> Attention:
    """PyTorch's SDPA where the layer allows it, the plain reference where it does not; says so once."""
    if options.softcap is None and options.sinks is None:
        return sdpa_attention
    if "reference" not in _said:
        _said.add("reference")
        log.info("Attention with a softcap or sink scores: the reference implementation is used, SDPA has neither.")
    return reference_attention


__all__ = [
    "Attention",
    "LayerOptions",
    "Masks",
    "causal_attention",
    "choose",
    "reference_attention",
    "sdpa_attention",
]
