"""What is tried on a labelled file: ways to read it, and which classifiers vote beside.

Knows nothing about answers. Which one is preferred unless a file says otherwise was measured on other files
(`docs/RESULTS.md`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dbsa_core.classifiers import VOTES
from dbsa_core.settings import QuerySettings

DEFAULT = QuerySettings()
Reading = tuple[str, int, float]
"""Retriever, number of similar rows, and ratio."""
_DEFAULT: Reading = (DEFAULT.row_retriever, DEFAULT.fresh_demonstrations, DEFAULT.ratio)
_PAPER: Reading = (DEFAULT.retriever, 0, DEFAULT.ratio)
BY_VECTORS: Sequence[Reading] = (
    ("hybrid", 32, 0.1), _DEFAULT, ("hybrid", 8, 0.3), ("hybrid", 8, 0.1), ("hybrid", 16, 0.1), ("dense", 16, 0.1),
    _PAPER,
)  # fmt: skip
"""Where texts can be made vectors; the first is preferred."""
BY_VECTORS_SLOW: Sequence[Reading] = (
    ("hybrid", 8, 0.3), _DEFAULT, ("hybrid", 8, 0.1), ("dense", 8, 0.1), ("hybrid", 16, 0.1), _PAPER,
)  # fmt: skip
"""The same where each row that is read with a query costs much."""
BY_WORDS: Sequence[Reading] = (_DEFAULT, ("bm25", 8, 0.1), ("bm25", 16, 0.1), ("bm25", 32, 0.1), _PAPER)
"""Where there is no sentence encoder."""


def readings_of(base: QuerySettings, *, vectors: bool, slow: bool) -> list[QuerySettings]:
    """Without votes, all else as in `base`: the one that is preferred first, and the default second, or first too.
    What is decoded is exact, since probabilities are added to votes."""
    base = replace(base, decode="exact", votes="none", vote_weight=1.0)
    tried = (BY_VECTORS_SLOW if slow else BY_VECTORS) if vectors else BY_WORDS
    return [_settings(base, *each) for each in tried]


def _settings(base: QuerySettings, retriever: str, similar: int, ratio: float) -> QuerySettings:
    return replace(base, ratio=ratio, fresh_demonstrations=similar, retriever=retriever, row_retriever=retriever)


def votes_to_try(*, vectors: bool) -> tuple[str, ...]:
    """Of `classifiers.VOTES`; the one that is preferred stands last."""
    return VOTES if vectors else tuple(votes for votes in VOTES if "vectors" not in votes)


def described(settings: QuerySettings) -> str:
    """In words."""
    similar, rows, blocks = settings.fresh_demonstrations, settings.row_retriever, settings.retriever
    read = f"{settings.ratio:.0%} of the blocks"
    if similar and rows != blocks:
        read = f"{similar} similar rows by {rows} and {read} by {blocks}"
    else:
        read = f"{f'{similar} similar rows and ' if similar else ''}{read} by {blocks}"
    if not settings.voters:
        return read
    weight = f" (weight {settings.vote_weight:g})" if settings.vote_weight != 1 else ""
    return f"{read}, votes of {settings.votes.replace('+', ' and ')}{weight}"
