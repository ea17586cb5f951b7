"""Which keys a query may see, as small masks: causal tails and a layer's own sliding window.

Knows nothing about blocks.
"""

from __future__ import annotations

import torch


def causal_tail(tokens: int, keys: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """Causal from the bottom right: bool [tokens, keys], the last token sees every key."""
    return torch.ones(tokens, keys, dtype=torch.bool, device=device).tril(keys - tokens)


def within_window(
    query_positions: torch.Tensor, key_positions: torch.Tensor, sliding_window: int | None
) -> torch.Tensor | None:
    """A layer's own sliding window, by position: bool [queries, keys], or None where it hides nothing."""
    if sliding_window is None:
        return None
    near = query_positions[:, None] - key_positions[None, :] < sliding_window
    return None if bool(near.all()) else near


def additive(allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The bool mask as what is added to scores: 0 where allowed, -inf elsewhere."""
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, -torch.inf)
