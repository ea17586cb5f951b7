"""The last queries of a session, and those that are pinned."""

from __future__ import annotations

import pytest

from app.server import history
from app.server.asking import classify_text
from app.server.history import AT_ONCE, LAST, pin, remember, side_by_side
from app.server.session import Session
from app.server.workspace import Workspace
from app.tabs.answer import shown_now
from dbsa_core.errors import DataError
from tests.app.server.pools import answered_by_the_pool, encoded


def asked(workspace: Workspace, session: Session, *queries: str) -> list[str]:
    """Ids of their runs."""
    runs = []
    for query in queries:
        answer = classify_text(workspace, session, query, compare=False)
        workspace.runs.of(answer)
        runs.append(answer.id)
    return runs


def queries(session: Session) -> list[str]:
    return [past.query for past in session.history]


def test_the_newest_stands_first_with_what_it_answered(workspace: Workspace, session: Session) -> None:
    runs = asked(workspace, encoded(workspace, session), "about water", "about fire")
    assert queries(session) == ["about fire", "about water"]
    assert [past.run for past in session.history] == runs[::-1]
    answer, past = session.answer, session.history[0]
    assert answer is not None
    found = answer.prediction
    assert (past.label, past.probability, past.seconds) == (found.label, found.probability, found.seconds["total"])
    assert (past.data, past.settings) == ("train.csv", session.query_settings)


def test_the_oldest_goes_unless_it_is_pinned(workspace: Workspace, session: Session) -> None:
    pinned, _ = asked(workspace, encoded(workspace, session), "pinned", "first")
    pin(workspace, session, pinned)
    assert session.answer is not None
    for number in range(LAST):
        answer = classify_text(workspace, session, f"more {number}", compare=False)
        assert session.history[0].run == answer.id
    assert len(session.history) == LAST + 1
    assert queries(session)[-2:] == ["more 0", "pinned"]
    remember(session, session.answer)
    assert len(session.history) == LAST + 1, "an answer stands there once"


def test_the_pools_answer_takes_the_place_of_the_rows_alone(workspace: Workspace, session: Session) -> None:
    (provisional,) = asked(workspace, session, "about water")
    pin(workspace, session, provisional)
    answer = answered_by_the_pool(workspace, session)
    assert [past.run for past in session.history] == [answer.id]
    assert session.pinned == (answer.id,)


def test_what_is_pinned_stands_beside_what_is_on_the_screen(workspace: Workspace, session: Session) -> None:
    runs = asked(workspace, encoded(workspace, session), *[f"about {number}" for number in range(AT_ONCE + 1)])
    assert side_by_side(workspace, session, shown_now(workspace, session)) == []
    for run in runs[:AT_ONCE]:
        pin(workspace, session, run)
    found = side_by_side(workspace, session, shown_now(workspace, session))
    assert [answer.query for answer in found] == [f"about {number}" for number in range(AT_ONCE + 1)]
    with pytest.raises(DataError, match="unpin one of them first"):
        pin(workspace, session, runs[-1])
    pin(workspace, session, runs[0])
    assert session.pinned == tuple(runs[1:AT_ONCE])
    session.look_at(runs[1])
    found = side_by_side(workspace, session, shown_now(workspace, session))
    assert [answer.query for answer in found] == ["about 1", "about 2"], "not twice"


def test_an_answer_that_is_not_kept_cannot_be_pinned(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    answer = classify_text(workspace, session, "about water", compare=False)  # which no page has shown
    for run in (answer.id, "another"):
        with pytest.raises(DataError, match="no longer kept"):
            pin(workspace, session, run)
    assert session.pinned == ()


def test_a_copy_of_a_tab_has_its_history(workspace: Workspace, session: Session) -> None:
    (run,) = asked(workspace, encoded(workspace, session), "about water")
    pin(workspace, session, run)
    other = session.copy("other-session")
    assert (other.history, other.pinned) == (session.history, session.pinned)
    asked(workspace, other, "about fire")
    assert queries(session) == ["about water"]


def test_nothing_of_it_is_a_pool(workspace: Workspace, session: Session) -> None:
    asked(workspace, encoded(workspace, session), "about water")
    assert {type(value).__module__ for value in vars(session.history[0]).values()} <= {
        "builtins",
        "datetime",
        "dbsa_core.settings",
    }
    assert history.LAST == 50
