"""How far an encoding is.

Knows nothing about models, so that a screen can show it before there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far an encoding is."""

    blocks_done: int
    blocks_total: int
    tokens_done: int
    tokens_total: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        return self.tokens_done / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float:
        speed = self.tokens_per_second
        return (self.tokens_total - self.tokens_done) / speed if speed else float("inf")


OnProgress = Callable[[Progress], None]
