"""A session's rows whose label may be wrong: looked for in the background, and listed to take away.

Knows nothing about Gradio. What was found by the time that it is stopped stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from app.server.handing_back import write_text
from app.server.jobs import Job
from app.server.session import Session
from app.server.teaching import teach, with_lessons
from app.server.workspace import Workspace
from dbsa_core.data import Demonstration
from dbsa_core.errors import Cancelled, DataError
from dbsa_core.interrupt import interruptible

if TYPE_CHECKING:
    from dbsa_core import Setup
    from dbsa_core.label_issues import LabelIssue, LabelIssues

KIND = "label_issues"
"""Of its jobs."""


@dataclass(eq=False)
class Search:
    """How far it is, and what it found by now. The worker writes it, anybody may read it."""

    fingerprint: str
    """Of the pool whose rows are looked at."""
    what: str = ""
    """What is being done; "" while the model is being loaded."""
    done: int = 0
    total: int = 0
    issues: tuple[LabelIssue, ...] = ()
    whole: LabelIssues | None = field(default=None, repr=False)
    """Once it came to its end."""

    @property
    def asks(self) -> bool:
        """Whether the model is being asked, or was."""
        from dbsa_core.label_issues import ASKING  # with the model, and not before it: it loads PyTorch

        return self.what == ASKING


def begin_search(workspace: Workspace, session: Session) -> Job:
    """Look for labels that may be wrong, with the query settings in force; the job's progress, and its result, is a
    `Search`. Waits for a model that is being loaded. Raises `DataError` where there are no data."""
    data, settings = session.data, session.query_settings
    if data is None:
        raise DataError("There are no data yet; upload a file, or use the bundled example.")
    search = Search(data.pool.fingerprint)

    def work(job: Job) -> Search:
        job.report(search)
        setup = _setup(workspace, session)
        from dbsa_core.label_issues import find_label_issues

        def tell(what: str, done: int, total: int) -> None:
            search.what, search.done, search.total = what, done, total
            workspace.turnstile.give_way()
            if job.cancelled():
                raise Cancelled("Stopped.")

        def keep(issue: LabelIssue) -> None:
            search.issues = (*search.issues, issue)

        with interruptible(job.cancelled):
            search.whole = find_label_issues(setup, settings, on_progress=tell, on_found=keep)
        return search

    return workspace.submit(session, KIND, work)


def _setup(workspace: Workspace, session: Session) -> Setup:
    """The pool that queries read, or the plan of one, with what was taught."""
    import dbsa_core as dbsa

    pool = workspace.ready(session)
    base = pool.setup if pool is not None else dbsa.Setup(workspace.task(session), workspace.plan(session))
    return with_lessons(session, base)


def search_of(workspace: Workspace, session: Session) -> Search | None:
    """The last one, where it is of the session's data."""
    job, data = workspace.job(session, KIND), session.data
    search = job.progress if job is not None else None
    if not isinstance(search, Search) or data is None or search.fingerprint != data.pool.fingerprint:
        return None
    return search


def taught_as(session: Session, issue: LabelIssue) -> str | None:
    """The label that was taught for the text of an issue by now."""
    text = issue.demonstration.text.casefold()
    return next((lesson.label for lesson in session.taught if lesson.text.casefold() == text), None)


def teach_suggested(workspace: Workspace, session: Session, place: int) -> Demonstration:
    """Teach the label that is suggested for the issue at a place, from 0. `DataError` where there is none."""
    search = search_of(workspace, session)
    if search is None or not 0 <= place < len(search.issues):
        raise DataError("This row is not in the list any more; look for labels that may be wrong again.")
    issue = search.issues[place]
    return teach(workspace, session, issue.demonstration.text, issue.suggested)


def write_issues(workspace: Workspace, session: Session) -> Path:
    """The list as delimited text, with labels as they stand in the file."""
    search, data = search_of(workspace, session), session.data
    if search is None or data is None or not search.issues:
        raise DataError("There is no list to write; look for labels that may be wrong first.")
    frame = pd.DataFrame([issue.as_json() for issue in search.issues])
    for name in ("label", "suggested"):
        frame[name] = frame[name].map(data.in_file)
    return write_text(frame, data.table, workspace.folder, "label-issues")
