"""How the page's events are bound."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.launch import build
from app.server.session import Session
from app.server.workspace import Workspace
from app.tabs.ask import create_ask_tab
from app.tabs.page import Page, create_page
from dbsa_core.errors import SettingsError


def handlers(demo: gr.Blocks, page: Page) -> dict[str, Any]:
    """What is bound to each event, but for the page's own elements."""
    own = (page.strip._id, page.address._id)
    return {event: one.fn for one in demo.fns.values() for target, event in one.targets if target not in own}


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
    by_event = handlers(demo, page)
    press, beat = by_event["click"], by_event["tick"]
    *_, pulse = press("a-visitor")
    assert pulse.active, "one beat follows, so that nothing older stays on the screen"
    *_, calm, _, _, _, pulse = beat("a-visitor")
    assert pulse == gr.skip(), "it is the page that ends it, where it asked for nothing since"
    assert calm.split()[0] == "1"
    assert seen == [True, False]


def test_a_beat_from_before_a_press_ends_nothing() -> None:
    """It may reach the page behind what that press answered."""
    workspace = Workspace()
    with gr.Blocks() as demo:
        page = create_page(workspace)
        button = gr.Button()
        page.on(button.click, lambda session: [])
        page.watch(lambda session: [], [], [])
        page.bind_last()
    by_event = handlers(demo, page)
    calm, *_ = by_event["tick"]("a-visitor")
    first, *_ = by_event["click"]("a-visitor")
    second, *_ = by_event["click"]("a-visitor")
    assert calm.split()[0] != first != second
    later, *_ = by_event["tick"]("a-visitor")
    assert later.split()[0] == second
    (rest,) = (one for one in demo.fns.values() if any(event == "change" for _, event in one.targets))
    assert [each._id for each in rest.inputs] == [page.calm._id, page.seen._id]
    assert [each._id for each in rest.outputs] == [page.pulse._id]
    with workspace.session("a-visitor").handling():
        busy, *_, pulse = by_event["tick"]("a-visitor")
    assert (busy, pulse.active) == (gr.skip(), True)


def test_an_error_stands_until_its_cause_is_mended_and_what_is_in_force_is_shown_again() -> None:
    workspace = Workspace()
    with gr.Blocks() as demo:
        page = create_page(workspace)
        number, button = gr.Number(), gr.Button()

        def take(session: Session, value: float) -> list[Any]:
            if value < 1:
                raise SettingsError(f"The number is {value}.")
            return [gr.skip()]

        page.on(number.submit, take, [number], [number], cause="number", refused=lambda session: [7])
        page.on(button.click, lambda session: [], cause="button")
        page.bind_last()
    by_event = handlers(demo, page)
    take_it, press, beat = by_event["submit"], by_event["click"], by_event["tick"]
    shown, *_, strip, _ = take_it("a-visitor", 0)
    assert shown == 7
    assert "The number is 0." in strip
    for other in (press, beat):
        *_, strip, _ = other("a-visitor")
        assert "The number is 0." in strip, "something else works, and this does not"
    *_, strip, _ = take_it("a-visitor", 3)
    assert strip == ""


def test_no_beat_goes_through_the_queue() -> None:
    with gr.Blocks() as demo:
        create_page(Workspace()).bind_last()
    (tick,) = (one for one in demo.fns.values() if any(event == "tick" for _, event in one.targets))
    assert not tick.queue


def test_a_page_is_sent_as_plain_values() -> None:
    """Gradio takes a word in quotes in a component's script for one of its events, also one that it gives to Python's
    own `self`: then it copies the whole app for every page that is opened."""
    components = build(Workspace()).get_config_file()["components"]
    assert [one["props"].get("elem_id") for one in components if "self" in one["props"]] == []


def test_a_beat_leaves_the_answer_to_what_is_being_done() -> None:
    """Its own may reach the page later, and would put the answer before it on the screen again."""
    workspace = Workspace()
    session = workspace.session("a-visitor")
    with gr.Blocks():
        page = create_page(workspace)
        create_ask_tab(page)
    watch, *_ = page._watched[0]
    with session.handling():
        _, *views = watch(session, "an older milestone")
    assert all(view == gr.skip() for view in views)
    _, answer, *_ = watch(session, "an older milestone")
    assert "Ask something" in answer
