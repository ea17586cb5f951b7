"""What if: the last query asked again with other query settings, beside its answer; nothing in force is changed.

Knows nothing about Gradio. It reads the pool that the answer read, so that nothing but the settings differs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import dbsa_core as dbsa
from app.server.answered import Answer, Trial
from app.server.comparing import go_on, interrupt
from app.server.jobs import Job
from app.server.session import Session, dbsa_name
from app.server.workspace import Workspace
from dbsa_core.errors import Cancelled, DataError
from dbsa_core.interrupt import interruptible, stop_if_cancelled

if TYPE_CHECKING:
    from dbsa_core.settings import Order, QuerySettings

TRIED = ("ratio", "fresh_demonstrations", "order")
"""Query settings that a trial differs in."""
AT_MOST = 8
"""Trials that are kept, the newest first."""
ALONE_SECONDS = 5.0
"""How long a trial waits for a comparison to break off, which would count as its time."""


def may_try(session: Session) -> bool:
    """Whether the page shows an answer of this machine that read a pool."""
    answer = session.answer
    return answer is not None and not answer.provisional and not session.viewing


def trials(session: Session) -> tuple[Trial, ...]:
    """Of the last answer, the newest first."""
    answer = session.answer
    return tuple(trial for trial in session.trials if answer is not None and trial.of == answer.id)


def tried(session: Session) -> QuerySettings:
    """The settings that were tried last, or those of the answer."""
    found, answer = trials(session), session.answer
    if found:
        return found[0].settings
    return answer.settings if answer is not None else session.query_settings


def try_settings(
    workspace: Workspace, session: Session, ratio: float, similar: int, order: Order, moment: float | None = None
) -> None:
    """Ask the last query with these settings, and wait for what it answers; a newer call takes an older one's place.

    Which is newer is told by `moment`, when a page sent it, for calls may arrive in another order; without it a call is
    the newest.
    Settings that were tried before are not asked again: what they answered stands first from then on. Raises
    `SettingsError` for values that are not accepted, and `Cancelled` for the older of two calls. A comparison that is
    under way begins anew afterwards, so that each has the machine for itself.
    """
    answer = session.answer
    if answer is None or answer.provisional:
        raise DataError("There is nothing to ask with other settings yet; ask something once a pool is encoded.")
    settings = replace(answer.settings, ratio=ratio, fresh_demonstrations=similar, order=order)
    with session.lock:
        trying = _begin(workspace, session, answer, settings, moment)
    if trying is not None:
        try:
            trying.outcome()
        finally:
            if workspace.job(session, "what_if") is trying:
                go_on(workspace, session)


def _begin(
    workspace: Workspace, session: Session, answer: Answer, settings: QuerySettings, moment: float | None
) -> Job | None:
    """What asks with these settings, in the place of what asks with others; None where it is known what they answer."""
    if moment is not None:
        if moment < session.tried_at:
            raise Cancelled("Newer settings are tried.")
        session.tried_at = moment
    workspace.stop(session, "what_if")
    workspace.stop(session, "measure")
    before = next((trial for trial in trials(session) if trial.settings == settings), None)
    if before is not None:
        _keep(session, before)
    if before is not None or settings == answer.settings:
        return None
    comparison = interrupt(workspace, session)

    def work(job: Job) -> None:
        if comparison is not None:
            comparison.wait(ALONE_SECONDS)
        with interruptible(job.cancelled):
            _ask(workspace, session, answer, settings)

    return workspace.submit(session, "what_if", work, replaces=True)


def _ask(workspace: Workspace, session: Session, answer: Answer, settings: QuerySettings) -> None:
    method = dbsa.make_method(dbsa_name(settings), settings).fit(answer.setup)
    query = answer.prediction.query
    with workspace.turnstile.person():
        found = method.predict(query, attention=True)
        if found.cold:  # its time is to be compared
            found = method.predict(query, attention=True)
    made = Answer(found, answer.setup, answer.base, settings, answer.name, answer.tokens_per_second, method.uses)
    workspace.runs.of(made)
    with session.lock:
        stop_if_cancelled()
        _keep(session, Trial(answer.id, made.id, settings))


def _keep(session: Session, trial: Trial) -> None:
    """Put it first; those of other answers go."""
    with session.lock:
        others = [other for other in trials(session) if other.run != trial.run]
        session.trials = (trial, *others)[:AT_MOST]


def take_up(session: Session, run: str) -> None:
    """Make the settings of a trial those in force, by the id of its run."""
    found = next((trial for trial in trials(session) if trial.run == run), None)
    if found is None:
        raise DataError("These settings were tried with an answer that is no longer the last one; try them again.")
    kept = {name: getattr(found.settings, name) for name in TRIED}
    session.query_settings = replace(session.query_settings, **kept)
    session.retuned += 1
