"""What is tuned for a session's file: in the background, kept with what it was tuned for, taken up, and as a file.

Knows nothing about Gradio. Stop ends asking; what was asked by then is chosen by.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from app.server.jobs import Job
from app.server.rejecting import out_of_scope
from app.server.session import Session
from app.server.teaching import with_lessons
from app.server.workspace import Workspace
from dbsa_core.errors import DataError
from dbsa_core.retrieve.embedder import check_installed
from dbsa_core.settings import QuerySettings, preset

if TYPE_CHECKING:
    from dbsa_core.tuning import Tuned, TunedSettings

KIND = "tune"
"""Of its jobs."""
Way = Literal["tuned", "default", "paper", "own"]
"""How queries are answered: as tuned for the file, by the default settings, as in the paper, or as they were set."""
PRESETS = {"default": "automatic", "paper": "paper-30k"}


@dataclass(frozen=True)
class Asked:
    """How far tuning is."""

    what: str
    """The way of reading that is being asked."""
    done: int
    total: int


@dataclass(frozen=True, eq=False)
class TunedFor:
    """What was chosen, and for what: it is offered for nothing else."""

    settings: TunedSettings
    fingerprint: str
    """Of the rows."""
    model: str
    """Its source."""
    found: Tuned | None = None
    """What was tried; None where settings came from a file."""


def begin_tuning(workspace: Workspace, session: Session) -> Job:
    """Tune for the session's file, in the background, and take up what is chosen; the job's progress is `Asked`.
    Raises `DataError` where nothing is encoded."""
    pool, data = workspace.ready(session), session.data
    if pool is None or data is None:
        raise DataError("Nothing is encoded yet; press Encode first, then tune.")
    read, settings, label = with_lessons(session, pool.setup), session.query_settings, out_of_scope(session)
    model = session.model_source

    def work(job: Job) -> Tuned:
        from dbsa_core.tuning import tune

        def tell(what: str, done: int, total: int) -> None:
            workspace.turnstile.give_way()
            job.report(Asked(what, done, total))

        found = tune(read, settings, out_of_scope=label, seed=settings.seed, stop=job.cancelled, on_progress=tell)
        with session.lock:
            session.tuned = TunedFor(found.settings, data.pool.fingerprint, model, found)
            if tuned_now(session) is not None:
                take_up_tuned(session)
        return found

    return workspace.submit(session, KIND, work)


def tuned_now(session: Session) -> TunedFor | None:
    """What was tuned, where it was for the session's rows and model."""
    tuned, data = session.tuned, session.data
    if tuned is None or data is None:
        return None
    same = tuned.fingerprint == data.pool.fingerprint and tuned.model == session.model_source
    return tuned if same else None


def _tuned_for(session: Session) -> TunedFor:
    if (tuned := tuned_now(session)) is None:
        raise DataError("Nothing was tuned for this file and model yet; tune for them first.")
    return tuned


def way_of(session: Session) -> Way:
    """By which of the ways queries are answered now."""
    tuned, now = tuned_now(session), session.query_settings
    if tuned is not None and now == tuned.settings.query:
        return "tuned"
    for way, name in PRESETS.items():
        if now == _of_preset(name, now):
            return way  # type: ignore[return-value]
    return "own"


def choose_way(workspace: Workspace, session: Session, way: str) -> None:
    """Answer queries that way from now on: "tuned" as was tuned for the file, which is tuned for where it was not.
    Raises `DataError` where that needs a pool, and there is none."""
    if way == "tuned":
        if tuned_now(session) is None:
            begin_tuning(workspace, session)
        else:
            take_up_tuned(session)
    elif way in PRESETS:
        session.query_settings = _of_preset(PRESETS[way], session.query_settings)
        session.retuned += 1


def take_up_tuned(session: Session) -> None:
    """Make what was tuned the settings in force. `DataError` where nothing was tuned for the file."""
    query = _tuned_for(session).settings.query
    if "embedder" in query.of_retrieval(blocks=True, rows=True) | query.of_votes:
        check_installed()
    session.query_settings = query
    session.retuned += 1


def _of_preset(name: str, now: QuerySettings) -> QuerySettings:
    """A preset's way of reading; sentence encoder and seed stay."""
    return replace(preset(name).query, embedder=now.embedder, seed=now.seed)


def take_file(workspace: Workspace, session: Session, path: Path) -> list[str]:
    """Take up what a file of settings says of queries; returns what is to be said. Raises `DataError` for no such file,
    and where there are no data."""
    from dbsa_core.tuning import read_settings

    if session.data is None:
        raise DataError("There are no data yet; upload the labelled file first, or use the bundled example.")
    settings, data = read_settings(path), session.data
    model = workspace.loaded(session.model_source)
    session.tuned = TunedFor(settings, data.pool.fingerprint, session.model_source)
    take_up_tuned(session)
    return settings.notes(model.name if model is not None else settings.model, data.pool.fingerprint)


def write_tuned(workspace: Workspace, session: Session) -> Path:
    """What was tuned as a file, for the command line, Python, and this page. `DataError` where nothing was."""
    tuned = _tuned_for(session)
    folder = Path(tempfile.mkdtemp(dir=workspace.folder))
    stem = Path(session.data.name).stem if session.data is not None else "file"
    path = folder / f"{stem}-settings.json"
    tuned.settings.write(path)
    return path
