"""On the Encode tab: saving the pool under a name, loading or deleting one that was saved, appending a second file.

Knows nothing about how a pool is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.server.appending import Appended, append_file
from app.server.keeping import Kept, delete_pool, kept_pools, load_pool_of, save_pool_as
from app.server.session import Session
from app.server.troubles import SETTINGS
from app.server.workspace import Workspace
from app.tabs.data import ACCEPTED
from app.tabs.page import Page
from app.views import muted, size_words
from app.words import count, out_of
from dbsa_core.errors import DataError
from dbsa_core.files.tables import read_table


def create_kept(page: Page) -> None:
    workspace = page.workspace
    with gr.Accordion("Save, load, append", open=False, elem_id="kept"):
        with gr.Row(visible=workspace.pools is not None):
            name = gr.Textbox(label="Name", max_length=60, scale=3, min_width=160, elem_id="pool-name")
            save = gr.Button("Save this pool", scale=1, min_width=140, elem_id="save-pool")
        with gr.Row(visible=workspace.pools is not None):
            saved = gr.Dropdown([], label="Saved pools", scale=4, min_width=300, elem_id="saved-pools")
            load = gr.Button("Load", scale=1, min_width=90, elem_id="load-pool")
            delete = gr.Button("Delete", scale=1, min_width=90, elem_id="delete-pool")
        sure = gr.Button("Delete it from the disk", variant="stop", visible=False, elem_id="delete-for-good")
        more = gr.File(
            label=f"Append the rows of a second file ({ACCEPTED})", type="filepath", height=150, elem_id="append-file"
        )
        said = gr.HTML(elem_id="kept-said")
    shown = [name, saved, sure, said]

    def keep(session: Session, name: str) -> Sequence[Any]:
        done = save_pool_as(workspace, session, name).outcome()
        return render(session, f'Saved as "{done.name}": {described(done)}.', chosen=done.name)

    def take(session: Session, which: str | None) -> Sequence[Any]:
        take_saved(workspace, session, which)
        return [f'Loaded "{session.kept_as}"; nothing had to be encoded.']

    def ask(session: Session, which: str | None) -> Sequence[Any]:
        return [gr.Button(f'Delete "{which}" from the disk', visible=bool(which))]

    def drop(session: Session, which: str | None) -> Sequence[Any]:
        delete_pool(workspace, which or "")
        return render(session, f'"{which}" was deleted.')

    def append(session: Session, path: str | None) -> Sequence[Any]:
        if path is None:
            return [gr.skip(), gr.skip()]
        done: Appended = append_file(workspace, session, read_table(path)).outcome()
        return [muted(appended_words(done)), None]

    def render(session: Session, words: str = "", chosen: str | None = None) -> list[Any]:
        pools = kept_pools(workspace)
        choices = [(f"{pool.name}: {described(pool)}", pool.name) for pool in pools]
        first = chosen or session.kept_as or (pools[0].name if pools else None)
        value = first if any(pool.name == first for pool in pools) else None
        proposed = session.kept_as or (session.data.name.rsplit(".", 1)[0][:60] if session.data is not None else "")
        words = muted(words) if words else gr.skip()
        return [proposed, gr.Dropdown(choices=choices, value=value), gr.Button(visible=False), words]

    quiet = {"cause": SETTINGS, "show_progress": "hidden"}
    page.on(save.click, keep, [name], shown, **quiet)
    page.on(load.click, take, [saved], [said], everywhere=True, **quiet)
    page.on(delete.click, ask, [saved], [sure], **quiet)
    page.on(sure.click, drop, [saved], shown, **quiet)
    page.on(more.upload, append, [more], [said, more], everywhere=True, **quiet)
    page.restore(shown[:-1], lambda session: render(session)[:-1])


def take_saved(workspace: Workspace, session: Session, which: str | None) -> Kept:
    """Load a saved pool, and return when it is there."""
    if not which:
        raise DataError("There is no saved pool to load; save one first, or choose one from the list.")
    found: Kept = load_pool_of(workspace, session, which).outcome()
    return found


def described(pool: Kept) -> str:
    """ "tickets.csv, 143 of 600 rows encoded, SmolLM2-135M, 46 MB, 2026-11-26 08:30"."""
    rows = out_of(pool.encoded, pool.rows, "row")
    taught = f", {pool.taught:,} taught" if pool.taught else ""
    when = pool.saved.astimezone().strftime("%Y-%m-%d %H:%M")
    return f"{pool.data}, {rows} encoded{taught}, {pool.model}, {size_words(pool.num_bytes)}, {when}"


def appended_words(done: Appended) -> str:
    """What became of a second file, in a sentence."""
    rows = count(done.rows, "new row")
    said = f"{rows} of {done.source}: {done.encoded:,} of them encoded as {count(done.blocks, 'further block')}."
    left = done.rows - done.encoded
    return f"{said} {left:,} are searched as similar rows only ({done.why.rstrip('.')})." if left else said
