"""Corrections: rows that somebody taught, held apart from the file's, read from the next query on, and taken back.

Knows nothing about screens. Nothing is encoded for them until they fill a block; then that is done in the background.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from app.server.handing_back import write_text
from app.server.jobs import Job
from app.server.session import Session
from app.server.workspace import Workspace
from dbsa_core.data import Demonstration
from dbsa_core.errors import DataError
from dbsa_core.interrupt import interruptible

if TYPE_CHECKING:
    from dbsa_core import Setup


@dataclass(frozen=True, eq=False)
class Settled:
    """Blocks of rows that were taught, behind those of a pool."""

    base: Setup
    """Without anything that was taught."""
    lessons: tuple[Demonstration, ...]
    """Those that `setup` knows."""
    setup: Setup


def teach(workspace: Workspace, session: Session, text: str, label: str) -> Demonstration:
    """Add a row to the session's data, at once; what was taught about the same text before makes way for it.

    Raises `DataError` where there are no data, and for a text or label that cannot be taught (see `Setup.teach`).
    """
    task, plan = workspace.task(session), workspace.plan(session)
    import dbsa_core as dbsa  # with the model, and not before it: it loads PyTorch

    with session.lock:
        known = with_lessons(session, dbsa.Setup(task, plan))
        lesson = known.teach(text, label).task.pool.demonstrations[-1]
        kept = [other for other in session.taught if other.text.casefold() != lesson.text.casefold()]
        session.set_taught([*kept, lesson])
    return lesson


def forget(session: Session, text: str) -> None:
    """Take back what was taught about a text."""
    with session.lock:
        kept = [lesson for lesson in session.taught if lesson.text != text]
        if len(kept) == len(session.taught):
            raise DataError("This text is not among the rows that were taught; it may have been removed already.")
        session.set_taught(kept)


def with_lessons(session: Session, base: Setup) -> Setup:
    """What queries read: `base`, which is of the session's data, and what was taught; itself where nothing was."""
    with session.lock:
        lessons, settled = session.taught, session.settled
        if not lessons:
            return base
        key = (base.task, base.plan, base.encoded, lessons)
        if session._lessons is None or session._lessons[0] != key:
            grown, known = base, 0
            if settled is not None and settled.base is base and lessons[: len(settled.lessons)] == settled.lessons:
                grown, known = settled.setup, len(settled.lessons)
            session._lessons = key, grown.extended(lessons[known:])
        return session._lessons[1]


def settle(workspace: Workspace, session: Session, base: Setup) -> Job | None:
    """Encode rows that were taught as blocks behind the pool's, in the background, where they fill some."""
    begun, before = with_lessons(session, base), workspace.job(session, "settle")
    size = base.plan.pattern.demonstrations_per_block
    under_way = before is not None and before.active
    if base.encoded is None or not base.encoded.complete or len(begun.loose) < size or under_way:
        return None
    lessons = begun.task.pool.demonstrations[len(base.task.pool) :]  # more may be taught meanwhile

    def work(job: Job) -> Setup:
        workspace.turnstile.give_way()
        with interruptible(job.cancelled):
            done = begun.settled()
        if done is not begun:
            with session.lock:
                session.settled, session._lessons = Settled(base, lessons, done), None
        return done

    return workspace.submit(session, "settle", work)


def write_file(workspace: Workspace, session: Session) -> Path:
    """The file with the rows that were taught behind its own, as CSV; labels as they stand in the file."""
    data = session.data
    if data is None or not session.taught:
        raise DataError("Nothing was taught yet; there is nothing to add to the file.")
    rows = [{data.text_column: row.text, data.label_column: data.in_file(row.label)} for row in session.taught]
    frame = data.table.frame
    added = pd.DataFrame(rows, columns=frame.columns, dtype=object)
    whole = pd.concat([frame.astype(object), added], ignore_index=True)
    return write_text(whole, data.table, workspace.folder, "taught")
