"""Stories of Excel workbooks: which sheet, which cells, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from dbsa_core.data import build_pool, guess_columns
from dbsa_core.errors import DataError
from dbsa_core.files.tables import Table, read_table

ROWS = [("the lamp is broken", "damaged"), ("where is it", "tracking"), ("glass was cracked", "damaged")]
ROWS += [("when will it come", "tracking")]
Made = Callable[[Any], None]


@pytest.fixture
def book(tmp_path: Path) -> Callable[[Made], Path]:
    """Saves a workbook after `change(workbook)`; its first sheet is "Sheet" with two columns and four rows."""

    def save(change: Made) -> Path:
        made = openpyxl.Workbook()
        sheet = made.active
        assert sheet is not None
        for row in [("text", "label"), *ROWS]:
            sheet.append(row)
        change(made)
        path = tmp_path / "a.xlsx"
        made.save(path)
        return path

    return save


def cells(table: Table) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in table.frame.to_numpy().tolist()]


def test_labels_that_are_merged_down_hold_for_all_their_rows(book: Any) -> None:
    def merge(made: Any) -> None:
        sheet = made.active
        sheet.delete_rows(2, 4)
        for row in [("a", "damaged"), ("b",), ("c", "tracking"), ("d",), ("e", "damaged"), ("f",)]:
            sheet.append(row)
        for area in ("B2:B3", "B4:B5", "A1:A1"):
            sheet.merge_cells(area)

    table = read_table(book(merge))
    assert [row[1] for row in cells(table)] == ["damaged", "damaged", "tracking", "tracking", "damaged", None]
    assert "Merged cells were filled down, in 2 rows (2, 4)." in table.notes


def test_a_title_merged_across_the_columns_is_a_title(book: Any) -> None:
    def title(made: Any) -> None:
        made.active.insert_rows(1, 2)
        made.active["A1"] = "Support tickets, week 12"
        made.active.merge_cells("A1:B1")

    table = read_table(book(title))
    assert cells(table) == ROWS
    assert table.row_numbers == (1, 2, 3, 4)
    assert 'Left out as a title above the names of the columns: "Support tickets, week 12".' in table.notes


def test_formulas_without_values_are_named_and_no_other_column_takes_their_place(book: Any) -> None:
    def formulas(made: Any) -> None:
        sheet = made.active
        sheet["C1"] = "code"
        for row in range(2, 6):
            sheet[f"C{row}"] = row % 2
            sheet[f"B{row}"] = f'=IF(C{row}=1,"damaged","tracking")'

    table = read_table(book(formulas))
    assert "formulas without stored values (first in row 1)" in table.unusable_columns["label"]
    with pytest.raises(DataError, match=r'column "label" .* formulas without stored values .* and save it'):
        build_pool(table)
    with pytest.raises(DataError, match="formulas without stored values"):
        build_pool(table, "text", "label")


def test_a_formula_in_a_column_that_is_not_used_is_in_nobodys_way(book: Any) -> None:
    table = read_table(book(lambda made: made.active.__setitem__("C1", "sum") or made.active.__setitem__("C2", "=1+1")))
    assert len(build_pool(table)) == 4


def test_escapes_of_characters_are_decoded_once(book: Any) -> None:
    def escapes(made: Any) -> None:
        made.active["A2"] = "broken_x000D_\nhere_x0007_"
        made.active["A3"] = "_x005F_x000D_ and a_x_b"
        made.active["B2"] = "damaged_x000D_"

    pool = build_pool(read_table(book(escapes)), "text", "label")
    assert pool.texts[:2] == ("broken here", "_x000D_ and a_x_b")
    assert pool.labels == ("damaged", "tracking")


def test_a_sheet_of_a_single_line_gives_way_to_one_with_rows(book: Any) -> None:
    table = read_table(book(lambda made: made.create_sheet("about", 0).append(["made", "in May"])))
    assert cells(table) == ROWS
    assert (table.sheets, table.sheet) == (("about", "Sheet"), "Sheet")


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_a_hidden_sheet_is_read_only_where_it_is_asked_for(book: Any, state: str) -> None:
    def hidden(made: Any) -> None:
        lists = made.create_sheet("lists", 0)
        for row in [("label", "meaning"), ("damaged", "it is broken"), ("tracking", "where it is")]:
            lists.append(row)
        lists.sheet_state = state

    path = book(hidden)
    table = read_table(path)
    assert cells(table) == ROWS
    assert 'The workbook has 2 sheets (lists, Sheet); "Sheet" was read.' in table.notes
    assert cells(read_table(path, sheet=" LISTS"))[0] == ("damaged", "it is broken")
    with pytest.raises(DataError, match=r'has no sheet "other"\. Its sheets are lists, Sheet'):
        read_table(path, sheet="other")


def test_a_workbook_without_names_is_read_from_its_first_row(book: Any) -> None:
    table = read_table(book(lambda made: made.active.delete_rows(1)), has_header=False)
    assert list(table.frame.columns) == ["column 1", "column 2"]
    assert cells(table) == ROWS
    assert table.row_numbers == (1, 2, 3, 4)


def test_only_workbooks_have_sheets_and_only_some_files_have_no_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("hello there,a\nbye,b\n")
    with pytest.raises(DataError, match="is no Excel workbook and has no sheets"):
        read_table(path, sheet="one")
    table = read_table(path, has_header=False)
    assert cells(table) == [("hello there", "a"), ("bye", "b")]
    assert (list(table.frame.columns), table.row_numbers) == (["column 1", "column 2"], (1, 2))
    path.write_text("one text\nanother, with a comma\n")
    assert cells(read_table(path, has_header=False))[0][0] == "one text"
    (tmp_path / "a.json").write_text('[{"text": "a"}]')
    with pytest.raises(DataError, match="holds JSON, which names its columns"):
        read_table(tmp_path / "a.json", has_header=False)


def test_of_several_columns_of_classes_the_one_that_sorts_texts_holds_the_labels(book: Any) -> None:
    """Not the one with the fewest values, which says how urgent they are."""

    def classes(made: Any) -> None:
        sheet = made.active
        sheet.delete_rows(1, 9)
        sheet.append(["priority", "team", "what they wrote"])
        for i in range(12):
            sheet.append(
                [("high", "low")[i % 2], ("billing", "repairs", "orders")[i % 3], f"my lamp number {i} is broken"]
            )

    table = read_table(book(classes))
    assert (guess_columns(table).text, guess_columns(table).label) == ("what they wrote", "team")
    assert guess_columns(replace(table, frame=table.frame.drop(columns="team"))).label == "priority"
