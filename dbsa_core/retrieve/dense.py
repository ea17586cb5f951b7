"""Documents ranked by what their rows mean: the cosine of sentence vectors.

Knows nothing about words: a synonym counts as much as the word itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dbsa_core.retrieve import Ranking
from dbsa_core.retrieve.embeddings import Embeddings

NEAREST = 3
"""Rows of a document that it is judged by. The mean over all of them says little of a block of 50 demonstrations of
many labels, and the nearest one alone is a matter of luck."""


class DenseRetriever:
    """A document's score is the mean cosine of its rows that are nearest to the query, up to `NEAREST` of them; one
    that is not positive counts as nothing in common. A block of labels of its own is found by its rows' texts."""

    name = "dense"

    def __init__(self, rows: Sequence[Sequence[int]], embeddings: Embeddings) -> None:
        self._embeddings = embeddings
        self._rows = rows
        self._single = all(len(of) == 1 and of[0] == place for place, of in enumerate(rows))
        self._table = _padded(rows)
        _ = embeddings.vectors  # now, and not when the first query waits

    def rank(self, query: str) -> Ranking:
        """All documents."""
        near = self._embeddings.cosines(query)
        scores = near.astype(np.float64) if self._single else _means_of_largest(near, self._table)
        scores = np.maximum(scores[: len(self._rows)], 0.0)
        scores.setflags(write=False)
        return Ranking(scores)

    def matched_words(self, query: str, document: int) -> dict[str, float]:
        return {}

    def near_rows(self, query: str, document: int) -> dict[int, float]:
        """See `Retriever.near_rows`."""
        rows = list(self._rows[document])
        vectors = self._embeddings.vectors[rows]
        return dict(zip(rows, (vectors @ self._embeddings.query(query)).tolist(), strict=True))

    def likenesses(self, documents: NDArray[np.intp]) -> NDArray[np.float64]:
        """The cosines of their rows' mean vectors, `[n, n]`; a negative one is nothing in common."""
        table = self._table[documents]
        vectors = np.where((table >= 0)[..., None], self._embeddings.vectors[table], 0.0).sum(axis=1)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        cosines: NDArray[np.float64] = np.clip(vectors @ vectors.T, 0.0, 1.0).astype(np.float64)
        return cosines


def _padded(rows: Sequence[Sequence[int]]) -> NDArray[np.intp]:
    """`[documents, most rows]`, -1 behind the rows of a shorter document."""
    table = np.full((len(rows), max(map(len, rows), default=0)), -1, dtype=np.intp)
    for document, of in enumerate(rows):
        table[document, : len(of)] = of
    return table


def _means_of_largest(near: NDArray[np.float32], table: NDArray[np.intp]) -> NDArray[np.float64]:
    """`[documents]`: of each document's rows the mean of the `NEAREST` largest, or of all where it has fewer."""
    of = np.where(table >= 0, near[table].astype(np.float64), -np.inf)
    count = min(NEAREST, table.shape[1])
    largest = -np.partition(-of, count - 1, axis=1)[:, :count]
    there = np.isfinite(largest)
    sums = np.where(there, largest, 0.0).sum(axis=1)
    means: NDArray[np.float64] = sums / np.maximum(there.sum(axis=1), 1)
    return means
