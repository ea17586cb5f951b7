"""The Ask tab: one query, its label beside Retrieval ICL's, what was read for it and where the model looked.

Knows nothing about how blocks are encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from app.ask.cards import Comparing, answer_view, notice_view, phases_view
from app.ask.from_prediction import shown_answer
from app.ask.lists import below_view
from app.ask.recorded import Recorded
from app.ask.shown import ShownAnswer
from app.plots import attention_figure, mask_figure
from app.server.asking import ask_again, classify_text, compare_with, may_compare, ready
from app.server.encoding import PoolState, drop_part, pool_state, use_part
from app.server.example import QUERIES
from app.server.session import Encoded, Session
from app.server.stamps import outdated, stamp
from app.server.troubles import QUERY, SETTINGS
from app.server.workspace import LANES, Workspace
from app.tabs.header import encoding_place
from app.tabs.offer import KEEP_OLD, changed_words, continue_words, stopped_words, use_data, use_part_words, use_words
from app.tabs.page import Page, kept_by_page
from app.words import count, duration, out_of
from dbsa_core.prediction import Prediction

MEAN = 0
MAX_QUERY_CHARACTERS = 20_000
OWN = "Type your own"
_CLEAR = "() => { document.querySelector('#query textarea').focus(); return ''; }"
# While a query runs, the old answer says which text it is for. A beat ends what Gradio itself would show there.
_ASKING = "() => { document.body.dataset.asking = ''; }"
_ANSWERED = "() => { delete document.body.dataset.asking; }"
# A view's button names the event that its press triggers; on a narrow screen all but the answer is folded.
_BEHAVIOUR = """
element.addEventListener('click', event => {
  const pressed = event.target.closest('[data-event]');
  if (pressed) trigger(pressed.dataset.event);
});
const fold = () => element.querySelectorAll('details[data-wide]').forEach(one => { one.open = innerWidth > 760; });
fold();
watch('value', fold);
"""


def create_ask_tab(page: Page) -> None:
    workspace = page.workspace
    notice = gr.HTML(elem_id="notice", js_on_load=_BEHAVIOUR)
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
    shown = gr.HTML(elem_id="answer", js_on_load=_BEHAVIOUR)
    below = gr.HTML(elem_id="read", js_on_load=_BEHAVIOUR)
    with gr.Accordion("Details", open=False, elem_id="details") as details:
        phases = gr.HTML(elem_id="latency")
        with gr.Row():
            with gr.Column(min_width=300):
                mask = gr.Plot(show_label=False, elem_id="mask-plot")
            with gr.Column(min_width=300):
                layer = gr.Dropdown([("Mean of all layers", MEAN)], value=MEAN, label="Layer", elem_id="layer")
                attention = gr.Plot(show_label=False, elem_id="attention-plot")
    seen, unfolded = kept_by_page(), gr.State(False)
    views = [notice, shown, below, phases, details]
    pictures = [mask, attention, layer]

    def classify(session: Session, text: str, unfolded: bool) -> Sequence[Any]:
        classify_text(workspace, session, text or "")
        return [*render_views(workspace, session), *render_pictures(session, unfolded), milestone(workspace, session)]

    def again(session: Session, unfolded: bool) -> Sequence[Any]:
        answer = session.answer
        return classify(session, answer.prediction.query if answer is not None else "", unfolded)

    def stop(session: Session) -> Sequence[Any]:
        workspace.stop(session, "query")
        return []

    def stop_comparison(session: Session) -> Sequence[Any]:
        workspace.stop(session, "compare")
        return render_views(workspace, session)

    def begin(session: Session) -> Sequence[Any]:
        compare_with(workspace, session)
        return render_views(workspace, session)

    def choose(which: Callable[[Workspace, Session], None]) -> Callable[[Session], Sequence[Any]]:
        def chosen(session: Session) -> Sequence[Any]:
            which(workspace, session)
            return [*render_views(workspace, session), milestone(workspace, session)]

        return chosen

    def unfold(session: Session) -> Sequence[Any]:
        # What was shown before they were unfolded may not have reached them.
        _, _, _, table, _ = render_views(workspace, session)
        return [table, *render_pictures(session, True), True]

    def choose_layer(session: Session, layer: int) -> Sequence[Any]:
        found = current_answer(session)
        if found is None or found.attention is None:
            return [gr.skip()]
        return [attention_figure(found.attention, layer=layer - 1 if layer else None)]

    def watch(session: Session, seen: str, unfolded: bool) -> Sequence[Any]:
        """What is under way; and the answer, whenever it or its comparison is another."""
        ask_again(workspace, session)
        now = milestone(workspace, session)
        if now == seen:
            return [notice_of(workspace, session), *[gr.skip() for _ in (*views[1:], *pictures)], now]
        return [*render_views(workspace, session), *render_pictures(session, unfolded), now]

    answered = [*views, *pictures, seen]

    def ask(triggers: Any, handler: Callable[..., Sequence[Any]], inputs: list[Any]) -> None:
        # The pulse too: the query's place in the queue is shown while it waits.
        gr.on(
            triggers,
            lambda: gr.Timer(active=True),
            None,
            page.pulse,
            js=_ASKING,
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
        asked = page.on(triggers, handler, inputs, answered, cause=QUERY, show_progress="hidden")
        asked.then(None, js=_ANSWERED, api_visibility="private")

    ask([run.click, query.submit, notice.retry], classify, [query, unfolded])
    ask(shown.retry, again, [unfolded])
    page.on(shown.stop, stop, show_progress="hidden")
    page.on(shown.clear, stop_comparison, [], views, show_progress="hidden")
    for chip in chips:
        # In the box at once, whatever the answer waits for.
        chip.click(None, None, query, js=f"() => {chip.value!r}", api_visibility="private")
        ask(chip.click, classify, [chip, unfolded])
    own.click(None, None, query, js=_CLEAR, api_visibility="private")
    page.on(notice.upload, lambda _: [gr.Tabs(selected="data")], [], [page.tabs], show_progress="hidden")
    for pressed, which in ((notice.apply, use_data), (notice.edit, use_part), (notice.undo, drop_part)):
        page.on(pressed, choose(which), [], [*views, seen], cause=SETTINGS)
    page.on(shown.select, begin, [], views, show_progress="hidden")
    page.on(details.expand, unfold, [], [phases, *pictures, unfolded])
    details.collapse(lambda: False, None, unfolded, api_visibility="private", queue=False)
    page.on(layer.input, choose_layer, [layer], [attention], show_progress="hidden")
    page.watch(watch, [seen, unfolded], answered)
    page.restore([offered, query, *answered], lambda session: _restored(workspace, session))


def _restored(workspace: Workspace, session: Session) -> list[Any]:
    example = workspace.example is not None and session.data is workspace.example.data
    answer = current_answer(session) or recorded_answer(workspace, session)
    query = answer.query if answer is not None else gr.skip()
    views, pictures = render_views(workspace, session), [None, None, gr.skip()]
    return [gr.Row(visible=example), query, *views, *pictures, milestone(workspace, session)]


# --- what is shown ----------------------------------------------------------------------------------------------------


def current_answer(session: Session, compared: Prediction | None = None) -> ShownAnswer | None:
    """The session's last answer as it is shown, beside what it is compared with."""
    found = session.answer
    if found is None:
        return None
    return shown_answer(found.prediction, found.setup, found.settings, found.name, compared, stamp(found))


def recorded_answer(workspace: Workspace, session: Session) -> ShownAnswer | None:
    """The bundled example's, until there is one of this machine."""
    found = _recorded(workspace, session)
    return None if found is None else found.answer


def _recorded(workspace: Workspace, session: Session) -> Recorded | None:
    example = workspace.example
    if example is None or session.answer is not None or session.data is not example.data:
        return None
    found: Recorded | None = example.recorded
    return found


def render_views(workspace: Workspace, session: Session) -> list[Any]:
    """Notice, answer, what stands below it, the phases, and whether there are details."""
    compared, comparing = _compared(workspace, session)
    answer = current_answer(session, compared) or recorded_answer(workspace, session)
    notice = notice_of(workspace, session)
    if answer is None:
        return [notice, _EMPTY, "", "", gr.Accordion(visible=False)]
    old, details = outdated(workspace, session), gr.Accordion(visible=session.answer is not None)
    return [notice, answer_view(answer, comparing, old), below_view(answer, old), phases_view(answer, old), details]


_EMPTY = '<p class="dbsa dbsa-muted">Ask something: the answer comes here.</p>'


def _compared(workspace: Workspace, session: Session) -> tuple[Prediction | None, Comparing | None]:
    """Retrieval ICL's answer to the session's last query; or where that stands, and its price."""
    answer = session.answer
    if answer is None:
        return None, None
    job, price = workspace.job(session, "compare"), f"about {duration(answer.compare_seconds)}"
    if job is not None and job.state == "done" and isinstance(job.result, Prediction):
        return job.result, None
    if not may_compare(workspace, session):
        return None, Comparing("The comparison comes when the pool is encoded.")
    if job is not None and job.active:
        waits = workspace.jobs.ahead(job) or len(workspace.jobs.active(LANES["encode"]))
        doing = f"waits for {count(waits, 'other job')}" if waits else "is re-reading its examples"
        return None, Comparing(f"Retrieval ICL {doing}, {price}.", "Stop comparison", "clear")
    failed = f"Retrieval ICL failed: {job.message} " if job is not None and job.state == "failed" else ""
    return None, Comparing(f"{failed}Retrieval ICL takes {price}.", "Run comparison")


def render_pictures(session: Session, unfolded: bool) -> list[Any]:
    """The mask and the attention by layer in full, where they are looked at, and the layers to choose from."""
    answer = current_answer(session) if unfolded else None
    if answer is None:
        return [None, None, gr.skip()]
    pool, attention = answer.pool, answer.attention
    mask = mask_figure(pool.pattern, pool.planned, answer.read)
    if attention is None:
        return [mask, None, gr.Dropdown(visible=False)]
    layers = range(1, attention.mass.shape[0] + 1)
    choices = [("Mean of all layers", MEAN), *((f"Layer {number}", number) for number in layers)]
    return [mask, attention_figure(attention), gr.Dropdown(choices=choices, value=MEAN, visible=True)]


def milestone(workspace: Workspace, session: Session) -> str:
    """Changes whenever the answer, its comparison, whether something is being encoded, or what is in force does."""
    jobs = (workspace.job(session, "compare"), workspace.encoding(session))
    states = [f"{job.id}:{job.state}" for job in jobs if job is not None]
    answer = session.answer.id if session.answer is not None else ""
    return " ".join([answer, *states, outdated(workspace, session)])


# --- what is under way ------------------------------------------------------------------------------------------------


def notice_of(workspace: Workspace, session: Session) -> str:
    """What the answer is and is not, and what can be done about it; "" where there is nothing to say."""
    asked = workspace.job(session, "query")
    if asked is not None and (ahead := workspace.jobs.ahead(asked)):
        return notice_view(f"Your query waits for {count(ahead, 'other query', 'other queries')}.")
    job = workspace.being_encoded(session)
    doing = encoding_place(workspace, session, job) if job is not None else ""
    state = pool_state(workspace, session)
    if state.part is None and (found := _recorded(workspace, session)) is not None:
        text = f", measured on {found.machine}, {found.date}. "
        text += "Your machine's times replace it when you press Classify."
        # Between loading and the first block it is not known yet whether anything has to be encoded.
        told = job is not None and (job.progress is not None or workspace.loaded(session.model_source) is None)
        text += f" Now: {doing}." if told else ""
        return notice_view(
            text, ("retry", "Classify it here"), ("upload", "Use your own file"), strong="Recorded example"
        )
    provisional = session.answer is not None and session.answer.provisional
    pool = ready(workspace, session)
    if doing:
        if pool is not None:
            return notice_view(f"Encoding: {doing}. The pool before it answers until then.")
        if provisional:
            rows = count(len(session.answer.prediction.demonstration_rows), "similar row")
            return notice_view(f"Read {rows}; {doing} encoded. It is asked again when the pool is ready.")
        return notice_view(f"Encoding: {doing}. Until the pool is ready, the most similar rows alone answer.")
    going_on = [("apply", continue_words(state))] if state.left else []
    if state.part is not None:
        text = _stopped_after(state.part, state)
        choice = ("edit", use_part_words(state)), ("undo", KEEP_OLD)
        return notice_view(text, *going_on, *choice, strong=_STOPPED)
    if pool is None:
        return _nothing_encoded(workspace, session)
    if state.kind == "changed":
        return notice_view(changed_words(state), ("apply", use_words(workspace, session)))
    if state.kind == "partial":
        return notice_view(_stopped_after(pool, state), *going_on, strong=_STOPPED)
    return ""


_STOPPED = "Encoding was stopped"


def _stopped_after(encoded: Encoded, state: PoolState) -> str:
    pool = encoded.pool
    return f" after {out_of(len(pool.blocks), pool.blocks_planned, 'block')}. {stopped_words(state)}"


def _nothing_encoded(workspace: Workspace, session: Session) -> str:
    if session.data is None:
        return notice_view("There are no data yet.", ("upload", "Choose a file"))
    text = ": the most similar rows alone answer."
    if session.evicted:
        text = ": the pool was dropped to make room for others. The most similar rows alone answer."
    return notice_view(text, ("apply", use_words(workspace, session)), strong="Nothing is encoded")
