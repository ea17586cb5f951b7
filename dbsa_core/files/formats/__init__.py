"""What the readers of the file formats hand over, the limits they keep, and the words of their messages.

Knows nothing about any one format.
"""

import datetime
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

MAX_COLUMNS = 1_000


@dataclass
class Parsed:
    """What a reader found, before its cells become text."""

    format: str
    header: list[str]
    columns: list[list[Any]]
    row_numbers: Sequence[int]
    notes: list[str] = field(default_factory=list)
    ragged_rows: list[int] = field(default_factory=list)
    sheets: tuple[str, ...] = ()
    sheet: str | None = None
    """Of a workbook all sheets, and the one that was read."""
    unusable: dict[int, str] = field(default_factory=dict)
    """Columns by place that cannot be texts or labels, and what they hold."""
    delimiter: str | None = None
    encoding: str | None = None
    workbook: bytes | None = None
    header_row: int = 0
    """Of a workbook its content, and the row of the sheet that holds the names, the first being 1; 0 for none."""


def describe_rows(rows: Sequence[int], limit: int = 5) -> str:
    """ "1 row (3)", "2 rows (3, 8)" or "45 rows (3, 8, 9, 12, 17 and 40 more)"."""
    shown = ", ".join(str(row) for row in rows[:limit])
    more = f" and {len(rows) - limit:,} more" if len(rows) > limit else ""
    return f"{len(rows):,} row{'s' if len(rows) != 1 else ''} ({shown}{more})"


def shortened(text: str, limit: int = 40) -> str:
    """For messages: at most `limit` characters."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def few(values: Sequence[object], limit: int = 5) -> str:
    return ", ".join(shortened(str(value)) for value in values[:limit]) + (", ..." if len(values) > limit else "")


def reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return getattr(error, "msg", None) or str(error).split(";")[0].splitlines()[0].rstrip(".")


def too_many_columns(source: str, count: int) -> str:
    return f'"{source}" has {count:,} or more columns; accepted are up to {MAX_COLUMNS:,}. Check the delimiter.'


def too_many_rows(source: str, max_rows: int) -> str:
    return f'"{source}" has more than {max_rows:,} rows, which is the limit. Give a file with fewer rows.'


def as_text(value: Any) -> str | None:
    """A cell of any type as text; None for a null."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | Decimal):
        number = float(value)
        if math.isnan(number):
            return None
        return str(int(value)) if abs(number) < 1e15 and number.is_integer() else str(value)
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return str(value)
