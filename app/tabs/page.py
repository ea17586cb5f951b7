"""What every tab shares: the session of a page, how handlers are bound and guarded, the header and the message strip.

Knows nothing about any one tab.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.server.encoding import pool_state
from app.server.jobs import Job, unexpected
from app.server.session import Session
from app.server.workspace import EMBEDDED, Workspace
from app.views import message_view
from app.words import count
from dbsa_core.errors import DBSAError
from dbsa_core.model.embedded import EMBEDDED_NAME
from dbsa_core.stage1.progress import Progress

if TYPE_CHECKING:
    from dbsa_core import LanguageModel

PULSE_SECONDS = 0.8
_DISMISS = """
element.addEventListener('click', event => { if (event.target.closest('.dbsa-dismiss')) trigger('click'); });
"""

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
#messages:not(:has(.dbsa-strip)), #model-note:not(:has(p)), #ratio-note:not(:has(p)), #notice:not(:has(.dbsa-notice)) {
  display: none; }
.gradio-container .html-container { padding: 0; }
.dbsa table.dbsa-table, .dbsa table.dbsa-table tr { border: 0; }
table.dbsa-table.dbsa-rows { width: 100%; }
table.dbsa-table.dbsa-rows td, table.dbsa-table.dbsa-rows thead th { text-align: left; }
table.dbsa-table.dbsa-rows td { min-width: 7rem; max-width: 40rem; }
@media (max-width: 760px) {
  .dbsa-header { gap: 0 0.8rem; }
  .dbsa-header .dbsa-opt { display: none; }
}
"""


@dataclass
class Page:
    """The shared parts of one page. A tab binds its handlers by `on`, and names what a reload restores by `restore`."""

    workspace: Workspace
    session_id: gr.BrowserState
    header: gr.HTML
    strip: gr.HTML
    pulse: gr.Timer
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
        handler: Callable[..., Sequence[Any]],
        inputs: Sequence[Any] = (),
        outputs: Sequence[Any] = (),
        *,
        everywhere: bool = False,
        **options: Any,
    ) -> Any:
        """Bind `handler(session, *inputs)`, which returns the values of `outputs`; for `.then`, unless `everywhere`.

        `everywhere`: all that the tabs restore is shown anew as well. An error becomes a message in the strip.
        """
        if everywhere:
            self._bind_last.append(lambda: self._bind(triggers, handler, inputs, outputs, everywhere, options))
        else:
            return self._bind(triggers, handler, inputs, outputs, everywhere, options)
        return None

    def bind_last(self) -> None:
        """Bind what shows everything anew, and the pulse; to be called once all tabs have said what they restore."""
        for bind in self._bind_last:
            bind()
        self._bind_watched()

    def _bind(
        self,
        triggers: Any,
        handler: Callable[..., Sequence[Any]],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        everywhere: bool,
        options: dict[str, Any],
    ) -> Any:
        shown = [*outputs, *(self.restored_outputs if everywhere else ())]

        def guarded(session_id: str | None, *values: Any) -> list[Any]:
            session = self.workspace.session(session_id)
            with session.handling():
                found, message = attempt(handler, session, *values)
                # After an error too: what was taken before it, such as a file whose columns have to be named, is shown.
                found = [*([gr.skip() for _ in outputs] if found is None else found)]
                found += self.render(session) if everywhere else []
                return [*found, header_view(self.workspace, session), strip_view(message), self.beat(session)]

        return gr.on(
            triggers,
            guarded,
            [self.session_id, *inputs],
            [*shown, self.header, self.strip, self.pulse],
            api_visibility="private",
            **{"show_progress": "minimal", "concurrency_limit": 8, **options},
        )

    def watch(self, handler: Callable[..., Sequence[Any]], inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """While something runs: `handler(session, *inputs)` at each beat, without a word where it fails."""
        self._watched.append((handler, [*inputs], [*outputs]))

    def _bind_watched(self) -> None:
        """All that is watched in one request a beat."""
        inputs = [each for _, given, _ in self._watched for each in given]
        outputs = [each for *_, shown in self._watched for each in shown]

        def beat(session_id: str | None, *values: Any) -> list[Any]:
            session, rest = self.workspace.session(session_id), list(values)
            found: list[Any] = []
            for handler, given, shown in self._watched:
                own, rest = rest[: len(given)], rest[len(given) :]
                made, _ = attempt(handler, session, *own)
                found += [gr.skip() for _ in shown] if made is None else [*made]
            return [*found, header_view(self.workspace, session), self.beat(session)]

        self.pulse.tick(
            beat,
            [self.session_id, *inputs],
            [*outputs, self.header, self.pulse],
            api_visibility="private",
            show_progress="hidden",
            queue=False,  # Gradio opens and closes a stream for what is queued; a press in that moment could be lost
        )

    def beat(self, session: Session) -> Any:
        """The pulse runs while a job of the session or a handler does, and then once more.

        What a beat made before the answer may reach the page after it; the next one puts that right.
        """
        return gr.Timer(active=self.workspace.busy(session))


def kept_by_page(value: str = "") -> Any:
    """A value that the page itself holds, beside what it shows.

    Answers of the server may reach the page in another order than they were made. A `gr.State` is the server's and
    would say what was made last; this says what was shown last.
    """
    return gr.Textbox(value, visible="hidden", container=False)


def create_page(workspace: Workspace) -> Page:
    """Header and message strip; to be called at the top of a `gr.Blocks`."""
    # The value is a random id, so its encryption in the browser protects nothing; the fixed secret survives a restart.
    session_id = gr.BrowserState(None, storage_key="dbsa-session", secret="dbsa-session-id")
    header = gr.HTML(elem_id="header")
    strip = gr.HTML(elem_id="messages", js_on_load=_DISMISS)
    page = Page(workspace, session_id, header, strip, gr.Timer(PULSE_SECONDS, active=False), gr.Tabs(elem_id="tabs"))
    strip.click(lambda: "", None, strip, api_visibility="private", show_progress="hidden", queue=False)
    return page


def attempt(handler: Callable[..., Any], *arguments: Any) -> tuple[Any, str]:
    """What the handler returns and "", or None and the message of what went wrong."""
    try:
        return handler(*arguments), ""
    except DBSAError as error:
        return None, str(error)
    except Exception as error:
        return None, unexpected(error, f"handling {getattr(handler, '__name__', 'an event')}")


def strip_view(message: str, kind: str = "error") -> str:
    """The message strip; it stays until it is dismissed, or something else works."""
    if not message:
        return ""
    dismiss = '<button class="dbsa-dismiss">Dismiss</button>'
    return f'<div class="dbsa-strip">{message_view(message, kind)}{dismiss}</div>'


# --- the header -------------------------------------------------------------------------------------------------------


def header_view(workspace: Workspace, session: Session) -> str:
    """Model, data and what is encoded of them, in one line."""
    data = session.data
    named = [f'<span class="dbsa-opt">{escape(_model(workspace, session))}</span>']
    if data is None:
        named.append("<span>no data yet</span>")
    else:
        rows = f"<b>{count(len(data.pool), 'row')}</b>"
        named.append(f"<span>{escape(data.name)}, {rows}</span>")
    state, words = state_words(workspace, session)
    named.append(f'<span class="dbsa-state"><i class="dbsa-dot dbsa-{state}"></i>{escape(words)}</span>')
    model = workspace.loaded(session.model_source)
    named += [f'<span class="dbsa-opt">{escape(fact)}</span>' for fact in (_facts(model) if model else ())]
    return f'<div class="dbsa dbsa-header"><h1>DBSA</h1>{"".join(named)}</div>'


def _facts(model: LanguageModel) -> list[str]:
    """Of a model's device: a GPU that lies idle, and what a warm-up took."""
    from dbsa_core.devices import unused_gpu
    from dbsa_core.stage2.steps import steps_of

    told = steps_of(model).warm_up
    return [fact for fact in (unused_gpu(), told and f"Warm-up, once: {told}") if fact]


def _model(workspace: Workspace, session: Session) -> str:
    """ "SmolLM2-135M, CPU"."""
    model = workspace.loaded(session.model_source)
    if model is not None:
        return f"{model.name}, {str(model.device).upper()}"
    name = EMBEDDED_NAME if session.model_source == EMBEDDED else session.model_source
    job = workspace.example.job if workspace.example else None
    if job is not None and job.state == "failed" and session.model_source == workspace.default_model:
        return f"{name} could not be loaded"
    return f"{name}, loading"


def state_words(workspace: Workspace, session: Session) -> tuple[str, str]:
    """A word for the style sheet, and what is encoded in words: "143 encoded, ready"."""
    state = pool_state(workspace, session)
    if state.job is not None and state.active:
        return "busy", encoding_place(workspace, session, state.job)
    if state.encoded is None or state.of_other_data:
        return "none", "nothing encoded"
    pool = state.encoded.pool
    rows = f"{len(pool.rows):,} encoded"
    if state.kind == "changed":
        return "stale", f"{rows}, changed since"
    if state.kind == "partial":
        return "stale", f"{rows}, {len(pool.blocks):,} of {count(pool.blocks_planned, 'block')}"
    return "ready", f"{rows}, ready"


def encoding_place(workspace: Workspace, session: Session, job: Job) -> str:
    """Where an encoding that is not at its end stands: "block 8 of 29"."""
    progress = job.progress
    if isinstance(progress, Progress):
        return f"block {progress.blocks_done:,} of {progress.blocks_total:,}"
    if workspace.loaded(session.model_source) is None:
        return "the model is being loaded"
    ahead = workspace.jobs.ahead(job)
    return f"waiting for {count(ahead, 'other job')}" if ahead else "encoding begins"
