"""A file of queries, classified row by row and written beside its own columns.

Knows nothing about sessions.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from dbsa_core.errors import Cancelled, QueryError
from dbsa_core.files.spreadsheet import safe
from dbsa_core.files.tables import Table
from dbsa_core.interrupt import interruptible
from dbsa_core.prediction import ANSWER_COLUMNS, Prediction

if TYPE_CHECKING:
    from dbsa_core.methods import Method


@dataclass(frozen=True)
class RowsDone:
    """How far the classification of a file is."""

    done: int
    total: int
    seconds: float

    @property
    def seconds_left(self) -> float:
        return (self.total - self.done) * self.seconds / self.done if self.done else float("inf")


@dataclass(frozen=True)
class Answers:
    """A file with its answers; where it was stopped, only the rows that were reached."""

    frame: pd.DataFrame
    path: Path
    rows_total: int
    skipped: int
    """Rows without an answer: an empty text, or one too long."""


def classify_rows(
    table: Table,
    texts: Sequence[str],
    method: Method,
    *,
    folder: Path,
    report: Callable[[RowsDone], None],
    cancelled: Callable[[], bool],
    give_way: Callable[[], None],
    spreadsheet_safe: bool = False,
) -> Answers:
    """Classify every text and write the table with columns of answers to a CSV file in `folder`.

    Its cells are as they came; with `spreadsheet_safe` none of them is a formula (`dbsa_core.files.spreadsheet`).
    """
    begun, rows = time.perf_counter(), []
    for number, text in enumerate(texts, start=1):
        give_way()
        if cancelled():
            break
        try:
            with interruptible(cancelled):
                rows.append(_answer(method, text))
        except Cancelled:
            break
        report(RowsDone(number, len(texts), time.perf_counter() - begun))
    if not rows:
        raise Cancelled("Stopped before the first row was classified; there is no file.")
    frame = with_answers(table.frame.iloc[: len(rows)], rows)
    path = write_csv(frame.map(_safe).rename(columns=_safe) if spreadsheet_safe else frame, table, folder, "classified")
    return Answers(frame, path, len(texts), sum(row is None for row in rows))


def write_csv(frame: pd.DataFrame, table: Table, folder: Path, what: str) -> Path:
    """Write what was made of a table to a folder of its own in `folder`; the file is called after the table's."""
    path = Path(tempfile.mkdtemp(dir=folder)) / f"{Path(table.source).stem[:80] or 'file'}-{what}.csv"
    # The byte order mark lets spreadsheets read the file as UTF-8.
    frame.to_csv(path, index=False, encoding="utf-8-sig")
    return path


def _safe(cell: Any) -> Any:
    return safe(cell) if isinstance(cell, str) else cell


def _answer(method: Method, text: str) -> Prediction | None:
    try:
        return method.predict(text)
    except QueryError:
        return None


def with_answers(frame: pd.DataFrame, answers: Sequence[Prediction | None]) -> pd.DataFrame:
    """The frame with the columns of answers; a name that the file has gets `predicted_` before it."""
    empty = (None,) * len(ANSWER_COLUMNS)
    rows = [empty if answer is None else answer.answer() for answer in answers]
    found = frame.reset_index(drop=True)
    for place, name in enumerate(ANSWER_COLUMNS):
        while name in found.columns:
            name = f"predicted_{name}"
        found[name] = [row[place] for row in rows]
    return found
