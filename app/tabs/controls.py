"""The controls of the Encode tab: what they are, when what stands in them is taken, and the settings that they mean.

Knows nothing about encoding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from app.ask.what_if import ORDER_NAMES
from app.server.session import Session
from app.server.workspace import Workspace
from dbsa_core.classifiers import VOTES
from dbsa_core.errors import DBSAError, SettingsError
from dbsa_core.prompt import PromptTemplate
from dbsa_core.retrieve import RETRIEVERS
from dbsa_core.retrieve.embedder import check_installed
from dbsa_core.settings import ORDERS, EncodeSettings, QuerySettings

_RETRIEVER_NAMES = {
    "bm25": "BM25, words in common",
    "bm25-stem": "BM25, English word stems",
    "dense": "Dense, by meaning",
    "hybrid": "Hybrid, by words and meaning",
    "random": "Random",
}
_VOTE_NAMES = {
    "none": "None",
    "words": "Of words (TF-IDF)",
    "vectors": "Of meaning (sentence vectors)",
    "words+vectors": "Of words and of meaning",
}
_WAYS = {"": "", "mmr": ", unlike each other (MMR)", "labels": ", of many labels"}
_POSITION_NAMES = [
    ("Sequential (the paper)", "sequential"),
    ("Local (the pool may exceed the model's context)", "local"),
]
_PRECISION_NAMES = [
    ("As the model makes them", "model"),
    ("As int8 (less memory)", "int8"),
]
MIN_TOKENS = 256


def budget_slider(workspace: Workspace, session: Session) -> list[Any]:
    """The slider of pool tokens; as it is where its range is not known yet."""
    found = budget_range(workspace, session)
    if found is None:
        return [gr.skip()]
    least, most, value = found
    return [gr.Slider(minimum=least, maximum=most, value=value)]


def budget_range(workspace: Workspace, session: Session) -> tuple[int, int, int] | None:
    """From 256 pool tokens to what can be encoded at all, and what is chosen, by default what the plan encodes. None
    while the model is being loaded, or where nothing can be planned."""
    if workspace.loaded(session.model_source) is None:
        return None
    from dbsa_core.planning import most_tokens

    try:
        task = workspace.task(session)
        most = most_tokens(task, session.settings).tokens
        value = session.settings.pool_tokens or workspace.plan(session).tokens
    except DBSAError:
        return None
    least = min(MIN_TOKENS, most)
    return least, max(most, least + 1), min(max(value, least), most)


def within(sliders: Mapping[int, str]) -> str:
    """For `js`: of the inputs at these places, each a slider's, the number within its range; of an empty one that which
    it held before. Gradio would refuse what is only half typed."""
    one = """(place, given) => {
      const field = document.querySelector(place + ' input[type=number]');
      const number = 'emptied' in field.dataset ? Number(field.dataset.held) : given;
      return Math.min(Math.max(number, Number(field.min)), Number(field.max));
    }"""
    # The first input is the session's id.
    set_each = "".join(f"given[{at + 1}] = within('{place}', given[{at + 1}]);" for at, place in sliders.items())
    return f"(...given) => {{ const within = {one}; {set_each} return given; }}"


def taken(controls: Sequence[Any]) -> list[Any]:
    """When what stands in a control is taken: a choice at once, what is typed once it is left or Enter is pressed."""
    typed = [control for control in controls if isinstance(control, (gr.Number, gr.Textbox))]
    chosen = [control for control in controls if control not in typed]
    return [
        *(control.input for control in chosen),
        *(event for control in typed for event in (control.blur, control.submit)),
    ]


def block_controls() -> tuple[Any, Any, Any]:
    with gr.Row():
        size = gr.Number(
            None,
            label="Block size (examples per block)",
            placeholder="automatic",
            precision=0,
            min_width=140,
            elem_id="block-size",
        )
        window = gr.Number(
            2,
            label="Window (previous blocks each block sees)",
            precision=0,
            min_width=140,
            elem_id="window",
        )
    info = "Every block sees the first one, and every query reads it."
    sink = gr.Checkbox(True, label="Shared first block (sink)", info=info, elem_id="sink")
    return size, window, sink


def further_controls() -> list[Any]:
    template = PromptTemplate()
    retrievers = [(retriever_name(name), name) for name in RETRIEVERS]
    with gr.Accordion("Further settings", open=False):
        return [
            gr.Dropdown(retrievers, value="bm25", label="Retriever of blocks (ranks them for a query)"),
            gr.Dropdown(
                retrievers,
                value="bm25",
                label="Retriever of similar rows (and of Retrieval ICL)",
                elem_id="row-retriever",
            ),
            gr.Dropdown(
                [(_VOTE_NAMES[name], name) for name in VOTES],
                value="none",
                label="Votes beside the model (of a classifier trained on the rows)",
                elem_id="votes",
            ),
            gr.Number(1, label="Weight of the votes (1: as much as the model)", minimum=0, elem_id="vote-weight"),
            gr.Dropdown(
                [(ORDER_NAMES[name], name) for name in ORDERS], value="pool", label="Order of the blocks that are read"
            ),
            gr.Dropdown(
                _POSITION_NAMES,
                value="sequential",
                label="Positions of the blocks' tokens",
            ),
            gr.Dropdown(
                [("Leave them out", "exclude"), ("Cut them", "truncate")],
                value="exclude",
                label="Rows too long for a block",
            ),
            gr.Dropdown(
                _PRECISION_NAMES, value="model", label="How keys and values are kept", elem_id="pool-precision"
            ),
            gr.Number(42, label="Seed (draws and shuffles the rows)", precision=0),
            gr.Textbox(template.text_prefix, label="Word before a text", max_lines=1, max_length=60),
            gr.Textbox(template.label_prefix, label="Word before a label", max_lines=1, max_length=60),
        ]


def retriever_name(name: str) -> str:
    """What people call it."""
    base, _, way = name.partition("+")
    return f"{_RETRIEVER_NAMES.get(base, base)}{_WAYS.get(way, f', {way}')}"


def apply_controls(
    session: Session,
    size: float | None,
    window: float | None,
    sink: bool,
    ratio: float,
    fresh: float,
    retriever: str,
    row_retriever: str,
    votes: str,
    vote_weight: float | None,
    order: Any,
    positions: Any,
    long_rows: Any,
    pool_precision: Any,
    seed: float | None,
    text_prefix: str,
    label_prefix: str,
) -> None:
    """Make the controls' values the session's settings; all of them, or none where one is not accepted."""
    settings = EncodeSettings(
        pool_tokens=session.settings.pool_tokens,
        block_size=None if size is None else int(size),
        window=_whole("Window", window),
        sink_blocks=int(bool(sink)),
        positions=positions,
        seed=_whole("Seed", seed),
        long_rows=long_rows,
        pool_precision=pool_precision,
    )
    query = QuerySettings(
        ratio=float(ratio),
        fresh_demonstrations=int(fresh),
        retriever=retriever,
        row_retriever=row_retriever,
        votes=votes,
        vote_weight=_weight(vote_weight),
        embedder=session.query_settings.embedder,
        order=order,
        seed=settings.seed,
    )
    if "embedder" in query.of_retrieval(blocks=True, rows=True) | query.of_votes:
        check_installed()
    template = PromptTemplate(text_prefix.strip(), label_prefix.strip())
    session.settings, session.query_settings, session.template = settings, query, template


def _weight(value: float | None) -> float:
    if value is None:
        raise SettingsError("The weight of the votes is empty; give a number, 1 for as much as the model, 0 for none.")
    return float(value)


def _whole(name: str, value: float | None) -> int:
    if value is None:
        raise SettingsError(f"{name} is empty; give a whole number, 0 or more.")
    return int(value)
