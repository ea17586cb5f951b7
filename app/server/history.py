"""The last queries of a session, and those of them that are pinned, to be compared.

Knows nothing about Gradio. Of each there is a line here; all that it showed is its run.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.ask.shown import ShownAnswer
from app.server.answered import Answer, Past
from app.server.session import Session
from app.server.workspace import Workspace
from dbsa_core.errors import DataError

LAST = 50
"""Queries that are kept beside those that are pinned."""
AT_ONCE = 3
"""Pinned queries that are compared with the one on the screen."""


def remember(session: Session, answer: Answer) -> None:
    """Put an answer first; one that it takes the place of goes."""
    made = Past.of(answer)
    with session.lock:
        before = [past for past in session.history if past.run not in (answer.instead_of, made.run)]
        if answer.instead_of in session.pinned:
            session.pinned = tuple(made.run if run == answer.instead_of else run for run in session.pinned)
        free = [past for past in (made, *before) if past.run not in session.pinned][:LAST]
        session.history = tuple(past for past in (made, *before) if past.run in session.pinned or past in free)


def pin(workspace: Workspace, session: Session, run: str) -> None:
    """Pin a query of the history by the id of its run, or no longer, where it is pinned."""
    with session.lock:
        if run in session.pinned:
            session.pinned = tuple(other for other in session.pinned if other != run)
            return
        if len(session.pinned) >= AT_ONCE:
            raise DataError(f"{AT_ONCE} queries are pinned, as many as are compared at once; unpin one of them first.")
        if run not in [past.run for past in session.history] or workspace.runs.get(run) is None:
            raise DataError("This answer is no longer kept: newer ones needed its room. Ask it again, and pin that.")
        session.pinned = (*session.pinned, run)


def side_by_side(workspace: Workspace, session: Session, shown: ShownAnswer | None) -> Sequence[ShownAnswer]:
    """What is pinned and still kept, in the order of pinning, and behind it what the page shows; empty where nothing
    is pinned."""
    found = {run: workspace.runs.get(run) for run in session.pinned}
    pinned = [answer for answer in found.values() if answer is not None]
    return [*pinned, *([shown] if shown is not None and session.on_screen not in found and pinned else [])]
