"""The line at the top of the page: model, data and what is encoded of them."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from app.server.encoding import pool_state
from app.server.jobs import Job
from app.server.session import Session
from app.server.workspace import EMBEDDED, Workspace
from app.words import count, out_of
from dbsa_core.model.embedded import EMBEDDED_NAME
from dbsa_core.stage1.progress import Progress

if TYPE_CHECKING:
    from dbsa_core import LanguageModel


def header_view(workspace: Workspace, session: Session) -> str:
    """Model, data and what is encoded of them, in one line."""
    data = session.data
    named = [f'<span class="dbsa-opt">{escape(_model(workspace, session))}</span>']
    if data is None:
        named.append("<span>no data yet</span>")
    else:
        rows = f"<b>{count(len(data.pool), 'row')}</b>"
        rows += f" + {len(session.taught):,} taught" if session.taught else ""
        named.append(f"<span>{escape(data.name)}, {rows}</span>")
    state, words = state_words(workspace, session)
    named.append(f'<span class="dbsa-state"><i class="dbsa-dot dbsa-{state}"></i>{escape(words)}</span>')
    if (embedding := workspace.embedding(session)) is not None:
        done, rows_in_all = embedding
        named.append(f"<span>reading rows by meaning: {done:,} of {rows_in_all:,}</span>")
    model = workspace.loaded(session.model_source)
    named += [f'<span class="dbsa-opt">{escape(fact)}</span>' for fact in (_facts(model) if model else ())]
    return f'<div class="dbsa dbsa-header"><h1>DBSA</h1>{"".join(named)}</div>'


def _facts(model: LanguageModel) -> list[str]:
    """Of a model's device: a GPU that lies idle, and what a warm-up took."""
    from dbsa_core.devices import unused_gpu
    from dbsa_core.stage2.steps import steps_of

    told = steps_of(model).warm_up
    return [fact for fact in (unused_gpu(), told and f"Warm-up, once: {told}") if fact]


def _model(workspace: Workspace, session: Session) -> str:
    """ "SmolLM2-135M, CPU"."""
    model = workspace.loaded(session.model_source)
    if model is not None:
        return f"{model.name}, {str(model.device).upper()}"
    name = EMBEDDED_NAME if session.model_source == EMBEDDED else session.model_source
    job = workspace.example.job if workspace.example else None
    if job is not None and job.state == "failed" and session.model_source == workspace.default_model:
        return f"{name} could not be loaded"
    return f"{name}, loading"


def state_words(workspace: Workspace, session: Session) -> tuple[str, str]:
    """A word for the style sheet, and what is encoded in words: "143 encoded, ready"."""
    state = pool_state(workspace, session)
    if state.job is not None and state.active:
        return "busy", encoding_place(workspace, session, state.job)
    if state.encoded is None or state.of_other_data:
        return "none", "nothing encoded"
    pool = state.encoded.pool
    rows = f"{len(pool.rows):,} encoded"
    if state.kind == "changed":
        return "stale", f"{rows}, changed since"
    if state.kind == "partial":
        return "stale", f"{rows}, {out_of(len(pool.blocks), pool.blocks_planned, 'block')}"
    return "ready", f"{rows}, ready"


def encoding_place(workspace: Workspace, session: Session, job: Job) -> str:
    """Where an encoding that is not at its end stands: "block 8 of 29"."""
    progress = job.progress
    if isinstance(progress, Progress):
        return f"block {progress.blocks_done:,} of {progress.blocks_total:,}"
    if workspace.loaded(session.model_source) is None:
        return "the model is being loaded"
    ahead = workspace.jobs.ahead(job)
    return f"waiting for {count(ahead, 'other job')}" if ahead else "encoding begins"
