"""What a user makes of the data without touching the file: rows left out and taken back, labels named and joined.

Knows nothing about screens. What is encoded stays, and fits again as soon as the data come to what it was made of.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from app.server.data import Data
from app.server.exploring import EXCLUDED, USED, rows_of
from app.server.handing_back import write_text
from app.server.session import Session
from app.server.workspace import Workspace
from dbsa_core.data import clean_text
from dbsa_core.errors import DataError
from dbsa_core.files.cells import quoted

WHICH = "filter"
"""Stands for the rows that the session's filter shows; "row 17" for one, "problem duplicate" for those of a kind."""
MAX_NAME = 200
"""Characters."""


def leave_out(workspace: Workspace, session: Session, which: str) -> int:
    """Leave rows that are in use out of the pool, by their numbers in the file; how many. `DataError` for none, and
    where too little would be left: then all is as it was."""
    data = _data(session)
    rows = _rows(session, data, which, USED)
    if not rows:
        raise DataError("None of these rows is in use; they are left out already.")
    _recast(workspace, session, excluded={*data.excluded} | rows)
    return len(rows)


def take_back(workspace: Workspace, session: Session, which: str) -> int:
    """Take rows back that somebody left out; how many. `DataError` where none of them was."""
    data = _data(session)
    rows = _rows(session, data, which, EXCLUDED)
    if not rows:
        raise DataError("None of these rows was left out by hand; there is nothing to take back.")
    _recast(workspace, session, excluded={*data.excluded} - rows)
    return len(rows)


def name_labels(workspace: Workspace, session: Session, labels: Sequence[str], name: str) -> Data:
    """Call all of these labels, as they are called now, by one name; with a label that has it they become one."""
    data, name = _data(session), " ".join(clean_text(name).split())
    unknown = [label for label in labels if label not in data.pool.labels]
    if not labels or unknown:
        what = f"{quoted(unknown)} is no label of the data (any more)" if unknown else "No label was picked"
        raise DataError(f"{what}. Pick labels from the list, and give them a name.")
    if not name or len(name) > MAX_NAME:
        raise DataError(f"The name of a label has 1 to {MAX_NAME} characters; given were {len(name):,}.")
    picked = set(labels)
    return _recast(workspace, session, names={own: name if now in picked else now for own, now in _called(data)})


def unname(workspace: Workspace, session: Session, label: str) -> Data:
    """Call the labels that are called so now as they are in the file."""
    called = _called(_data(session))
    return _recast(workspace, session, names={own: own if now == label else now for own, now in called})


def use_names(workspace: Workspace, session: Session, names: Mapping[str, str]) -> Data:
    """Call labels, as they stand in the file, by these names; those without one as they stand there."""
    return _recast(workspace, session, names={own: name for own, name in names.items() if name.strip() and own != name})


def use_columns(workspace: Workspace, session: Session, text: str, label: str) -> None:
    """Take texts and labels from these columns of the file that was uploaded last."""
    table, data = session.table, session.data
    if table is None and data is not None:
        table = data.table
    if table is None:
        raise DataError("There is no file yet; upload one, or use the bundled example.")
    excluded = data.excluded if data is not None and data.table is table else ()
    workspace.set_data(session, table, text, label, excluded=excluded)


def write_rows(workspace: Workspace, session: Session) -> Path:
    """The rows that the session's filter shows, as delimited text: all columns of the file, labels by their names."""
    data = _data(session)
    rows = rows_of(data)
    places = rows.chosen(session.filter).places
    if not len(places):
        raise DataError("No row is shown; there is nothing to write. Show other rows first.")
    frame = data.table.frame.iloc[places].reset_index(drop=True)
    frame[data.label_column] = [rows.own_labels[place] for place in places]
    return write_text(frame, data.table, workspace.folder, "rows")


def _data(session: Session) -> Data:
    if session.data is None:
        raise DataError("There are no data yet; upload a file first.")
    return session.data


def _called(data: Data) -> list[tuple[str, str]]:
    return list(data.label_names.items()) or [(label, label) for label in data.pool.labels]


def _rows(session: Session, data: Data, which: str, state: int) -> set[int]:
    """Numbers of the rows that are meant, as far as they are in that state."""
    rows = rows_of(data)
    kind, _, named = which.partition(" ")
    if kind == WHICH:
        meant: Collection[int] = rows.numbers[rows.chosen(session.filter).places].tolist()
    elif kind == "problem":
        meant = rows.rows_of(named)
    else:
        meant = [int(named)] if kind == "row" and named.isdecimal() else []
    return {*meant}.intersection(rows.numbers[rows.state == state].tolist())


def _recast(
    workspace: Workspace,
    session: Session,
    *,
    names: Mapping[str, str] | None = None,
    excluded: Collection[int] | None = None,
) -> Data:
    """The same file's data made anew, with other names of labels or without other rows. The label that is looked at
    goes by its new name; where it has become several, all are looked at."""
    with session.lock:
        data = _data(session)
        made = Data.of(
            data.table,
            data.text_column,
            data.label_column,
            names=data.label_names if names is None else names,
            excluded=data.excluded if excluded is None else excluded,
        )
        label = session.filter.label
        names_now = {made.label_names.get(own, own) for own, now in _called(data) if now == label}
        if names_now and names_now != {label}:
            session.filter = replace(session.filter, label=names_now.pop() if len(names_now) == 1 else "", page=0)
        return workspace.put_data(session, replace(made, name=data.name))
