"""Corrections of answers, each neutral at some value: numbers in, numbers out.

Knows nothing about models. What is fitted is fitted on other rows than it is applied to (`crossed`), in folds. Scores
and votes are log-probabilities, float64 [rows, labels]; `gold` the places of the right labels, int [rows].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

from dbsa_core.voting import likeliest_weight

Array = NDArray[np.float64]
Places = NDArray[np.intp]

FOLDS = 5
PENALTY = 1.0
"""On squared biases, in rows."""
NEAREST, SHARPNESS, NEVER = 32, 20.0, 1e-3
"""Of the votes of nearest rows: how many vote, how much more a nearer one counts, and what an unnamed label gets."""


@dataclass(frozen=True)
class Asked:
    """What is known of rows of one data set."""

    gold: Places
    scores: Mapping[str, Array]
    """By the way of reading."""
    votes: Mapping[str, Array]

    def part(self, rows: Places) -> Asked:
        scores, votes = ({name: of[rows] for name, of in each.items()} for each in (self.scores, self.votes))
        return Asked(self.gold[rows], scores, votes)


@dataclass(frozen=True)
class Fitted:
    """A correction as it was fitted."""

    apply: Callable[[Asked], Array]
    """Scores of further rows."""
    value: float = float("nan")
    """Of its one number, where it has one."""


Correction = Callable[[Asked], Fitted]
"""Fits it."""


def crossed(fit: Correction, asked: Asked, seed: int = 0) -> tuple[Array, list[Fitted]]:
    """Scores of all rows, each by a correction that was fitted without it, and these."""
    order = np.random.default_rng(seed).permutation(len(asked.gold))
    found, fits = np.zeros_like(next(iter(asked.scores.values()))), list[Fitted]()
    for fold in np.array_split(order, FOLDS):
        rest = np.setdiff1d(order, fold)
        fits.append(fit(asked.part(rest)))
        found[fold] = fits[-1].apply(asked.part(fold))
    return found, fits


def as_read(name: str, asked: Asked) -> Fitted:
    """No correction."""
    return Fitted(lambda more: more.scores[name])


def averaged(names: Sequence[str], asked: Asked) -> Fitted:
    """The mean of log-probabilities among the labels of several ways of reading."""
    return Fitted(lambda more: np.mean([log_softmax(more.scores[name], axis=1) for name in names], axis=0))


def biased(name: str, asked: Asked) -> Fitted:
    """A number added to each label's log-probability (arXiv 2505.23783 adds one too, by another rule)."""
    added = fit_bias(asked.scores[name], asked.gold)
    return Fitted(lambda more: more.scores[name] + added, float(np.abs(added).max()))


def batch_calibrated(name: str, asked: Asked) -> Fitted:
    """Divided by the mean probability of the label over rows (arXiv 2309.17249); nothing is fitted to right labels."""
    mean = logsumexp(log_softmax(asked.scores[name], axis=1), axis=0) - np.log(len(asked.gold))
    return Fitted(lambda more: more.scores[name] - mean)


def voted(name: str, voters: Sequence[str], asked: Asked, weight: float | None = None) -> Fitted:
    """Log-probabilities plus weighted log-probabilities of the voters, which share one weight, fitted where none is
    given."""
    scores = log_softmax(asked.scores[name], axis=1)
    weight = likeliest_weight(scores, _together(asked, voters), asked.gold) if weight is None else weight
    return Fitted(lambda more: log_softmax(more.scores[name], axis=1) + weight * _together(more, voters), weight)


def voted_and_biased(name: str, voters: Sequence[str], asked: Asked) -> Fitted:
    votes = voted(name, voters, asked)
    added = fit_bias(votes.apply(asked), asked.gold)
    return Fitted(lambda more: votes.apply(more) + added, votes.value)


def averaged_and_voted(names: Sequence[str], voters: Sequence[str], asked: Asked) -> Fitted:
    mean = averaged(names, asked)
    weight = likeliest_weight(mean.apply(asked), _together(asked, voters), asked.gold)
    return Fitted(lambda more: mean.apply(more) + weight * _together(more, voters), weight)


def by_votes_alone(voter: str, asked: Asked) -> Fitted:
    return Fitted(lambda more: more.votes[voter])


def adaptive(first: str, full: str, asked: Asked) -> Fitted:
    """The full way of reading only where the first one's labels are uncertain (compare arXiv 2605.03644): above the
    highest threshold of their entropy with which as many fitted rows are right as with the full way."""
    limit = fit_threshold(asked.scores[first], asked.scores[full], asked.gold)

    def apply(more: Asked) -> Array:
        again = entropy(more.scores[first]) > limit
        return np.where(again[:, None], more.scores[full], more.scores[first])

    return Fitted(apply, limit)


def entropy(scores: Array) -> Array:
    """[rows], of the labels, natural."""
    shares = log_softmax(scores, axis=1)
    return -(np.exp(shares) * shares).sum(1)


def fit_bias(scores: Array, gold: Places) -> Array:
    """[labels], by penalised likelihood."""
    labels, rows = scores.shape[1], np.arange(len(gold))

    def loss(added: Array) -> tuple[float, Array]:
        shares = log_softmax(scores + added, axis=1)
        slopes = np.exp(shares).sum(0) - np.bincount(gold, minlength=labels)
        return float(-shares[rows, gold].sum() + PENALTY * (added @ added)), slopes + 2 * PENALTY * added

    return np.asarray(minimize(loss, np.zeros(labels), jac=True, method="L-BFGS-B").x)


def fit_threshold(first: Array, full: Array, gold: Places) -> float:
    """0 asks everybody again, infinity nobody."""
    uncertain = entropy(first)
    now, then = (scores.argmax(1) == gold for scores in (first, full))
    for limit in np.sort([np.inf, 0.0, *uncertain])[::-1]:
        if np.where(uncertain > limit, then, now).sum() >= then.sum():
            return float(limit)
    return 0.0


def votes_of_nearest(queries: Array, rows: Array, labels: Places, count: int) -> Array:
    """By vectors of unit length, [queries, d] and [rows, d], and the rows' labels: log shares of `count` labels."""
    cosines = queries @ rows.T
    nearest = np.argpartition(-cosines, min(NEAREST, len(rows) - 1) - 1, axis=1)[:, :NEAREST]
    found = np.full((len(queries), count), NEVER)
    for query, places in enumerate(nearest):
        near = cosines[query, places]
        np.add.at(found[query], labels[places], np.exp(SHARPNESS * (near - near.max())))
    return np.log(found / found.sum(1, keepdims=True))


def _together(asked: Asked, voters: Sequence[str]) -> Array:
    return np.sum([log_softmax(asked.votes[name], axis=1) for name in voters], axis=0)
