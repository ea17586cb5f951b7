"""What a user takes away: a file as it came with columns of ours behind its own, and how the answers were made.

Knows nothing about sessions. A workbook comes back as one, with further sheets; any other file as delimited text, with
a JSON file beside it.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from app.server.batch import Classified, free_names
from dbsa_core.errors import DataError
from dbsa_core.files.annotated import Row, annotate, not_carried_over
from dbsa_core.files.spreadsheet import safe
from dbsa_core.files.tables import Table
from dbsa_core.prediction import COLUMN_MEANINGS, NO_ANSWER


def hand_back(found: Classified, folder: Path, *, spreadsheet_safe: bool = False) -> tuple[list[Path], list[str]]:
    """Write the file with its answers into a folder of its own in `folder`; the first path is the file. The second list
    is what the user's workbook holds and this one does not.

    Cells are as they came. With `spreadsheet_safe` none of them is a formula: in text by an apostrophe before it
    (`dbsa_core.files.spreadsheet`), in a workbook as a text. Raises `DataError` where it cannot be written.
    """
    table, about = found.rows.table, record(found)
    names, rows = free_names(list(table.frame.columns)), [answer.cells for answer in found.whole()]
    try:
        if table.workbook is not None:
            content = annotate(table, names, rows, _sheets(about), formulas=not spreadsheet_safe)
            path = _place(table, folder, "classified", ".xlsx")
            path.write_bytes(content)
            return [path], not_carried_over(table, content)
        frame = table.frame.reset_index(drop=True)
        for place, name in enumerate(names):
            frame[name] = [row[place] for row in rows]
        path = write_text(frame, table, folder, "classified", spreadsheet_safe=spreadsheet_safe)
        beside = path.with_suffix(".json")
        beside.write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"The file with the answers cannot be written ({error.strerror or error}). The answers are kept: make room "
            "on the server's disk, then correct a row or classify again."
        ) from error
    return [path, beside], []


def write_text(frame: pd.DataFrame, table: Table, folder: Path, what: str, *, spreadsheet_safe: bool = False) -> Path:
    """Write what was made of a table as delimited text, by the table's delimiter where it has one."""
    delimiter = table.delimiter or ","
    if spreadsheet_safe:
        frame = frame.map(_safe).rename(columns=_safe)
    path = _place(table, folder, what, ".tsv" if delimiter == "\t" else ".csv")
    # The byte order mark lets spreadsheets read the file as UTF-8.
    frame.to_csv(path, sep=delimiter, index=False, encoding="utf-8-sig")
    return path


def _place(table: Table, folder: Path, what: str, suffix: str) -> Path:
    return Path(tempfile.mkdtemp(dir=folder)) / f"{Path(table.source).stem[:80] or 'file'}-{what}{suffix}"


def _safe(cell: Any) -> Any:
    return safe(cell) if isinstance(cell, str) else cell


def record(found: Classified) -> dict[str, Any]:
    """What the answers are made of and how they add up, as plain values; no text of the user's is among them."""
    rows, answers = found.rows, found.whole()
    checks = Counter(answer.check for answer in answers if answer.check)
    about: dict[str, Any] = {
        **found.used,
        "file": {
            "name": rows.table.source,
            "rows": found.total,
            "text_column": rows.column,
            "label_column": rows.gold_column,
            "left_out_for_their_number_of_fields": list(rows.table.ragged_rows),
        },
        "answers": {
            "answered": found.total - checks[NO_ANSWER],
            "need_a_look": sum(answer.needs_a_look for answer in answers),
            **{f"check: {check}": number for check, number in sorted(checks.items())},
            "texts_corrected": len(found.corrected),
            "seconds": round(found.seconds, 3),
        },
    }
    for name, accuracy in (("accuracy", found.accuracy()), ("accuracy_beyond_data", found.accuracy(unseen_only=True))):
        if accuracy is not None:
            low, high = accuracy.interval
            named = {"rows": accuracy.rows, "right": accuracy.right, "share": round(accuracy.share, 6)}
            about[name] = {**named, "low_95": round(low, 6), "high_95": round(high, 6)}
    if unknown := found.unknown_labels():
        about["labels_that_are_no_candidates"] = unknown
    about["by_label"] = {
        label.label: {"rows": label.rows, "need_a_look": label.need_a_look}
        | ({"labelled_so": label.gold, "of_them_right": label.right} if rows.gold else {})
        for label in found.by_label()
    }
    about["columns"] = dict(zip(free_names(list(rows.table.frame.columns)), COLUMN_MEANINGS.values(), strict=True))
    return about


def _sheets(about: Mapping[str, Any]) -> dict[str, list[Row]]:
    by_label = about["by_label"]
    names = list(next(iter(by_label.values()), {}))
    counted: list[Row] = [["label", *names], *([label, *counts.values()] for label, counts in by_label.items())]
    rest = {name: value for name, value in about.items() if name != "by_label"}
    return {"DBSA": list(_flat(rest)), "DBSA by label": counted}


def _flat(about: Mapping[str, Any]) -> Iterator[Row]:
    for name, value in about.items():
        if isinstance(value, Mapping):
            yield from ([name, key, _cell(each)] for key, each in value.items())
        else:
            yield [name, None, _cell(value)]


def _cell(value: Any) -> str | float | None:
    if value is None or isinstance(value, str | int | float):
        return str(value) if isinstance(value, bool) else value
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else json.dumps(value, default=str)
