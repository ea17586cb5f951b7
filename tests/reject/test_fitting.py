"""What is fitted: a logistic regression as scikit-learn's, a threshold that refuses no more than helps, and a curve."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from dbsa_core.errors import DataError, SettingsError
from dbsa_core.reject import SIGNS, RejectOption
from dbsa_core.reject.fitting import INVERSE_REGULARISATION, Sample, fit_logistic, option_of
from dbsa_core.reject.signs import DIRECTIONS


def sample_of(rows: int = 200, apart: float = 2.0, seed: int = 0, share: float = 0.25) -> Sample:
    """Signs that are so far apart, in the right directions; nine in ten rows in scope would be answered right."""
    rng = np.random.default_rng(seed)
    in_scope = rng.random(rows) >= share
    signs = rng.normal(size=(rows, len(SIGNS))) + apart * DIRECTIONS * in_scope[:, None]
    return Sample(signs, in_scope & (rng.random(rows) < 0.9), in_scope)


def test_weights_are_scikit_learns_where_no_direction_is_violated() -> None:
    sample = sample_of()
    weights, bias = fit_logistic(sample.signs, sample.in_scope)
    theirs = LogisticRegression(C=INVERSE_REGULARISATION, class_weight="balanced", tol=1e-8, max_iter=1000)
    theirs.fit(sample.signs, sample.in_scope)
    assert weights == pytest.approx(theirs.coef_[0], rel=1e-4)
    assert bias == pytest.approx(float(theirs.intercept_[0]), rel=1e-3, abs=1e-4)


def test_no_sign_speaks_against_its_direction() -> None:
    """More similar rows never make a text fit less, however few rows suggest it."""
    sample = sample_of()
    signs = sample.signs.copy()
    signs[:, 2] *= -1
    weights, _ = fit_logistic(signs, sample.in_scope)
    assert weights[2] == 0
    assert all(weights[[0, 1, 3]] * DIRECTIONS[[0, 1, 3]] > 0)
    option = option_of(Sample(signs, sample.right, sample.in_scope), "oos")
    rng = np.random.default_rng(1)
    for start in rng.normal(size=(50, len(SIGNS))):
        for place, direction in enumerate(DIRECTIONS):
            more = start.copy()
            more[place] += direction
            assert option.score(more) >= option.score(start)


def test_rows_that_are_apart_are_told_apart() -> None:
    option = option_of(sample_of(apart=3.0), "oos")
    point = option.point
    assert point is not None
    assert point.threshold == option.threshold
    assert point.oos_recall is not None
    assert point.oos_recall > 0.95
    assert point.coverage > 0.95
    fresh = sample_of(apart=3.0, seed=9)
    refused = np.array([option.verdict(row).refuses for row in fresh.signs])
    assert np.mean(refused == ~fresh.in_scope) > 0.95


def test_signs_that_tell_nothing_refuse_next_to_nothing() -> None:
    """Though the best of many thresholds always seems to help."""
    found = [option_of(sample_of(apart=0.0, seed=seed), "oos") for seed in range(12)]
    assert sum(option.threshold > 0 for option in found) <= 1
    assert all(max(point.balanced for point in option.curve) > option.curve[0].balanced for option in found)
    nothing = option_of(replace(sample_of(), signs=np.ones((200, len(SIGNS)))), "oos")
    assert nothing.threshold == 0
    assert not nothing.verdict(np.zeros(len(SIGNS))).refuses


def test_the_threshold_is_the_least_within_a_standard_error_of_the_best() -> None:
    sample = sample_of(rows=60, apart=0.8)
    option = option_of(sample, "oos")
    best = max(option.curve, key=lambda point: point.balanced)
    assert len(option.curve) == 61 - (61 - len({point.threshold for point in option.curve})), "all points are there"
    counts = sample.in_scope.sum(), (~sample.in_scope).sum()
    shares = best.right_kept, best.rest_refused
    error = np.sqrt(sum(share * (1 - share) / count for share, count in zip(shares, counts, strict=True))) / 2
    good = [point.threshold for point in option.curve if point.balanced >= best.balanced - error]
    assert option.threshold == min(good)
    assert option.threshold < best.threshold


def test_a_curve_runs_from_refusing_nothing_to_refusing_nearly_all() -> None:
    sample = sample_of()
    curve = option_of(sample, "oos").curve
    assert curve[0].threshold == 0
    assert (curve[0].coverage, curve[0].oos_recall) == (1.0, 0.0)
    assert curve[0].accuracy == pytest.approx(sample.right[sample.in_scope].mean())
    assert curve[-1].coverage < 0.05
    assert 50 < len(curve) <= 102
    for one, next_one in pairwise(curve):
        assert one.threshold < next_one.threshold
        assert one.coverage >= next_one.coverage
        assert (one.oos_recall or 0) <= (next_one.oos_recall or 0)


def test_without_a_label_out_of_scope_right_answers_are_told_from_the_rest() -> None:
    sample = sample_of()
    assert list(sample.fits(None)) == list(sample.right)
    assert list(sample.fits("oos")) == list(sample.in_scope)
    rng = np.random.default_rng(3)
    right = rng.random(300) < 0.8
    signs = rng.normal(size=(300, len(SIGNS))) + 3 * DIRECTIONS * right[:, None]
    option = option_of(Sample(signs, right, np.ones(300, bool)), None)
    point = option.point
    assert point is not None
    assert point.oos_recall is None, "there is no row that no label fits"
    assert point.accuracy is not None
    assert point.accuracy > 0.97 > right.mean() + 0.1
    assert option.out_of_scope is None


def test_a_threshold_can_be_chosen() -> None:
    option = option_of(sample_of(), "oos")
    signs = np.zeros(len(SIGNS))
    assert not option.with_threshold(0).verdict(signs).refuses
    assert option.with_threshold(1).verdict(signs).refuses
    chosen = option.with_threshold(option.curve[40].threshold)
    assert chosen.point == option.curve[40]
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(SettingsError, match=r"it must be from 0, which refuses nothing, to 1"):
            option.with_threshold(wrong)


def test_a_threshold_can_be_chosen_by_what_it_costs() -> None:
    option = option_of(sample_of(apart=1.0), "oos")
    whole = option.curve[0].in_scope_accuracy
    for cost in (0.0, 0.01, 0.1, 1.0):
        chosen = option.at_cost(cost)
        good = [point for point in option.curve if point.in_scope_accuracy >= whole - cost]
        assert chosen.threshold == max(point.threshold for point in good)
    assert option.at_cost(1.0).threshold == option.curve[-1].threshold
    assert option.at_cost(0.0).threshold < option.at_cost(0.1).threshold
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(SettingsError, match=r"it must be from 0, nothing, to 1"):
            option.at_cost(wrong)
    with pytest.raises(SettingsError, match="no curve"):
        replace(option, curve=()).at_cost(0.1)


def test_a_threshold_can_be_chosen_by_what_it_refuses() -> None:
    option = option_of(sample_of(apart=1.0), "oos")
    for recall in (0.0, 0.5, 0.8, 1.0):
        chosen = option.at_recall(recall)
        good = [point for point in option.curve if (point.oos_recall or 0) >= recall]
        assert chosen.threshold == min(point.threshold for point in good)
    assert option.at_recall(0.0).threshold == 0
    assert option.at_recall(0.5).threshold < option.at_recall(0.9).threshold
    part = replace(option, curve=option.curve[:20])
    assert part.at_recall(1.0).threshold == option.curve[19].threshold, "none refuses all"
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(SettingsError, match=r"it must be from 0, none, to 1, all"):
            option.at_recall(wrong)
    without = option_of(replace(sample_of(), in_scope=np.ones(200, bool)), None)
    with pytest.raises(SettingsError, match="without a row that no label fits"):
        without.at_recall(0.8)
    with pytest.raises(SettingsError, match="no curve"):
        replace(option, curve=()).at_recall(0.1)


def test_an_option_survives_json() -> None:
    option = option_of(sample_of(), "oos", seconds=3.5)
    assert RejectOption.from_json(json.loads(json.dumps(option.as_json()))) == option
    for broken in ({}, {**option.as_json(), "signs": ["other"]}, {**option.as_json(), "weights": [1.0]}):
        with pytest.raises(DataError, match="fit it anew"):
            RejectOption.from_json(broken)


def test_scores_are_probabilities_however_far_out_the_signs_are() -> None:
    option = option_of(sample_of(), None)
    far = 1e6 * DIRECTIONS
    assert (option.score(far), option.score(-far)) == (1.0, 0.0)
