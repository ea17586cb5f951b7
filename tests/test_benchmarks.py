"""What benchmarks measure is what they say."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import average_precision_score

from benchmarks.corrected import (
    FOLDS,
    NEVER,
    Asked,
    Correction,
    Fitted,
    adaptive,
    as_read,
    averaged,
    batch_calibrated,
    biased,
    crossed,
    entropy,
    fit_bias,
    voted,
    votes_of_nearest,
)
from benchmarks.corrections import context_weighed
from benchmarks.cpu import Sample, in_turn
from benchmarks.label_noise import NOISES, made_wrong, measured
from benchmarks.peak import forget_peak, peak_resident_bytes
from dbsa_core.data import Pool
from dbsa_core.methods import Setup, make_method
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.task import Task
from tests.test_laws import in_place as in_place  # a fixture
from tests.tiny import tiny_model

ROOT = Path(__file__).resolve().parents[1]
MEGABYTE = 1_000_000
on_linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").is_file(), reason="memory is read as on Linux")


@on_linux
def test_a_child_tells_its_own_peak_not_its_parents() -> None:
    held = bytearray(400 * MEGABYTE)
    program = "from benchmarks.peak import peak_resident_bytes; print(peak_resident_bytes())"
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert peak_resident_bytes() > len(held)
    assert int(told) < 100 * MEGABYTE


@on_linux
def test_a_peak_is_of_the_time_since_the_last_was_forgotten() -> None:
    forget_peak()
    before = peak_resident_bytes()
    held = bytearray(200 * MEGABYTE)
    assert 190 * MEGABYTE < peak_resident_bytes() - before < 210 * MEGABYTE
    del held
    assert peak_resident_bytes() - before > 190 * MEGABYTE, "a peak stays"
    forget_peak()
    assert peak_resident_bytes() - before < 50 * MEGABYTE


def test_a_ratio_is_the_median_of_the_turns_ratios_with_its_spread() -> None:
    """A machine that slows down by half midway hits both sides alike."""
    found = Sample.of([1.0, 2.0, 1.2, 4.0], [2.0, 4.0, 2.0, 8.0])
    assert found.value == 0.5
    assert (found.n, found.iqr) == (4, pytest.approx(0.025))
    assert Sample.of([3.0, 1.0, 2.0]) == Sample(2.0, 3, 1.0)


def test_parts_take_turns() -> None:
    order: list[str] = []
    seconds = in_turn({name: lambda name=name: order.append(name) for name in "abc"}, 3)  # type: ignore[misc]
    assert order == list("abcabcabc")
    assert {name: len(values) for name, values in seconds.items()} == dict.fromkeys("abc", 3)


# --- corrections ------------------------------------------------------------------------------------------------------


def asked_of(rows: int = 200, labels: int = 4) -> Asked:
    rng = np.random.default_rng(0)
    gold = rng.integers(labels, size=rows)
    right = 2.0 * np.eye(labels)[gold]
    scores = {name: log_softmax(right + rng.normal(size=(rows, labels)), axis=1) for name in ("one", "two")}
    votes = {"words": log_softmax(right + rng.normal(size=(rows, labels)), axis=1)}
    return Asked(gold, scores, votes)


def accuracy(correction: Correction, asked: Asked) -> float:
    return float((crossed(correction, asked)[0].argmax(1) == asked.gold).mean())


def test_a_correction_is_neutral_at_some_value() -> None:
    asked = asked_of()
    plain = log_softmax(asked.scores["one"], axis=1)
    assert np.array_equal(voted("one", ["words"], asked, 0.0).apply(asked), plain)
    assert averaged(["one"], asked).apply(asked) == pytest.approx(plain)
    nobody = replace(asked, scores={**asked.scores, "two": asked.scores["one"]})
    assert adaptive("one", "two", nobody).value == np.inf, "where the full way is no better, nobody is asked again"
    certain = replace(asked, scores={"one": 50.0 * np.eye(4)[asked.gold]})
    assert fit_bias(certain.scores["one"], certain.gold) == pytest.approx(np.zeros(4), abs=1e-3)
    even = replace(asked, scores={"one": np.tile(np.log([0.1, 0.2, 0.3, 0.4]), (200, 1))})
    assert batch_calibrated("one", even).apply(even) == pytest.approx(np.zeros((200, 4)), abs=1e-9)


def test_a_correction_undoes_what_was_done() -> None:
    asked = asked_of()
    added = np.array([3.0, 0.0, 0.0, -3.0])
    skewed = replace(asked, scores={"one": asked.scores["one"] + added})
    assert accuracy(partial(as_read, "one"), skewed) < accuracy(partial(biased, "one"), skewed) - 0.1
    assert accuracy(partial(as_read, "one"), asked) < accuracy(partial(voted, "one", ("words",)), asked) - 0.02
    assert accuracy(partial(as_read, "one"), asked) < accuracy(partial(averaged, ("one", "two")), asked) - 0.02


def test_a_correction_is_judged_by_rows_that_it_was_not_fitted_to() -> None:
    asked, seen = asked_of(), []

    def fit(part: Asked) -> Fitted:
        def apply(more: Asked) -> np.ndarray:
            seen.append((set(map(tuple, part.scores["one"])), set(map(tuple, more.scores["one"]))))
            return more.scores["one"]

        return Fitted(apply)

    found, fits = crossed(fit, asked)
    assert np.array_equal(found, asked.scores["one"])
    assert len(fits) == len(seen) == FOLDS
    assert all(not fitted & judged for fitted, judged in seen)
    assert sum(len(judged) for _, judged in seen) == len(asked.gold)


def test_a_query_asks_again_only_where_it_is_uncertain() -> None:
    """Uncertain rows are wrong the first time, and right the second."""
    sure, unsure, right = (math.log(share) for share in (0.97, 0.4, 0.9))
    rest = [[math.log((1 - math.exp(one)) / 3)] * 4 for one in (sure, unsure, right)]
    gold, first, full = np.arange(40) % 4, np.empty((40, 4)), np.empty((40, 4))
    for row, label in enumerate(gold):
        first[row], full[row] = rest[row % 10 == 0], rest[2]
        first[row, (label + (row % 10 == 0)) % 4] = unsure if row % 10 == 0 else sure
        full[row, label] = right
    asked = Asked(gold, {"one": first, "two": full}, {})
    found = adaptive("one", "two", asked)
    assert found.apply(asked).argmax(1).tolist() == gold.tolist()
    assert entropy(first)[0] > found.value >= entropy(first)[1]


def test_votes_of_nearest_rows_are_shares_of_their_labels() -> None:
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [-1.0, 0.0]])
    found = np.exp(votes_of_nearest(np.array([[1.0, 0.0]]), rows, np.array([1, 0, 0, 2]), 4))[0]
    near = np.array([np.exp(-20.0) + np.exp(20 * -0.4), 1.0, np.exp(-40.0), 0.0]) + NEVER
    assert found == pytest.approx(near / near.sum(), rel=1e-6)


@pytest.mark.usefixtures("in_place")
@pytest.mark.parametrize("in_place", [True], indirect=True)
@pytest.mark.parametrize("way", ["whole", "together"])
def test_a_context_weighs_as_it_is_told(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """At 1 and 1 nothing is changed; with next to no weight, it is as if there were none but the first block."""
    model = tiny_model("llama", max_position_embeddings=1024)
    pairs = [(f"{colour} thing {i}", colour) for i in range(12) for colour in ("red", "blue")]
    setup = Setup.of(Task(model, Pool.of(pairs)), EncodeSettings(pool_tokens=400, block_size=3)).encode()
    method = make_method("dbsa", QuerySettings(ratio=0.5)).fit(setup)

    def ask() -> np.ndarray:
        if way == "whole":
            return method.predict("a red one").scores.log_probs
        return next(iter(method.predict_many(["a red one"]))).scores.log_probs  # type: ignore[union-attr]

    before = ask()
    with context_weighed(1.0, 1.0):
        assert ask() == pytest.approx(before, abs=1e-5)
    with context_weighed(2.0, 1.0):
        assert not np.allclose(ask(), before, atol=1e-5)
    with context_weighed(1.0, 0.5):
        assert not np.allclose(ask(), before, atol=1e-5)
    assert ask() == pytest.approx(before, abs=1e-6), "and afterwards it is as it was"


@pytest.mark.parametrize("noise", NOISES)
def test_as_many_labels_are_made_wrong_as_is_said(noise: str) -> None:
    """Alike: it is the label of the nearest row that has another one."""
    model = tiny_model("llama", max_position_embeddings=1024)
    pairs = [(f"{colour} thing {i}", colour) for i in range(20) for colour in ("red", "blue", "green")]
    task = Task(model, Pool.of(pairs))
    pool, wrong = made_wrong(task, noise, 0.1)
    changed = {row for row, (text, label) in enumerate(pairs) if pool.demonstrations[row].label != label}
    assert changed == wrong
    assert len(wrong) == 6
    assert pool.texts == task.pool.texts
    if noise == "alike":
        for row in wrong:
            scores = task.row_index.rank(pairs[row][0]).scores
            others = [other for other, (_, label) in enumerate(pairs) if label != pairs[row][1]]
            nearest = max(others, key=lambda other: (scores[other], -other))
            assert pool.demonstrations[row].label == pairs[nearest][1]


def test_a_list_is_measured_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(0)
    listed = rng.permutation(300).tolist()
    wrong = frozenset(rng.choice(300, 40, replace=False).tolist())
    found = measured(listed, wrong)
    gold = [row in wrong for row in listed]
    expected = average_precision_score(gold, -np.arange(300))
    assert found["average_precision"] == pytest.approx(expected)
    assert (found["listed"], found["found"], found["recall"], found["precision"]) == (300, 40, 1.0, 40 / 300)
    assert found["precision_of_100"] == sum(gold[:100]) / 100
    half = measured(listed[:150], wrong)
    assert half["average_precision"] < expected, "what is not listed is not found"
    assert measured([], wrong)["precision"] is None
