"""The weight of the votes, fitted to a method's answers to rows of the labelled file that it does not read.

Knows nothing about any one method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from dbsa_core.errors import DataError, SettingsError
from dbsa_core.methods import make_method
from dbsa_core.methods.base import answered_rows
from dbsa_core.prediction import Prediction
from dbsa_core.settings import MOST_WEIGHT, QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.stage1.progress import OnProgress
from dbsa_core.validation import Validation, draw_validation

PRIOR = 4.0
"""How strongly the weight is drawn to 1, in rows: of a few dozen rows the likeliest one is worth less than 1 itself."""
FURTHEST = 12.0
"""Logarithm of a factor."""
LEAST_ROWS = 20
_LEAST = 1e-12
"""A probability that is less counts as this."""


@dataclass(frozen=True)
class VoteWeight:
    """As it was fitted."""

    weight: float
    rows: int
    """Validation rows that it was fitted on."""
    right: int
    """Of them, those that are answered rightly without votes;"""
    right_with_votes: int
    """and with them: the same rows that the weight was fitted on, so better by chance than on others."""
    seconds: float


def fit_vote_weight(
    name: str,
    settings: QuerySettings,
    setup: Setup,
    *,
    rows: int | None = None,
    drawn: Validation | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_encoding: OnProgress | None = None,
) -> VoteWeight:
    """Ask the method of that name, without votes, about rows of the file that it does not read (`drawn`, else
    `draw_validation` of `rows`), and fit the weight of `settings.votes`, whose classifiers have not seen them either.

    The weight is the likeliest one of a logistic regression of both log-probabilities on the labels (Wolpert 1992,
    "Stacked generalization"), drawn to 1. `on_progress(rows answered, rows)`; `on_encoding` of a pool without the rows,
    where one is needed. Raises `SettingsError` where nothing votes in that method, and `DataError` for fewer than
    `LEAST_ROWS` rows.
    """
    asking, method = replace(settings, vote_weight=1.0), make_method(name, replace(settings, votes="none"))
    if "vote_weight" not in make_method(name, asking).uses:
        raise SettingsError(f"With votes {settings.votes!r} nothing votes in {name}; choose other votes or a method.")
    drawn = drawn or draw_validation(setup, rows=rows)
    if method.reads_blocks:
        drawn = drawn.encode(on_encoding)
    begun, labels = perf_counter(), drawn.setup.task.pool.labels
    scores, votes, gold = [], [], []
    for row, found in answered_rows(method.fit(drawn.setup), drawn.demonstrations, on_progress):
        scores.append(log_shares(found))
        votes.append(drawn.setup.votes(asking, found.query))
        gold.append(labels.index(row.label))
    if len(gold) < LEAST_ROWS:
        raise DataError(
            f"The weight of votes is fitted on {LEAST_ROWS} rows or more, and {len(gold)} could be held out and asked; "
            "give more rows, or a weight."
        )
    return _weight_of(np.array(scores), np.array(votes), np.array(gold), begun)


def log_shares(found: Prediction) -> NDArray[np.float64]:
    """float64 [labels]: of the probabilities of an answer that was decoded exactly, what votes are added to."""
    shares = found.scores.probabilities
    assert shares is not None
    return np.asarray(np.log(np.maximum(shares, _LEAST)))


def _weight_of(
    scores: NDArray[np.float64], votes: NDArray[np.float64], gold: NDArray[np.intp], begun: float
) -> VoteWeight:
    weight = likeliest_weight(scores, votes, gold)
    before, after = (int((added.argmax(1) == gold).sum()) for added in (scores, scores + weight * votes))
    return VoteWeight(weight, len(gold), before, after, perf_counter() - begun)


def likeliest_weight(scores: NDArray[np.float64], votes: NDArray[np.float64], gold: NDArray[np.intp]) -> float:
    """By log-probabilities [rows, labels] of a model and of votes, and the places [rows] of the right labels."""
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    rows = np.arange(len(gold))

    def loss(logarithms: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """And its slopes."""
        of_each = np.exp(logarithms)
        found = log_softmax(of_each[0] * scores + of_each[1] * votes, axis=1)
        shares, apart = np.exp(found), logarithms[1] - logarithms[0]
        slopes = [(shares * each).sum() - each[rows, gold].sum() for each in (scores, votes)]
        drawn = 2 * PRIOR * apart * np.array([-1.0, 1.0])
        return float(PRIOR * apart**2 - found[rows, gold].sum()), of_each * slopes + drawn

    # Where all rows are right already, no factor is large enough: without bounds, steps can grow beyond what exp takes.
    bounds = [(-FURTHEST, FURTHEST)] * 2
    factor, weight = np.exp(minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=bounds).x)
    return round(min(float(weight / factor), MOST_WEIGHT), 2)
