"""The model picker of the Encode tab: a few models by size, with what each takes on this machine, or any other.

Knows nothing about data. On an address other than the loopback it offers only what the server allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from app.server.catalogue import KNOWN, QUERY_TOKENS, Offer, gigabytes, offers
from app.server.models import AS_SAVED, source_of
from app.server.session import Session
from app.server.troubles import MODEL
from app.server.workspace import EMBEDDED, Workspace
from app.tabs.page import Page
from app.words import count, duration, measured
from dbsa_core.errors import ModelError
from dbsa_core.model.embedded import EMBEDDED_NAME

PLACEHOLDER = "organisation/name on the hub, a folder, or a .gguf file on the computer that runs this app"
WEIGHTS = [
    ("As the model was saved", AS_SAVED),
    ("8 bits (int8): less memory, slower", "int8"),
    ("4 bits (nf4): least memory, slower", "nf4"),
]
CSS = """
.dbsa-model { text-align: left;
  justify-content: flex-start; white-space: pre-line; font-weight: 400; line-height: 1.4; }
.dbsa-model:disabled { opacity: 0.75; }
"""


def create_model_picker(page: Page) -> None:
    if page.workspace.allowed_models is not None:
        _create_allowed(page)
    else:
        _create_sizes(page)


def _create_sizes(page: Page) -> None:
    workspace = page.workspace
    gr.Markdown("**Models for this machine**")
    buttons = [
        gr.Button(known.name, size="sm", elem_classes="dbsa-model", elem_id=f"model-{number}")
        for number, known in enumerate(KNOWN)
    ]
    note, cancel = _note_and_cancel(page)
    with gr.Accordion("Another model", open=False, elem_id="another-model"):
        place = gr.Textbox(
            label="Hub id, folder or GGUF file",
            placeholder=PLACEHOLDER,
            max_lines=1,
            max_length=400,
            elem_id="model-place",
        )
        weights = gr.Dropdown(WEIGHTS, value=AS_SAVED, label="Weights", elem_id="model-weights")
        load = gr.Button("Load this model", size="sm", elem_id="load-model")

    def shown(session: Session) -> list[Any]:
        return [*model_buttons(workspace, session), *loading_views(workspace, session)]

    def begin(session: Session, place: str, weights: str) -> Sequence[Any]:
        if not place.strip():
            raise ModelError(f"Name the model first: {PLACEHOLDER}.")
        workspace.load_model_job(session, source_of(place, weights))
        return shown(session)

    def choose(source: str) -> Any:
        def chosen(session: Session) -> Sequence[Any]:
            workspace.load_model_job(session, source)
            return shown(session)

        return chosen

    for button, known in zip(buttons, KNOWN, strict=True):
        page.on(button.click, choose(known.source), [], [*buttons, note, cancel], cause=MODEL)
    page.on([load.click, place.submit], begin, [place, weights], [*buttons, note, cancel], cause=MODEL)
    page.watch(shown, [], [*buttons, note, cancel])
    page.restore([*buttons, note, cancel, place], lambda session: [*shown(session), _named(session)])


def _note_and_cancel(page: Page) -> tuple[Any, Any]:
    """How loading goes, and what ends it."""
    note = gr.HTML(elem_id="model-note")
    cancel = gr.Button("Cancel loading", size="sm", visible=False, elem_id="cancel-model")

    def halt(session: Session) -> list[Any]:
        page.workspace.stop(session, "model")
        return loading_views(page.workspace, session)

    page.on(cancel.click, halt, [], [note, cancel], cause=MODEL)
    return note, cancel


def loading_views(workspace: Workspace, session: Session) -> list[Any]:
    """How loading goes, and the button that ends it."""
    job = workspace.job(session, "model")
    return [model_note(workspace, session), gr.Button(visible=job is not None and job.active and not job.stopping)]


def _create_allowed(page: Page) -> None:
    workspace = page.workspace
    choices = [(_shown(source), source) for source in workspace.allowed_models or ()]
    kind = gr.Dropdown(choices, value=workspace.default_model, label="Model", elem_id="model-kind")
    load = gr.Button("Load this model", size="sm", elem_id="load-model")
    note, cancel = _note_and_cancel(page)

    def begin(session: Session, source: str) -> Sequence[Any]:
        workspace.load_model_job(session, source)
        return loading_views(workspace, session)

    page.on(load.click, begin, [kind], [note, cancel], cause=MODEL)
    page.watch(lambda session: loading_views(workspace, session), [], [note, cancel])
    page.restore([kind, note, cancel], lambda session: [session.model_source, *loading_views(workspace, session)])


def _named(session: Session) -> Any:
    """The source in use, where it is none of those that have a button; else what is being typed stays."""
    return gr.skip() if session.model_source in {known.source for known in KNOWN} else session.model_source


def _shown(source: str) -> str:
    return f"Embedded ({EMBEDDED_NAME})" if source == EMBEDDED else source


def model_buttons(workspace: Workspace, session: Session) -> list[Any]:
    """Each with what it takes; off where it is in use, is being loaded, or does not fit."""
    loaded = workspace.loaded(session.model_source)
    job = workspace.job(session, "model")
    loading = job is not None and job.active
    if loaded is None:
        return [gr.Button(value=known.name, interactive=not loading and known.source != EMBEDDED) for known in KNOWN]
    from dbsa_core.devices import free_memory

    answer = session.answer
    tokens = answer.prediction.scores.tokens if answer is not None else QUERY_TOKENS
    found = []
    for offer in offers(loaded, free_memory(loaded.device), tokens):
        source = offer.model.source
        in_use, there = source == session.model_source, workspace.loaded(source) is not None
        refused = offer.refused and not there
        words = offer_words(offer, in_use=in_use, there=there)
        found.append(gr.Button(value=words, interactive=not (in_use or loading or refused)))
    return found


def offer_words(offer: Offer, *, in_use: bool, there: bool) -> str:
    """Two lines: the name, and what it takes or why it does not fit."""
    if offer.refused and not there:
        return f"{offer.model.name}\n{offer.refused}"
    facts = ["in use"] if in_use else ["loaded"] if there else []
    if not there:
        download = f"download {gigabytes(offer.download_bytes)}" if offer.download_bytes else "its files are here"
        facts.append(download)
    facts.append(f"memory {gigabytes(offer.memory_bytes)}")
    if offer.seconds is not None:
        seconds = duration(offer.seconds) if offer.seconds >= 10 else measured(offer.seconds)
        facts.append(f"about {seconds} a query")
    return f"{offer.model.name}\n{' · '.join(facts)}"


def model_note(workspace: Workspace, session: Session) -> str:
    """How loading a model goes, and what there is to know about the device."""
    job, model = workspace.job(session, "model"), workspace.loaded(session.model_source)
    if job is None:
        started = workspace.example.job if workspace.example else None
        if started is not None and started.state == "failed" and model is None:
            return _line(f"The model could not be loaded: {started.message}")
        return _device(model)
    if ahead := workspace.jobs.ahead(job):
        return _line(f"Waiting for {count(ahead, 'other model')} to be loaded.")
    if job.active:
        return _line("Loading the model; the one before it answers until it is there.")
    if job.state == "failed":
        return _line(f"The model was not loaded: {job.message}")
    if model is None:
        return ""
    if job.state == "stopped":
        return _line(f"Loading was stopped; {model.name} answers.") + _device(model)
    return _line(f"{model.name} is loaded; it has {model.max_positions:,} positions.") + _device(model)


def _device(model: Any) -> str:
    if model is None:
        return ""
    from dbsa_core.devices import unused_gpu

    return _line(found) if (found := unused_gpu()) else ""


def _line(text: str) -> str:
    return f'<p class="dbsa dbsa-muted">{escape(text)}</p>'
