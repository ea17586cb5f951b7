"""Two rankings as one, by reciprocal rank (Cormack, Clarke and Büttcher, SIGIR 2009): what stands high in either of
them is near the top, whatever their scores are made of.

Knows nothing about texts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dbsa_core.retrieve import Comparable, Ranking, order_of

SMOOTHING = 60
"""Added to each place, as there: the first places do not outweigh all others."""


class HybridRetriever:
    """By words and by meaning: a document's score is the sum of 1 / (60 + its place), the first place being 1, over the
    rankings in which it has something in common with the query."""

    name = "hybrid"

    def __init__(self, words: Comparable, meanings: Comparable) -> None:
        self._words = words
        self._meanings = meanings

    def rank(self, query: str) -> Ranking:
        """All documents."""
        scores = _reciprocal(self._words.rank(query).scores) + _reciprocal(self._meanings.rank(query).scores)
        scores.setflags(write=False)
        return Ranking(scores)

    def matched_words(self, query: str, document: int) -> dict[str, float]:
        """Those of the ranking by words, with what they brought there."""
        return self._words.matched_words(query, document)

    def near_rows(self, query: str, document: int) -> dict[int, float]:
        """See `Retriever.near_rows`."""
        return self._meanings.near_rows(query, document)

    def likenesses(self, documents: NDArray[np.intp]) -> NDArray[np.float64]:
        """The mean of both."""
        return (self._words.likenesses(documents) + self._meanings.likenesses(documents)) / 2


def _reciprocal(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """`[documents]`: 1 / (60 + place), or 0 where the score is 0; of equal scores the lower index comes first."""
    alike = np.flatnonzero(scores > 0)
    found = np.zeros(len(scores))
    ranked = alike[order_of(scores[alike])]
    found[ranked] = 1.0 / (SMOOTHING + 1 + np.arange(len(ranked)))
    return found
