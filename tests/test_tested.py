"""Test rows are read as they stand, with the labelled file's names for their labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbsa_core.errors import DataError
from dbsa_core.files.tables import Table, read_table
from dbsa_core.tested import read_tested

LABELS = ("card lost", "refund")


def table(tmp_path: Path, text: str) -> Table:
    path = tmp_path / "test.csv"
    path.write_text(text, encoding="utf-8")
    return read_table(path)


def test_rows_stay_as_they_are_and_labels_become_the_known_ones(tmp_path: Path) -> None:
    file = table(tmp_path, "id,text,label\n1,it is gone,Card_Lost\n2,it is gone,Card_Lost\n3,,refund\n4,pay me,other\n")
    found = read_tested(file, LABELS, known=("text", "label"))
    assert [(row.text, row.label, row.row) for row in found.demonstrations] == [
        ("it is gone", "card lost", 1),
        ("it is gone", "card lost", 2),
        ("pay me", "other", 4),
    ]
    assert (found.empty, dict(found.matched)) == ((3,), {"Card_Lost": "card lost"})


def test_columns_are_those_named_or_known_or_guessed(tmp_path: Path) -> None:
    file = table(tmp_path, "a,text,label\nrefund,where is it,card lost\ncard lost,pay me,refund\n")
    assert (read_tested(file, LABELS).text_column, read_tested(file, LABELS).label_column) == ("text", "label")
    assert read_tested(file, LABELS, known=("text", "a")).label_column == "a"
    assert read_tested(file, LABELS, "text", "a", known=("text", "label")).label_column == "a"
    assert read_tested(file, LABELS, known=("text", "gone")).label_column == "label"
    with pytest.raises(DataError, match="gone"):
        read_tested(file, LABELS, "text", "gone")


def test_codes_get_their_names(tmp_path: Path) -> None:
    file = table(tmp_path, "text,label\nit is gone,0\npay me,1\nhello,2\n")
    found = read_tested(file, LABELS, label_names={"0": "card lost", "1": "refund"})
    assert [row.label for row in found.demonstrations] == ["card lost", "refund", "2"]


def test_a_column_that_holds_the_known_labels_is_found_whatever_it_is_called(tmp_path: Path) -> None:
    file = table(tmp_path, "What,Team\nit is gone,Card lost\npay me,refund\n")
    found = read_tested(file, LABELS)
    assert (found.text_column, found.label_column) == ("What", "Team")
    assert read_tested(file, LABELS, "What").label_column == "Team"
