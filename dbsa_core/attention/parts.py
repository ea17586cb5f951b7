"""Attention of a group of queries over parts of keys: the way each layer allows, chosen here.

Knows nothing about blocks or queries. Where the layer's sliding window hides nothing, every part is attended by itself,
without a mask where it is seen whole, and the parts are merged by log-sum-exp. Where it hides something, the keys
within reach are put side by side under one mask by position.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from dbsa_core.attention.causal import causal_attention
from dbsa_core.attention.partial import Partial, merge, merge_entries
from dbsa_core.attention.reference import reference_attention
from dbsa_core.attention.sdpa import knows_log_sum_exp, sdpa_attention
from dbsa_core.attention.stretches import Stretches, stretches_attention
from dbsa_core.attention.visibility import Visibility
from dbsa_core.layer_memory import LayerMemory
from dbsa_core.once import say_once

if TYPE_CHECKING:
    from dbsa_core.attention import Attention, LayerOptions

log = logging.getLogger(__name__)

KeysAndValues = tuple[torch.Tensor, torch.Tensor]
"""Each [batch, kv_heads, keys, head_dim]."""


def choose(options: LayerOptions, query: torch.Tensor | None = None) -> Attention:
    """PyTorch's SDPA where the layer allows it, the plain reference where it does not; says so once.

    With `query`: for a part of its keys, whose log-sum-exp is needed.
    """
    if options.softcap is not None or options.sinks is not None:
        say_once(
            log, "Attention with a softcap or sink scores: the reference implementation is used, SDPA has neither."
        )
        return reference_attention
    if query is not None and not knows_log_sum_exp(query):
        what = f"{query.dtype} and heads of {query.shape[3]} on {query.device}"
        say_once(
            log, f"No kernel returns a log-sum-exp for {what}: the reference implementation is used for parts of keys."
        )
        return reference_attention
    return sdpa_attention


def attend(
    query: torch.Tensor, parts: Sequence[KeysAndValues], visibility: Visibility, options: LayerOptions
) -> torch.Tensor:
    """Attention of queries [batch, heads, tokens, head_dim] over the parts that `visibility` describes, of the query's
    shape."""
    if visibility.hidden_by(options.sliding_window):
        return _within_window(query, parts, visibility, options)
    if len(parts) == 1:
        sees = visibility.parts[0].sees
        if sees.causal:
            return causal_attention(choose(options), query, *parts[0], options, visibility.tiles)
        return choose(options)(query, *parts[0], sees, options).output
    return merge(_partials(query, parts, visibility, options))


def attend_behind(
    turned: torch.Tensor,
    memory: LayerMemory,
    stretches: Stretches,
    query: torch.Tensor,
    parts: Sequence[KeysAndValues],
    visibility: Visibility,
    options: LayerOptions,
) -> torch.Tensor:
    """The same where all queries also see stretches of a memory: each by its own query of `turned` [stretches, heads,
    tokens, head_dim]. For layers without a window, softcap or sinks."""
    assert options.plain
    seen = stretches_attention(turned, memory, stretches, options, choose(options, query))
    return merge_entries(seen, _partials(query, parts, visibility, options))


def _partials(
    query: torch.Tensor, parts: Sequence[KeysAndValues], visibility: Visibility, options: LayerOptions
) -> list[Partial]:
    attention = choose(options, query)
    # A sink takes its share of the whole once: with the last part.
    rest = options if options.sinks is None else replace(options, sinks=None)
    asked = [rest] * (len(parts) - 1) + [options]
    return [
        attention(query, *held, part.sees, how, log_sum_exp=True)
        for held, part, how in zip(parts, visibility.parts, asked, strict=True)
    ]


def _within_window(
    query: torch.Tensor, parts: Sequence[KeysAndValues], visibility: Visibility, options: LayerOptions
) -> torch.Tensor:
    assert options.sliding_window is not None
    if visibility.without_gaps:
        key, value = _side_by_side(parts, visibility.first_within(options.sliding_window))
        return causal_attention(choose(options), query, key, value, options, visibility.tiles)
    firsts, sees = visibility.within(options.sliding_window, query.device)
    return choose(options)(query, *_side_by_side(parts, firsts), sees, options).output


def _side_by_side(parts: Sequence[KeysAndValues], firsts: Sequence[int]) -> KeysAndValues:
    keys = [key[:, :, first:] for (key, _), first in zip(parts, firsts, strict=True)]
    values = [value[:, :, first:] for (_, value), first in zip(parts, firsts, strict=True)]
    return (keys[0], values[0]) if len(parts) == 1 else (torch.cat(keys, dim=2), torch.cat(values, dim=2))
