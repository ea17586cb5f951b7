"""The model picker of the Encode tab: the embedded model, a hub id, a folder or a GGUF file.

Knows nothing about data. On an address other than the loopback it offers only what the server allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from app.server.session import Session
from app.server.workspace import EMBEDDED, Workspace
from app.tabs.page import Page
from dbsa_core.errors import ModelError
from dbsa_core.model.embedded import EMBEDDED_NAME

KINDS = [
    (f"Embedded ({EMBEDDED_NAME})", EMBEDDED),
    ("Hub id", "hub"),
    ("Folder", "folder"),
    ("GGUF file", "gguf"),
]
PLACEHOLDERS = {
    "hub": "organisation/name, such as Qwen/Qwen2.5-0.5B",
    "folder": "a folder made by save_pretrained, on the computer that runs this app",
    "gguf": "a .gguf file on the computer that runs this app",
}


def create_model_picker(page: Page) -> None:
    workspace = page.workspace
    restricted = workspace.allowed_models is not None
    if restricted:
        choices = [(_shown(source), source) for source in workspace.allowed_models or ()]
        kind = gr.Dropdown(choices, value=workspace.default_model, label="Model", elem_id="model-kind")
    else:
        kind = gr.Radio(KINDS, value=EMBEDDED, label="Model", elem_id="model-kind")
    place = gr.Textbox(visible=False, show_label=False, max_lines=1, max_length=400, elem_id="model-place")
    load = gr.Button("Load this model", size="sm", visible=restricted, elem_id="load-model")
    note = gr.HTML(elem_id="model-note")
    page.restore([kind, place, load], lambda session: _restored(session, restricted))

    def pick(session: Session, kind: str) -> Sequence[Any]:
        if restricted:
            return [gr.skip(), gr.skip()]
        named = kind != EMBEDDED
        other = named or session.model_source != EMBEDDED
        return [gr.Textbox(visible=named, value="", placeholder=PLACEHOLDERS.get(kind, "")), gr.Button(visible=other)]

    def begin(session: Session, kind: str, place: str) -> Sequence[Any]:
        if restricted or kind == EMBEDDED:
            source = kind
        elif place.strip():
            source = place
        else:
            raise ModelError(f"Name the model first: {PLACEHOLDERS[kind]}.")
        workspace.load_model_job(session, source)
        return [model_note(workspace, session)]

    page.on(kind.input, pick, [kind], [place, load], show_progress="hidden")
    page.on([load.click, place.submit], begin, [kind, place], [note])
    page.watch(lambda session: [model_note(workspace, session)], [], [note])


def _restored(session: Session, restricted: bool) -> list[Any]:
    source = session.model_source
    if restricted:
        return [source, gr.skip(), gr.skip()]
    if source == EMBEDDED:
        return [EMBEDDED, gr.Textbox(visible=False, value=""), gr.Button(visible=False)]
    kind = "gguf" if source.lower().endswith(".gguf") else "folder" if source.startswith(("/", ".", "~")) else "hub"
    return [kind, gr.Textbox(visible=True, value=source), gr.Button(visible=True)]


def _shown(source: str) -> str:
    return f"Embedded ({EMBEDDED_NAME})" if source == EMBEDDED else source


def model_note(workspace: Workspace, session: Session) -> str:
    """How loading a model goes."""
    job = workspace.job(session, "model")
    if job is None:
        started = workspace.example.job if workspace.example else None
        if started is not None and started.state == "failed" and workspace.loaded(session.model_source) is None:
            return _line(f"The model could not be loaded: {started.message}")
        return ""
    if job.active:
        return _line("Loading the model; what is encoded stays usable meanwhile.")
    if job.state == "failed":
        return _line(f"The model was not loaded: {job.message}")
    model = workspace.loaded(session.model_source)
    return _line(f"{model.name} is loaded; it has {model.max_positions:,} positions.") if model is not None else ""


def _line(text: str) -> str:
    return f'<p class="dbsa dbsa-muted">{escape(text)}</p>'
