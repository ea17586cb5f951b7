"""A classification task: a model, a pool and a prompt template, tokenized once for every method.

Knows nothing about which rows are encoded, nor how.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dbsa_core.data import MAX_LABELS, TAUGHT, Demonstration, Pool, clean_text, match_labels
from dbsa_core.errors import DataError, QueryError
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prompt import Ids, Prompter, PromptTemplate
from dbsa_core.retrieve import DEFAULT_EMBEDDER, Retriever, make_retriever
from dbsa_core.retrieve.bm25 import BM25Retriever
from dbsa_core.retrieve.corpus import Corpus
from dbsa_core.retrieve.embeddings import Embeddings
from dbsa_core.settings import QuerySettings, RetrieverKey
from dbsa_core.stage2.trie import LabelTrie
from dbsa_core.token_texts import TokenTexts


class Task:
    """Rows of the pool as token ids, the label trie, and an index over single rows."""

    def __init__(self, model: LanguageModel, pool: Pool, template: PromptTemplate | None = None):
        self.model = model
        self.pool = pool
        self.template = template or PromptTemplate()
        self.prompter = Prompter(model.tokenizer, self.template)
        self.prompter.check_labels(pool.labels)
        self.row_ids: list[Ids] = self.prompter.demonstrations(pool.texts, [d.label for d in pool.demonstrations])
        self.trie = LabelTrie.of(pool.labels, self.prompter)
        self._embeddings: dict[str, Embeddings] = {}

    @property
    def row_index(self) -> BM25Retriever:
        """BM25 over the texts of all rows, encoded or not."""
        return self._rows.words

    def row_retriever(self, settings: QuerySettings) -> Retriever:
        """`settings.row_retriever` over the texts of all rows, encoded or not; made once."""
        key = settings.retriever_key(settings.row_retriever)
        if key not in self._row_retrievers:
            rows = self._rows.by(self.embeddings(key.embedder or DEFAULT_EMBEDDER))
            self._row_retrievers[key] = make_retriever(key.name, rows, seed=settings.seed)
        return self._row_retrievers[key]

    def embeddings(self, embedder: str) -> Embeddings:
        """The vectors of all rows' texts, by that sentence encoder, on the model's device; made when they are used."""
        if embedder not in self._embeddings:
            self._embeddings[embedder] = Embeddings(self.pool.texts, embedder, str(self.model.device))
        return self._embeddings[embedder]

    @property
    def embedding(self) -> tuple[int, int] | None:
        """Rows that have their vectors, and all, while these are being made."""
        return next(filter(None, (each.progress for each in list(self._embeddings.values()))), None)

    @cached_property
    def _rows(self) -> Corpus:
        labels = [(demonstration.label,) for demonstration in self.pool.demonstrations]
        rows = [(row,) for row in range(len(labels))]
        return Corpus(self.pool.texts, rows, labels, self.embeddings(DEFAULT_EMBEDDER))

    @cached_property
    def _row_retrievers(self) -> dict[RetrieverKey, Retriever]:
        return {}

    @cached_property
    def _rows_by_text(self) -> dict[str, list[int]]:
        rows = defaultdict(list)
        for row, text in enumerate(self.pool.texts):
            rows[text.casefold()].append(row)
        return rows

    def rows_of(self, label: str | None) -> NDArray[np.intp]:
        """Rows that have the label; none for None."""
        if label not in self._rows_by_label:
            self._rows_by_label[label] = np.flatnonzero([row.label == label for row in self.pool.demonstrations])
        return self._rows_by_label[label]

    @cached_property
    def _rows_by_label(self) -> dict[str | None, NDArray[np.intp]]:
        return {}

    @cached_property
    def token_texts(self) -> TokenTexts:
        """What the model's tokens say."""
        return TokenTexts(self.model.tokenizer)

    @property
    def longest_label(self) -> int:
        """Positions that the longest label takes behind a prompt."""
        return max(self.trie.depths) + 1

    def rows_equal_to(self, query: str) -> tuple[int, ...]:
        """Rows whose text is the query's, but for case."""
        return tuple(self._rows_by_text.get(query.casefold(), ()))

    def taught_label(self, query: str) -> str | None:
        """The label that was taught last for this very text, but for case; None where none was."""
        rows = (self.pool.demonstrations[row] for row in reversed(self.rows_equal_to(query)))
        return next((row.label for row in rows if row.taught), None)

    def query(self, text: str) -> tuple[str, Ids]:
        """The cleaned text and its ids; `QueryError` where there is nothing to classify."""
        cleaned = clean_text(text)
        if not cleaned:
            raise QueryError("The query is empty; type a text to classify.")
        return cleaned, self.prompter.query(cleaned)

    def lesson(self, text: str, label: str) -> Demonstration:
        """What somebody teaches, as a demonstration for `extended`: cleaned, a known label in its own spelling.

        Raises `DataError` for an empty text or label, and for a new label that cannot be one.
        """
        text, label = clean_text(text), clean_text(label)
        if not text or not label:
            what = "text" if not text else "label"
            raise DataError(f"The {what} is empty; give a text, and the label that is right for it.")
        (label,), _ = match_labels([label], self.pool.labels)
        if label not in self.pool.labels:
            if len(self.pool.labels) >= MAX_LABELS:
                raise DataError(f"There are {MAX_LABELS:,} labels already, which is the most; choose one of them.")
            self.prompter.check_labels([*self.pool.labels, label])
        return Demonstration(text, label, TAUGHT)

    def truncated(self, row: int, tokens: int) -> Ids:
        """The ids of a row cut to at most `tokens`, its label whole."""
        ids = self.row_ids[row]
        if len(ids) <= tokens:
            return ids
        label = self.prompter.label(self.pool.demonstrations[row].label)
        tail = (*self.prompter.label_cue, *label, *self.prompter.separator_ids)
        if len(tail) >= tokens:
            raise DataError(f"The label of row {self.pool.demonstrations[row].row} alone does not fit {tokens} tokens.")
        return ids[: tokens - len(tail)] + tail

    def extended(self, demonstrations: Sequence[Demonstration]) -> Task:
        """The task with further rows behind its own, and their labels among its own. Only they are tokenized; what is
        encoded of the task goes on being of this one. Raises `DataError` for a label that the model cannot tell apart
        from another."""
        longer = copy.copy(self)
        labels = {*self.pool.labels, *(demonstration.label for demonstration in demonstrations)}
        longer.pool = Pool.of([*self.pool.demonstrations, *demonstrations], labels)
        if longer.pool.labels != self.pool.labels:
            self.prompter.check_labels(longer.pool.labels)
            longer.trie = LabelTrie.of(longer.pool.labels, self.prompter)
        new = self.prompter.demonstrations([d.text for d in demonstrations], [d.label for d in demonstrations])
        longer.row_ids = [*self.row_ids, *new]
        for indexed in ("_rows", "_row_retrievers", "_rows_by_text"):
            longer.__dict__.pop(indexed, None)
        device = str(self.model.device)
        longer._embeddings = {
            name: Embeddings(longer.pool.texts, name, device, before=before)
            for name, before in self._embeddings.items()
        }
        return longer
