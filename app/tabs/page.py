"""What every tab shares: the session of a page, how handlers are bound and guarded, and the message strip.

Knows nothing about any one tab.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from app.ask.linked import SCRIPT
from app.away.page import PICTURE
from app.mask.figure import THERE
from app.server.jobs import unexpected
from app.server.session import Session
from app.server.troubles import dismiss, messages, note
from app.server.workspace import Workspace
from app.tabs.address import FOLLOW, address_view
from app.tabs.amends import AMENDS
from app.tabs.header import header_view
from app.views import message_view
from dbsa_core.errors import Cancelled, DBSAError

PULSE_SECONDS = 0.8
# What a number field held when it was entered, and whether it was emptied since: when it is left, Gradio may have put a
# slider's least number there before anybody is told. See `app.tabs.controls.within`.
_HOLD = """
document.addEventListener('focusin', event => {
  if (event.target.type === 'number') event.target.dataset.held = event.target.value;
});
const emptied = event => {
  const field = event.target.closest('.block')?.querySelector('input[type=number]');
  if (field) field.toggleAttribute('data-emptied', event.target === field && field.value === '');
};
document.addEventListener('input', emptied, true);
document.addEventListener('pointerdown', emptied, true);
"""
_DISMISS = """
element.addEventListener('click', event => { if (event.target.closest('.dbsa-dismiss')) trigger('click'); });
"""

# A beat that was made before something was pressed may come after what that answered; then the pulse goes on.
_REST = "(calm, seen) => calm.split(' ')[0] === seen ? {__type__: 'update', active: false} : undefined"
# Gradio may carry out this end after the beginning that a press brought meanwhile: so it is looked at once more.
_SETTLED = "() => new Promise(settled => setTimeout(settled, 700))"
_GO_ON = "(calm, seen) => calm.split(' ')[0] === seen ? undefined : {__type__: 'update', active: true}"

CSS = """
.dbsa-header { display: flex; align-items: baseline; gap: 0 1.2rem; padding: 0.5rem 0; font-size: 0.9rem;
  white-space: nowrap; overflow: hidden; color: var(--dbsa-muted); }
.dbsa-header h1 { font-size: 1rem; font-weight: 700; margin: 0; color: var(--body-text-color); }
.dbsa-header b { color: var(--body-text-color); font-weight: 600; }
.dbsa-header span { overflow: hidden; text-overflow: ellipsis; font-variant-numeric: tabular-nums; }
.dbsa-header .dbsa-state { overflow: visible; }
.dbsa-dot { display: inline-block; width: 0.6rem; height: 0.6rem; border-radius: 50%; margin-right: 0.4rem;
  background: var(--dbsa-dot-none); }
.dbsa-dot.dbsa-ready { background: var(--dbsa-dot-ready); }
.dbsa-dot.dbsa-busy, .dbsa-dot.dbsa-stale { background: var(--dbsa-warning-line); }
.dbsa-strip { position: relative; }
.dbsa-strip .dbsa-message { padding-right: 6.5rem; }
.dbsa-dismiss { position: absolute; right: 0.7rem; top: 0.5rem; border: 1px solid currentColor; border-radius: 3px;
  padding: 0 0.6rem; font-size: 0.85rem; line-height: 1.6; background: none; color: var(--body-text-color);
  cursor: pointer; }
#address { display: none; }
#messages:not(:has(.dbsa-strip)), #model-note:not(:has(p)), #ratio-note:not(:has(p)), #notice:not(:has(.dbsa-notice)) {
  display: none; }
.gradio-container .html-container { padding: 0; }
.gradio-container .prose h2 { font-size: 1.05rem; margin: 0.4rem 0; }
.gradio-container .secondary-wrap input { padding-right: 1.7rem; text-overflow: ellipsis; }
.dbsa table.dbsa-table, .dbsa table.dbsa-table tr { border: 0; }
table.dbsa-table.dbsa-rows { width: 100%; }
table.dbsa-table.dbsa-rows td, table.dbsa-table.dbsa-rows thead th { text-align: left; }
table.dbsa-table.dbsa-rows td { min-width: 7rem; max-width: 40rem; }
@media (max-width: 760px) {
  .dbsa-header { gap: 0 0.8rem; }
  .dbsa-header .dbsa-opt { display: none; }
}
"""


@dataclass(frozen=True)
class _Bound:
    """A handler, and what becomes of its errors."""

    handler: Callable[..., Sequence[Any] | None]
    inputs: list[Any]
    outputs: list[Any]
    cause: str
    refused: Callable[[Session], Sequence[Any]] | None
    everywhere: bool

    def carry_out(self, session: Session, values: Sequence[Any]) -> list[Any]:
        """Values of the outputs; what went wrong is noted."""
        found, message = attempt(self.handler, session, *values)
        if message or found is not None:
            note(session, self.cause, message)
        if message and self.refused is not None:
            found, _ = attempt(self.refused, session)
        return [gr.skip() for _ in self.outputs] if found is None else [*found]


@dataclass
class Page:
    """The shared parts of one page. A tab binds its handlers by `on`, and names what a reload restores by `restore`."""

    workspace: Workspace
    session_id: gr.Textbox
    arrival: gr.Textbox
    """What the address said when the page was opened."""
    address: gr.HTML
    header: gr.HTML
    strip: gr.HTML
    pulse: gr.Timer
    seen: gr.Textbox
    """How much the page had asked for when what it shows was made."""
    calm: gr.Textbox
    """The same when a beat found that nothing is under way, and when that was."""
    tabs: gr.Tabs
    _restored: list[tuple[list[Any], Callable[[Session], Sequence[Any]]]] = field(default_factory=list)
    _bind_last: list[Callable[[], Any]] = field(default_factory=list)
    _watched: list[tuple[Callable[..., Sequence[Any]], list[Any], list[Any]]] = field(default_factory=list)

    def restore(self, outputs: list[Any], render: Callable[[Session], Sequence[Any]]) -> None:
        """`render(session)` gives the values of `outputs` when the page is opened or all of it is shown anew."""
        self._restored.append((outputs, render))

    @property
    def restored_outputs(self) -> list[Any]:
        return [output for outputs, _ in self._restored for output in outputs]

    def render(self, session: Session) -> list[Any]:
        """Values of `restored_outputs`. A part that cannot be shown is left as it is."""
        values: list[Any] = []
        for outputs, render in self._restored:
            try:
                values += render(session)
            except DBSAError:
                values += [gr.skip() for _ in outputs]
        return values

    def on(
        self,
        triggers: Any,
        handler: Callable[..., Sequence[Any] | None],
        inputs: Sequence[Any] = (),
        outputs: Sequence[Any] = (),
        *,
        cause: str = "",
        refused: Callable[[Session], Sequence[Any]] | None = None,
        everywhere: bool = False,
        **options: Any,
    ) -> Any:
        """Bind `handler(session, *inputs)`, which returns the values of `outputs`; None: there was nothing to do.

        Returns what `.then` can be called on, unless `everywhere`.

        An error becomes a message in the strip; it stands there until a handler of the same `cause` (by default this
        one) works. `refused(session)` then gives the values of `outputs`, as they are in force; by default they stay as
        they are. `everywhere`: all that the tabs restore is shown anew as well.
        """
        bound = _Bound(handler, [*inputs], [*outputs], cause or handler.__qualname__, refused, everywhere)
        if everywhere:
            self._bind_last.append(lambda: self._bind(triggers, bound, options))
            return None
        return self._bind(triggers, bound, options)

    def bind_last(self) -> None:
        """Bind what shows everything anew, and the pulse; to be called once all tabs have said what they restore."""
        for bind in self._bind_last:
            bind()
        self._bind_watched()

    def _bind(self, triggers: Any, bound: _Bound, options: dict[str, Any]) -> Any:
        shown = [*bound.outputs, *(self.restored_outputs if bound.everywhere else ())]

        def guarded(session_id: str | None, *values: Any) -> list[Any]:
            session = self.workspace.session(session_id)
            with session.handling():
                found = bound.carry_out(session, values)
                # After an error too: what was taken before it, such as a file whose columns have to be named, is shown.
                found += self.render(session) if bound.everywhere else []
                return [*found, str(session.asked_for), *self.state(session)]

        return gr.on(
            triggers,
            guarded,
            [self.session_id, *bound.inputs],
            [*shown, self.seen, *self.fixed],
            api_visibility="private",
            **{"show_progress": "minimal", "concurrency_limit": 8, **options},
        )

    @property
    def fixed(self) -> list[Any]:
        """What every event shows anew; `state` gives the values."""
        return [self.address, self.header, self.strip, self.pulse]

    def state(self, session: Session, busy: bool | None = None) -> list[Any]:
        """Address, header, messages and pulse as they are now.

        The pulse begins while a job of the session or a handler runs, or did (`busy`) when what is shown was made: so
        one beat more follows its end, and puts right what an older one showed. It ends where a beat finds that all is
        calm, as long as the page asked for nothing since.
        """
        stand = strip_view(messages(self.workspace, session))
        busy = self.workspace.busy(session) if busy is None else busy
        pulse = gr.Timer(active=True) if busy else gr.skip()
        return [address_view(session), header_view(self.workspace, session), stand, pulse]

    def watch(self, handler: Callable[..., Sequence[Any]], inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """While something runs: `handler(session, *inputs)` at each beat, without a word where it fails."""
        self._watched.append((handler, [*inputs], [*outputs]))

    def _bind_watched(self) -> None:
        """All that is watched in one request a beat."""
        inputs = [each for _, given, _ in self._watched for each in given]
        outputs = [each for *_, shown in self._watched for each in shown]

        def beat(session_id: str | None, *values: Any) -> list[Any]:
            session, rest = self.workspace.session(session_id), list(values)
            asked_for = session.asked_for
            busy = self.workspace.busy(session)  # what ends after this may be missing here: one more beat follows
            found: list[Any] = []
            for handler, given, shown in self._watched:
                own, rest = rest[: len(given)], rest[len(given) :]
                made, _ = attempt(handler, session, *own)
                found += [gr.skip() for _ in shown] if made is None else [*made]
            busy = busy or self.workspace.busy(session)
            calm = gr.skip() if busy else f"{asked_for} {time.monotonic()}"
            return [*found, calm, *self.state(session, busy)]

        given, quiet = [self.calm, self.seen], {"api_visibility": "private", "queue": False}
        rests = self.calm.change(None, given, [self.pulse], js=_REST, **quiet)
        rests.then(None, js=_SETTLED, **quiet).then(None, given, [self.pulse], js=_GO_ON, **quiet)
        self.pulse.tick(
            beat,
            [self.session_id, *inputs],
            [*outputs, self.calm, *self.fixed],
            api_visibility="private",
            show_progress="hidden",
            queue=False,  # Gradio opens and closes a stream for what is queued; a press in that moment could be lost
        )


def kept_by_page(value: str = "", **options: Any) -> Any:
    """A value that the page itself holds, beside what it shows.

    Answers of the server may reach the page in another order than they were made. A `gr.State` is the server's and
    would say what was made last; this says what was shown last.
    """
    return gr.Textbox(value, visible="hidden", container=False, **options)


def create_page(workspace: Workspace) -> Page:
    """Header and message strip; to be called at the top of a `gr.Blocks`."""
    session_id, arrival = kept_by_page(), kept_by_page()
    address = gr.HTML(elem_id="address", js_on_load=FOLLOW)
    header = gr.HTML(elem_id="header", js_on_load=_HOLD + AMENDS + SCRIPT + PICTURE + THERE)
    strip = gr.HTML(elem_id="messages", js_on_load=_DISMISS)
    pulse, tabs = gr.Timer(PULSE_SECONDS, active=False), gr.Tabs(elem_id="tabs")
    seen, calm = kept_by_page("0"), kept_by_page(elem_id="calm")
    page = Page(workspace, session_id, arrival, address, header, strip, pulse, seen, calm, tabs)

    def dismiss_all(session: Session) -> list[Any]:
        dismiss(session)
        return []

    page.on(strip.click, dismiss_all, show_progress="hidden")
    return page


def attempt(handler: Callable[..., Any], *arguments: Any) -> tuple[Any, str]:
    """What the handler returns and "", or None and the message of what went wrong."""
    try:
        return handler(*arguments), ""
    except Cancelled:  # by whoever asked for it
        return None, ""
    except DBSAError as error:
        return None, str(error)
    except Exception as error:
        return None, unexpected(error, f"handling {getattr(handler, '__name__', 'an event')}")


def strip_view(said: Sequence[str]) -> str:
    """The strip with what went wrong and is not mended yet; "" for nothing."""
    if not said:
        return ""
    dismissed = '<button class="dbsa-dismiss">Dismiss</button>'
    return f'<div class="dbsa-strip">{"".join(map(message_view, said))}{dismissed}</div>'
