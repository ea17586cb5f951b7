"""Workbooks that are handed back: the user's cells as they came, ours beside them, and no formula that was none."""

from __future__ import annotations

import datetime
import io
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.chart import BarChart
from openpyxl.styles import Font

from dbsa_core.files.annotated import annotate, not_carried_over
from dbsa_core.files.tables import Table, read_table

NAMES = ("label", "probability")
SHEETS = {"DBSA": [("settings", "ratio", 0.3), ("settings", "order", "=best()")]}


def made(path: Path, change: Any = None) -> Path:
    """Typed cells below a title, a blank row among them, an amount by a formula, and a second sheet."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Tickets"
    day = datetime.datetime(2026, 3, 1, 9, 30)
    for row in [["Week 12, all of them"], [], ["Nr", "When", "Text", "Sum"], [7, day, "the lamp is broken", "=A4*2"]]:
        sheet.append(row)
    sheet.append([])
    sheet.append([8, day, "=cmd", 1.5])
    sheet["C6"].data_type = "s"
    sheet["C4"].font = Font(bold=True)
    book.create_sheet("Other")["B2"] = "kept"
    if change is not None:
        change(book)
    book.save(path)
    return path


def handed_back(table: Table, rows: Any = (("lamp", 0.75), (None, None)), **options: Any) -> Any:
    return openpyxl.load_workbook(io.BytesIO(annotate(table, NAMES, rows, SHEETS, **{"formulas": True, **options})))


def test_cells_stay_where_they_are_and_what_they_are(tmp_path: Path) -> None:
    table = read_table(made(tmp_path / "a.xlsx"))
    assert table.frame["Text"].tolist() == ["the lamp is broken", "=cmd"]
    book = handed_back(table)
    assert book.sheetnames == ["Tickets", "Other", "DBSA"]
    assert book["Other"]["B2"].value == "kept"
    before, now = openpyxl.load_workbook(tmp_path / "a.xlsx")["Tickets"], book["Tickets"]
    for row in before.iter_rows():
        for cell in row:
            same = now[cell.coordinate]
            assert (same.value, same.data_type, same.font.b) == (cell.value, cell.data_type, cell.font.b)
    assert [[cell.value for cell in row] for row in now["E3:F6"]] == [
        ["label", "probability"],
        ["lamp", 0.75],
        [None, None],
        [None, None],
    ]
    assert now["D4"].value == "=A4*2", "no program has stored its value"
    assert (now["C6"].value, now["C6"].data_type) == ("=cmd", "s")
    assert (book["DBSA"]["C2"].value, book["DBSA"]["C2"].data_type) == ("=best()", "s")
    assert handed_back(table, formulas=False)["Tickets"]["D4"].value is None


def test_a_label_is_never_a_formula_and_names_of_sheets_are_free(tmp_path: Path) -> None:
    table = read_table(made(tmp_path / "a.xlsx", lambda book: book.create_sheet("dbsa")))
    book = handed_back(table, [("=1+1", 0.5), ("\x07bell", 0.5)])
    assert (book["Tickets"]["E4"].value, book["Tickets"]["E4"].data_type) == ("=1+1", "s")
    assert book["Tickets"]["E6"].value == "bell"
    assert book.sheetnames[-1] == "DBSA (2)"


def test_what_is_merged_beside_the_rows_is_not_written_into(tmp_path: Path) -> None:
    def merge(book: Any) -> None:
        book["Tickets"].merge_cells("D6:G6")
        book["Tickets"].merge_cells("A1:K1")

    now = handed_back(read_table(made(tmp_path / "a.xlsx", merge)))["Tickets"]
    assert [now["H3"].value, now["H4"].value, now["D6"].value] == ["label", "lamp", 1.5]


def test_a_sheet_without_names_and_a_table_of_no_workbook_become_a_new_one(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (["1", "my lamp"], ["2", "=where"]):
        book.active.append(row)
    book.active["B2"].data_type = "s"
    book.save(tmp_path / "a.xlsx")
    (tmp_path / "a.csv").write_text("column 1,column 2\n1,my lamp\n2,=where\n", "utf-8")
    for table in (read_table(tmp_path / "a.xlsx", has_header=False), read_table(tmp_path / "a.csv")):
        sheet = handed_back(table).worksheets[0]
        assert [[cell.value for cell in row] for row in sheet.iter_rows()] == [
            ["column 1", "column 2", "label", "probability"],
            ["1", "my lamp", "lamp", 0.75],
            ["2", "=where", None, None],
        ]
        assert sheet["B3"].data_type == "s"


def test_values_that_a_program_stored_for_formulas_are_kept(tmp_path: Path) -> None:
    """openpyxl writes no such values, so one is put in as a spreadsheet program would."""
    path = made(tmp_path / "a.xlsx")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    sheet = members["xl/worksheets/sheet1.xml"]
    assert sheet.count(b"<f>A4*2</f><v />") + sheet.count(b"<f>A4*2</f><v></v>") + sheet.count(b"<f>A4*2</f><v/>") == 1
    for empty in (b"<v />", b"<v></v>", b"<v/>"):
        sheet = sheet.replace(b"<f>A4*2</f>" + empty, b"<f>A4*2</f><v>14</v>")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, "xl/worksheets/sheet1.xml": sheet}.items():
            archive.writestr(name, content)
    assert handed_back(read_table(path))["Tickets"]["D4"].value == 14


def test_charts_stay_and_what_is_left_behind_is_known(tmp_path: Path) -> None:
    charted = read_table(made(tmp_path / "a.xlsx", lambda book: book["Other"].add_chart(BarChart(), "A1")))
    assert left_behind(charted) == []
    with zipfile.ZipFile(tmp_path / "a.xlsx", "a") as archive:
        archive.writestr("xl/vbaProject.bin", b"Sub Hello()")
    assert left_behind(read_table(tmp_path / "a.xlsx")) == ["macros"]
    (tmp_path / "a.csv").write_text("text,label\na,b\nc,d\n", "utf-8")
    assert left_behind(read_table(tmp_path / "a.csv")) == []


def left_behind(table: Table) -> list[str]:
    return not_carried_over(table, annotate(table, NAMES, [("lamp", 0.75), (None, None)], SHEETS, formulas=True))


def test_a_row_too_few_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        handed_back(read_table(made(tmp_path / "a.xlsx")), [("lamp", 0.5)])
