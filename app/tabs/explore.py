"""On the Data tab: all rows of the file by label, length, problem and words; rows left out, and labels named.

Knows nothing about how a file is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from typing import Any

import gradio as gr
import pandas as pd

from app.explore.labels import PICKING, labels_view
from app.explore.lengths import lengths_view
from app.explore.problems import problems_view
from app.explore.table import STAYING, table_view
from app.server.curating import leave_out, name_labels, take_back, unname, write_rows
from app.server.exploring import rows_of
from app.server.session import Session
from app.server.troubles import FILE
from app.server.workspace import Workspace
from app.tabs.behaviour import BEHAVIOUR, LOOK, LOOKED, LOOKING, PRESSED, TYPED
from app.tabs.page import Page, kept_by_page
from dbsa_core.files.tables import Table, shortened

PREVIEW_ROWS = 8
PREVIEW_COLUMNS = 12
CELL_LENGTH = 240
_TO_THE_ROWS = """
element.addEventListener('click', event => {
  const way = event.target.closest('[data-look]');
  if (way?.getAttribute('aria-pressed') === 'false') document.getElementById('explorer').scrollIntoView();
});
"""


def create_problems() -> gr.HTML:
    """What is wrong with the file; `create_explorer` shows it."""
    return gr.HTML(elem_id="data-problems", js_on_load=LOOKED + BEHAVIOUR + _TO_THE_ROWS)


def create_explorer(page: Page, problems: gr.HTML) -> None:
    workspace = page.workspace
    with gr.Row(elem_id="explorer"):
        gr.Markdown("## Rows of the file")
    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            search = gr.Textbox(
                label="Search the texts", placeholder="Words in a text", max_lines=1, elem_id="search-rows"
            )
            lengths = gr.HTML(elem_id="data-lengths", js_on_load=LOOKED + BEHAVIOUR)
            labels = gr.HTML(elem_id="data-labels", js_on_load=LOOKED + BEHAVIOUR + PICKING)
        with gr.Column(scale=5, min_width=320):
            table = gr.HTML(elem_id="data-rows", js_on_load=LOOKED + BEHAVIOUR + STAYING)
            with gr.Row():
                make = gr.Button("These rows as CSV", size="sm", scale=0, min_width=160, elem_id="make-rows")
                made = gr.File(label="The rows", visible=False, interactive=False, elem_id="rows-file")
    given = kept_by_page()
    views = [problems, lengths, labels, table, make, made]
    page.restore([search, *views], lambda session: [session.filter.words, *render_explorer(session)])

    # What is pressed or typed at once is done one after another, and what is shown last has all of it.
    def turn(session: Session, look: str) -> Sequence[Any]:
        with session.lock:
            session.filter = session.filter.pressed(look)
            return render_explorer(session)

    def find(session: Session, words: str | None) -> Sequence[Any]:
        words = words or ""
        with session.lock:
            if words == session.filter.words:  # what the page was given, not what was typed
                return [gr.skip() for _ in views]
            session.filter = replace(session.filter, words=words, page=0)
            return render_explorer(session)

    def clear(session: Session) -> Sequence[Any]:
        with session.lock:
            session.filter = session.filter.wide
            return ["", *render_explorer(session)]

    def write(session: Session) -> Sequence[Any]:
        return [gr.File(value=str(write_rows(workspace, session)), visible=True)]

    def show(session: Session, look: str) -> Sequence[Any]:
        shown = turn(session, look)
        return [session.filter.words, *shown]

    page.on([lengths.select, labels.select, table.select], turn, [given], views, js=LOOK, **LOOKING)
    page.on(problems.select, show, [given], [search, *views], js=LOOK, **LOOKING)
    page.on(search.change, find, [search], views, **LOOKING)
    page.on(table.clear, clear, [], [search, *views], **LOOKING)
    page.on(make.click, write, [], [made], cause=FILE)
    _bind_curating(page, problems, labels, table)


def _bind_curating(page: Page, problems: gr.HTML, labels: gr.HTML, table: gr.HTML) -> None:
    """What is pressed to make something else of the data; all of the page follows."""
    given, about = kept_by_page(), kept_by_page()

    def bind(pressed: Any, act: Callable[..., Any], inputs: Sequence[Any], js: str) -> None:
        def acted(session: Session, *values: str) -> Sequence[Any]:
            act(page.workspace, session, *values)
            return []

        page.on(pressed, acted, inputs, everywhere=True, js=js, cause=FILE)

    def name(workspace: Workspace, session: Session, name: str, ticked: str) -> None:
        name_labels(workspace, session, _texts(ticked), name)

    bind([problems.delete, table.delete], leave_out, [given], PRESSED)
    bind([problems.retry, table.retry], take_back, [given], PRESSED)
    bind(labels.submit, name, [given, about], TYPED)
    bind(labels.undo, unname, [given], PRESSED)


def render_explorer(session: Session) -> list[Any]:
    """Problems, lengths, labels and rows of the session's data, and no file made of them; of a file whose columns are
    not known yet its first rows."""
    with session.lock:
        data, table, filter = session.data, session.table, session.filter
    hidden = gr.File(value=None, visible=False)  # what was made is of other rows
    if data is None or (table is not None and table is not data.table):
        first = preview_view(preview_frame(table)) if table is not None else ""
        return ["", "", "", first, gr.Button(visible=False), hidden]
    rows = rows_of(data)
    chosen = rows.chosen(filter)
    return [
        problems_view(data.pool, data.excluded, filter),
        lengths_view(rows, chosen),
        labels_view(data, rows, chosen),
        table_view(data, rows, chosen),
        gr.Button(visible=True, interactive=bool(len(chosen.places))),
        hidden,
    ]


def _texts(written: str) -> list[str]:
    """A list of texts, as JSON; none where it is something else."""
    try:
        found = json.loads(written)
    except ValueError:
        return []
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def preview_frame(table: Table) -> pd.DataFrame:
    """The first rows with their numbers in the file."""
    frame = table.frame[list(table.frame.columns)[:PREVIEW_COLUMNS]].head(PREVIEW_ROWS)
    return frame.set_axis(list(table.row_numbers[: len(frame)]))


def preview_view(frame: pd.DataFrame) -> str:
    """A frame as an HTML table, its index as the rows' numbers."""
    head = "".join(f'<th scope="col">{escape(shortened(str(name)))}</th>' for name in ("Row", *frame.columns))
    rows = []
    for number, *cells in frame.itertuples(name=None):
        shown = ("" if cell is None or cell != cell else shortened(str(cell), CELL_LENGTH) for cell in cells)
        rows.append(f'<tr><th scope="row">{number}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in shown)}</tr>')
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="dbsa dbsa-scroll"><table class="dbsa-table dbsa-rows">{body}</table></div>'
