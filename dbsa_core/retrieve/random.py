"""A ranking by chance, the baseline that every retriever has to beat.

Knows nothing about the documents but their number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from dbsa_core.errors import DataError
from dbsa_core.retrieve import Ranking


class RandomRetriever:
    """Shuffles the documents by the seed and the query: the same two give the same ranking in every process."""

    name = "random"

    def __init__(self, documents: Sequence[str], *, seed: int = 0) -> None:
        if not documents:
            raise DataError("There are no documents to rank. Give a retriever at least one.")
        self._num_documents = len(documents)
        self._seed = seed

    def rank(self, query: str) -> Ranking:
        """All documents, with scores drawn evenly from above 0 up to 1, so that every row may be "near"."""
        key = f"{self._seed}\n{query}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(key, digest_size=16).digest()
        # PCG64 by name: what `default_rng` chooses may change between versions of NumPy.
        generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
        scores = 1.0 - generator.random(self._num_documents)
        scores.setflags(write=False)
        return Ranking(scores)

    def matched_words(self, query: str, document: int) -> dict[str, float]:
        return {}

    def near_rows(self, query: str, document: int) -> dict[int, float]:
        return {}
