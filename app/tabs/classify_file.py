"""The tab that classifies a whole file of texts: its rows as they are done, corrected in place, and handed back.

Knows nothing about single queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from app.rows.look import Look
from app.rows.summary import summary_view
from app.rows.table import rows_view
from app.server.batch import Classified
from app.server.classifying import (
    classified,
    classify_the_file,
    correct_row,
    guess_gold_column,
    guess_text_column,
)
from app.server.session import Session
from app.server.troubles import QUERIES
from app.server.workspace import Workspace
from app.tabs.behaviour import BEHAVIOUR, LOOK, LOOKED, LOOKING, TYPED
from app.tabs.data import ACCEPTED, column_choices
from app.tabs.page import Page, kept_by_page
from app.tabs.reading import create_reading, options, sheet_choices
from app.views import live_paragraph, progress_bar, view
from app.words import count, duration
from dbsa_core.data import read_query_table
from dbsa_core.files.tables import describe_rows

NO_COLUMN = ""


def create_classify_file_tab(page: Page) -> None:
    ClassifyFileTab(page).bind()


class ClassifyFileTab:
    """Its components, and what becomes of what is uploaded and pressed."""

    def __init__(self, page: Page):
        self._page, self._workspace = page, page.workspace
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                self._create_file()
            with gr.Column(scale=3, min_width=320):
                gr.Markdown("## Progress")
                progress = gr.HTML(elem_id="file-progress")
                result = gr.File(
                    label="The file with its answers",
                    visible=False,
                    interactive=False,
                    file_count="multiple",
                    elem_id="file-result",
                )
                self._summary = gr.HTML(elem_id="file-summary", js_on_load=LOOKED + BEHAVIOUR)
        self._rows = gr.HTML(elem_id="file-answers", js_on_load=LOOKED + BEHAVIOUR)
        self._seen, self._drawn, self._look = kept_by_page(), kept_by_page(), kept_by_page()
        self._live = [self._start, self._stop, progress]
        self._table = [self._rows, self._drawn, self._look]
        self._found = [result, self._summary, *self._table]

    def _create_file(self) -> None:
        self._upload = gr.File(label=f"File of texts ({ACCEPTED})", type="filepath", height=150, elem_id="queries-file")
        column = gr.Dropdown(label="Column with the texts", elem_id="queries-column")
        gold = gr.Dropdown(label="Column with the right labels, to measure by", elem_id="gold-column")
        self._reading = create_reading("queries", detects_first_line=True)
        self._harmless = gr.Checkbox(
            False,
            label="Safe for spreadsheets: no cell is a formula, by an apostrophe before = + - @ in text files",
            elem_id="spreadsheet-safe",
        )
        self._columns = [column, gold]
        self._file = [*self._columns, gr.HTML(elem_id="queries-notes"), self._reading.sheet]
        with gr.Row():
            self._start = gr.Button("Classify all rows", variant="primary", interactive=False, elem_id="classify-file")
            self._stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop-file")

    def bind(self) -> None:
        on, reading, upload, live, found = self._page.on, self._reading, self._upload, self._live, self._found
        read = {"outputs": [*self._file, *live], "cause": QUERIES}
        on(upload.upload, self.read, [upload, *reading.inputs_of_new_file], **read)
        on(reading.changes, self.read, [upload, *reading.inputs], trigger_mode="always_last", **read)
        on(self._start.click, self.begin, [*self._columns, self._harmless], [*live, *found], cause=QUERIES)
        on(self._stop.click, self.halt, [], live, show_progress="hidden")
        on([self._rows.select, self._summary.select], self.turn, [self._look], self._table, js=LOOK, **LOOKING)
        label, row = kept_by_page(), kept_by_page()
        teaches = {"js": TYPED, "cause": QUERIES, "show_progress": "hidden"}
        on(self._rows.submit, self.correct, [label, row, self._look, self._harmless], [*live, *found], **teaches)
        self._page.watch(self.watch, [self._seen, self._drawn, self._look], [*live, *found, self._seen])
        self._page.restore([*self._file, *live, *found, self._seen], self.restored)

    def _render(self, session: Session, look: Look, drawn: str = "") -> list[Any]:
        """Of `live` and `found`."""
        return [*render_live(self._workspace, session), *render_found(self._workspace, session, look, drawn)]

    def restored(self, session: Session) -> list[Any]:
        return [*render_file(session), *self._render(session, Look()), _stand(self._workspace, session)]

    def read(self, session: Session, path: str | None, *how: str) -> Sequence[Any]:
        if path is None:
            return [gr.skip() for _ in [*self._file, *self._live]]
        known = [session.data.text_column] if session.data is not None else []
        session.queries = read_query_table(path, known=known, **options(*how))
        return [*render_file(session), *render_live(self._workspace, session)]

    def begin(self, session: Session, column: str | None, gold: str | None, harmless: bool) -> Sequence[Any]:
        classify_the_file(self._workspace, session, column, gold or None, spreadsheet_safe=harmless)
        return self._render(session, Look())

    def halt(self, session: Session) -> Sequence[Any]:
        self._workspace.stop(session, "classify_file")
        return render_live(self._workspace, session)

    def turn(self, session: Session, look: str) -> Sequence[Any]:
        return render_table(self._workspace, session, Look.of(look), "")

    def correct(self, session: Session, label: str, row: str, look: str, harmless: bool) -> Sequence[Any]:
        correct_row(self._workspace, session, int(row) if row.isdigit() else -1, label, spreadsheet_safe=harmless)
        return self._render(session, Look.of(look))

    def watch(self, session: Session, seen: str, drawn: str, look: str) -> Sequence[Any]:
        now = _stand(self._workspace, session)
        if now == seen:
            return [*[gr.skip() for _ in [*self._live, *self._found]], now]
        return [*self._render(session, Look.of(look), drawn), now]


def _stand(workspace: Workspace, session: Session) -> str:
    """Changes whenever anything that is shown does."""
    job, found = workspace.job(session, "classify_file"), classified(workspace, session)
    if job is None:
        return ""
    at = f"{found.done}:{len(found.corrected)}:{found.files[:1]}" if found is not None else workspace.jobs.ahead(job)
    return f"{job.id}:{job.state}:{job.stopping}:{at}"


def render_file(session: Session) -> list[Any]:
    """The columns of the file, what is to be said of it, and its sheets."""
    table = session.queries
    if table is None:
        return [*[gr.Dropdown(choices=[], value=None)] * 2, "", sheet_choices(None)]
    choices, text = column_choices(table), guess_text_column(table)
    notes = list(table.notes)
    if table.ragged_rows:
        notes.append(f"Left out for their number of fields: {describe_rows(table.ragged_rows)}.")
    said = f'<ul class="dbsa">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>' if notes else ""
    gold = guess_gold_column(table, text, session.data) or NO_COLUMN
    return [
        gr.Dropdown(choices=choices, value=text),
        gr.Dropdown(choices=[("None: the labels are not known", NO_COLUMN), *choices], value=gold),
        said,
        sheet_choices(table),
    ]


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
            return live_paragraph("Upload a file of texts without labels; each row is classified as on the Ask tab.")
        rows = len(session.queries.row_numbers)
        last = session.answer.prediction.seconds["total"] if session.answer else None
        price = f", about {duration(rows * last)} at the last query's speed" if last else ""
        return live_paragraph(f"{rows:,} rows of {session.queries.source} are ready to be classified{price}.")
    found = classified(workspace, session)
    if job.state == "failed":
        return live_paragraph(f"The file was not classified: {job.message}")
    if job.active:
        if found is None or not found.done:
            ahead = workspace.jobs.ahead(job)
            return live_paragraph(f"Waiting for {count(ahead, 'other file')}." if ahead else "Starting.")
        left = duration(found.seconds_left)
        speed = f"{found.done / max(found.seconds, 1e-9):.1f} rows/s"
        return _bar(found, f"Row {found.done:,} of {found.total:,} · {speed} · {left} left")
    if found is None or not (found.done or found.problem):
        return live_paragraph(job.message or "Stopped.")
    head = "Stopped" if found.done < found.total else "Done"
    said = [f"{head}: {found.done:,} of {count(found.total, 'row')} classified."]
    if found.done < found.total and found.files:
        said.append("The others stand in the file too, with the reason.")
    if found.left_behind:
        said.append(f"Not carried over from the workbook: {', '.join(found.left_behind)}.")
    return _bar(found, " ".join(filter(None, [*said, found.problem, found.unwritten])))


def _bar(found: Classified, text: str) -> str:
    share = found.done / found.total if found.total else 1.0
    return view("progress", live_paragraph(text), progress_bar("Classification", share))


def render_found(workspace: Workspace, session: Session, look: Look, drawn: str) -> list[Any]:
    """The files to take away, how the answers add up, and their rows."""
    found = classified(workspace, session)
    files = [str(path) for path in found.files] if found is not None else []
    return [
        gr.File(visible=bool(files), value=files or None),
        summary_view(found) if found is not None else "",
        *render_table(workspace, session, look, drawn),
    ]


def render_table(workspace: Workspace, session: Session, look: Look, drawn: str) -> list[Any]:
    """The rows of that look, what tells them from others, and the look; rows that are `drawn` are left as they are."""
    found = classified(workspace, session)
    shown = rows_view(found, look, session.with_taught(found.pool.labels)) if found is not None else ""
    now = str(hash(shown))
    return [gr.skip() if now == drawn else shown, now, look.written]
