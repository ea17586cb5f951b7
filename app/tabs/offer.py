"""One press: encode the data at hand and ask. What it would do, in the words of its button.

Knows nothing about queries.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.server.asking import ready
from app.server.session import Session
from app.server.workspace import Workspace
from app.words import count, duration
from dbsa_core.errors import DBSAError


def use_data(workspace: Workspace, session: Session) -> None:
    """Encode, unless that is under way or done already."""
    if not _under_way_or_done(workspace, session):
        workspace.encode(session)


def _under_way_or_done(workspace: Workspace, session: Session) -> bool:
    if workspace.being_encoded(session) is not None:
        return True
    return ready(workspace, session) is not None and not workspace.stale_reasons(session)


def use_words(workspace: Workspace, session: Session) -> str:
    """ "Use these 9,999 rows: encode 80 now (about 40 s) and ask"; "" where there are no data to use."""
    if session.data is None:
        return ""
    rows = f"these {count(len(session.data.pool), 'row')}"
    if _under_way_or_done(workspace, session):
        return f"Ask about {rows}"
    if workspace.loaded(session.model_source) is None:
        return f"Use {rows}: encode some of them and ask"
    try:
        plan = workspace.plan(session)
    except DBSAError:
        return f"Use {rows} and ask"
    return f"Use {rows}: encode {len(plan.rows):,} now (about {duration(max(plan.seconds, 1))}) and ask"


def use_button(workspace: Workspace, session: Session) -> Any:
    """The button as it can be pressed now."""
    words = use_words(workspace, session)
    return gr.Button(value=words, visible=bool(words))
