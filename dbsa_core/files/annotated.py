"""A workbook as it came, with columns beside its rows and sheets behind its own.

Knows nothing about answers. The user's cells keep their places, values, types and looks; formulas become the values
that the workbook had stored for them, for whoever reads the file without computing it.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

from dbsa_core.files.formats.workbook import has_formulas, open_book
from dbsa_core.files.tables import Table

Row = Sequence[str | float | None]

_PARTS = {
    "vbaProject.bin": "macros", "media": "pictures", "charts": "charts", "diagrams": "diagrams",
    "embeddings": "embedded objects", "ctrlProps": "form controls", "slicers": "slicers",
    "threadedComments": "threads of comments",
}  # fmt: skip
"""What a workbook may hold beside cells, by the name of its folder."""
_LONGEST_TITLE = 31
_NUMBERS = "0.0000"


def not_carried_over(table: Table, written: bytes) -> list[str]:
    """What the workbook of a table holds and `written`, which `annotate` made of it, does not, such as "macros"."""
    if table.workbook is None:
        return []
    before, now = _parts(table.workbook), _parts(written)
    return [what for part, what in _PARTS.items() if part in before - now]


def _parts(data: bytes) -> set[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name.split("/")[1] for name in archive.namelist() if name.startswith("xl/")}


def annotate(
    table: Table, names: Sequence[str], rows: Sequence[Row], sheets: Mapping[str, Sequence[Row]], *, formulas: bool
) -> bytes:
    """The workbook that `table` was read from, with columns `names` and their `rows`, one for each of the table's.

    A sheet without a row of names has no place for ours, and becomes a new workbook with the table's own. `formulas`:
    whether those without a stored value stay; without them, no cell is a formula.
    """
    if table.workbook is None or table.header_row == 0:
        book, sheet, first, places = _new(table)
    else:
        book = _own(table.workbook, formulas)
        sheet, first = book[table.sheet], table.header_row
        places = [first + number for number in table.row_numbers]
    column = _free_column(sheet, first)
    for offset, name in enumerate(names):
        _put(sheet, first, column + offset, name)
        sheet.cell(first, column + offset)._style = copy(sheet.cell(first, max(1, column - 1))._style)
    for place, row in zip(places, rows, strict=True):
        for offset, value in enumerate(row):
            _put(sheet, place, column + offset, value)
    for wanted, content in sheets.items():
        added = book.create_sheet(_free_title(wanted, book.sheetnames))
        for place, row in enumerate(content, start=1):
            for offset, value in enumerate(row, start=1):
                _put(added, place, offset, value)
        for letter, width in zip("ABC", (22, 28, 70), strict=True):
            added.column_dimensions[letter].width = width
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def _own(data: bytes, formulas: bool) -> Any:
    book = open_book(data, values=True)
    if formulas and has_formulas(data):
        for sheet in open_book(data, values=False).worksheets:
            for cell in (cell for row in sheet.iter_rows() for cell in row if cell.data_type == "f"):
                stored = book[sheet.title][cell.coordinate]
                if stored.value is None:
                    stored.value = cell.value
    return book


def _new(table: Table) -> tuple[Any, Any, int, list[int]]:
    """A workbook with the table's cells below their names."""
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = _free_title(table.sheet or "Rows", [])
    for place, row in enumerate([list(table.frame.columns), *table.frame.to_numpy().tolist()], start=1):
        for column, cell in enumerate(row, start=1):
            _put(sheet, place, column, cell)
    return book, sheet, 1, list(range(2, len(table.frame) + 2))


def _put(sheet: Any, row: int, column: int, value: str | float | None) -> None:
    """Write one cell; a text is a text, whatever it begins with."""
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    if value is None:
        return
    cell = sheet.cell(row, column)
    if isinstance(value, str):
        cell.value, cell.data_type = ILLEGAL_CHARACTERS_RE.sub("", value), "s"
    else:
        cell.value = value
        if isinstance(value, float):
            cell.number_format = _NUMBERS


def _free_column(sheet: Any, first: int) -> int:
    """The column behind all that the sheet holds from its row of names on."""
    filled = [cell.column for row in sheet.iter_rows(min_row=first) for cell in row if cell.value is not None]
    merged = [area.max_col for area in sheet.merged_cells.ranges if area.max_row >= first]
    return 1 + int(max([0, *filled, *merged]))


def _free_title(wanted: str, taken: Sequence[str]) -> str:
    folded, title, copies = {name.casefold() for name in taken}, wanted[:_LONGEST_TITLE], 1
    while title.casefold() in folded:
        copies += 1
        end = f" ({copies})"
        title = wanted[: _LONGEST_TITLE - len(end)] + end
    return title
