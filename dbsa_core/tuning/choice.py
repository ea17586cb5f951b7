"""Which of several ways to answer is chosen, by the same validation rows: the one that is preferred, unless another is
better beyond chance, or clearly faster and hardly less accurate at worst.

Knows nothing about methods or models: answers that are right or wrong, and seconds, in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbsa_core.evaluation.measures import CONFIDENCE, Comparison, Estimate, compared, share
from dbsa_core.settings import QuerySettings

FASTER = 0.5
"""Another one that is no less accurate is chosen where it takes at most so much of the time,"""
MARGIN = 0.01
"""and where the interval of 95 % of the difference in accuracy says that it is behind by at most so much."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to answer, and what it answered."""

    name: str
    settings: QuerySettings | None
    """None for a classifier that votes alone: it is shown, and never chosen."""
    right: NDArray[np.bool_]
    """[rows that it was asked about]: whether the answer is the row's label."""
    rows: int
    """Rows that there are. What was dropped was asked about fewer, and cannot be chosen."""
    latency: float | None = None
    """Seconds of a query, the median; None where it was not measured."""
    reject: bool = False
    """Whether a reject option decides on texts that fit no label; then `right` says of a row whose label is out of
    scope whether it was refused."""

    @property
    def complete(self) -> bool:
        """Whether it was asked about all rows."""
        return len(self.right) == self.rows

    @property
    def accuracy(self) -> Estimate:
        """With its interval of 95 %."""
        return share(int(self.right.sum()), len(self.right))

    def against(self, other: Candidate) -> Comparison:
        """On the same rows."""
        return compared(self.name, other.name, self.right.tolist(), other.right.tolist())

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        found = self.accuracy
        return {
            "name": self.name,
            "reject": self.reject,
            "n": len(self.right),
            "right": int(self.right.sum()),
            "accuracy": found.value if len(self.right) else None,
            "accuracy_low": found.low,
            "accuracy_high": found.high,
            "latency_p50_seconds": self.latency,
            "complete": self.complete,
        }


@dataclass(frozen=True)
class Choice:
    """The chosen candidate, by its place, and why."""

    place: int
    why: str
    p_values: tuple[float | None, ...]
    """Of each candidate: McNemar's exact test against the preferred one, times the number of comparisons as Holm has it
    (1979, "A simple sequentially rejective multiple test procedure"); None for the preferred one and incomplete
    ones."""


def choose(candidates: Sequence[Candidate], preferred: int) -> Choice:
    """Among those that are complete and have settings; `preferred` is the place of one of these."""
    first = candidates[preferred]
    open_to = [at for at, each in enumerate(candidates) if each.complete and each.settings is not None]
    others = [at for at in open_to if at != preferred]
    found = {at: candidates[at].against(first) for at in others}
    p_values = dict(zip(others, holm([found[at].p for at in others]), strict=True))
    better = [at for at in others if found[at].difference.value > 0 and p_values[at] < 1 - CONFIDENCE]
    place, why = preferred, "nothing else was more accurate beyond chance"
    if better:
        place, why = min(better, key=lambda at: _rank(candidates[at])), "it is more accurate beyond chance"
    if faster := [at for at in open_to if _is_faster(candidates[at], candidates[place])]:
        place = min(faster, key=lambda at: _rank(candidates[at]))
        why = "it takes half of the time or less of what would be chosen otherwise, and is no less accurate"
    return Choice(place, why, tuple(p_values.get(at) for at in range(len(candidates))))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted so that with all of them compared, one below 0.05 is there by chance in 5 % of all cases at most."""
    adjusted, least = [1.0] * len(p_values), 0.0
    for rank, at in enumerate(np.argsort(p_values, kind="stable").tolist()):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = least
    return adjusted


def frontier(candidates: Sequence[Candidate]) -> list[int]:
    """Places of those that have settings, and that no other one beats in accuracy or latency without being worse in the
    other; the fastest first."""
    timed = [at for at, each in enumerate(candidates)
             if each.complete and each.settings is not None and each.latency is not None]  # fmt: skip
    found, best = [], -1
    for at in sorted(timed, key=lambda at: (candidates[at].latency, -int(candidates[at].right.sum()))):
        if (right := int(candidates[at].right.sum())) > best:
            found.append(at)
            best = right
    return found


def _rank(candidate: Candidate) -> tuple[int, float]:
    """The most accurate first, and of these the fastest."""
    return -int(candidate.right.sum()), candidate.latency if candidate.latency is not None else np.inf


def _is_faster(candidate: Candidate, than: Candidate) -> bool:
    if candidate.latency is None or than.latency is None:
        return False
    if candidate.latency > FASTER * than.latency or candidate.right.sum() < than.right.sum():
        return False
    return candidate.against(than).difference.low >= -MARGIN
