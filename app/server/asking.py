"""Asking: what a session's queries read now, and one query.

Knows nothing about Gradio. While nothing is encoded for the session's data, a query is answered by the most similar
rows alone, and once more when the pool is there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import dbsa_core as dbsa
from app.server.answered import Answer, Encoded
from app.server.comparing import begin_where_missing, give_up, runs_alone
from app.server.fitted import fitted_method
from app.server.history import remember
from app.server.jobs import Job
from app.server.rejecting import judging
from app.server.session import NEAREST, Session
from app.server.teaching import settle, with_lessons
from app.server.workspace import Workspace
from dbsa_core.errors import DataError
from dbsa_core.interrupt import interruptible, stop_if_cancelled
from dbsa_core.prediction import Prediction

if TYPE_CHECKING:
    from dbsa_core import Setup

WAIT_SECONDS = 180.0
"""How long a program's query waits for a pool that is on its way."""
SETTLE_SECONDS = 20.0
"""How long a person's query waits for an encoding to say that it begins, or that there is nothing to encode."""


def _awaited(
    workspace: Workspace, session: Session, seconds: float, on_its_way: Callable[[Job], bool]
) -> Encoded | None:
    """`Workspace.ready`, waiting so long for an encoding under way, and only while it is as `on_its_way` says."""
    until = time.monotonic() + seconds
    with workspace.changed:
        while (found := workspace.ready(session)) is None and time.monotonic() < until:
            job = workspace.being_encoded(session)
            if job is None or not on_its_way(job):
                break
            stop_if_cancelled()
            workspace.changed.wait(0.1)
    return found


def wait_until_ready(workspace: Workspace, session: Session) -> Encoded:
    """`Workspace.ready`, waiting where it is on its way; `DataError` where it is not."""
    found = _awaited(workspace, session, WAIT_SECONDS, lambda job: True)
    if found is None:
        why = "It was dropped to make room for others. " if session.evicted else ""
        raise DataError(f"Nothing is encoded yet. {why}Press Encode on the Encode tab, then ask again.")
    return found


def _ready_or_encoding(workspace: Workspace, session: Session) -> Encoded | None:
    """`Workspace.ready`, once it is known whether the pool is made block by block or comes from a disk at once."""
    return _awaited(workspace, session, SETTLE_SECONDS, lambda job: job.state == "running" and job.progress is None)


def classify_text(
    workspace: Workspace,
    session: Session,
    query: str,
    *,
    compare: bool = True,
    wait: bool = False,
    asked: float = math.inf,
) -> Answer:
    """Classify one text. What was being compared, or asked before, is given up, so that nothing stands in the way.

    `wait`: for a pool, rather than answer by the most similar rows alone while there is none. `asked`: when its user
    asked, by the clock of the page, for `stop_query`. Raises `Cancelled` where another query took its place, or the
    user stopped it.
    """
    if wait:  # here, so that no other query waits for this one's pool
        workspace.task(session)
        wait_until_ready(workspace, session)
    answer: Answer = begin_query(workspace, session, query, compare=compare, asked=asked).outcome()
    return answer


def begin_query(
    workspace: Workspace,
    session: Session,
    query: str,
    *,
    compare: bool = True,
    instead_of: str = "",
    asked: float = math.inf,
) -> Job:
    """`classify_text` in the background; its answer is the session's once the job is done.

    `instead_of`: id of the provisional answer whose place it takes.
    """
    give_up(workspace, session)
    for kind in ("measure", "what_if", "query"):
        workspace.stop(session, kind)

    def work(job: Job) -> Answer:
        with interruptible(lambda: job.cancelled() or asked <= session.stopped):
            return _answered(workspace, session, query, compare, instead_of)

    return workspace.submit(session, "query", work, replaces=True)


def stop_query(workspace: Workspace, session: Session, moment: float) -> None:
    """Stop what the user asked until `moment`, by the clock of the page: also a query that is still on its way here,
    for a press of Stop may come before it."""
    session.stopped = max(session.stopped, moment)
    workspace.stop(session, "query")


def _answered(workspace: Workspace, session: Session, query: str, compare: bool, instead_of: str) -> Answer:
    task = workspace.task(session)
    pool = _ready_or_encoding(workspace, session)
    base = pool.setup if pool is not None else dbsa.Setup(task, workspace.plan(session))
    setup = with_lessons(session, base)
    setup.task.query(query)
    name, settings = session.method_name() if pool is not None else NEAREST, session.query_settings
    method, _ = fitted_method(session, name, setup, settings)
    data = pool.data if pool is not None else session.data
    assert data is not None
    with workspace.turnstile.person():
        prediction = judging(session, setup, settings, method).predict(query, attention=True)
    speed = _tokens_per_second(setup, prediction)
    answer = Answer(prediction, setup, base, settings, data.name, speed, method.uses, instead_of=instead_of)
    with session.lock:
        stop_if_cancelled()
        session.answer = answer
        for kind in ("compare", "measure"):
            session.jobs.pop(kind, None)
        remember(session, answer)
    settle(workspace, session, base)
    if compare and runs_alone(workspace, session):
        begin_where_missing(workspace, session)
    return answer


def ask_again(workspace: Workspace, session: Session) -> None:
    """Once the pool is ready, answer by it what was answered by the most similar rows alone; in the background."""
    answer, job = session.answer, workspace.job(session, "query")
    if answer is None or not answer.provisional or (job is not None and job.active) or session.asked_again == answer.id:
        return
    if workspace.ready(session) is not None and session.has_data(answer.base.task.pool):
        session.asked_again = answer.id
        begin_query(workspace, session, answer.prediction.query, instead_of=answer.id)


def _tokens_per_second(setup: Setup, prediction: Prediction) -> float:
    """The fastest that is known: each speed may have been measured while the machine was busy, or on few tokens."""
    from dbsa_core.speed import known_speed

    pool = setup.encoded
    encoding = pool.tokens / max(pool.seconds, 1e-3) if pool is not None else 0.0
    query = prediction.scores.tokens / max(prediction.seconds["forward"], 1e-3)
    return max(known_speed(setup.task.model) or 0.0, encoding, query)
