"""Which test rows `benchmarks/accuracy.py` asks about; told by itself, so that tables are made without a model."""

from __future__ import annotations

import random


def drawn_rows(total: int, seed: int, count: int) -> list[int]:
    """Which of so many test rows are asked about with a seed, in their order."""
    return sorted(random.Random(seed).sample(range(total), min(count, total)))
