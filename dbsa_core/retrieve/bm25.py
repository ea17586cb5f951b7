"""BM25: documents ranked by the words that they share with the query, on top of `rank_bm25`.

Knows nothing about meaning: a synonym counts for nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rank_bm25 import BM25Okapi
from scipy.sparse import csr_array, diags_array

from dbsa_core.errors import DataError
from dbsa_core.retrieve import Ranking
from dbsa_core.retrieve.tokens import english_stem, spans, words

K1 = 1.2
B = 0.75
COMMON = 12
"""A word is common that one in so many documents contains, or more;"""
COMMON_WORDS = 64
"""the most common ones, as many as these."""


@dataclass(frozen=True, eq=False)
class _Postings:
    """For each word the documents that contain it, in rising order, and the score that it brings to each."""

    word_ids: Mapping[str, int]
    starts: NDArray[np.int64]
    """`[words + 1]`: the entries of word `i` are `starts[i]` up to `starts[i + 1]`."""
    documents: NDArray[np.int64]
    """`[entries]`"""
    gains: NDArray[np.float64]
    """`[entries]`"""
    common: Mapping[str, NDArray[np.float64]]
    """`[documents]` of a word that many contain: adding all is faster than adding in many places."""

    def of(self, word: str) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
        word_id = self.word_ids.get(word)
        if word_id is None:
            return None
        entries = slice(self.starts[word_id], self.starts[word_id + 1])
        return self.documents[entries], self.gains[entries]


class LuceneBM25(BM25Okapi):  # type: ignore[misc]  # rank_bm25 has no type information, so its class is Any
    """`BM25Okapi` with the idf of Lucene, which is positive for every word, and with postings in place of its scan.

    Okapi's own idf is zero or negative for a word in half of the documents or more, and blocks of 50 demonstrations
    share most of their words: a block without the word would outrank those that have it.
    """

    def __init__(self, corpus: Sequence[Sequence[str]]) -> None:
        super().__init__(corpus, k1=K1, b=B)
        self._postings = self._invert()

    def _calc_idf(self, nd: Mapping[str, int]) -> None:
        for word, holders in nd.items():
            self.idf[word] = math.log1p((self.corpus_size - holders + 0.5) / (holders + 0.5))

    def _invert(self) -> _Postings:
        word_ids = {word: word_id for word_id, word in enumerate(self.idf)}
        ids = np.array([word_ids[word] for counts in self.doc_freqs for word in counts], dtype=np.int64)
        frequency = np.array([count for counts in self.doc_freqs for count in counts.values()], dtype=np.int64)
        documents = np.repeat(np.arange(self.corpus_size), [len(counts) for counts in self.doc_freqs])
        by_word = np.argsort(ids, kind="stable")
        ids, frequency, documents = ids[by_word], frequency[by_word], documents[by_word]
        lengths = np.array(self.doc_len)[documents]
        # Operation by operation as in BM25Okapi.get_scores, so that the sums are equal to the last bit.
        gains = np.array(list(self.idf.values()))[ids] * (
            frequency * (self.k1 + 1) / (frequency + self.k1 * (1 - self.b + self.b * lengths / self.avgdl))
        )
        holders = np.bincount(ids, minlength=len(word_ids))
        starts = np.concatenate([[0], np.cumsum(holders)])
        common = {}
        words, most = list(word_ids), np.argsort(-holders, kind="stable")[:COMMON_WORDS]
        for word_id in most[holders[most] * COMMON > self.corpus_size]:
            entries = slice(starts[word_id], starts[word_id + 1])
            common[words[word_id]] = np.zeros(self.corpus_size)
            common[words[word_id]][documents[entries]] = gains[entries]
        return _Postings(word_ids, starts.astype(np.int64), documents, gains, common)

    def get_scores(self, query: Sequence[str]) -> NDArray[np.float64]:
        """`[documents]`. As in `rank_bm25`, a word counts as often as it occurs in the query."""
        scores = np.zeros(self.corpus_size)
        for word in query:
            if (gains := self._postings.common.get(word)) is not None:
                scores += gains
            elif (entries := self._postings.of(word)) is not None:
                documents, gains = entries
                scores[documents] += gains
        return scores

    def own_score(self, query: Sequence[str]) -> float:
        """What a document of just these words would score; a word of no document is as rare as one can be."""
        rarest = math.log1p((self.corpus_size + 0.5) / 0.5)
        length = 1 - self.b + self.b * len(query) / self.avgdl if self.avgdl else 1.0
        gains = (
            count * self.idf.get(word, rarest) * count * (self.k1 + 1) / (count + self.k1 * length)
            for word, count in Counter(query).items()
        )
        return float(sum(gains))

    @cached_property
    def vectors(self) -> csr_array:
        """`[documents, words]`: what each word brings each document, a row having length 1."""
        entries = self._postings
        words = np.repeat(np.arange(len(entries.starts) - 1), np.diff(entries.starts))
        found = csr_array((entries.gains, (entries.documents, words)), shape=(self.corpus_size, len(entries.word_ids)))
        lengths = np.sqrt(found.multiply(found).sum(axis=1))
        return csr_array(diags_array(1.0 / np.maximum(lengths, 1e-12)) @ found)

    def holders(self, word: str) -> int:
        """How many documents contain it."""
        entries = self._postings.of(word)
        return 0 if entries is None else len(entries[0])

    def gain(self, word: str, document: int) -> float:
        """What one occurrence of `word` in a query adds to the score of `document`."""
        entries = self._postings.of(word)
        if entries is None:
            return 0.0
        documents, gains = entries
        place = int(np.searchsorted(documents, document))
        return float(gains[place]) if place < len(documents) and documents[place] == document else 0.0


class BM25Retriever:
    """BM25 over folded words, or over their English stems."""

    def __init__(self, documents: Sequence[str], *, stem: bool = False) -> None:
        if not documents:
            raise DataError("There are no documents to rank. Give a retriever at least one.")
        self.name = "bm25-stem" if stem else "bm25"
        self._stemmed = stem
        self._documents = tuple(documents)
        self._index = LuceneBM25([self._terms(document) for document in self._documents])

    def rank(self, query: str) -> Ranking:
        """All documents; with no word in common every score is 0, and the order is that of the documents."""
        scores = self._index.get_scores(self._terms(query))
        scores.setflags(write=False)
        return Ranking(scores)

    def likeness(self, query: str) -> NDArray[np.float64]:
        """`[documents]` from 0 (no word in common) to 1: their scores as a share of what the query itself would score
        as a document, so that, unlike scores, they can be compared from query to query."""
        terms = self._terms(query)
        own = self._index.own_score(terms)
        scores = self._index.get_scores(terms)
        return np.minimum(scores / own, 1.0) if own > 0 else np.zeros(len(self._documents))

    def matched_words(self, query: str, document: int) -> dict[str, float]:
        """See `Retriever.matched_words`. With stems, each form of a stem has the whole weight of the stem."""
        asked = Counter(self._terms(query))
        text = self._documents[document]
        matched: dict[str, float] = {}
        seen: set[str] = set()
        for start, end, word in spans(text):
            term = english_stem(word) if self._stemmed else word
            if term in asked and word not in seen:
                seen.add(word)
                matched[text[start:end]] = asked[term] * self._index.gain(term, document)
        return dict(sorted(matched.items(), key=lambda item: -item[1]))

    def holders(self, word: str) -> int:
        """How many documents contain it."""
        return self._index.holders(next(iter(self._terms(word)), ""))

    def near_rows(self, query: str, document: int) -> dict[int, float]:
        return {}

    def likenesses(self, documents: NDArray[np.intp]) -> NDArray[np.float64]:
        """See `Comparable.likenesses`: the cosine of what each word brings them in a query."""
        chosen = self._index.vectors[documents]
        cosines: NDArray[np.float64] = np.clip((chosen @ chosen.T).toarray(), 0.0, 1.0)
        return cosines

    def _terms(self, text: str) -> list[str]:
        return [english_stem(word) for word in words(text)] if self._stemmed else words(text)
