"""What a method answers.

Knows nothing about how it was computed; plain values, fit for JSON and for screens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dbsa_core.score import LabelScores


@dataclass(frozen=True)
class Selection:
    """The blocks that a query read."""

    block_ids: tuple[int, ...]
    """In the order of the context, sink first."""
    scores: Mapping[int, float]
    """Retrieval score of every block of the pool, chosen or not."""
    dropped: tuple[int, ...] = ()
    """Blocks that the ratio meant but the model's positions did not hold, lowest-ranked first."""


@dataclass(frozen=True)
class QueryAttention:
    """Where the query's last token looked."""

    spans: tuple[str, ...]
    """Names of the parts of the context: "block 3", "similar example 1", "query"."""
    mass: np.ndarray
    """float32 [layers, heads, spans]; sums to 1 over the spans."""


@dataclass(frozen=True)
class Prediction:
    """One answer of one method; arrays are in the order of `labels`, the pool's."""

    method: str
    query: str
    scores: LabelScores
    context_tokens: int
    """Tokens that the label's first token attends to: blocks, fresh demonstrations and query."""
    seconds: Mapping[str, float]
    """`retrieve`, `assemble`, `forward`, `total`; on a GPU measured after synchronising."""
    cold: bool
    """The first use of this method since it was set up, which may be slower."""
    selection: Selection | None = None
    demonstration_rows: tuple[int, ...] = ()
    """Rows encoded with the query, in their order: fresh demonstrations, or Retrieval ICL's."""
    equal_rows: tuple[int, ...] = ()
    """Rows of the pool whose text is the query's, but for case."""
    notes: tuple[str, ...] = ()
    attention: QueryAttention | None = field(default=None, repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.scores.labels

    @property
    def label(self) -> str:
        return self.scores.label

    @property
    def probabilities(self) -> dict[str, float]:
        """Softmax over the candidate labels of their exact log-probabilities, best first."""
        values = self.scores.probabilities
        return {self.labels[i]: float(values[i]) for i in self.scores.ranked()}

    @property
    def probability(self) -> float:
        return float(self.scores.probabilities[self.scores.best])

    @property
    def runner_up(self) -> str | None:
        """The second label; None where a greedy walk knows no second."""
        second = self.scores.ranked()[1:2]
        return self.labels[second[0]] if second and np.isfinite(self.scores.log_probs[second[0]]) else None

    @property
    def margin(self) -> float:
        """Probability of the label less that of the runner-up."""
        values = np.sort(self.scores.probabilities)[::-1]
        return float(values[0] - values[1]) if len(values) > 1 else 1.0

    def as_json(self) -> dict[str, Any]:
        """One object of plain values.

        Blocks and rows are numbered from 0: `block_ids` by `Block.id`, `fresh_rows` and `equal_rows` as indices into
        `Pool.demonstrations`, whose `row` is the row in the file.
        """
        return {
            "query": self.query,
            "method": self.method,
            "label": self.label,
            "probabilities": self.probabilities,
            "margin": self.margin,
            "block_ids": list(self.selection.block_ids) if self.selection else [],
            "fresh_rows": list(self.demonstration_rows),
            "equal_rows": list(self.equal_rows),
            "context_tokens": self.context_tokens,
            "unexpanded_bound": self.scores.unexpanded_bound,
            "outside_mass": self.scores.outside_mass,
            "cold": self.cold,
            "notes": list(self.notes),
            "seconds": dict(self.seconds),
        }
