"""Ranking of texts by a query: what a ranking is, what a retriever does, the retrievers by name, and the nearest rows.

Knows nothing about blocks or language models: a document is a string, be it a block's demonstrations or a single row,
with the rows that it is made of and their labels (`corpus`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from dbsa_core.errors import DataError, SettingsError

if TYPE_CHECKING:
    from dbsa_core.retrieve.corpus import Corpus

__all__ = [
    "DEFAULT_EMBEDDER",
    "RETRIEVERS",
    "Comparable",
    "Ranking",
    "Retriever",
    "RetrieverFactory",
    "check_retriever",
    "make_retriever",
    "nearest_of",
    "nearest_rows",
    "order_of",
    "reads_vectors",
]

DEFAULT_EMBEDDER = "all-MiniLM-L6-v2"
"""The sentence encoder of dense retrievers, where none is named."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """How much each document is like one query."""

    scores: NDArray[np.float64]
    """`[documents]`, larger is more alike; 0 is nothing in common. Comparable within one ranking only."""

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Indices of all documents, the best first; of equal scores the lower index first."""
        return tuple(order_of(self.scores).tolist())

    def best(self, count: int, among: NDArray[np.bool_] | None = None) -> tuple[int, ...]:
        """The first `count` of `order`, or of those for which `among` `[documents]` is true."""
        asked = np.arange(len(self.scores)) if among is None else np.flatnonzero(among)
        if (count := min(count, len(asked))) <= 0:
            return ()
        alike = asked[self.scores[asked] > 0]
        if count <= len(alike):  # mostly few: what has nothing in common is not looked at again
            least = np.partition(self.scores[alike], -count)[-count]
            asked = alike[self.scores[alike] >= least]
        return tuple(asked[order_of(self.scores[asked])][:count].tolist())


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

    def near_rows(self, query: str, document: int) -> dict[int, float]:
        """The cosine of each row of one document to the query, where vectors play a part; else `{}`."""


class Comparable(Retriever, Protocol):
    """One that also tells how much its documents are like each other."""

    def likenesses(self, documents: NDArray[np.intp]) -> NDArray[np.float64]:
        """`[n, n]` of `n` documents, from 0 (nothing in common) to 1 (the same)."""


class RetrieverFactory(Protocol):
    def __call__(self, corpus: Corpus, *, seed: int = 0) -> Retriever: ...


def order_of(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Indices, the greatest score first, of equal ones the lower index: numpy's stable argsort, in less time.

    Bits of a score and its index are one integer, so that what is sorted are plain numbers: those of a float, read as
    an integer whose sign is turned for negative ones, are in the order of the floats. The last bits give way to the
    index; where scores differ in those alone, what is nearly sorted is sorted again.
    """
    bits = (0.0 - scores).view(np.int64)  # 0 less a score: there is no -0.0 then, which has bits of its own
    place_bits = np.int64((1 << max(len(scores) - 1, 1).bit_length()) - 1)
    keys = np.where(bits < 0, bits ^ np.int64(0x7FFF_FFFF_FFFF_FFFF), bits) & ~place_bits
    found: NDArray[np.intp] = np.sort(keys | np.arange(len(scores))) & place_bits
    ranked = scores[found]
    if (ranked[1:] > ranked[:-1]).any():
        found = found[np.argsort(-ranked, kind="stable")]
    return found


# The factories import on use, because the modules of the retrievers import `Ranking` from here.
def _bm25(corpus: Corpus, *, seed: int = 0) -> Comparable:
    return corpus.words


def _bm25_stem(corpus: Corpus, *, seed: int = 0) -> Comparable:
    return corpus.stems


def _dense(corpus: Corpus, *, seed: int = 0) -> Comparable:
    return corpus.meanings


def _hybrid(corpus: Corpus, *, seed: int = 0) -> Comparable:
    from dbsa_core.retrieve.hybrid import HybridRetriever

    return HybridRetriever(corpus.words, corpus.meanings)


def _random(corpus: Corpus, *, seed: int = 0) -> Retriever:
    from dbsa_core.retrieve.random import RandomRetriever

    return RandomRetriever(corpus.texts, seed=seed)


def _mmr(of: Callable[..., Comparable]) -> RetrieverFactory:
    def make(corpus: Corpus, *, seed: int = 0) -> Retriever:
        from dbsa_core.retrieve.diverse import MaximalMarginalRelevance

        return MaximalMarginalRelevance(of(corpus))

    return make


def _labels(of: Callable[..., Comparable]) -> RetrieverFactory:
    def make(corpus: Corpus, *, seed: int = 0) -> Retriever:
        from dbsa_core.retrieve.diverse import LabelCoverage

        return LabelCoverage(of(corpus), corpus.labels)

    return make


_RANKING = {"bm25": _bm25, "bm25-stem": _bm25_stem, "dense": _dense, "hybrid": _hybrid}
RETRIEVERS: Mapping[str, RetrieverFactory] = MappingProxyType(
    {
        **_RANKING,
        **{f"{name}+mmr": _mmr(of) for name, of in _RANKING.items()},
        **{f"{name}+labels": _labels(of) for name, of in _RANKING.items()},
        "random": _random,
    }
)
"""`bm25` (words in common) and `bm25-stem` (their English stems), `dense` (the cosine of sentence vectors), `hybrid`
(places by words and by vectors taken together); with `+mmr` or `+labels`, what is like those before it, or has labels
that those before it have, comes later; `random` is the baseline."""


def reads_vectors(name: str) -> bool:
    """Whether that retriever needs a sentence encoder."""
    return name.partition("+")[0] in ("dense", "hybrid")


def make_retriever(name: str, documents: Sequence[str] | Corpus, *, seed: int = 0) -> Retriever:
    """The retriever `name` over `documents`, plain texts being rows without labels; `seed` matters to "random" alone.

    Raises `SettingsError` for a name that is not in `RETRIEVERS`, `DataError` if there are no documents, and
    `ModelError` for one that `reads_vectors` where its encoder cannot be loaded.
    """
    from dbsa_core.retrieve.corpus import Corpus

    check_retriever(name)
    corpus = documents if isinstance(documents, Corpus) else Corpus.of(documents)
    if not corpus.texts:
        raise DataError("There are no documents to rank. Give a retriever at least one.")
    return RETRIEVERS[name](corpus, seed=seed)


def check_retriever(name: str) -> None:
    """Raises `SettingsError` for a name that is not in `RETRIEVERS`."""
    if name not in RETRIEVERS:
        raise SettingsError(f"There is no retriever {name!r}. Choose one of: {', '.join(RETRIEVERS)}.")


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
