"""What is said of an evaluation before it begins and while it runs: rows, time, and how far it is.

Knows nothing about how it is laid out.
"""

from __future__ import annotations

from html import escape

from app.server.drawing import drawn, notes
from app.server.evaluated import Evaluated
from app.server.evaluating import estimate, methods_of, shown_run, to_go_on
from app.server.session import Session
from app.server.workspace import Workspace
from app.views import live_paragraph, muted, progress_bar, view
from app.words import count, duration
from dbsa_core.errors import DBSAError


def milestone(workspace: Workspace, session: Session) -> str:
    """Changes whenever anything that is shown does."""
    job, run, pool = workspace.job(session, "evaluate"), shown_run(session), workspace.ready(session)
    at = f"{run.id}:{run.stage.name}:{run.stage.done}" if run is not None and run.stage is not None else ""
    state = f"{job.id}:{job.state}:{job.stopping}:{workspace.jobs.ahead(job)}:{at}" if job is not None else ""
    loaded = workspace.loaded(session.model_source) is not None
    what = (id(pool), loaded, session.wanted, session.query_settings, id(session.data), len(session.taught))
    return " ".join(map(str, (state, *what, session.declared, session.answer.id if session.answer else "")))


def said_of(workspace: Workspace, session: Session) -> tuple[str, bool, Evaluated | None]:
    """What is to be expected of the rows and the time, whether it can begin, and what it would go on with."""
    if workspace.loaded(session.model_source) is None:
        return muted("The model is being loaded."), False, None
    pool = workspace.ready(session)
    if pool is None and workspace.being_encoded(session) is not None:
        return muted("The pool is being encoded."), False, None
    if pool is None:
        return muted("It begins once a pool is encoded: press Encode on the Encode tab."), False, None
    try:
        found, methods = drawn(session, pool.setup), methods_of(session)
        if not methods:
            return muted("Choose at least one method."), False, None
        seconds = estimate(session, found, methods)
    except DBSAError as error:
        return f'<p class="dbsa">{escape(str(error))}</p>', False, None
    said = notes(session, found)
    if found.tested is None:
        anew = " A pool is encoded without them first." if found.anew else ""
        said.append(f"{found.where}: no method reads them, nor rows of the same text.{anew}")
    took = f", about {duration(seconds)}" if seconds is not None else ""
    are = "is" if len(methods) == 1 else "are each"
    said.append(f"{count(len(methods), 'method')} {are} asked about {count(len(found.rows), 'row')}{took}.")
    return "".join(map(muted, said)), True, to_go_on(session, found)


def progress_view(workspace: Workspace, session: Session) -> str:
    """Where the evaluation stands, in one paragraph and a bar; "" before the first."""
    job = workspace.job(session, "evaluate")
    if job is None:
        return ""
    if job.state == "failed":
        return live_paragraph(f"It was not evaluated: {job.message}")
    if ahead := workspace.jobs.ahead(job):
        return live_paragraph(f"Waiting for {count(ahead, 'other evaluation')}.")
    run: Evaluated | None = job.progress
    stage = run.stage if run is not None else None
    if run is None or (job.active and stage is None):
        return live_paragraph("Starting.")
    if stage is not None:
        left = f" · {duration(stage.seconds_left)} left" if stage.seconds_left < float("inf") else ""
        share = stage.done / max(1, stage.total)
        return view(
            "progress",
            live_paragraph(f"{stage.name}: {stage.done:,} of {stage.total:,}{left}"),
            progress_bar("Evaluation", share),
        )
    if run.whole:
        return live_paragraph(f"Done: {count(len(run.rows), 'row')} asked.")
    done = (
        f" after {run.answered:,} of {count(len(run.rows), 'row')}; what is below is of those" if run.answered else ""
    )
    return live_paragraph(f"Stopped{done}.")
