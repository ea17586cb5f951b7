"""The score interval: against its definition, and at its ends."""

from __future__ import annotations

from math import sqrt

import pytest

from dbsa_core.intervals import wilson_interval

Z = 1.959963984540054


@pytest.mark.parametrize(("hits", "trials"), [(1, 3), (8, 10), (112, 1000), (399, 400), (5, 10)])
def test_its_ends_are_the_shares_at_which_the_sample_lies_at_the_edge(hits: int, trials: int) -> None:
    for end in wilson_interval(hits, trials):
        assert abs(hits / trials - end) == pytest.approx(Z * sqrt(end * (1 - end) / trials))


def test_it_stays_between_0_and_1_and_closes_with_more_trials() -> None:
    assert wilson_interval(0, 0) == (0, 1)
    assert wilson_interval(0, 10)[0] == 0
    assert wilson_interval(10, 10)[1] == 1
    assert wilson_interval(0, 10)[1] == pytest.approx(Z**2 / (10 + Z**2))
    widths = [high - low for low, high in (wilson_interval(trials // 2, trials) for trials in (10, 100, 1000))]
    assert widths == sorted(widths, reverse=True)
    low, high = wilson_interval(50, 100, 0.5)
    assert wilson_interval(50, 100)[0] < low < high < wilson_interval(50, 100)[1]


def test_more_hits_than_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="0 to 3"):
        wilson_interval(4, 3)
