"""What a language model has to beat: a classifier that is trained on the file's rows, alone.

Knows nothing about the model: it reads all rows of the file, and none of their tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter

import numpy as np

from dbsa_core.classifiers import LinearClassifier
from dbsa_core.errors import QueryError
from dbsa_core.methods.base import Cost, MayRead, Refusal, fitted
from dbsa_core.prediction import Prediction
from dbsa_core.settings import QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.stage2.label_scores import LabelScores
from dbsa_core.timing import PHASES

AT_ONCE = 256
"""Texts that are classified together."""
_NEVER = -700.0
"""Log-probability of a label without a row."""


@dataclass
class ClassifierAlone:
    """`tfidf` is the one of words, `sentence_vectors` the one of their vectors."""

    settings: QuerySettings = field(default_factory=QuerySettings)
    name: str = "tfidf"
    title: str = "TF-IDF + logistic regression"
    classifier: str = "words"
    may_read: MayRead = "all"
    reads_blocks: bool = False
    _setup: Setup | None = field(default=None, repr=False)
    _trained: LinearClassifier | None = field(default=None, repr=False)

    @property
    def uses(self) -> frozenset[str]:
        return frozenset({"embedder"} if self.classifier == "vectors" else ())

    @property
    def setup(self) -> Setup | None:
        return self._setup

    def cost(self, setup: Setup) -> Cost:
        """All rows to train on, and no tokens."""
        return Cost(0, 0, len(setup.task.pool))

    def fit(self, setup: Setup) -> ClassifierAlone:
        """Train it on all rows of the file but those that are held out or were taught anew since."""
        self._trained = setup.trained_classifier(self.classifier, self.settings.embedder)
        self._setup = setup
        return self

    def teach(self, text: str, label: str) -> ClassifierAlone:
        """See `Method.teach`; it is trained anew."""
        setup = fitted(self._setup, self.name).teach(text, label)
        setup.trained_classifier(self.classifier, self.settings.embedder, anew=True)
        return self.fit(setup)

    def predict(self, query: str, *, attention: bool = False) -> Prediction:
        """See `Method.predict`; nothing is attended to."""
        setup, begun = fitted(self._setup, self.name), perf_counter()
        text, _ = setup.task.query(query)
        return self._answers([text], perf_counter() - begun)[0]

    def predict_many(self, queries: Iterable[str]) -> Iterator[Prediction | Refusal]:
        """See `Method.predict_many`."""
        return self._many(fitted(self._setup, self.name), iter(queries))

    def _many(self, setup: Setup, queries: Iterator[str]) -> Iterator[Prediction | Refusal]:
        while asked := list(islice(queries, AT_ONCE)):
            begun, found = perf_counter(), list[str | QueryError]()
            for query in asked:
                try:
                    found.append(setup.task.query(query)[0])
                except QueryError as error:
                    found.append(error)
            texts = [text for text in found if isinstance(text, str)]
            if self.uses:
                setup.task.embeddings(self.settings.embedder).ahead(texts)
            answers = iter(self._answers(texts, perf_counter() - begun))
            yield from (next(answers) if isinstance(text, str) else text for text in found)

    def _answers(self, texts: Sequence[str], seconds: float) -> list[Prediction]:
        """Answers to cleaned texts, `seconds` of which have passed."""
        task, begun = fitted(self._setup, self.name).task, perf_counter()
        assert self._trained is not None
        if not texts:
            return []
        labels = task.pool.labels
        places = [labels.index(label) for label in self._trained.labels]
        log_probs = np.full((len(texts), len(labels)), _NEVER)
        log_probs[:, places] = np.maximum(self._trained.log_probs(texts), _NEVER)
        each = (seconds + perf_counter() - begun) / len(texts)
        return [
            Prediction(
                method=self.name,
                query=text,
                scores=LabelScores(labels, row, "classifier", int(row.argmax()), 0, 0),
                context_tokens=0,
                seconds=dict.fromkeys(PHASES, 0.0) | {"forward": each, "total": each},
                cold=False,
                equal_rows=task.rows_equal_to(text),
                taught=task.taught_label(text),
                together=len(texts),
            )
            for text, row in zip(texts, log_probs, strict=True)
        ]
