"""Accuracy and cost of methods on labelled test rows.

Knows nothing about how a method works: costs are measured around it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dbsa_core.data import Demonstration
from dbsa_core.errors import DataError, QueryError
from dbsa_core.methods import Method, Setup


@dataclass(frozen=True)
class Evaluation:
    """One method's result. Latencies are those of whole queries, the first (cold) one left out."""

    method: str
    n: int
    accuracy: float
    setup_seconds: float
    latency_p50_seconds: float
    latency_p95_seconds: float
    gold: tuple[str, ...]
    predicted: tuple[str, ...]
    unseen_labels: tuple[str, ...] = ()
    """Labels of test rows that are not among the candidates: such rows count as wrong."""
    unanswered: int = 0
    """Test rows that fit no context; they count as wrong, and have "" in `predicted`."""

    def as_json(self) -> dict[str, Any]:
        """Without the single answers."""
        names = ("method", "accuracy", "n", "setup_seconds", "latency_p50_seconds", "latency_p95_seconds")
        found = {name: getattr(self, name) for name in names}
        if self.unseen_labels:
            found["unseen_labels"] = list(self.unseen_labels)
        if self.unanswered:
            found["unanswered"] = self.unanswered
        return found


def evaluate(
    methods: Sequence[Method],
    setup: Setup,
    test: Sequence[Demonstration],
    *,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Iterator[Evaluation]:
    """Fit each method and classify every test row; yields a method's result as soon as it is there.

    Test rows are only ever queries: nothing of them enters a context. `on_progress(method, done, total)`.
    """
    if not test:
        raise DataError("There are no test rows to evaluate on; give a test file with at least one row.")
    unseen = tuple(sorted({d.label for d in test} - set(setup.task.pool.labels)))
    for method in methods:
        reused = setup.encoded.seconds if method.reads_blocks and setup.encoded is not None else 0.0
        begun = time.perf_counter()
        method.fit(setup)
        setup_seconds = reused + time.perf_counter() - begun
        answers, seconds = _answers(method, test, on_progress)
        gold = tuple(d.label for d in test)
        yield Evaluation(
            method=method.name,
            n=len(test),
            accuracy=float(np.mean([a == b for a, b in zip(answers, gold, strict=True)])),
            setup_seconds=setup_seconds,
            latency_p50_seconds=float(np.percentile(seconds, 50)),
            latency_p95_seconds=float(np.percentile(seconds, 95)),
            gold=gold,
            predicted=tuple(answers),
            unseen_labels=unseen,
            unanswered=len(test) - len(seconds),
        )


def _answers(
    method: Method, test: Sequence[Demonstration], on_progress: Callable[[str, int, int], None] | None
) -> tuple[list[str], list[float]]:
    """The label of every row, "" for one that does not fit, and the seconds of each query that was answered."""
    answers, seconds, cold = [], [], True
    for number, row in enumerate(test, start=1):
        try:
            if cold:
                method.predict(row.text)
                cold = False
            prediction = method.predict(row.text)
            answers.append(prediction.label)
            seconds.append(prediction.seconds["total"])
        except QueryError as error:
            refused = error
            answers.append("")
        if on_progress:
            on_progress(method.name, number, len(test))
    if not seconds:
        raise DataError(f"{method.name} could answer none of the {len(test):,} test rows. The last one: {refused}")
    return answers, seconds
