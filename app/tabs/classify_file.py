"""The tab that classifies a whole file of texts and hands it back with labels.

Knows nothing about single queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from app.server.asking import classify_the_file
from app.server.batch import Answers, RowsDone
from app.server.session import Session
from app.server.troubles import QUERIES
from app.server.workspace import Workspace
from app.tabs.data import ACCEPTED, column_choices, table_view
from app.tabs.page import Page, kept_by_page
from app.tabs.reading import create_reading, options, sheet_choices
from app.words import duration
from dbsa_core.data import read_queries, read_query_table
from dbsa_core.errors import DataError
from dbsa_core.files.tables import Table
from dbsa_core.prediction import ANSWER_COLUMNS

SHOWN_ROWS = 20


def create_classify_file_tab(page: Page) -> None:
    workspace = page.workspace
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            upload = gr.File(label=f"File of texts ({ACCEPTED})", type="filepath", height=150, elem_id="queries-file")
            column = gr.Dropdown(label="Column with the texts", elem_id="queries-column")
            reading = create_reading("queries", detects_first_line=True)
            harmless = gr.Checkbox(
                False,
                label="Safe for spreadsheets: an apostrophe before cells that begin with = + - @",
                elem_id="spreadsheet-safe",
            )
            notes = gr.HTML(elem_id="queries-notes")
            with gr.Row():
                start = gr.Button("Classify all rows", variant="primary", interactive=False, elem_id="classify-file")
                stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop-file")
        with gr.Column(scale=3, min_width=320):
            gr.Markdown("### Progress")
            progress = gr.HTML(elem_id="file-progress")
            result = gr.File(label="The file with its answers", visible=False, interactive=False, elem_id="file-result")
    shown = gr.HTML(elem_id="file-answers")
    seen = kept_by_page()
    live = [start, stop, progress]
    ended = [result, shown]

    file = [column, notes, reading.sheet]

    def read(session: Session, path: str | None, *how: str) -> Sequence[Any]:
        if path is None:
            return [gr.skip() for _ in [*file, *live]]
        known = [session.data.text_column] if session.data is not None else []
        session.queries = read_query_table(path, known=known, **options(*how))
        return [*render_file(session), *render_live(workspace, session)]

    def begin(session: Session, column: str | None, harmless: bool) -> Sequence[Any]:
        classify_the_file(workspace, session, column, spreadsheet_safe=harmless)
        return [*render_live(workspace, session), gr.File(visible=False, value=None), ""]

    def halt(session: Session) -> Sequence[Any]:
        workspace.stop(session, "classify_file")
        return render_live(workspace, session)

    def watch(session: Session, seen: str) -> Sequence[Any]:
        job = workspace.job(session, "classify_file")
        now = f"{job.id}:{job.state}" if job is not None else ""
        end = [gr.skip() for _ in ended] if now == seen else render_ended(workspace, session)
        return [*render_live(workspace, session), *end, now]

    page.on(upload.upload, read, [upload, *reading.inputs_of_new_file], [*file, *live], cause=QUERIES)
    page.on(reading.changes, read, [upload, *reading.inputs], [*file, *live], trigger_mode="always_last", cause=QUERIES)
    page.on(start.click, begin, [column, harmless], [*live, *ended], cause=QUERIES)
    page.on(stop.click, halt, [], live, show_progress="hidden")
    page.watch(watch, [seen], [*live, *ended, seen])
    page.restore(
        [*file, *live, *ended],
        lambda session: [
            *render_file(session),
            *render_live(workspace, session),
            *render_ended(workspace, session),
        ],
    )


def render_file(session: Session) -> list[Any]:
    """The columns of the file, what is to be said of it, and its sheets."""
    table = session.queries
    said = f'<ul class="dbsa">{"".join(f"<li>{escape(note)}</li>" for note in table.notes)}</ul>' if table else ""
    return [_columns(table), said if table and table.notes else "", sheet_choices(table)]


def _columns(table: Table | None) -> Any:
    if table is None:
        return gr.Dropdown(choices=[], value=None)
    choices = column_choices(table)
    return gr.Dropdown(choices=choices, value=guess_text_column(table))


def guess_text_column(table: Table) -> str | None:
    """The column whose cells `read_queries` would take by itself; None where it cannot tell."""
    try:
        texts = read_queries(table)
    except DataError:
        return None
    return next((str(name) for name in table.frame.columns if read_queries_or_none(table, str(name)) == texts), None)


def read_queries_or_none(table: Table, column: str) -> list[str] | None:
    try:
        return read_queries(table, column)
    except DataError:
        return None


def render_live(workspace: Workspace, session: Session) -> list[Any]:
    """The buttons as they can be pressed now, and the progress."""
    job = workspace.job(session, "classify_file")
    running = job is not None and job.active
    stopping = job is not None and job.stopping
    return [
        gr.Button(interactive=session.queries is not None and not running),
        gr.Button(interactive=running and not stopping, value="Stopping" if stopping else "Stop"),
        progress_text(workspace, session),
    ]


def progress_text(workspace: Workspace, session: Session) -> str:
    """Where the classification of the file stands, in one paragraph and a bar."""
    job = workspace.job(session, "classify_file")
    if job is None:
        if session.queries is None:
            return _paragraph("Upload a file of texts without labels; each row is classified as on the Ask tab.")
        rows = len(session.queries.row_numbers)
        last = session.answer.prediction.seconds["total"] if session.answer else None
        price = f", about {duration(rows * last)} at the last query's speed" if last else ""
        return _paragraph(f"{rows:,} rows of {session.queries.source} are ready to be classified{price}.")
    progress = job.progress if isinstance(job.progress, RowsDone) else None
    if job.state == "failed":
        return _paragraph(f"The file was not classified: {job.message}")
    if job.active:
        if progress is None:
            ahead = workspace.jobs.ahead(job)
            return _paragraph(f"Waiting for {ahead} other jobs." if ahead else "Starting.")
        left = duration(progress.seconds_left)
        speed = f"{progress.done / max(progress.seconds, 1e-9):.1f} rows/s"
        return _bar(progress, f"Row {progress.done:,} of {progress.total:,} · {speed} · {left} left")
    if isinstance(job.result, Answers):
        found = job.result
        head = "Stopped" if job.state == "stopped" else "Done"
        skipped = f"; {found.skipped:,} of them without an answer (empty or too long)" if found.skipped else ""
        return _bar(progress, f"{head}: {len(found.frame):,} of {found.rows_total:,} rows classified{skipped}.")
    return _paragraph(job.message or "Stopped.")


def _paragraph(text: str) -> str:
    return f'<p class="dbsa" aria-live="polite">{escape(text)}</p>'


def _bar(progress: RowsDone | None, text: str) -> str:
    share = progress.done / progress.total if progress else 1.0
    bar = (
        f'<div class="dbsa-progressbar" role="progressbar" aria-label="Classification" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{100 * share:.0f}"><span style="width:{100 * share:.1f}%"></span></div>'
    )
    return f'<div class="dbsa dbsa-progress">{_paragraph(text)}{bar}</div>'


def render_ended(workspace: Workspace, session: Session) -> list[Any]:
    """The file to fetch and its first rows, once there is one."""
    job = workspace.job(session, "classify_file")
    if job is None or not isinstance(job.result, Answers):
        return [gr.File(visible=False, value=None), ""]
    answers = job.result
    frame = answers.frame.head(SHOWN_ROWS)
    answered = list(frame.columns[-len(ANSWER_COLUMNS) :])
    columns = [*answered, *(name for name in frame.columns if name not in answered)][:12]
    numbered = frame[columns].set_axis(range(1, len(frame) + 1))
    heading = '<h3 class="dbsa">First rows with their answers</h3>'
    return [gr.File(visible=True, value=str(answers.path)), heading + table_view(numbered)]
