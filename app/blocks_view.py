"""The blocks and similar examples that a query read, as HTML, with the words that they share with it marked.

Pure functions of core values; knows nothing about Gradio. Every piece of user text goes through `html.escape`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from dbsa_core.data import Demonstration
from dbsa_core.methods.base import Setup
from dbsa_core.prediction import Prediction
from dbsa_core.retrieve import Retriever
from dbsa_core.retrieve.tokens import fold, spans

Weights = Mapping[str, float]
"""Folded words that the query and a text share, and the score that each brings."""

_LEGEND = (
    '<p class="dbsa-muted">Marked words occur in the query; the rarer in the pool, the stronger: '
    '<mark class="dbsa-m1">common</mark> <mark class="dbsa-m2">rarer</mark> <mark class="dbsa-m3">rare</mark></p>'
)


def blocks_html(setup: Setup, prediction: Prediction, *, retriever_name: str, seed: int, best: int = 3) -> str:
    """The chosen blocks in the order of the context, each with its `best` matching demonstrations on top."""
    selection = prediction.selection
    if selection is None:
        return view("blocks", muted("This method reads no blocks."))
    retriever = setup.block_retriever(retriever_name, seed)
    weights = {block: _weights(retriever, prediction.query, block) for block in selection.block_ids}
    strongest = _strongest(weights.values())
    shares = _shares(prediction)
    parts = [
        _block(setup, prediction, block, weights[block], strongest, shares.get(f"block {block}"), best)
        for block in selection.block_ids
    ]
    total = len(setup.blocks)
    head = muted(f"{len(parts):,} of {total:,} blocks, in the order in which the model reads them.")
    if selection.dropped:
        numbers = ", ".join(str(block + 1) for block in selection.dropped)
        head += muted(f"Chosen but left out, because the model's positions do not hold them: {numbers}.")
    legend = _LEGEND if strongest else muted("No word of these blocks was matched with the query's.")
    return view("blocks", head, legend, *parts)


def fresh_html(setup: Setup, prediction: Prediction) -> str:
    """The demonstrations that were encoded with the query, the nearest first."""
    rows = prediction.demonstration_rows[::-1]
    if not rows:
        return view("fresh", muted("No similar examples were added to this query."))
    weights = {row: _weights(setup.task.row_index, prediction.query, row) for row in rows}
    strongest = _strongest(weights.values())
    encoded = set(setup.rows)
    shares = _shares(prediction)
    items = []
    for number, row in enumerate(rows, start=1):
        where = "its block was not read" if row in encoded else "not in the encoded blocks"
        # Spans are numbered as they stand before the query, the nearest last.
        share = shares.get(f"similar example {len(rows) + 1 - number}")
        extra = f'<span class="dbsa-muted">{where}{_attention(share)}</span>'
        items.append(_item(setup, prediction, row, _strengths(weights[row], strongest), extra))
    head = muted(f"{len(rows):,} added right before the query and encoded with it, the nearest first.")
    return view("fresh", head, _LEGEND if strongest else "", f'<ol class="dbsa-demos">{"".join(items)}</ol>')


def view(name: str, *parts: str) -> str:
    """A whole view of that name; `parts` are HTML."""
    return f'<div class="dbsa dbsa-{name}">{"".join(parts)}</div>'


def muted(text: str) -> str:
    """A paragraph of plain text beside the main thing."""
    return f'<p class="dbsa-muted">{escape(text)}</p>'


def _shares(prediction: Prediction) -> dict[str, float]:
    """Attention by span, as its mean over layers and heads."""
    if prediction.attention is None:
        return {}
    mean = prediction.attention.mass.mean(axis=(0, 1))
    return dict(zip(prediction.attention.spans, map(float, mean), strict=True))


def _attention(share: float | None) -> str:
    return "" if share is None else f" · attention {100 * share:.1f} %"


def _weights(retriever: Retriever, query: str, document: int) -> Weights:
    return {fold(word): weight for word, weight in retriever.matched_words(query, document).items()}


def _strongest(weights: Iterable[Weights]) -> float:
    return max((weight for found in weights for weight in found.values()), default=0.0)


def _strengths(weights: Weights, strongest: float) -> dict[str, int]:
    """1, 2 or 3 for each word: in which third of the strongest weight its own lies."""
    return {word: min(3, 1 + int(3 * weight / strongest)) for word, weight in weights.items() if weight > 0}


def _block(
    setup: Setup,
    prediction: Prediction,
    block_id: int,
    weights: Weights,
    strongest: float,
    share: float | None,
    best: int,
) -> str:
    assert prediction.selection is not None
    rows = setup.blocks[block_id].rows
    demonstrations = setup.task.pool.demonstrations
    match = {row: _match(demonstrations[row], weights) for row in rows}
    ranked = sorted(rows, key=lambda row: -match[row])
    strengths = _strengths(weights, strongest)
    items = [_item(setup, prediction, row, strengths) for row in ranked]
    rest = ""
    if others := "".join(items[best:]):
        number = len(items) - best
        summary = f"{number:,} more demonstration{'s' if number > 1 else ''}"
        rest = f'<details><summary>{summary}</summary><ul class="dbsa-demos">{others}</ul></details>'
    score = prediction.selection.scores.get(block_id, 0.0)
    return (
        f'<section class="dbsa-block"><div class="dbsa-blockhead"><strong>Block {block_id + 1}</strong>'
        f"{_first_tag(setup, block_id)}"
        f'<span class="dbsa-muted">score {score:.2f}{_attention(share)}</span></div>'
        f'<ul class="dbsa-demos">{"".join(items[:best])}</ul>{rest}</section>'
    )


def _first_tag(setup: Setup, block_id: int) -> str:
    pattern = setup.encoded_pool().pattern
    if block_id < pattern.sink_blocks:
        return '<span class="dbsa-tag dbsa-sink">Shared first block (sink)</span>'
    if block_id < pattern.required_blocks:
        return '<span class="dbsa-tag dbsa-sink">First block, always read</span>'
    return ""


def _match(demonstration: Demonstration, weights: Weights) -> float:
    found = {word for part in (demonstration.text, demonstration.label) for _, _, word in spans(part)}
    return sum(weights.get(word, 0.0) for word in found)


def _item(setup: Setup, prediction: Prediction, row: int, strengths: Mapping[str, int], extra: str = "") -> str:
    demonstration = setup.task.pool.demonstrations[row]
    same = '<span class="dbsa-tag dbsa-out">same text as the query</span>' if row in prediction.equal_rows else ""
    return (
        f'<li><div class="dbsa-text">{_marked(demonstration.text, strengths)}</div><div class="dbsa-meta">'
        f'<span class="dbsa-chip">{_marked(demonstration.label, strengths)}</span>'
        f'<span class="dbsa-muted">row {demonstration.row:,}</span>{same}{extra}</div></li>'
    )


def _marked(text: str, strengths: Mapping[str, int]) -> str:
    """The text, escaped, with its matching words in `mark`."""
    parts, at = [], 0
    for start, end, word in spans(text):
        if strength := strengths.get(word):
            parts += [escape(text[at:start]), f'<mark class="dbsa-m{strength}">{escape(text[start:end])}</mark>']
            at = end
    return "".join([*parts, escape(text[at:])])
