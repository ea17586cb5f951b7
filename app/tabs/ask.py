"""The Ask tab: one query, its label, what was read for it and where the model looked, and Retrieval ICL beside it.

Knows nothing about how blocks are encoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from app.plots import attention_figure, latency_figure, mask_figure, mask_words
from app.server.example import QUERIES
from app.server.session import Answer, Session
from app.server.workspace import Workspace
from app.tabs.page import Page, encode_job
from app.views import blocks_html, comparison_note, duration, fresh_html, latency_table, prediction_card
from dbsa_core import Prediction

TITLES = {"dbsa": "DBSA", "dbsa_fresh": "DBSA + similar examples", "retrieval_icl": "Retrieval ICL"}
MEAN = 0
MAX_QUERY_CHARACTERS = 20_000


def create_ask_tab(page: Page) -> None:
    workspace = page.workspace
    with gr.Row(equal_height=True):
        query = gr.Textbox(
            label="Text to classify (Enter runs)",
            placeholder="Type or paste a text",
            lines=1,
            max_lines=6,
            max_length=MAX_QUERY_CHARACTERS,
            scale=8,
            elem_id="query",
            submit_btn=False,
        )
        run = gr.Button("Classify", variant="primary", scale=1, min_width=120, elem_id="classify")
    with gr.Row(elem_classes="dbsa-try") as offered:
        tries = [gr.Button(text, size="sm", min_width=200) for text in QUERIES]
    reads = gr.HTML(elem_id="reads")
    with gr.Column(visible=False, elem_id="answer") as results:
        with gr.Row():
            with gr.Column(min_width=300):
                card = gr.HTML(elem_id="dbsa-answer")
            with gr.Column(min_width=300):
                compared = gr.HTML(elem_id="comparison")
                compare = gr.Button("Run comparison", visible=False, elem_id="compare")
        with gr.Row():
            with gr.Column(min_width=300):
                gr.Markdown("### Where the time went")
                latency = gr.HTML(elem_id="latency")
            latency_plot = gr.Plot(show_label=False, elem_id="latency-plot", min_width=300)
        with gr.Row():
            with gr.Column(min_width=300):
                mask = gr.Plot(show_label=False, elem_id="mask")
                words = gr.HTML(elem_id="mask-words")
            with gr.Column(min_width=300):
                attention = gr.Plot(show_label=False, elem_id="attention")
                layer = gr.Dropdown([("Mean of all layers", MEAN)], value=MEAN, label="Layer", elem_id="layer")
        with gr.Row():
            with gr.Column(min_width=300):
                gr.Markdown("### Blocks read for this query")
                blocks = gr.HTML(elem_id="blocks")
            with gr.Column(min_width=300):
                gr.Markdown("### Similar examples added")
                fresh = gr.HTML(elem_id="similar")
    seen = gr.State("")
    answer = [results, card, mask, words, attention, layer, blocks, fresh]
    comparison = [compared, compare, latency, latency_plot]
    page.restore([offered, reads], lambda session: [_offered(workspace, session), reads_view(workspace, session)])

    def ask(session: Session, text: str) -> Sequence[Any]:
        found = workspace.ask(session, text or "")
        return [*render_answer(found), *render_comparison(workspace, session)]

    def attempt_example(session: Session, text: str) -> Sequence[Any]:
        return [text, *ask(session, text)]

    def choose_layer(session: Session, layer: int) -> Sequence[Any]:
        attention = session.answer.prediction.attention if session.answer else None
        return [attention_figure(attention, layer=layer - 1 if layer else None) if attention else gr.skip()]

    def begin(session: Session) -> Sequence[Any]:
        workspace.compare(session)
        return render_comparison(workspace, session)

    def watch(session: Session, seen: str) -> Sequence[Any]:
        """What queries read now, and the comparison whenever its state is another."""
        job = workspace.job(session, "compare")
        now = f"{job.id}:{job.state}" if job is not None else ""
        shown = [gr.skip() for _ in comparison] if now == seen else render_comparison(workspace, session)
        return [reads_view(workspace, session), *shown, now]

    page.on([run.click, query.submit], ask, [query], [*answer, *comparison], show_progress_on=[card, query])
    for button in tries:
        page.on(button.click, attempt_example, [button], [query, *answer, *comparison], show_progress_on=[card, query])
    page.on(layer.input, choose_layer, [layer], [attention], show_progress="hidden")
    page.on(compare.click, begin, [], comparison)
    page.watch(watch, [seen], [reads, *comparison, seen])
    page.restore([query, *answer, *comparison], lambda session: _restored(workspace, session))


def _restored(workspace: Workspace, session: Session) -> list[Any]:
    if session.answer is None:
        return [gr.skip(), gr.Column(visible=False), *[gr.skip() for _ in range(11)]]
    shown = render_answer(session.answer)
    return [session.answer.prediction.query, *shown, *render_comparison(workspace, session)]


def _offered(workspace: Workspace, session: Session) -> Any:
    """Queries to try, where the bundled example is what queries read."""
    return gr.Row(visible=workspace.example is not None and session.data is workspace.example.data)


def reads_view(workspace: Workspace, session: Session) -> str:
    """What a query reads now, or what it waits for."""
    encoded = workspace.current(session)
    if encoded is None:
        job = encode_job(workspace, session)
        if job is not None and job.active:
            loading = workspace.loaded(session.model_source) is None
            what = "The model is being loaded" if loading else "The first blocks are being encoded"
            return _line(f"{what}; a query waits for that and runs by itself.")
        return _line("Nothing is encoded yet: press Encode on the Encode tab.")
    pool, name = encoded.pool, encoded.data.name
    done = f"{len(pool.blocks):,}" if pool.complete else f"{len(pool.blocks):,} of {pool.blocks_planned:,}"
    text = f"Queries read from {done} blocks of {name}, {len(pool.rows):,} examples."
    if reasons := workspace.stale_reasons(session):
        text += f" That is not what is set now; changed since: {'; '.join(reasons)}. Encode anew to use it."
    return _line(text)


def _line(text: str) -> str:
    return f'<p class="dbsa dbsa-muted">{escape(text)}</p>'


def render_answer(answer: Answer) -> list[Any]:
    """Everything about DBSA's own answer."""
    prediction, setup, settings = answer.prediction, answer.setup, answer.settings
    pool = setup.encoded_pool()
    chosen = prediction.selection.block_ids if prediction.selection else ()
    layers = prediction.attention.mass.shape[0] if prediction.attention else 0
    choices = [("Mean of all layers", MEAN), *((f"Layer {number}", number) for number in range(1, layers + 1))]
    return [
        gr.Column(visible=True),
        prediction_card(prediction, title=TITLES[prediction.method]),
        mask_figure(pool.pattern, len(pool.blocks), chosen),
        _line(mask_words(pool.pattern, len(pool.blocks))),
        attention_figure(prediction.attention) if prediction.attention else None,
        gr.Dropdown(choices=choices, value=MEAN),
        blocks_html(setup, prediction, retriever_name=settings.retriever, seed=settings.seed),
        fresh_html(setup, prediction),
    ]


def render_comparison(workspace: Workspace, session: Session) -> list[Any]:
    """Retrieval ICL's answer, its progress or its price; and the latencies of what has run."""
    answer, job = session.answer, workspace.job(session, "compare")
    if answer is None:
        return [gr.skip() for _ in range(4)]
    predictions, titles = [answer.prediction], [TITLES[answer.prediction.method]]
    button = gr.Button(visible=False)
    if job is not None and job.state == "done" and isinstance(job.result, Prediction):
        compared = prediction_card(job.result, title=TITLES["retrieval_icl"])
        predictions.append(job.result)
        titles.append(TITLES["retrieval_icl"])
    elif job is not None and job.active:
        ahead = workspace.jobs.ahead(job)
        doing = f"waits for {ahead} other job{'s' if ahead > 1 else ''}" if ahead else "is running"
        compared = _comparing(f"Retrieval ICL {doing}, about {duration(answer.compare_seconds)}.")
    else:
        failed = f"Retrieval ICL failed: {job.message}" if job is not None and job.state == "failed" else ""
        compared = _comparing(failed) + comparison_note(answer.compare_seconds)
        button = gr.Button(value=f"Run comparison (about {duration(answer.compare_seconds)})", visible=True)
    return [compared, button, latency_table(predictions, titles), latency_figure(predictions, titles)]


def _comparing(text: str) -> str:
    head = f'<div class="dbsa-cardhead"><span class="dbsa-title">{TITLES["retrieval_icl"]}</span></div>'
    return f'<div class="dbsa dbsa-card">{head}{_line(text) if text else ""}</div>'
