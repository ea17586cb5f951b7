"""What the Ask tab shows of a session: its last answer or the run that it looks at, and what is under way.

Knows nothing about events.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.ask.cards import answer_view, notice_view
from app.ask.comparison import Choice, Comparing, Waiting, price, which_rows
from app.ask.lists import below_view
from app.ask.phases import phases_view
from app.ask.recorded import Recorded
from app.ask.shown import ShownAnswer
from app.mask.figure import mask_figure
from app.server.answered import Answer, Encoded
from app.server.comparing import (
    AT_MOST,
    Rounds,
    Stand,
    chosen,
    estimate,
    may_compare,
    missing,
    offered,
    runs_alone,
)
from app.server.encoding import PoolState, pool_state
from app.server.in_force import outdated
from app.server.jobs import Job
from app.server.keeping import last_kept
from app.server.lanes import LANES
from app.server.session import Session
from app.server.workspace import Workspace
from app.tabs.header import encoding_place
from app.tabs.offer import KEEP_OLD, changed_words, continue_words, stopped_words, use_part_words, use_words
from app.words import count, out_of

if TYPE_CHECKING:
    from dbsa_core.methods import Method


def shown_now(workspace: Workspace, session: Session) -> ShownAnswer | None:
    """The run that the page looks at; the session's last answer; or, before there is one, the recorded example's."""
    if session.viewing:
        return workspace.runs.get(session.viewing)
    if session.answer is not None:
        return workspace.runs.of(session.answer)
    found = _recorded(workspace, session)
    return None if found is None else found.answer


def _recorded(workspace: Workspace, session: Session) -> Recorded | None:
    """The bundled example's, until there is an answer of this machine."""
    example = workspace.example
    if example is None or session.answer is not None or session.viewing or session.data is not example.data:
        return None
    found: Recorded | None = example.recorded
    return found


def render_views(workspace: Workspace, session: Session) -> list[Any]:
    """Notice, answer, what stands below it, and as details, which there may be none of, the phases and the mask."""
    answer, notice = shown_now(workspace, session), notice_of(workspace, session)
    if answer is None:
        return [
            notice,
            "" if session.viewing else _nothing_asked(workspace, session),
            "",
            "",
            "",
            gr.Accordion(visible=False),
        ]
    details = gr.Accordion(visible=bool(session.viewing) or session.answer is not None)
    old, comparing, labels = "", None, None
    if not session.viewing:  # a run is shown as it was
        old, comparing = outdated(workspace, session), _comparing(workspace, session)
        labels = _labels(session)
    shown = answer_view(answer, comparing, old, labels)
    mask = mask_figure(answer.pool.pattern, answer.pool.planned, answer.pool.blocks, answer.read, linked=True)
    return [notice, shown, below_view(answer, old), phases_view(answer, old), mask, details]


def _labels(session: Session) -> Sequence[str] | None:
    """Those to correct the session's last answer by, the most probable first; None where it is of other data."""
    answer, data = session.answer, session.data
    if data is None or (answer is not None and not session.has_data(answer.base.task.pool)):
        return None
    scores = answer.prediction.scores if answer is not None else None
    known = data.pool.labels if scores is None else [scores.labels[index] for index in scores.ranked()]
    return session.with_taught(known)


def _nothing_asked(workspace: Workspace, session: Session) -> str:
    """What there is to ask about."""
    pool = workspace.ready(session)
    ready = ""
    if pool is not None:
        rows = out_of(len(pool.pool.rows), len(pool.setup.task.pool), "row")
        ready = f" {rows} of {pool.data.name} {'is' if len(pool.pool.rows) == 1 else 'are'} encoded."
    return f'<p class="dbsa dbsa-muted">Ask something: the answer comes here.{escape(ready)}</p>'


def _comparing(workspace: Workspace, session: Session) -> Comparing | None:
    """Where the comparison of the session's last answer stands, what there is to compare with, and its price."""
    answer = session.answer
    if answer is None:
        return None
    names = [method.name for method in chosen(session)]
    choices = tuple(
        Choice(method.name, method.title, _price(session, answer, method), method.name in names)
        for method in offered(session)
    )
    if not may_compare(workspace, session):
        text = "The comparison comes when the pool is encoded."
        waiting = [Waiting(choice.name, choice.title, text) for choice in choices if choice.chosen]
        return Comparing(choices, runs_alone(workspace, session), AT_MOST, tuple(waiting), measures=False)
    job = workspace.job(session, "compare")
    waits = tuple(_waiting(workspace, session, answer, method, job) for method in missing(workspace, session))
    timing = workspace.job(session, "measure")
    measuring = ""
    if timing is not None and timing.active:
        rounds = timing.progress or Rounds(0)
        measuring = f"Measuring: {rounds.done} of {rounds.total} runs of each."
    measures = job is None or not job.active
    return Comparing(choices, runs_alone(workspace, session), AT_MOST, waits, measuring, measures)


def _price(session: Session, answer: Answer, method: Method) -> str:
    """ "about 4 s; may read the 143 encoded rows"."""
    found = estimate(session, answer, method)
    setup = answer.setup
    encoded = len(setup.rows) if setup.encoded is not None else 0
    rows = which_rows(method.may_read, len(setup.task.pool), encoded)
    return f"{price(found.once, found.each, found.trains)}; may read {rows}"


def _waiting(workspace: Workspace, session: Session, answer: Answer, method: Method, job: Job | None) -> Waiting:
    found = estimate(session, answer, method)
    takes = price(found.once, found.each, found.trains)
    stand = (job.progress if job.active else job.result) if job is not None else None
    failed = stand.refused.get(method.name, "") if isinstance(stand, Stand) else ""
    if job is not None and job.active and not failed:
        if isinstance(stand, Stand) and stand.running == method.name:
            doing = "is answering"
        else:
            others = workspace.jobs.ahead(job) or len(workspace.jobs.active(LANES["encode"]))
            doing = f"waits for {count(others, 'other job')}" if others else "comes next"
        return Waiting(method.name, method.title, f"{method.title} {doing}, {takes}.", "Stop comparison", "clear")
    if job is not None and job.state == "failed":
        failed = job.message
    if session.compare_waits and not failed:
        text = f"{method.title} waits for what you try, {takes}."
        return Waiting(method.name, method.title, text, "Stop comparison", "clear")
    text = f"{method.title} gave no answer: {failed}" if failed else f"{method.title} takes {takes}."
    return Waiting(method.name, method.title, text, "Try again" if failed else "Run comparison")


def milestone(workspace: Workspace, session: Session) -> str:
    """Changes whenever the answer or run that is shown, its comparison, whether something is being encoded, or what is
    in force does."""
    jobs = [workspace.job(session, kind) for kind in ("compare", "measure", "reject")]
    states = [f"{job.id}:{job.state}:{job.progress}" for job in jobs if job is not None]
    encoding = workspace.encoding(session)
    states += [f"{encoding.id}:{encoding.state}"] if encoding is not None else []
    answer = session.answer.id if session.answer is not None else ""
    verdict = str(session.answer.prediction.verdict) if session.answer is not None else ""
    return " ".join([session.viewing, answer, verdict, *states, outdated(workspace, session)])


# --- what is under way ------------------------------------------------------------------------------------------------


def notice_of(workspace: Workspace, session: Session) -> str:
    """What the answer is and is not, and what can be done about it; "" where there is nothing to say."""
    asked = workspace.job(session, "query")
    if asked is not None and (ahead := workspace.jobs.ahead(asked)):
        return notice_view(f"Your query waits for {count(ahead, 'other query', 'other queries')}.")
    if session.viewing:
        return _looking_back(workspace, session)
    job = workspace.being_encoded(session)
    doing = encoding_place(workspace, session, job) if job is not None else ""
    state = pool_state(workspace, session)
    if state.part is None and (found := _recorded(workspace, session)) is not None:
        text = f", measured on {found.machine}, {found.date}. "
        text += "Your machine's times replace it when you press Classify."
        # Between loading and the first block it is not known yet whether anything has to be encoded.
        told = job is not None and (job.progress is not None or workspace.loaded(session.model_source) is None)
        text += f" Now: {doing}." if told else ""
        buttons = [("retry", "Classify it here"), ("upload", "Use your own file")]
        if last := last_kept(workspace):
            buttons.append(("select", f'Open "{last.name}"'))
        return notice_view(text, *buttons, strong="Recorded example")
    provisional = session.answer is not None and session.answer.provisional
    pool = workspace.ready(session)
    if doing:
        if pool is not None:
            return notice_view(f"Encoding: {doing}. The pool before it answers until then.")
        if provisional:
            rows = count(len(session.answer.prediction.demonstration_rows), "similar row")
            return notice_view(f"Read {rows}; {doing} encoded. It is asked again when the pool is ready.")
        return notice_view(f"Encoding: {doing}. Until the pool is ready, the most similar rows alone answer.")
    going_on = [("apply", continue_words(state))] if state.left else []
    if state.part is not None:
        text = _stopped_after(state.part, state)
        choice = ("edit", use_part_words(state)), ("clear", KEEP_OLD)
        return notice_view(text, *going_on, *choice, strong=_STOPPED)
    if pool is None:
        return _nothing_encoded(workspace, session)
    if state.kind == "changed":
        return notice_view(changed_words(state), ("apply", use_words(workspace, session)))
    if state.kind == "partial":
        return notice_view(_stopped_after(pool, state), *going_on, strong=_STOPPED)
    return ""


def _looking_back(workspace: Workspace, session: Session) -> str:
    """Which run this is, or that it is gone, and the way to asking."""
    leave = ("undo", "Back to your last answer" if session.answer is not None else "Ask something of your own")
    found = workspace.runs.get(session.viewing)
    if found is None:
        text = ": a server keeps a run until newer ones need its room, and none over a restart."
        return notice_view(text, leave, strong="This run is gone")
    used = dict(found.stamp)
    text = f" over {used['Data']}, by {used['Model']}: read-only, as it was answered then."
    return notice_view(text, leave, strong=f"Run of {used['Asked'][:16]}")


_STOPPED = "Encoding was stopped"


def _stopped_after(encoded: Encoded, state: PoolState) -> str:
    pool = encoded.pool
    return f" after {out_of(len(pool.blocks), pool.blocks_planned, 'block')}. {stopped_words(state)}"


def _nothing_encoded(workspace: Workspace, session: Session) -> str:
    if session.data is None:
        return notice_view("There are no data yet.", ("upload", "Choose a file"))
    text = ": the most similar rows alone answer."
    if session.evicted:
        text = ": the pool was dropped to make room for others. The most similar rows alone answer."
    return notice_view(text, ("apply", use_words(workspace, session)), strong="Nothing is encoded")
