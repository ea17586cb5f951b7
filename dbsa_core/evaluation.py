"""Accuracy and cost of methods on labelled test rows.

Knows nothing about how a method works: costs are measured around it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dbsa_core.data import Demonstration
from dbsa_core.errors import CapacityError, DataError, QueryError
from dbsa_core.methods import Fitted, Method, OnRefused, Setup, fit_methods
from dbsa_core.stage1.progress import OnProgress
from dbsa_core.stage2.steps import steps_of


@dataclass(frozen=True)
class Evaluation:
    """One method's result. Latencies are those of whole queries, each asked alone, the first (cold) one left out."""

    method: str
    n: int
    accuracy: float
    setup_seconds: float
    latency_n: int
    """Queries whose latency was measured: those that were answered."""
    latency_p50_seconds: float
    latency_p95_seconds: float
    latency_iqr_seconds: float
    """Spread: the 75th percentile less the 25th."""
    gold: tuple[str, ...]
    predicted: tuple[str, ...]
    unseen_labels: tuple[str, ...] = ()
    """Labels of test rows that are not among the candidates: such rows count as wrong."""
    unanswered: int = 0
    """Test rows that fit no context; they count as wrong, and have "" in `predicted`."""

    def as_json(self) -> dict[str, Any]:
        """Without the single answers."""
        names = ("method", "accuracy", "n", "setup_seconds")
        latencies = ("latency_n", "latency_p50_seconds", "latency_p95_seconds", "latency_iqr_seconds")
        found = {name: getattr(self, name) for name in (*names, *latencies)}
        if self.unseen_labels:
            found["unseen_labels"] = list(self.unseen_labels)
        if self.unanswered:
            found["unanswered"] = self.unanswered
        return found


class EvaluationStopped(KeyboardInterrupt):
    """Ctrl-C during `evaluate`: `results` are those of the rows that every method had answered, none where there are no
    such rows."""

    def __init__(self, results: list[Evaluation]):
        super().__init__("The evaluation was stopped.")
        self.results = results


@dataclass
class _Run:
    """A fitted method and its answers so far."""

    fitted: Fitted
    settle: Callable[[], None]
    """Returns when what makes such queries faster is prepared."""
    answers: list[str] = field(default_factory=list)
    """"" for a row that does not fit."""
    seconds: list[float] = field(default_factory=list)
    """Of each row, nan for one that does not fit."""
    warm: bool = False
    refused: str = ""

    @property
    def method(self) -> Method:
        return self.fitted.method

    def ask(self, text: str) -> None:
        try:
            if not self.warm:
                self.method.predict(text)
                self.warm = True
            prediction = self.method.predict(text)
            if prediction.cold:
                self.settle()
                prediction = self.method.predict(text)
        except QueryError as error:
            self.refused = str(error)
            self.answers.append("")
            self.seconds.append(float("nan"))
        else:
            self.answers.append(prediction.label)
            self.seconds.append(prediction.seconds["total"])

    def result(self, test: Sequence[Demonstration], labels: Sequence[str]) -> Evaluation:
        """Of the test rows given, the first ones that were asked."""
        gold, answers = tuple(row.label for row in test), tuple(self.answers[: len(test)])
        seconds = np.array(self.seconds[: len(test)])
        seconds = seconds[~np.isnan(seconds)]
        if not len(seconds):
            raise DataError(
                f"{self.method.name} could answer none of the {len(test):,} test rows. The last one: {self.refused}"
            )
        low, median, high, slow = (float(np.percentile(seconds, share)) for share in (25, 50, 75, 95))
        return Evaluation(
            method=self.method.name,
            n=len(test),
            accuracy=float(np.mean([a == b for a, b in zip(answers, gold, strict=True)])),
            setup_seconds=self.fitted.setup_seconds,
            latency_n=len(seconds),
            latency_p50_seconds=median,
            latency_p95_seconds=slow,
            latency_iqr_seconds=high - low,
            gold=gold,
            predicted=answers,
            unseen_labels=tuple(sorted(set(gold) - set(labels))),
            unanswered=len(test) - len(seconds),
        )


def evaluate(
    methods: Sequence[Method],
    setup: Setup,
    test: Sequence[Demonstration],
    *,
    on_progress: Callable[[int, int], None] | None = None,
    on_encoding: OnProgress | None = None,
    on_refused: OnRefused | None = None,
) -> list[Evaluation]:
    """Fit the methods, then ask each of them one test row after the other, in turn, so that whatever else the machine
    does hits all alike.

    Test rows are only ever queries: nothing of them enters a context. `on_progress(rows done, rows)`, `on_encoding` of
    the pool. A method whose context does not fit is left out and told to `on_refused`; where there is no such callback,
    or where no method is left, its `CapacityError` is raised. Ctrl-C raises `EvaluationStopped`, with the results so
    far.
    """
    if not test:
        raise DataError("There are no test rows to evaluate on; give a test file with at least one row.")
    ready = fit_methods(methods, setup, on_progress=on_encoding, on_refused=on_refused)
    settle = steps_of(setup.task.model).wait
    runs, labels, done = [_Run(fitted, settle) for fitted in ready], setup.task.pool.labels, 0
    try:
        for row in test:
            _ask_each(runs, row.text, on_refused)
            done += 1
            if on_progress:
                on_progress(done, len(test))
    except KeyboardInterrupt as stop:
        raise EvaluationStopped([run.result(test[:done], labels) for run in runs] if done else []) from stop
    return [run.result(test, labels) for run in runs]


def _ask_each(runs: list[_Run], text: str, on_refused: OnRefused | None) -> None:
    """Ask all methods; one that runs out of room leaves, and the last one's error is raised."""
    for run in list(runs):
        try:
            run.ask(text)
        except CapacityError as error:
            runs.remove(run)
            if on_refused is not None:
                on_refused(run.method.name, error)
            if on_refused is None or not runs:
                raise
