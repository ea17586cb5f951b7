"""Labelled rows of a second file, to measure methods on.

Knows nothing about methods. They are taken as they stand, repeats too; only their labels are those of the first file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dbsa_core.data import Demonstration, choose_columns, match_labels, read_queries
from dbsa_core.errors import DataError
from dbsa_core.files.tables import Table


@dataclass(frozen=True)
class Tested:
    """Test rows, and how they were read."""

    demonstrations: tuple[Demonstration, ...]
    """Those with a text and a label, in the file's order, with their numbers there."""
    text_column: str
    label_column: str
    empty: tuple[int, ...]
    """Numbers of the rows that were left out, for an empty text or label."""
    matched: Mapping[str, str]
    """Labels of the file that are spelled otherwise in the first one, and how."""


def read_tested(
    table: Table,
    labels: Sequence[str],
    text_column: str | None = None,
    label_column: str | None = None,
    *,
    known: tuple[str, str] | None = None,
    label_names: Mapping[str, str] | None = None,
) -> Tested:
    """The test rows of a table, with labels as the first file's `labels` are spelled, where exactly one of them fits.

    `known`: the first file's columns of texts and labels, which are taken where the table has both and none is named;
    else the labels are guessed to stand where the first file's do, if there is such a column. `label_names`: of its
    codes. Raises `DataError` for columns that cannot be told, or hold lists.
    """
    if text_column is None and label_column is None and known is not None and set(known) <= set(table.frame.columns):
        text_column, label_column = known
    if label_column is None:
        label_column = column_of_labels(table, labels, label_names or {}, but=text_column)
    text_column, label_column = choose_columns(table, text_column, label_column)
    cells = _named(table, label_column, label_names or {})
    # Row by row, as it stands: a test file may hold repeats, or a single class.
    pairs = zip(read_queries(table, text_column), cells, table.row_numbers, strict=True)
    rows = [Demonstration(text, label, row) for text, label, row in pairs]
    filled = [row for row in rows if row.text and row.label]
    empty = tuple(row.row for row in rows if not (row.text and row.label))
    spelled, matched = match_labels([row.label for row in filled], labels)
    found = tuple(replace(row, label=label) for row, label in zip(filled, spelled, strict=True))
    return Tested(found, text_column, label_column, empty, matched)


def labels_of(table: Table, column: str, labels: Sequence[str], label_names: Mapping[str, str]) -> list[str]:
    """A column's labels by the names of codes, and as `labels` are spelled; "" for an empty cell. Raises `DataError`
    for one that holds lists."""
    return match_labels(_named(table, column, label_names), labels)[0]


def _named(table: Table, column: str, label_names: Mapping[str, str]) -> list[str]:
    return [label_names.get(label, label) for label in read_queries(table, column)]


def column_of_labels(
    table: Table,
    labels: Sequence[str],
    label_names: Mapping[str, str],
    *,
    but: str | None = None,
    first: str | None = None,
) -> str | None:
    """The column, other than `but`, in which at least nine of ten filled cells are among `labels`; of several, the one
    called `first`, or the fullest. None where there is none."""
    known, found = set(labels), []
    for name in map(str, table.frame.columns):
        if name == but:
            continue
        try:
            filled = [label for label in labels_of(table, name, labels, label_names) if label]
        except DataError:  # lists or objects
            continue
        if filled and 10 * sum(label in known for label in filled) >= 9 * len(filled):
            found.append((name == first, len(filled), name))
    return max(found)[2] if found else None
