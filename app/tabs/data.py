"""The Data tab: a file or the bundled example, which columns hold texts and labels, a preview, and its problems.

Knows nothing about models; one button takes what was chosen to where it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr
import pandas as pd

from app.server.session import Data, Session
from app.server.troubles import FILE, SETTINGS
from app.tabs.address import opens
from app.tabs.label_issues import create_label_issues
from app.tabs.offer import use_button, use_data
from app.tabs.page import Page
from app.tabs.reading import create_reading, options, sheet_choices
from app.tabs.taught import create_taught
from app.views import pool_summary, problems_view
from dbsa_core.data import clean_text
from dbsa_core.errors import DataError
from dbsa_core.files.tables import Table, shortened

PREVIEW_ROWS = 8
PREVIEW_COLUMNS = 12
CELL_LENGTH = 240
NAMED_LABELS = 300
"""Of more labels than this the names are not offered for change: they come with the file."""
ACCEPTED = "CSV, TSV, JSON, Parquet, .xlsx"


def create_data_tab(page: Page) -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            upload = gr.File(label=f"Labelled file ({ACCEPTED})", type="filepath", height=150, elem_id="data-file")
            example = gr.Button("Use the bundled example")
            text = gr.Dropdown(label="Column with the texts", elem_id="text-column")
            label = gr.Dropdown(label="Column with the labels", elem_id="label-column")
            use = gr.Button(variant="primary", visible=False, elem_id="use-data")
            reading = create_reading("data", detects_first_line=False)
            with gr.Accordion("Names of the labels", open=False, elem_id="label-names-panel"):
                gr.Markdown("What the model reads. Give codes a name; the same name for two labels joins them.")
                names = gr.Dataframe(
                    headers=["In the file", "Name"],
                    datatype="str",
                    static_columns=[0],
                    type="array",
                    interactive=True,
                    show_label=False,
                    max_height=320,
                    elem_id="label-names",
                )
                rename = gr.Button("Use these names", elem_id="use-label-names")
        with gr.Column(scale=3, min_width=320):
            gr.Markdown("## What was read")
            summary = gr.HTML(elem_id="data-summary")
            gr.Markdown("## Problems")
            problems = gr.HTML(elem_id="data-problems")
    create_label_issues(page)
    create_taught(page)
    gr.Markdown("## First rows of the file")
    preview = gr.HTML(elem_id="data-preview")
    shown = [text, label, summary, problems, preview, names, reading.sheet]
    page.restore(shown, lambda session: [*render_data(session), sheet_choices(session.table)])
    page.restore([use], lambda session: [use_button(page.workspace, session)])
    page.watch(lambda session: [use_button(page.workspace, session)], [], [use])

    def read(session: Session, path: str | None, *how: str) -> list[Any]:
        """Read the uploaded file; where its columns cannot be guessed they can be named."""
        if path is not None:
            page.workspace.read_file(session, path, **options(*how))
        return []

    def use_names(session: Session, names: Sequence[Sequence[str]]) -> list[Any]:
        data = session.data
        if data is None:
            raise DataError("There are no data yet; upload a file first.")
        given = {str(label): str(name) for label, name in names if str(name).strip() and str(label) != str(name)}
        page.workspace.set_data(session, data.table, data.text_column, data.label_column, names=given)
        return []

    def columns(session: Session, text: str | None, label: str | None) -> list[Any]:
        if session.table is None:
            raise DataError("There is no file yet; upload one, or use the bundled example.")
        if text and label:
            page.workspace.set_data(session, session.table, text, label)
        return []

    def use_example(session: Session) -> list[Any]:
        page.workspace.use_example(session)
        return [None]

    def use_rows(session: Session) -> list[Any]:
        use_data(page.workspace, session)
        return [use_button(page.workspace, session)]

    # The tab changes at once, whatever the server has to do first.
    use.click(None, None, None, js=opens("ask"), api_visibility="private")
    page.on(use.click, use_rows, [], [use], show_progress="hidden", cause=SETTINGS)
    page.on(upload.upload, read, [upload, *reading.inputs_of_new_file], everywhere=True, cause=FILE)
    page.on(reading.changes, read, [upload, *reading.inputs], everywhere=True, trigger_mode="always_last", cause=FILE)
    page.on(rename.click, use_names, [names], everywhere=True, cause=FILE)
    page.on([text.input, label.input], columns, [text, label], everywhere=True, cause=FILE)
    page.on(example.click, use_example, [], [upload], everywhere=True, cause=FILE)


def render_data(session: Session) -> Sequence[Any]:
    """The session's data; of a file whose columns are not known yet, the columns to choose from."""
    with session.lock:
        data, table = session.data, session.table
    if table is None or (data is not None and table is data.table):
        if data is None:
            return [gr.Dropdown(choices=[], value=None)] * 2 + ["", "", "", []]
        return [
            gr.Dropdown(choices=column_choices(data.table), value=data.text_column),
            gr.Dropdown(choices=column_choices(data.table), value=data.label_column),
            pool_summary(data.pool, data.table),
            problems_view(data.pool),
            table_view(preview_frame(data.table, (data.text_column, data.label_column))),
            label_rows(data),
        ]
    choices = column_choices(table)
    waiting = "<p>Choose the column with the texts and the column with the labels.</p>"
    unset = gr.Dropdown(choices=choices, value=None)
    return [unset, unset, waiting, "", table_view(preview_frame(table)), []]


def label_rows(data: Data) -> list[list[str]]:
    """Each label as it stands in the file, and its name."""
    called = data.label_names or {label: label for label in data.pool.labels}
    return [list(pair) for pair in called.items()] if len(called) <= NAMED_LABELS else []


def column_choices(table: Table) -> list[tuple[str, str]]:
    """Each column with two sample values."""
    choices = []
    for name in map(str, table.frame.columns):
        cells = (clean_text(cell) for cell in table.frame[name].tolist()[:50])
        samples = list(dict.fromkeys(cell for cell in cells if cell))[:2]
        shown = ", ".join(f"“{shortened(sample, 16)}”" for sample in samples) or "no values"
        choices.append((f"{shortened(name)}: {shown}", name))
    return choices


def preview_frame(table: Table, first: tuple[str, ...] = ()) -> pd.DataFrame:
    """The first rows with their numbers in the file; the columns in use stand first."""
    names = [*first, *(name for name in table.frame.columns if name not in first)][:PREVIEW_COLUMNS]
    frame = table.frame[names].head(PREVIEW_ROWS)
    return frame.set_axis(list(table.row_numbers[: len(frame)]))


def table_view(frame: pd.DataFrame) -> str:
    """A frame as an HTML table, its index as the rows' numbers."""
    head = "".join(f'<th scope="col">{escape(shortened(str(name)))}</th>' for name in ("Row", *frame.columns))
    rows = []
    for number, *cells in frame.itertuples(name=None):
        shown = ("" if cell is None or cell != cell else shortened(str(cell), CELL_LENGTH) for cell in cells)
        rows.append(f'<tr><th scope="row">{number}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in shown)}</tr>')
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="dbsa dbsa-scroll"><table class="dbsa-table dbsa-rows">{body}</table></div>'
