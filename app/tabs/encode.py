"""The Encode tab: which model, which settings, what they will cost, and the encoding itself with its progress.

Knows nothing about queries but the settings by which they read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.plots import mask_figure, mask_words
from app.server.encoding import PoolState, begin_encoding, drop_part, pool_state, use_part
from app.server.session import Encoded, Session
from app.server.workspace import Workspace
from app.tabs.model import create_model_picker
from app.tabs.offer import KEEP_OLD, changed_words, continue_words, stopped_words, use_part_words
from app.tabs.page import Page, kept_by_page
from app.views import plan_view, progress_view, ratio_text
from dbsa_core.blocks import chosen_blocks
from dbsa_core.errors import DBSAError, SettingsError
from dbsa_core.prompt import PromptTemplate
from dbsa_core.retrieve import RETRIEVERS
from dbsa_core.settings import ORDERS, SETTING_PRESETS, EncodeSettings, QuerySettings, preset
from dbsa_core.stage1.progress import Progress

if TYPE_CHECKING:
    from dbsa_core.planning import EncodingPlan

OWN = "own"
PRESETS = [
    ("Automatic", "automatic"),
    ("Paper, 30k tokens", "paper-30k"),
    ("Paper, 90k tokens", "paper-90k"),
    ("As set below", OWN),
]
_RETRIEVER_NAMES = {"bm25": "BM25, words in common", "bm25-stem": "BM25, English word stems", "random": "Random"}
_ORDER_NAMES = {
    "pool": "As in the pool (the paper)",
    "least_to_most": "Best match last",
    "most_to_least": "Best match first",
}
_POSITION_NAMES = [
    ("Sequential (the paper)", "sequential"),
    ("Local (the pool may exceed the model's context)", "local"),
]
MIN_TOKENS = 256


def create_encode_tab(page: Page) -> None:
    workspace = page.workspace
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            create_model_picker(page)
            chosen = gr.Dropdown(PRESETS, value="automatic", label="Preset", elem_id="preset")
            tokens = gr.Slider(
                MIN_TOKENS, 8192, label="Pool tokens (how much of the file is encoded)", step=1, elem_id="pool-tokens"
            )
            size, window, sink = _block_controls()
            gr.Markdown("**How a query reads** (takes effect at once, nothing is encoded anew)")
            ratio = gr.Slider(
                0.01, 1, 0.3, step=0.01, label="Retrieval ratio (share of blocks read per query)", elem_id="ratio"
            )
            ratio_note = gr.HTML(elem_id="ratio-note")
            fresh = gr.Slider(0, 32, 8, step=1, label="Similar examples added (0: the paper's method)", elem_id="fresh")
            further = _further_controls()
        with gr.Column(scale=3, min_width=320):
            gr.Markdown("### Plan")
            planned = gr.HTML(elem_id="plan")
            with gr.Row():
                start = gr.Button("Encode", variant="primary", elem_id="encode")
                stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop-encode")
            progress = gr.HTML(elem_id="encode-progress")
            with gr.Row(visible=False) as choice:
                use_new = gr.Button(elem_id="use-part")
                keep_old = gr.Button(KEEP_OLD, elem_id="drop-part")
            picture = gr.Plot(show_label=False, elem_id="plan-mask")
            words = gr.HTML()
    seen = kept_by_page()
    controls = [size, window, sink, ratio, fresh, *further]
    live = [start, stop, progress, choice, use_new]
    results = [planned, ratio_note, picture, words, *live]
    everything = [chosen, tokens, *controls, *results]
    page.restore(everything, lambda session: render_encode(workspace, session))

    def change(session: Session, *values: Any) -> Sequence[Any]:
        apply_controls(session, *values)
        slider = budget_slider(workspace, session)
        return [gr.Dropdown(value=preset_of(session)), *slider, *_results(workspace, session)]

    def change_budget(session: Session, tokens: float) -> Sequence[Any]:
        session.settings = replace(session.settings, pool_tokens=int(tokens))
        return [gr.Dropdown(value=preset_of(session)), *_results(workspace, session)]

    def change_preset(session: Session, name: str) -> Sequence[Any]:
        if name != OWN:
            session.settings, session.query_settings = preset(name).encode, preset(name).query
        return render_encode(workspace, session)

    def begin(session: Session) -> Sequence[Any]:
        begin_encoding(workspace, session)
        return render_live(workspace, session)

    def halt(session: Session) -> Sequence[Any]:
        workspace.stop(session, "encode")
        return render_live(workspace, session)

    def use(session: Session) -> Sequence[Any]:
        use_part(workspace, session)
        return render_live(workspace, session)

    def keep(session: Session) -> Sequence[Any]:
        drop_part(workspace, session)
        return render_live(workspace, session)

    def watch(session: Session, seen: str) -> Sequence[Any]:
        """The progress; and all of the tab, once, when a model has come or a job has ended."""
        now = milestone(workspace, session)
        if now == seen:
            return [*[gr.skip() for _ in everything[: -len(live)]], *render_live(workspace, session), now]
        return [*render_encode(workspace, session), now]

    last = {"trigger_mode": "always_last", "show_progress": "hidden"}
    page.on([control.input for control in controls], change, controls, [chosen, tokens, *results], **last)
    page.on(tokens.input, change_budget, [tokens], [chosen, *results], **last)
    page.on(chosen.input, change_preset, [chosen], everything)
    page.on(start.click, begin, [], live)
    page.on(stop.click, halt, [], live, show_progress="hidden")
    page.on(use_new.click, use, [], live)
    page.on(keep_old.click, keep, [], live)
    page.watch(watch, [seen], [*everything, seen])


def _block_controls() -> tuple[Any, Any, Any]:
    with gr.Row():
        size = gr.Number(
            None,
            label="Block size (examples per block)",
            placeholder="automatic",
            precision=0,
            minimum=0,
            min_width=140,
            elem_id="block-size",
        )
        window = gr.Number(
            2,
            label="Window (previous blocks each block sees)",
            precision=0,
            minimum=0,
            min_width=140,
            elem_id="window",
        )
    info = "Every block sees the first one, and every query reads it."
    sink = gr.Checkbox(True, label="Shared first block (sink)", info=info, elem_id="sink")
    return size, window, sink


def _further_controls() -> list[Any]:
    template = PromptTemplate()
    with gr.Accordion("Further settings", open=False):
        return [
            gr.Dropdown(
                [(_RETRIEVER_NAMES.get(name, name), name) for name in RETRIEVERS],
                value="bm25",
                label="Retriever (ranks the blocks for a query)",
            ),
            gr.Dropdown(
                [(_ORDER_NAMES[name], name) for name in ORDERS], value="pool", label="Order of the blocks that are read"
            ),
            gr.Dropdown(
                _POSITION_NAMES,
                value="sequential",
                label="Positions of the blocks' tokens",
            ),
            gr.Dropdown(
                [("Leave them out", "exclude"), ("Cut them", "truncate")],
                value="exclude",
                label="Rows too long for a block",
            ),
            gr.Number(42, label="Seed (draws and shuffles the rows)", precision=0, minimum=0),
            gr.Textbox(template.text_prefix, label="Word before a text", max_lines=1, max_length=60),
            gr.Textbox(template.label_prefix, label="Word before a label", max_lines=1, max_length=60),
        ]


def apply_controls(
    session: Session,
    size: float | None,
    window: float | None,
    sink: bool,
    ratio: float | None,
    fresh: float | None,
    retriever: str,
    order: Any,
    positions: Any,
    long_rows: Any,
    seed: float | None,
    text_prefix: str,
    label_prefix: str,
) -> None:
    """Make the controls' values the session's settings; all of them, or none where one is not accepted."""
    settings = EncodeSettings(
        pool_tokens=session.settings.pool_tokens,
        block_size=None if size is None else int(size),
        window=_whole("Window", window),
        sink_blocks=int(bool(sink)),
        positions=positions,
        seed=_whole("Seed", seed),
        long_rows=long_rows,
    )
    query = QuerySettings(
        ratio=float(ratio if ratio is not None else 0),
        fresh_demonstrations=_whole("Similar examples added", fresh),
        retriever=retriever,
        order=order,
        seed=settings.seed,
    )
    template = PromptTemplate(text_prefix.strip(), label_prefix.strip())
    session.settings, session.query_settings, session.template = settings, query, template


def _whole(name: str, value: float | None) -> int:
    if value is None:
        raise SettingsError(f"{name} is empty; give a whole number, 0 or more.")
    return int(value)


# --- what the tab shows -----------------------------------------------------------------------------------------------


def render_encode(workspace: Workspace, session: Session) -> list[Any]:
    """All of the tab, as the session's settings have it."""
    settings, query, template = session.settings, session.query_settings, session.template
    return [
        gr.Dropdown(value=preset_of(session)),
        *budget_slider(workspace, session),
        settings.block_size,
        settings.window,
        bool(settings.sink_blocks),
        query.ratio,
        query.fresh_demonstrations,
        query.retriever,
        query.order,
        settings.positions,
        settings.long_rows,
        settings.seed,
        template.text_prefix,
        template.label_prefix,
        *_results(workspace, session),
    ]


def budget_slider(workspace: Workspace, session: Session) -> list[Any]:
    """The slider of pool tokens from 256 to what can be encoded at all, at what the plan encodes."""
    if workspace.loaded(session.model_source) is None:
        return [gr.skip()]
    from dbsa_core.planning import limits

    try:
        task = workspace.task(session)
        # A slow CPU is a default limit, not one that the user may not exceed.
        most = min(limit.tokens for limit in limits(task, session.settings) if "encoding on" not in limit.reason)
        value = session.settings.pool_tokens or workspace.plan(session).tokens
    except DBSAError:
        return [gr.skip()]
    least = min(MIN_TOKENS, most)
    return [gr.Slider(minimum=least, maximum=max(most, least + 1), value=min(max(value, least), most))]


def preset_of(session: Session) -> str:
    """The preset whose settings the session has, or "own"."""
    for name, found in SETTING_PRESETS.items():
        if (found.encode, found.query) == (session.settings, session.query_settings):
            return name
    return OWN


def _results(workspace: Workspace, session: Session) -> list[Any]:
    if workspace.loaded(session.model_source) is None:
        waiting = '<p class="dbsa dbsa-muted">The plan follows as soon as the model is loaded.</p>'
        return [waiting, "", None, "", *render_live(workspace, session, plannable=False)]
    try:
        plan = workspace.plan(session)
    except DBSAError as error:
        why = f'<p class="dbsa"><strong>Nothing can be encoded like this.</strong> {escape(str(error))}</p>'
        return [why, "", None, "", *render_live(workspace, session, plannable=False)]
    words = escape(mask_words(plan.pattern, len(plan.blocks)))
    return [
        plan_view(plan),
        ratio_note(workspace, session, plan),
        mask_figure(plan.pattern, len(plan.blocks)),
        f'<p class="dbsa dbsa-muted">{words}</p>',
        *render_live(workspace, session),
    ]


def ratio_note(workspace: Workspace, session: Session, plan: EncodingPlan) -> str:
    """The count of blocks that the ratio means, and whether they fit the model's positions beside a query."""
    ratio, model = session.query_settings.ratio, workspace.model(session.model_source)
    each = plan.tokens / len(plan.blocks)
    count, positions = chosen_blocks(ratio, len(plan.blocks), plan.pattern), plan.rope_length or model.max_positions
    fits = int(positions / each)
    text = f"{ratio_text(len(plan.blocks), ratio, plan.pattern)}, about {count * each:,.0f} tokens. "
    if fits < count:
        text += f"Only about {fits} blocks fit the model's {positions:,} positions; the lowest-ranked are left out."
    else:
        text += f"The model's {positions:,} positions hold about {min(fits, len(plan.blocks)):,} blocks."
    return f'<p class="dbsa dbsa-muted">{escape(text)}</p>'


def render_live(workspace: Workspace, session: Session, *, plannable: bool = True) -> list[Any]:
    """Encode and Stop as they can be pressed now, the progress, and the choice that a stopped encoding leaves."""
    state, own = pool_state(workspace, session), workspace.job(session, "encode")
    running = own is not None and own.active
    begins = plannable and not running and state.kind != "ready"
    return [
        gr.Button(interactive=begins, value=continue_words(state) if state.left else "Encode"),
        gr.Button(interactive=running and not own.stopping, value="Stopping" if running and own.stopping else "Stop"),
        live_view(workspace, session, state),
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
    return failed + progress_view(known, "ready", "Nothing has changed since, so there is nothing to encode.")


def _progress(encoded: Encoded) -> Progress:
    pool = encoded.pool
    return Progress(
        len(pool.blocks), pool.blocks_planned, pool.tokens, encoded.setup.plan.tokens, max(pool.seconds, 1e-3)
    )


def milestone(workspace: Workspace, session: Session) -> str:
    """Changes when a model was loaded or a job ended: then the whole tab is shown anew."""
    jobs = [workspace.job(session, "encode"), workspace.job(session, "model")]
    example = workspace.example.job if workspace.example else None
    states = [f"{job.id}:{job.state}" for job in (*jobs, example) if job is not None and not job.active]
    return " ".join([session.model_source, str(workspace.loaded(session.model_source) is not None), *states])
