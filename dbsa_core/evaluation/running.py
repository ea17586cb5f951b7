"""Accuracy and cost of methods on labelled test rows.

Knows nothing about how a method works: costs are measured around it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from dbsa_core.data import Demonstration, fingerprint_of
from dbsa_core.errors import Cancelled, CapacityError, DataError, QueryError
from dbsa_core.evaluation.folder import Answered, Record, RunFolder, Taken
from dbsa_core.evaluation.report import write_report
from dbsa_core.evaluation.result import WITH_OPTION, Evaluation
from dbsa_core.methods import Fitted, Method, OnRefused, Refusal, Setup, fit_methods
from dbsa_core.prediction import Prediction
from dbsa_core.reject import Rejecting, RejectOption, RejectOptions
from dbsa_core.stage1.progress import OnProgress
from dbsa_core.stage2.steps import steps_of

log = logging.getLogger(__name__)

SAMPLE = 30
"""Test rows whose latency is measured."""


class EvaluationStopped(KeyboardInterrupt):
    """Ctrl-C during `evaluate`, or its work was cancelled: `results` are those of the rows that every method had
    answered, none where there are no such rows."""

    def __init__(self, results: list[Evaluation]):
        super().__init__("The evaluation was stopped.")
        self.results = results


@dataclass
class _Run:
    """A fitted method, and what it answered so far."""

    method: Method
    record: Record
    settle: Callable[[], None]
    """Returns when what makes such queries faster is prepared."""
    coming: Iterator[Prediction | Refusal] = field(default_factory=lambda: iter(()))
    warm: bool = False

    @property
    def taken(self) -> Taken:
        return self.record.taken[self.method.name]

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
            self.record.alone(self.method.name, Answered("", problem=str(error)))
        else:
            self.record.alone(self.method.name, _answered(prediction))

    def begin(self, texts: Sequence[str]) -> None:
        """Ask all rows together that it has not answered; their answers come one by one."""
        self.coming = self.method.predict_many(texts[len(self.taken.together) :])

    def take(self) -> None:
        """Take the answer to the next row; `CapacityError` is raised."""
        found = next(self.coming)
        if isinstance(found, Prediction):
            self.record.together(self.method.name, _answered(found))
        elif isinstance(found, QueryError):
            self.record.together(self.method.name, Answered("", problem=str(found)))
        else:
            raise found


def _answered(found: Prediction) -> Answered:
    seconds, tokens = found.seconds["total"], (found.context_tokens, found.example_tokens)
    plain = replace(found, verdict=None)
    answer = Answered(plain.label, plain.probability, seconds, found.cold, *tokens)
    if found.verdict is None:
        return answer
    return replace(
        answer,
        decided=found.label,
        decided_probability=found.probability,
        nearest=found.nearest_label,
        in_scope_score=found.in_scope_score,
    )


def evaluate(
    methods: Sequence[Method],
    setup: Setup,
    test: Sequence[Demonstration],
    *,
    out_of_scope: str | None = None,
    reject: bool = False,
    folder: Path | None = None,
    about: Mapping[str, Any] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_validation: Callable[[str, int, int], None] | None = None,
    on_encoding: OnProgress | None = None,
    on_refused: OnRefused | None = None,
    on_begun: Callable[[Callable[[], list[Evaluation]]], None] | None = None,
) -> list[Evaluation]:
    """Fit the methods, then ask each of them a sample of the test rows, one by one and in turn, so that whatever else
    the machine does hits all alike: that is the latency. Then each answers all test rows, many together: these are the
    answers that count.

    Test rows are only ever queries: nothing of them enters a context. `out_of_scope` is the label of texts that fit no
    other: recall of it and accuracy without it are told apart. With `reject`, a reject option is fitted to each method
    (`dbsa_core.reject`, on rows of the file; `on_validation(method, rows answered, rows)`), and each has a second
    result: its answers with it. `on_progress(queries done, queries)`, of sample and test rows; `on_encoding` of the
    pool. A method whose context does not fit is left out and told to `on_refused`; where there is no such callback, or
    where no method is left, its `CapacityError` is raised. Ctrl-C raises `EvaluationStopped`, with the results so far,
    and so does cancelled work (`dbsa_core.interrupt`). `on_begun` is given a function that returns the results so far,
    for whoever looks meanwhile, from another thread too.

    In `folder` each answer is kept as it comes, and the report is written at the end or when it is stopped; called with
    the same again, it goes on, and where all is done it only reads. `SettingsError` where that folder holds an
    evaluation of other settings. `about` is kept in its `run.json` too.
    """
    if not test:
        raise DataError("There are no test rows to evaluate on; give a test file with at least one row.")
    settings = settings_of(methods, setup, test, out_of_scope, reject=reject)
    record = RunFolder.open(folder, settings, about or {}) if folder is not None else Record()
    found = _Evaluating(setup, test, out_of_scope, reject, record, on_refused, on_validation)
    if on_begun is not None:
        on_begun(partial(found.results_so_far, methods))
    try:
        if left := found.left_of(methods):
            refuse = None if on_refused is None else found.refuse
            found.run(fit_methods(left, setup, on_progress=on_encoding, on_refused=refuse), on_progress)
    except (KeyboardInterrupt, Cancelled) as stop:
        results = found.results_so_far(methods)
        _report(folder, results, test, settings)
        raise EvaluationStopped(results) from stop
    results = found.results(methods)
    _report(folder, results, test, settings)
    return results


def _report(
    folder: Path | None, results: Sequence[Evaluation], test: Sequence[Demonstration], settings: Mapping[str, Any]
) -> None:
    if folder is not None and results:
        write_report(folder, results, test, settings)


@dataclass
class _Evaluating:
    """One evaluation: its rows, and the record of what was done."""

    setup: Setup
    test: Sequence[Demonstration]
    out_of_scope: str | None
    reject: bool
    record: Record
    on_refused: OnRefused | None
    on_validation: Callable[[str, int, int], None] | None
    options: RejectOptions | None = None

    def left_of(self, methods: Sequence[Method]) -> list[Method]:
        """Those that are not done, so that no other is fitted; what was refused before is told."""
        left = []
        for method in methods:
            taken = self.record.taken.get(method.name, Taken())
            if not taken.refused and len(taken.together) < len(self.test):
                left.append(method)
            elif taken.refused and self.on_refused is not None:
                self.on_refused(method.name, CapacityError(taken.refused))
        return left

    def refuse(self, name: str, error: CapacityError) -> None:
        """A method is left out."""
        self.record.refused(name, str(error))
        if self.on_refused is not None:
            self.on_refused(name, error)

    def run(self, ready: Sequence[Fitted], on_progress: Callable[[int, int], None] | None) -> None:
        """Ask what is left."""
        for fitted in ready:
            self.record.fitted(fitted.method.name, fitted.setup_seconds, fitted.kv_bytes)
        settle, sample = steps_of(self.setup.task.model).wait, timed_of(self.test)
        methods = [self.with_option(fitted.method) if self.reject else fitted.method for fitted in ready]
        self.options = None  # with the pool that was encoded for them
        runs, total = [_Run(method, self.record, settle) for method in methods], len(sample) + len(self.test)
        for done, row in enumerate(sample, 1):
            behind = [run for run in runs if len(run.taken.alone) < done and len(run.taken.together) < len(self.test)]
            self._each(runs, behind, partial(_Run.time, text=row.text))
            if on_progress:
                on_progress(done, total)
        for run in runs:
            run.begin([row.text for row in self.test])
        for done in range(1, len(self.test) + 1):
            self._each(runs, [run for run in runs if len(run.taken.together) < done], _Run.take)
            if on_progress:
                on_progress(len(sample) + done, total)
        for run in runs:
            if not any(answer.label for answer in run.taken.alone):  # no row of the sample could be answered
                asked = zip(self.test, run.taken.together, strict=True)
                for text in [row.text for row, answer in asked if answer.label][:SAMPLE]:
                    run.time(text)

    def with_option(self, method: Method) -> Method:
        """With its reject option, fitted where that is not done; itself where it can have none, which is logged."""
        plain = self.record.taken[method.name].option
        if plain is None:
            try:
                self.options = self.options or RejectOptions(method.setup or self.setup, self.out_of_scope)
                told = self.on_validation and partial(self.on_validation, method.name)
                plain = self.options.fit(method, on_progress=told).as_json()
            except (CapacityError, DataError) as error:
                log.warning("%s is shown without a reject option: %s", method.name, error)
                plain = {"problem": str(error)}
            self.record.option(method.name, plain)
        return method if "problem" in plain else Rejecting(method, RejectOption.from_json(plain))

    def _each(self, runs: list[_Run], asked: Sequence[_Run], ask: Callable[[_Run], None]) -> None:
        """Ask these of the methods; one that runs out of room leaves, and the last one's error is raised."""
        for run in asked:
            try:
                ask(run)
            except CapacityError as error:
                runs.remove(run)
                self.refuse(run.method.name, error)
                if self.on_refused is None or not runs:
                    raise

    def results_so_far(self, methods: Sequence[Method]) -> list[Evaluation]:
        """Of the rows that every method has answered: of the sample, as long as these are more; none where one method
        could answer none of them."""
        there = self._taken(methods)
        sample, answers = timed_places(len(self.test)), [each.together[:] for _, each in there]
        alone = [each.alone[:] for _, each in there]
        places: Sequence[int] = range(min(map(len, answers), default=0))
        if (more := min(map(len, alone), default=0)) > len(places):
            places, answers = sample[:more], alone
        if not places or not all(any(answer.label for answer in found[: len(places)]) for found in answers):
            return []
        return self._results(there, places, answers)

    def results(self, methods: Sequence[Method]) -> list[Evaluation]:
        """Of all rows."""
        there = self._taken(methods)
        return self._results(there, range(len(self.test)), [each.together for _, each in there])

    def _taken(self, methods: Sequence[Method]) -> list[tuple[Method, Taken]]:
        """Of the methods that were not refused."""
        taken = [(method, self.record.taken.get(method.name, Taken())) for method in methods]
        return [(method, each) for method, each in taken if not each.refused]

    def _results(
        self, there: Sequence[tuple[Method, Taken]], places: Sequence[int], answers: Sequence[list[Answered]]
    ) -> list[Evaluation]:
        results, rows = [], [self.test[place] for place in places]
        among = None if isinstance(places, range) else tuple(places)
        for (method, taken_by), found in zip(there, answers, strict=True):
            result = replace(self._result(method, taken_by, rows, found[: len(rows)]), among=among)
            results += [result] if not taken_by.has_option else [result, _decided(result, taken_by, found[: len(rows)])]
        return results

    def _result(
        self, method: Method, taken: Taken, rows: Sequence[Demonstration], answers: Sequence[Answered]
    ) -> Evaluation:
        """Of these rows and the answers to them."""
        there = [answer for answer in answers if answer.label]
        if not there:
            problem = next(answer.problem for answer in reversed(answers))
            raise DataError(f"{method.name} could answer none of the {len(rows):,} test rows. The last one: {problem}")
        latencies = [answer.seconds for answer in taken.alone if answer.label] or [float("nan")]
        low, median, high, slow = (float(np.percentile(latencies, part)) for part in (25, 50, 75, 95))
        together = [answer for answer in taken.together if answer.label]
        packed = [answer.seconds for answer in together if not answer.cold] or [each.seconds for each in together]
        spent, gold = sum(packed), tuple(row.label for row in rows)
        return Evaluation(
            method=method.name,
            title=method.title,
            may_read=method.may_read,
            setup_seconds=taken.setup_seconds,
            latency_n=sum(bool(answer.label) for answer in taken.alone),
            latency_p50_seconds=median,
            latency_p95_seconds=slow,
            latency_iqr_seconds=high - low,
            throughput_n=len(packed),
            queries_per_second=len(packed) / spent if spent else None,
            context_tokens=float(np.mean([answer.context_tokens for answer in there])),
            example_tokens=float(np.mean([answer.example_tokens for answer in there])),
            kv_bytes=taken.kv_bytes,
            gold=gold,
            predicted=tuple(answer.label for answer in answers),
            probabilities=tuple(answer.probability for answer in answers),
            unseen_labels=tuple(sorted(set(gold) - set(self.setup.task.pool.labels))),
            unanswered=len(answers) - len(there),
            out_of_scope=self.out_of_scope,
            no_option=(taken.option or {}).get("problem", ""),
        )


def _decided(plain: Evaluation, taken: Taken, answers: Sequence[Answered]) -> Evaluation:
    """The same answers with the method's reject option."""
    option = RejectOption.from_json(taken.option or {})
    return replace(
        plain,
        method=plain.method + WITH_OPTION,
        title=f"{plain.title}, with reject option",
        setup_seconds=plain.setup_seconds + option.seconds,
        predicted=tuple(answer.decided for answer in answers),
        probabilities=tuple(answer.decided_probability for answer in answers),
        nearest=tuple(answer.nearest for answer in answers),
        in_scope_scores=tuple(answer.in_scope_score for answer in answers),
        option=option,
    )


def timed_of(test: Sequence[Demonstration]) -> list[Demonstration]:
    """The rows whose latency is measured: `SAMPLE` of them, spread evenly, or all where there are fewer."""
    return [test[place] for place in timed_places(len(test))]


def timed_places(rows: int) -> list[int]:
    """Their places, of so many rows."""
    return [int(place) for place in np.linspace(0, rows - 1, min(SAMPLE, rows))]


def settings_of(
    methods: Sequence[Method],
    setup: Setup,
    test: Sequence[Demonstration],
    out_of_scope: str | None,
    *,
    reject: bool = False,
) -> dict[str, Any]:
    """All that answers and times depend on, as plain values; rows by their number and a hash."""
    task, plan = setup.task, setup.plan
    model, pool = task.model, task.pool
    return {
        "model": {
            "name": model.name,
            "signature": model.signature,
            "device": str(model.device),
            "dtype": str(model.shape.dtype).removeprefix("torch."),
        },
        "prompt": asdict(task.template),
        "data": {
            "rows": len(pool),
            "labels": len(pool.labels),
            "fingerprint": pool.fingerprint,
            "held_out": len(setup.held_out),
        },
        "test": {"rows": len(test), "fingerprint": fingerprint_of(test, ())},
        "encode": asdict(plan.settings) | {"pool_tokens": plan.tokens},
        "encoded": {"rows": len(setup.rows), "fingerprint": _hash([list(block.rows) for block in setup.blocks])},
        "methods": {method.name: _used(method) for method in methods},
        "out_of_scope": out_of_scope,
        "reject": reject,
    }


def _used(method: Method) -> dict[str, Any]:
    return {name: getattr(method.settings, name) for name in sorted(method.uses)}


def _hash(plain: Any) -> str:
    return sha256(json.dumps(plain).encode()).hexdigest()
