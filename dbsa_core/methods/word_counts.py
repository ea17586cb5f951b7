"""What a language model has to beat: a classifier of words and pairs of words, by scikit-learn.

Knows nothing about the model: it reads all rows of the file, and none of their tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from time import perf_counter
from typing import Any

import numpy as np

from dbsa_core.errors import QueryError
from dbsa_core.methods.base import Cost, MayRead, Refusal, fitted
from dbsa_core.prediction import Prediction
from dbsa_core.retrieve.tokens import words
from dbsa_core.settings import QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.stage2.label_scores import LabelScores
from dbsa_core.timing import PHASES

INVERSE_REGULARISATION = 10.0
AT_ONCE = 256
"""Texts that are classified together."""
_NEVER = -700.0
"""Log-probability of a label without a row."""


@dataclass
class WordCounts:
    """TF-IDF of words and pairs of words with sublinear counts, and multinomial logistic regression."""

    settings: QuerySettings = field(default_factory=QuerySettings)
    name: str = "tfidf"
    title: str = "TF-IDF + logistic regression"
    may_read: MayRead = "all"
    reads_blocks: bool = False
    uses: frozenset[str] = frozenset()
    _setup: Setup | None = field(default=None, repr=False)
    _classifier: Any = field(default=None, repr=False)

    @property
    def setup(self) -> Setup | None:
        return self._setup

    def cost(self, setup: Setup) -> Cost:
        """All rows to train on, and no tokens."""
        return Cost(0, 0, len(setup.task.pool))

    def fit(self, setup: Setup) -> WordCounts:
        """Train it on all rows of the file but those that are held out or were taught anew since."""
        rows = [row for at, row in enumerate(setup.task.pool.demonstrations) if at not in setup.unread]
        self._classifier = _trained([row.text for row in rows], [row.label for row in rows])
        self._setup = setup
        return self

    def teach(self, text: str, label: str) -> WordCounts:
        """See `Method.teach`; it is trained anew."""
        return self.fit(fitted(self._setup, self.name).teach(text, label))

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
            answers = iter(self._answers([text for text in found if isinstance(text, str)], perf_counter() - begun))
            yield from (next(answers) if isinstance(text, str) else text for text in found)

    def _answers(self, texts: Sequence[str], seconds: float) -> list[Prediction]:
        """Answers to cleaned texts, `seconds` of which have passed."""
        task, begun = fitted(self._setup, self.name).task, perf_counter()
        if not texts:
            return []
        labels = task.pool.labels
        places = [labels.index(label) for label in self._classifier.classes_]
        log_probs = np.full((len(texts), len(labels)), _NEVER)
        log_probs[:, places] = np.maximum(self._classifier.predict_log_proba(texts), _NEVER)
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


def _trained(texts: Sequence[str], labels: Sequence[str]) -> Any:
    from sklearn.dummy import DummyClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    if len(set(labels)) < 2 or not any(map(words, texts)):
        return DummyClassifier(strategy="prior").fit(texts, labels)  # nothing to tell labels apart by
    counts = TfidfVectorizer(analyzer=_terms, sublinear_tf=True)
    regression = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=1000)
    return make_pipeline(counts, regression).fit(texts, labels)


def _terms(text: str) -> list[str]:
    """Words as retrieval tells them apart, and pairs of neighbours."""
    found = words(text)
    return [*found, *(f"{one} {other}" for one, other in pairwise(found))]
