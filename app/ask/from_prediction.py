"""From a prediction and the setup that it read to what the Ask page shows of them.

Knows nothing about HTML. Words are marked by what the retriever says of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from app.ask.by_row import NOT_APART, ByRow, apart_by_row
from app.ask.by_token import reach_words, tokens_of
from app.ask.shown import Pieces, ShownAnswer, ShownAttention, ShownLabel, ShownMethod, ShownPart, ShownPool, ShownRow
from app.ask.spans import keys_of, similar_key
from app.words import between, count, ordinal
from dbsa_core.data import Demonstration
from dbsa_core.prediction import Prediction, QueryAttention
from dbsa_core.retrieve import Retriever
from dbsa_core.retrieve.tokens import fold, spans
from dbsa_core.settings import QuerySettings

if TYPE_CHECKING:
    from dbsa_core.setup import Setup

TOP = 5
FREQUENT, FREQUENT_ROWS = 1 / 8, 10
"""A word tells nothing, and is not marked, that stands in a greater share of the file's rows and in more of them."""
Weights = Mapping[str, float]
"""Folded words that the query and a text share, and the score that each brings."""


def shown_answer(
    prediction: Prediction,
    setup: Setup,
    settings: QuerySettings,
    name: str,
    compared: Sequence[ShownMethod] = (),
    stamp: tuple[tuple[str, str], ...] = (),
) -> ShownAnswer:
    """Everything about one answer; `name` is that of the data, `compared` what other methods answered, and `stamp`
    what the answer used, in words."""
    apart = apart_by_row(prediction.attention)
    reach = reach_words(setup.task.model.windows)
    selection, attention = prediction.selection, _attention(prediction.attention, apart, reach)
    shares = attention.shares if attention is not None else {}
    parts = [*_blocks(setup, prediction, settings, shares, apart), *_similar(setup, prediction, settings, shares)]
    tokens = tokens_of(prediction.attention, setup)
    parts = [replace(part, tokens=tokens.get(part.key)) for part in parts]
    if attention is not None:
        parts.sort(key=lambda part: -(part.share or 0))
    return ShownAnswer(
        query=prediction.query,
        pool=shown_pool(setup, name),
        method=shown_method(prediction, setup, settings),
        read=selection.block_ids if selection else (),
        parts=tuple(parts),
        attention=attention,
        compared=tuple(compared),
        stamp=stamp,
    )


def shown_pool(setup: Setup, name: str) -> ShownPool:
    """What is encoded; before anything is, what will be."""
    plan, encoded = setup.plan, setup.encoded
    return ShownPool(
        name=name,
        rows=len(setup.task.pool),
        encoded=len(encoded.rows) if encoded is not None else 0,
        blocks=len(encoded.blocks) if encoded is not None else 0,
        planned=encoded.blocks_planned if encoded is not None else len(plan.blocks),
        block_size=plan.pattern.demonstrations_per_block,
        sinks=plan.pattern.sink_blocks,
        window=plan.pattern.previous_blocks,
        density=plan.density,
        seconds=encoded.seconds if encoded is not None else 0.0,
    )


def shown_method(
    prediction: Prediction, setup: Setup, settings: QuerySettings, fit_seconds: float = 0.0
) -> ShownMethod:
    """A method's answer, and the seconds before its first one."""
    from dbsa_core.methods import make_method  # with the model, and not before it: it loads PyTorch

    method = make_method(prediction.method, settings)
    scores, rows = prediction.scores, setup.task.pool.demonstrations
    taught = sum(rows[row].taught for row in _read(prediction, setup))
    best = []
    if scores.probabilities is not None and scores.intervals is not None:
        for index in scores.ranked()[:TOP]:
            low, high = map(float, scores.intervals[:, index])
            best.append(ShownLabel(scores.labels[index], float(scores.probabilities[index]), low, high))
    return ShownMethod(
        method=prediction.method,
        title=method.title,
        may_read=method.may_read,
        label=prediction.label,
        labels=len(scores.labels),
        best=tuple(best),
        check=prediction.check,
        equal_rows=tuple(rows[row].row for row in prediction.equal_rows),
        meaning=_meaning(prediction),
        notes=(*([f"Uses {count(taught, 'row')} that you taught."] if taught else []), *prediction.notes),
        seconds={**prediction.phases, "total": prediction.seconds["total"]},
        fit_seconds=fit_seconds,
        context_tokens=prediction.context_tokens,
        rows_anew=len(prediction.demonstration_rows),
        cold=prediction.cold,
        nearest=prediction.nearest_label if prediction.refused else "",
        score=prediction.in_scope_score,
        threshold=prediction.verdict.threshold if prediction.verdict is not None else None,
    )


def _read(prediction: Prediction, setup: Setup) -> Iterator[int]:
    """All rows that were read, encoded before or with the query."""
    if prediction.selection is not None:
        for block in prediction.selection.block_ids:
            yield from setup.blocks[block].rows
    yield from prediction.demonstration_rows


def _meaning(prediction: Prediction) -> str:
    """What the probabilities are, in one line."""
    scores = prediction.scores
    total, left = len(scores.labels), len(scores.unscored)
    if scores.way == "greedy":
        others = f"{left:,} candidate labels were" if left > 1 else "candidate label was"
        parts = [f"The other {others} not scored."] if left else []
    elif scores.way == "classifier":
        parts = [f"The classifier's own, of the {total:,} labels."]
    elif scores.exact:
        parts = [f"Softmax over the {total:,} candidate labels of their exact log-probabilities."]
    else:
        parts = [
            f"Softmax over the {total:,} candidate labels; {left:,} of them were not scored one by one, so that each "
            "probability is known to within 1 point."
        ]
    if scores.votes is not None:
        parts.append("To the model's log-probabilities those of classifiers are added, by their weight.")
    least, most = scores.outside_mass
    if most >= 0.0005 and (least > 0 or scores.way != "greedy"):
        where = "them" if scores.votes is None else "the labels"
        parts.append(f"{between(least, most)} of the model's probability lies outside {where}.")
    return " ".join(parts)


# --- what was read ----------------------------------------------------------------------------------------------------


def _blocks(
    setup: Setup, prediction: Prediction, settings: QuerySettings, shares: Mapping[str, float], apart: ByRow
) -> list[ShownPart]:
    """The chosen blocks in the order of the context."""
    selection = prediction.selection
    if selection is None:
        return []
    retriever = setup.block_retriever(settings)
    weights = {block: _weights(retriever, prediction.query, block) for block in selection.block_ids}
    near = {block: retriever.near_rows(prediction.query, block) for block in selection.block_ids}
    strengths = _strengths(setup, weights)
    pattern, parts = setup.plan.pattern, []
    for block in selection.block_ids:
        score = selection.scores.get(block, 0.0)
        note = f"score {_score_words(score)}"
        if block < pattern.required_blocks:
            note = "shared first block" if block < pattern.sink_blocks else "first block, always read"
        found = weights[block], strengths[block], near[block]
        rows = _rows(setup, prediction, setup.blocks[block].rows, *found, apart)
        key = f"block {block + 1}"
        parts.append(ShownPart(key, key.capitalize(), note, score, shares.get(key), rows))
    return parts


def _similar(
    setup: Setup, prediction: Prediction, settings: QuerySettings, shares: Mapping[str, float]
) -> list[ShownPart]:
    """The demonstrations that were encoded with the query, the nearest first."""
    rows = prediction.demonstration_rows[::-1]
    # Where none are asked for, those that were taught and share words with the query.
    plain = prediction.method == "dbsa"
    retriever = setup.task.row_index if plain else setup.task.row_retriever(settings)
    weights = {row: _weights(retriever, prediction.query, row) for row in rows}
    near = {row: retriever.near_rows(prediction.query, row) for row in rows}
    strengths, encoded = _strengths(setup, weights), set(setup.rows) if setup.encoded is not None else set()
    parts = []
    for number, row in enumerate(rows, start=1):
        note = _place_words(number, "bm25" if plain else settings.row_retriever)
        if row in encoded and prediction.selection is not None:
            note += ", its block was not read"
        shown = _rows(setup, prediction, [row], weights[row], strengths[row], near[row])
        key = similar_key(number)
        parts.append(ShownPart(key, "Similar row", note, None, shares.get(key), shown))
    return parts


def _score_words(score: float) -> str:
    """Scores of one retriever are all of one size, and another's of another."""
    return f"{score:.1f}" if score >= 1 or score == 0 else f"{score:.3f}"


def _place_words(number: int, retriever: str) -> str:
    if retriever == "random":
        return "drawn at random"
    if "+" in retriever:  # what is near may have to wait for what is unlike it
        return f"{ordinal(number)} chosen"
    return "nearest" if number == 1 else f"{ordinal(number)} nearest"


def _attention(attention: QueryAttention | None, apart: ByRow, reach: str) -> ShownAttention | None:
    if attention is None:
        return None
    names, mass = keys_of(attention.spans), attention.mass.astype(np.float32)
    return ShownAttention(names, mass, apart.kept, apart.start, reach)


# --- marked words -----------------------------------------------------------------------------------------------------


def _weights(retriever: Retriever, query: str, document: int) -> Weights:
    return {fold(word): weight for word, weight in retriever.matched_words(query, document).items()}


def _strengths(setup: Setup, weights: Mapping[int, Weights]) -> dict[int, dict[str, int]]:
    """How strongly a document's words are marked: 1, 2 or 3 by which third of the strongest of all a weight lies in. A
    word is left out that is so frequent that it tells nothing."""
    strongest = max((weight for found in weights.values() for weight in found.values()), default=0.0)
    most = max(FREQUENT_ROWS, FREQUENT * len(setup.task.pool))
    words = {word for found in weights.values() for word in found}
    telling = {word for word in words if setup.task.row_index.holders(word) <= most}

    def strengths(found: Weights) -> dict[str, int]:
        kept = ((word, weight) for word, weight in found.items() if weight > 0 and word in telling)
        return {word: min(3, 1 + int(3 * weight / strongest)) for word, weight in kept}

    return {document: strengths(found) for document, found in weights.items()}


def _rows(
    setup: Setup,
    prediction: Prediction,
    rows: Sequence[int],
    weights: Weights,
    strengths: Mapping[str, int],
    near: Mapping[int, float],
    apart: ByRow = NOT_APART,
) -> tuple[ShownRow, ...]:
    """The rows, the nearest or best match first, with words marked by their strengths."""
    demonstrations, equal = setup.task.pool.demonstrations, set(prediction.equal_rows)
    match = {row: _match(demonstrations[row], weights) for row in rows}
    return tuple(
        ShownRow(
            text=_marked(demonstrations[row].text, strengths),
            label=_marked(demonstrations[row].label, strengths),
            number=demonstrations[row].row,
            same=row in equal,
            near=near.get(row),
            share=apart.means.get(row),
            stretch=apart.places.get(row),
        )
        for row in sorted(rows, key=lambda row: (-near.get(row, 0.0), -match[row]))
    )


def _match(demonstration: Demonstration, weights: Weights) -> float:
    found = {word for part in (demonstration.text, demonstration.label) for _, _, word in spans(part)}
    return sum(weights.get(word, 0.0) for word in found)


def _marked(text: str, strengths: Mapping[str, int]) -> Pieces:
    pieces, at = [], 0
    for start, end, word in spans(text):
        if strength := strengths.get(word):
            pieces += [(text[at:start], 0), (text[start:end], strength)]
            at = end
    return tuple(piece for piece in (*pieces, (text[at:], 0)) if piece[0])
