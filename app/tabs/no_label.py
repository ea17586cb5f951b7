"""On the Encode tab: whether answers may say that no label fits, which label is that of such texts, and the curve to
choose the threshold from.

Knows nothing about how a reject option is fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.coverage_plot import coverage_figure
from app.server.jobs import Job
from app.server.rejecting import (
    Asked,
    allow,
    begin_fitting,
    choose_threshold,
    declare,
    fits_now,
    option_now,
    out_of_scope,
)
from app.server.session import Session
from app.server.troubles import SETTINGS
from app.server.workspace import Workspace
from app.tabs.page import Page, kept_by_page
from app.views import muted
from app.words import count, duration, whole_percent

if TYPE_CHECKING:
    from dbsa_core.reject import Point, RejectOption
    from dbsa_core.setup import Setup

NO_LABEL = ""
GUESSED_INFO = "Guessed by its name."
DECLARED_INFO = "Texts of this label fit none of the others."
NONE_INFO = "None: some labels are left out for fitting, and their rows must be told from the others."


def create_no_label(page: Page) -> None:
    NoLabel(page).bind()


class NoLabel:
    """Its components, and what becomes of what is chosen and pressed."""

    def __init__(self, page: Page):
        self._page, self._workspace = page, page.workspace
        with gr.Accordion("Texts that fit no label", open=False, elem_id="no-label") as self._panel:
            self._label = gr.Dropdown(
                [("None", NO_LABEL)], value=NO_LABEL, label="Label of such texts", elem_id="out-of-scope"
            )
            self._allowed = gr.Checkbox(
                False,
                label="Answers may be “None of the labels”",
                info="Fitted on rows of the file.",
                elem_id="may-refuse",
            )
            with gr.Row():
                self._fit = gr.Button("Fit", size="sm", min_width=90, elem_id="fit-reject")
                self._stop = gr.Button(
                    "Stop", size="sm", min_width=90, variant="stop", interactive=False, elem_id="stop-reject"
                )
            said = gr.HTML(elem_id="reject-said")
            self._threshold = gr.Slider(
                0, 1, 0, step=0.01, label="Threshold (no label fits below this in-scope score)", visible=False,
                elem_id="threshold",
            )  # fmt: skip
            curve = gr.Plot(show_label=False, visible=False, elem_id="coverage-plot")
        self._seen, self._unfolded = kept_by_page(), gr.State(False)
        self._controls = [self._label, self._allowed, self._fit, self._stop, said, self._threshold]
        self._shown = [*self._controls, curve]

    def bind(self) -> None:
        page, panel, shown, unfolded = self._page, self._panel, self._shown, self._unfolded
        last: dict[str, Any] = {"cause": SETTINGS, "show_progress": "hidden"}
        chosen = {"refused": self.rendered, **last}
        page.on(panel.expand, self.unfold, [], [*shown, unfolded], **last)
        panel.collapse(lambda: False, None, unfolded, api_visibility="private", queue=False)
        page.on(self._label.input, self.name, [self._label], shown, **chosen)
        page.on(self._allowed.input, self.permit, [self._allowed], shown, **chosen)
        page.on(self._fit.click, self.begin, [], shown, **last)
        page.on(self._stop.click, self.halt, [], shown, **last)
        page.on(self._threshold.release, self.choose, [self._threshold], shown, trigger_mode="always_last", **chosen)
        page.watch(self.watch, [self._seen, unfolded], [*shown, self._seen])
        page.restore([*self._controls, self._seen], lambda s: [*render_controls(self._workspace, s), ""])

    def rendered(self, session: Session) -> Sequence[Any]:
        """What they bind to can be pressed while it is unfolded alone."""
        return [*render_controls(self._workspace, session), render_curve(self._workspace, session)]

    def beside(self, session: Session) -> Sequence[Any]:
        """The same but for what is chosen, which may be being chosen otherwise at this moment."""
        return [*self.unchosen(session), render_curve(self._workspace, session)]

    def unchosen(self, session: Session) -> list[Any]:
        return [gr.skip(), gr.skip(), *render_controls(self._workspace, session)[2:]]

    def name(self, session: Session, chosen: str | None) -> Sequence[Any]:
        declare(self._workspace, session, chosen or NO_LABEL)
        return self.rendered(session)

    def permit(self, session: Session, ticked: bool) -> Sequence[Any]:
        workspace = self._workspace
        allow(workspace, session, ticked)
        if ticked and workspace.ready(session) is not None and not fits_now(workspace, session):
            begin_fitting(workspace, session)
        return self.rendered(session)

    def begin(self, session: Session) -> Sequence[Any]:
        begin_fitting(self._workspace, session)
        return self.beside(session)

    def halt(self, session: Session) -> Sequence[Any]:
        self._workspace.stop(session, "reject")
        return self.beside(session)

    def choose(self, session: Session, value: float) -> Sequence[Any]:
        choose_threshold(self._workspace, session, value)
        return self.beside(session)

    def unfold(self, session: Session) -> Sequence[Any]:
        return [*self.beside(session), True]

    def watch(self, session: Session, before: str, unfolded: bool) -> Sequence[Any]:
        now = milestone(self._workspace, session)
        if now == before:
            return [gr.skip() for _ in (*self._shown, self._seen)]
        # Plotly measures its place when it draws, which is nothing while it is folded.
        return [*(self.beside(session) if unfolded else [*self.unchosen(session), gr.skip()]), now]


def render_controls(workspace: Workspace, session: Session) -> list[Any]:
    """All but the curve, as the session has it."""
    labels = session.data.pool.labels if session.data is not None else ()
    now, job = out_of_scope(session), workspace.job(session, "reject")
    running = job is not None and job.active
    info = NONE_INFO if now is None else GUESSED_INFO if session.declared is None else DECLARED_INFO
    option = option_now(workspace, session)
    return [
        gr.Dropdown([("None", NO_LABEL), *((name, name) for name in labels)], value=now or NO_LABEL, info=info),
        session.rejects,
        gr.Button("Fit again" if option is not None else "Fit", interactive=not running and session.data is not None),
        gr.Button("Stopping" if job is not None and job.stopping else "Stop", interactive=running),
        said_view(workspace, session, job, option),
        gr.Slider(value=round(option.threshold, 2) if option is not None else 0, visible=option is not None),
    ]


def render_curve(workspace: Workspace, session: Session) -> Any:
    """The curve of the option in force."""
    option = option_now(workspace, session)
    return gr.Plot(value=coverage_figure(option) if option is not None else None, visible=option is not None)


def said_view(workspace: Workspace, session: Session, job: Job | None, option: RejectOption | None) -> str:
    """What is under way; what the option in force does; or what there is to do, and what that takes."""
    if job is not None and job.active:
        if isinstance(job.progress, Asked):
            return muted(f"Asking about rows whose label is known: {job.progress.done:,} of {job.progress.total:,}.")
        return muted("Encoding a pool without the rows that are to be asked about, where that is needed.")
    if job is not None and job.state == "failed":
        return f'<p class="dbsa">{escape(job.message)}</p>'
    if option is not None and (point := option.point) is not None:
        return muted(option_words(option, point))
    pool = workspace.ready(session)
    if pool is None:
        return muted("It is fitted once a pool is encoded.")
    if session.rejects and session.option is not None:
        return muted("It was fitted to other settings, and judges nothing until it is fitted again.")
    return muted(price_words(session, pool.setup))


def price_words(session: Session, setup: Setup) -> str:
    """What fitting takes, as far as it is known."""
    from dbsa_core.validation import rows_for  # with the model, and not before it: it loads PyTorch

    answer, rows = session.answer, min(rows_for(setup) * 3 // 2, len(setup.task.pool) // 2)
    each = "" if answer is None else f", about {duration(rows * answer.prediction.seconds['total'])}"
    anew = f" A pool without some labels is encoded for it first, about {duration(setup.plan.seconds)}."
    return f"Fitting asks about some {rows:,} rows{each}.{anew if out_of_scope(session) is None else ''}"


def option_words(option: RejectOption, point: Point) -> str:
    """What the threshold does to rows that it was fitted on."""
    unfit = f"rows of {option.out_of_scope}" if option.out_of_scope else "rows of labels that were left out for it"
    text = f"Fitted on {count(option.rows, 'row')}. At {option.threshold:.2f}, "
    text += f"{whole_percent(point.coverage)} of texts that a label fits are answered"
    text += f", {whole_percent(point.accuracy)} of those right" if point.accuracy is not None else ""
    text += f"; {whole_percent(point.oos_recall)} of {unfit} are refused" if point.oos_recall is not None else ""
    return f"{text}."


def milestone(workspace: Workspace, session: Session) -> str:
    """Changes whenever what is shown does."""
    job = workspace.job(session, "reject")
    state = f"{job.id}:{job.state}:{job.stopping}:{job.progress}" if job is not None else ""
    data = session.data.pool.fingerprint if session.data is not None else ""
    option = id(session.option) if session.option is not None else 0
    parts = (state, data, session.declared, session.rejects, option, session.threshold, fits_now(workspace, session))
    return " ".join(map(str, (*parts, workspace.ready(session) is not None)))
