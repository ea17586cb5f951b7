"""The command that lists labels that may be wrong."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from dbsa_core.label_issues import ISSUE_COLUMNS
from tests.cli.outcome import Run, write_rows
from tests.test_label_issues import PAIRS, WRONG, made_wrong

BY_VOTES = ("--votes", "words", "--vote-weight", "100")


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "train.csv", [*made_wrong()[:-1], ("=1+1 and rain", "weather")])


def test_it_prints_a_table(run: Run, wrong: Path) -> None:
    outcome = run("label-issues", *BY_VOTES, data=wrong)
    assert outcome.code == 0, outcome.err
    head, *rows = csv.reader(io.StringIO(outcome.out))
    assert tuple(head) == ISSUE_COLUMNS
    found = {int(row[0]) - 1: row for row in rows}
    assert set(found) == set(WRONG)
    for row, label in WRONG.items():
        assert found[row][1:3] == [label, PAIRS[row][1]]
        assert found[row][-1] == PAIRS[row][0]
        assert 0 <= float(found[row][4]) < float(found[row][3]) <= 1
    assert "the model was asked about all of them, and disputes 2." in outcome.err
    assert "Asking the model: 2 of 2" in outcome.err


def test_json_and_a_file(run: Run, wrong: Path, tmp_path: Path) -> None:
    out = tmp_path / "list.csv"
    outcome = run("label-issues", *BY_VOTES, "--json", "--out", out, "--rows", "1", data=wrong)
    (one,) = outcome.objects
    assert tuple(one) == ISSUE_COLUMNS
    head, row = csv.reader(io.StringIO(out.read_text(encoding="utf-8")))
    assert dict(zip(head, row, strict=True)) == {name: str(value) for name, value in one.items()}
    assert "the 1 most disputed" in outcome.err
    assert f"The list is {out}." in outcome.err
    quiet = run("label-issues", *BY_VOTES, "--out", out, data=wrong)
    assert quiet.out == ""
    assert len(out.read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rows", "0"], "--rows is 0; it must be 1 row or more"),
        (["--out", "list.txt"], "give a name that ends in .csv"),
        (["--method", "dbsa"], "unrecognized arguments: --method dbsa"),
        (["--ratio", "0.2"], "unrecognized arguments: --ratio 0.2"),
    ],
)
def test_mistakes_get_one_sentence(run: Run, wrong: Path, options: list[str], said: str) -> None:
    outcome = run("label-issues", *options, data=wrong)
    assert outcome.code == 2
    assert said in outcome.err


def test_the_data_are_not_written_over(run: Run, wrong: Path) -> None:
    before = wrong.read_bytes()
    outcome = run("label-issues", "--out", wrong, data=wrong)
    assert outcome.code == 2
    assert "which is also read" in outcome.err
    assert wrong.read_bytes() == before


def test_cells_can_be_safe_for_spreadsheets(run: Run, tmp_path: Path) -> None:
    rows = [(f"={text}", label) for text, label in made_wrong()]
    plain, safe = (
        run("label-issues", *BY_VOTES, *more, data=write_rows(tmp_path / "train.csv", rows))
        for more in ([], ["--spreadsheet-safe"])
    )
    texts = [[row[-1] for row in csv.reader(io.StringIO(each.out))][1:] for each in (plain, safe)]
    assert texts[1] == [f"'{text}" for text in texts[0]]
    assert all(text.startswith("=") for text in texts[0])
