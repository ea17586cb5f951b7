"""Reading a user's file into a `Table`: text cells, the rows' numbers in the file, and notes on what was found.

Knows files; knows nothing about labels, demonstrations or pools.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd

from dbsa_core.errors import DataError
from dbsa_core.files.formats import (
    MAX_COLUMNS,
    Parsed,
    as_text,
    describe_rows,
    few,
    lists,
    reason,
    shortened,
    too_many_columns,
    too_many_rows,
)
from dbsa_core.files.formats.binary import read_parquet
from dbsa_core.files.formats.delimited import read_delimited
from dbsa_core.files.formats.records import read_json, read_jsonl
from dbsa_core.files.formats.shape import drop_repeated_headers, drop_unnamed_blank_columns
from dbsa_core.files.formats.workbook import read_xlsx
from dbsa_core.files.sniff import binary_kind, decode, detect_delimiter, text_format

__all__ = ["FORMATS", "MAX_COLUMNS", "WITH_HEADERS", "Table", "describe_rows", "read_table", "shortened"]

FORMATS = ("csv", "tsv", "json", "jsonl", "parquet", "xlsx")
WITH_HEADERS = frozenset({"csv", "tsv", "xlsx"})
"""Formats in which names of columns are a row like any other."""

_ACCEPTED = "Accepted are CSV, TSV, JSON, JSONL, Parquet and .xlsx files."
_SUFFIX_FORMATS = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".parquet": "parquet", ".pq": "parquet", ".xlsx": "xlsx", ".xlsm": "xlsx",
}  # fmt: skip
_FORMAT_WORDS = {
    "csv": "delimited text", "tsv": "delimited text", "json": "JSON", "jsonl": "JSON lines",
    "parquet": "a Parquet file", "xlsx": "an Excel workbook",
}  # fmt: skip
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, eq=False)
class Table:
    """A file as text cells. Row `i` of `frame` is data row `row_numbers[i]` of the file, the first one being 1."""

    frame: pd.DataFrame
    """Columns have text names; a cell is text, or None where the file has a null."""
    row_numbers: tuple[int, ...]
    format: str
    """One of `FORMATS`."""
    delimiter: str | None
    """None where the format has none, and for text of a single column."""
    encoding: str | None
    notes: tuple[str, ...]
    """Sentences for the user on what was found and how it was read."""
    source: str
    """The file's name without its folder."""
    ragged_rows: tuple[int, ...] = ()
    """Data rows that were left out because their number of fields is not the header's."""
    sheets: tuple[str, ...] = ()
    sheet: str | None = None
    """Of a workbook all sheets, and the one that was read."""
    unusable_columns: Mapping[str, str] = field(default_factory=dict)
    """Columns that cannot be texts or labels, and what they hold, such as "lists or objects (first in row 3)"."""
    workbook: bytes | None = field(default=None, repr=False)
    """The file itself where it is a workbook, so that it can be handed back with columns of ours."""
    header_row: int = 0
    """Of a workbook the row of the sheet that holds the names, the first being 1; 0 where none does."""


def read_table(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
    has_header: bool = True,
    max_bytes: int = 200_000_000,
    max_rows: int = 1_000_000,
) -> Table:
    """Read a file of rows and columns. What is None is detected from the content; the name's extension only hints.

    `sheet` names one of a workbook; without `has_header` the first line of delimited text, or the first row of a sheet,
    is data, and columns are called by their places. Raises `DataError` for what cannot be read, with what to do.
    """
    path = Path(path)
    if format is not None and format not in FORMATS:
        raise DataError(f'The format "{format}" is not known. Accepted are {", ".join(FORMATS)}.')
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise DataError(
            f"The delimiter {delimiter!r} is not accepted. Give one character, such as a comma, semicolon, tab or pipe."
        )
    data = _read_bytes(path, max_bytes)
    readable, kind = binary_kind(data)
    if readable is None and kind is not None:
        raise DataError(f'"{path.name}" holds {kind}, which cannot be read as a table. {_ACCEPTED}')
    if format is not None and readable != (format if format in {"parquet", "xlsx"} else None):
        held = kind or "neither a Parquet file nor an Excel workbook"
        raise DataError(f'"{path.name}" was to be read as {format}, but it holds {held}. Leave the format out.')
    if sheet is not None and readable != "xlsx":
        raise DataError(f'"{path.name}" is no Excel workbook and has no sheets. Leave the sheet out.')
    if readable == "xlsx":
        parsed = read_xlsx(data, path.name, max_bytes, max_rows, sheet, has_header)
    elif readable == "parquet":
        parsed = read_parquet(data, path.name, max_bytes, max_rows)
    else:
        parsed = _read_text(data, path, format, delimiter, encoding, max_rows, has_header)
    if not has_header and parsed.format not in WITH_HEADERS:
        raise DataError(f'"{path.name}" holds {_FORMAT_WORDS[parsed.format]}, which names its columns. Leave that out.')
    return _finish(parsed, path, max_rows, has_header)


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    try:
        if not path.exists():
            raise DataError(f'There is no file "{path}". Check its name and folder.')
        if path.is_dir():
            raise DataError(f'"{path}" is a folder. Give one file in it. {_ACCEPTED}')
        if not path.is_file():
            raise DataError(f'"{path}" is not a regular file. Give a file on disk. {_ACCEPTED}')
        size = path.stat().st_size
        if size == 0:
            raise DataError(f'"{path.name}" is empty (0 bytes). Give a file with a header row and data rows.')
        if size > max_bytes:
            raise DataError(
                f'"{path.name}" has {size:,} bytes; accepted are up to {max_bytes:,}. Give fewer rows or columns.'
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise DataError(f'"{path.name}" cannot be read: {error}. Check that the file is there and readable.') from error


def _read_text(
    data: bytes,
    path: Path,
    format: str | None,
    delimiter: str | None,
    encoding: str | None,
    max_rows: int,
    has_header: bool,
) -> Parsed:
    text, encoding, notes = decode(data, path.name, encoding)
    suffix_format = _SUFFIX_FORMATS.get(path.suffix.lower())
    if suffix_format in {"parquet", "xlsx"} and format is None and (len(text) < 8 or not _is_table_text(text)):
        raise DataError(f'"{path.name}" is damaged: it does not hold {_FORMAT_WORDS[suffix_format]}. Save it again.')
    chosen = format or text_format(text, suffix_format)
    if chosen == "json":
        parsed = read_json(text, path.name)
    elif chosen == "jsonl":
        parsed = read_jsonl(text, path.name)
    else:
        if delimiter is None and format == "tsv":
            delimiter = "\t"
        preferred = "\t" if suffix_format == "tsv" else None
        parsed = read_delimited(text, path.name, delimiter, preferred, max_rows, has_header)
    parsed.encoding = encoding
    parsed.notes[:0] = notes
    return parsed


def _is_table_text(text: str) -> bool:
    return text.lstrip()[:1] in {"[", "{"} or detect_delimiter(text) is not None


def _finish(parsed: Parsed, path: Path, max_rows: int, has_header: bool) -> Table:
    source = path.name
    if len(parsed.header) > MAX_COLUMNS:
        raise DataError(too_many_columns(source, len(parsed.header)))
    rows = len(parsed.row_numbers)
    if rows == 0:
        header = few([f'"{shortened(name)}"' for name in parsed.header])
        held = f"only a header ({header}) and no data rows" if parsed.header else "no data rows"
        raise DataError(f'"{source}" holds {held}. Give a file with at least one row of data.')
    if rows + len(parsed.ragged_rows) > max_rows:
        raise DataError(too_many_rows(source, max_rows))
    if parsed.format in WITH_HEADERS and has_header:
        parsed = drop_unnamed_blank_columns(drop_repeated_headers(parsed))
        parsed.notes += _header_doubts(parsed)
    notes = [*_name_notes(parsed.format, path), *parsed.notes]
    names, renamed = _column_names(parsed.header)
    unusable: dict[str, str] = {}
    cells: dict[str, list[str | None]] = {}
    for place, (name, column) in enumerate(zip(names, parsed.columns, strict=True)):
        if found := parsed.unusable.get(place) or lists.unusable(column, parsed.row_numbers):
            unusable[name] = found
        elif any(map(lists.is_nested, column)):
            column = [lists.single(cell) for cell in column]
            notes.append(f'Lists of one value in "{shortened(name)}" were taken as that value.')
        cells[name] = _text_cells(column, source)
    frame = pd.DataFrame(cells, dtype=object)
    return Table(
        frame, tuple(parsed.row_numbers), parsed.format, parsed.delimiter, parsed.encoding, tuple(notes + renamed),
        source, tuple(parsed.ragged_rows), parsed.sheets, parsed.sheet, unusable,
        parsed.workbook, parsed.header_row,
    )  # fmt: skip


def _name_notes(format: str, path: Path) -> Iterator[str]:
    named = _SUFFIX_FORMATS.get(path.suffix.lower())
    if named is not None and _FORMAT_WORDS[named] != _FORMAT_WORDS[format]:
        yield f"The file is named {path.suffix} but holds {_FORMAT_WORDS[format]}."


def _header_doubts(parsed: Parsed) -> Iterator[str]:
    for name, column in zip(parsed.header, parsed.columns, strict=True):
        if name and name in column:
            yield f'The first row may be data: "{shortened(name)}" is also a value of its column. Add a row of names.'
            return
    if len(parsed.header) == 1 and len(parsed.header[0].split()) > 3:
        yield "The first line was taken as the column's name. If it is data, add a line with a name above it."


def _column_names(header: Iterable[str]) -> tuple[list[str], list[str]]:
    """Names that are filled and distinct, and notes on those that were not."""
    names: list[str] = []
    notes: list[str] = []
    given = [unicodedata.normalize("NFC", " ".join(_SURROGATE.sub("\ufffd", name).split())) for name in header]
    taken, used = set(given), set[str]()
    for place, name in enumerate(given, 1):
        wanted = unique = name or f"column {place}"
        if wanted in used or (not name and wanted in taken):
            numbered = (f"{wanted} ({copy})" for copy in count(2))
            unique = next(candidate for candidate in numbered if candidate not in taken)
            taken.add(unique)
        used.add(unique)
        names.append(unique)
        called = f'column {place} is called "{shortened(unique)}"'
        if not name:
            notes.append(f"A column has no name in the header; {called}.")
        elif unique != name:
            notes.append(f'The column name "{shortened(name)}" occurs more than once; {called}.')
    return names, notes


def _text_cells(column: list[Any], source: str) -> list[str | None]:
    try:
        cells = [cell if isinstance(cell, str) else as_text(cell) for cell in column]
    except (RecursionError, ValueError, OverflowError) as error:
        raise DataError(f'A cell of "{source}" cannot be turned into text: {reason(error)}.') from error
    try:
        "".join(cell for cell in cells if cell).encode()
    except UnicodeEncodeError:  # a lone half of a character from a JSON escape, which nothing could store
        return [cell and _SURROGATE.sub("\ufffd", cell) for cell in cells]
    return cells
