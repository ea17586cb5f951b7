"""On the Data tab: the rows that were taught, each removable, and the file with them.

Knows nothing about queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from app.server.session import Session
from app.server.teaching import forget, write_file
from app.server.troubles import SETTINGS
from app.tabs.behaviour import BEHAVIOUR
from app.tabs.page import Page, kept_by_page
from app.views import muted, view
from app.words import count
from dbsa_core.data import Demonstration

# Of the row whose button was pressed, before the list is shown anew.
_PRESSED = """
element.addEventListener('click', event => {
  const row = event.target.closest('[data-text]');
  if (row) document.body.dataset.taught = row.dataset.text;
}, true);
"""
_WHICH = "(session, which) => [session, document.body.dataset.taught ?? '']"

CSS = """
.dbsa-taught li { display: flex; gap: 0.7rem; align-items: baseline; padding: 0.2rem 0; }
.dbsa-taught li > span:first-child { flex: 1; min-width: 0; overflow-wrap: anywhere; }
.dbsa-taught ul { max-height: 20rem; overflow: auto; }
@media (max-width: 760px) {
  .dbsa-taught li { flex-wrap: wrap; }
  .dbsa-taught li > span:first-child { flex-basis: 100%; }
}
"""


def create_taught(page: Page) -> None:
    with gr.Column(visible=False) as section:
        gr.Markdown("## Rows that you taught")
        listed = gr.HTML(elem_id="taught", js_on_load=_PRESSED + BEHAVIOUR)
        with gr.Row():
            make = gr.Button("The file with these rows, as CSV", size="sm", scale=0, min_width=260, elem_id="make-file")
            made = gr.File(label="The file with them", visible=False, interactive=False, elem_id="file-taught")
    which, seen = kept_by_page(), kept_by_page()
    shown = [section, listed, made, seen]

    def remove(session: Session, text: str) -> Sequence[Any]:
        forget(session, text)
        return render(session)

    def write(session: Session) -> Sequence[Any]:
        return [gr.File(value=str(write_file(page.workspace, session)), visible=True)]

    def watch(session: Session, seen: str) -> Sequence[Any]:
        return render(session) if _stand(session) != seen else [gr.skip() for _ in shown]

    page.on(listed.delete, remove, [which], shown, js=_WHICH, cause=SETTINGS, show_progress="hidden")
    page.on(make.click, write, [], [made])
    page.watch(watch, [seen], shown)
    page.restore(shown, render)


def render(session: Session) -> list[Any]:
    """Whether there is anything to list, the list, no file, and what it stands for."""
    taught = session.taught
    hidden = gr.File(value=None, visible=False)  # what was made is of other rows
    return [gr.Column(visible=bool(taught)), taught_view(taught) if taught else "", hidden, _stand(session)]


def _stand(session: Session) -> str:
    """Changes whenever the list does."""
    return str(hash(session.taught)) if session.taught else ""


def taught_view(lessons: Sequence[Demonstration]) -> str:
    """The rows, the last one first, each with a button that takes it back."""
    rows = "".join(map(_row, reversed(lessons)))
    said = f"{count(len(lessons), 'row')}, read from the next question on; nothing has to be encoded for that."
    return view("taught", muted(said), f"<ul>{rows}</ul>")


def _row(lesson: Demonstration) -> str:
    button = '<button type="button" data-event="delete">Remove</button>'
    return (
        f'<li data-text="{escape(lesson.text)}"><span>{escape(lesson.text)}</span>'
        f'<span class="dbsa-chip">{escape(lesson.label)}</span>{button}</li>'
    )
