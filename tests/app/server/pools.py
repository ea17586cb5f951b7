"""A small labelled file, and a session that has encoded it with a tiny model."""

from __future__ import annotations

from pathlib import Path

from app.server.session import Session
from app.server.workspace import Workspace

SOON = 60.0
ROWS = [(f"text number {i} about {word}", word) for i in range(12) for word in ("fire", "water", "stone")]


def write_csv(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows), encoding="utf-8")
    return path


def encoded(workspace: Workspace, session: Session) -> Session:
    job = workspace.encode(session)
    assert job.wait(SOON)
    assert (job.state, job.message) == ("done", "")
    return session
