"""Stories of a file of texts in a session: answered row by row, corrected, measured, handed back."""

from __future__ import annotations

import csv
import json
import threading
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from app.server.batch import NOT_REACHED, Classified, RowAnswer
from app.server.classifying import (
    classified,
    classify_the_file,
    correct_row,
    guess_gold_column,
)
from app.server.handing_back import record
from app.server.session import Session
from app.server.teaching import teach
from app.server.workspace import Workspace
from app.tabs.classify_file import progress_text
from dbsa_core import QuerySettings, make_method
from dbsa_core.errors import CapacityError, DataError, QueryError
from dbsa_core.files.spreadsheet import restored
from dbsa_core.files.tables import read_table
from dbsa_core.methods.base import Method
from dbsa_core.prediction import ANSWER_COLUMNS, NO_TEXT
from dbsa_core.tested import labels_of
from tests.app.pages import text_of
from tests.app.server.pools import ROWS, SOON, encoded, write_csv

TEXTS = ("about fire", "", "about stone", "what about a brick")


@pytest.fixture
def session(workspace: Workspace, session: Session) -> Session:
    return encoded(workspace, session)


def file_of(session: Session, path: Path, content: str | None = None) -> None:
    rows = "".join(f'{number},x,"{text}"\n' for number, text in enumerate(TEXTS, start=1))
    path.write_text(content if content is not None else f"id,label,text\n{rows}", encoding="utf-8")
    session.queries = read_table(path)


def done(workspace: Workspace, session: Session, column: str = "text", *more: Any, **options: Any) -> Classified:
    job = classify_the_file(workspace, session, column, *more, **options)
    assert job.wait(SOON)
    assert job.state == "done", job.message
    found = classified(workspace, session)
    assert found is job.result
    assert found is not None
    return found


def cells(found: Classified) -> list[dict[str, str]]:
    with found.files[0].open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_answers_stand_behind_the_files_own_columns_with_a_reason_where_there_is_none(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    file_of(session, tmp_path / "q.csv")
    found = done(workspace, session)
    rows = cells(found)
    assert list(rows[0]) == ["id", "label", "text", "predicted_label", *ANSWER_COLUMNS[1:]]
    assert [(row["id"], row["label"], row["text"]) for row in rows] == [
        (str(number), "x", text) for number, text in enumerate(TEXTS, start=1)
    ]
    assert [row["problem"] for row in rows] == ["", NO_TEXT, "", ""]
    assert rows[1]["check"] == "No answer"
    assert all(row["predicted_label"] in ("fire", "water", "stone") for row in (rows[0], rows[2]))
    assert "Done: 4 of 4 rows classified." in text_of(progress_text(workspace, session))
    assert found.whole()[1].needs_a_look


def test_the_delimiter_is_the_files_own(workspace: Workspace, session: Session, tmp_path: Path) -> None:
    for delimiter, name in ((";", "q-classified.csv"), ("\t", "q-classified.tsv")):
        file_of(session, tmp_path / "q.csv", f"id{delimiter}text\n1{delimiter}about, fire\n2{delimiter}about, stone\n")
        found = done(workspace, session)
        assert found.files[0].name == name
        first = found.files[0].read_text(encoding="utf-8-sig").splitlines()
        assert first[0] == delimiter.join(["id", "text", *ANSWER_COLUMNS])
        assert first[1].startswith(f"1{delimiter}about, fire{delimiter}")


@pytest.mark.parametrize("safely", [False, True])
def test_cells_of_a_classified_file_are_as_they_came_or_safe_for_spreadsheets(
    workspace: Workspace, session: Session, tmp_path: Path, safely: bool
) -> None:
    texts = ["=1+1 about fire", "-2 about stone", "+49 water", "plain"]
    file_of(session, tmp_path / "q.csv", "=text\n" + "\n".join(texts) + "\n")
    written = read_table(done(workspace, session, "=text", spreadsheet_safe=safely).files[0])
    name = written.frame.columns[0]
    if safely:
        assert all(not cell.startswith(("=", "+", "-")) for cell in (name, *written.frame[name]))
    assert [cell if not safely else restored(cell) for cell in (name, *written.frame[name])] == ["=text", *texts]


def test_a_workbook_comes_back_as_one_with_how_it_was_made(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (["Nr", "text", "team"], [1, "about fire", "fire"], [], [2.5, "=about stone", "stone"]):
        book.active.append(row)
    book.active["B4"].data_type = "s"
    book.save(tmp_path / "q.xlsx")
    session.queries = read_table(tmp_path / "q.xlsx")
    found = done(workspace, session, "text", "team")
    assert [path.name for path in found.files] == ["q-classified.xlsx"]
    back = openpyxl.load_workbook(found.files[0])
    sheet = back["Sheet"]
    assert [cell.value for cell in sheet[1]] == ["Nr", "text", "team", *ANSWER_COLUMNS]
    assert [sheet["A2"].value, sheet["A3"].value, sheet["A4"].value] == [1, None, 2.5]
    answers = found.whole()
    assert [sheet["D2"].value, sheet["D3"].value, sheet["D4"].value] == [answers[0].label, None, answers[1].label]
    assert sheet["E4"].value == answers[1].probability
    facts = {(row[0].value, row[1].value): row[2].value for row in back["DBSA"].iter_rows()}
    assert facts["method", "name"] == "dbsa_fresh"
    assert facts["settings", "ratio"] == session.query_settings.ratio
    assert facts["pool", "blocks"] == len(workspace.ready(session).pool.blocks)  # type: ignore[union-attr]
    assert facts["file", "label_column"] == "team"
    assert facts["accuracy", "rows"] == 2
    labels = {row[0].value: row[1].value for row in back["DBSA by label"].iter_rows(min_row=2)}
    assert sum(labels.values()) == 2


def test_a_text_file_comes_with_how_it_was_made(workspace: Workspace, session: Session, tmp_path: Path) -> None:
    session.query_settings = QuerySettings(ratio=0.5, fresh_demonstrations=0)
    file_of(session, tmp_path / "q.csv")
    found = done(workspace, session)
    assert [path.name for path in found.files] == ["q-classified.csv", "q-classified.json"]
    about = json.loads(found.files[1].read_text("utf-8"))
    assert about == json.loads(json.dumps(record(found)))
    assert about["method"]["name"] == "dbsa"
    assert about["settings"]["ratio"] == 0.5
    assert "fresh_demonstrations" not in about["settings"], "what the method does not use made no answer"
    assert about["pool"]["demonstrations_per_block"] == 4
    assert about["data"] == {"name": "train.csv", "rows": len(ROWS), "labels": 3}
    assert (about["file"]["rows"], about["answers"]["answered"]) == (4, 3)
    assert set(about["columns"]) == {"predicted_label", *ANSWER_COLUMNS[1:]}
    assert not any(text and text in json.dumps(about) for text in TEXTS), "no text of the user's"


def test_rows_are_there_as_they_are_done_and_stopping_keeps_them(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    file_of(session, tmp_path / "q.csv")
    reached, release = threading.Event(), threading.Event()

    def hold() -> None:
        found = classified(workspace, session)
        if found is not None and found.done == 3:
            reached.set()
            assert release.wait(SOON)

    workspace.turnstile.give_way = hold  # type: ignore[method-assign]
    job = classify_the_file(workspace, session, "text")
    assert reached.wait(SOON)
    found = classified(workspace, session)
    assert found is not None
    assert (len(found.answers()), found.total, found.files) == (3, 4, ())
    assert "Row 3 of 4" in text_of(progress_text(workspace, session))
    job.cancel()
    release.set()
    assert job.wait(SOON)
    assert job.state == "stopped"
    rows = cells(found)
    assert [row["text"] for row in rows] == list(TEXTS), "no row of the user's is lost"
    assert [row["problem"] for row in rows] == ["", NO_TEXT, "", NOT_REACHED]
    assert "Stopped: 3 of 4 rows classified. The others stand in the file too" in progress_text(workspace, session)


def test_a_run_that_is_stopped_before_its_first_row_has_no_file(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    file_of(session, tmp_path / "q.csv")
    workspace.turnstile.give_way = lambda: workspace.stop(session, "classify_file")  # type: ignore[method-assign,return-value]
    job = classify_the_file(workspace, session, "text")
    assert job.wait(SOON)
    assert (job.state, job.message) == ("stopped", "Stopped before the first row was classified; there is no file.")
    assert "there is no file" in progress_text(workspace, session)


@pytest.mark.parametrize("error", [QueryError("It is too long."), CapacityError("There is no room.")])
def test_a_row_that_cannot_be_answered_costs_no_other(
    workspace: Workspace, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    refuse(monkeypatch, "about stone", error)
    file_of(session, tmp_path / "q.csv")
    found = done(workspace, session)
    assert [answer.problem for answer in found.whole()] == [None, NO_TEXT, str(error), None]
    assert found.whole()[3].label is not None


def test_a_fault_of_ours_keeps_what_was_done_and_says_so(
    workspace: Workspace, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "about stone", ZeroDivisionError())
    file_of(session, tmp_path / "q.csv")
    found = done(workspace, session)
    assert found.done == 2
    assert [row["problem"] for row in cells(found)][2:] == [found.stopped] * 2
    assert "an earlier row failed. Something went wrong here (id " in found.stopped
    assert found.problem in progress_text(workspace, session)


def refuse(monkeypatch: pytest.MonkeyPatch, text: str, error: Exception) -> None:
    """Of what it asks: a query that cannot be asked, or a fault."""
    kind: Any = type(make_method("dbsa_fresh"))
    own = kind.question

    def question(self: Method, query: str) -> Any:
        if query == text:
            raise error
        return own(self, query)

    monkeypatch.setattr(kind, "question", question)


def test_a_disk_that_is_full_costs_no_answer(
    workspace: Workspace, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_of(session, tmp_path / "q.csv")
    folder, workspace.folder = workspace.folder, tmp_path / "gone"
    found = done(workspace, session)
    assert (found.done, list(found.files)) == (4, [])
    assert "The file with the answers cannot be written" in progress_text(workspace, session)
    workspace.folder = folder
    correct_row(workspace, session, 0, "fire")
    assert len(cells(found)) == 4
    assert "cannot be written" not in progress_text(workspace, session)


# --- corrections ------------------------------------------------------------------------------------------------------


def test_a_label_that_is_corrected_is_taught_and_written(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    texts = ["what about a brick", "about fire", "What About a BRICK"]
    file_of(session, tmp_path / "q.csv", "text\n" + "\n".join(texts) + "\n")
    found = done(workspace, session)
    before = found.answers()
    correct_row(workspace, session, 0, " brick ")
    assert [(row.text, row.label) for row in session.taught] == [("what about a brick", "brick")]
    rows = cells(found)
    assert [(row["label"], row["check"], row["probability"]) for row in (rows[0], rows[2])] == [
        ("brick", "As you taught", "")
    ] * 2, "of the same text"
    assert found.answers()[1] == before[1]
    assert json.loads(found.files[1].read_text("utf-8"))["answers"]["texts_corrected"] == 1
    again = done(workspace, session)
    assert [answer.label for answer in again.answers()] == ["brick", again.answers()[1].label, "brick"]
    assert again.answers()[0].probability is not None
    assert again.used["taught_rows"] == 1


def test_what_is_taught_meanwhile_holds_for_the_rows_to_come(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    file_of(session, tmp_path / "q.csv", "text\nabout fire\nabout water\nwhat about a brick\n")

    def at_the_second() -> None:
        found = classified(workspace, session)
        if found is not None and found.done == 1 and not session.taught:
            correct_row(workspace, session, 0, "stone")
            teach(workspace, session, "what about a brick", "brick")

    workspace.turnstile.give_way = at_the_second  # type: ignore[method-assign]
    found = done(workspace, session)
    assert [found.answers()[place].label for place in (0, 2)] == ["stone", "brick"]
    assert [cells(found)[place]["label"] for place in (0, 2)] == ["stone", "brick"]
    assert found.used["taught_rows"] == 2


def test_a_correction_that_cannot_be_taught_changes_nothing(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="not among those that were classified"):
        correct_row(workspace, session, 0, "fire")
    file_of(session, tmp_path / "q.csv")
    found = done(workspace, session)
    before = found.answers()
    for row, label in ((0, " "), (1, "fire")):
        with pytest.raises(DataError):
            correct_row(workspace, session, row, label)
    for row in (-1, 4):
        with pytest.raises(DataError, match="not among those that were classified"):
            correct_row(workspace, session, row, "fire")
    workspace.set_data(session, read_table(write_csv(tmp_path / "other.csv", ROWS[:20])))
    with pytest.raises(DataError, match=r"classified by train\.csv, and other\.csv is in use now"):
        correct_row(workspace, session, 0, "fire")
    assert (found.answers(), session.taught) == (before, ())


# --- accuracy ---------------------------------------------------------------------------------------------------------


def test_the_accuracy_is_the_methods_own_with_rows_of_the_data_told_apart(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    known = ROWS[0]
    rows = [(known[0], known[1]), ("about fire", "FIRE"), ("about stone", "mortar"), ("", "fire"), ("about water", "")]
    file_of(session, tmp_path / "q.csv", "text,right\n" + "".join(f'"{text}",{label}\n' for text, label in rows))
    found = done(workspace, session, "text", "right")
    assert list(found.rows.gold) == ["fire", "fire", "mortar", "fire", ""]
    right = [answer.label == gold for answer, gold in zip(found.answers(), found.rows.gold, strict=True)]
    accuracy, unseen = found.accuracy(), found.accuracy(unseen_only=True)
    assert accuracy is not None
    assert unseen is not None
    assert (accuracy.rows, accuracy.right) == (4, sum(right[:4]))
    assert (unseen.rows, unseen.right) == (3, sum(right[1:4]))
    assert found.unknown_labels() == ["mortar"]
    correct_row(workspace, session, 2, "mortar")
    assert found.accuracy() == accuracy, "a correction is no merit of the method"
    about = record(found)
    assert about["accuracy"]["rows"] == 4
    assert about["labels_that_are_no_candidates"] == ["mortar"]
    assert {name: label["labelled_so"] for name, label in about["by_label"].items() if label["labelled_so"]} == {
        "fire": 3,
        "mortar": 1,
    }


def test_right_labels_are_named_and_spelled_as_in_the_data(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    assert session.data is not None
    workspace.set_data(session, session.data.table, names={"fire": "Big Fire"})
    file_of(session, tmp_path / "q.csv", "text,right\na,fire\nb,big_fire\nc,WATER\nd,brick\n")
    assert session.queries is not None
    labels, names = session.data.pool.labels, session.data.label_names
    assert labels_of(session.queries, "right", labels, names) == ["Big Fire", "Big Fire", "water", "brick"]


@pytest.mark.parametrize(
    ("header", "rows", "column"),
    [
        ("text,remark,right", ["a,x,fire", "b,y,stone"], "right"),
        ("text,right,label", ["a,fire,water", "b,stone,water"], "label"),
        ("text,few,most", ["a,,fire", "b,stone,water"], "most"),
        ("text,remark", ["a,x", "b,fire"], None),
        ("text", ["fire", "stone"], None),
    ],
    ids=["labels of the data", "called as there", "the fullest", "mostly others", "the texts themselves"],
)
def test_the_column_of_right_labels_is_guessed(
    session: Session, tmp_path: Path, header: str, rows: list[str], column: str | None
) -> None:
    file_of(session, tmp_path / "q.csv", "\n".join([header, *rows]) + "\n")
    assert session.queries is not None
    assert guess_gold_column(session.queries, "text", session.data) == column


def test_the_fields_of_a_row_are_the_columns() -> None:
    assert tuple(RowAnswer.__dataclass_fields__)[: len(ANSWER_COLUMNS)] == ANSWER_COLUMNS
