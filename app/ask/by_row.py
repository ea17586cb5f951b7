"""Of the attention by row what is shown: means of all rows, and what each head gave to those with the most.

Knows nothing about texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from app.ask.spans import is_block
from dbsa_core.prediction import START, QueryAttention

MOST_NUMBERS = 150_000
"""Kept of one answer, over all heads: rows of the blocks with the most attention, block by block."""


@dataclass(frozen=True, eq=False)
class ByRow:
    """Of rows of blocks, by their indices into the pool's demonstrations."""

    means: Mapping[int, float] = field(default_factory=dict)
    """Of all heads."""
    kept: np.ndarray | None = None
    """float32 [layers, heads, stretches]."""
    places: Mapping[int, int] = field(default_factory=dict)
    """Which of the stretches a row is, of those that are kept."""
    start: int | None = None
    """The stretch before the first row."""


NOT_APART = ByRow()


def apart_by_row(attention: QueryAttention | None, most: int = MOST_NUMBERS) -> ByRow:
    """`NOT_APART` where nothing is known by row."""
    if attention is None or attention.by_row is None:
        return NOT_APART
    layers, heads, _ = attention.by_row.shape
    rows = [row for own in attention.rows for row in own]
    firsts = np.cumsum([0, *map(len, attention.rows)])
    shares = attention.mass.mean(axis=(0, 1))
    blocks = [span for span, name in enumerate(attention.spans) if is_block(name) and attention.rows[span]]
    kept: list[int] = []
    for span in sorted(blocks, key=lambda span: -shares[span]):
        own = range(firsts[span], firsts[span + 1])
        if (len(kept) + len(own)) * layers * heads <= most:
            kept += own
    of_blocks = [column for span in blocks for column in range(firsts[span], firsts[span + 1])]
    means = attention.by_row.mean(axis=(0, 1))
    places = {rows[column]: place for place, column in enumerate(kept)}
    return ByRow(
        {rows[column]: float(means[column]) for column in of_blocks if rows[column] != START},
        attention.by_row[..., kept].astype(np.float32) if kept else None,
        {row: place for row, place in places.items() if row != START},
        places.get(START),
    )
