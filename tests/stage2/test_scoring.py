"""What holds for scores: exact, whichever way they are found, and the same way for every method.

The oracle is the stock model, teacher-forced label by label."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from dbsa_core.data import Pool
from dbsa_core.methods import Setup, make_method
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prediction import AS_TAUGHT, FIELD_MEANINGS, NO_LABEL, UNSURE, Prediction
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.stage2.dense_prefill import prefill
from dbsa_core.stage2.label_scores import LabelScores, OpenLabels
from dbsa_core.stage2.prefix import Prefix
from dbsa_core.stage2.scoring import choose_way, score_labels, score_together
from dbsa_core.stage2.trie import LabelTrie
from dbsa_core.stage2.walks import NODES_PER_FORWARD
from dbsa_core.task import Task
from tests.asking import ASKING
from tests.tiny import ByteTokenizer, stock_model, tiny_model

END = 10
TOLERANCE = 1e-5
WIDEST = 0.01
"""What the README promises of an interval."""
PREFIXES = ((1,), (1, 2), (1, 2, 3), (1, 2, 4), (5, 1))
LONG = ((7,), tuple(range(20, 60)), (*range(20, 59), 9), (*range(20, 59), 8))
TWO = ((1, 2), (3,))


def sharp_model() -> LanguageModel:
    """Its predictions are far from even, as a trained model's are."""
    stock = stock_model("llama")
    with torch.no_grad():
        stock.lm_head.weight *= 3.0
    return LanguageModel.of(stock, ByteTokenizer(), "sharp")


MODEL = sharp_model()


def many_labels(count: int = 500) -> tuple[tuple[int, ...], ...]:
    """Of 1 to 5 tokens, many beginning alike, some a prefix of others."""
    rng = random.Random(5)
    found: dict[tuple[int, ...], None] = {}
    while len(found) < count:
        found[(rng.randrange(20, 40), *(rng.randrange(60, 90) for _ in range(rng.randrange(5))))] = None
    return tuple(found)


MANY = many_labels()


def prompt_of(seed: int, tokens: int = 30) -> tuple[int, ...]:
    rng = random.Random(seed)
    return tuple(rng.randrange(250) for _ in range(tokens))


def trie_of(label_ids: Sequence[tuple[int, ...]]) -> LabelTrie:
    return LabelTrie.of_ids([f"label {i}" for i in range(len(label_ids))], label_ids, END)


def nothing(model: LanguageModel = MODEL) -> Prefix:
    return Prefix.empty(model)


def forced(label: Sequence[int], prompt: Sequence[int]) -> float:
    """Log-probability of the label and the terminator by one whole forward of the stock model."""
    ids = torch.tensor([[*prompt, *label, END]])
    with torch.no_grad():
        log_probs = MODEL.model(input_ids=ids, use_cache=False).logits[0].double().log_softmax(-1)
    at = len(prompt) - 1
    return sum(float(log_probs[at + i, token]) for i, token in enumerate((*label, END)))


@pytest.mark.parametrize("way", ["one_pass", "best_first"])
@pytest.mark.parametrize("label_ids", [TWO, PREFIXES, LONG, ((42,),)], ids=["two", "prefixes", "40 tokens", "one"])
def test_log_probabilities_are_those_of_teacher_forcing(label_ids: tuple[tuple[int, ...], ...], way: str) -> None:
    prompt = prompt_of(1)
    found = score_labels(nothing(), prompt, trie_of(label_ids), way=way)
    exact = np.array([forced(label, prompt) for label in label_ids])
    known = np.isfinite(found.log_probs)
    assert found.way == way
    assert np.allclose(found.log_probs[known], exact[known], rtol=TOLERANCE, atol=1e-4)
    assert known.all() or way == "best_first"
    assert found.best == int(exact.argmax())
    assert known.sum() >= min(2, len(label_ids)), "the label and its runner-up are exact"


def test_500_labels_are_exact_too() -> None:
    trie, prompt = trie_of(MANY), prompt_of(2)
    found = score_labels(nothing(), prompt, trie, way="one_pass")
    asked = [*range(0, 500, 25), *found.ranked()[:2]]
    exact = [forced(MANY[i], prompt) for i in asked]
    assert np.allclose(found.log_probs[asked], exact, rtol=TOLERANCE, atol=1e-4)
    assert len(trie) > NODES_PER_FORWARD
    assert found.forwards == math.ceil(len(trie) / NODES_PER_FORWARD), "passes over many nodes are split"
    assert found.tokens == len(prompt) + len(trie)
    assert found.exact
    assert found.open_mass == 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("label_ids", [TWO, PREFIXES, LONG, MANY], ids=["two", "prefixes", "40 tokens", "500"])
def test_best_first_never_differs_in_the_label(label_ids: tuple[tuple[int, ...], ...], seed: int) -> None:
    trie, prompt = trie_of(label_ids), prompt_of(seed)
    tree = score_labels(nothing(), prompt, trie, way="one_pass")
    walked = score_labels(nothing(), prompt, trie, way="best_first")
    assert walked.label == tree.label
    assert walked.ranked()[:2] == tree.ranked()[:2]
    known = np.isfinite(walked.log_probs)
    assert np.allclose(walked.log_probs[known], tree.log_probs[known], rtol=TOLERANCE, atol=1e-4)
    for part in walked.open:
        assert np.logaddexp.reduce(tree.log_probs[list(part.labels)]) <= part.log_mass + 1e-4
    assert sorted(i for part in walked.open for i in part.labels) == list(np.flatnonzero(~known))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("label_ids", [TWO, PREFIXES, LONG, MANY], ids=["two", "prefixes", "40 tokens", "500"])
def test_best_first_gives_narrow_intervals_that_hold_the_exact_probabilities(
    label_ids: tuple[tuple[int, ...], ...], seed: int
) -> None:
    trie, prompt = trie_of(label_ids), prompt_of(seed)
    tree = score_labels(nothing(), prompt, trie, way="one_pass")
    walked = score_labels(nothing(), prompt, trie, way="best_first")
    assert tree.probabilities is not None
    assert walked.probabilities is not None
    assert walked.intervals is not None
    low, high = walked.intervals
    assert (low - 1e-5 <= tree.probabilities).all()
    assert (tree.probabilities <= high + 1e-5).all()
    assert (high - low).max() <= WIDEST
    assert (high > 0).all(), "what was not looked at is not known to be nothing"
    assert ((low <= walked.probabilities) & (walked.probabilities <= high)).all()
    assert walked.probabilities.sum() == pytest.approx(1)
    least, most = walked.outside_mass
    assert least - 1e-5 <= tree.outside_mass[0] == tree.outside_mass[1] <= most + 1e-5


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("label_ids", [PREFIXES, LONG, MANY], ids=["prefixes", "40 tokens", "500"])
def test_votes_are_added_whichever_way_labels_are_scored(label_ids: tuple[tuple[int, ...], ...], seed: int) -> None:
    """Also to labels that the model alone would leave open."""
    trie, prompt = trie_of(label_ids), prompt_of(seed)
    votes = 4 * np.random.default_rng(seed).normal(size=len(label_ids))
    plain = score_labels(nothing(), prompt, trie, way="one_pass")
    tree = score_labels(nothing(), prompt, trie, way="one_pass", votes=votes)
    walked = score_labels(nothing(), prompt, trie, way="best_first", votes=votes)
    (together,) = score_together([(nothing(), prompt)], trie, way="best_first", votes=[votes])
    sums = plain.log_probs + votes
    assert np.array_equal(tree.log_probs, plain.log_probs)
    assert tree.probabilities == pytest.approx(np.exp(sums - np.logaddexp.reduce(sums)))
    assert (tree.outside_mass, tree.by_model.probabilities.tolist()) == (
        plain.outside_mass, plain.probabilities.tolist()  # type: ignore[union-attr]
    )  # fmt: skip
    assert tree.best == int(sums.argmax()) == walked.best == together.best
    assert tree.ranked() == sorted(range(len(sums)), key=lambda label: -sums[label])
    assert walked.ranked()[:2] == tree.ranked()[:2] == together.ranked()[:2]
    low, high = walked.intervals  # type: ignore[misc]
    assert (low - 1e-5 <= tree.probabilities).all()
    assert (tree.probabilities <= high + 1e-5).all()
    assert (high - low).max() <= WIDEST
    assert ((low <= walked.probabilities) & (walked.probabilities <= high)).all()
    assert walked.probabilities.sum() == pytest.approx(1)  # type: ignore[union-attr]
    least, most = walked.outside_mass
    assert least - 1e-5 <= plain.outside_mass[0] <= most + 1e-5
    none = score_labels(nothing(), prompt, trie, way="best_first", votes=np.zeros(len(label_ids)))
    alone = score_labels(nothing(), prompt, trie, way="best_first")
    assert (none.best, none.log_probs.tolist(), none.open) == (alone.best, alone.log_probs.tolist(), alone.open)


def test_best_first_leaves_labels_alone_and_says_what_they_may_weigh() -> None:
    trie, prompt = trie_of(MANY), prompt_of(2)
    walked = score_labels(nothing(), prompt, trie, way="best_first")
    unknown = ~np.isfinite(walked.log_probs)
    assert unknown.sum() > 100
    assert walked.tokens < len(prompt) + len(trie)
    finished = float(np.exp(walked.log_probs).sum())
    assert 0 < walked.open_mass <= WIDEST * (finished + walked.open_mass)


def test_the_way_is_chosen_by_the_number_of_nodes_alone() -> None:
    assert [choose_way(nodes) for nodes in (1, 49, 512, 513, 5000)] == ["one_pass"] * 3 + ["best_first"] * 2


@pytest.mark.parametrize(("nodes", "way"), [(512, "one_pass"), (513, "best_first")])
def test_scoring_follows_the_rule_unless_told_otherwise(nodes: int, way: str) -> None:
    trie = trie_of([(100 + i % 140, *([i // 140] if i >= 140 else [])) for i in range(nodes)])
    assert len(trie) == nodes
    assert score_labels(nothing(), prompt_of(3), trie).way == way
    assert score_labels(nothing(), prompt_of(3), trie, way="one_pass").way == "one_pass"
    assert score_labels(nothing(), prompt_of(3), trie, decode="greedy").way == "greedy"


@pytest.mark.parametrize(
    ("labels", "way"),
    [(("a", "b"), "one_pass"), pytest.param(tuple("abcdefghij" * 60), "best_first", marks=pytest.mark.slow)],
)
def test_the_rule_is_the_same_for_every_method(labels: tuple[str, ...], way: str) -> None:
    names = [f"{label}{i}" for i, label in enumerate(labels)]
    pool = Pool.of([(f"text {i}", name) for i, name in enumerate(names)], names)
    model = tiny_model("llama", max_position_embeddings=4096)
    setup = Setup.of(Task(model, pool), EncodeSettings(pool_tokens=300, block_size=2))
    for name in ASKING:
        assert make_method(name).fit(setup).predict("text 1").scores.way == way
        greedy = make_method(name, QuerySettings(decode="greedy")).fit(setup).predict("text 1")
        assert greedy.scores.way == "greedy"
        assert greedy.runner_up is None


def greedy_walk(prompt: tuple[int, ...], label_ids: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The walk written out: stock forwards, the most probable allowed token at each step."""
    done: tuple[int, ...] = ()
    while True:
        allowed = {(*ids, END)[len(done)] for ids in label_ids if ids[: len(done)] == done}
        with torch.no_grad():
            last = MODEL.model(input_ids=torch.tensor([[*prompt, *done]]), use_cache=False).logits[0, -1]
        step = max(allowed, key=lambda token: float(last[token]))
        if step == END:
            return done
        done = (*done, step)


@pytest.mark.parametrize("label_ids", [PREFIXES, MANY], ids=["prefixes", "500"])
def test_greedy_takes_the_most_probable_allowed_token_at_each_step(label_ids: tuple[tuple[int, ...], ...]) -> None:
    trie, differs = trie_of(label_ids), 0
    for seed in range(6):
        prompt = prompt_of(seed)
        found = score_labels(nothing(), prompt, trie, decode="greedy")
        walked = greedy_walk(prompt, label_ids)
        assert label_ids[found.best] == walked
        assert np.isfinite(found.log_probs).sum() == 1
        assert found.log_probs[found.best] == pytest.approx(forced(walked, prompt), rel=TOLERANCE, abs=1e-4)
        assert found.probabilities is None
        assert found.intervals is None
        exact = score_labels(nothing(), prompt, trie, way="one_pass").outside_mass[0]
        assert found.outside_mass[0] - 1e-5 <= exact <= found.outside_mass[1] + 1e-5
        assert found.outside_mass[0] > 0, "what the trie forbids at the first step is outside for sure"
        assert found.forwards == len(walked) + 1
        differs += found.best != score_labels(nothing(), prompt, trie, way="one_pass").best
    assert differs or label_ids is PREFIXES, "greedy and exact never differ here: the test could not tell them apart"


@pytest.mark.parametrize("way", ["one_pass", "best_first"])
@pytest.mark.parametrize("label_ids", [TWO, PREFIXES, MANY], ids=["two", "prefixes", "500"])
def test_probabilities_are_the_softmax_over_labels(label_ids: tuple[tuple[int, ...], ...], way: str) -> None:
    found = score_labels(nothing(), prompt_of(4), trie_of(label_ids), way=way)
    assert found.probabilities is not None
    assert found.probabilities.sum() == pytest.approx(1)
    weights = np.exp(found.log_probs)
    assert found.probabilities == pytest.approx(weights / weights.sum(), abs=1e-12 if found.exact else WIDEST)


def test_the_order_of_labels_is_the_one_given() -> None:
    names = ("zebra", "ant", "mole", "bee", "cow")
    prompt = prompt_of(6)
    by_name = dict(zip(names, PREFIXES, strict=True))
    expected = {name: forced(ids, prompt) for name, ids in by_name.items()}
    for order in itertools.islice(itertools.permutations(names), 0, 120, 40):
        found = score_labels(nothing(), prompt, LabelTrie.of_ids(order, [by_name[n] for n in order], END))
        assert found.labels == order
        assert found.log_probs == pytest.approx([expected[name] for name in order], rel=TOLERANCE, abs=1e-4)
        assert found.label == max(expected, key=expected.__getitem__)


def test_scores_by_hand() -> None:
    """Labels of equal weight rank in label order; what they leave of 1 is the mass outside of them."""
    scores = LabelScores(tuple("abcd"), np.log([0.1, 0.3, 0.1, 0.3]), "one_pass", 1, 1, 1)
    assert scores.ranked() == [1, 3, 0, 2]
    assert scores.outside_mass == pytest.approx((0.2, 0.2))
    assert scores.probabilities == pytest.approx([0.125, 0.375, 0.125, 0.375])
    assert scores.intervals is not None
    assert (scores.intervals[0] == scores.intervals[1]).all()


def test_intervals_by_hand() -> None:
    """Z = 0.4 and B = 0.1: the two open beginnings weigh 0.06 (two labels) and 0.04 (one)."""
    parts = (OpenLabels((1, 3), math.log(0.06)), OpenLabels((4,), math.log(0.04)))
    log_probs = np.array([math.log(0.3), -math.inf, math.log(0.1), -math.inf, -math.inf])
    scores = LabelScores(tuple("abcde"), log_probs, "best_first", 0, 1, 1, parts)
    assert scores.open_mass == pytest.approx(0.1)
    assert scores.outside_mass == pytest.approx((0.5, 0.6))
    assert scores.intervals is not None
    low, high = scores.intervals
    assert low == pytest.approx([0.6, 0, 0.2, 0, 0])
    assert high == pytest.approx([0.75, 0.06 / 0.46, 0.25, 0.06 / 0.46, 0.04 / 0.44])
    assert scores.probabilities == pytest.approx([0.3 / 0.45, 0.015 / 0.45, 0.1 / 0.45, 0.015 / 0.45, 0.02 / 0.45])
    assert scores.ranked() == [0, 2, 4, 1, 3]


def test_votes_by_hand() -> None:
    """The same, with factors of 2 for "c" and of 3 for "d", which may have 0.18 then."""
    parts = (OpenLabels((1, 3), math.log(0.06)), OpenLabels((4,), math.log(0.04)))
    log_probs = np.array([math.log(0.3), -math.inf, math.log(0.1), -math.inf, -math.inf])
    votes = np.log([1, 1, 2, 3, 1])
    scores = LabelScores(tuple("abcde"), log_probs, "best_first", 0, 1, 1, parts, votes=votes)
    assert scores.outside_mass == pytest.approx((0.5, 0.6)), "of the model alone"
    assert scores.intervals is not None
    low, high = scores.intervals
    most = 0.18 + 0.04
    assert low == pytest.approx([0.3 / (0.5 + most), 0, 0.2 / (0.5 + most), 0, 0])
    assert high == pytest.approx([0.6, 0.06 / 0.56, 0.4, 0.18 / 0.68, 0.04 / 0.54])
    total = 0.5 + (0.06 + 0.18) / 4 + 0.02
    assert scores.probabilities == pytest.approx(np.array([0.3, 0.015, 0.2, 0.045, 0.02]) / total)
    assert scores.ranked() == [0, 2, 3, 4, 1]
    assert scores.by_model.probabilities == pytest.approx(np.array([0.3, 0.015, 0.1, 0.015, 0.02]) / 0.45)


def test_probabilities_hold_where_labels_are_so_long_that_theirs_round_to_nothing() -> None:
    scores = LabelScores(tuple("ab"), np.array([-800.0, -801.0]), "one_pass", 0, 1, 1)
    assert scores.probabilities == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))])
    assert scores.outside_mass == (1.0, 1.0)


def answer(scores: LabelScores) -> Prediction:
    return Prediction("dbsa", "q", scores, 10, {"total": 0.1}, False)


def test_an_answer_says_its_interval_and_when_no_label_may_fit() -> None:
    parts = (OpenLabels((2,), math.log(0.002)),)
    narrow = answer(LabelScores(tuple("abc"), np.array([*np.log([0.3, 0.1]), -np.inf]), "best_first", 0, 1, 1, parts))
    found = narrow.as_json()
    assert found["probability_low"] == pytest.approx(0.3 / 0.402)
    assert found["probability_high"] == pytest.approx(0.75)
    assert found["probability_low"] < found["probability"] < found["probability_high"]
    assert found["unscored_labels"] == ["c"]
    assert found["probability_intervals"]["c"] == [0, pytest.approx(0.002 / 0.402)]
    assert found["outside_mass"] == pytest.approx([0.598, 0.6])
    assert found["may_fit_no_label"] is True
    assert found["check"] == NO_LABEL
    assert narrow.answer()[-2:] == (NO_LABEL, None)
    exact = answer(LabelScores(tuple("ab"), np.log([0.3, 0.3]), "one_pass", 0, 1, 1)).as_json()
    assert exact["probability_low"] == exact["probability"] == exact["probability_high"] == pytest.approx(0.5)
    assert (exact["probability_intervals"], exact["unscored_labels"]) == ({}, [])
    assert exact.keys() == FIELD_MEANINGS.keys()
    assert exact["may_fit_no_label"] is False


@pytest.mark.parametrize(
    ("shares", "check"),
    [((0.5, 0.26), UNSURE), ((0.25, 0.5), ""), ((0.6, 0.31), UNSURE), ((0.3, 0.1), NO_LABEL), ((0.9,), "")],
)
def test_an_answer_is_unsure_where_the_next_label_is_more_than_half_as_probable(
    shares: tuple[float, ...], check: str
) -> None:
    found = answer(LabelScores(tuple("abc"[: len(shares)]), np.log(shares), "one_pass", 0, 1, 1))
    assert (found.check, found.as_json()["check"], found.answer()[-2]) == (check, check, check or None)
    assert replace(found, taught="a").check == AS_TAUGHT


def test_a_greedy_answer_has_no_probability() -> None:
    parts = (OpenLabels((1,), math.log(0.4)),)
    walked = answer(LabelScores(tuple("ab"), np.array([math.log(0.3), -np.inf]), "greedy", 0, 1, 1, parts))
    found = walked.as_json()
    assert [found[name] for name in ("probability", "probability_low", "probability_high", "margin")] == [None] * 4
    assert found["probabilities"] == {}
    assert found["outside_mass"] == pytest.approx([0.3, 0.7])
    assert walked.answer() == ("a", *[None] * 8)


@pytest.mark.parametrize("way", ["one_pass", "best_first"])
def test_a_prefix_is_the_beginning_of_the_prompt_and_is_left_as_it_was(way: str) -> None:
    prompt, trie = prompt_of(7, tokens=50), trie_of(PREFIXES)
    whole = score_labels(nothing(), prompt, trie, way=way)
    prefix = prefill(nothing(), prompt[:35], part_tokens=16)
    kept = [tensor.clone() for tensor in (*prefix.keys, *prefix.values)]
    assert prefix.length == 35
    for _ in range(2):
        behind = score_labels(prefix, prompt[35:], trie, way=way)
        known = np.isfinite(whole.log_probs)
        assert np.allclose(behind.log_probs[known], whole.log_probs[known], rtol=TOLERANCE, atol=1e-4)
        assert all(torch.equal(*pair) for pair in zip((*prefix.keys, *prefix.values), kept, strict=True))
    longer = prefill(prefix, prompt[35:40])
    assert (prefix.length, longer.length) == (35, 40)
    assert np.allclose(score_labels(longer, prompt[40:], trie, way=way).log_probs[known], whole.log_probs[known])
