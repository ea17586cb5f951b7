"""Asking: with a pool and without one, again when it is there, and beside Retrieval ICL."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from app.server.asking import ask_again, begin_query, classify_text, stop_query
from app.server.comparing import compare_with, may_compare
from app.server.encoding import begin_encoding
from app.server.jobs import Job
from app.server.lanes import LANES
from app.server.session import Session
from app.server.workspace import Workspace
from dbsa_core import QuerySettings
from dbsa_core.errors import Cancelled, CapacityError, DataError, QueryError
from dbsa_core.files.tables import Table, read_table
from dbsa_core.interrupt import stop_if_cancelled
from dbsa_core.methods.dbsa import Dbsa
from dbsa_core.prediction import Prediction
from tests.app.server.pools import ROWS, SOON, encoded, held_halfway, write_csv


def test_encode_then_ask_then_compare(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    answer = classify_text(workspace, session, "text about water")
    assert answer.prediction.method == "dbsa_fresh"
    assert answer.prediction.attention is not None
    job = workspace.job(session, "compare")
    assert job is not None, "an estimate under ten seconds runs by itself"
    assert job.wait(SOON)
    assert [other.method for other in workspace.runs.of(answer).compared] == ["retrieval_icl"]
    session.query_settings = QuerySettings(fresh_demonstrations=0)
    assert classify_text(workspace, session, "text about water").prediction.method == "dbsa"


def test_a_dear_comparison_waits_to_be_asked_for(
    workspace: Workspace, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded(workspace, session)
    monkeypatch.setattr("app.server.comparing.AT_ONCE_SECONDS", 0.0)
    classify_text(workspace, session, "text about water")
    assert workspace.job(session, "compare") is None
    job = compare_with(workspace, session)
    assert job.wait(SOON)
    assert job.state == "done"


def test_a_new_query_gives_up_the_pending_comparison(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    release = threading.Event()
    blocker = workspace.jobs.submit("somebody", "encode", lambda job: release.wait(SOON), LANES["encode"])
    classify_text(workspace, session, "first")
    pending = workspace.job(session, "compare")
    classify_text(workspace, session, "second")
    assert pending is not None
    assert pending.cancelled()
    release.set()
    assert blocker.wait(SOON)
    assert pending.wait(SOON)
    assert pending.state == "stopped"


def test_a_program_is_told_to_encode_first(workspace: Workspace, session: Session) -> None:
    with pytest.raises(DataError, match="Press Encode"):
        classify_text(workspace, session, "hello", wait=True)
    with pytest.raises(DataError, match="no data yet"):
        classify_text(workspace, workspace.session(None), "hello")


def test_an_empty_query_is_refused(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    with pytest.raises(QueryError, match="empty"):
        classify_text(workspace, session, " \t ")


def test_before_encoding_the_most_similar_rows_answer(workspace: Workspace, session: Session) -> None:
    assert workspace.ready(session) is None
    answer = classify_text(workspace, session, "text about water")
    assert answer.provisional
    assert (answer.prediction.method, answer.name) == ("nearest", "train.csv")
    assert len(answer.prediction.demonstration_rows) == 8
    assert workspace.job(session, "compare") is None
    assert not may_compare(workspace, session)
    with pytest.raises(DataError, match="once a pool is encoded"):
        compare_with(workspace, session)
    ask_again(workspace, session)
    assert session.answer is answer
    assert workspace.job(session, "query").state == "done", "there is still no pool"  # type: ignore[union-attr]


def test_while_the_first_blocks_are_made_the_rows_answer_and_then_the_pool(
    workspace: Workspace, session: Session
) -> None:
    reached, release = held_halfway(workspace, session)
    job = begin_encoding(workspace, session)
    assert reached.wait(SOON)
    assert workspace.current(session) is not None
    assert workspace.ready(session) is None, "part of a pool that is being made"
    first = classify_text(workspace, session, "text about fire")
    assert first.provisional
    ask_again(workspace, session)
    assert session.answer is first
    release.set()
    assert job.wait(SOON)
    ask_again(workspace, session)
    again = workspace.job(session, "query")
    assert again is not None
    assert again.wait(SOON)
    assert again.state == "done", again.message
    assert session.answer is not None
    assert session.answer is not first
    assert (session.answer.prediction.query, session.answer.prediction.method) == ("text about fire", "dbsa_fresh")
    ask_again(workspace, session)
    assert workspace.job(session, "query") is again, "once"


def test_a_question_asked_meanwhile_is_not_asked_again_for_another(workspace: Workspace, session: Session) -> None:
    classify_text(workspace, session, "the first")
    encoded(workspace, session)
    ask_again(workspace, session)
    again = workspace.job(session, "query")
    newer = classify_text(workspace, session, "the second", compare=False)
    assert again is not None
    assert again.wait(SOON)
    assert session.answer is newer


def test_what_fails_is_not_asked_again_and_again(
    workspace: Workspace, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    classify_text(workspace, session, "the first")
    encoded(workspace, session)

    def fail(*arguments: object) -> None:
        raise CapacityError("Memory is full.")

    monkeypatch.setattr("app.server.asking.fitted_method", fail)
    ask_again(workspace, session)
    job = workspace.job(session, "query")
    assert job is not None
    assert job.wait(SOON)
    assert (job.state, job.message) == ("failed", "Memory is full.")
    ask_again(workspace, session)
    assert workspace.job(session, "query") is job


def held_query(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Hold every forward of a query that says "slow"; set once it is held, and to be set for it to go on."""
    held, release = threading.Event(), threading.Event()
    real = Dbsa.predict

    def predict(self: Dbsa, query: str, *, attention: bool = False) -> Prediction:
        if "slow" in query:
            held.set()
            while not release.wait(0.01):
                stop_if_cancelled()
        return real(self, query, attention=attention)

    monkeypatch.setattr(Dbsa, "predict", predict)
    return held, release


@pytest.mark.parametrize("by", ["another query", "stop"])
def test_a_long_query_can_be_given_up(
    workspace: Workspace, session: Session, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded(workspace, session)
    before = classify_text(workspace, session, "quick", compare=False)
    held, _ = held_query(monkeypatch)
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            classify_text(workspace, session, "slow")
        except Cancelled as stopped:
            raised.append(stopped)

    asking = threading.Thread(target=ask)
    asking.start()
    assert held.wait(SOON)
    if by == "stop":
        assert workspace.stop(session, "query")
    else:
        before = classify_text(workspace, session, "quick too", compare=False)
    asking.join(SOON)
    assert len(raised) == 1
    assert session.answer is before


def test_stop_may_come_before_the_query_that_it_is_meant_for(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    before = classify_text(workspace, session, "quick", compare=False, asked=1_000.0)
    stop_query(workspace, session, 2_500.0)
    with pytest.raises(Cancelled):
        classify_text(workspace, session, "slow", compare=False, asked=2_000.0)
    assert session.answer is before
    stop_query(workspace, session, 1_500.0)  # late, and nothing is given back that was stopped
    with pytest.raises(Cancelled):
        classify_text(workspace, session, "slow", compare=False, asked=2_000.0)
    assert classify_text(workspace, session, "later", compare=False, asked=3_000.0) is session.answer


def test_a_long_query_of_one_visitor_does_not_hold_another(
    workspace: Workspace, session: Session, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded(workspace, session)
    held, release = held_query(monkeypatch)
    slow = begin_query(workspace, session, "slow")
    assert held.wait(SOON)
    other = workspace.session(None)
    workspace.set_data(other, table)
    assert classify_text(workspace, other, "quick").prediction.label
    quick = begin_query(workspace, other, "slow too")
    assert workspace.jobs.ahead(quick) == 1
    assert workspace.jobs.ahead(slow) == 0
    quick.cancel()
    release.set()
    assert slow.wait(SOON)
    assert slow.state == "done"


def test_other_data_are_never_answered_by_the_pool_before_them(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    encoded(workspace, session)
    before = session.encoded
    others = [(f"row {i} on {word}", f"on_{word}") for i in range(6) for word in ("red", "blue")]
    workspace.set_data(session, read_table(write_csv(tmp_path / "other.csv", others)))
    answer = classify_text(workspace, session, "row on red")
    assert (answer.prediction.method, answer.name) == ("nearest", "other.csv")
    assert set(answer.prediction.labels) == {"on_red", "on_blue"}
    assert session.encoded is before, "nothing is lost"
    workspace.set_data(session, read_table(write_csv(tmp_path / "train.csv", ROWS)))
    assert classify_text(workspace, session, "text about water", compare=False).prediction.method == "dbsa_fresh"


def test_nothing_is_compared_while_a_pool_is_encoded_anew(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    release = threading.Event()
    blocker = workspace.jobs.submit("somebody", "encode", lambda job: release.wait(SOON), LANES["encode"])
    session.settings = replace(session.settings, window=1)
    job = begin_encoding(workspace, session)
    answer = classify_text(workspace, session, "text about water")
    assert answer.prediction.method == "dbsa_fresh", "the pool before it answers"
    assert not may_compare(workspace, session)
    assert workspace.job(session, "compare") is None
    release.set()
    assert blocker.wait(SOON)
    assert job.wait(SOON)
    assert may_compare(workspace, session)


def test_a_pool_that_is_there_in_a_moment_is_waited_for(
    workspace: Workspace, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when it is read from a disk: its job runs, and no block of it is being encoded."""
    encoded(workspace, session)
    pool, session.encoded = session.encoded, None

    def read(job: Job) -> None:
        reading.set()
        assert asked.wait(SOON)
        session.encoded = pool
        workspace.announce()

    reading, asked = threading.Event(), threading.Event()
    job = workspace.submit(session, "encode", read)
    assert reading.wait(SOON)
    threading.Timer(0.1, asked.set).start()
    answer = classify_text(workspace, session, "text about water", compare=False)
    assert answer.prediction.method == "dbsa_fresh"
    assert job.wait(SOON)
    monkeypatch.setattr("app.server.asking.SETTLE_SECONDS", 0.2)
    session.encoded, stuck = None, threading.Event()
    job = workspace.submit(session, "encode", lambda job: stuck.wait(SOON))
    assert classify_text(workspace, session, "text about water").provisional
    stuck.set()
    assert job.wait(SOON)
