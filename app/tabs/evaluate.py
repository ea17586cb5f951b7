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
_FROM = [("Held out of the data", HELD_OUT), ("A test file", FILE)]


def create_evaluate_tab(page: Page) -> None:
    workspace = page.workspace
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            where = gr.Radio(_FROM, value=HELD_OUT, label="Rows to ask about", elem_id="test-from")
            with gr.Row() as held_out:
                number = gr.Number(100, label="Rows held out", precision=0, min_width=120, elem_id="hold-out")
                seed = gr.Number(0, label="Seed (draws them)", precision=0, min_width=120, elem_id="hold-out-seed")
            with gr.Column(visible=False) as of_file:
                upload = gr.File(
                    label=f"Test file, labelled ({ACCEPTED})", type="filepath", height=130, elem_id="test-file"
                )
                text = gr.Dropdown(label="Column with the texts", elem_id="test-text-column")
                label = gr.Dropdown(label="Column with the right labels", elem_id="test-label-column")
                reading = create_reading("test", detects_first_line=False)
        with gr.Column(scale=3, min_width=320):
            methods = gr.CheckboxGroup([], label="Methods", elem_id="evaluated-methods")
            reject = gr.Checkbox(
                False,
                label="Also with a reject option, which may say that no label fits",
                info="Fitted on further rows of the data, for each method.",
                elem_id="evaluate-reject",
            )
            said = gr.HTML(elem_id="evaluation-said")
            with gr.Row():
                start = gr.Button("Evaluate", variant="primary", interactive=False, elem_id="evaluate")
                stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop-evaluation")
            progress = gr.HTML(elem_id="evaluation-progress")
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
    seen, offered, cut, pressed = (kept_by_page() for _ in range(4))
    given = [where, number, seed, methods, reject]
    places = [held_out, of_file, text, label, reading.sheet]
    live = [said, start, stop, progress]
    found = [results, matrices, answers, away, files, programs, differing, runs, cut]
    # What was given is never written back by its own event: it may be other by then.
    shown = [*places, *live]

    def now(session: Session) -> list[Any]:
        return [*render_places(session), *render_live(workspace, session)]

    def choose(session: Session, *values: Any) -> Sequence[Any]:
        take_wanted(session, *values)
        return now(session)

    def read(session: Session, path: str | None, *how: str) -> Sequence[Any]:
        if path is None:
            return [gr.skip() for _ in shown]
        set_test_file(session, read_table(path, **options(*how)))
        return now(session)

    def columns(session: Session, text: str | None, label: str | None) -> Sequence[Any]:
        session.wanted = replace(session.wanted, text_column=text, label_column=label)
        return now(session)

    def begin(session: Session, differing: bool, *values: Any) -> Sequence[Any]:
        take_wanted(session, *values)
        begin_evaluation(workspace, session)
        return [*render_live(workspace, session), *render_found(session, Cut(), differing)]

    def halt(session: Session) -> Sequence[Any]:
        workspace.stop(session, "evaluate")
        return render_live(workspace, session)

    def turn(session: Session, look: str, differing: bool) -> Sequence[Any]:
        return render_found(session, Cut.of(look), differing)

    def drop(session: Session, run: str, differing: bool) -> Sequence[Any]:
        remove(session, run)
        return [*render_live(workspace, session), *render_found(session, Cut(), differing)]

    def watch(session: Session, before: str, offered: str, look: str, differing: bool) -> Sequence[Any]:
        seen, offers = milestone(workspace, session), offered_now(workspace, session)
        choices = [gr.skip()] * 2 if offers == offered else render_given(workspace, session)[3:]
        if seen == before:
            return [*choices, offers, *[gr.skip() for _ in (*live, *found)], seen]
        shown = [*render_live(workspace, session), *render_found(session, Cut.of(look), differing)]
        return [*choices, offers, *shown, seen]

    quiet: dict[str, Any] = {"cause": TEST, "show_progress": "hidden"}
    changes = [where.input, number.blur, number.submit, seed.blur, seed.submit, methods.input, reject.input]
    page.on(changes, choose, [offered, *given], shown, trigger_mode="always_last", **quiet)
    page.on(upload.upload, read, [upload, *reading.inputs_of_new_file], shown, cause=TEST)
    page.on(reading.changes, read, [upload, *reading.inputs], shown, trigger_mode="always_last", cause=TEST)
    page.on([text.input, label.input], columns, [text, label], shown, **quiet)
    page.on(start.click, begin, [differing, offered, *given], [*live, *found], cause=TEST)
    page.on(stop.click, halt, [], live, show_progress="hidden")
    looks = [view.select for view in (results, matrices, answers, runs)]
    page.on(looks, turn, [cut, differing], found, js=LOOK, **LOOKING)
    page.on(differing.input, turn, [cut, differing], found, **LOOKING)
    page.on(runs.delete, drop, [pressed, differing], [*live, *found], js=PRESSED, **quiet)
    page.watch(watch, [seen, offered, cut, differing], [methods, reject, offered, *live, *found, seen])
    page.restore(
        [*given, offered, *shown, *found, seen],
        lambda session: [
            *render_given(workspace, session),
            offered_now(workspace, session),
            *now(session),
            *render_found(session, Cut(), False),
            milestone(workspace, session),
        ],
    )


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
