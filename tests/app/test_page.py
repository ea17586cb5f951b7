"""How the page's events are bound."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.server.session import Session
from app.server.workspace import Workspace
from app.tabs.page import create_page


def test_what_is_pressed_is_under_way_until_its_page_has_it() -> None:
    workspace = Workspace()
    seen: list[bool] = []

    def look(session: Session) -> list[Any]:
        seen.append(workspace.busy(session))
        return []

    with gr.Blocks() as demo:
        page = create_page(workspace)
        button = gr.Button()
        page.on(button.click, look)
        page.watch(look, [], [])
        page.bind_last()
    press, beat = (one.fn for one in demo.fns.values() if one.fn is not None and one.fn.__name__ in ("guarded", "beat"))
    *_, pulse = press("a-visitor")
    assert pulse.active, "one beat follows, so that nothing older stays on the screen"
    *_, pulse = beat("a-visitor")
    assert not pulse.active
    assert seen == [True, False]


def test_no_beat_goes_through_the_queue() -> None:
    with gr.Blocks() as demo:
        create_page(Workspace()).bind_last()
    (tick,) = (one for one in demo.fns.values() if any(event == "tick" for _, event in one.targets))
    assert not tick.queue
