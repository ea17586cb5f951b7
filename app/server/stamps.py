"""What an answer used, in words.

Knows nothing about screens.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields

from app.server.answered import Answer
from app.words import count, out_of
from dbsa_core.settings import FULL_WINDOW, QuerySettings

_NAMES = {
    "retriever": "blocks by",
    "row_retriever": "similar rows by",
    "embedder": "vectors by",
    "votes": "votes of",
    "vote_weight": "weight of votes",
    "order": "blocks in order",
    "decode": "decoding",
    "seed": "seed",
}


def stamp(answer: Answer) -> tuple[tuple[str, str], ...]:
    """Names and values of all that the answer used: data, model, method, blocks, settings; and when it was asked."""
    setup, method = answer.setup, answer.prediction.method
    facts = [
        ("Asked", answer.asked.isoformat(sep=" ", timespec="seconds")),
        ("Data", f"{answer.name}, {count(len(answer.base.task.pool), 'row')}"),
        ("Model", setup.task.model.name),
        ("Method", method),
    ]
    if answer.taught:
        facts.append(("Taught", count(len(answer.taught), "row")))
    if setup.encoded is not None:
        pattern = setup.plan.pattern
        sees = f"each sees {count(pattern.previous_blocks, 'block')} before it"
        sees += " and the shared first one" if pattern.sink_blocks else ""
        if pattern.previous_blocks >= FULL_WINDOW:
            sees = "each sees all blocks before it"
        blocks = out_of(len(setup.encoded.blocks), setup.encoded.blocks_planned, "block")
        rows = f"{len(setup.encoded.rows):,} rows in {blocks} of {pattern.demonstrations_per_block:,}"
        facts.append(("Pool", f"{rows}; {sees}"))
    facts.append(("Settings", ", ".join(setting_words(name, answer.settings) for name in in_order(answer.uses))))
    return tuple(facts)


def in_order(names: Collection[str]) -> list[str]:
    """Names of query settings as they stand in `QuerySettings`."""
    return [field.name for field in fields(QuerySettings) if field.name in names]


def setting_words(name: str, settings: QuerySettings) -> str:
    """ "ratio 0.3", "8 similar rows"."""
    value = value_words(name, settings)
    if name == "fresh_demonstrations":
        return count(settings.fresh_demonstrations, "similar row")
    return f"{_NAMES.get(name, name)} {value}"


def value_words(name: str, settings: QuerySettings) -> str:
    """ "0.3", "bm25"."""
    value = getattr(settings, name)
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")
