"""What if: the last query with other settings, beside its answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from app.server.answered import Answer
from app.server.asking import begin_query, classify_text
from app.server.comparing import compare_with, give_up
from app.server.jobs import Job
from app.server.session import Session
from app.server.what_if import AT_MOST, may_try, take_up, trials, tried, try_settings
from app.server.workspace import Workspace
from app.tabs.answer import render_views
from dbsa_core.errors import Cancelled, DataError, SettingsError
from dbsa_core.interrupt import stop_if_cancelled
from dbsa_core.methods.dbsa import Dbsa
from dbsa_core.methods.retrieval_icl import RetrievalIcl
from dbsa_core.prediction import Prediction
from dbsa_core.settings import QuerySettings
from tests.app.pages import text_of
from tests.app.server.pools import SOON, encoded

QUERY = "text about water"


def asked(workspace: Workspace, session: Session) -> Answer:
    answer = classify_text(workspace, encoded(workspace, session), QUERY, compare=False)
    workspace.runs.of(answer)
    return answer


def test_a_trial_answers_as_a_query_with_these_settings_and_changes_nothing(
    workspace: Workspace, session: Session
) -> None:
    answer, in_force = asked(workspace, session), session.query_settings
    try_settings(workspace, session, 0.6, 0, "least_to_most")
    (trial,) = trials(session)
    assert (session.answer, session.query_settings) == (answer, in_force)
    assert [past.run for past in session.history] == [answer.id]
    found = workspace.runs.get(trial.run)
    assert found is not None
    session.query_settings = replace(in_force, ratio=0.6, fresh_demonstrations=0, order="least_to_most")
    same = classify_text(workspace, session, QUERY, compare=False).prediction
    assert same.selection is not None
    assert found.read == same.selection.block_ids
    assert found.method.method == same.method == "dbsa"
    shares = {label.name: label.probability for label in found.method.best}
    assert shares == {name: same.probabilities[name] for name in shares}
    assert not found.method.cold


def test_a_warm_up_is_no_time_of_a_trial(
    workspace: Workspace, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(workspace, session)
    predict, first = Dbsa.predict, [True, False]

    def cold(self: Dbsa, query: str, **options: Any) -> Prediction:
        return replace(predict(self, query, **options), cold=first.pop(0))

    monkeypatch.setattr(Dbsa, "predict", cold)
    try_settings(workspace, session, 0.5, 8, "pool")
    found = workspace.runs.get(trials(session)[0].run)
    assert found is not None
    assert not found.method.cold


def test_settings_that_were_tried_are_not_asked_again(workspace: Workspace, session: Session) -> None:
    asked(workspace, session)
    for ratio in (0.2, 0.4):
        try_settings(workspace, session, ratio, 8, "pool")
    first = trials(session)
    assert [trial.settings.ratio for trial in first] == [0.4, 0.2]
    try_settings(workspace, session, 0.2, 8, "pool")
    assert trials(session) == (first[1], first[0])
    assert tried(session).ratio == 0.2
    try_settings(workspace, session, 0.3, 8, "pool")  # as it was asked
    assert len(trials(session)) == 2


def test_so_many_are_kept_and_another_answer_has_its_own(workspace: Workspace, session: Session) -> None:
    asked(workspace, session)
    for similar in range(AT_MOST + 1):
        try_settings(workspace, session, 0.5, similar, "pool")
    assert [trial.settings.fresh_demonstrations for trial in trials(session)] == [*range(AT_MOST, 0, -1)]
    classify_text(workspace, session, "text about fire", compare=False)
    assert trials(session) == ()
    assert tried(session) == session.query_settings
    try_settings(workspace, session, 0.5, 8, "pool")
    assert len(session.trials) == 1, "those of other answers are not held"


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Predictions with a ratio of 0.2 wait: set once one does, and to be set for it to go on."""
    reached, release = threading.Event(), threading.Event()
    predict = Dbsa.predict

    def wait(self: Dbsa, query: str, **options: Any) -> Prediction:
        if self.settings.ratio == 0.2:
            reached.set()
            for _ in range(1000):  # so that a fault in what is tested holds nobody up for good
                if release.wait(0.01):
                    break
                stop_if_cancelled()
        return predict(self, query, **options)

    monkeypatch.setattr(Dbsa, "predict", wait)
    yield reached, release
    release.set()


def test_a_newer_trial_takes_the_place_of_an_older_one(
    workspace: Workspace, session: Session, held: tuple[threading.Event, threading.Event]
) -> None:
    asked(workspace, session)
    with ThreadPoolExecutor() as pool:
        older = pool.submit(try_settings, workspace, session, 0.2, 8, "pool")
        assert held[0].wait(SOON)
        try_settings(workspace, session, 0.4, 8, "pool")
        with pytest.raises(Cancelled):
            older.result(SOON)
    assert [trial.settings.ratio for trial in trials(session)] == [0.4]


def test_what_was_sent_last_counts_and_not_what_arrives_last(workspace: Workspace, session: Session) -> None:
    asked(workspace, session)
    try_settings(workspace, session, 0.4, 8, "pool", 2000.5)
    with pytest.raises(Cancelled):
        try_settings(workspace, session, 0.5, 8, "pool", 2000.25)
    assert [trial.settings.ratio for trial in trials(session)] == [0.4]
    try_settings(workspace, session, 0.5, 8, "pool", 2001.0)
    assert [trial.settings.ratio for trial in trials(session)] == [0.5, 0.4]


def test_a_new_query_ends_what_is_tried(
    workspace: Workspace, session: Session, held: tuple[threading.Event, threading.Event]
) -> None:
    asked(workspace, session)
    with ThreadPoolExecutor() as pool:
        trying = pool.submit(try_settings, workspace, session, 0.2, 8, "pool")
        assert held[0].wait(SOON)
        begin_query(workspace, session, "text about fire", compare=False).outcome()
        with pytest.raises(Cancelled):
            trying.result(SOON)
    assert session.trials == ()


@pytest.fixture
def comparison(workspace: Workspace, session: Session, monkeypatch: pytest.MonkeyPatch) -> Job:
    """One that answers only when it is begun a second time."""
    asked(workspace, session)
    begun: list[str] = []
    running, predict = threading.Event(), RetrievalIcl.predict

    def slow(self: RetrievalIcl, query: str, **options: Any) -> Prediction:
        begun.append(query)
        running.set()
        until = time.monotonic() + 10
        while len(begun) == 1 and time.monotonic() < until:
            stop_if_cancelled()
        return predict(self, query, **options)

    monkeypatch.setattr(RetrievalIcl, "predict", slow)
    job = compare_with(workspace, session)
    assert running.wait(SOON)
    return job


def test_a_comparison_breaks_off_for_a_trial_and_begins_anew(
    workspace: Workspace, session: Session, comparison: Job
) -> None:
    try_settings(workspace, session, 0.5, 8, "pool")
    assert comparison.state == "stopped"
    again = workspace.job(session, "compare")
    assert again is not None
    assert again.wait(SOON)
    assert session.answer is not None
    assert [other.method for other in workspace.runs.of(session.answer).compared] == ["retrieval_icl"]


def test_a_comparison_that_waits_says_so_and_can_be_given_up(
    workspace: Workspace, session: Session, comparison: Job, held: tuple[threading.Event, threading.Event]
) -> None:
    with ThreadPoolExecutor() as pool:
        trying = pool.submit(try_settings, workspace, session, 0.2, 8, "pool")
        assert held[0].wait(SOON)
        assert "Retrieval ICL waits for what you try" in text_of(render_views(workspace, session)[1])
        give_up(workspace, session)
        held[1].set()
        trying.result(SOON)
    assert workspace.job(session, "compare") is comparison
    assert "Run comparison" in render_views(workspace, session)[1]


def test_what_was_tried_is_taken_up(workspace: Workspace, session: Session) -> None:
    asked(workspace, session)
    session.query_settings = QuerySettings(retriever="random")
    try_settings(workspace, session, 0.5, 4, "most_to_least")
    before = session.retuned
    take_up(session, trials(session)[0].run)
    assert session.query_settings == QuerySettings(0.5, 4, "random", order="most_to_least")
    assert session.retuned == before + 1
    with pytest.raises(DataError, match="no longer the last one"):
        take_up(session, "another")


def test_there_is_something_to_try_only_beside_an_answer_of_a_pool(workspace: Workspace, session: Session) -> None:
    assert not may_try(session)
    with pytest.raises(DataError, match="ask something once a pool is encoded"):
        try_settings(workspace, session, 0.5, 8, "pool")
    classify_text(workspace, session, QUERY, compare=False)
    assert not may_try(session)
    with pytest.raises(DataError, match="ask something once a pool is encoded"):
        try_settings(workspace, session, 0.5, 8, "pool")
    asked(workspace, session)
    assert may_try(session)
    session.look_at("another")
    assert not may_try(session)


def test_values_that_are_not_accepted_are_refused(workspace: Workspace, session: Session) -> None:
    asked(workspace, session)
    with pytest.raises(SettingsError, match="above 0 and at most 1"):
        try_settings(workspace, session, 0.0, 8, "pool")
    with pytest.raises(SettingsError, match="similar examples"):
        try_settings(workspace, session, 0.5, -1, "pool")
    assert session.trials == ()
