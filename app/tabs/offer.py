"""One press: encode the data at hand and ask. What it would do, in the words of its button.

Knows nothing about queries.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.server.encoding import PoolState, begin_encoding, encoded_already, pool_state
from app.server.session import Session
from app.server.workspace import Workspace
from app.words import count, duration
from dbsa_core.errors import DBSAError


def use_data(workspace: Workspace, session: Session) -> None:
    """Encode, unless that is under way or done already; and turn to what the session itself asked last."""
    session.look_at("")
    if pool_state(workspace, session).kind not in ("encoding", "ready"):
        begin_encoding(workspace, session)


def use_words(workspace: Workspace, session: Session) -> str:
    """ "Use these 9,999 rows: encode 80 now (about 40 s) and ask"; "" where there are no data to use."""
    if session.data is None:
        return ""
    rows = f"these {count(len(session.data.pool), 'row')}"
    state = pool_state(workspace, session)
    if state.kind in ("encoding", "ready"):
        return f"Ask about {rows}"
    if state.left:
        return continue_words(state)
    if workspace.loaded(session.model_source) is None:
        return f"Use {rows}: encode some of them and ask"
    try:
        plan = workspace.plan(session)
        if encoded_already(workspace, session):
            return f"Use {rows}, of which {len(plan.rows):,} are encoded already, and ask"
    except DBSAError:
        return f"Use {rows} and ask"
    return f"Use {rows}: encode {len(plan.rows):,} now (about {duration(max(plan.seconds, 1))}) and ask"


def changed_words(state: PoolState) -> str:
    """ "Changed since this pool was encoded: the window (2 to 1)."; of a pool that still answers."""
    return f"Changed since this pool was encoded: {'; '.join(state.changed)}."


def stopped_words(state: PoolState) -> str:
    """What answers after an encoding was stopped."""
    if state.part is None:
        return "Queries read what is done."
    answer = "the most similar rows alone answer" if state.of_other_data else "the pool from before answers"
    return f"Until you choose, {answer}."


def use_part_words(state: PoolState) -> str:
    """ "Use the 12 new blocks"; "" where there are none to choose."""
    return f"Use the {count(len(state.part.pool.blocks), 'new block')}" if state.part is not None else ""


KEEP_OLD = "Keep the old pool"


def continue_words(state: PoolState) -> str:
    """ "Continue (20 blocks left)", of an encoding that was stopped."""
    return f"Continue ({count(state.left, 'block')} left)"


def use_button(workspace: Workspace, session: Session) -> Any:
    """The button as it can be pressed now."""
    words = use_words(workspace, session)
    return gr.Button(value=words, visible=bool(words))
