"""Of the attention by token what is shown: the parts of the context with the most, token by token, and what each of
them saw of those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from app.ask.shown import Before, ShownTokens
from app.ask.spans import is_block, keys_of, number_of
from app.words import count
from dbsa_core.prediction import QueryAttention

if TYPE_CHECKING:
    from dbsa_core.setup import Setup

MOST_TOKENS = 8_000
"""Shown of one answer: whole blocks and similar rows, those with the most attention."""


def tokens_of(attention: QueryAttention | None, setup: Setup, most: int = MOST_TOKENS) -> dict[str, ShownTokens]:
    """By the part's key; none of the query."""
    if attention is None or not attention.by_token:
        return {}
    keys, shares, found = keys_of(attention.spans), attention.by_token, {}
    for span in sorted(range(len(shares)), key=lambda span: -shares[span].sum()):
        if keys[span] == "query" or len(shares[span]) > most:
            continue
        most -= len(shares[span])
        texts = setup.task.token_texts.of(_ids(attention, setup, span))
        found[keys[span]] = ShownTokens(texts, shares[span].astype(np.float32), _before(attention, setup, span))
    return found


def reach_words(windows: Sequence[int | None]) -> str:
    """Of layers with a window of their own, in a sentence; "" where there are none."""
    own = [window for window in windows if window is not None]
    if not own:
        return ""
    least, most = min(own), max(own)
    far = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    where = "each layer" if len(own) == len(windows) else f"{len(own)} of the {len(windows)} layers"
    return f"In {where} a token sees nothing that stands {far} positions or more before it."


def _ids(attention: QueryAttention, setup: Setup, span: int) -> Sequence[int]:
    if (block := _block(attention, span)) is not None:
        return setup.blocks[block].token_ids
    (row,) = attention.rows[span]
    return setup.row_ids(row)


def _block(attention: QueryAttention, span: int) -> int | None:
    """Its id, from 0."""
    name = attention.spans[span]
    return number_of(name) if is_block(name) else None


def _before(attention: QueryAttention, setup: Setup, span: int) -> tuple[Before, ...]:
    """What its tokens saw of other parts: a block while it was encoded, a similar row while it was read."""
    if (block := _block(attention, span)) is not None:
        sinks, (*near, _) = setup.plan.pattern.runs(block)
        runs: list[tuple[str, Sequence[int]]] = [("sink", sinks), ("previous", near)]
        return tuple(
            Before(kind, _named(run), sum(len(setup.blocks[other]) for other in run)) for kind, run in runs if run
        )
    blocks = sum(_block(attention, other) is not None for other in range(span))
    named = [count(blocks, "block")] if blocks else []
    named += [count(span - blocks, "similar row")] if span > blocks else []
    tokens = sum(map(len, attention.by_token[:span]))
    return (Before("previous", " and ".join(named), tokens),) if named else ()


def _named(run: Sequence[int]) -> str:
    """Blocks that follow one another, by ids from 0, as numbers from 1."""
    first, last = run[0] + 1, run[-1] + 1
    if first == last:
        return f"block {first:,}"
    return f"blocks {first:,} {'and' if last == first + 1 else 'to'} {last:,}"
