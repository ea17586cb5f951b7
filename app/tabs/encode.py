"""The Encode tab: which model, which settings, what they will cost, and the encoding itself with its progress.

Knows nothing about queries but the settings by which they read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.ask.what_if import MOST_SIMILAR
from app.mask.figure import LOAD, mask_figure
from app.mask.patterns import patterns_view
from app.server.encoding import begin_encoding, drop_part, pool_state, use_part
from app.server.session import Session
from app.server.troubles import SETTINGS
from app.server.workspace import Workspace
from app.tabs.behaviour import BEHAVIOUR, PRESSED
from app.tabs.controls import (
    MIN_TOKENS,
    apply_controls,
    block_controls,
    budget_range,
    budget_slider,
    further_controls,
    taken,
    within,
)
from app.tabs.kept import create_kept
from app.tabs.live import SO_FAR, render_live, so_far
from app.tabs.method import create_method
from app.tabs.model import create_model_picker
from app.tabs.no_label import create_no_label
from app.tabs.offer import KEEP_OLD
from app.tabs.page import Page, kept_by_page
from app.views import plan_view, ratio_text
from dbsa_core.blocks import chosen_blocks
from dbsa_core.errors import DBSAError
from dbsa_core.settings import SETTING_PRESETS, SPARSITY_PATTERNS, preset

if TYPE_CHECKING:
    from dbsa_core.planning import EncodingPlan

OWN = "own"
PRESETS = [
    ("Automatic", "automatic"),
    ("Paper, 30k tokens", "paper-30k"),
    ("Paper, 90k tokens", "paper-90k"),
    ("As set below", OWN),
]


def create_encode_tab(page: Page) -> None:
    tab = EncodeTab(page)
    tab.bind_settings()
    tab.bind_encoding()


class EncodeTab:
    """Its components, and what becomes of what is set and pressed."""

    def __init__(self, page: Page):
        self._page, self._workspace = page, page.workspace
        patterns = gr.HTML(elem_id="patterns", js_on_load=BEHAVIOUR + LOAD)
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                ratio_note = self._create_settings()
            with gr.Column(scale=3, min_width=320):
                planned, picture = self._create_plan()
        self._patterns = patterns
        self._seen, self._pressed = kept_by_page(), kept_by_page()
        results = [patterns, planned, ratio_note, picture, *self._live]
        self._everything = [self._chosen, self._tokens, *self._controls, *results]
        """All that `render_encode` gives values for, in its order."""

    def _create_settings(self) -> gr.HTML:
        create_model_picker(self._page)
        self._chosen = gr.Dropdown(PRESETS, value="automatic", label="Preset", elem_id="preset")
        self._tokens = gr.Slider(
            MIN_TOKENS, 8192, label="Pool tokens (how much of the file is encoded)", step=1, elem_id="pool-tokens"
        )
        of_blocks = block_controls()
        gr.Markdown("**How a query reads** (takes effect at once, nothing is encoded anew)")
        create_method(self._page)
        self._ratio = gr.Slider(
            0.01, 1, 0.3, step=0.01, label="Retrieval ratio (share of blocks read per query)", elem_id="ratio"
        )
        ratio_note = gr.HTML(elem_id="ratio-note")
        similar = "Similar examples added (0: the paper's method)"
        self._fresh = gr.Slider(0, MOST_SIMILAR, 8, step=1, label=similar, elem_id="fresh")
        self._controls = [*of_blocks, self._ratio, self._fresh, *further_controls()]
        create_no_label(self._page)
        return ratio_note

    def _create_plan(self) -> tuple[gr.HTML, gr.HTML]:
        gr.Markdown("## Plan")
        planned = gr.HTML(elem_id="plan")
        with gr.Row():
            self._start = gr.Button("Encode", variant="primary", elem_id="encode")
            self._stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop-encode")
        progress = gr.HTML(elem_id="encode-progress", js_on_load=SO_FAR)
        with gr.Row(visible=False) as choice:
            self._use_new = gr.Button(elem_id="use-part")
            self._keep_old = gr.Button(KEEP_OLD, elem_id="drop-part")
        self._live = [self._start, self._stop, progress, choice, self._use_new]
        create_kept(self._page)
        return planned, gr.HTML(elem_id="plan-mask", js_on_load=LOAD)

    def bind_settings(self) -> None:
        on, everything, ratio, fresh, tokens = self._page.on, self._everything, self._ratio, self._fresh, self._tokens
        last = {"cause": SETTINGS, "trigger_mode": "always_last", "show_progress": "hidden"}
        sliders = {self._controls.index(slider): f"#{slider.elem_id}" for slider in (ratio, fresh)}
        read = {
            "inputs": self._controls,
            "outputs": everything,
            "refused": self.in_force,
            "js": within(sliders),
            **last,
        }
        on(taken(self._controls), self.change, **read)
        on([ratio.release, fresh.release], self._leaving(self.change), **read)
        read = {"inputs": [tokens], "outputs": everything, "js": within({0: f"#{tokens.elem_id}"}), **last}
        on(tokens.input, self.change_budget, **read)
        on(tokens.release, self._leaving(self.change_budget), **read)
        on(self._chosen.input, self.change_preset, [self._chosen], everything, cause=SETTINGS)
        quiet = {"cause": SETTINGS, "show_progress": "hidden"}
        on(self._patterns.select, self.choose_pattern, [self._pressed], everything, js=PRESSED, **quiet)

    def bind_encoding(self) -> None:
        workspace, live = self._workspace, self._live

        def bind(pressed: Any, act: Callable[[Workspace, Session], Any], **options: Any) -> None:
            def acted(session: Session) -> Sequence[Any]:
                act(workspace, session)
                return render_live(workspace, session)

            self._page.on(pressed, acted, [], live, **{"cause": "encode", **options})

        bind(self._start.click, begin_encoding, cause=SETTINGS)
        bind(self._stop.click, lambda workspace, session: workspace.stop(session, "encode"), show_progress="hidden")
        bind(self._use_new.click, use_part)
        bind(self._keep_old.click, drop_part)
        self._page.watch(self.watch, [self._seen], [*self._everything, self._seen])
        self._page.restore([self._seen, *self._everything], self.restored)

    def in_force(self, session: Session) -> Sequence[Any]:
        return render_encode(self._workspace, session)

    def restored(self, session: Session) -> Sequence[Any]:
        return [milestone(self._workspace, session), *self.in_force(session)]

    def change(self, session: Session, *values: Any) -> Sequence[Any] | None:
        before = (session.settings, session.query_settings, session.template)
        apply_controls(session, *values)
        if (session.settings, session.query_settings, session.template) == before:
            return None
        slider, kept = budget_slider(self._workspace, session), [gr.skip() for _ in self._controls]
        return [gr.Dropdown(value=preset_of(session)), *slider, *kept, *_results(self._workspace, session)]

    def change_budget(self, session: Session, given: float) -> Sequence[Any] | None:
        if (found := budget_range(self._workspace, session)) is not None and given == found[-1]:
            return None
        session.settings = replace(session.settings, pool_tokens=int(given))
        kept = [gr.skip() for _ in (self._tokens, *self._controls)]
        return [gr.Dropdown(value=preset_of(session)), *kept, *_results(self._workspace, session)]

    def _leaving(self, handler: Callable[..., Any]) -> Callable[..., Sequence[Any]]:
        """Of a slider that is left: it shows what is in force, also where it was emptied."""

        def settle(session: Session, *values: Any) -> Sequence[Any]:
            handler(session, *values)
            return self.in_force(session)

        return settle

    def change_preset(self, session: Session, name: str) -> Sequence[Any]:
        if name != OWN:
            session.settings, session.query_settings = preset(name).encode, preset(name).query
        return self.in_force(session)

    def choose_pattern(self, session: Session, name: str) -> Sequence[Any]:
        session.settings = session.settings.with_sparsity_pattern(name)
        return self.in_force(session)

    def watch(self, session: Session, seen: str) -> Sequence[Any]:
        """The progress; what settings mean, once, when a model has come or a job has ended. The controls are left to
        whoever is changing them at this moment, unless settings were taken from elsewhere."""
        workspace, now = self._workspace, milestone(self._workspace, session)
        if now == seen:
            return [*[gr.skip() for _ in self._everything[: -len(self._live)]], *render_live(workspace, session), now]
        (taken_up, model, _), before = now.split("\n"), seen.split("\n")
        if taken_up != before[0]:
            return [*self.in_force(session), now]
        budget = budget_slider(workspace, session) if model != before[1] else [gr.skip()]
        return [gr.skip(), *budget, *[gr.skip() for _ in self._controls], *_results(workspace, session), now]


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
        query.row_retriever,
        query.votes,
        query.vote_weight,
        query.order,
        settings.positions,
        settings.long_rows,
        settings.pool_precision,
        settings.seed,
        template.text_prefix,
        template.label_prefix,
        *_results(workspace, session),
    ]


def preset_of(session: Session) -> str:
    """The preset whose settings the session has, or "own"."""
    for name, found in SETTING_PRESETS.items():
        if (found.encode, found.query) == (session.settings, session.query_settings):
            return name
    return OWN


def _results(workspace: Workspace, session: Session) -> list[Any]:
    if workspace.loaded(session.model_source) is None:
        waiting = '<p class="dbsa dbsa-muted">The plan follows as soon as the model is loaded.</p>'
        return ["", waiting, "", "", *render_live(workspace, session, plannable=False)]
    state = pool_state(workspace, session)
    there = state.encoded if state.kind == "ready" else None
    try:  # what was appended to a pool that is ready stands in no plan of today's
        plan = there.setup.plan if there is not None else workspace.plan(session)
    except DBSAError as error:
        why = f'<p class="dbsa"><strong>Nothing can be encoded like this.</strong> {escape(str(error))}</p>'
        return ["", why, "", "", *render_live(workspace, session, plannable=False)]
    blocks = len(there.pool.blocks if there is not None else plan.blocks)
    return [
        _patterns(workspace, session, plan),
        plan_view(plan),
        ratio_note(workspace, session, plan, blocks),
        mask_figure(plan.pattern, blocks, so_far(state)),
        *render_live(workspace, session),
    ]


def _patterns(workspace: Workspace, session: Session, plan: EncodingPlan) -> str:
    """What blocks may see, for the same blocks; what is in force may be none of it."""
    from dbsa_core.planning import under_pattern  # with the model, and not before it: it loads PyTorch

    task = workspace.task(session)
    plans = [(name, under_pattern(task, plan, name)) for name in SPARSITY_PATTERNS]
    return patterns_view(plans, session.settings.sparsity_pattern)


def ratio_note(workspace: Workspace, session: Session, plan: EncodingPlan, blocks: int) -> str:
    """The count of blocks that the ratio means, and whether they fit the model's positions beside a query."""
    ratio, model = session.query_settings.ratio, workspace.model(session.model_source)
    each = plan.tokens / len(plan.blocks)
    count, positions = chosen_blocks(ratio, blocks, plan.pattern), plan.rope_length or model.max_positions
    fits = int(positions / each)
    text = f"{ratio_text(blocks, ratio, plan.pattern)}, about {count * each:,.0f} tokens. "
    if fits < count:
        text += f"Only about {fits} blocks fit the model's {positions:,} positions; the lowest-ranked are left out."
    else:
        text += f"The model's {positions:,} positions hold about {min(fits, blocks):,} blocks."
    return f'<p class="dbsa dbsa-muted">{escape(text)}</p>'


def milestone(workspace: Workspace, session: Session) -> str:
    """Three lines, of which one changes when settings came from elsewhere, a model was loaded, or a job ended."""
    jobs = [workspace.job(session, "encode"), workspace.job(session, "model")]
    example = workspace.example.job if workspace.example else None
    states = [f"{job.id}:{job.state}" for job in (*jobs, example) if job is not None and not job.active]
    there = workspace.loaded(session.model_source) is not None
    return f"{session.retuned}\n{session.model_source} {there}\n{' '.join(states)}"
