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
from dbsa_core.errors import DataError
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

    def as_json(self) -> dict[str, Any]:
        """Without the single answers."""
        names = ("method", "accuracy", "n", "setup_seconds", "latency_p50_seconds", "latency_p95_seconds")
        found = {name: getattr(self, name) for name in names}
        return found | ({"unseen_labels": list(self.unseen_labels)} if self.unseen_labels else {})


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
        method.predict(test[0].text)
        answers, seconds = [], []
        for number, row in enumerate(test, start=1):
            prediction = method.predict(row.text)
            answers.append(prediction.label)
            seconds.append(prediction.seconds["total"])
            if on_progress:
                on_progress(method.name, number, len(test))
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
        )
