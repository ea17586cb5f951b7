"""What answers are worth beside the right labels: shares with intervals, calibration, and which method is better.

Knows nothing about methods or models: labels and probabilities in, numbers out. All intervals hold 95 % and are
percentiles of the bootstrap (Efron 1979, "Bootstrap methods: another look at the jackknife") over test rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dbsa_core.intervals import wilson_interval

CONFIDENCE = 0.95
RESAMPLES = 10_000
SEED = 0
"""Of the draws, so that an interval is the same each time."""
BINS = 15
"""Of equal width, for calibration."""
_TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Estimate:
    """A number with its interval of 95 %."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"


def share(hits: int, trials: int) -> Estimate:
    """Of so many rows; (nan, 0, 1) for none.

    The hits of a resample are binomial, so the percentiles of infinitely many are known. Where all rows are alike so is
    every resample, which says nothing: there the interval is Wilson's.
    """
    from scipy.stats import binom  # takes long to import, and is used here and below alone

    if not trials:
        return Estimate(float("nan"), 0.0, 1.0)
    if hits in (0, trials):
        return Estimate(hits / trials, *wilson_interval(hits, trials))
    low, high = (float(binom.ppf(tail, trials, hits / trials)) / trials for tail in _TAILS)
    return Estimate(hits / trials, low, high)


def macro_f1(gold: Sequence[str], predicted: Sequence[str]) -> Estimate:
    """The mean over labels, right ones and answered ones, of the harmonic mean of precision and recall; "" is no answer
    and no label. A resample's labels are those that it holds."""
    labels = {label: place for place, label in enumerate(sorted({*gold, *predicted} - {""}))}
    nothing = len(labels)
    cells, counts = np.unique(
        [(labels[right], labels.get(answer, nothing)) for right, answer in zip(gold, predicted, strict=True)],
        axis=0, return_counts=True,
    )  # fmt: skip
    rows, columns = np.eye(nothing + 1)[cells[:, 0], :-1], np.eye(nothing + 1)[cells[:, 1], :-1]
    hits = rows * columns

    def f1(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        """[draws, cells] to [draws]."""
        either = drawn @ (rows + columns)
        present = either > 0
        each = np.divide(2 * (drawn @ hits), either, out=np.zeros_like(either), where=present)
        return np.asarray(each.sum(1) / present.sum(1))

    total = counts.sum()
    drawn = np.random.default_rng(SEED).multinomial(total, counts / total, RESAMPLES // 5).astype(float)
    low, high = np.quantile(f1(drawn), _TAILS)
    return Estimate(float(f1(counts[None].astype(float))[0]), float(low), float(high))


@dataclass(frozen=True)
class Bin:
    """Answers of about the same probability."""

    count: int
    probability: float
    """Their mean."""
    accuracy: float


def reliability(probabilities: Sequence[float], right: Sequence[bool]) -> tuple[Bin, ...]:
    """Answers by the probability of their label, in `BINS` bins of equal width from 0 to 1, without the empty ones."""
    values, hits = np.asarray(probabilities, float), np.asarray(right, float)
    places = np.clip(np.ceil(values * BINS).astype(int) - 1, 0, BINS - 1)
    found = []
    for place in range(BINS):
        mine = places == place
        if mine.any():
            found.append(Bin(int(mine.sum()), float(values[mine].mean()), float(hits[mine].mean())))
    return tuple(found)


def calibration_error(bins: Sequence[Bin]) -> float:
    """ECE: how far accuracy and probability are apart, as the mean over answers of what their bin says (Naeini et al.
    2015, "Obtaining well calibrated probabilities using Bayesian binning"); nan for no answers."""
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.probability - each.accuracy) for each in bins) / total if total else float("nan")


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same rows."""

    first: str
    second: str
    n: int
    only_first: int
    """Rows that the first alone answered rightly."""
    only_second: int
    difference: Estimate
    """Accuracy of the first less that of the second."""
    p: float
    """McNemar's exact test: how probable so uneven a split of those rows is, or a more uneven one, if neither method
    is better (1947, "Note on the sampling error of the difference between correlated proportions")."""

    @property
    def significant(self) -> bool:
        return self.p < 1 - CONFIDENCE


def compared(first: str, second: str, right: Sequence[bool], other: Sequence[bool]) -> Comparison:
    """`right` and `other` say of each row whether the methods of those names answered it rightly."""
    from scipy.stats import binomtest

    wins, losses, n = paired(right, other)
    p = float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
    return Comparison(first, second, n, wins, losses, mean_difference([(wins, losses, n)]), p)


def paired(right: Sequence[bool], other: Sequence[bool]) -> tuple[int, int, int]:
    """Rows that the first alone answered rightly, those that the second alone did, and all."""
    ours, theirs = np.asarray(right, bool), np.asarray(other, bool)
    return int((ours & ~theirs).sum()), int((theirs & ~ours).sum()), len(ours)


def mean_difference(strata: Sequence[tuple[int, int, int]]) -> Estimate:
    """Mean over data sets of the accuracy of one method less another's, by a paired bootstrap within each: for each
    data set the rows that the first alone answered rightly, those that the second alone did, and all rows."""
    rng, drawn, value = np.random.default_rng(SEED), np.zeros(RESAMPLES), 0.0
    for wins, losses, n in strata:
        resampled = rng.multinomial(n, [wins / n, losses / n, (n - wins - losses) / n], RESAMPLES)
        drawn += (resampled[:, 0] - resampled[:, 1]) / n / len(strata)
        value += (wins - losses) / n / len(strata)
    low, high = np.quantile(drawn, _TAILS)
    return Estimate(value, float(low), float(high))
