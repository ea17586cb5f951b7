"""What holds for evaluation, counted by hand on methods that answer by a list."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pytest

from dbsa_core import setup as setups
from dbsa_core.data import Demonstration, Pool
from dbsa_core.errors import Cancelled, CapacityError, DataError, QueryError
from dbsa_core.evaluation import SAMPLE, Evaluation, EvaluationStopped, evaluate, running, timed_of
from dbsa_core.methods import MayRead, Refusal, Setup, make_method
from dbsa_core.methods.base import Cost
from dbsa_core.prediction import Prediction
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.setup import encode
from dbsa_core.stage2.label_scores import LabelScores
from dbsa_core.task import Task
from tests.asking import ASKING
from tests.tiny import tiny_model

LABELS = ("cold", "hot", "mild")


@dataclass
class ByList:
    """Answers the label that is the query's first word, in as many seconds as its second says; refuses "long"."""

    name: str = "by_list"
    title: str = "By a list"
    may_read: MayRead = "none"
    reads_blocks: bool = False
    uses: frozenset[str] = frozenset({"ratio"})
    settings: QuerySettings = field(default_factory=QuerySettings)
    fitted: list[Setup] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    together: list[str] = field(default_factory=list)

    def cost(self, setup: Setup) -> Cost:
        return Cost(0, 0)

    def fit(self, setup: Setup) -> ByList:
        self.fitted.append(setup)
        return self

    def predict(self, query: str, *, attention: bool = False) -> Prediction:
        self.asked.append(query)
        label, seconds = query.split()
        if label == "long":
            raise QueryError("The query is too long.")
        scores = np.log(np.where(np.array(LABELS) == label, 0.8, 0.1))
        found = LabelScores(LABELS, scores, "one_pass", LABELS.index(label), 1, 1)
        return Prediction(self.name, query, found, 1, {"total": float(seconds)}, len(self.asked) == 1)

    def predict_many(self, queries: Iterable[str]) -> Iterator[Prediction | Refusal]:
        """The same answers in a tenth of the time, but that the first takes 100 s."""
        for query in queries:
            self.together.append(query)
            try:
                found = ByList().predict(query)
            except QueryError as error:
                yield error
                continue
            first = len(self.together) == 1
            seconds = 100.0 if first else found.seconds["total"] / 10
            yield replace(found, seconds={"total": seconds}, cold=first, together=4)


@pytest.fixture(scope="module")
def setup() -> Setup:
    pool = Pool.of([(f"day {i} was {LABELS[i % 3]}", LABELS[i % 3]) for i in range(12)])
    return Setup.of(Task(tiny_model("llama"), pool), EncodeSettings(pool_tokens=300, block_size=2))


def rows(*pairs: tuple[str, str]) -> list[Demonstration]:
    return [Demonstration(text, label, number) for number, (text, label) in enumerate(pairs, 1)]


def result(setup: Setup, test: Sequence[Demonstration], method: Any = None) -> Evaluation:
    (found,) = evaluate([method or ByList()], setup, test)
    return found


def test_accuracy_is_the_share_of_rows_whose_label_is_answered(setup: Setup) -> None:
    found = result(setup, rows(("hot 1", "hot"), ("cold 1", "hot"), ("mild 1", "mild"), ("cold 1", "cold")))
    assert (found.method, found.n, found.accuracy) == ("by_list", 4, 0.75)
    assert found.gold == ("hot", "hot", "mild", "cold")
    assert found.predicted == ("hot", "cold", "mild", "cold")
    assert (found.unseen_labels, found.unanswered) == ((), 0)


def test_latencies_are_percentiles_of_whole_queries_without_the_cold_one(setup: Setup) -> None:
    method = ByList()
    seconds = [9, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11]
    found = result(setup, rows(*((f"hot {s}", "hot") for s in seconds)), method)
    assert method.asked == ["hot 9", *(f"hot {s}" for s in seconds)], "the first query is asked once more, cold"
    assert method.together == [f"hot {s}" for s in seconds]
    assert found.latency_p50_seconds == 6
    assert found.latency_p95_seconds == pytest.approx(10.5)
    assert found.latency_iqr_seconds == pytest.approx(8.5 - 3.5)
    assert found.latency_n == 11
    assert len(method.fitted) == 1
    assert method.fitted[0] is setup


def test_the_throughput_is_of_queries_asked_together_without_the_cold_ones(setup: Setup) -> None:
    found = result(setup, rows(("hot 50", "hot"), ("hot 3", "hot"), ("long 1", "hot"), ("cold 5", "cold")))
    assert (found.throughput_n, found.queries_per_second) == (2, pytest.approx(2 / 0.8))
    (alone,) = evaluate([ByList()], setup, rows(("hot 50", "hot")))
    assert (alone.throughput_n, alone.queries_per_second) == (1, 0.01), "the cold one where there is no other"


def test_latencies_are_those_of_a_sample_spread_evenly(setup: Setup) -> None:
    test = rows(*((f"hot {i}", "hot") for i in range(1, 101)))
    one, other = evaluate([ByList("one"), ByList("other")], setup, test), evaluate([ByList("one")], setup, test)
    assert [found.latency_n for found in (*one, *other)] == [SAMPLE] * 3
    assert one[0].latency_p50_seconds == other[0].latency_p50_seconds, "the same rows each time"
    assert abs(one[0].latency_p50_seconds - 50.5) < 1
    assert (timed_of(test)[0], timed_of(test)[-1]) == (test[0], test[-1])
    assert timed_of(test[:3]) == test[:3]


def test_where_no_row_of_the_sample_can_be_answered_others_are_timed(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "SAMPLE", 2)
    test = rows(("long 1", "hot"), ("hot 7", "hot"), ("hot 8", "hot"), ("hot 9", "hot"), ("long 1", "hot"))
    found = result(setup, test)
    assert (found.latency_n, found.latency_p50_seconds, found.unanswered) == (2, 7.5, 2)


def test_a_row_that_cannot_be_answered_counts_as_wrong_and_ends_nothing(setup: Setup) -> None:
    test = rows(("long 1", "hot"), ("hot 3", "hot"), ("long 1", "cold"), ("cold 5", "cold"))
    method = ByList()
    found = result(setup, test, method)
    assert method.asked == ["long 1", "hot 3", "hot 3", "long 1", "cold 5"], (
        "the first that is answered is the cold one"
    )
    assert (found.n, found.accuracy, found.unanswered, found.latency_n) == (4, 0.5, 2, 2)
    assert found.predicted == ("", "hot", "", "cold")
    assert found.latency_p50_seconds == 4, "of the queries that were answered"
    assert found.as_json()["unanswered"] == 2


def test_where_no_row_can_be_answered_the_reason_is_said(setup: Setup) -> None:
    with pytest.raises(DataError, match=r"by_list could answer none of the 2 test rows.*The query is too long\."):
        result(setup, rows(("long 1", "hot"), ("long 2", "cold")))


@pytest.mark.parametrize("name", ASKING)
def test_a_row_too_long_for_a_real_method_is_one_wrong_row(setup: Setup, name: str) -> None:
    test = rows(("day 1", "hot"), ("x" * 600, "hot"), ("day 2", "cold"))
    found = result(setup, test, make_method(name))
    assert (found.n, found.unanswered, found.predicted[1]) == (3, 1, "")
    assert found.accuracy == sum(a == b for a, b in zip(found.predicted, ("hot", "hot", "cold"), strict=True)) / 3
    assert set(found.predicted) - {""} <= set(LABELS)


def test_labels_that_are_no_candidates_count_as_wrong_and_are_named(setup: Setup) -> None:
    found = result(setup, rows(("hot 1", "hot"), ("cold 1", "windy"), ("cold 1", "rainy"), ("mild 1", "windy")))
    assert (found.accuracy, found.n) == (0.25, 4)
    assert found.unseen_labels == ("rainy", "windy")
    assert found.as_json()["unseen_labels"] == ["rainy", "windy"]


def test_no_test_rows_are_refused(setup: Setup) -> None:
    with pytest.raises(DataError, match="no test rows"):
        result(setup, [])


def test_methods_take_turns_query_by_query_with_progress_after_each(setup: Setup) -> None:
    order: list[tuple[str, str]] = []

    class Ordered(ByList):
        def predict(self, query: str, *, attention: bool = False) -> Prediction:
            order.append((self.name, query))
            return super().predict(query, attention=attention)

        def predict_many(self, queries: Iterable[str]) -> Iterator[Prediction | Refusal]:
            for query, answer in zip(queries, super().predict_many(queries), strict=True):
                order.append((f"{self.name}, many", query))
                yield answer

    said: list[tuple[int, int]] = []
    test = rows(("hot 1", "hot"), ("long 1", "hot"), ("cold 2", "cold"))
    found = evaluate([Ordered("one"), Ordered("two")], setup, test, on_progress=lambda *step: said.append(step))
    assert [result.method for result in found] == ["one", "two"]
    assert said == [(i, 6) for i in range(1, 7)], "the sample, which is all of them here, then all"
    cold = [(name, "hot 1") for name in ("one", "one", "two", "two")]
    alone = [(name, text) for text in ("long 1", "cold 2") for name in ("one", "two")]
    together = [(f"{name}, many", row.text) for row in test for name in ("one", "two")]
    assert order == [*cold, *alone, *together]


def test_a_method_that_does_not_fit_is_left_out_and_the_others_go_on(setup: Setup) -> None:
    class Full(ByList):
        def fit(self, setup: Setup) -> ByList:
            raise CapacityError("No room for the pool.")

    class FullLater(ByList):
        def predict(self, query: str, *, attention: bool = False) -> Prediction:
            if query == "hot 2":
                raise CapacityError("No room for the query.")
            return super().predict(query, attention=attention)

    class FullTogether(ByList):
        def predict_many(self, queries: Iterable[str]) -> Iterator[Prediction | Refusal]:
            for answer in super().predict_many(queries):
                yield CapacityError("No room beside others.") if answer.query == "hot 2" else answer  # type: ignore[union-attr]

    test, told = rows(("hot 1", "hot"), ("hot 2", "hot"), ("hot 3", "hot")), {}
    methods = [Full("full"), FullLater("later"), ByList("good"), FullTogether("together")]
    (found,) = evaluate(methods, setup, test, on_refused=lambda name, error: told.update({name: str(error)}))
    assert (found.method, found.n, found.accuracy) == ("good", 3, 1)
    reasons = ("No room for the pool.", "No room for the query.", "No room beside others.")
    assert told == dict(zip(("full", "later", "together"), reasons, strict=True))
    with pytest.raises(CapacityError, match="No room for the pool"):
        evaluate(methods, setup, test)
    with pytest.raises(CapacityError, match="No room for the query"):
        evaluate(methods[:2], setup, test, on_refused=lambda *_: None)


def test_a_stopped_evaluation_keeps_the_rows_that_every_method_answered(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(ByList):
        def predict(self, query: str, *, attention: bool = False) -> Prediction:
            if query == "hot 3":
                raise KeyboardInterrupt
            return super().predict(query, attention=attention)

    class StoppedTogether(ByList):
        def predict_many(self, queries: Iterable[str]) -> Iterator[Prediction | Refusal]:
            yield from super().predict_many(list(queries)[:2])
            raise KeyboardInterrupt

    test = rows(("hot 1", "hot"), ("hot 2", "cold"), ("hot 3", "hot"))
    for stopped, sample, throughput in ((Stopped("two"), 3, None), (StoppedTogether("two"), 1, 5)):
        monkeypatch.setattr(running, "SAMPLE", sample)
        with pytest.raises(EvaluationStopped) as stop:
            evaluate([ByList("one"), stopped], setup, test)
        found = [(found.method, found.n, found.accuracy) for found in stop.value.results]
        assert found == [("one", 2, 0.5), ("two", 2, 0.5)]
        assert stop.value.results[1].queries_per_second == throughput
    monkeypatch.setattr(running, "SAMPLE", 3)
    five = rows(("hot 1", "hot"), ("hot 5", "hot"), ("hot 2", "cold"), ("hot 5", "hot"), ("hot 3", "hot"))
    with pytest.raises(EvaluationStopped) as stop:
        evaluate([ByList("one"), Stopped("two")], setup, five)
    one, _ = stop.value.results
    assert ([*one.places], one.gold) == ([0, 2], ("hot", "cold")), "of the sample"
    with pytest.raises(EvaluationStopped) as stop:
        evaluate([ByList("one"), Stopped("two")], setup, test[2:])
    assert stop.value.results == []


def test_results_so_far_can_be_looked_at_and_cancelled_work_keeps_them(setup: Setup) -> None:
    looks: list[Any] = []
    seen: list[list[tuple[str, int]]] = []

    class Cancels(ByList):
        def predict_many(self, queries: Iterable[str]) -> Iterator[Prediction | Refusal]:
            yield from super().predict_many(list(queries)[:2])
            raise Cancelled("Stopped.")

    def look(*_: int) -> None:
        seen.append([(found.method, found.n) for found in looks[0]()])

    test = rows(("long 1", "hot"), ("hot 2", "cold"), ("hot 3", "hot"))
    with pytest.raises(EvaluationStopped) as stop:
        evaluate([ByList("one"), Cancels("two")], setup, test, on_begun=looks.append, on_progress=look)
    assert [[n for _, n in each] for each in seen] == [[], [2, 2], [3, 3], [3, 3], [3, 3]], "none of unanswered rows"
    assert [(found.method, found.n, found.unanswered) for found in stop.value.results] == [("one", 3, 1), ("two", 3, 1)]


def test_setup_seconds_are_those_of_fitting(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("dbsa_core.methods.fitting.now", lambda device: clock[0])

    class Slow(ByList):
        def fit(self, setup: Setup) -> ByList:
            clock[0] += 7
            return super().fit(setup)

    slow, quick = evaluate([Slow("slow"), ByList("quick")], setup, rows(("hot 1", "hot")))
    assert (slow.setup_seconds, quick.setup_seconds) == (7, 0)


def test_a_method_that_reads_blocks_bears_their_encoding_once(setup: Setup) -> None:
    slow = replace(setup, encoded=replace(setup.encode().encoded_pool(), seconds=1000.0))
    test = rows(("hot 1", "hot"))
    assert 1000 <= result(slow, test, ByList(reads_blocks=True)).setup_seconds < 1010
    assert result(slow, test, ByList()).setup_seconds < 10


def test_the_pool_is_encoded_once_for_all_methods_and_only_where_one_reads_it(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, calls = setups, []

    def slow(*given: Any, **options: Any) -> Any:
        calls.append(options["on_progress"])
        return replace(encode(*given, **options), seconds=1000.0)

    monkeypatch.setattr(module, "encode", slow)
    methods = [ByList("plain"), ByList("one", reads_blocks=True), ByList("two", reads_blocks=True)]
    told: list[Any] = []
    found = evaluate(methods, setup, rows(("hot 1", "hot")), on_encoding=told.append)
    assert len(calls) == 1
    assert told, "the encoding tells how far it is"
    assert [result.setup_seconds >= 1000 for result in found] == [False, True, True]
    assert len({id(made) for method in methods for made in method.fitted}) == 1, "all on the same setup"
    assert setup.encoded is None, "and that of the caller is as it was"
    evaluate(methods[:1], setup, rows(("hot 1", "hot")))
    assert len(calls) == 1


def test_a_pool_that_cannot_be_encoded_leaves_the_methods_that_do_not_read_it(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def fails(*_: Any, **__: Any) -> None:
        calls.append("encode")
        raise CapacityError("Memory ran out.")

    monkeypatch.setattr(setups, "encode", fails)
    methods = [ByList("one", reads_blocks=True), ByList("plain"), ByList("two", reads_blocks=True)]
    told: list[str] = []
    (found,) = evaluate(methods, setup, rows(("hot 1", "hot")), on_refused=lambda name, _: told.append(name))
    assert (found.method, told, calls) == ("plain", ["one", "two"], ["encode"])


def test_a_result_as_json_holds_the_numbers_and_no_single_answers(setup: Setup) -> None:
    found = cast("dict[str, Any]", json.loads(json.dumps(result(setup, rows(("hot 2", "hot"))).as_json())))
    assert found.pop("setup_seconds") >= 0
    low = pytest.approx(0.2065, abs=1e-3)  # of one row
    assert found == {
        "method": "by_list",
        "n": 1,
        "accuracy": 1.0,
        "accuracy_low": low,
        "accuracy_high": 1.0,
        "macro_f1": 1.0,
        "macro_f1_low": 1.0,
        "macro_f1_high": 1.0,
        "calibration_error": pytest.approx(0.2),
        "latency_n": 1,
        "latency_p50_seconds": 2.0,
        "latency_p95_seconds": 2.0,
        "latency_iqr_seconds": 0.0,
        "throughput_n": 1,
        "queries_per_second": 0.01,
        "context_tokens": 1.0,
        "example_tokens": 0.0,
        "kv_bytes": 0,
    }


def test_what_is_out_of_scope_is_told_apart(setup: Setup) -> None:
    test = rows(("hot 1", "hot"), ("cold 1", "hot"), ("mild 1", "mild"), ("hot 1", "mild"), ("hot 1", "mild"))
    (found,) = evaluate([ByList()], setup, test, out_of_scope="mild")
    assert found.in_scope_accuracy is not None
    assert found.oos_recall is not None
    assert (found.in_scope_accuracy.value, found.oos_recall.value) == (0.5, pytest.approx(1 / 3))
    assert found.as_json()["oos_recall_high"] == found.oos_recall.high
    (found,) = evaluate([ByList()], setup, test[:2], out_of_scope="mild")
    assert found.oos_recall is None
    assert "oos_recall" not in found.as_json()
    assert "in_scope_accuracy" not in result(setup, test).as_json()


def test_what_a_method_keeps_is_counted(setup: Setup) -> None:
    test = rows(("day 1 was hot", "hot"))
    blocks, whole, nothing = evaluate([make_method(name) for name in ("dbsa", "fixed_icl", "tfidf")], setup, test)
    each = setup.task.model.shape.bytes_per_token
    assert whole.kv_bytes == setup.plan.tokens * each
    assert blocks.kv_bytes == setup.encode().encoded_pool().num_bytes
    assert (nothing.kv_bytes, nothing.context_tokens) == (0, 0)
    assert whole.context_tokens > setup.plan.tokens
