"""A session's evaluations: which methods answer, about how long that takes, and running it in the background.

Knows nothing about Gradio. One that was stopped goes on where the same is asked for again.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import dbsa_core as dbsa
from app.server.asking import wait_until_ready
from app.server.drawing import Drawn, drawn
from app.server.encoding import check_room
from app.server.evaluated import Evaluated
from app.server.jobs import Job
from app.server.rejecting import out_of_scope
from app.server.reproducing import Recipe, options_of, programs_of
from app.server.session import Session
from app.server.workspace import Workspace
from dbsa_core.errors import Cancelled, CapacityError, DataError
from dbsa_core.interrupt import interruptible

if TYPE_CHECKING:
    from dbsa_core import Setup
    from dbsa_core.methods import Method

AT_MOST = 6
"""Evaluations that are kept; the oldest goes first."""
LEAST_SECONDS = 0.01
"""A query takes no less."""
QUERY_TOKENS = 60
"""Of a query and the labels behind it, where none was asked."""


def methods_of(session: Session) -> list[Method]:
    """Those to evaluate, not fitted."""
    from dbsa_core.evaluation.result import WORD_COUNTS

    names = session.wanted.methods
    if names is None:
        names = (session.method_name(), WORD_COUNTS)
    return [dbsa.make_method(name, session.query_settings) for name in names]


def estimate(session: Session, found: Drawn, methods: Sequence[Method]) -> float | None:
    """About how many seconds it takes, by the fastest speed that is known; None where none is."""
    from dbsa_core.evaluation import SAMPLE
    from dbsa_core.speed import known_speed
    from dbsa_core.validation import rows_for

    answer, setup = session.answer, found.setup
    if answer is not None and answer.setup.task.model is not setup.task.model:
        answer = None
    speed = answer.tokens_per_second if answer is not None else known_speed(setup.task.model)
    if speed is None:
        return None
    rows = len(found.rows) + min(SAMPLE, len(found.rows)) + 1
    if session.wanted.reject:
        rows += min(rows_for(setup) * 3 // 2, len(setup.task.pool) // 2)
    seconds = setup.plan.seconds if found.anew and any(method.reads_blocks for method in methods) else 0.0
    query = QUERY_TOKENS if answer is None else answer.query_tokens
    for method in methods:
        cost = method.cost(setup)
        if cost.trains:
            continue
        each = max(LEAST_SECONDS, (cost.each + query) / speed)
        if answer is not None and (answer.prediction.method, answer.settings) == (method.name, method.settings):
            each = answer.prediction.seconds["total"]
        seconds += cost.once / speed + rows * each
    return seconds


def to_go_on(session: Session, found: Drawn) -> Evaluated | None:
    """The evaluation of the same that was stopped."""
    return _stopped(session, _settings(session, found))


def _stopped(session: Session, settings: Mapping[str, object]) -> Evaluated | None:
    for run in session.evaluations:
        if run.ended is not None and not run.whole and run.settings == settings:
            return run
    return None


def _settings(session: Session, found: Drawn) -> dict[str, object]:
    from dbsa_core.evaluation import settings_of

    made = settings_of(
        methods_of(session), found.setup, found.rows, out_of_scope(session), reject=session.wanted.reject
    )
    plain: dict[str, object] = json.loads(json.dumps(made))
    return plain


def begin_evaluation(workspace: Workspace, session: Session) -> Job:
    """Evaluate as is wanted, in the background; the job's progress, and its result, is an `Evaluated`.

    Waits for a pool that is on its way. Raises `DataError` where there is none, or no row to ask about, and
    `CapacityError` where the methods would keep more than this server may.
    """
    base, what = wait_until_ready(workspace, session).setup, session.wanted
    found, methods, label = drawn(session, base), methods_of(session), out_of_scope(session)
    if not methods:
        raise DataError("No method is chosen; choose at least one to evaluate.")
    _check_room(workspace, session, found, methods)
    with session.lock:
        if (before := workspace.job(session, "evaluate")) is not None and before.active:
            raise CapacityError("That is running already; stop it first, or wait for its end.")
        recipe = _recipe(workspace, session, base, found)
        settings = _settings(session, found)
        run = _stopped(session, settings) or _new(workspace, session, found, settings, recipe)
        _keep(session, run)
    about = {"options": options_of(recipe), "dbsa": dbsa.__version__}

    def work(job: Job) -> Evaluated:
        from dbsa_core.evaluation import EvaluationStopped, evaluate

        def tell(name: str, done: int, total: int) -> None:
            workspace.turnstile.give_way()
            if job.cancelled():
                raise Cancelled("Stopped.")
            run.report(name, done, total)

        job.report(run)
        run.begin()
        results, whole = None, False
        try:
            with interruptible(job.cancelled):
                results = evaluate(
                    methods,
                    found.setup,
                    found.rows,
                    out_of_scope=label,
                    reject=what.reject,
                    folder=run.folder,
                    about=about,
                    on_begun=run.watch,
                    on_progress=partial(tell, "Asking"),
                    on_validation=lambda name, done, total: tell(f"Reject option of {name}", done, total),
                    on_encoding=lambda at: tell("Encoding without the rows held out", at.blocks_done, at.blocks_total),
                    on_refused=lambda name, error: run.refused.update({name: str(error)}),
                )
            whole = True
        except EvaluationStopped as stop:
            results = stop.results
        finally:
            run.end(results, whole=whole)
        return run

    return workspace.submit(session, "evaluate", work)


def _recipe(workspace: Workspace, session: Session, base: Setup, found: Drawn) -> Recipe:
    data, of_file = session.data, found.tested is not None
    assert data is not None
    return Recipe(
        data,
        workspace.example is not None and data.table is workspace.example.data.table,
        session.model_source,
        base.task.template,
        replace(base.plan.settings, pool_tokens=base.plan.tokens),
        session.taught,
        session.query_settings,
        tuple(method.name for method in methods_of(session)),
        out_of_scope(session),
        session.declared is not None,
        session.wanted,
        session.tested if of_file else None,
        found.tested,
    )


def _new(
    workspace: Workspace, session: Session, found: Drawn, settings: Mapping[str, object], recipe: Recipe
) -> Evaluated:
    assert session.data is not None
    number = max((run.number for run in session.evaluations), default=0) + 1
    folder = Path(tempfile.mkdtemp(prefix="evaluation-", dir=workspace.folder))
    what = (session.data.name, found.where, settings, found.rows, found.in_data)
    return Evaluated(number, *what, folder, programs_of(recipe))


def _keep(session: Session, run: Evaluated) -> None:
    """As the newest of its session."""
    kept = [other for other in session.evaluations if other is not run]
    too_many = max(0, len(kept) + 1 - AT_MOST)
    session.evaluations = (*kept[too_many:], run)
    for old in kept[:too_many]:
        old.discard()


def remove(session: Session, id: str) -> None:
    """Forget an evaluation that is over."""
    with session.lock:
        run = next((run for run in session.evaluations if run.id == id), None)
        if run is None:
            return
        if run.ended is None:
            raise DataError(f"Run {run.number} is not over; stop it first.")
        session.evaluations = tuple(other for other in session.evaluations if other is not run)
    run.discard()


def shown_run(session: Session, id: str = "") -> Evaluated | None:
    """That of the id; for another one the newest that runs, or has results."""
    runs = [run for run in session.evaluations if run.ended is None or run.results]
    return next((run for run in runs if run.id == id), runs[-1] if runs else None)


def _check_room(workspace: Workspace, session: Session, found: Drawn, methods: Sequence[Method]) -> None:
    """`CapacityError` where what is kept for it does not fit beside the session's pools."""
    setup = found.setup
    each = setup.task.model.shape.bytes_per_token
    needed = sum(method.cost(setup).once for method in methods) * each
    if found.anew and any(method.reads_blocks for method in methods):
        needed += setup.plan.num_bytes
    check_room(
        workspace, session, needed, "The evaluation", "choose other methods or fewer pool tokens, or a test file"
    )
