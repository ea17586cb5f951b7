"""Accuracy and cost of methods on labelled test rows.

Knows nothing about how a method works: costs are measured around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from dbsa_core.data import Demonstration
from dbsa_core.errors import CapacityError, DataError, QueryError
from dbsa_core.methods import Fitted, Method, OnRefused, Refusal, Setup, fit_methods
from dbsa_core.prediction import Prediction
from dbsa_core.stage1.progress import OnProgress
from dbsa_core.stage2.steps import steps_of

SAMPLE = 30
"""Test rows whose latency is measured."""


@dataclass(frozen=True)
class Evaluation:
    """One method's result. Answers are those to many rows asked together, and so is the throughput; latencies are those
    of whole queries, each asked alone, the first (cold) one left out."""

    method: str
    n: int
    accuracy: float
    setup_seconds: float
    latency_n: int
    """Queries whose latency was measured: those of a sample that were answered."""
    latency_p50_seconds: float
    latency_p95_seconds: float
    latency_iqr_seconds: float
    """Spread: the 75th percentile less the 25th."""
    throughput_n: int
    """Queries that were answered together, those left out that were the first of their kind."""
    queries_per_second: float | None
    """Of them, each with all that it takes; None where the evaluation was stopped before."""
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
        throughput = ("throughput_n", "queries_per_second")
        found = {name: getattr(self, name) for name in (*names, *latencies, *throughput)}
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
    """A fitted method, what it answered so far, and in what time."""

    fitted: Fitted
    settle: Callable[[], None]
    """Returns when what makes such queries faster is prepared."""
    alone: list[str] = field(default_factory=list)
    """Answers of the sample, "" for a row that does not fit."""
    latencies: list[float] = field(default_factory=list)
    """Seconds of whole queries, each asked alone, the first (cold) one left out."""
    answers: list[str] = field(default_factory=list)
    """Of all rows, in order, asked together."""
    together: list[tuple[float, bool]] = field(default_factory=list)
    """Of those of them that are there: seconds, and whether that was cold."""
    coming: Iterator[Prediction | Refusal] = field(default_factory=lambda: iter(()))
    warm: bool = False
    refused: str = ""

    @property
    def method(self) -> Method:
        return self.fitted.method

    def time(self, text: str) -> None:
        """Ask one row alone."""
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
            self.alone.append("")
        else:
            self.alone.append(prediction.label)
            self.latencies.append(prediction.seconds["total"])

    def begin(self, texts: Sequence[str]) -> None:
        """Ask all rows together; their answers come one by one."""
        self.coming = self.method.predict_many(texts)

    def take(self) -> None:
        """Take the answer to the next row; `CapacityError` is raised."""
        found = next(self.coming)
        if isinstance(found, Prediction):
            self.answers.append(found.label)
            self.together.append((found.seconds["total"], found.cold))
        elif isinstance(found, QueryError):
            self.refused = str(found)
            self.answers.append("")
        else:
            raise found

    def result(self, rows: Sequence[Demonstration], answers: Sequence[str], labels: Sequence[str]) -> Evaluation:
        """Of these rows and the answers to them."""
        gold, answers = tuple(row.label for row in rows), tuple(answers[: len(rows)])
        unanswered = answers.count("")
        if unanswered == len(rows):
            raise DataError(
                f"{self.method.name} could answer none of the {len(rows):,} test rows. The last one: {self.refused}"
            )
        latencies = self.latencies or [float("nan")]
        low, median, high, slow = (float(np.percentile(latencies, share)) for share in (25, 50, 75, 95))
        warm = [seconds for seconds, cold in self.together if not cold]
        packed = warm or [seconds for seconds, _ in self.together]
        spent = sum(packed)
        return Evaluation(
            method=self.method.name,
            n=len(rows),
            accuracy=float(np.mean([a == b for a, b in zip(answers, gold, strict=True)])),
            setup_seconds=self.fitted.setup_seconds,
            latency_n=len(self.latencies),
            latency_p50_seconds=median,
            latency_p95_seconds=slow,
            latency_iqr_seconds=high - low,
            throughput_n=len(packed),
            queries_per_second=len(packed) / spent if spent else None,
            gold=gold,
            predicted=answers,
            unseen_labels=tuple(sorted(set(gold) - set(labels))),
            unanswered=unanswered,
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
    """Fit the methods, then ask each of them a sample of the test rows, one by one and in turn, so that whatever else
    the machine does hits all alike: that is the latency. Then each answers all test rows, many together: these are the
    answers that count.

    Test rows are only ever queries: nothing of them enters a context. `on_progress(queries done, queries)`, of sample
    and test rows; `on_encoding` of the pool. A method whose context does not fit is left out and told to `on_refused`;
    where there is no such callback, or where no method is left, its `CapacityError` is raised. Ctrl-C raises
    `EvaluationStopped`, with the results so far.
    """
    if not test:
        raise DataError("There are no test rows to evaluate on; give a test file with at least one row.")
    ready = fit_methods(methods, setup, on_progress=on_encoding, on_refused=on_refused)
    settle = steps_of(setup.task.model).wait
    runs, labels, sample, done = [_Run(fitted, settle) for fitted in ready], setup.task.pool.labels, timed_of(test), 0

    def told() -> None:
        nonlocal done
        done += 1
        if on_progress:
            on_progress(done, len(sample) + len(test))

    try:
        for row in sample:
            _each(runs, partial(_Run.time, text=row.text), on_refused)
            told()
        for run in runs:
            run.begin([row.text for row in test])
        for _ in test:
            _each(runs, _Run.take, on_refused)
            told()
    except KeyboardInterrupt as stop:
        raise EvaluationStopped(_so_far(runs, test, sample, labels)) from stop
    for run in runs:
        if not run.latencies:  # no row of the sample could be answered
            answered = [row.text for row, answer in zip(test, run.answers, strict=True) if answer]
            for text in answered[:SAMPLE]:
                run.time(text)
    return [run.result(test, run.answers, labels) for run in runs]


def timed_of(test: Sequence[Demonstration]) -> list[Demonstration]:
    """The rows whose latency is measured: `SAMPLE` of them, spread evenly, or all where there are fewer."""
    return [test[int(place)] for place in np.linspace(0, len(test) - 1, min(SAMPLE, len(test)))]


def _so_far(
    runs: Sequence[_Run], test: Sequence[Demonstration], sample: Sequence[Demonstration], labels: Sequence[str]
) -> list[Evaluation]:
    """Of the rows that every method has answered: of the sample, where it was stopped within that."""
    done = min(len(run.answers) for run in runs)
    if done:
        return [run.result(test[:done], run.answers, labels) for run in runs]
    done = min(len(run.alone) for run in runs)
    return [run.result(sample[:done], run.alone, labels) for run in runs] if done else []


def _each(runs: list[_Run], ask: Callable[[_Run], None], on_refused: OnRefused | None) -> None:
    """Ask all methods; one that runs out of room leaves, and the last one's error is raised."""
    for run in list(runs):
        try:
            ask(run)
        except CapacityError as error:
            runs.remove(run)
            if on_refused is not None:
                on_refused(run.method.name, error)
            if on_refused is None or not runs:
                raise
