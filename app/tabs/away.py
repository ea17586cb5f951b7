"""What is taken away of the answer that is shown: its files and its picture, under the views of the Ask tab."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.ask.shown import ShownAnswer
from app.away.files import write_files
from app.away.page import texts_in
from app.away.style import BUTTONS
from app.server.session import Session
from app.server.workspace import Workspace
from app.tabs.answer import shown_now
from app.tabs.page import Page
from app.words import count
from dbsa_core.errors import DataError

_WHAT = (
    '<p class="dbsa dbsa-muted">A page with these views that needs no server, what was read and the attention as CSV, '
    "and all of it as JSON. They hold your text, labels and numbers of rows; texts of rows only where you say so.</p>"
)


class Away:
    """Its elements and what they show."""

    def __init__(self, page: Page):
        workspace = page.workspace
        with gr.Accordion("Take it away", open=False, visible=False, elem_id="away") as self._box:
            gr.HTML(_WHAT)
            with gr.Row():
                self._bare = gr.Button("Make the files without texts of rows", size="sm", elem_id="away-bare")
                self._whole = gr.Button(size="sm", elem_id="away-texts")
            self._made = gr.File(label="Files", visible=False, interactive=False, elem_id="away-files")
            gr.HTML(f'<div class="dbsa">{BUTTONS}</div>')
        for button, texts in ((self._bare, False), (self._whole, True)):
            page.on(button.click, _maker(workspace, texts), [], [self._made])

    @property
    def outputs(self) -> list[Any]:
        return [self._box, self._whole, self._made]

    def render(self, shown: ShownAnswer | None) -> list[Any]:
        """The values of `outputs`. What was made is of an answer before."""
        rows = texts_in(shown) if shown is not None else 0
        words = f"Make the files; includes the texts of {count(rows, 'row')}"
        return [
            gr.Accordion(visible=shown is not None),
            gr.Button(value=words, visible=rows > 0),
            gr.File(value=None, visible=False),
        ]


def _maker(workspace: Workspace, texts: bool) -> Any:
    def make(session: Session) -> Sequence[Any]:
        shown = shown_now(workspace, session)
        if shown is None:
            raise DataError("There is no answer to take away; ask something first.")
        paths = write_files(shown, workspace.folder, texts=texts)
        return [gr.File(value=[str(path) for path in paths], visible=True)]

    return make
