"""Measures against scipy and scikit-learn, and against what is known without them."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy.stats import bootstrap, norm
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, f1_score

from dbsa_core.costs import break_even
from dbsa_core.evaluation.measures import (
    BINS,
    Estimate,
    calibration_error,
    compared,
    macro_f1,
    mean_difference,
    reliability,
    share,
)
from dbsa_core.intervals import wilson_interval

LABELS = ("a", "b", "c", "d")


def answers(seed: int, n: int = 200, skill: float = 0.7) -> tuple[list[str], list[str]]:
    """Right labels, uneven, and answers to them."""
    rng = np.random.default_rng(seed)
    gold = rng.choice(LABELS, n, p=(0.5, 0.3, 0.15, 0.05))
    predicted = np.where(rng.random(n) < skill, gold, rng.choice(LABELS, n))
    return gold.tolist(), predicted.tolist()


@pytest.mark.parametrize(("hits", "n"), [(1, 20), (37, 50), (170, 200), (240, 250)])
def test_the_interval_of_a_share_is_scipys_bootstrap(hits: int, n: int) -> None:
    rows = np.arange(n) < hits
    drawn = bootstrap((rows,), np.mean, method="percentile", n_resamples=20_000, rng=1).confidence_interval
    found = share(hits, n)
    assert found.value == hits / n
    # Of a finite number of draws the percentile may be the next possible share.
    assert abs(found.low - drawn.low) <= 1 / n + 1e-12
    assert abs(found.high - drawn.high) <= 1 / n + 1e-12


def test_where_all_rows_are_alike_the_interval_is_not_a_point() -> None:
    assert share(20, 20) == Estimate(1.0, *wilson_interval(20, 20))
    assert share(20, 20).low < 0.9
    assert share(0, 20).high > 0.1
    assert (share(0, 0).low, share(0, 0).high) == (0, 1)
    assert math.isnan(share(0, 0).value)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_macro_f1_and_its_interval_are_those_of_scikit_learn_and_scipy(seed: int) -> None:
    gold, predicted = answers(seed)
    found = macro_f1(gold, predicted)
    assert found.value == pytest.approx(f1_score(gold, predicted, average="macro"))

    def of(*parts: Any) -> float:
        return float(f1_score(*parts, average="macro"))

    data = (np.array(gold), np.array(predicted))
    drawn = bootstrap(data, of, paired=True, vectorized=False, method="percentile", n_resamples=600, rng=1)
    assert found.low == pytest.approx(drawn.confidence_interval.low, abs=0.02)
    assert found.high == pytest.approx(drawn.confidence_interval.high, abs=0.02)
    assert found == macro_f1(gold, predicted), "the same each time"


def test_no_answer_is_no_label_of_its_own() -> None:
    gold, predicted = ["a", "a", "b", "b"], ["a", "", "b", ""]
    assert macro_f1(gold, predicted).value == pytest.approx(2 / 3)
    assert macro_f1(["a", "b"], ["", ""]).value == 0


@pytest.mark.parametrize("seed", range(3))
def test_calibration_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.beta(3, 1, 500)
    right = rng.random(500) < probabilities**2
    bins = reliability(probabilities.tolist(), right.tolist())
    accuracy, means = calibration_curve(right, probabilities, n_bins=BINS)
    assert [each.accuracy for each in bins] == pytest.approx(accuracy)
    assert [each.probability for each in bins] == pytest.approx(means)
    assert sum(each.count for each in bins) == 500
    weights = [each.count / 500 for each in bins]
    assert calibration_error(bins) == pytest.approx(np.sum(weights * np.abs(accuracy - means)))


def test_a_probability_of_one_is_in_the_last_bin_and_of_none_in_the_first() -> None:
    assert [(each.count, each.probability) for each in reliability([0.0, 1.0, 1.0], [False, True, True])] == [
        (1, 0.0),
        (2, 1.0),
    ]
    assert calibration_error(reliability([1.0, 1.0], [True, True])) == 0
    assert math.isnan(calibration_error(()))


def exact(wins: int, losses: int) -> float:
    """McNemar's exact p by counting: of all ways to split these rows, those that are no more probable."""
    total = wins + losses
    ways = [math.comb(total, k) for k in range(total + 1)]
    return sum(each for each in ways if each <= ways[wins]) / 2**total


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (5, 5), (9, 1), (3, 14)])
def test_mcnemar_is_the_exact_test(wins: int, losses: int) -> None:
    first = [True] * wins + [False] * losses + [True, False] * 4
    second = [False] * wins + [True] * losses + [True, False] * 4
    found = compared("x", "y", first, second)
    assert (found.only_first, found.only_second, found.n) == (wins, losses, wins + losses + 8)
    assert found.p == pytest.approx(exact(wins, losses) if wins + losses else 1)
    back = compared("y", "x", second, first)
    assert back.p == pytest.approx(found.p)
    assert back.difference.value == -found.difference.value
    assert compared("x", "x", first, first).p == 1


def test_a_difference_is_of_pairs() -> None:
    gold, one = answers(1, 400, 0.8)
    _, other = answers(1, 400, 0.78)
    right = np.array([np.array(one) == gold, np.array(other) == gold])
    found = compared("one", "other", right[0].tolist(), right[1].tolist())
    scores = [accuracy_score(gold, each) for each in (one, other)]
    assert found.difference.value == pytest.approx(scores[0] - scores[1])
    drawn = bootstrap(
        (right[0].astype(float) - right[1],), np.mean, method="percentile", n_resamples=9999, rng=1
    ).confidence_interval
    assert found.difference.low == pytest.approx(drawn.low, abs=0.006)
    assert found.difference.high == pytest.approx(drawn.high, abs=0.006)


def test_a_mean_over_data_sets_weighs_them_alike() -> None:
    strata = [(30, 10, 100), (5, 5, 400)]
    found = mean_difference(strata)
    assert found.value == pytest.approx(0.1)
    # By the normal approximation: variances of means of paired differences, over two data sets.
    spread = math.sqrt(sum(((w + x) / n - ((w - x) / n) ** 2) / n for w, x, n in strata)) / 2
    assert found.low == pytest.approx(0.1 + norm.ppf(0.025) * spread, abs=0.004)
    assert found.high == pytest.approx(0.1 + norm.ppf(0.975) * spread, abs=0.004)


def test_what_costs_more_once_pays_for_itself_where_a_query_costs_less() -> None:
    assert break_even((10.0, 0.0), (0.1, 1.0)) == 12
    for once, each in combinations((0.0, 1.5, 4.0), 2):
        number = break_even((each, once), (0.25, 1.0))
        assert number is not None
        assert each + 0.25 * number < once + 1.0 * number
        assert number == 0 or each + 0.25 * (number - 1) >= once + 1.0 * (number - 1)
    assert break_even((0.0, 3.0), (0.1, 1.0)) == 0
    assert break_even((0.0, 0.0), (1.0, 1.0)) is None
    assert break_even((0.0, 5.0), (2.0, 1.0)) is None


def test_a_probability_on_the_border_of_two_bins_is_in_the_lower_one() -> None:
    assert [(each.count, each.accuracy) for each in reliability([0.0, 0.2, 0.21, 1.0], [True, True, False, False])] == [
        (1, 1.0), (1, 1.0), (1, 0.0), (1, 0.0)
    ]  # fmt: skip
