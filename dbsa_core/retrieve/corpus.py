"""What is ranked: documents, the rows that each is made of, and what the retrievers over them have in common.

Knows nothing about how a document was put together.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from dbsa_core.retrieve.bm25 import BM25Retriever
from dbsa_core.retrieve.dense import DenseRetriever
from dbsa_core.retrieve.embeddings import Embeddings


@dataclass(frozen=True, eq=False)
class Corpus:
    """Documents to be ranked; an index over them is made once, for all retrievers that use it."""

    texts: Sequence[str]
    """Each document as words are counted in it."""
    rows: Sequence[Sequence[int]]
    """Of each document, by their places among the texts of `embeddings`."""
    labels: Sequence[Collection[str]]
    """Of each document's rows."""
    embeddings: Embeddings

    @classmethod
    def of(cls, texts: Sequence[str]) -> Corpus:
        """Texts that are a row each, without labels."""
        return cls(texts, [(row,) for row in range(len(texts))], [()] * len(texts), Embeddings(texts))

    def by(self, embeddings: Embeddings) -> Corpus:
        """The same with other vectors; itself where they are its own."""
        return self if embeddings is self.embeddings else replace(self, embeddings=embeddings)

    @cached_property
    def words(self) -> BM25Retriever:
        return BM25Retriever(self.texts)

    @cached_property
    def stems(self) -> BM25Retriever:
        return BM25Retriever(self.texts, stem=True)

    @cached_property
    def meanings(self) -> DenseRetriever:
        return DenseRetriever(self.rows, self.embeddings)
