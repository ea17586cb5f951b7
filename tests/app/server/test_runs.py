"""Runs by their links, and sessions that look at one."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest

from app.ask.plain import as_json
from app.server.asking import classify_text
from app.server.comparing import compare_with
from app.server.runs import Runs
from app.server.session import Session
from app.server.workspace import Workspace
from app.tabs.answer import milestone, notice_of, render_views, shown_now
from dbsa_core import EncodeSettings, QuerySettings
from dbsa_core.files.tables import Table
from tests.app.pages import text_of
from tests.app.server.pools import SOON, answered_by_the_pool, encoded

QUERY = "text about water"


def asked(workspace: Workspace, session: Session, query: str = QUERY) -> str:
    """The id of a run."""
    answer = classify_text(workspace, session, query, compare=False)
    workspace.runs.of(answer)
    return answer.id


def test_a_run_is_shown_as_it_was_whatever_its_session_does_then(workspace: Workspace, session: Session) -> None:
    run = asked(workspace, encoded(workspace, session))
    before = shown_now(workspace, session)
    assert before is not None
    asked(workspace, session, "text about fire")
    session.query_settings = QuerySettings(ratio=0.1)
    other = workspace.session(None)
    for visitor in (session, other):
        visitor.look_at(run)
        found = shown_now(workspace, visitor)
        assert found is not None
        assert as_json(found) == as_json(before)
        notice, view, *_ = render_views(workspace, visitor)
        assert "over train.csv, 36 rows, by" in text_of(notice)
        assert "read-only" in notice
        assert "Ask again" not in view
        assert "Run comparison" not in view
    assert "Back to your last answer" in notice_of(workspace, session)
    assert "Ask something of your own" in notice_of(workspace, other)


def test_the_sessions_own_answer_is_no_run_to_look_back_at(workspace: Workspace, session: Session) -> None:
    run = asked(workspace, encoded(workspace, session))
    before = milestone(workspace, session)
    session.look_at(run)
    assert session.viewing == ""
    assert milestone(workspace, session) == before
    session.look_at("another")
    assert session.viewing == "another"
    assert milestone(workspace, session) != before, "the page is told"
    session.look_at("")
    assert session.viewing == ""


def test_the_pools_answer_takes_the_place_of_the_rows_alone(workspace: Workspace, session: Session) -> None:
    provisional = asked(workspace, session)
    answer = answered_by_the_pool(workspace, session)
    assert answer.id != provisional
    assert answer.instead_of == provisional
    session.look_at(provisional)
    assert session.viewing == "", "a page that was opened anew shows what took its place"


def test_a_run_that_is_not_kept_says_so_and_shows_nothing_else(workspace: Workspace, session: Session) -> None:
    asked(workspace, encoded(workspace, session))
    session.look_at("<b>nothing</b>")
    notice, *views, details = render_views(workspace, session)
    assert text_of(notice).startswith("This run is gone :")
    assert "<b>nothing" not in notice
    assert views == ["", "", "", ""]
    assert not details.visible


def test_a_comparison_becomes_part_of_its_run(workspace: Workspace, session: Session) -> None:
    run = asked(workspace, encoded(workspace, session))
    job = compare_with(workspace, session)
    assert job.wait(SOON)
    asked(workspace, session, "text about fire")
    found = workspace.runs.get(run)
    assert found is not None
    (other,) = found.compared
    assert (other.method, other.title) == ("retrieval_icl", "Retrieval ICL")
    assert other.label in ("fire", "water", "stone")


def test_new_data_turn_the_page_to_what_is_its_own(workspace: Workspace, session: Session, table: Table) -> None:
    session.look_at("another")
    workspace.set_data(session, table)
    assert session.viewing == ""


def test_a_run_keeps_no_pool(workspace: Workspace, session: Session) -> None:
    run = asked(workspace, encoded(workspace, session))
    assert session.encoded is not None
    pool = weakref.ref(session.encoded.pool)
    with session.lock:
        session.encoded = session.answer = None
        session._methods = {}
    workspace.jobs._jobs.clear()
    gc.collect()
    assert pool() is None
    assert workspace.runs.get(run) is not None


def test_the_runs_that_were_looked_at_least_recently_make_room(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    answers = [classify_text(workspace, session, f"text number {i}", compare=False) for i in range(4)]
    sizes = Runs()
    for answer in answers:
        sizes.of(answer)
    runs = Runs(budget_bytes=int(sizes._bytes * 3.4 / 4))
    for answer in answers[:3]:
        runs.of(answer)
    assert runs.get(answers[0].id) is not None
    runs.of(answers[3])
    assert [runs.get(answer.id) is not None for answer in answers] == [True, False, True, True]


def test_a_run_larger_than_all_room_is_kept_alone(workspace: Workspace, session: Session) -> None:
    answer = classify_text(workspace, encoded(workspace, session), QUERY, compare=False)
    runs = Runs(budget_bytes=1)
    runs.of(answer)
    assert runs.get(answer.id) is not None


def test_a_page_goes_on_showing_the_answer_of_a_pool_that_made_room(workspace: Workspace, session: Session) -> None:
    run = asked(workspace, encoded(workspace, session))
    assert session.encoded is not None
    workspace.budget_bytes = int(1.5 * session.encoded.pool.num_bytes)
    other = workspace.copy_session("a-second-visitor", session.id)
    other.settings = EncodeSettings(pool_tokens=1500, block_size=4, seed=7)
    other.encoded = None
    encoded(workspace, other)
    assert session.evicted
    assert session.answer is None
    assert session.viewing == run
    assert shown_now(workspace, session) is not None


def test_a_duplicated_page_goes_on_as_a_copy(workspace: Workspace, session: Session) -> None:
    asked(workspace, encoded(workspace, session))
    copy = workspace.copy_session("another-page-of-it", session.id)
    assert (copy.data, copy.encoded, copy.answer) == (session.data, session.encoded, session.answer)
    assert (copy.jobs, copy.messages) == ({}, {})
    copy.query_settings = QuerySettings(ratio=0.1)
    asked(workspace, copy, "text about fire")
    assert session.query_settings.ratio == 0.3
    assert session.answer is not None
    assert session.answer.prediction.query == QUERY
    assert workspace.copy_session("another-page-of-it", session.id) is copy, "a page is copied once"
    assert workspace.copy_session("of-a-page-unknown", "never-seen-here").answer is None


def test_a_run_is_read_once_and_anew_where_it_is_another(workspace: Workspace, session: Session) -> None:
    run = asked(workspace, encoded(workspace, session))
    runs = workspace.runs
    found = runs.get(run)
    assert found is not None
    assert runs.get(run) is found
    runs.keep(run, replace(found, query="another"))
    again = runs.get(run)
    assert again is not None
    assert again.query == "another"
    small = Runs()
    for number in range(3):
        small.keep(str(number), found)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("app.server.runs.READ_BYTES", 1)
        first = small.get("0")
        assert small.get("0") is first, "the last one stays, whatever its size"
        small.get("1")
        assert small.get("0") is not first
