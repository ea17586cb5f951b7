"""The order of a ranking is that of numpy's stable sort, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dbsa_core.retrieve import Ranking, order_of

KINDS = ("plain", "rounded", "zeros", "neighbours", "extremes")


def drawn(kind: str, count: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(count)
    plain = rng.normal(size=count)
    extremes = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, 5e-324, -5e-324, 1e308, -1e308])
    return {
        "plain": plain,
        "rounded": np.round(plain, 1),
        "zeros": np.maximum(plain, 0.0),
        "neighbours": np.nextafter(np.round(plain, 1), rng.choice([-9.0, 9.0], count)),
        "extremes": rng.choice(extremes, count),
    }[kind]


def stable(scores: NDArray[np.float64]) -> list[int]:
    return list(np.argsort(-scores, kind="stable"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 64, 65, 1000, 5000])
def test_the_order_is_that_of_a_stable_sort(kind: str, count: int) -> None:
    """`neighbours` differ in their last bits alone, which give way to the index."""
    scores = drawn(kind, count)
    assert list(order_of(scores)) == stable(scores)
    assert list(Ranking(scores).order) == stable(scores)


@given(st.lists(st.floats(allow_nan=False), max_size=40))
def test_whatever_the_scores_are(scores: list[float]) -> None:
    assert list(order_of(np.array(scores, float))) == stable(np.array(scores, float))


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_are_the_first_of_the_order(kind: str) -> None:
    scores = drawn(kind, 500)
    among = np.arange(500) % 3 > 0
    for count in (0, 1, 17, 499, 500, 900):
        assert list(Ranking(scores).best(count)) == stable(scores)[:count]
        assert list(Ranking(scores).best(count, among)) == [at for at in stable(scores) if among[at]][:count]
