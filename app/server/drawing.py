"""Rows that a session's methods are measured on: of a test file, or of its data, which methods then do not read.

Knows nothing about methods.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.server.evaluated import Wanted
from app.server.session import Session
from app.server.teaching import with_lessons
from app.words import count
from dbsa_core.data import Demonstration
from dbsa_core.errors import DataError
from dbsa_core.files.tables import Table, describe_rows
from dbsa_core.tested import Tested, read_tested

if TYPE_CHECKING:
    from dbsa_core import Setup


@dataclass(frozen=True, eq=False)
class Drawn:
    """Test rows, and what methods read."""

    setup: Setup
    rows: tuple[Demonstration, ...]
    in_data: frozenset[int]
    """Places of rows whose text stands among those that may be read."""
    anew: bool
    """Whether a pool is encoded for it, for rows of the one that is there are held out."""
    where: str
    """They are from, in words."""
    tested: Tested | None = None
    """How the test file was read."""


def set_test_file(session: Session, table: Table, text: str | None = None, label: str | None = None) -> None:
    """Have the rows of that file asked about; columns are guessed where they are None."""
    session.tested = table
    session.wanted = replace(session.wanted, of_file=True, text_column=text, label_column=label)


def drawn(session: Session, base: Setup) -> Drawn:
    """The test rows as they are wanted, beside that setup of the session's data. Raises `DataError`."""
    what, read, table = session.wanted, with_lessons(session, base), session.tested
    key = (read, session.data, table, replace(what, methods=None, reject=False))
    found = session._drawn
    if found is None or found[0] != key:
        made = _of_file(session, read) if what.of_file else _held_out(read, what)
        found = session._drawn = key, made
    return found[1]


def _held_out(setup: Setup, what: Wanted) -> Drawn:
    from dbsa_core.validation import draw_validation  # with the model, and not before it: it loads PyTorch

    if what.hold_out < 1:
        raise DataError(f"{what.hold_out} rows were to be held out; give 1 or more.")
    found = draw_validation(setup, rows=what.hold_out, seed=what.seed)
    if not found.demonstrations:
        raise DataError("No row can be held out, for each label keeps one; choose a test file instead.")
    where = f"{count(len(found.demonstrations), 'row')} held out (seed {what.seed})"
    return Drawn(found.setup, found.demonstrations, frozenset(), found.setup.encoded is None, where)


def tested_file(session: Session) -> Tested:
    """The session's test file, read beside its data. Raises `DataError`."""
    table, data, what = session.tested, session.data, session.wanted
    if table is None or data is None:
        raise DataError("There is no test file yet; upload one, or hold out rows of the data.")
    columns, labels = (data.text_column, data.label_column), session.with_taught(data.pool.labels)
    found = read_tested(table, labels, what.text_column, what.label_column, known=columns, label_names=data.label_names)
    if not found.demonstrations:
        raise DataError(f"No row of {table.source} has both a text and a label; check its columns.")
    return found


def _of_file(session: Session, setup: Setup) -> Drawn:
    found = tested_file(session)
    rows, table = found.demonstrations, session.tested
    assert table is not None
    there = frozenset(place for place, row in enumerate(rows) if setup.task.rows_equal_to(row.text))
    return Drawn(setup, rows, there, False, table.source, found)


def notes(session: Session, found: Drawn) -> list[str]:
    """What is to be known of the test rows, in sentences."""
    said, labels = [], set(found.setup.task.pool.labels)
    if found.tested is not None:
        columns = f"texts “{found.tested.text_column}”, labels “{found.tested.label_column}”"
        said.append(f"{count(len(found.rows), 'row')} of {found.where}: {columns}.")
        if found.tested.empty:
            said.append(f"Left out for an empty text or label: {describe_rows(found.tested.empty)}.")
    unknown = sum(row.label not in labels for row in found.rows)
    if unknown:
        they = "it counts" if unknown == 1 else "they count"
        said.append(f"{count(unknown, 'row')} with labels that are not in the data: {they} as wrong.")
    if found.in_data:
        rows = count(len(found.in_data), "row")
        said.append(f"The texts of {rows} stand in the data as well; accuracy is told without them too.")
    return said
