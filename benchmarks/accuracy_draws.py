"""What `benchmarks/accuracy.py` and its tables agree on: which test rows are asked about, which thresholds answers are
judged by, and what rows are called."""

from __future__ import annotations

import random

SCOPE = ("accuracy", "in_scope_accuracy", "oos_recall")
COST, RECALL = 0.01, 0.8
"""Of other thresholds of a reject option: what one may cost, and what one has to refuse."""
WITHOUT_OPTION = "-reject"
"""Behind the name of a method that is with a reject option otherwise."""


def drawn_rows(total: int, seed: int, count: int) -> list[int]:
    """Which of so many test rows are asked about with a seed, in their order."""
    return sorted(random.Random(seed).sample(range(total), min(count, total)))
