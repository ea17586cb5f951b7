"""The Evaluate tab: methods measured on rows whose label is known, where each goes wrong, and runs side by side.

Knows nothing about how methods are measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import gradio as gr

from app.evaluation.answers import answers_view
from app.evaluation.beside import runs_view
from app.evaluation.cut import Cut
from app.evaluation.matrices import matrices_view
from app.evaluation.results import results_view
from app.server.drawing import set_test_file, tested_file
from app.server.evaluating import begin_evaluation, methods_of, remove, shown_run
from app.server.session import Session
from app.server.troubles import TEST
from app.server.workspace import Workspace
from app.tabs.awaited import milestone, progress_view, said_of
from app.tabs.behaviour import BEHAVIOUR, LOOK, LOOKED, LOOKING, PRESSED
from app.tabs.data import ACCEPTED, column_choices
from app.tabs.page import Page, kept_by_page
from app.tabs.programs import PUT_ADDRESS, code_view
from app.tabs.reading import create_reading, options, sheet_choices
from app.views import view
from app.words import count
from dbsa_core.errors import DBSAError
from dbsa_core.files.tables import read_table

HELD_OUT, FILE, OFFERED = "held out", "file", "offered"
_QUIET: dict[str, Any] = {"cause": TEST, "show_progress": "hidden"}
_FROM = [("Held out of the data", HELD_OUT), ("A test file", FILE)]


def create_evaluate_tab(page: Page) -> None:
    tab = EvaluateTab(page)
    tab.bind_given()
    tab.bind_results()


class EvaluateTab:
    """Its components, and what becomes of what is chosen and pressed."""

    def __init__(self, page: Page):
        self._page, self._workspace = page, page.workspace
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                self._create_rows()
            with gr.Column(scale=3, min_width=320):
                self._create_methods()
        self._seen, self._offered, self._cut, self._pressed = (kept_by_page() for _ in range(4))
        self._create_results()
        # What was given is never written back by its own event: it may be other by then.
        self._shown = [*self._places, *self._live]

    def _create_rows(self) -> None:
        where = gr.Radio(_FROM, value=HELD_OUT, label="Rows to ask about", elem_id="test-from")
        with gr.Row() as held_out:
            number = gr.Number(100, label="Rows held out", precision=0, min_width=120, elem_id="hold-out")
            seed = gr.Number(0, label="Seed (draws them)", precision=0, min_width=120, elem_id="hold-out-seed")
        with gr.Column(visible=False) as of_file:
            self._upload = gr.File(
                label=f"Test file, labelled ({ACCEPTED})", type="filepath", height=130, elem_id="test-file"
            )
            text = gr.Dropdown(label="Column with the texts", elem_id="test-text-column")
            label = gr.Dropdown(label="Column with the right labels", elem_id="test-label-column")
            self._reading = create_reading("test", detects_first_line=False)
        self._where, self._numbers, self._columns = where, [number, seed], [text, label]
        self._places = [held_out, of_file, text, label, self._reading.sheet]

    def _create_methods(self) -> None:
        self._methods = gr.CheckboxGroup([], label="Methods", elem_id="evaluated-methods")
        self._reject = gr.Checkbox(
            False,
            label="Also with a reject option, which may say that no label fits",
            info="Fitted on further rows of the data, for each method.",
            elem_id="evaluate-reject",
        )
        said = gr.HTML(elem_id="evaluation-said")
        with gr.Row():
            self._start = gr.Button("Evaluate", variant="primary", interactive=False, elem_id="evaluate")
            self._stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop-evaluation")
        self._live = [said, self._start, self._stop, gr.HTML(elem_id="evaluation-progress")]

    def _create_results(self) -> None:
        results = gr.HTML(elem_id="evaluation-results", js_on_load=LOOKED + BEHAVIOUR)
        matrices = gr.HTML(elem_id="evaluation-matrices", js_on_load=LOOKED + BEHAVIOUR)
        answers = gr.HTML(elem_id="evaluation-answers", js_on_load=LOOKED + BEHAVIOUR)
        with gr.Accordion("Take it away", open=False, visible=False, elem_id="evaluation-away") as away:
            files = gr.File(
                label="Report, tables and settings (answers.csv holds the texts of the rows)",
                visible=False, interactive=False, file_count="multiple", elem_id="evaluation-files",
            )  # fmt: skip
            programs = gr.HTML(elem_id="evaluation-programs", js_on_load=PUT_ADDRESS)
        gr.Markdown("## Runs")
        differing = gr.Checkbox(False, label="Diff only", visible=False, container=False, elem_id="diff-only")
        runs = gr.HTML(elem_id="evaluation-runs", js_on_load=LOOKED + BEHAVIOUR)
        self._differing, self._runs, self._looked_at = differing, runs, [results, matrices, answers, runs]
        self._found = [results, matrices, answers, away, files, programs, differing, runs, self._cut]

    @property
    def _given(self) -> list[Any]:
        return [self._where, *self._numbers, self._methods, self._reject]

    def bind_given(self) -> None:
        on, reading, upload, shown = self._page.on, self._reading, self._upload, self._shown
        number, seed = self._numbers
        changes = [self._where.input, number.blur, number.submit, seed.blur, seed.submit]
        changes += [self._methods.input, self._reject.input]
        on(changes, self.choose, [self._offered, *self._given], shown, trigger_mode="always_last", **_QUIET)
        on(upload.upload, self.read, [upload, *reading.inputs_of_new_file], shown, cause=TEST)
        on(reading.changes, self.read, [upload, *reading.inputs], shown, trigger_mode="always_last", cause=TEST)
        on([column.input for column in self._columns], self.columns, self._columns, shown, **_QUIET)

    def bind_results(self) -> None:
        on, live, found, differing = self._page.on, self._live, self._found, self._differing
        on(self._start.click, self.begin, [differing, self._offered, *self._given], [*live, *found], cause=TEST)
        on(self._stop.click, self.halt, [], live, show_progress="hidden")
        on([view.select for view in self._looked_at], self.turn, [self._cut, differing], found, js=LOOK, **LOOKING)
        on(differing.input, self.turn, [self._cut, differing], found, **LOOKING)
        on(self._runs.delete, self.drop, [self._pressed, differing], [*live, *found], js=PRESSED, **_QUIET)
        kept = [self._seen, self._offered, self._cut, differing]
        self._page.watch(self.watch, kept, [self._methods, self._reject, self._offered, *live, *found, self._seen])
        self._page.restore([*self._given, self._offered, *self._shown, *found, self._seen], self.restored)

    def now(self, session: Session) -> list[Any]:
        return [*render_places(session), *render_live(self._workspace, session)]

    def restored(self, session: Session) -> list[Any]:
        return [
            *render_given(self._workspace, session),
            offered_now(self._workspace, session),
            *self.now(session),
            *render_found(session, Cut(), False),
            milestone(self._workspace, session),
        ]

    def choose(self, session: Session, *values: Any) -> Sequence[Any]:
        take_wanted(session, *values)
        return self.now(session)

    def read(self, session: Session, path: str | None, *how: str) -> Sequence[Any]:
        if path is None:
            return [gr.skip() for _ in self._shown]
        set_test_file(session, read_table(path, **options(*how)))
        return self.now(session)

    def columns(self, session: Session, text: str | None, label: str | None) -> Sequence[Any]:
        session.wanted = replace(session.wanted, text_column=text, label_column=label)
        return self.now(session)

    def begin(self, session: Session, differing: bool, *values: Any) -> Sequence[Any]:
        take_wanted(session, *values)
        begin_evaluation(self._workspace, session)
        return [*render_live(self._workspace, session), *render_found(session, Cut(), differing)]

    def halt(self, session: Session) -> Sequence[Any]:
        self._workspace.stop(session, "evaluate")
        return render_live(self._workspace, session)

    def turn(self, session: Session, look: str, differing: bool) -> Sequence[Any]:
        return render_found(session, Cut.of(look), differing)

    def drop(self, session: Session, run: str, differing: bool) -> Sequence[Any]:
        remove(session, run)
        return [*render_live(self._workspace, session), *render_found(session, Cut(), differing)]

    def watch(self, session: Session, before: str, offered: str, look: str, differing: bool) -> Sequence[Any]:
        workspace = self._workspace
        seen, offers = milestone(workspace, session), offered_now(workspace, session)
        choices = [gr.skip()] * 2 if offers == offered else render_given(workspace, session)[3:]
        if seen == before:
            return [*choices, offers, *[gr.skip() for _ in (*self._live, *self._found)], seen]
        shown = [*render_live(workspace, session), *render_found(session, Cut.of(look), differing)]
        return [*choices, offers, *shown, seen]


def take_wanted(
    session: Session,
    offered: str,
    where: str,
    number: float | None,
    seed: float | None,
    names: Sequence[str],
    reject: bool,
) -> None:
    """Make what stands on the page what is to be evaluated; `offered` is what `offered_now` was when that was shown."""
    before, methods = session.wanted, session.wanted.methods
    if offered.startswith(OFFERED):
        from dbsa_core.methods import METHODS

        chosen = [name for name in METHODS if name in names]
        methods = methods if chosen == [each.name for each in methods_of(session)] else tuple(chosen)
    session.wanted = replace(
        before,
        of_file=where == FILE,
        hold_out=before.hold_out if number is None else int(number),
        seed=before.seed if seed is None else int(seed),
        methods=methods,
        reject=reject,
    )


def offered_now(workspace: Workspace, session: Session) -> str:
    """Changes when other methods are offered, or chosen by themselves."""
    loaded = workspace.loaded(session.model_source) is not None
    return f"{OFFERED if loaded else ''} {session.method_name()}"


def render_given(workspace: Workspace, session: Session) -> list[Any]:
    """What is to be evaluated, as it was chosen; methods are offered once there is a model."""
    what, names = session.wanted, gr.skip()
    if workspace.loaded(session.model_source) is not None:
        from dbsa_core.methods import METHODS, make_method

        made = [make_method(name, session.query_settings) for name in METHODS]
        chosen = [method.name for method in methods_of(session)]
        names = gr.CheckboxGroup([(method.title, method.name) for method in made], value=chosen)
    return [FILE if what.of_file else HELD_OUT, what.hold_out, what.seed, names, what.reject]


def render_places(session: Session) -> list[Any]:
    """Where the rows are from."""
    what, table = session.wanted, session.tested
    choices = column_choices(table) if table is not None else []
    text, label = what.text_column, what.label_column
    if what.of_file and table is not None and (text is None or label is None):
        with suppress(DBSAError):  # they are to be chosen
            tested = tested_file(session)
            text, label = tested.text_column, tested.label_column
    return [
        gr.Row(visible=not what.of_file),
        gr.Column(visible=what.of_file),
        gr.Dropdown(choices=choices, value=text, visible=table is not None),
        gr.Dropdown(choices=choices, value=label, visible=table is not None),
        sheet_choices(table),
    ]


def render_live(workspace: Workspace, session: Session) -> list[Any]:
    """What is to be expected, the buttons as they can be pressed now, and the progress."""
    job = workspace.job(session, "evaluate")
    running, stopping = job is not None and job.active, job is not None and job.stopping
    words, ready, goes_on = said_of(workspace, session)
    left = len(goes_on.rows) - goes_on.answered if goes_on is not None else 0
    begins = "Evaluate" if goes_on is None else f"Continue ({count(left, 'row')} left)" if left else "Continue"
    return [
        words,
        gr.Button(begins, interactive=ready and not running),
        gr.Button("Stopping" if stopping else "Stop", interactive=running and not stopping),
        progress_view(workspace, session),
    ]


def render_found(session: Session, cut: Cut, differing: bool) -> list[Any]:
    """The results of the run that is looked at, what to take away of it, and the runs side by side."""
    run = shown_run(session, cut.run)
    several = sum(bool(each.results) for each in session.evaluations) > 1
    beside = [
        gr.Checkbox(visible=several),
        runs_view([each.as_it_is() for each in session.evaluations], run.id if run else "", differing),
        cut.written,
    ]
    if run is None:
        return ["", "", "", gr.Accordion(visible=False), gr.File(visible=False), "", *beside]
    run, files = run.as_it_is(), [str(path) for path in run.files]
    cut = cut.settled(run)
    code = "".join(code_view(name, program) for name, program in run.code.items())
    return [
        results_view(run),
        matrices_view(run, cut),
        answers_view(run, cut),
        gr.Accordion(visible=bool(run.results)),
        gr.File(visible=bool(files), value=files or None),
        view("programs", f'<div class="dbsa-ways">{code}</div>'),
        *beside,
    ]
