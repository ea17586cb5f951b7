"""What is chosen: noise changes nothing, and what is not comparable is never chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from dbsa_core.settings import QuerySettings
from dbsa_core.tuning.choice import FASTER, Candidate, choose, frontier, holm

ROWS = 100


def candidate(name: str, right: int, latency: float | None = 1.0, **more: Any) -> Candidate:
    """Right about the first so many rows."""
    asked = more.pop("asked", ROWS)
    settings = more.pop("settings", QuerySettings())
    return Candidate(name, settings, np.arange(asked) < right, ROWS, latency)


def test_holms_correction_is_his() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_what_is_preferred_stays_where_nothing_is_better_beyond_chance() -> None:
    preferred, other = candidate("preferred", 80), candidate("other", 84)
    assert binomtest(4, 4).pvalue > 0.05
    chosen = choose([other, preferred], 1)
    assert (chosen.place, chosen.p_values) == (1, (pytest.approx(0.125), None))
    assert "beyond chance" in chosen.why


def test_what_is_better_beyond_chance_is_chosen_the_most_accurate_of_several() -> None:
    several = [candidate("preferred", 70), candidate("better", 85), candidate("best", 90), candidate("worse", 50)]
    assert choose(several, 0).place == 2


def test_one_of_many_is_not_better_by_its_own_p_value_alone() -> None:
    better = candidate("better", 86)
    assert 0.025 < binomtest(6, 6).pvalue < 0.05
    assert choose([candidate("preferred", 80), better], 0).place == 1
    assert choose([candidate("preferred", 80), better, candidate("third", 81)], 0).place == 0


def test_the_worse_is_never_chosen_however_significant() -> None:
    assert choose([candidate("preferred", 90), candidate("worse", 50)], 0).place == 0


def test_what_is_no_less_accurate_and_clearly_faster_is_chosen() -> None:
    def place(right: int, latency: float | None) -> int:
        return choose([candidate("preferred", 80, 1.0), candidate("fast", right, latency)], 0).place

    assert place(80, FASTER) == 1
    assert place(80, 1.02 * FASTER) == 0
    assert place(79, 0.1) == 0
    assert place(80, None) == 0


def test_what_may_be_less_accurate_by_more_than_a_margin_is_not_chosen_for_its_speed() -> None:
    right = np.arange(ROWS) < 80
    for apart, place in ((0, 1), (1, 0), (10, 0)):
        other = right.copy()
        other[:apart], other[80 : 80 + apart] = False, True
        fast = Candidate("fast", QuerySettings(), other, ROWS, 0.1)
        assert fast.right.sum() == 80
        assert choose([candidate("preferred", 80), fast], 0).place == place
    # The more rows, the smaller a difference can be told from none.
    many = Candidate("preferred", QuerySettings(), np.tile(right, 30), 30 * ROWS, 1.0)
    other = many.right.copy()
    other[:10], other[80:90] = False, True
    assert choose([many, Candidate("fast", QuerySettings(), other, 30 * ROWS, 0.1)], 0).place == 1


def test_what_was_asked_about_fewer_rows_or_is_no_setting_is_never_chosen() -> None:
    dropped = candidate("dropped", 60, 0.1, asked=60)
    alone = candidate("alone", 100, 0.1, settings=None)
    chosen = choose([candidate("preferred", 70), dropped, alone], 0)
    assert (chosen.place, chosen.p_values) == (0, (None, None, None))


def test_the_frontier_is_what_none_beats() -> None:
    several = [
        candidate("slow and best", 90, 3.0),
        candidate("fast", 80, 1.0),
        candidate("beaten", 80, 2.0),
        candidate("worse and slower", 79, 1.5),
        candidate("as fast and worse", 70, 1.0),
        candidate("not timed", 95, None),
        candidate("dropped", 60, 0.1, asked=60),
        candidate("alone", 99, 0.1, settings=None),
    ]
    assert frontier(several) == [1, 0]
