"""What a language model has to beat: TF-IDF over words and pairs of words, and logistic regression, by scikit-learn.

A method like the others to `dbsa_core.evaluate`. It reads the whole training file and no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from dbsa_core.methods.base import Cost, MayRead
from dbsa_core.prediction import Prediction
from dbsa_core.setup import Setup
from dbsa_core.stage2.label_scores import LabelScores
from dbsa_core.timing import Stopwatch

if TYPE_CHECKING:
    import torch

INVERSE_REGULARISATION = 10.0


class WordCounts:
    """`tfidf`: sublinear counts of words and pairs, then multinomial logistic regression."""

    name, title, reads_blocks = "tfidf", "TF-IDF + logistic regression", False
    may_read: MayRead = "all"
    uses: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._fitted: Any = None
        self._labels: tuple[str, ...] = ()
        self._device: torch.device | None = None

    def cost(self, setup: Setup) -> Cost:
        return Cost(0, 0)

    def fit(self, setup: Setup) -> WordCounts:
        rows = setup.task.pool.demonstrations
        counts = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
        regression = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=1000)
        self._fitted = make_pipeline(counts, regression).fit([row.text for row in rows], [row.label for row in rows])
        self._labels, self._device = setup.task.pool.labels, setup.task.model.device
        return self

    def teach(self, text: str, label: str) -> WordCounts:
        raise NotImplementedError("It is fitted anew instead.")

    def predict_many(self, queries: Iterable[str]) -> Iterator[Prediction]:
        return map(self.predict, queries)

    def predict(self, query: str, *, attention: bool = False) -> Prediction:
        assert self._device is not None
        watch = Stopwatch(self._device)
        with watch.phase("forward"):
            shares = dict(zip(self._fitted.classes_, self._fitted.predict_log_proba([query])[0], strict=True))
            log_probs = np.array([shares.get(label, -np.inf) for label in self._labels])
            scores = LabelScores(self._labels, log_probs, "one_pass", int(log_probs.argmax()), 0, 0)
        return Prediction(self.name, query, scores, 0, watch.finish(), False)
