"""What holds for scores: exact, whichever way they are found, and the same way for every method.

The oracle is the stock model, teacher-forced label by label."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from dbsa_core.assemble import Context
from dbsa_core.data import Pool
from dbsa_core.methods import METHODS, Setup, make_method
from dbsa_core.model import LanguageModel
from dbsa_core.prefill import prefill
from dbsa_core.score import NODES_PER_FORWARD, LabelScores, LabelTrie, choose_way, score_labels
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.task import Task
from tests.tiny import ByteTokenizer, stock_model, tiny_model

END = 10
TOLERANCE = 1e-5
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


def room(model: LanguageModel = MODEL) -> Context:
    return Context.reserved(model, 8)


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
    found = score_labels(room(), prompt, trie_of(label_ids), way=way)
    exact = np.array([forced(label, prompt) for label in label_ids])
    known = np.isfinite(found.log_probs)
    assert found.way == way
    assert np.allclose(found.log_probs[known], exact[known], rtol=TOLERANCE, atol=1e-4)
    assert known.all() or way == "best_first"
    assert found.best == int(exact.argmax())
    assert known.sum() >= min(2, len(label_ids)), "the label and its runner-up are exact"


def test_500_labels_are_exact_too() -> None:
    trie, prompt = trie_of(MANY), prompt_of(2)
    found = score_labels(room(), prompt, trie, way="one_pass")
    asked = [*range(0, 500, 25), *found.ranked()[:2]]
    exact = [forced(MANY[i], prompt) for i in asked]
    assert np.allclose(found.log_probs[asked], exact, rtol=TOLERANCE, atol=1e-4)
    assert len(trie) > NODES_PER_FORWARD
    assert found.forwards == math.ceil(len(trie) / NODES_PER_FORWARD), "passes over many nodes are split"
    assert found.tokens == len(prompt) + len(trie)
    assert found.unexpanded_bound == 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("label_ids", [TWO, PREFIXES, LONG, MANY], ids=["two", "prefixes", "40 tokens", "500"])
def test_best_first_never_differs_in_the_label(label_ids: tuple[tuple[int, ...], ...], seed: int) -> None:
    trie, prompt = trie_of(label_ids), prompt_of(seed)
    tree = score_labels(room(), prompt, trie, way="one_pass")
    walked = score_labels(room(), prompt, trie, way="best_first")
    assert walked.label == tree.label
    assert walked.ranked()[:2] == tree.ranked()[:2]
    known = np.isfinite(walked.log_probs)
    assert np.allclose(walked.log_probs[known], tree.log_probs[known], rtol=TOLERANCE, atol=1e-4)
    left = float(np.exp(tree.log_probs[~known]).sum())
    assert left <= walked.unexpanded_bound * (1 + 1e-4)
    assert (walked.unexpanded_bound > 0) >= (left > 0)


def test_best_first_leaves_most_of_500_labels_alone_and_says_what_they_may_weigh() -> None:
    trie, prompt = trie_of(MANY), prompt_of(2)
    walked = score_labels(room(), prompt, trie, way="best_first")
    unknown = ~np.isfinite(walked.log_probs)
    assert unknown.sum() > 250
    assert walked.tokens < len(prompt) + len(trie) / 2
    best = math.exp(walked.log_probs[walked.best])
    assert 0 < walked.unexpanded_bound < len(trie) * best, "no single path left can be likelier than the label"
    assert (walked.probabilities[unknown] == 0).all()


def test_the_way_is_chosen_by_the_number_of_nodes_and_the_device_alone() -> None:
    assert [choose_way(nodes, "cpu") for nodes in (1, 48, 49, 5000)] == ["one_pass"] * 2 + ["best_first"] * 2
    assert [choose_way(nodes, "cuda") for nodes in (1, 512, 513)] == ["one_pass"] * 2 + ["best_first"]
    assert [choose_way(nodes, "mps") for nodes in (48, 49)] == ["one_pass", "best_first"]


@pytest.mark.parametrize(("nodes", "way"), [(48, "one_pass"), (49, "best_first")])
def test_scoring_follows_the_rule_unless_told_otherwise(nodes: int, way: str) -> None:
    trie = trie_of([(i,) for i in range(100, 100 + nodes)])
    assert len(trie) == nodes
    assert score_labels(room(), prompt_of(3), trie).way == way
    assert score_labels(room(), prompt_of(3), trie, way="one_pass").way == "one_pass"
    assert score_labels(room(), prompt_of(3), trie, decode="greedy").way == "greedy"


@pytest.mark.parametrize(("labels", "way"), [(("a", "b"), "one_pass"), (tuple("abcde" * 12), "best_first")])
def test_the_rule_is_the_same_for_every_method(labels: tuple[str, ...], way: str) -> None:
    names = [f"{label}{i}" for i, label in enumerate(labels)]
    pool = Pool.of([(f"text {i}", name) for i, name in enumerate(names)], names)
    model = tiny_model("llama", max_position_embeddings=4096)
    setup = Setup.of(Task(model, pool), EncodeSettings(pool_tokens=300, block_size=2))
    for name in METHODS:
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
        found = score_labels(room(), prompt, trie, decode="greedy")
        walked = greedy_walk(prompt, label_ids)
        assert label_ids[found.best] == walked
        assert np.isfinite(found.log_probs).sum() == 1
        assert found.log_probs[found.best] == pytest.approx(forced(walked, prompt), rel=TOLERANCE, abs=1e-4)
        assert found.probabilities[found.best] == pytest.approx(math.exp(found.log_probs[found.best]))
        assert found.unexpanded_bound == pytest.approx(1 - found.probabilities.sum())
        assert found.forwards == len(walked) + 1
        differs += found.best != score_labels(room(), prompt, trie, way="one_pass").best
    assert differs or label_ids is PREFIXES, "greedy and exact never differ here: the test could not tell them apart"


@pytest.mark.parametrize("way", ["one_pass", "best_first"])
@pytest.mark.parametrize("label_ids", [TWO, PREFIXES, MANY], ids=["two", "prefixes", "500"])
def test_probabilities_are_the_softmax_over_labels(label_ids: tuple[tuple[int, ...], ...], way: str) -> None:
    found = score_labels(room(), prompt_of(4), trie_of(label_ids), way=way)
    assert found.probabilities.sum() == pytest.approx(1)
    weights = np.exp(found.log_probs)
    assert found.probabilities == pytest.approx(weights / weights.sum())


def test_the_order_of_labels_is_the_one_given() -> None:
    names = ("zebra", "ant", "mole", "bee", "cow")
    prompt = prompt_of(6)
    by_name = dict(zip(names, PREFIXES, strict=True))
    expected = {name: forced(ids, prompt) for name, ids in by_name.items()}
    for order in itertools.islice(itertools.permutations(names), 0, 120, 40):
        found = score_labels(room(), prompt, LabelTrie.of_ids(order, [by_name[n] for n in order], END))
        assert found.labels == order
        assert found.log_probs == pytest.approx([expected[name] for name in order], rel=TOLERANCE, abs=1e-4)
        assert found.label == max(expected, key=expected.__getitem__)


def test_scores_by_hand() -> None:
    """Labels of equal weight rank in label order; what they leave of 1 is the mass outside of them."""
    scores = LabelScores(tuple("abcd"), np.log([0.1, 0.3, 0.1, 0.3]), "one_pass", 1, 0.0, 1, 1)
    assert scores.ranked() == [1, 3, 0, 2]
    assert scores.outside_mass == pytest.approx(0.2)
    assert scores.probabilities == pytest.approx([0.125, 0.375, 0.125, 0.375])
    walked = LabelScores(tuple("ab"), np.array([math.log(0.3), -math.inf]), "best_first", 0, 0.25, 1, 1)
    assert (walked.label, list(walked.probabilities)) == ("a", [1.0, 0.0])


@pytest.mark.parametrize("way", ["one_pass", "best_first"])
def test_a_context_is_the_beginning_of_the_prompt_and_is_left_as_it_was(way: str) -> None:
    prompt, trie = prompt_of(7, tokens=50), trie_of(PREFIXES)
    whole = score_labels(room(), prompt, trie, way=way)
    context = prefill(Context.reserved(MODEL, 200), prompt[:35], chunk_tokens=16)
    kept = context.keys[:, :, :35].clone(), context.values[:, :, :35].clone()
    for _ in range(2):
        behind = score_labels(context, prompt[35:], trie, way=way)
        known = np.isfinite(whole.log_probs)
        assert np.allclose(behind.log_probs[known], whole.log_probs[known], rtol=TOLERANCE, atol=1e-4)
        assert context.length == 35
        assert torch.equal(context.keys[:, :, :35], kept[0])
        assert torch.equal(context.values[:, :, :35], kept[1])
    tight = prefill(Context.reserved(MODEL, 35), prompt[:35])
    assert tight.capacity == 35, "no room behind it"
    assert np.allclose(score_labels(tight, prompt[35:], trie, way=way).log_probs[known], whole.log_probs[known])
