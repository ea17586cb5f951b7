"""Pools that are kept on disk under a name: saved, listed, loaded into a session, deleted.

Knows nothing about screens. Where a server is open to others, nothing is kept unless whoever runs it names a folder.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from app.server.answered import Encoded
from app.server.data import Data
from app.server.encoding import make_room, put_in_force
from app.server.exploring import Filter
from app.server.jobs import Job
from app.server.session import Session
from app.server.workspace import Workspace
from dbsa_core.data import Demonstration
from dbsa_core.errors import CapacityError, DataError, DBSAError, SettingsError
from dbsa_core.files.tables import Table
from dbsa_core.folders import replacing
from dbsa_core.interrupt import interruptible
from dbsa_core.settings import EncodeSettings, QuerySettings

if TYPE_CHECKING:
    from dbsa_core import Setup

log = logging.getLogger(__name__)

FORMAT = 1
_ABOUT, _TABLE, _ROWS, _WORKBOOK, _SETUP = "about.json", "table.json", "rows.parquet", "file.xlsx", "setup"
_OF_TABLE = sorted({field.name for field in fields(Table)} - {"frame", "workbook"})
"""What is said of the file beside its cells."""
MAX_NAME = 60


@dataclass(frozen=True)
class Kept:
    """One pool on disk."""

    name: str
    saved: datetime
    data: str
    """Name of the file."""
    rows: int
    encoded: int
    taught: int
    model: str
    num_bytes: int
    """That its keys and values take in memory."""


def kept_pools(workspace: Workspace) -> list[Kept]:
    """All that can be listed, the one that was saved last first."""
    folder = workspace.pools
    if folder is None or not folder.is_dir():
        return []
    found = []
    for path in folder.iterdir():
        try:
            if (path / _ABOUT).is_file() and not path.name.startswith("partial-"):
                found.append(_kept(_read(path)))
        except DBSAError as error:
            log.warning("A saved pool is left out of the list: %s", error)
    return sorted(found, key=lambda kept: kept.saved, reverse=True)


def last_kept(workspace: Workspace) -> Kept | None:
    """The one that was saved last."""
    return next(iter(kept_pools(workspace)), None)


def save_pool_as(workspace: Workspace, session: Session, name: str) -> Job:
    """Save what the session's queries read, its file, its settings and what was taught, in the background.

    Raises `DataError` where there is nothing to save, or a pool of that name that this session has neither saved nor
    loaded; `SettingsError` for what cannot be a name, and where this server keeps nothing.
    """
    name, folder = _checked(name), _folder(workspace)
    found = workspace.ready(session)
    if found is None:
        raise DataError("Nothing is encoded for these data yet, so there is nothing to save. Press Encode first.")
    place = folder / _place(name)
    if place.exists() and session.kept_as != name:
        raise DataError(f'There is a saved pool "{name}" already. Choose another name, or delete that one first.')
    data = session.data
    assert data is not None
    lessons, query_settings, source = session.taught, session.query_settings, session.model_source

    def work(job: Job) -> Kept:
        from dbsa_core.saved import save_setup  # with the model, and not before it: it loads PyTorch

        about = _about(name, found, data, lessons, query_settings, source)
        try:
            with replacing(place) as partial:
                save_setup(found.setup, partial / _SETUP)
                data.table.frame.to_parquet(partial / _ROWS, index=False)
                if data.table.workbook is not None:
                    (partial / _WORKBOOK).write_bytes(data.table.workbook)
                table = {name: getattr(data.table, name) for name in _OF_TABLE}
                (partial / _TABLE).write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")
                (partial / _ABOUT).write_text(json.dumps(about, ensure_ascii=False, indent=1), encoding="utf-8")
        except OSError as error:
            raise DataError(
                f'"{name}" cannot be saved ({error.strerror or error}). Make room in {folder}, or delete a saved pool.'
            ) from error
        session.kept_as = name
        return _kept(about)

    return workspace.submit(session, "save", work)


def load_pool_of(workspace: Workspace, session: Session, name: str) -> Job:
    """Make a saved pool the session's, with its file, settings, model and what was taught; nothing is encoded.

    In the background; what the session had is kept until all is there. The job fails with a `DBSAError` that says why
    where the pool cannot be used.
    """
    name, folder = _checked(name), _folder(workspace)
    place = folder / _place(name)
    if not (place / _ABOUT).is_file():
        raise DataError(f'There is no saved pool "{name}" any more. Choose one from the list.')

    def work(job: Job) -> Kept:
        about = _read(place)
        kept = _kept(about)
        if kept.num_bytes > workspace.budget_bytes:
            raise CapacityError(
                f'"{name}" takes {kept.num_bytes / 1e6:,.0f} MB, and this server keeps at most '
                f"{workspace.budget_bytes / 1e6:,.0f} MB of encoded pools."
            )
        with interruptible(job.cancelled):
            model = workspace.model(about["model_source"])
            from dbsa_core.saved import load_setup

            setup = load_setup(place / _SETUP, model)
            found = _restored(about, setup, _table(place))
        with session.lock:
            _take(session, about, found)
        session.kept_as = name
        make_room(workspace, session)
        workspace.announce()
        return kept

    return workspace.submit(session, "load", work)


def delete_pool(workspace: Workspace, name: str) -> None:
    """Remove a saved pool from the disk; sessions that read it go on doing so."""
    place = _folder(workspace) / _place(_checked(name))
    if not (place / _ABOUT).is_file():
        raise DataError(f'There is no saved pool "{name}" any more.')
    try:
        shutil.rmtree(place)
    except OSError as error:
        raise DataError(f'"{name}" cannot be deleted ({error.strerror or error}).') from error


# --- what is written --------------------------------------------------------------------------------------------------


def _about(
    name: str,
    found: Encoded,
    data: Data,
    lessons: tuple[Demonstration, ...],
    query_settings: QuerySettings,
    model_source: str,
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": name,
        "saved": datetime.now().astimezone().isoformat(),
        "model_source": model_source,
        "model": found.setup.task.model.name,
        "data": {
            "name": data.name,
            "text_column": data.text_column,
            "label_column": data.label_column,
            "label_names": dict(data.label_names),
            "excluded": list(data.excluded),
            "rows": len(data.pool),
        },
        "encoded": len(found.pool.rows),
        "bytes": found.pool.num_bytes,
        "lessons": [[lesson.text, lesson.label] for lesson in lessons],
        "settings": asdict(found.settings),
        "query_settings": asdict(query_settings),
    }


def _read(place: Path) -> dict[str, Any]:
    try:
        about = json.loads((place / _ABOUT).read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise DataError(f'"{about["name"]}" was saved in format {about["format"]}; {FORMAT} is known here.')
        _kept(about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(place, error) from error
    return dict(about)


def _kept(about: Mapping[str, Any]) -> Kept:
    data = about["data"]
    return Kept(
        str(about["name"]),
        datetime.fromisoformat(about["saved"]),
        str(data["name"]),
        int(data["rows"]),
        int(about["encoded"]),
        len(about["lessons"]),
        str(about["model"]),
        int(about["bytes"]),
    )


def _damaged(place: Path, why: object) -> DataError:
    return DataError(f"The saved pool in {place} is damaged ({why}); delete it, and encode anew.")


def _table(place: Path) -> Table:
    try:
        saved = json.loads((place / _TABLE).read_text(encoding="utf-8"))
        frame = pd.read_parquet(place / _ROWS).astype(object)
        frame = frame.where(frame.notna(), None)
        workbook = (place / _WORKBOOK).read_bytes() if (place / _WORKBOOK).is_file() else None
        lists = ("row_numbers", "notes", "ragged_rows", "sheets")
        parts = {name: tuple(value) if name in lists else value for name, value in saved.items()}
        table = Table(frame=frame, workbook=workbook, **parts)
        if len(table.row_numbers) != len(frame):
            raise ValueError(f"{len(frame)} rows where {len(table.row_numbers)} were saved")
    except (OSError, ValueError, KeyError, TypeError) as error:  # pyarrow's own errors are of these kinds
        raise _damaged(place, error) from error
    return table


def _restored(about: Mapping[str, Any], setup: Setup, table: Table) -> Encoded:
    data = about["data"]
    columns = (data["text_column"], data["label_column"])
    names, excluded = data["label_names"], tuple(data.get("excluded", ()))
    made = Data(table, *columns, setup.task.pool, data["name"], names, excluded)
    try:  # problems are found in the file, and are not part of a pool's identity
        problems = Data.of(table, *columns, names=names, excluded=excluded).pool.problems
        made = replace(made, pool=replace(made.pool, problems=problems))
    except DataError as error:
        log.warning("The problems of %s are not shown: %s", data["name"], error)
    return Encoded(setup, made, EncodeSettings(**about["settings"]))


def _take(session: Session, about: Mapping[str, Any], found: Encoded) -> None:
    """Have the session be as it was when it was saved."""
    session.model_source = about["model_source"]
    session.data, session.table, session.filter = found.data, found.data.table, Filter()
    session.settings, session.template = found.settings, found.template
    session.query_settings = QuerySettings(**about["query_settings"])
    session._task = (found.setup.task.model, found.data.pool, found.template), found.setup.task
    put_in_force(session, found)
    session.set_taught([Demonstration(text, label, 0) for text, label in about["lessons"]])
    session.look_at("")


# --- names ------------------------------------------------------------------------------------------------------------


def _folder(workspace: Workspace) -> Path:
    if workspace.pools is None:
        raise SettingsError(
            "This server is open to others and keeps no pools. Whoever runs it can name a folder for them with --pools."
        )
    return workspace.pools


def _checked(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise SettingsError(f'A saved pool needs a name of 1 to {MAX_NAME} characters; given was "{name[:80]}".')
    return name


def _place(name: str) -> str:
    """The folder of a name: one that a person recognises, and that leads nowhere else whatever the name."""
    readable = re.sub("[^a-z0-9]+", "-", name.casefold())[:40].strip("-")
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
