"""The Ask tab: one query, its label beside Retrieval ICL's, what was read for it and where the model looked.

Knows nothing about how blocks are encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from app.ask.linked import LOAD
from app.server.asking import ask_again, classify_text, stop_query
from app.server.comparing import choose, compare_with, give_up, measure
from app.server.encoding import drop_part, use_part
from app.server.example import QUERIES
from app.server.keeping import last_kept
from app.server.session import Session
from app.server.teaching import teach
from app.server.troubles import QUERY, SETTINGS
from app.server.workspace import Workspace
from app.tabs.address import HERE, run_of
from app.tabs.answer import milestone, notice_of, render_views, shown_now
from app.tabs.away import Away
from app.tabs.behaviour import BEHAVIOUR, MOMENT, TYPED, stamped
from app.tabs.kept import take_saved
from app.tabs.offer import use_data
from app.tabs.page import Page, kept_by_page
from app.tabs.what_if import Trying

MAX_QUERY_CHARACTERS = 20_000
OWN = "Type your own"
_CLEAR = "() => { document.querySelector('#query textarea').focus(); return ''; }"
_FOCUS = "(...given) => { document.querySelector('#query textarea').focus(); return given; }"
# While a query runs, the old answer says which text it is for. A beat ends what Gradio itself would show there, and
# shows the query's place in the queue while it waits. Gradio carries out one thing that a press does after the other:
# what the server did here would keep the query waiting.
_ASKING = "() => { document.body.dataset.asking = ''; return {__type__: 'update', active: true}; }"
_ANSWERED = "() => { delete document.body.dataset.asking; }"
# Gradio measures a text when it comes, and finds no height where the tab is closed then.
_GROW = """
window.addEventListener('dbsa-tab', () => setTimeout(() => {
  document.querySelector('#query textarea')?.dispatchEvent(new Event('input'));
}));
"""
_COMPARED = """(session, ...given) => {
  const chosen = [...document.querySelectorAll('#answer .dbsa-choose input[name=method]:checked')];
  const alone = document.querySelector('#compare-alone').checked;
  return [session, chosen.map(one => one.value).join(' '), alone ? 'yes' : ''];
}"""


def create_ask_tab(page: Page) -> None:
    workspace = page.workspace
    notice = gr.HTML(elem_id="notice", js_on_load=BEHAVIOUR + _GROW)
    with gr.Row(elem_id="ask-row"):
        query = gr.Textbox(
            label="Text to classify",
            show_label=False,
            container=False,
            placeholder="Type or paste a text; Enter classifies it",
            lines=1,
            max_lines=6,
            max_length=MAX_QUERY_CHARACTERS,
            scale=8,
            elem_id="query",
            submit_btn=False,
        )
        run = gr.Button("Classify", variant="primary", scale=0, min_width=130, elem_id="classify")
    with gr.Row(elem_classes="dbsa-chips") as offered:
        chips = [gr.Button(text, size="sm", min_width=60) for text in QUERIES[1:]]
        own = gr.Button(OWN, size="sm", min_width=60)
    shown = gr.HTML(elem_id="answer", js_on_load=BEHAVIOUR + LOAD)
    trying = Trying(workspace)
    below = gr.HTML(elem_id="read", js_on_load=BEHAVIOUR + LOAD)
    with gr.Accordion("Details", open=False, elem_id="details") as details:
        phases = gr.HTML(elem_id="latency")
        mask = gr.HTML(elem_id="whole-mask", js_on_load=LOAD)
    away = Away(page)
    trying.create_history()
    seen = kept_by_page()
    moment, right, of = kept_by_page(), kept_by_page(), kept_by_page()
    views = [notice, shown, below, phases, mask, details]

    def render(session: Session) -> list[Any]:
        now = milestone(workspace, session)  # before the rest: what changes meanwhile is shown at the next beat
        return [*_shown(workspace, session, trying, away), now]

    def classify(session: Session, moment: str, text: str) -> Sequence[Any]:
        classify_text(workspace, session, text or "", asked=float(moment))
        session.look_at("")
        return render(session)

    def again(session: Session, moment: str) -> Sequence[Any]:
        answer = session.answer
        return classify(session, moment, answer.prediction.query if answer is not None else "")

    def correct(session: Session, moment: str, label: str, text: str) -> Sequence[Any]:
        teach(workspace, session, text, label)
        return classify(session, moment, text)

    def stop(session: Session, moment: str) -> Sequence[Any]:
        stop_query(workspace, session, float(moment))
        return []

    def turn(session: Session, run: str) -> Sequence[Any]:
        """To another run, or for "" to the session's own last answer."""
        session.look_at(run)
        return [_query(workspace, session), *render(session)]

    def open_last(session: Session) -> Sequence[Any]:
        last = last_kept(workspace)
        take_saved(workspace, session, last.name if last is not None else None)
        return []

    def choose_part(which: Callable[[Workspace, Session], None]) -> Callable[[Session], Sequence[Any]]:
        def chosen(session: Session) -> Sequence[Any]:
            which(workspace, session)
            return [*render_views(workspace, session), milestone(workspace, session)]

        return chosen

    def unfold(session: Session) -> Sequence[Any]:
        # What was shown before they were unfolded may not have reached them.
        _, _, _, table, picture, _ = render_views(workspace, session)
        return [table, picture]

    def watch(session: Session, seen: str) -> Sequence[Any]:
        """What is under way; and the answer, whenever it or its comparison is another.

        Not while something that was pressed is being done: that brings its own, which may reach the page before this.
        """
        ask_again(workspace, session)
        if session.handled or milestone(workspace, session) == seen:
            return [notice_of(workspace, session), *[gr.skip() for _ in answered[1:]]]
        return render(session)

    answered = [*views, *trying.outputs, *away.outputs, seen]

    def ask(
        triggers: Any, handler: Callable[..., Sequence[Any]], inputs: list[Any], *, js: str = "", **options: Any
    ) -> None:
        gr.on(triggers, None, None, page.pulse, js=_ASKING, queue=False, api_visibility="private")
        options = {"cause": QUERY, "show_progress": "hidden", "js": stamped(js) if js else MOMENT, **options}
        asked = page.on(triggers, handler, [moment, *inputs], answered, **options)
        asked.then(None, js=_ANSWERED, api_visibility="private")

    ask([run.click, query.submit, notice.retry], classify, [query])
    ask(shown.retry, again, [])
    ask(shown.submit, correct, [right, of], js=TYPED)
    page.on(shown.stop, stop, [moment], js=MOMENT, show_progress="hidden")
    trying.bind(page, ask, classify)
    _bind_comparison(page, shown, views)
    for chip in chips:
        # In the box at once, whatever the answer waits for.
        chip.click(None, None, query, js=f"() => {chip.value!r}", api_visibility="private")
        ask(chip.click, classify, [chip])
    own.click(None, None, query, js=_CLEAR, api_visibility="private")
    page.on(notice.select, open_last, everywhere=True, cause=SETTINGS, show_progress="hidden")
    page.on(notice.upload, lambda _: [gr.Tabs(selected="data")], [], [page.tabs], show_progress="hidden")
    for pressed, which in ((notice.apply, use_data), (notice.edit, use_part), (notice.clear, drop_part)):
        page.on(pressed, choose_part(which), [], [*views, seen], cause=SETTINGS)
    turned = {"outputs": [query, *answered], "show_progress": "hidden", "queue": False}
    page.on(notice.undo, lambda session: turn(session, ""), js=_FOCUS, **turned)
    page.on(page.address.click, lambda session, query: turn(session, run_of(query)), [page.arrival], js=HERE, **turned)
    page.on(details.expand, unfold, [], [phases, mask])
    page.watch(watch, [seen], answered)
    page.restore([offered, query, *answered], lambda session: _restored(workspace, session, trying, away))


def _bind_comparison(page: Page, shown: gr.HTML, views: list[Any]) -> None:
    """What is pressed in the columns that an answer is compared in."""
    names, alone = kept_by_page(), kept_by_page()

    def bind(pressed: Any, act: Callable[..., Any], inputs: Sequence[Any] = (), **options: Any) -> None:
        def acted(session: Session, *given: Any) -> Sequence[Any]:
            act(session, *given)
            return render_views(page.workspace, session)

        page.on(pressed, acted, inputs, views, show_progress="hidden", **options)

    bind(shown.clear, lambda session: give_up(page.workspace, session), cause="compare")
    bind(shown.pause, lambda session: page.workspace.stop(session, "measure"), cause="measure")
    bind(shown.select, lambda session: compare_with(page.workspace, session), cause=QUERY)
    bind(shown.play, lambda session: measure(page.workspace, session), cause=QUERY)

    def choose_methods(session: Session, names: str, alone: str) -> None:
        choose(page.workspace, session, names.split(), bool(alone))

    bind(shown.option_select, choose_methods, [names, alone], js=_COMPARED, cause="choose_methods")


def _restored(workspace: Workspace, session: Session, trying: Trying, away: Away) -> list[Any]:
    example = workspace.example is not None and session.data is workspace.example.data
    now = milestone(workspace, session)
    shown = _shown(workspace, session, trying, away)
    return [gr.Row(visible=example), _query(workspace, session), *shown, now]


def _shown(workspace: Workspace, session: Session, trying: Trying, away: Away) -> list[Any]:
    shown = shown_now(workspace, session)
    return [*render_views(workspace, session), *trying.render(session, shown), *away.render(shown)]


def _query(workspace: Workspace, session: Session) -> Any:
    """The text of the answer that is shown."""
    answer = shown_now(workspace, session)
    return answer.query if answer is not None else gr.skip()
