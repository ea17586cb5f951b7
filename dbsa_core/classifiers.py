"""Classifiers that learn from a file's rows in seconds and ask no language model: of words, and of sentence vectors.

Knows nothing about models, blocks or methods. Each is a multinomial logistic regression by scikit-learn. Alone they are
what a language model has to beat; beside one, they vote (a product of experts, Hinton 2002, "Training products of
experts by minimizing contrastive divergence").
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbsa_core.errors import SettingsError
from dbsa_core.retrieve.embeddings import Embeddings
from dbsa_core.retrieve.tokens import words

CLASSIFIERS = ("words", "vectors")
VOTES = ("none", *CLASSIFIERS, "+".join(CLASSIFIERS))
"""Which classifiers vote beside a language model."""
INVERSE_REGULARISATION = 10.0
MANY = 2000
"""Rows from which on words are fitted by a solver that is faster than the default one then."""
LEAST_VOTE = -20.0
"""What a classifier finds less probable, in logarithms, it votes against no more."""

Array = NDArray[np.float64]
Featured = tuple[NDArray[np.intp] | slice, Array]
"""Of one text: which features it has, and how much of each."""


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """Log-probabilities of labels that are linear in a text's features, but for their sum."""

    labels: tuple[str, ...]
    """Those that it has seen a row of, sorted."""
    coefficients: Array
    """[features, labels]"""
    intercepts: Array
    """[labels]"""
    features: Callable[[str], Featured]

    def log_probs(self, texts: Sequence[str]) -> Array:
        """[texts, labels]"""
        return self._log_probs([self.features(text) for text in texts])

    def votes(self, text: str, labels: Sequence[str]) -> Array:
        """float64 [labels]: log-probabilities of these labels, `LEAST_VOTE` at least. A label that it has seen no row
        of is one that it says nothing against: it gets as much as the most probable one."""
        votes: Array = self.votes_of([self.features(text)], labels)[0]
        return votes

    def votes_of(self, featured: Sequence[Featured], labels: Sequence[str]) -> Array:
        """float64 [texts, labels]: the votes on texts whose features are given."""
        found = np.maximum(self._log_probs(featured), LEAST_VOTE)
        places = {label: place for place, label in enumerate(self.labels)}
        votes = np.repeat(found.max(axis=1, keepdims=True), len(labels), axis=1)
        known = [at for at, label in enumerate(labels) if label in places]
        votes[:, known] = found[:, [places[labels[at]] for at in known]]
        return votes

    def _log_probs(self, featured: Sequence[Featured]) -> Array:
        from scipy.special import log_softmax

        if not featured:
            return np.zeros((0, len(self.labels)))
        scores = [amounts @ self.coefficients[which] + self.intercepts for which, amounts in featured]
        return np.asarray(log_softmax(scores, axis=1))


def voters_of(votes: str) -> tuple[str, ...]:
    """The classifiers that vote; `SettingsError` for a name that is not in `VOTES`."""
    if votes not in VOTES:
        raise SettingsError(f"There are no votes {votes!r}; there are {', '.join(VOTES)}.")
    return () if votes == "none" else tuple(votes.split("+"))


def train_classifier(
    name: str, texts: Sequence[str], labels: Sequence[str], rows: Sequence[int], embeddings: Embeddings
) -> LinearClassifier:
    """The one of `CLASSIFIERS`, of these of the rows; `embeddings` are of all `texts`, and used by "vectors" alone.

    "words": TF-IDF of words, as retrieval tells them apart, and of pairs of neighbours, with sublinear counts.
    """
    if name not in CLASSIFIERS:
        raise SettingsError(f"There is no classifier {name!r}; there are {', '.join(CLASSIFIERS)}.")
    there = [labels[row] for row in rows]
    if name == "vectors":
        vectors = embeddings.vectors[list(rows)].astype(np.float64)

        def features(text: str) -> Featured:
            return slice(None), embeddings.query(text).astype(np.float64)

        return _trained(vectors, there, features)
    read = [texts[row] for row in rows]
    if not any(map(words, read)):
        return _by_shares(there)
    from sklearn.feature_extraction.text import TfidfVectorizer

    counts = TfidfVectorizer(analyzer=_terms, sublinear_tf=True)
    counted = counts.fit_transform(read)
    return _trained(counted, there, WordFeatures(counts.vocabulary_, counts.idf_), sparse=True)


def votes_on_rows(
    name: str,
    texts: Sequence[str],
    labels: Sequence[str],
    judged: Sequence[int],
    others: Sequence[int],
    embeddings: Embeddings,
    candidates: Sequence[str],
) -> Array:
    """float64 [judged rows, candidates]: votes on some of the rows by the classifier of that name, trained on others;
    all else as in `train_classifier`."""
    trained = train_classifier(name, texts, labels, others, embeddings)
    if name == "vectors":  # they are there
        return trained.votes_of(
            [(slice(None), row) for row in embeddings.vectors[list(judged)].astype(np.float64)], candidates
        )
    return trained.votes_of([trained.features(texts[row]) for row in judged], candidates)


@dataclass(frozen=True, eq=False)
class WordFeatures:
    """What scikit-learn's vectorizer makes of one text, without what it checks each time."""

    vocabulary: dict[str, int]
    weights: Array
    """[features]: how rare each is."""

    def __call__(self, text: str) -> Featured:
        counts = Counter(self.vocabulary[term] for term in _terms(text) if term in self.vocabulary)
        which = np.fromiter(counts, np.intp, len(counts))
        amounts = (1.0 + np.log(np.fromiter(counts.values(), np.float64, len(counts)))) * self.weights[which]
        return which, amounts / max(float(np.linalg.norm(amounts)), 1e-300)


def _terms(text: str) -> list[str]:
    """Words, and pairs of neighbours."""
    found = words(text)
    return [*found, *(f"{one} {other}" for one, other in pairwise(found))]


def _trained(
    features: Any, labels: Sequence[str], of_text: Callable[[str], Featured], *, sparse: bool = False
) -> LinearClassifier:
    from sklearn.linear_model import LogisticRegression

    if len(set(labels)) < 2:
        return _by_shares(labels)
    how = {"solver": "saga", "tol": 1e-3, "random_state": 0} if sparse and len(labels) >= MANY else {}
    with warnings.catch_warnings():  # few rows of many labels are no mistake here
        warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%", UserWarning)
        found = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=1000, **how).fit(features, labels)
    coefficients, intercepts = found.coef_, found.intercept_
    if len(found.classes_) == 2:  # scores of the second label alone, beside 0
        coefficients, intercepts = (np.stack([0 * of[0], of[0]]) for of in (coefficients, intercepts))
    names = tuple(map(str, found.classes_))
    return LinearClassifier(names, np.ascontiguousarray(coefficients.T), intercepts, of_text)


def _by_shares(labels: Sequence[str]) -> LinearClassifier:
    """Where nothing tells labels apart: their shares of the rows."""
    names, counts = np.unique(labels, return_counts=True)
    nothing: Featured = (slice(0, 0), np.zeros(0))
    return LinearClassifier(
        tuple(map(str, names)), np.zeros((0, len(names))), np.log(counts / counts.sum()), lambda text: nothing
    )
