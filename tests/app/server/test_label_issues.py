"""A session's labels that may be wrong: looked for in the background, listed, taught, taken away."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from app.server.label_issues import (
    KIND,
    Search,
    begin_search,
    search_of,
    taught_as,
    teach_suggested,
    write_issues,
)
from app.server.session import Session
from app.server.workspace import Workspace
from app.tabs.label_issues import SHOWN, ended_words, issues_view, render
from dbsa_core.errors import CapacityError, DataError
from dbsa_core.files.tables import read_table
from dbsa_core.label_issues import ASKING, LabelIssue
from dbsa_core.settings import QuerySettings
from tests.app.pages import text_of
from tests.app.server.pools import ROWS, SOON, encoded, write_csv

WRONG = {4: "stone", 21: "water"}
BY_VOTES = QuerySettings(votes="words", vote_weight=100.0)
"""A tiny model says nothing about texts: so the votes decide."""


def pairs() -> list[tuple[str, str]]:
    return [(text, WRONG.get(row, label)) for row, (text, label) in enumerate(ROWS)]


@pytest.fixture
def wrong(workspace: Workspace, session: Session, tmp_path: Path) -> Session:
    workspace.set_data(session, read_table(write_csv(tmp_path / "tickets.csv", pairs())))
    session.query_settings = BY_VOTES
    return session


def found(workspace: Workspace, session: Session) -> Search:
    job = begin_search(workspace, session)
    assert job.wait(SOON)
    assert (job.state, job.message) == ("done", "")
    search = search_of(workspace, session)
    assert search is job.result
    assert search is not None
    return search


@pytest.mark.parametrize("with_pool", [False, True])
def test_labels_that_were_made_wrong_are_listed(workspace: Workspace, wrong: Session, with_pool: bool) -> None:
    if with_pool:
        encoded(workspace, wrong)
    search = found(workspace, wrong)
    assert {issue.demonstration.row - 1: issue.suggested for issue in search.issues} == {
        row: ROWS[row][1] for row in WRONG
    }
    assert search.whole is not None
    assert search.whole.issues == search.issues
    shown = text_of(issues_view(search, wrong))
    for row in WRONG:
        assert f"{row + 1} {ROWS[row][0]} {WRONG[row]} {ROWS[row][1]}" in shown
    assert ended_words(search).startswith("Of 36 rows, 2 have a label that the other rows dispute; the model was asked")


def test_a_suggestion_is_taught_and_said_so(workspace: Workspace, wrong: Session) -> None:
    search = found(workspace, wrong)
    issue = search.issues[1]
    teach_suggested(workspace, wrong, 1)
    (lesson,) = wrong.taught
    assert (lesson.text, lesson.label) == (issue.demonstration.text, issue.suggested)
    assert [taught_as(wrong, each) for each in search.issues] == [None, issue.suggested]
    listed = issues_view(search, wrong)
    assert listed.count("<button") == 1
    assert f"taught: {issue.suggested}" in text_of(listed)
    assert {each.demonstration for each in found(workspace, wrong).issues} == {search.issues[0].demonstration}
    for place in (-1, 7):
        with pytest.raises(DataError, match="not in the list"):
            teach_suggested(workspace, wrong, place)


def test_the_list_is_of_its_data(workspace: Workspace, wrong: Session, tmp_path: Path) -> None:
    found(workspace, wrong)
    workspace.set_data(wrong, read_table(write_csv(tmp_path / "others.csv", ROWS)))
    assert search_of(workspace, wrong) is None
    with pytest.raises(DataError, match="no list"):
        write_issues(workspace, wrong)
    *_, listed, _ = render(workspace, wrong)
    assert listed == ""


def test_the_file_has_labels_as_they_stand_in_the_users(workspace: Workspace, wrong: Session) -> None:
    assert wrong.data is not None
    workspace.set_data(wrong, wrong.data.table, "text", "label", names={"fire": "Feuer", "stone": "Stein"})
    search = found(workspace, wrong)
    frame = pd.read_csv(write_issues(workspace, wrong))
    assert frame["row"].tolist() == [issue.demonstration.row for issue in search.issues]
    assert dict(zip(frame["row"] - 1, frame["label"], strict=True)) == WRONG
    assert dict(zip(frame["row"] - 1, frame["suggested"], strict=True)) == {row: ROWS[row][1] for row in WRONG}
    assert write_issues(workspace, wrong).name == "tickets-label-issues.csv"


def test_what_was_found_when_it_is_stopped_stays(
    workspace: Workspace, wrong: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbsa_core import label_issues

    asked, halfway, release = label_issues.ask_without, threading.Event(), threading.Event()

    def slowly(*given: Any, **rest: Any) -> Any:
        for number, each in enumerate(asked(*given, **rest)):
            if number:
                halfway.set()
                assert release.wait(SOON)
            yield each

    monkeypatch.setattr(label_issues, "ask_without", slowly)
    job = begin_search(workspace, wrong)
    assert halfway.wait(SOON)
    with pytest.raises(CapacityError, match="running already"):
        begin_search(workspace, wrong)
    assert workspace.busy(wrong)
    search = search_of(workspace, wrong)
    assert search is not None
    assert len(search.issues) == 1
    start, stop, make, said, *_ = render(workspace, wrong)
    assert (start.interactive, stop.interactive, make.visible) == (False, True, False)
    assert f"{ASKING}: 1 of 2; 1 row found by now" in text_of(said)
    workspace.stop(wrong, KIND)
    release.set()
    assert job.wait(SOON)
    assert job.state == "stopped"
    assert ended_words(search).startswith("Stopped after the model was asked about 2 of 2 rows. What is below")
    assert render(workspace, wrong)[5].count("<button") == len(search.issues) > 0


def test_stopped_before_the_model_is_asked(
    workspace: Workspace, wrong: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbsa_core import label_issues

    def stopping(*given: Any, **rest: Any) -> Any:
        workspace.stop(wrong, KIND)
        return judged(*given, **rest)

    judged = label_issues.find_suspects
    monkeypatch.setattr(label_issues, "find_suspects", stopping)
    job = begin_search(workspace, wrong)
    assert job.wait(SOON)
    assert job.state == "stopped"
    search = search_of(workspace, wrong)
    assert search is not None
    assert ended_words(search) == "Stopped."
    assert render(workspace, wrong)[0].value == "Look again"


def test_what_cannot_be_looked_at_is_said(workspace: Workspace, wrong: Session) -> None:
    empty = workspace.session(None)
    with pytest.raises(DataError, match="no data yet"):
        begin_search(workspace, empty)
    assert render(workspace, empty)[3] == ""
    before = text_of(render(workspace, wrong)[3])
    assert "It is asked about 60 rows at most." in before


def test_many_rows_are_listed_in_part(workspace: Workspace, wrong: Session) -> None:
    search = found(workspace, wrong)
    search.issues = search.issues[:1] * (SHOWN + 20)
    listed = issues_view(search, wrong)
    assert listed.count("<tr>") == SHOWN + 1
    assert "20 rows more stand in the list as a file." in text_of(listed)


def test_texts_are_shown_as_they_are(workspace: Workspace, wrong: Session) -> None:
    search = found(workspace, wrong)
    row = search.issues[0]
    bad = replace(row.demonstration, text="<img src=x onerror=alert(1)>", label='"<b>')
    search.issues = (LabelIssue(bad, "<i>", 0.5, 0.2, row.nearest),)
    listed = issues_view(search, wrong)
    assert "<img" not in listed
    assert "<b>" not in listed
    assert "<i>" not in listed
