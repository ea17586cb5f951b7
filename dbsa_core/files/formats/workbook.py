"""Excel workbooks to columns: the sheet asked for, or the first visible one that holds anything.

Knows nothing about names of files: the content comes as bytes.
"""

import io
import re
import warnings
import zipfile
from collections.abc import Sequence
from itertools import islice
from typing import Any

from dbsa_core.errors import DataError
from dbsa_core.files.formats import Parsed, as_text, describe_rows, few, shortened
from dbsa_core.files.formats.shape import place_names, title_notes
from dbsa_core.files.layout import header_index

_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
"""How workbooks write a character that XML cannot hold; "_x005F_" is the underscore of what only looks like one."""
NO_VALUES = "formulas without stored values"
"""What a column holds that a program wrote and no spreadsheet ever computed."""


def read_xlsx(
    data: bytes, source: str, max_bytes: int, max_rows: int, sheet: str | None = None, has_header: bool = True
) -> Parsed:
    """Raises `DataError` for a damaged workbook, an empty one, and one without the sheet asked for."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > 10 * max_bytes:
        raise DataError(f'"{source}" unpacks to {unpacked:,} bytes; accepted are up to {10 * max_bytes:,}.')
    try:
        book = open_book(data, values=True)
        chosen = _sheet(book, source, sheet)
        rows = _cells(chosen, max_rows)
        filled_down = _fill_merged(chosen, rows)
        formulas = _formulas(data, chosen.title, rows)
    except DataError:
        raise
    except Exception as error:  # openpyxl raises a dozen kinds on damaged input
        raise DataError(
            f'"{source}" is a damaged Excel workbook and cannot be read ({type(error).__name__}). '
            "Open and save it again, or export it as CSV."
        ) from error
    if not any(cell is not None for row in rows for cell in row) and not formulas:
        what = f'The sheet "{shortened(sheet)}" of "{source}" is one' if sheet else f'"{source}" is an Excel workbook'
        raise DataError(f"{what} without any filled cell. Give one with a header row.")
    if not has_header:
        rows.insert(0, place_names(max(map(len, rows), default=0)))
        filled_down = [index + 1 for index in filled_down]
        formulas = {column: index + 1 for column, index in formulas.items()}
    parsed = _parsed(rows, [str(name) for name in book.sheetnames], chosen, filled_down, formulas)
    parsed.workbook = data
    if has_header:
        parsed.header_row = header_index(rows) + 1
    return parsed


def open_book(data: bytes, *, values: bool) -> Any:
    """The workbook, with the stored values of its formulas or with the formulas."""
    import openpyxl

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns about styles and extensions, which hold no data
        return openpyxl.load_workbook(io.BytesIO(data), data_only=values)


def has_formulas(data: bytes) -> bool:
    """Whether any cell of the workbook is one."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sheets = [name for name in archive.namelist() if name.startswith("xl/worksheets/") and name.endswith(".xml")]
        return any(b"<f" in archive.read(name) for name in sheets)


def _sheet(book: Any, source: str, wanted: str | None) -> Any:
    """The sheet of that name; else the first visible one that holds rows below names, else one that holds anything."""
    sheets = book.worksheets
    if wanted is not None:
        found = [sheet for sheet in sheets if sheet.title.strip().casefold() == wanted.strip().casefold()]
        if not found:
            raise DataError(
                f'"{source}" has no sheet "{shortened(wanted)}". Its sheets are {few([s.title for s in sheets], 20)}.'
            )
        return found[0]
    visible = [sheet for sheet in sheets if sheet.sheet_state == "visible"]
    filled = {sheet.title: _filled_rows(sheet) for sheet in sheets}
    for least in (2, 1):
        for sheet in (*visible, *sheets):
            if filled[sheet.title] >= least:
                return sheet
    return (*visible, *sheets)[0]


def _filled_rows(sheet: Any) -> int:
    """Rows with a filled cell; two are enough to know."""
    rows = (row for row in sheet.iter_rows(values_only=True) if any(cell is not None for cell in row))
    return len(list(islice(rows, 2)))


def _cells(sheet: Any, max_rows: int) -> list[list[Any]]:
    """Blank cells are None, escapes are decoded, columns begin at the first."""
    rows = sheet.iter_rows(min_row=1, min_col=1, max_row=min(sheet.max_row, max_rows + 200), values_only=True)
    return [[None if cell == "" else _unescaped(cell) for cell in row] for row in rows]


def _unescaped(cell: Any) -> Any:
    if isinstance(cell, str) and "_x" in cell:
        return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), cell)
    return cell


def _fill_merged(sheet: Any, rows: list[list[Any]]) -> list[int]:
    """Give cells that are merged downwards the value of the first of them; returns the indices of their rows."""
    changed: set[int] = set()
    for area in sheet.merged_cells.ranges:
        first, last, column = area.min_row - 1, min(area.max_row, len(rows)) - 1, area.min_col - 1
        if first >= len(rows) or last <= first or (value := rows[first][column]) is None:
            continue
        for index in range(first + 1, last + 1):
            rows[index][column] = value
            changed.add(index)
    return sorted(changed)


def _formulas(data: bytes, title: str, rows: Sequence[Sequence[Any]]) -> dict[int, int]:
    """Columns with formulas whose value no program has stored, and the index of the first such row."""
    if not has_formulas(data):
        return {}
    found: dict[int, int] = {}
    for index, row in enumerate(open_book(data, values=False)[title].iter_rows(min_row=1, min_col=1)):
        for column, cell in enumerate(row):
            if cell.data_type == "f" and index < len(rows) and rows[index][column] is None:
                found.setdefault(column, index)
    return found


def _parsed(
    rows: list[list[Any]], names: list[str], sheet: Any, filled_down: Sequence[int], formulas: dict[int, int]
) -> Parsed:
    first = header_index(rows)
    header, width = rows[first], len(rows[first])
    body = [
        (index, row) for index, row in enumerate(rows[first + 1 :], first + 1) if any(cell is not None for cell in row)
    ]
    used = [header[place] is not None or any(row[place] is not None for _, row in body) for place in range(width)]
    used = [is_used or place in formulas for place, is_used in enumerate(used)]
    last = width - used[::-1].index(True) if any(used) else width
    parsed = Parsed(
        "xlsx",
        [as_text(cell) or "" for cell in header[:last]],
        [[row[place] for _, row in body] for place in range(last)],
        [index - first for index, _ in body],
        title_notes(rows, first),
    )
    parsed.unusable = {
        place: f"{NO_VALUES} (first in row {index - first}): open the workbook in a spreadsheet program and save it"
        for place, index in formulas.items()
        if place < last and index > first
    }
    parsed.sheets, parsed.sheet = tuple(names), str(sheet.title)
    if len(names) > 1:
        parsed.notes.append(f'The workbook has {len(names)} sheets ({few(names)}); "{sheet.title}" was read.')
    below = [index - first for index in filled_down if index > first]
    if below:
        parsed.notes.append(f"Merged cells were filled down, in {describe_rows(below)}.")
    return parsed
