"""Which keys a group of queries sees, as structure: all, causally, or by a small mask; and by position what a layer's
own sliding window leaves of them.

Knows nothing about blocks, and holds no keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import torch


def causal_tail(tokens: int, keys: int, device: torch.device | str | None = None) -> torch.Tensor:
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
    """The bool mask as what is added to scores: 0 where allowed, -inf elsewhere.

    Its rows begin at multiples of `ROW_MULTIPLE` numbers in memory, as CUDA's kernels want them.
    """
    tokens, keys = allowed.shape
    padded = -(-keys // ROW_MULTIPLE) * ROW_MULTIPLE
    mask = torch.zeros(tokens, padded, dtype=dtype, device=allowed.device)[:, :keys]
    return mask.masked_fill_(~allowed, -torch.inf)


ROW_MULTIPLE = 8


@dataclass(frozen=True, eq=False)
class Sees:
    """Which of some keys each query sees: `ALL`, `CAUSAL`, or those that `allowed` names."""

    allowed: torch.Tensor | None = None
    """bool [tokens, keys]; every query sees one key at least."""
    causal: bool = False
    """The queries are those of the last keys; each sees the keys up to its own."""
    _additive: dict[tuple[torch.dtype, int], torch.Tensor] = field(default_factory=dict, repr=False)

    def additive(self, dtype: torch.dtype, times: int = 1) -> torch.Tensor | None:
        """`allowed`, so many times one below the other, as what is added to scores; made once for all layers. None
        where there is no mask."""
        if self.allowed is None:
            return None
        if (dtype, times) not in self._additive:
            self._additive[dtype, times] = additive(self.allowed.repeat(times, 1), dtype)
        return self._additive[dtype, times]

    def mask(self, tokens: int, keys: int, device: torch.device) -> torch.Tensor:
        """The same as a mask written out: bool [tokens, keys]."""
        if self.causal:
            return causal_tail(tokens, keys, device)
        return torch.ones(tokens, keys, dtype=torch.bool, device=device) if self.allowed is None else self.allowed


ALL, CAUSAL = Sees(), Sees(causal=True)


@dataclass(frozen=True, eq=False)
class Part:
    """Keys that stand together in memory."""

    positions: Sequence[int]
    """Of each key; a `range` where there are no gaps."""
    sees: Sees = ALL


@dataclass(frozen=True, eq=False)
class Visibility:
    """What a group of queries sees, in parts of which each query sees one key at least.

    Made once per forward: it keeps the masks that its layers share.
    """

    positions: Sequence[int]
    """Of each query; a `range` where there are no gaps."""
    parts: tuple[Part, ...]
    tiles: dict[tuple[int, int, int | None], Sees] = field(default_factory=dict, repr=False)
    """Of `causal_attention`."""
    _windowed: dict[int, tuple[tuple[int, ...], Sees]] = field(default_factory=dict, repr=False)

    @classmethod
    def causal(cls, tokens: int, keys: int) -> Visibility:
        """The last `tokens` of `keys` tokens at positions 0.., each with those up to its own before it."""
        return cls(range(keys - tokens, keys), (Part(range(keys), CAUSAL),))

    def hidden_by(self, sliding_window: int | None) -> bool:
        """Whether a layer's window hides any of the keys from any of the queries."""
        return sliding_window is not None and self._reach >= sliding_window

    @cached_property
    def _reach(self) -> int:
        """From the last query back to the first key; asked in every layer, counted once."""
        return max(self.positions) - min(min(part.positions) for part in self.parts)

    @cached_property
    def without_gaps(self) -> bool:
        """Whether all parts together are one causal run, the queries' own tokens the last of it."""
        runs = [part.positions for part in self.parts]
        if not all(isinstance(run, range) and run.step == 1 for run in (*runs, self.positions)):
            return False
        follow = all(a[-1] + 1 == b[0] for a, b in pairwise(runs))
        causal = all(part.sees is ALL for part in self.parts[:-1]) and self.parts[-1].sees.causal
        return follow and causal and self.positions[-1] == runs[-1][-1]

    def first_within(self, sliding_window: int) -> tuple[int, ...]:
        """For each part the first key that a query may see; a part without gaps is cut there."""
        earliest = min(self.positions) - sliding_window + 1
        return tuple(
            min(max(0, earliest - part.positions[0]), len(part.positions)) if isinstance(part.positions, range) else 0
            for part in self.parts
        )

    def within(self, sliding_window: int, device: torch.device) -> tuple[tuple[int, ...], Sees]:
        """`first_within`, and what the window leaves visible of the keys from there on, all parts side by side."""
        if sliding_window not in self._windowed:
            firsts, asked = self.first_within(sliding_window), _tensor(self.positions, device)
            allowed = []
            for part, first in zip(self.parts, firsts, strict=True):
                held = _tensor(part.positions, device)
                near = asked[:, None] - held[None, first:] < sliding_window
                allowed.append(part.sees.mask(len(asked), len(held), device)[:, first:] & near)
            self._windowed[sliding_window] = firsts, Sees(torch.cat(allowed, dim=1))
        return self._windowed[sliding_window]


def _tensor(positions: Sequence[int], device: torch.device) -> torch.Tensor:
    if isinstance(positions, range):
        return torch.arange(positions.start, positions.stop, positions.step, device=device)
    return torch.tensor(list(positions), device=device)
