"""Ranking of texts by a query: what a ranking is, what a retriever does, the retrievers by name, and the nearest rows.

Knows nothing about blocks, labels or models: a document is a string, be it a block's demonstrations or a single row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dbsa_core.errors import SettingsError

__all__ = [
    "RETRIEVERS",
    "Ranking",
    "Retriever",
    "RetrieverFactory",
    "make_retriever",
    "nearest_of",
    "nearest_rows",
]


@dataclass(frozen=True, eq=False)
class Ranking:
    """How much each document is like one query."""

    scores: NDArray[np.float64]
    """`[documents]`, larger is more alike; 0 is nothing in common. Comparable within one ranking only."""

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Indices of all documents, the best first; of equal scores the lower index first."""
        return tuple(_order_of(self.scores).tolist())

    def best(self, count: int, among: NDArray[np.bool_] | None = None) -> tuple[int, ...]:
        """The first `count` of `order`, or of those for which `among` `[documents]` is true."""
        asked = np.arange(len(self.scores)) if among is None else np.flatnonzero(among)
        if (count := min(count, len(asked))) <= 0:
            return ()
        alike = asked[self.scores[asked] > 0]
        if count <= len(alike):  # mostly few: what has nothing in common is not looked at again
            least = np.partition(self.scores[alike], -count)[-count]
            asked = alike[self.scores[alike] >= least]
        return tuple(asked[_order_of(self.scores[asked])][:count].tolist())


class Retriever(Protocol):
    """Ranks the documents that it was made with. Its methods may be called from several threads."""

    @property
    def name(self) -> str:
        """Its key in `RETRIEVERS`."""

    def rank(self, query: str) -> Ranking:
        """All documents, ranked by `query`."""

    def matched_words(self, query: str, document: int) -> dict[str, float]:
        """The words of one document that earned it its score, the heaviest first; `{}` where words play no part.

        A key is a word as it stands in the document where it comes first; its other occurrences have the same
        `tokens.fold`. A value is the score that the word brought, so a rare word has more than a common one.
        """


class RetrieverFactory(Protocol):
    def __call__(self, documents: Sequence[str], *, seed: int = 0) -> Retriever: ...


def _order_of(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    return np.argsort(-scores, kind="stable")


# The factories import on use, because the modules of the retrievers import `Ranking` from here.
def _bm25(documents: Sequence[str], *, seed: int = 0) -> Retriever:
    from dbsa_core.retrieve.bm25 import BM25Retriever

    return BM25Retriever(documents)


def _bm25_stem(documents: Sequence[str], *, seed: int = 0) -> Retriever:
    from dbsa_core.retrieve.bm25 import BM25Retriever

    return BM25Retriever(documents, stem=True)


def _random(documents: Sequence[str], *, seed: int = 0) -> Retriever:
    from dbsa_core.retrieve.random import RandomRetriever

    return RandomRetriever(documents, seed=seed)


RETRIEVERS: Mapping[str, RetrieverFactory] = MappingProxyType(
    {"bm25": _bm25, "bm25-stem": _bm25_stem, "random": _random},
)


def make_retriever(name: str, documents: Sequence[str], *, seed: int = 0) -> Retriever:
    """The retriever `name` over `documents`; `seed` matters to "random" alone.

    Raises `SettingsError` for a name that is not in `RETRIEVERS`, and `DataError` if there are no documents.
    """
    if name not in RETRIEVERS:
        raise SettingsError(f"There is no retriever {name!r}. Choose one of: {', '.join(RETRIEVERS)}.")
    return RETRIEVERS[name](documents, seed=seed)


def nearest_rows(retriever: Retriever, query: str, count: int, *, exclude: Collection[int] = ()) -> tuple[int, ...]:
    """At most `count` documents that are like `query`, the best first, none of them in `exclude`.

    A document whose score is not above zero has nothing in common with the query and is never returned, so there may be
    fewer than `count`, or none. Raises `SettingsError` for a negative `count`.
    """
    if count < 0:
        raise SettingsError(f"The number of nearest rows is {count}, but it cannot be negative. Give 0 for none.")
    return nearest_of(retriever.rank(query), count, exclude=exclude)


def nearest_of(ranking: Ranking, count: int, *, exclude: Collection[int] = ()) -> tuple[int, ...]:
    """The same of a ranking at hand."""
    wanted = ranking.scores > 0
    wanted[[document for document in exclude if 0 <= document < len(wanted)]] = False
    return ranking.best(count, wanted)
