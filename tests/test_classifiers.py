"""The classifier of words: scikit-learn's answers, over the rows of the file, and nothing of the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from dbsa_core.data import Demonstration, Pool
from dbsa_core.errors import QueryError
from dbsa_core.methods import make_method
from dbsa_core.methods.base import Method
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prediction import Prediction
from dbsa_core.settings import EncodeSettings
from dbsa_core.setup import Setup
from dbsa_core.task import Task
from tests.tiny import tiny_model

LABELS = ("fruit", "tool", "weather")
PAIRS = [
    (f"the {thing} is {colour} today", LABELS[i % 3])
    for i, thing in enumerate(("apple", "hammer", "cloud", "pear", "saw", "rain", "mango", "drill", "snow"))
    for colour in ("red", "old", "big")
]
QUERIES = ["a red apple", "old saw", "is it big rain", "nothing known"]


def setup_of(pairs: Any, labels: Any = None, model: LanguageModel | None = None) -> Setup:
    model = model or tiny_model("llama", max_position_embeddings=1024)
    return Setup.of(Task(model, Pool.of(pairs, labels)), EncodeSettings(pool_tokens=300, block_size=2))


@pytest.fixture(scope="module")
def setup() -> Setup:
    return setup_of(PAIRS)


def fitted(setup: Setup) -> Method:
    return make_method("tfidf").fit(setup)


def by_hand(pairs: Any, queries: list[str]) -> Any:
    """Words are those of two letters and more here, as in all texts of this file that matter."""
    counts = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"\w+")
    regression = LogisticRegression(C=10, max_iter=1000)
    regression.fit(counts.fit_transform([text for text, _ in pairs]), [label for _, label in pairs])
    return regression.predict_log_proba(counts.transform(queries))


def test_its_answers_are_those_of_scikit_learn(setup: Setup) -> None:
    want = by_hand(PAIRS, QUERIES)
    for query, log_probs in zip(QUERIES, want, strict=True):
        found = fitted(setup).predict(query)
        assert found.scores.labels == LABELS
        assert found.scores.log_probs == pytest.approx(log_probs, rel=1e-3, abs=1e-3)
        assert found.scores.way == "classifier"
        assert sum(found.probabilities.values()) == pytest.approx(1)
    for found, log_probs in zip(fitted(setup).predict_many(QUERIES), want, strict=True):
        assert isinstance(found, Prediction)
        assert found.scores.log_probs == pytest.approx(log_probs, rel=1e-3, abs=1e-3)


def test_it_reads_rows_that_are_not_encoded_and_encodes_none(setup: Setup) -> None:
    assert len(setup.rows) < len(PAIRS)
    method = fitted(setup)
    assert method.predict("old saw").label == "tool"
    assert (method.may_read, method.cost(setup).trains, setup.encoded) == ("all", len(PAIRS), None)


def test_nothing_goes_through_the_model(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(LanguageModel, "run", run)
    found = fitted(setup).predict("old saw")
    assert (found.context_tokens, found.scores.tokens, found.cold, found.attention) == (0, 0, False, None)


def test_an_empty_query_has_its_error_in_its_place(setup: Setup) -> None:
    found = list(fitted(setup).predict_many(["old saw", " ", "a red apple"]))
    assert [isinstance(each, QueryError) for each in found] == [False, True, False]
    assert list(fitted(setup).predict_many([])) == []


def test_what_was_taught_holds_instead_of_what_the_file_said(setup: Setup) -> None:
    text, label = PAIRS[0]
    assert label == "fruit"
    method = fitted(setup).teach(text, "colour").teach(f"{text} again", "colour")
    rest = [*PAIRS[1:], (text, "colour"), (f"{text} again", "colour")]
    found = method.predict("a red apple")
    assert found.labels == ("colour", *LABELS)
    assert found.scores.log_probs == pytest.approx(by_hand(rest, ["a red apple"])[0], rel=1e-3, abs=1e-3)


def test_a_label_without_rows_is_never_answered(setup: Setup) -> None:
    found = fitted(setup_of(PAIRS, [*LABELS, "never"], setup.task.model)).predict("never")
    assert found.probabilities["never"] < 1e-300
    assert np.isfinite(found.scores.log_probs).all()


@pytest.mark.parametrize(
    ("pairs", "shares"),
    [
        ([("one", "a"), ("two", "a"), ("three", "a")], {"a": 1.0, "b": 0.0}),
        ([("?!", "a"), ("...", "a"), ("-", "b")], {"a": 2 / 3, "b": 1 / 3}),
    ],
)
def test_where_nothing_tells_labels_apart_their_shares_are_the_answer(
    setup: Setup, pairs: list[tuple[str, str]], shares: dict[str, float]
) -> None:
    rows = [Demonstration(text, label, place) for place, (text, label) in enumerate(pairs)]
    made = setup_of(rows, ["a", "b"], setup.task.model)
    assert fitted(made).predict("one").probabilities == pytest.approx(shares)
