"""Delimited text (CSV, TSV and their like) to columns.

Knows nothing about encodings: the text is decoded.
"""

import csv
import io
import re
from itertools import chain, islice

from dbsa_core.errors import DataError
from dbsa_core.files.formats import Parsed, describe_rows, few
from dbsa_core.files.formats.shape import place_names, title_notes
from dbsa_core.files.layout import header_index
from dbsa_core.files.sniff import DELIMITERS, detect_delimiter, quote_problem

_NO_DELIMITER = "\x1f"
_HINT = re.compile(
    r"""["']?[ ]*sep[ ]*=[ ]*["']?(?P<sign>\\t|[^"'\r\n]|)["']?[,;\t| ]*["']?(?:\r\n|\r|\n)""",
    re.IGNORECASE | re.VERBOSE,
)
"""A first line such as `sep=;`, quoted or followed by delimiters, as some programs write it."""


def read_delimited(
    text: str, source: str, delimiter: str | None, preferred: str | None, max_rows: int, has_header: bool = True
) -> Parsed:
    first_line = 1
    # The csv module of Python 3.10 refuses NUL; another control character stands for it.
    text = text.replace("\0", "\x01")
    hint = _HINT.match(text)
    if hint:  # Excel's own way of naming the delimiter
        text, first_line = text[hint.end() :], 2
        delimiter = delimiter or ("\t" if hint["sign"] in ("\\t", "") else hint["sign"])
    delimiter = delimiter or detect_delimiter(text, preferred)
    separator = delimiter or _NO_DELIMITER
    plain = False
    previous_limit = csv.field_size_limit(len(text) + 1)
    try:
        header, rows, notes = _split_rows(text, separator, csv.QUOTE_MINIMAL, max_rows, has_header)
    except csv.Error as error:
        unclosed = "unexpected end" in str(error)
        plain = delimiter == "\t" or (delimiter is None and not unclosed)
        if plain:
            header, rows, notes = _split_rows(text, separator, csv.QUOTE_NONE, max_rows, has_header)
        if not plain or any(len(row) != len(header) for row in rows if row):
            raise DataError(quote_problem(text, source, separator, first_line)) from error
    finally:
        csv.field_size_limit(previous_limit)
    parsed = _align(header, rows, source, delimiter)
    parsed.notes[:0] = notes
    if plain:
        parsed.notes.append("Quotation marks do not pair up as in CSV; they were read as plain characters.")
    return parsed


def _split_rows(
    text: str, delimiter: str, quoting: int, max_rows: int, has_header: bool
) -> tuple[list[str], list[list[str]], list[str]]:
    """The header, all rows after it, blank lines as [], and notes."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)  # type: ignore[arg-type,unused-ignore]
    first = list(islice(reader, 200))
    if not has_header:
        first.insert(0, place_names(max(map(len, first), default=1)))
    start = header_index(first) if has_header else 0
    header = first[start] if first else []
    after = chain(first[start + 1 :], reader)
    if len(header) < 2:
        # A blank line between texts of a single column is a row; after the last one it is not.
        rows = [row or [""] for row in islice(after, max_rows + 2)]
        while rows and not rows[-1][0].strip() and len(rows[-1]) == 1:
            rows.pop()
        return header, rows, []
    rows = list(islice(after, max_rows + 2))
    rows = [[] if len(row) == 1 and not row[0].strip() else row for row in rows]
    return header, rows, title_notes(first, start)


def _align(header: list[str], rows: list[list[str]], source: str, delimiter: str | None) -> Parsed:
    """Give every row the header's number of fields, where only empty ones are too many, or the last ones are missing;
    nothing is ever shifted to another column."""
    width = len(header)
    fitted = [_fitted(row, width) for row in rows]
    numbers = [number for number, row in enumerate(fitted, 1) if row]
    ragged = [number for number, row in enumerate(fitted, 1) if row is None]
    kept = [row for row in fitted if row]
    if ragged and not kept:
        widths = sorted({len(rows[number - 1]) for number in ragged})
        raise DataError(
            f'No row of "{source}" has the {width} fields of the header; the rows have {few(widths)}. '
            "Give every column a name in the first line, or check the delimiter."
        )
    columns = [list(column) for column in zip(*kept, strict=True)] if kept else [[] for _ in header]
    parsed = Parsed("tsv" if delimiter == "\t" else "csv", header, columns, numbers, ragged_rows=ragged)
    parsed.delimiter = delimiter
    if ragged:
        parsed.notes.append(
            f"Left out because the number of fields is not the header's, {width}: {describe_rows(ragged)}."
        )
    named = max((place for place, name in enumerate(header, 1) if name.strip()), default=0)
    if short := [number for number in numbers if len(rows[number - 1]) < named]:
        parsed.notes.append(f"The last fields are missing, and were taken as empty, in {describe_rows(short)}.")
    if delimiter is not None and delimiter not in DELIMITERS:
        parsed.notes.append(f"Cells are separated by {delimiter!r}, as asked.")
    return parsed


def _fitted(row: list[str], width: int) -> list[str] | None:
    """The row in the header's width, [] for a blank line; None where fields that are filled are too many."""
    if not row or len(row) == width:
        return row
    if len(row) < width:
        return row + [""] * (width - len(row))
    return row[:width] if not any(cell.strip() for cell in row[width:]) else None
