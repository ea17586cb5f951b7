"""The Data tab: a file or the bundled example, which columns hold texts and labels, and what was read.

Knows nothing about models; one button takes what was chosen to where it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.explore.summary import summary_view
from app.server.curating import use_columns, use_names
from app.server.data import Data
from app.server.exploring import rows_of
from app.server.session import Session
from app.server.troubles import FILE, SETTINGS
from app.tabs.address import opens
from app.tabs.explore import create_explorer, create_problems
from app.tabs.label_issues import create_label_issues
from app.tabs.offer import use_button, use_data
from app.tabs.page import Page
from app.tabs.reading import create_reading, options, sheet_choices
from app.tabs.taught import create_taught
from dbsa_core.data import clean_text
from dbsa_core.files.tables import Table, shortened

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
            names, rename = _create_names()
        with gr.Column(scale=3, min_width=320):
            gr.Markdown("## What was read")
            summary = gr.HTML(elem_id="data-summary")
            gr.Markdown("## Problems")
            problems = create_problems()
    create_explorer(page, problems)
    create_label_issues(page)
    create_taught(page)
    shown = [text, label, summary, names, reading.sheet]
    page.restore(shown, lambda session: [*render_data(session), sheet_choices(session.table)])
    page.restore([use], lambda session: [use_button(page.workspace, session)])
    page.watch(lambda session: [use_button(page.workspace, session)], [], [use])

    def read(session: Session, path: str | None, *how: str) -> list[Any]:
        """Read the uploaded file; where its columns cannot be guessed they can be named."""
        if path is not None:
            page.workspace.read_file(session, path, **options(*how))
        return []

    def call(session: Session, names: Sequence[Sequence[str]]) -> list[Any]:
        use_names(page.workspace, session, {str(label): str(name) for label, name in names})
        return []

    def columns(session: Session, text: str | None, label: str | None) -> list[Any]:
        if text and label:
            use_columns(page.workspace, session, text, label)
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
    page.on(rename.click, call, [names], everywhere=True, cause=FILE)
    page.on([text.input, label.input], columns, [text, label], everywhere=True, cause=FILE)
    page.on(example.click, use_example, [], [upload], everywhere=True, cause=FILE)


def _create_names() -> tuple[gr.Dataframe, gr.Button]:
    """All names of labels at once, as a table to type into or to paste a column into."""
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
        return names, gr.Button("Use these names", elem_id="use-label-names")


def render_data(session: Session) -> list[Any]:
    """The columns, what was read, and the names of the labels; of a file whose columns are not known yet, the columns
    to choose from."""
    with session.lock:
        data, table = session.data, session.table
    if data is not None and (table is None or table is data.table):
        return [
            gr.Dropdown(choices=column_choices(data.table), value=data.text_column),
            gr.Dropdown(choices=column_choices(data.table), value=data.label_column),
            summary_view(data, rows_of(data)),
            label_rows(data),
        ]
    choices = column_choices(table) if table is not None else []
    waiting = "<p>Choose the column with the texts and the column with the labels.</p>" if table is not None else ""
    return [*[gr.Dropdown(choices=choices, value=None)] * 2, waiting, []]


def label_rows(data: Data) -> list[list[str]]:
    """Each label as it stands in the file, and its name."""
    called = data.label_names or {label: label for label in data.pool.labels}
    return [list(pair) for pair in called.items()]


def column_choices(table: Table) -> list[tuple[str, str]]:
    """Each column with two sample values."""
    choices = []
    for name in map(str, table.frame.columns):
        cells = (clean_text(cell) for cell in table.frame[name].tolist()[:50])
        samples = list(dict.fromkeys(cell for cell in cells if cell))[:2]
        shown = ", ".join(f"“{shortened(sample, 16)}”" for sample in samples) or "no values"
        choices.append((f"{shortened(name)}: {shown}", name))
    return choices
