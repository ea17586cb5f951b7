"""Causal attention behind earlier keys, with a layer's own sliding window, in tiles of bounded size.

Knows nothing about blocks or caches: keys stand at positions without gaps, the queries' own last. No mask grows with
the square of the tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from dbsa_core.attention.partial import merge
from dbsa_core.attention.reference import TILE_SCORES
from dbsa_core.attention.sdpa import knows_causal, knows_log_sum_exp, sdpa_attention
from dbsa_core.attention.visibility import ALL, CAUSAL, Sees, causal_tail

if TYPE_CHECKING:
    from dbsa_core.attention import Attention, LayerOptions

APART_TOKENS = 512
"""From so many queries on, what stands before them is attended by itself, without a mask, and merged with their own
causal square; on a CPU fewer are faster under one mask."""
LEAST_QUERIES = 16
"""Queries of a tile, however many keys they see."""
MASKS_KEPT = 4
"""How many tiles' masks are kept for the next layer: all inner tiles of a sliding window share one."""

Masks = dict[tuple[int, int, int | None], Sees]
"""Masks by (queries, keys, sliding window), the oldest first."""


def causal_attention(
    attention: Attention,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    options: LayerOptions,
    masks: Masks,
) -> torch.Tensor:
    """Each of the queries [batch, heads, tokens, head_dim], which are those of the last `tokens` of the keys [batch,
    kv_heads, keys, head_dim], sees the keys up to its own that are within the layer's window.

    `attention` is `choose(options)`; `masks` holds what the next layer can use again.
    """
    keys, before = key.shape[2], key.shape[2] - query.shape[2]
    fast, hides = attention is sdpa_attention, _hides(options.sliding_window, key.shape[2])
    if fast and not hides:
        if knows_causal(query, keys):
            return attention(query, key, value, CAUSAL, options).output
        if query.shape[2] >= APART_TOKENS and knows_log_sum_exp(query):
            earlier = attention(query, key[:, :, :before], value[:, :, :before], ALL, options, log_sum_exp=True)
            own = attention(query, key[:, :, before:], value[:, :, before:], CAUSAL, options, log_sum_exp=True)
            return merge([earlier, own])
    outputs = []
    for start, end, first, last in _tiles(query, keys, options.sliding_window if hides else None, fast):
        part, seen = query[:, :, start:end], (key[:, :, first:last], value[:, :, first:last])
        window = options.sliding_window if _hides(options.sliding_window, last - first) else None
        square = fast and window is None and knows_causal(part, last - first)
        sees = CAUSAL if square else _mask(masks, part, last - first, window)
        outputs.append(attention(part, *seen, sees, options).output)
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=2)


def _tiles(
    query: torch.Tensor, keys: int, sliding_window: int | None, fast: bool
) -> Iterator[tuple[int, int, int, int]]:
    """(start, end) of the queries and (first, last) of the keys that they may see."""
    heads, tokens = query.shape[1:3]
    before = keys - tokens
    # Half a window of queries sees one and a half windows of keys: few tiles, and few keys that a tile sees in vain.
    wanted = tokens if sliding_window is None else max(128, sliding_window // 2)
    width = keys if sliding_window is None else sliding_window + wanted
    size = max(LEAST_QUERIES, min(wanted, TILE_SCORES // (width * (1 if fast else heads))))
    for start in range(0, tokens, size):
        end = min(tokens, start + size)
        first = 0 if sliding_window is None else max(0, before + start - sliding_window + 1)
        yield start, end, first, before + end


def _hides(sliding_window: int | None, keys: int) -> bool:
    """Whether a window hides any of so many keys from the last of them."""
    return sliding_window is not None and keys > sliding_window


def _mask(masks: Masks, query: torch.Tensor, keys: int, sliding_window: int | None) -> Sees:
    tokens = query.shape[2]
    if (tokens, keys, sliding_window) not in masks:
        while len(masks) >= MASKS_KEPT:
            del masks[next(iter(masks))]
        allowed = causal_tail(tokens, keys, query.device)
        if sliding_window is not None:
            allowed = allowed.triu_(keys - tokens - sliding_window + 1)
        masks[tokens, keys, sliding_window] = Sees(allowed)
    return masks[tokens, keys, sliding_window]
