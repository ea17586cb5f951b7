"""Whether a session's answers may say that no label fits: which label is that of such texts, and a reject option,
fitted in the background and in force from then on.

Knows nothing about Gradio.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import dbsa_core as dbsa
from app.server.answered import Answer
from app.server.jobs import Job
from app.server.session import Session
from app.server.teaching import with_lessons
from app.server.workspace import Workspace
from dbsa_core.errors import Cancelled, DataError
from dbsa_core.interrupt import interruptible
from dbsa_core.scope import checked_out_of_scope, guessed_out_of_scope

if TYPE_CHECKING:
    from dbsa_core import Setup
    from dbsa_core.methods import Method
    from dbsa_core.reject import RejectOption
    from dbsa_core.settings import QuerySettings


@dataclass(frozen=True)
class Asked:
    """How far fitting is: validation rows that were answered."""

    done: int
    total: int


@dataclass(frozen=True, eq=False)
class Fitted:
    """A reject option, and what it was fitted to: it is in force for nothing else."""

    option: RejectOption
    of: tuple[Any, ...]


def out_of_scope(session: Session) -> str | None:
    """The label of texts that fit no other: as it was declared, else by its name; None where there is none."""
    if session.data is None:
        return None
    labels = session.data.pool.labels
    if session.declared is None:
        return guessed_out_of_scope(labels)
    return session.declared if session.declared in labels else None


def declare(workspace: Workspace, session: Session, label: str | None) -> None:
    """Name that label, "" for none; None for whichever its name says. `SettingsError` for one that there is not."""
    if label and session.data is not None:
        label = checked_out_of_scope(label, session.data.pool.labels)
    session.declared = label
    judge_again(workspace, session)


def allow(workspace: Workspace, session: Session, allowed: bool) -> None:
    """Whether answers may say that no label fits."""
    session.rejects = allowed
    judge_again(workspace, session)


def choose_threshold(workspace: Workspace, session: Session, threshold: float | None) -> None:
    """The in-scope score below which no label fits; None for the one that was fitted. Raises `SettingsError`."""
    if session.option is not None and threshold is not None:
        session.option.option.with_threshold(threshold)
    session.threshold = threshold
    judge_again(workspace, session)


def option_in_force(session: Session, setup: Setup, settings: QuerySettings, method: Method) -> RejectOption | None:
    """The option that judges what the method answers, fitted to it on this pool; None where there is none."""
    fitted = session.option
    if not session.rejects or fitted is None or fitted.of != _key(session, setup, settings, method):
        return None
    return fitted.option if session.threshold is None else fitted.option.with_threshold(session.threshold)


def judging(session: Session, setup: Setup, settings: QuerySettings, method: Method) -> Method:
    """The method with the option that is in force for it; itself where none is."""
    from dbsa_core.reject import Rejecting  # with the model, and not before it: it loads PyTorch

    option = option_in_force(session, setup, settings, method)
    return method if option is None else Rejecting(method, option)


def option_now(workspace: Workspace, session: Session) -> RejectOption | None:
    """The option that judges the next query."""
    pool = workspace.ready(session)
    if pool is None:
        return None
    method = dbsa.make_method(session.method_name(), session.query_settings)
    return option_in_force(session, pool.setup, session.query_settings, method)


def fits_now(workspace: Workspace, session: Session) -> bool:
    """Whether an option judges the next query."""
    return option_now(workspace, session) is not None


def _key(session: Session, setup: Setup, settings: QuerySettings, method: Method) -> tuple[Any, ...]:
    """What an option depends on, as plain values that keep no model alive. Rows that were taught or appended are none
    of it: they change little."""
    task, plan = setup.task, setup.plan
    used = tuple((name, getattr(settings, name)) for name in sorted(method.uses))
    rows = session.data.pool.fingerprint if session.data is not None else ""
    pool = plan.settings, plan.pattern, plan.tokens
    return task.model.signature, task.template, rows, pool, method.name, used, out_of_scope(session)


def begin_fitting(workspace: Workspace, session: Session) -> Job:
    """Fit an option to what answers queries now, in the background; the last answer is judged by it when it is there.

    The job's progress is `Asked`. Raises `DataError` where nothing is encoded.
    """
    pool = workspace.ready(session)
    if pool is None:
        raise DataError("Nothing is encoded yet; press Encode first, then fit.")
    settings, label = session.query_settings, out_of_scope(session)
    method = dbsa.make_method(session.method_name(), settings)
    key, read = _key(session, pool.setup, settings, method), with_lessons(session, pool.setup)

    def work(job: Job) -> RejectOption:
        from dbsa_core.reject import fit_reject_option

        def tell(done: int, total: int) -> None:
            if job.cancelled():
                raise Cancelled("Stopped.")
            workspace.turnstile.give_way()
            job.report(Asked(done, total))

        with interruptible(job.cancelled):
            option = fit_reject_option(method, read, out_of_scope=label, on_progress=tell)
        with session.lock:
            session.option, session.threshold, session.rejects = Fitted(option, key), None, True
        judge_again(workspace, session)
        return option

    return workspace.submit(session, "reject", work)


def judge_again(workspace: Workspace, session: Session) -> None:
    """Judge the session's last answer as is in force now; nothing is asked."""
    with session.lock:
        answer = session.answer
        if answer is not None and not answer.provisional:
            session.answer = judged(session, answer)
            workspace.runs.judged(session.answer)


def judged(session: Session, answer: Answer) -> Answer:
    """The same answer with the verdict that is in force, or none."""
    found = answer.prediction
    method = dbsa.make_method(found.method, answer.settings)
    option = option_in_force(session, answer.setup, answer.settings, method)
    verdict = option.judge(found, answer.setup) if option is not None else None
    return replace(answer, prediction=replace(found, verdict=verdict))
