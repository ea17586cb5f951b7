"""Classifiers that vote beside the model: the product of both, however labels are scored; nothing without a weight."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from dbsa_core.classifiers import LEAST_VOTE, MANY, VOTES, train_classifier
from dbsa_core.data import Demonstration, Pool
from dbsa_core.errors import DataError, SettingsError
from dbsa_core.methods import METHODS, make_method
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prediction import Prediction
from dbsa_core.retrieve.embeddings import Embeddings
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.stage2.scoring import ONE_PASS_NODES
from dbsa_core.task import Task
from dbsa_core.validation import draw_validation
from dbsa_core.voting import LEAST_ROWS, PRIOR, fit_vote_weight, likeliest_weight
from tests.letters import Letters
from tests.tiny import tiny_model

THINGS = ("apple", "brick", "cloud", "dance", "eagle", "flame", "grape", "house", "igloo", "jewel", "knife", "lemon")
LABELS = ("fruit", "sky_blue", "tool")
PAIRS = [(f"{thing} {colour} {i}", LABELS[i % 3]) for i, thing in enumerate(THINGS) for colour in ("red", "old", "big")]
QUERIES = ("an old igloo", "nothing known", *(f"{thing} red, {thing} big" for thing in THINGS[:6]))
VOTING = ("dbsa_fresh", "nearest")


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return tiny_model("llama", max_position_embeddings=2048)


def setup_of(model: LanguageModel, pairs: Any = PAIRS, tokens: int = 500) -> Setup:
    return Setup.of(Task(model, Pool.of(pairs)), EncodeSettings(pool_tokens=tokens, block_size=3)).encode()


@pytest.fixture(scope="module")
def setup(model: LanguageModel) -> Setup:
    """Some rows are not encoded."""
    found = setup_of(model)
    assert 0 < len(found.rows) < len(PAIRS)
    return found


def asking(votes: str = "words", weight: float = 1.0) -> QuerySettings:
    return QuerySettings(ratio=0.4, fresh_demonstrations=2, votes=votes, vote_weight=weight)


def by_hand(pairs: Any, query: str, votes: str) -> dict[str, float]:
    """Log-probabilities by scikit-learn alone."""
    found = np.zeros(len({label for _, label in pairs}))
    texts, labels = zip(*pairs, strict=True)
    for name in votes.split("+"):
        if name == "words":
            counts = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"\w+")
            known, asked = counts.fit_transform(texts), counts.transform([query])
        else:
            known, asked = Letters().embed(texts), Letters().embed([query])
        regression = LogisticRegression(C=10, max_iter=1000).fit(known, labels)
        found += np.maximum(regression.predict_log_proba(asked)[0], LEAST_VOTE)
    return dict(zip(sorted(set(labels)), found, strict=True))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("settings", [asking("none", 3.0), asking("words", 0.0), asking("words+vectors", 0.0)], ids=str)
def test_without_a_weight_or_a_voter_nothing_is_changed(setup: Setup, name: str, settings: QuerySettings) -> None:
    made, plain = (make_method(name, each).fit(setup) for each in (settings, replace(settings, votes="none")))
    for query in QUERIES[:2]:
        found, before = made.predict(query), plain.predict(query)
        assert found.scores.votes is None
        assert np.array_equal(found.scores.log_probs, before.scores.log_probs)
        assert found.probabilities == before.probabilities
        assert (made.may_read, found.notes) == (plain.may_read, before.notes)


@pytest.mark.parametrize("name", VOTING)
@pytest.mark.parametrize(("votes", "weight"), [("words", 4.0), ("vectors", 5.5), ("words+vectors", 2.0)])
def test_an_answer_is_the_product_of_model_and_votes(setup: Setup, name: str, votes: str, weight: float) -> None:
    voted = make_method(name, asking(votes, weight)).fit(setup)
    plain = make_method(name, asking("none")).fit(setup)
    together = list(voted.predict_many(QUERIES))
    decided = 0
    for query, many in zip(QUERIES, together, strict=True):
        found, before = voted.predict(query), plain.predict(query)
        added = by_hand(PAIRS, query, votes)
        sums = before.scores.log_probs + weight * np.array([added[label] for label in LABELS])
        assert found.scores.log_probs == pytest.approx(before.scores.log_probs, abs=1e-5), (
            "the model's stay as they are"
        )
        assert [found.probabilities[label] for label in LABELS] == pytest.approx(np.exp(log_softmax(sums)), abs=2e-3)
        assert found.label == LABELS[int(sums.argmax())]
        assert found.scores.by_model.label == before.label == found.as_json()["model_label"]
        assert found.scores.outside_mass == pytest.approx(before.scores.outside_mass, abs=1e-6)
        assert any(f'the model alone would answer "{before.label}"' in note for note in found.notes) == (
            found.label != before.label
        )
        decided += found.label != before.label
        assert isinstance(many, Prediction)
        assert many.probabilities == pytest.approx(found.probabilities, abs=1e-4)
    assert decided, "votes decide nothing here: the test could not tell"
    assert voted.may_read == "all"


def test_the_papers_method_and_baselines_are_as_they_were_published(setup: Setup) -> None:
    for name in set(METHODS) - set(VOTING):
        method = make_method(name, asking("words", 5.0)).fit(setup)
        assert method.predict("an old igloo").scores.votes is None, name
        assert not {"votes", "vote_weight"} & method.uses, name


def test_labels_that_are_not_scored_one_by_one_may_win_by_votes(model: LanguageModel) -> None:
    """More trie nodes than one pass takes."""
    labels = [f"{i:03d}{thing}" for i in range(60) for thing in THINGS[:3]]
    pairs = [(f"word{i}", label) for i, label in enumerate(labels)]
    made = setup_of(model, pairs, tokens=900)
    assert len(made.task.trie) > ONE_PASS_NODES
    method, plain = (make_method("dbsa_fresh", asking(votes, 3.0)).fit(made) for votes in ("words", "none"))
    differs = 0
    for place in (30, 90):
        text = pairs[place][0]
        found, before = method.predict(text), plain.predict(text)
        assert found.scores.way == before.scores.way == "best_first"
        votes = made.votes(method.settings, text)
        assert votes is not None
        every = np.array([votes[made.task.pool.labels.index(label)] for label in found.labels])
        assert np.array_equal(found.scores.votes, every)
        assert isinstance(many := next(iter(method.predict_many([text]))), Prediction)
        assert (found.label, many.label) == (labels[place],) * 2
        differs += found.label != before.label
    assert differs


def test_the_weight_is_checked() -> None:
    for wrong in (-0.1, float("nan"), float("inf"), 101, "1", None):
        with pytest.raises(SettingsError, match="weight of the votes"):
            QuerySettings(votes="words", vote_weight=wrong)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="There are no votes 'word'; there are none, words, vectors, words"):
        QuerySettings(votes="word")
    with pytest.raises(SettingsError, match="Greedy decoding"):
        QuerySettings(votes="words", decode="greedy")
    assert QuerySettings(votes="words", vote_weight=0, decode="greedy").voters == ()
    assert [QuerySettings(votes=votes).voters for votes in VOTES] == [
        (), ("words",), ("vectors",), ("words", "vectors")
    ]  # fmt: skip


# --- what they learn from ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("votes", ["words", "vectors"])
def test_rows_that_are_held_out_are_not_learned_from(setup: Setup, votes: str) -> None:
    away = [row for row, (text, _) in enumerate(PAIRS) if text.startswith("igloo")]
    without = setup.without(away)
    rest = [pair for row, pair in enumerate(PAIRS) if row not in away]
    for made, pairs in ((setup, PAIRS), (without, rest)):
        added = made.votes(asking(votes), "igloo old")
        want = by_hand(pairs, "igloo old", votes)
        assert added == pytest.approx([want[label] for label in LABELS], abs=2e-3)
    assert not np.allclose(
        without.votes(asking(votes), "igloo old"), setup.votes(asking(votes), "igloo old"), atol=0.05
    )


def test_a_lesson_waits_for_the_next_training_and_nothing_is_said_against_its_label(setup: Setup) -> None:
    method = make_method("dbsa_fresh", asking("words", 2.0)).fit(setup)
    before = method.predict("an old igloo").scores.votes
    method.teach("a whole new thing", "new_label")
    found = method.predict("an old igloo")
    assert found.labels == ("fruit", "new_label", "sky_blue", "tool")
    assert before is not None
    assert found.scores.votes == pytest.approx([before[0], before.max(), *before[1:]])
    assert method.predict("a whole new thing").label == "new_label"
    assert method.setup is not None
    assert method.setup.trained_classifier("words", "").labels == LABELS
    made = make_method("dbsa_fresh", asking("words", 2.0)).fit(replace(method.setup))
    assert made.setup is not None
    assert made.setup.trained_classifier("words", "").labels == found.labels


def test_a_classifier_is_trained_once_for_all_methods(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []

    def train(name: str, *rest: Any) -> Any:
        trained.append(name)
        return train_classifier(name, *rest)

    monkeypatch.setattr("dbsa_core.setup.train_classifier", train)
    made = replace(setup)
    for name, votes in (("dbsa_fresh", "words"), ("nearest", "words+vectors"), ("tfidf", "words"), ("nearest", "none")):
        make_method(name, asking(votes)).fit(made).predict("an old igloo")
    assert trained == ["words", "vectors"]


@pytest.mark.parametrize("many", [False, True])
def test_words_are_counted_as_by_scikit_learn(many: bool) -> None:
    texts = [f"the {THINGS[i % 12]} {THINGS[i * i % 7]} of {i % 50}, the Café" for i in range(MANY if many else 40)]
    labels = [LABELS[i % 2] for i in range(len(texts))]
    found = train_classifier("words", texts, labels, range(len(texts)), Embeddings(texts))
    counts = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"\w+")
    known = counts.fit_transform(texts)
    how = {"solver": "saga", "tol": 1e-3, "random_state": 0} if many else {}
    regression = LogisticRegression(C=10, max_iter=1000, **how).fit(known, labels)
    asked = ["the apple the apple brick", "unknown", "", "Café of 3"]
    want = regression.predict_log_proba(counts.transform(asked))
    assert found.log_probs(asked) == pytest.approx(want, abs=2e-2 if many else 1e-3)


def test_a_vote_against_a_label_is_bounded() -> None:
    texts = [f"{label} {i}" for i in range(400) for label in ("one", "two")]
    labels = [text.split()[0] for text in texts]
    found = train_classifier("words", texts, labels, range(800), Embeddings(texts))
    sure = replace(found, coefficients=100 * found.coefficients)
    assert sure.log_probs(["one one"]).min() < LEAST_VOTE
    assert sure.votes("one one", ["three", "two", "one"]) == pytest.approx([0.0, LEAST_VOTE, 0.0], abs=1e-3)


# --- the weight -------------------------------------------------------------------------------------------------------


def drawn_from(rng: np.random.Generator, weight: float, rows: int = 3000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores, votes = (log_softmax(2 * rng.normal(size=(rows, 5)), axis=1) for _ in range(2))
    shares = np.exp(log_softmax(0.7 * (scores + weight * votes), axis=1))
    return scores, votes, np.array([rng.choice(5, p=each) for each in shares])


@pytest.mark.parametrize("weight", [0.25, 1.0, 3.0])
def test_the_weight_is_the_one_that_labels_were_drawn_by(weight: float) -> None:
    assert likeliest_weight(*drawn_from(np.random.default_rng(3), weight)) == pytest.approx(weight, rel=0.15)


def test_few_rows_hardly_move_the_weight_from_1() -> None:
    weights = [likeliest_weight(*drawn_from(np.random.default_rng(seed), 5.0, rows=4)) for seed in range(5)]
    assert all(0.5 < weight < 3 for weight in weights)
    assert PRIOR > 0


@pytest.mark.parametrize("seed", [92, 279, 590, 685, 1556])
def test_votes_that_are_always_right_beside_a_model_that_is_not_overflow_nothing(seed: int) -> None:
    """No factor of theirs is large enough, and now and then a step leads far."""
    rng = np.random.default_rng(seed)
    scores = np.array([[-11.7, 0, -24.6], [-11.1, 0, -23.9], [-12.1, 0, -23.6], [-12.2, 0, -25.2], [-11, 0, -24.3],
                       [-11.6, 0, -24]])  # fmt: skip
    votes = np.array([[-3.4, -4.7, 0], [-4.3, -5.2, 0], [0, -3.8, -4.8], [-4.1, -4.1, 0], [-3.4, -0.1, -2.5],
                      [-4.4, 0, -5.4]])  # fmt: skip
    drawn = scores + rng.normal(size=scores.shape), votes + 0.1 * rng.normal(size=votes.shape)
    assert 0.5 < likeliest_weight(*drawn, votes.argmax(1)) < 8


def test_the_weight_is_fitted_to_rows_that_nothing_learns_from(model: LanguageModel) -> None:
    pairs = [
        Demonstration(f"{thing} {colour} {i}", LABELS[i % 3], i + 2)
        for i, thing in enumerate(THINGS * 3)
        for colour in ("red", "old", "big")
    ]
    setup, asked = setup_of(model, pairs, tokens=900), asking("words")
    seen: list[tuple[int, int]] = []
    found = fit_vote_weight("dbsa_fresh", asked, setup, rows=24, on_progress=lambda *done: seen.append(done))
    assert seen[-1] == (found.rows, found.rows)
    assert found.rows >= LEAST_ROWS
    assert found.seconds > 0
    drawn = draw_validation(setup, rows=24).encode()
    plain = make_method("dbsa_fresh", replace(asked, votes="none")).fit(drawn.setup)
    answers = [plain.predict(row.text) for row in drawn.demonstrations]
    scores = np.array([[answer.probabilities[label] for label in LABELS] for answer in answers])
    votes = np.array([drawn.setup.votes(asked, row.text) for row in drawn.demonstrations])
    gold = np.array([LABELS.index(row.label) for row in drawn.demonstrations])
    assert found.weight == pytest.approx(likeliest_weight(np.log(scores), votes, gold), abs=0.02)
    assert found.right == (scores.argmax(1) == gold).sum()
    assert found.right_with_votes == ((np.log(scores) + found.weight * votes).argmax(1) == gold).sum()
    assert fit_vote_weight("dbsa_fresh", asked, setup, drawn=drawn).weight == pytest.approx(found.weight, abs=0.02)


def test_where_nothing_votes_or_too_few_rows_are_there_no_weight_is_fitted(setup: Setup) -> None:
    with pytest.raises(SettingsError, match="nothing votes in dbsa"):
        fit_vote_weight("dbsa", asking("words"), setup)
    with pytest.raises(SettingsError, match="nothing votes in nearest"):
        fit_vote_weight("nearest", asking("none"), setup)
    with pytest.raises(DataError, match="20 rows or more"):
        fit_vote_weight("nearest", asking("words"), setup, rows=6)
