"""Delimited text (CSV, TSV and their like) to columns.

Knows nothing about encodings: the text is decoded.
"""

import csv
import io
import re
from itertools import islice

from dbsa_core.errors import DataError
from dbsa_core.formats import Parsed, describe_rows, few
from dbsa_core.sniff import DELIMITERS, detect_delimiter, quote_problem

_NO_DELIMITER = "\x1f"


def read_delimited(text: str, source: str, delimiter: str | None, preferred: str | None, max_rows: int) -> Parsed:
    first_line = 1
    # The csv module of Python 3.10 refuses NUL; another control character stands for it.
    text = text.replace("\0", "\x01")
    hint = re.match(r"sep=(.)(?:\r\n|\r|\n)", text)
    if hint:  # Excel's own way of naming the delimiter
        text, first_line, delimiter = text[hint.end() :], 2, delimiter or hint[1]
    delimiter = delimiter or detect_delimiter(text, preferred)
    separator = delimiter or _NO_DELIMITER
    plain = False
    previous_limit = csv.field_size_limit(len(text) + 1)
    try:
        header, rows = _split_rows(text, separator, csv.QUOTE_MINIMAL, max_rows)
    except csv.Error as error:
        unclosed = "unexpected end" in str(error)
        plain = delimiter == "\t" or (delimiter is None and not unclosed)
        if plain:
            header, rows = _split_rows(text, separator, csv.QUOTE_NONE, max_rows)
        if not plain or any(len(row) != len(header) for row in rows if row):
            raise DataError(quote_problem(text, source, separator, first_line)) from error
    finally:
        csv.field_size_limit(previous_limit)
    parsed = _align(header, rows, source, delimiter)
    if plain:
        parsed.notes.append("Quotation marks do not pair up as in CSV; they were read as plain characters.")
    return parsed


def _split_rows(text: str, delimiter: str, quoting: int, max_rows: int) -> tuple[list[str], list[list[str]]]:
    """The header and all rows after it, blank lines as []."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True)  # type: ignore[arg-type,unused-ignore]
    header = next((row for row in reader if any(cell.strip() for cell in row)), [])
    if len(header) < 2:
        # A blank line between texts of a single column is a row; after the last one it is not.
        rows = [row or [""] for row in islice(reader, max_rows + 2)]
        while rows and not rows[-1][0].strip() and len(rows[-1]) == 1:
            rows.pop()
        return header, rows
    rows = list(islice(reader, max_rows + 2))
    return header, [[] if len(row) == 1 and not row[0].strip() else row for row in rows]


def _align(header: list[str], rows: list[list[str]], source: str, delimiter: str | None) -> Parsed:
    """Keep the rows that have the header's number of fields; nothing is ever shifted to another column."""
    width = len(header)
    numbers = [number for number, row in enumerate(rows, 1) if len(row) == width]
    ragged = [number for number, row in enumerate(rows, 1) if len(row) != width and row]
    kept = rows if len(numbers) == len(rows) else [row for row in rows if len(row) == width]
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
    if delimiter is not None and delimiter not in DELIMITERS:
        parsed.notes.append(f"Cells are separated by {delimiter!r}, as asked.")
    return parsed
