"""Rows that a user leaves out and takes back, and labels that are named and joined, without touching the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import dbsa_core as dbsa
from app.server.appending import joined
from app.server.curating import leave_out, name_labels, take_back, unname, use_columns, use_names, write_rows
from app.server.encoding import pool_state
from app.server.evaluated import Wanted
from app.server.example import Example
from app.server.exploring import Filter
from app.server.keeping import load_pool_of, save_pool_as
from app.server.reproducing import Recipe, options_of, programs_of
from app.server.session import Session
from app.server.teaching import teach
from app.server.workspace import Workspace
from dbsa_core import EncodeSettings, LanguageModel, PromptTemplate, QuerySettings
from dbsa_core.errors import DataError
from dbsa_core.files.tables import Table, read_table
from tests.app.server.pools import ROWS, SOON, encoded, write_csv


def labels_of(session: Session) -> tuple[str, ...]:
    assert session.data is not None
    return session.data.pool.labels


def rows_of(session: Session) -> list[int]:
    assert session.data is not None
    return [row.row for row in session.data.pool.demonstrations]


def excluded(session: Session) -> tuple[int, ...]:
    assert session.data is not None
    return session.data.excluded


def test_a_row_is_left_out_and_taken_back_and_then_the_pool_fits_again(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    pool = session.encoded
    assert leave_out(workspace, session, "row 17") == 1
    assert (17 in rows_of(session), len(rows_of(session)), excluded(session)) == (False, 35, (17,))
    assert "the data" in pool_state(workspace, session).changed[0]
    with pytest.raises(DataError, match="left out already"):
        leave_out(workspace, session, "row 17")
    assert take_back(workspace, session, "row 17") == 1
    assert rows_of(session) == list(range(1, 37))
    assert pool_state(workspace, session).kind == "ready"
    assert session.encoded is pool
    with pytest.raises(DataError, match="nothing to take back"):
        take_back(workspace, session, "row 17")


def test_all_rows_of_a_problem_or_that_are_shown_are_left_out_at_once(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    rows = [*ROWS, (ROWS[0][0], "water"), ROWS[1], ("a word that stands alone", "glass")]
    workspace.set_data(session, read_table(write_csv(tmp_path / "more.csv", rows)))
    assert leave_out(workspace, session, "problem conflicting_labels") == 2
    assert excluded(session) == (1, 37)
    assert leave_out(workspace, session, "problem single_example_label") == 1
    assert "glass" not in labels_of(session)
    session.filter = Filter("all", words="number 11")
    assert leave_out(workspace, session, "filter") == 3
    assert excluded(session) == (1, 34, 35, 36, 37, 39)
    session.filter = Filter("all", label="fire")
    assert take_back(workspace, session, "filter") == 2
    assert excluded(session) == (35, 36, 37, 39)
    assert take_back(workspace, session, "problem excluded") == 4
    assert excluded(session) == ()
    assert labels_of(session) == ("fire", "glass", "stone", "water")


@pytest.mark.parametrize("which", ["", "row", "row x", "row 99", "problem nothing", "else 3"])
def test_what_means_no_row_leaves_none_out(workspace: Workspace, session: Session, which: str) -> None:
    with pytest.raises(DataError, match="None of these rows"):
        leave_out(workspace, session, which)


def test_where_too_little_would_be_left_all_stays_as_it_was(workspace: Workspace, session: Session) -> None:
    before = session.data
    with pytest.raises(DataError, match="No row"):
        leave_out(workspace, session, "filter")
    name_labels(workspace, session, ["fire", "stone"], "stone")
    session.filter = Filter(label="stone")
    with pytest.raises(DataError, match="one class"):
        leave_out(workspace, session, "filter")
    assert len(rows_of(session)) == 36
    assert before is not None
    with pytest.raises(DataError, match="one class"):
        name_labels(workspace, session, ["water", "stone"], "stone")
    assert labels_of(session) == ("stone", "water")


def test_labels_are_named_joined_and_called_as_in_the_file_again(workspace: Workspace, session: Session) -> None:
    name_labels(workspace, session, ["fire"], "  big   fire ")
    assert labels_of(session) == ("big fire", "stone", "water")
    name_labels(workspace, session, ["big fire", "water"], "water")
    assert labels_of(session) == ("stone", "water")
    leave_out(workspace, session, "row 1")
    assert labels_of(session) == ("stone", "water")
    session.filter = Filter(words="about fire")
    leave_out(workspace, session, "filter")
    take_back(workspace, session, "problem excluded")
    assert labels_of(session) == ("stone", "water")
    unname(workspace, session, "water")
    assert labels_of(session) == ("fire", "stone", "water")
    use_names(workspace, session, {"fire": "heat", "water": " ", "stone": "stone"})
    assert labels_of(session) == ("heat", "stone", "water")


def test_the_label_that_is_looked_at_goes_by_its_new_name(workspace: Workspace, session: Session) -> None:
    session.filter = Filter("all", label="fire", page=1)
    name_labels(workspace, session, ["fire", "water"], "hot water")
    assert session.filter == Filter("all", label="hot water")
    name_labels(workspace, session, ["stone"], "brick")
    assert session.filter == Filter("all", label="hot water")
    unname(workspace, session, "hot water")
    assert session.filter == Filter("all")
    session.filter = Filter(label="fire")
    use_names(workspace, session, {"fire": "heat"})
    assert session.filter == Filter(label="heat")
    leave_out(workspace, session, "filter")
    assert session.filter == Filter(label="heat")


@pytest.mark.parametrize(
    ("labels", "name", "said"),
    [
        ([], "x", "No label was picked"),
        (["ice"], "x", "is no label of the data"),
        (["fire"], " \t", "given were 0"),
        (["fire"], "x" * 201, "given were 201"),
    ],
)
def test_names_that_cannot_be_given(
    workspace: Workspace, session: Session, labels: list[str], name: str, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        name_labels(workspace, session, labels, name)
    assert labels_of(session) == ("fire", "stone", "water")


def test_without_data_there_is_nothing_to_make_of_them(model: LanguageModel) -> None:
    workspace = Workspace(load=lambda source: model)
    session = workspace.session(None)
    for act in (leave_out, take_back, unname):
        with pytest.raises(DataError, match="no data yet"):
            act(workspace, session, "row 1")
    with pytest.raises(DataError, match="no file yet"):
        use_columns(workspace, session, "text", "label")
    workspace.jobs.close()


def test_other_columns_keep_rows_left_out_and_another_file_begins_anew(
    workspace: Workspace, session: Session, table: Table, tmp_path: Path
) -> None:
    leave_out(workspace, session, "row 5")
    session.filter = Filter(label="fire")
    swapped = table.frame.rename(columns={"text": "words"})
    assert session.data is not None
    use_columns(workspace, session, "text", "label")
    assert excluded(session) == (5,)
    assert session.filter == Filter(label="fire")
    workspace.set_data(session, replace(table, frame=swapped))
    assert (excluded(session), session.filter) == ((), Filter())


def test_what_was_taught_goes_along(workspace: Workspace, session: Session) -> None:
    teach(workspace, session, "a spark", "fire")
    leave_out(workspace, session, "row 2")
    name_labels(workspace, session, ["fire"], "heat")
    assert [(row.text, row.label) for row in session.taught] == [("a spark", "heat")]


def test_the_example_comes_back_with_its_pool(model: LanguageModel, tmp_path: Path) -> None:
    workspace = Workspace(load=lambda source: model)
    workspace.example = Example(workspace, file=write_csv(tmp_path / "train.csv", ROWS), cache=tmp_path, tokens=1200)
    job = workspace.example.start()
    session = workspace.session(None)
    assert job.wait(SOON)
    leave_out(workspace, session, "row 3")
    assert session.data is not None
    assert session.data.name == workspace.example.data.name
    assert workspace.ready(session) is None
    take_back(workspace, session, "row 3")
    assert session.data is workspace.example.data
    assert workspace.ready(session) is workspace.example.encoded
    workspace.jobs.close()


def test_a_saved_pool_remembers_which_rows_were_left_out(model: LanguageModel, tmp_path: Path, table: Table) -> None:
    workspace = Workspace(load=lambda source: model, pools=tmp_path / "pools")
    session = workspace.session(None)
    workspace.set_data(session, table)
    session.settings = EncodeSettings(pool_tokens=1500, block_size=4)
    leave_out(workspace, session, "row 17")
    encoded(workspace, session)
    assert save_pool_as(workspace, session, "mine").wait(SOON)
    again = Workspace(load=lambda source: model, pools=tmp_path / "pools")
    other = again.session(None)
    other.filter = Filter(label="fire")
    job = load_pool_of(again, other, "mine")
    assert job.wait(SOON)
    assert (job.state, excluded(other), other.filter) == ("done", (17,), Filter())
    assert pool_state(again, other).kind == "ready"
    take_back(again, other, "row 17")
    assert rows_of(other) == list(range(1, 37))
    for each in (workspace, again):
        each.jobs.close()


def test_rows_of_a_second_file_come_behind_what_was_left(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    leave_out(workspace, session, "row 17")
    second = read_table(write_csv(tmp_path / "second.csv", [("more fire", "fire"), ("more water", "water")]))
    assert session.data is not None
    whole, rows = joined(session.data, second)
    assert (whole.excluded, [row.row for row in rows]) == ((17,), [37, 38])
    session.data = whole
    name_labels(workspace, session, ["fire"], "heat")
    assert session.data.name == "train.csv + second.csv"


def test_a_program_makes_the_same_pool(workspace: Workspace, session: Session, tmp_path: Path) -> None:
    leave_out(workspace, session, "row 17")
    name_labels(workspace, session, ["fire", "water"], "hot water")
    assert session.data is not None
    recipe = Recipe(
        session.data, False, "embedded", PromptTemplate(), EncodeSettings(), (), QuerySettings(), ("dbsa",), None,
        False, Wanted(),
    )  # fmt: skip
    (line,) = [line for line in programs_of(recipe)["Python"].splitlines() if line.startswith("pool = ")]
    line = line.replace('"train.csv"', repr(str(tmp_path / "train.csv")))
    assert eval(line.removeprefix("pool = "), {"dbsa": dbsa}).fingerprint == session.data.pool.fingerprint
    assert "names of labels, rows to leave out" in programs_of(recipe)["curl"]
    assert options_of(recipe) == {}


def test_the_rows_that_are_shown_are_written_with_all_of_their_columns(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    lines = "".join(f"{i};{text};{label}\n" for i, (text, label) in enumerate(ROWS))
    (tmp_path / "wide.csv").write_text(f"id;text;label\n{lines}", encoding="utf-8")
    workspace.set_data(session, read_table(tmp_path / "wide.csv"))
    name_labels(workspace, session, ["fire"], "heat")
    leave_out(workspace, session, "row 1")
    session.filter = Filter(label="heat", order="longest")
    path = write_rows(workspace, session)
    written = read_table(path)
    assert path.name == "wide-rows.csv"
    assert written.delimiter == ";"
    assert written.frame["label"].unique().tolist() == ["heat"]
    assert written.frame["id"].tolist() == ["30", "33", *[str(3 * i) for i in range(1, 10)]]
    session.filter = Filter(words="nothing of the kind")
    with pytest.raises(DataError, match="No row is shown"):
        write_rows(workspace, session)
