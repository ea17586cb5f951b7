"""The Encode tab's own part that changes while blocks are encoded: its buttons, and how far the encoding is."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.server.answered import Encoded
from app.server.encoding import PoolState, pool_state
from app.server.session import Session
from app.server.workspace import Workspace
from app.tabs.offer import changed_words, continue_words, stopped_words, use_part_words
from app.views import progress_view
from dbsa_core.stage1.progress import Progress

SO_FAR = """
const told = () => {
  const blocks = element.querySelector('[data-so-far]')?.dataset.soFar;
  const mask = document.querySelector('#plan-mask .dbsa-cells');
  if (blocks && mask) dbsaMask.encoded(mask, Number(blocks));
};
watch('value', told);
"""
"""For the `js_on_load` of what `live_view` is shown in: the mask of the plan fills while blocks are encoded."""


def render_live(workspace: Workspace, session: Session, *, plannable: bool = True) -> list[Any]:
    """Encode and Stop as they can be pressed now, the progress, and the choice that a stopped encoding leaves."""
    state, own = pool_state(workspace, session), workspace.job(session, "encode")
    running = own is not None and own.active
    begins = plannable and not running and state.kind != "ready"
    return [
        gr.Button(interactive=begins, value=continue_words(state) if state.left else "Encode"),
        gr.Button(interactive=running and not own.stopping, value="Stopping" if running and own.stopping else "Stop"),
        f'{live_view(workspace, session, state)}<span data-so-far="{so_far(state)}" hidden></span>',
        gr.Row(visible=state.part is not None),
        gr.Button(value=use_part_words(state)),
    ]


def live_view(workspace: Workspace, session: Session, state: PoolState) -> str:
    """How far the encoding is, or what there is and whether it is what would be encoded now."""
    if state.job is not None and state.active:
        ahead = workspace.jobs.ahead(state.job)
        if state.job.state == "queued" and ahead:
            others = "job stands" if ahead == 1 else "jobs stand"
            return f'<p class="dbsa">Waiting: {ahead} other {others} before it.</p>'
        if state.progress is None and workspace.loaded(session.model_source) is None:
            return '<p class="dbsa">Loading the model.</p>'
        return progress_view(state.progress, "running")
    failed = progress_view(state.progress, "failed", state.failure) if state.failure else ""
    if state.part is not None:
        return failed + progress_view(_progress(state.part), "stopped", stopped_words(state))
    if state.encoded is None:
        stopped = state.job is not None and state.job.state == "stopped"
        dropped = "The encoded pool was dropped to make room for others." if state.evicted else ""
        return failed or progress_view(None, "stopped" if stopped else "none", dropped)
    if state.of_other_data:
        kept = f"The pool of {state.encoded.data.name} is kept until this one is complete."
        return failed + progress_view(None, "none", kept)
    known = _progress(state.encoded)
    if state.kind == "changed":
        return failed + progress_view(known, "changed", f"{changed_words(state)} It answers queries until then.")
    if state.kind == "partial":
        return failed + progress_view(known, "stopped", stopped_words(state))
    appended = len(state.encoded.pool.blocks) - len(state.encoded.setup.plan.blocks)
    said = f"{appended:,} of them were appended. " if appended > 0 else ""
    return failed + progress_view(known, "ready", f"{said}Nothing has changed since, so there is nothing to encode.")


def so_far(state: PoolState) -> int:
    """Blocks of what Encode makes that are encoded by now."""
    if state.active:
        return state.progress.blocks_done if state.progress is not None else 0
    if state.part is not None:
        return len(state.part.pool.blocks)
    return len(state.encoded.pool.blocks) if state.encoded is not None and not state.changed else 0


def _progress(encoded: Encoded) -> Progress:
    return encoded.pool.progress(max(encoded.setup.plan.tokens, encoded.pool.tokens))
