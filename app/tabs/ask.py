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
    tab = AskTab(page)
    tab.bind_queries()
    tab.bind_notice()
    tab.bind_views()


class AskTab:
    """Its components, and what becomes of what is asked and pressed."""

    def __init__(self, page: Page):
        self._page, self._workspace = page, page.workspace
        self._notice = gr.HTML(elem_id="notice", js_on_load=BEHAVIOUR + _GROW)
        self._create_query()
        self._shown = gr.HTML(elem_id="answer", js_on_load=BEHAVIOUR + LOAD)
        self._trying = Trying(page.workspace)
        below = gr.HTML(elem_id="read", js_on_load=BEHAVIOUR + LOAD)
        with gr.Accordion("Details", open=False, elem_id="details") as self._details:
            self._unfolded = [gr.HTML(elem_id="latency"), gr.HTML(elem_id="whole-mask", js_on_load=LOAD)]
        self._away = Away(page)
        self._trying.create_history()
        self._seen, self._moment = kept_by_page(), kept_by_page()
        self._views = [self._notice, self._shown, below, *self._unfolded, self._details]
        self._answered = [*self._views, *self._trying.outputs, *self._away.outputs, self._seen]
        """All that `render` gives values for."""

    def _create_query(self) -> None:
        with gr.Row(elem_id="ask-row"):
            self._query = gr.Textbox(
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
            self._run = gr.Button("Classify", variant="primary", scale=0, min_width=130, elem_id="classify")
        with gr.Row(elem_classes="dbsa-chips") as self._offered:
            self._chips = [gr.Button(text, size="sm", min_width=60) for text in QUERIES[1:]]
            self._own = gr.Button(OWN, size="sm", min_width=60)

    def bind_queries(self) -> None:
        right, of = kept_by_page(), kept_by_page()
        self._ask([self._run.click, self._query.submit, self._notice.retry], self.classify, [self._query])
        self._ask(self._shown.retry, self.again, [])
        self._ask(self._shown.submit, self.correct, [right, of], js=TYPED)
        self._page.on(self._shown.stop, self.stop, [self._moment], js=MOMENT, show_progress="hidden")
        self._trying.bind(self._page, self._ask, self.classify)
        for chip in self._chips:
            # In the box at once, whatever the answer waits for.
            chip.click(None, None, self._query, js=f"() => {chip.value!r}", api_visibility="private")
            self._ask(chip.click, self.classify, [chip])
        self._own.click(None, None, self._query, js=_CLEAR, api_visibility="private")

    def _ask(
        self, triggers: Any, handler: Callable[..., Sequence[Any]], inputs: list[Any], *, js: str = "", **options: Any
    ) -> None:
        """Bind what asks a query; `handler` is told when it was asked."""
        gr.on(triggers, None, None, self._page.pulse, js=_ASKING, queue=False, api_visibility="private")
        options = {"cause": QUERY, "show_progress": "hidden", "js": stamped(js) if js else MOMENT, **options}
        asked = self._page.on(triggers, handler, [self._moment, *inputs], self._answered, **options)
        asked.then(None, js=_ANSWERED, api_visibility="private")

    def bind_notice(self) -> None:
        page, notice = self._page, self._notice
        page.on(notice.select, self.open_last, everywhere=True, cause=SETTINGS, show_progress="hidden")
        page.on(notice.upload, lambda _: [gr.Tabs(selected="data")], [], [page.tabs], show_progress="hidden")
        for pressed, which in ((notice.apply, use_data), (notice.edit, use_part), (notice.clear, drop_part)):
            page.on(pressed, self._choosing(which), [], [*self._views, self._seen], cause=SETTINGS)

    def bind_views(self) -> None:
        page = self._page
        _bind_comparison(page, self._shown, self._views)
        turned = {"outputs": [self._query, *self._answered], "show_progress": "hidden", "queue": False}
        page.on(self._notice.undo, lambda session: self.turn(session, ""), js=_FOCUS, **turned)
        page.on(page.address.click, self.follow, [page.arrival], js=HERE, **turned)
        page.on(self._details.expand, self.unfold, [], self._unfolded)
        page.watch(self.watch, [self._seen], self._answered)
        page.restore([self._offered, self._query, *self._answered], self.restored)

    def render(self, session: Session) -> list[Any]:
        now = milestone(self._workspace, session)  # before the rest: what changes meanwhile is shown at the next beat
        shown = shown_now(self._workspace, session)
        views = render_views(self._workspace, session)
        return [*views, *self._trying.render(session, shown), *self._away.render(shown), now]

    def restored(self, session: Session) -> list[Any]:
        example = self._workspace.example is not None and session.data is self._workspace.example.data
        return [gr.Row(visible=example), *self.with_query(session)]

    def with_query(self, session: Session) -> list[Any]:
        """The text of the answer that is shown, and all of it."""
        answer = shown_now(self._workspace, session)
        return [answer.query if answer is not None else gr.skip(), *self.render(session)]

    def classify(self, session: Session, moment: str, text: str) -> Sequence[Any]:
        classify_text(self._workspace, session, text or "", asked=float(moment))
        session.look_at("")
        return self.render(session)

    def again(self, session: Session, moment: str) -> Sequence[Any]:
        answer = session.answer
        return self.classify(session, moment, answer.prediction.query if answer is not None else "")

    def correct(self, session: Session, moment: str, label: str, text: str) -> Sequence[Any]:
        teach(self._workspace, session, text, label)
        return self.classify(session, moment, text)

    def stop(self, session: Session, moment: str) -> Sequence[Any]:
        stop_query(self._workspace, session, float(moment))
        return []

    def turn(self, session: Session, run: str) -> Sequence[Any]:
        """To another run, or for "" to the session's own last answer."""
        session.look_at(run)
        return self.with_query(session)

    def follow(self, session: Session, address: str) -> Sequence[Any]:
        """To the run that the address names."""
        return self.turn(session, run_of(address))

    def open_last(self, session: Session) -> Sequence[Any]:
        last = last_kept(self._workspace)
        take_saved(self._workspace, session, last.name if last is not None else None)
        return []

    def _choosing(self, which: Callable[[Workspace, Session], None]) -> Callable[[Session], Sequence[Any]]:
        def chosen(session: Session) -> Sequence[Any]:
            which(self._workspace, session)
            return [*render_views(self._workspace, session), milestone(self._workspace, session)]

        return chosen

    def unfold(self, session: Session) -> Sequence[Any]:
        # What was shown before they were unfolded may not have reached them.
        _, _, _, table, picture, _ = render_views(self._workspace, session)
        return [table, picture]

    def watch(self, session: Session, seen: str) -> Sequence[Any]:
        """What is under way; and the answer, whenever it or its comparison is another.

        Not while something that was pressed is being done: that brings its own, which may reach the page before this.
        """
        ask_again(self._workspace, session)
        if session.handled or milestone(self._workspace, session) == seen:
            return [notice_of(self._workspace, session), *[gr.skip() for _ in self._answered[1:]]]
        return self.render(session)


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
