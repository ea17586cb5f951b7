"""What if and History on the Ask tab: the last query with other settings, and the queries before it.

Knows nothing about how a query is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from app.ask.history import Line, history_view
from app.ask.shown import ShownAnswer
from app.ask.what_if import ORDER_NAMES, controls_view, tried_view
from app.server.answered import Past
from app.server.history import pin, side_by_side
from app.server.session import Session
from app.server.stamps import in_order, setting_words
from app.server.what_if import TRIED, may_try, take_up, trials, tried, try_settings
from app.server.workspace import Workspace
from app.tabs.answer import shown_now
from app.tabs.behaviour import BEHAVIOUR, PRESSED
from app.tabs.page import Page, kept_by_page
from app.words import whole_percent
from dbsa_core.errors import SettingsError
from dbsa_core.settings import QuerySettings

# The number beside a slider follows it.
_FOLLOW = """
element.addEventListener('input', event => {
  const said = element.querySelector(`output[for="${event.target.id}"]`);
  if (said) said.textContent = event.target.value;
});
"""
# How many are under way; what is being asked stands there meanwhile.
_TRY = """(session, ...given) => {
  const [ratio, similar, order] = ['ratio', 'similar', 'order'].map(name => document.querySelector(`#try-${name}`));
  document.body.dataset.trying = 1 + Number(document.body.dataset.trying ?? 0);
  const said = document.querySelector('#tries .dbsa-trying span');
  const blocks = order.options[order.selectedIndex].text.toLowerCase();
  if (said) said.textContent = `Asking with ratio ${ratio.value}, ${similar.value} similar rows, blocks ${blocks} …`;
  return [session, ratio.value, similar.value, order.value, performance.timeOrigin + performance.now()];
}"""
_TRIED = """() => {
  const left = Number(document.body.dataset.trying ?? 0) - 1;
  if (left > 0) document.body.dataset.trying = left; else delete document.body.dataset.trying;
}"""


class Trying:
    """The components of both, and what they show."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        with gr.Accordion("What if", open=False, visible=False, elem_id="what-if") as self.box:
            self.controls = gr.HTML(elem_id="tries", js_on_load=BEHAVIOUR + _FOLLOW)
            self.tried = gr.HTML(elem_id="tried", js_on_load=BEHAVIOUR)

    def create_history(self) -> None:
        """To be called where it is to stand."""
        self.history = gr.HTML(elem_id="history", js_on_load=BEHAVIOUR)

    @property
    def outputs(self) -> list[Any]:
        return [self.box, self.controls, self.tried, self.history]

    def render(self, session: Session, shown: ShownAnswer | None) -> list[Any]:
        """The values of `outputs`; `shown` is what the page shows."""
        history = _history(self.workspace, session, shown)
        if shown is None or not may_try(session):
            return [gr.Accordion(visible=False), "", "", history]
        lines = _tried(self.workspace, session, shown)
        return [gr.Accordion(visible=True), controls_view(shown.query, tried(session)), lines, history]

    def bind(self, page: Page, ask: Callable[..., Any], classify: Callable[..., Any]) -> None:
        """`ask` binds what asks the query that `classify` answers."""
        ratio, similar, order, moment, pressed = (kept_by_page() for _ in range(5))
        workspace = self.workspace

        def move(session: Session, ratio: str, similar: str, order: Any, moment: str) -> Sequence[Any]:
            try_settings(workspace, session, _number(ratio), round(_number(similar)), order, _number(moment))
            shown = shown_now(workspace, session)
            return [_tried(workspace, session, shown) if shown is not None else ""]

        def stop(session: Session) -> Sequence[Any]:
            workspace.stop(session, "what_if")
            return []

        def use(session: Session, moment: str, run: str) -> Any:
            take_up(session, run)
            answer = session.answer
            return classify(session, moment, answer.prediction.query if answer is not None else "")

        def turn_pin(session: Session, run: str) -> Sequence[Any]:
            pin(workspace, session, run)
            return [_history(workspace, session, shown_now(workspace, session))]

        moved = page.on(
            self.controls.input,
            move,
            [ratio, similar, order, moment],
            [self.tried],
            js=_TRY,
            cause="what_if",
            trigger_mode="multiple",
            show_progress="hidden",
        )
        moved.then(None, js=_TRIED, api_visibility="private")
        page.on(self.controls.stop, stop, show_progress="hidden")
        ask(self.tried.apply, use, [pressed], js=PRESSED)
        page.on(
            self.history.select, turn_pin, [pressed], [self.history], js=PRESSED, cause="pin", show_progress="hidden"
        )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"{text!r} is no number.") from None


def _tried(workspace: Workspace, session: Session, shown: ShownAnswer) -> str:
    """What was tried beside the session's last answer, which is what the page shows."""
    lines, answer = [], session.answer
    for trial in trials(session):
        found = workspace.runs.get(trial.run)
        if found is not None and answer is not None:
            names = [name for name in TRIED if getattr(trial.settings, name) != getattr(answer.settings, name)]
            lines.append((trial.run, ", ".join(_words(name, trial.settings) for name in names), found))
    return tried_view(shown, lines)


def _words(name: str, settings: QuerySettings) -> str:
    """As the controls call them: "ratio 0.1", "best match last"."""
    return ORDER_NAMES[settings.order].lower() if name == "order" else setting_words(name, settings)


def _history(workspace: Workspace, session: Session, shown: ShownAnswer | None) -> str:
    if not session.history:
        return ""
    lines = [_line(past) for past in session.history]
    return history_view(lines, session.pinned, session.on_screen, side_by_side(workspace, session, shown))


def _line(past: Past) -> Line:
    settings = ", ".join(setting_words(name, past.settings) for name in in_order(TRIED))
    share = whole_percent(past.probability) if past.probability is not None else ""
    return Line(
        past.run, f"{past.asked:%H:%M}", past.query, past.label, share, past.seconds, f"{past.data}; {settings}"
    )
