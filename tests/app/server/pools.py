"""A small labelled file, and a session that has encoded it with a tiny model."""

from __future__ import annotations

import threading
from pathlib import Path

from app.server.answered import Answer
from app.server.asking import ask_again
from app.server.encoding import begin_encoding
from app.server.jobs import Job
from app.server.session import Session
from app.server.workspace import Workspace

SOON = 60.0
ROWS = [(f"text number {i} about {word}", word) for i in range(12) for word in ("fire", "water", "stone")]


def write_csv(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows), encoding="utf-8")
    return path


def encoded(workspace: Workspace, session: Session) -> Session:
    job = begin_encoding(workspace, session)
    assert job.wait(SOON)
    assert (job.state, job.message) == ("done", "")
    return session


def answered_by_the_pool(workspace: Workspace, session: Session) -> Answer:
    """The last answer, asked again by itself now that there is a pool."""
    encoded(workspace, session)
    ask_again(workspace, session)
    job = workspace.job(session, "query")
    assert job is not None
    assert job.wait(SOON)
    assert session.answer is not None
    return session.answer


def held_halfway(workspace: Workspace, session: Session) -> tuple[threading.Event, threading.Event]:
    """Have the session's next encoding stop halfway: set once it has come so far, and to be set for it to go on."""
    reached, release = threading.Event(), threading.Event()

    def hold() -> None:
        job = workspace.job(session, "encode")
        if job is not None and job.progress is not None and job.progress.tokens_done >= 1000:
            reached.set()
            assert release.wait(SOON)

    workspace.turnstile.give_way = hold  # type: ignore[method-assign]
    return reached, release


def stopped_early(workspace: Workspace, session: Session) -> Job:
    """Begin to encode, and stop once the first blocks are done."""

    def stop() -> None:
        job = workspace.job(session, "encode")
        if job is not None and job.progress is not None and job.progress.blocks_done:
            job.cancel()

    workspace.turnstile.give_way = stop  # type: ignore[method-assign]
    job = begin_encoding(workspace, session)
    assert job.wait(SOON)
    workspace.turnstile.give_way = lambda: None  # type: ignore[method-assign]
    return job
