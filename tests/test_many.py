"""What holds for many queries asked together: each answer is the one that it has alone, in its place."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from dbsa_core.data import Pool
from dbsa_core.devices import CPU, CUDA
from dbsa_core.errors import CapacityError, QueryError, SettingsError
from dbsa_core.methods import METHODS, Setup, answering, classifier_alone, make_method
from dbsa_core.methods.base import Method
from dbsa_core.methods.zero_shot import ZeroShot
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prediction import Prediction
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.stage1 import memory
from dbsa_core.stage2 import prefix, scoring
from dbsa_core.stage2.query_batch import QueryBatch
from dbsa_core.task import Task
from tests.asking import ASKING
from tests.tiny import tiny_model

LABELS = ("fruit", "tool", "sky_blue")
PAIRS = [(f"{thing} {colour} {i}", LABELS[i % 3]) for i, thing in enumerate(
    ("apple", "hammer", "cloud", "pear", "saw", "rain", "mango", "drill", "snow")
) for colour in ("red", "old", "big")]  # fmt: skip
QUERIES = ["apple red", "a cloud that is big", "hammer", "saw old " * 12, "apple red", "rain 5", "x", "pear big 3"]
SETTINGS = QuerySettings(ratio=0.4, fresh_demonstrations=2)
ROOMS = [150, 4096]
"""Tokens of queries that are asked together: a few, all."""


@pytest.fixture(params=["gathered", "in place", "by one operator"])
def setup(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Setup:
    monkeypatch.setattr(memory, "policy_for", lambda device: replace(CPU, reads_in_place=request.param != "gathered"))
    monkeypatch.setattr(scoring, "can_capture", lambda model: request.param == "by one operator")
    return setup_by(request.param)


@cache
def setup_by(way: str) -> Setup:
    """Encoded once by each way."""
    model = tiny_model("llama", max_position_embeddings=2048)
    return Setup.of(Task(model, Pool.of(PAIRS)), EncodeSettings(pool_tokens=1200, block_size=4)).encode()


@pytest.fixture
def room(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    give_room(monkeypatch, request.param)


def give_room(monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    monkeypatch.setattr(
        answering, "policy_for", lambda device: replace(CPU, batch_tokens=tokens, batch_query_tokens=tokens)
    )


def same(ours: Prediction | QueryError, theirs: Prediction) -> None:
    assert isinstance(ours, Prediction)
    for name in ("label", "query", "method", "context_tokens", "example_tokens", "demonstration_rows", "equal_rows"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert (ours.selection, ours.notes, ours.taught) == (theirs.selection, theirs.notes, theirs.taught)
    difference = np.abs(ours.scores.log_probs - theirs.scores.log_probs).max()
    assert difference <= 1e-5 * np.abs(theirs.scores.log_probs).max()
    assert set(ours.seconds) == set(theirs.seconds)


def made(name: str, setup: Setup, **changes: Any) -> Method:
    return make_method(name, replace(SETTINGS, **changes)).fit(setup)


@pytest.mark.parametrize("room", ROOMS, indirect=True)
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.usefixtures("room")
def test_each_answer_is_the_one_alone(setup: Setup, name: str) -> None:
    method = made(name, setup)
    for ours, query in zip(method.predict_many(QUERIES), QUERIES, strict=True):
        same(ours, method.predict(query))


@pytest.mark.parametrize("name", ASKING)
def test_greedy_too(setup: Setup, name: str) -> None:
    method, few = made(name, setup, decode="greedy"), QUERIES[:3]
    for ours, query in zip(method.predict_many(few), few, strict=True):
        alone = method.predict(query)
        assert isinstance(ours, Prediction)
        assert (ours.label, ours.scores.way) == (alone.label, "greedy")
        assert ours.scores.log_probs[ours.scores.best] == pytest.approx(alone.scores.log_probs[alone.scores.best])


@pytest.mark.parametrize("name", ASKING)
def test_a_query_that_cannot_be_answered_has_its_error_in_its_place(setup: Setup, name: str) -> None:
    method = made(name, setup)
    asked = ["", QUERIES[0], "z" * 3000, "\x00", QUERIES[1]]
    found = list(method.predict_many(asked))
    assert [isinstance(one, QueryError) for one in found] == [True, False, True, True, False]
    assert "The query is empty" in str(found[0])
    assert "Shorten the query" in str(found[2])
    for place in (1, 4):
        same(found[place], method.predict(asked[place]))
    assert list(method.predict_many([])) == []


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of each forward."""
    run, answer, ran = LanguageModel.run, QueryBatch.answer, []

    def counted(model: LanguageModel, token_ids: Any, *given: Any, **named: Any) -> Any:
        ran.append(len(token_ids))
        return run(model, token_ids, *given, **named)

    def batch(self: QueryBatch) -> Any:
        ran.append(sum(len(one.prompt) + len(one.nodes.tokens) for one in self.asked))
        return answer(self)

    monkeypatch.setattr(LanguageModel, "run", counted)
    monkeypatch.setattr(QueryBatch, "answer", batch)
    return ran


@pytest.mark.parametrize("name", ["dbsa", "dbsa_fresh", "fixed_icl", "nearest", "zero_shot"])
def test_few_forwards_are_taken_and_none_is_larger_than_it_may_be(
    setup: Setup, name: str, forwards: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    method = made(name, setup)
    for tokens, most in ((4096, 1), (500, 6)):
        give_room(monkeypatch, tokens)
        forwards.clear()
        assert len(list(method.predict_many(QUERIES))) == len(QUERIES)
        assert len(forwards) <= most
        assert max(forwards) <= tokens


def test_queries_and_answers_are_taken_as_they_are_asked_for(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file need not be read to its end, nor a batch be waited for beyond the next."""
    taken: list[str] = []

    def endless() -> Iterator[str]:
        while True:
            taken.append("apple red")
            yield "apple red"

    give_room(monkeypatch, 200)
    answers = made("zero_shot", setup).predict_many(endless())
    assert taken == []
    assert len(list(islice(answers, 3))) == 3
    assert 3 <= len(taken) <= 10


def test_what_several_choose_is_gathered_once_and_no_more_than_memory_holds(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, forwards: list[int]
) -> None:
    give_room(monkeypatch, 4096)
    chosen: list[tuple[int, ...]] = []

    def counted(model: Any, encoded: Any, block_ids: Any) -> Any:
        chosen.append(tuple(block_ids))
        return prefix.assemble(model, encoded, block_ids)

    monkeypatch.setattr("dbsa_core.methods.dbsa.assemble", counted)
    method = made("dbsa", setup, fresh_demonstrations=0)
    by_choice = {question(method, query).block_ids: query for query in ("apple", "drill snow", "pear old", "rain big")}
    one, other, *_ = by_choice.values()
    queries = [one, other, one, one, other]
    found = list(method.predict_many(queries))
    assert len(forwards) == 1
    assert len(chosen) == 2, "each choice once"
    for ours, query in zip(found, queries, strict=True):
        same(ours, method.predict(query))
    gathers = question(method, one).gathered_bytes > 0
    monkeypatch.setattr(answering, "free_memory", lambda device: 0)
    forwards.clear()
    list(method.predict_many(queries))
    # One whose blocks are gathered fits alone; what others chose already costs nothing.
    assert len(forwards) == (4 if gathers else 1)


def question(method: Method, query: str) -> answering.Question:
    assert isinstance(method, answering.Answers)
    return method.question(query)


def test_a_query_that_fills_the_device_by_itself_is_asked_alone(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, forwards: list[int]
) -> None:
    method, nodes = made("zero_shot", setup), scoring.nodes_at_once(setup.task.trie, setup.task.model)
    sizes = [len(question(method, query).prompt) + nodes for query in QUERIES]
    most = sorted(sizes)[-2]
    assert sizes.index(max(sizes)) == 3
    policy = replace(CPU, batch_tokens=4096, batch_query_tokens=most)
    monkeypatch.setattr(answering, "policy_for", lambda device: policy)
    found = list(method.predict_many(QUERIES))
    assert [one.together for one in found if isinstance(one, Prediction)] == [3, 3, 3, 1, 4, 4, 4, 4]
    assert [sum(sizes[:3]), sizes[3], sum(sizes[4:])] == forwards


def test_logits_of_a_forward_are_bounded(setup: Setup, monkeypatch: pytest.MonkeyPatch, forwards: list[int]) -> None:
    method = made("zero_shot", setup)
    nodes = scoring.nodes_at_once(setup.task.trie, setup.task.model)
    vocabulary = setup.task.model.model.config.vocab_size
    monkeypatch.setattr(answering, "policy_for", lambda device: CUDA)
    monkeypatch.setattr(answering, "BATCH_LOGITS", 2 * (1 + nodes) * vocabulary)
    assert len(list(method.predict_many(QUERIES))) == len(QUERIES)
    assert len(forwards) == len(QUERIES) / 2


def test_where_memory_runs_out_they_are_asked_in_halves(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    give_room(monkeypatch, 4096)
    method, together, sizes = made("dbsa", setup), scoring.score_together, []

    def small(queries: Any, *given: Any, **named: Any) -> Any:
        sizes.append(len(queries))
        if len(queries) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return together(queries, *given, **named)

    monkeypatch.setattr(answering, "score_together", small)
    with caplog.at_level(logging.INFO, "dbsa_core"):
        found = list(method.predict_many(QUERIES))
    assert sizes == [8, 4, 2, 2, 4, 2, 2]
    assert "8 queries at once did not fit" in caplog.text
    for ours, query in zip(found, QUERIES, strict=True):
        same(ours, method.predict(query))


def test_where_one_alone_has_no_memory_the_error_says_what_to_do(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    method = made("zero_shot", setup)

    def fails(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(LanguageModel, "run", fails)
    monkeypatch.setattr(QueryBatch, "answer", fails)
    found = list(method.predict_many(QUERIES))
    assert all(isinstance(one, CapacityError) and "shorten the query" in str(one) for one in found)
    assert len(found) == len(QUERIES)


def test_what_was_asked_before_a_fault_is_answered(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    method, own = made("zero_shot", setup), ZeroShot.question

    def faulty(self: ZeroShot, query: str) -> answering.Question:
        if query == "hammer":
            raise ZeroDivisionError
        return own(self, query)

    monkeypatch.setattr(ZeroShot, "question", faulty)
    answers = method.predict_many(["apple red", "x", "hammer", "rain"])
    assert [one.query for one in islice(answers, 2) if isinstance(one, Prediction)] == ["apple red", "x"]
    with pytest.raises(ZeroDivisionError):
        next(answers)


@pytest.mark.parametrize("name", METHODS)
def test_what_was_taught_is_answered_as_it_was_taught(setup: Setup, name: str) -> None:
    method = made(name, setup).teach("a new thing", "gadget")
    found = list(method.predict_many(["a new thing", "apple red"]))
    assert isinstance(found[0], Prediction)
    assert found[0].label == "gadget"
    for ours, query in zip(found, ("a new thing", "apple red"), strict=True):
        same(ours, method.predict(query))


def test_seconds_are_shares_of_what_all_took(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    give_room(monkeypatch, 4096)
    clock = [0.0]

    def tick(*_: Any) -> float:
        clock[0] += 1.0
        return clock[0]

    monkeypatch.setattr(answering, "now", tick)
    found = [one for one in made("dbsa", setup).predict_many(QUERIES) if isinstance(one, Prediction)]
    assert sum(one.seconds["forward"] for one in found) == pytest.approx(1)
    assert sum(one.seconds["assemble"] for one in found) == pytest.approx(1)
    for one in found:
        parts = sum(one.seconds[name] for name in ("retrieve", "assemble", "forward"))
        assert one.seconds["total"] >= parts > 0
    longest = max(found, key=lambda one: one.scores.tokens)
    assert longest.seconds["forward"] == max(one.seconds["forward"] for one in found)


def test_the_first_of_a_kind_is_cold_and_the_next_is_not(setup: Setup) -> None:
    method = made("zero_shot", setup)
    setup.task.model._seen_kinds.clear()
    for cold in (True, False):
        found = [one for one in method.predict_many(QUERIES[:2]) if isinstance(one, Prediction)]
        assert [one.cold for one in found] == [cold, cold]


@pytest.mark.parametrize("name", METHODS)
def test_what_is_taught_between_two_answers_holds_from_the_next_query_on(
    setup: Setup, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that was read already, but not asked: it is answered as it was read."""
    method, before = made(name, setup), made(name, setup)
    give_room(monkeypatch, 170)
    monkeypatch.setattr(classifier_alone, "AT_ONCE", 2)
    answers = method.predict_many(["apple red"] * 6)
    for _ in range(2):
        same(next(answers), before.predict("apple red"))
    method.teach("apple red", "gadget")
    found = [one for one in answers if isinstance(one, Prediction)]
    assert {one.taught for one in found} <= {None, "gadget"}
    assert found[-1].taught == "gadget"
    for one in found:
        alone = method if one.taught else before
        same(one, alone.predict("apple red"))


@pytest.mark.parametrize("name", METHODS)
def test_a_method_that_is_not_fitted_says_so_at_once(name: str) -> None:
    with pytest.raises(SettingsError, match="is not fitted"):
        make_method(name).predict_many(["x"])
