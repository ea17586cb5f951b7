"""What an answer used, and what of that is no longer in force."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.server.asking import classify_text
from app.server.encoding import begin_encoding, drop_part, pool_state, use_part
from app.server.in_force import outdated
from app.server.session import Session
from app.server.stamps import stamp
from app.server.workspace import Workspace
from app.tabs.answer import milestone, render_views
from dbsa_core import PromptTemplate, QuerySettings
from dbsa_core.files.tables import read_table
from tests.app.server.pools import ROWS, SOON, encoded, stopped_early, write_csv

QUERY = "text about water"


def asked(workspace: Workspace, session: Session) -> Session:
    classify_text(workspace, session, QUERY, compare=False)
    assert outdated(workspace, session) == ""
    return session


def test_an_answer_carries_all_that_it_used(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    facts = dict(stamp(classify_text(workspace, session, QUERY, compare=False)))
    assert facts["Data"] == "train.csv, 36 rows"
    assert facts["Model"] == workspace.task(session).model.name
    assert facts["Method"] == "dbsa_fresh"
    rows, sees = len(workspace.plan(session).rows), "each sees 2 blocks before it and the shared first one"
    assert facts["Pool"] == f"{rows} rows in 8 of 8 blocks of 4; {sees}"
    assert facts["Settings"] == (
        "ratio 0.3, 8 similar rows, blocks by bm25, similar rows by bm25, blocks in order pool, votes of none, "
        "decoding exact"
    )
    assert facts["Asked"].startswith("20")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ratio": 0.1}, "From ratio 0.3; now 0.1."),
        ({"fresh_demonstrations": 4}, "From 8 similar rows; now 4."),
        ({"fresh_demonstrations": 0}, "From 8 similar rows; now 0."),
        ({"row_retriever": "bm25-stem"}, "From similar rows by bm25; now bm25-stem."),
        ({"order": "least_to_most"}, "From blocks in order pool; now least to most."),
        ({"votes": "words"}, "From votes of none; now words."),
        ({"retriever": "random"}, "From blocks by bm25; now random."),
        ({"ratio": 0.1, "seed": 7}, "From ratio 0.3; now 0.1."),
        ({"seed": 7}, ""),
    ],
)
def test_a_setting_that_was_used_marks_it_and_another_does_not(
    workspace: Workspace, session: Session, change: dict[str, Any], said: str
) -> None:
    asked(workspace, encoded(workspace, session))
    before = milestone(workspace, session)
    session.query_settings = replace(session.query_settings, **change)
    assert outdated(workspace, session) == said
    assert (milestone(workspace, session) != before) == bool(said), "the page is told"
    _, shown, below, phases, *_ = render_views(workspace, session)
    assert ["dbsa-outdated" in view for view in (shown, below, phases)] == [bool(said)] * 3
    assert ("Ask again" in shown) == bool(said)
    session.query_settings = QuerySettings()
    assert outdated(workspace, session) == ""


def test_the_papers_method_is_marked_where_similar_rows_are_added(workspace: Workspace, session: Session) -> None:
    session.query_settings = QuerySettings(fresh_demonstrations=0)
    asked(workspace, encoded(workspace, session))
    session.query_settings = QuerySettings()
    assert outdated(workspace, session) == "From 0 similar rows; now 8."


def test_other_data_and_back(workspace: Workspace, session: Session, tmp_path: Path) -> None:
    asked(workspace, encoded(workspace, session))
    assert session.data is not None
    table = session.data.table
    workspace.set_data(session, read_table(write_csv(tmp_path / "other.csv", ROWS[:20])))
    assert outdated(workspace, session) == "From train.csv; now other.csv."
    workspace.set_data(session, table)
    assert outdated(workspace, session) == ""


def test_another_pool_marks_it_and_one_in_the_making_does_not(workspace: Workspace, session: Session) -> None:
    asked(workspace, encoded(workspace, session))
    session.settings = replace(session.settings, window=1)
    assert outdated(workspace, session) == "", "the pool that it read still answers"
    stopped_early(workspace, session)
    assert outdated(workspace, session) == ""
    use_part(workspace, session)
    assert outdated(workspace, session) == "From another pool: the window (2 to 1)."
    asked(workspace, session)
    done = len(pool_state(workspace, session).encoded.pool.blocks)  # type: ignore[union-attr]
    assert begin_encoding(workspace, session).wait(SOON)
    assert outdated(workspace, session) == f"From {done} of 8 blocks; now 8."


def test_a_part_that_was_dropped_marks_nothing(workspace: Workspace, session: Session) -> None:
    asked(workspace, encoded(workspace, session))
    session.settings = replace(session.settings, window=1)
    stopped_early(workspace, session)
    drop_part(workspace, session)
    assert outdated(workspace, session) == ""


def test_other_words_and_a_pool_that_is_gone(workspace: Workspace, session: Session) -> None:
    asked(workspace, encoded(workspace, session))
    session.template = PromptTemplate("Question:")
    assert outdated(workspace, session) == "", "the pool still answers with its own words"
    encoded(workspace, session)
    assert outdated(workspace, session) == "From other words around texts and labels."
    asked(workspace, session)
    session.encoded = None
    assert outdated(workspace, session).startswith("From a pool that is no longer kept")


def test_what_similar_rows_alone_answered(workspace: Workspace, session: Session) -> None:
    asked(workspace, session)
    session.query_settings = QuerySettings(ratio=0.9)
    assert outdated(workspace, session) == "", "no blocks were read"
    session.query_settings = QuerySettings(fresh_demonstrations=3)
    assert outdated(workspace, session) == "From 8 similar rows; now 3."
    session.query_settings = QuerySettings()
    session.template = PromptTemplate("Question:")
    assert outdated(workspace, session) == "From other words around texts and labels."
