"""What the Encode tab writes, and when: what somebody is choosing at this moment is left to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest
from gradio.context import LocalContext

from app.server.session import Session
from app.server.what_if import take_up, trials, try_settings
from app.server.workspace import Workspace
from app.tabs.encode import create_encode_tab
from app.tabs.page import Page, create_page
from app.words import percent
from dbsa_core.settings import FULL_WINDOW
from tests.app.server.pools import encoded
from tests.app.server.test_what_if import asked

CONTROLS = ("#preset", "#pool-tokens", "#block-size", "#ratio", "#votes")


class Tab:
    """The tab as its page knows it: what was written to which element by the last beat."""

    def __init__(self, workspace: Workspace, session: Session):
        self._session = session
        with gr.Blocks() as demo:
            page: Page = create_page(workspace)
            create_encode_tab(page)
            page.bind_last()
        self._beat = next(one for one in demo.fns.values() if ("tick" in [event for _, event in one.targets]))
        self._restored = page.restored_outputs
        self._held: dict[int, Any] = {each._id: each.value for each in self._beat.inputs}
        self._page, self._demo = page, demo
        self._shown: dict[str, Any] = {}

    def shown(self, element: str) -> Any:
        """What was written there last."""
        return self._shown[element]

    def press(self, element: str, value: str) -> None:
        """One of its buttons, of that value."""
        pressed = next(one for one in self._demo.fns.values() if self._presses(one, element))
        self._take(pressed.outputs, pressed.fn(self._session.id, value))

    def _presses(self, one: Any, element: str) -> bool:
        return any(event == "select" and self._demo.blocks[of].elem_id == element[1:] for of, event in one.targets)

    def restore(self) -> None:
        self._take(self._restored, self._page.render(self._session))

    def beat(self) -> set[str]:
        """Ids of the elements that it wrote to."""
        given = [self._held[each._id] for each in self._beat.inputs]
        found = self._beat.fn(self._session.id, *given[1:])
        return self._take(self._beat.outputs, found)

    def _take(self, outputs: list[Any], values: list[Any]) -> set[str]:
        pairs = [(output, value) for output, value in zip(outputs, values, strict=True) if value != gr.skip()]
        self._held.update({output._id: value for output, value in pairs if output._id in self._held})
        self._shown.update({f"#{output.elem_id}": value for output, value in pairs if output.elem_id})
        return {f"#{output.elem_id}" for output, _ in pairs if output.elem_id}


@pytest.fixture
def tab(workspace: Workspace, session: Session) -> Iterator[Tab]:
    made = Tab(workspace, session)
    token = LocalContext.in_event_listener.set(True)
    made.restore()
    yield made
    LocalContext.in_event_listener.reset(token)


def test_the_end_of_a_job_leaves_the_controls_alone(workspace: Workspace, session: Session, tab: Tab) -> None:
    assert not tab.beat().intersection(CONTROLS), "the page has just been made"
    encoded(workspace, session)
    written = tab.beat()
    assert "#plan" in written
    assert not written.intersection(CONTROLS)
    assert "#plan" not in tab.beat()


def test_a_pattern_that_is_chosen_sets_sink_and_window(workspace: Workspace, session: Session, tab: Tab) -> None:
    page = tab.shown("#patterns")
    assert re.findall(r'value="([a-z-]+)" aria-pressed="true"', page) == ["sink-previous-self"]
    for name, sinks, window in (("self", 0, 0), ("full", 1, FULL_WINDOW), ("sink-self", 1, 0)):
        tab.press("#patterns", name)
        assert (session.settings.sink_blocks, session.settings.window) == (sinks, window)
        assert re.findall(r'value="([a-z-]+)" aria-pressed="true"', tab.shown("#patterns")) == [name]
        assert (tab.shown("#window"), tab.shown("#sink")) == (window, bool(sinks))
        plan = workspace.plan(session)
        assert f"{percent(plan.density)} of full attention&#x27;s" in tab.shown("#plan")
        assert f"<span>{percent(plan.density)} of full attention</span>" in tab.shown("#patterns")


def test_a_model_brings_the_range_of_pool_tokens(workspace: Workspace, session: Session, tab: Tab) -> None:
    session.model_source = "another"
    workspace.model("another")
    written = tab.beat()
    assert "#plan" in written
    assert written.intersection(CONTROLS) == {"#pool-tokens"}


def test_settings_that_were_taken_from_elsewhere_are_shown(workspace: Workspace, session: Session, tab: Tab) -> None:
    asked(workspace, session)
    tab.beat()
    try_settings(workspace, session, 0.6, 0, "least_to_most")
    take_up(session, trials(session)[0].run)
    assert tab.beat() >= set(CONTROLS)
