"""What went wrong in a session and is not mended yet: one message a cause, until it is dismissed or its cause is gone.

Knows nothing about screens.
"""

from __future__ import annotations

from app.server.session import Session
from app.server.workspace import Workspace

FILE, SETTINGS, MODEL, QUERY, QUERIES, TEST = "file", "settings", "model", "query", "queries", "test"
"""Causes: a labelled file and its columns; settings, encoding by them included; a model; a query; a file of queries; a
test file, and evaluating."""
_CAUSES = {
    "encode": SETTINGS,
    "settle": SETTINGS,
    "tune": SETTINGS,
    "model": MODEL,
    "measure": QUERY,
    "classify_file": QUERIES,
    "evaluate": TEST,
    "label_issues": FILE,
}
"""Of jobs that a page waits for, by their kind."""


def note(session: Session, cause: str, message: str) -> None:
    """Something of that cause went wrong, or, with no message, well."""
    with session.lock:
        session.messages.pop(cause, None)
        if message:
            session.messages[cause] = message


def dismiss(session: Session) -> None:
    """Nobody wants to see them any more."""
    with session.lock:
        session.messages.clear()


def messages(workspace: Workspace, session: Session) -> list[str]:
    """Those that stand, the newest last; a job that failed is noted once."""
    for kind, cause in _CAUSES.items():
        job = workspace.job(session, kind)
        if job is not None and job.state == "failed" and job.id not in session.failures_noted:
            session.failures_noted.add(job.id)
            note(session, cause, job.message)
    with session.lock:
        return list(session.messages.values())
