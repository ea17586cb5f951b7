"""Stories of methods that may say that no label fits: on what rows that is fitted, and what they answer then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dbsa_core.data import Pool
from dbsa_core.errors import DataError, QueryError, SettingsError
from dbsa_core.methods import METHODS, Method, make_method
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prediction import ANSWER_COLUMNS, FIELD_MEANINGS, NO_LABEL, REFUSED, Prediction, Verdict
from dbsa_core.reject import (
    SIGNS,
    Rejecting,
    RejectOption,
    RejectOptions,
    draw_for_option,
    fit_reject_option,
    signs_of,
)
from dbsa_core.retrieve import DEFAULT_EMBEDDER
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.stage2.label_scores import LabelScores, OpenLabels
from dbsa_core.task import Task
from dbsa_core.validation import Validation, draw_unseen, draw_validation
from tests.letters import Letters
from tests.tiny import tiny_model

COLOURS = ("amber", "blue", "cyan", "drab", "ecru")
PAIRS = [(f"the {colour} thing number {i}", colour) for i in range(8) for colour in COLOURS]
PAIRS += [(f"nothing of this sort {i}", "oos") for i in range(12)]
ALL = 4000
READS_ALL = ("dbsa_fresh", "nearest", "retrieval_icl_file", "fixed_icl_fresh", "tfidf")


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return tiny_model("llama", num_hidden_layers=1, max_position_embeddings=4096)


def setup_of(model: LanguageModel, tokens: int, pairs: Sequence[tuple[str, str]] = PAIRS) -> Setup:
    return Setup.of(Task(model, Pool.of(pairs)), EncodeSettings(pool_tokens=tokens, block_size=2))


@pytest.fixture(scope="module")
def setup(model: LanguageModel) -> Setup:
    """Half of the rows are in blocks."""
    made = setup_of(model, 1000).encode()
    assert 15 < len(made.rows) < 35
    return made


def option(threshold: float = 0.5, out_of_scope: str | None = "oos") -> RejectOption:
    """Scores by the similarity alone."""
    return RejectOption(out_of_scope, (0.0,) * 4, (1.0,) * 4, (0.0, 0.0, 10.0, 0.0), -5.0, threshold)


# --- rows that it is fitted on ----------------------------------------------------------------------------------------


def texts(drawn: Validation) -> set[str]:
    return {row.text for row in drawn.demonstrations}


@pytest.mark.parametrize("tokens", [1000, ALL], ids=["some", "all"])
def test_validation_rows_are_in_no_block_and_no_label_loses_its_last_row(model: LanguageModel, tokens: int) -> None:
    whole = setup_of(model, tokens)
    drawn = draw_validation(whole, rows=12, out_of_scope="oos")
    held_out = [row for row, each in enumerate(whole.task.pool.demonstrations) if each.text in texts(drawn)]
    assert drawn.setup.held_out == set(held_out)
    assert not drawn.setup.held_out.intersection(drawn.setup.rows)
    assert sum(row.label == "oos" for row in drawn.demonstrations) == 5
    assert len(drawn.demonstrations) >= 12
    read = {whole.task.pool.demonstrations[row].label for row in drawn.setup.rows}
    assert read == set(whole.task.pool.labels)
    assert (drawn.setup.plan is whole.plan) == (tokens == 1000), "the pool is made anew only where rows are short"


def test_what_is_encoded_stays_where_enough_rows_are_not(setup: Setup) -> None:
    drawn = draw_validation(setup, rows=12, out_of_scope="oos")
    assert drawn.setup.encoded is setup.encoded
    assert drawn.encode().setup is drawn.setup
    assert [row.text for row in drawn.demonstrations] != sorted(texts(drawn)), "the first ones are a sample too"
    again = draw_validation(setup, rows=12, out_of_scope="oos")
    assert again.demonstrations == drawn.demonstrations
    assert draw_validation(setup, rows=12, out_of_scope="oos", seed=1).demonstrations != drawn.demonstrations


def test_texts_that_stand_twice_are_held_out_with_each_other_and_disputed_ones_are_not_asked(
    model: LanguageModel,
) -> None:
    twice = [(text.upper(), label) for text, label in PAIRS]
    disputed = [(f"disputed {i}", label) for i in range(10) for label in ("amber", "blue")]
    whole = setup_of(model, 800, [*PAIRS, *twice, *disputed])
    drawn = draw_validation(whole, rows=20, out_of_scope="oos")
    asked = [row.text.casefold() for row in drawn.demonstrations]
    assert len(asked) == len(set(asked))
    assert not any("disputed" in text for text in asked)
    rows = whole.task.pool.demonstrations
    assert drawn.setup.held_out == {row for row, each in enumerate(rows) if each.text.casefold() in asked}
    assert len(drawn.setup.held_out) == 2 * len(asked)
    encoded = {rows[row].text.casefold() for row in drawn.setup.rows}
    assert encoded.isdisjoint(asked)
    assert drawn.setup.plan is whole.plan, "so that nothing has to be encoded anew"


def test_what_was_taught_is_not_asked_about(setup: Setup) -> None:
    text = next(each.text for row, each in enumerate(setup.task.pool.demonstrations) if row not in setup.rows)
    taught = setup.teach(text, "amber").teach("nothing new", "blue")
    assert not texts(draw_validation(taught, rows=60, out_of_scope="oos")) & {text, "nothing new"}


def test_without_a_label_out_of_scope_some_labels_are_left_out_of_the_setup(setup: Setup) -> None:
    drawn = draw_unseen(setup, rows=12)
    known, asked = set(drawn.setup.task.pool.labels), {row.label for row in drawn.demonstrations}
    (unseen,) = set(setup.task.pool.labels) - known
    assert unseen in asked
    assert sum(row.label == unseen for row in drawn.demonstrations) == 6
    assert not any(row.label == unseen for row in drawn.setup.task.pool.demonstrations)
    three = setup_of(setup.task.model, 500, [pair for pair in PAIRS if pair[1] in COLOURS[:3]])
    assert set(draw_unseen(three, rows=12).setup.task.pool.labels) == set(COLOURS[:3])
    assert draw_for_option(setup, None, rows=12).demonstrations == drawn.demonstrations


@pytest.mark.parametrize("name", METHODS)
def test_no_method_reads_a_row_that_is_held_out(setup: Setup, name: str) -> None:
    """The row itself is the most similar one, were it read."""
    drawn = draw_validation(setup, rows=12, out_of_scope="oos")
    method = make_method(name, QuerySettings(ratio=1.0)).fit(drawn.setup)
    asked = [row.text for row in drawn.demonstrations]
    held_out = drawn.setup.held_out
    equal_to_itself = 0
    for found in method.predict_many(asked):
        assert isinstance(found, Prediction)
        assert held_out.isdisjoint(found.demonstration_rows)
        equal_to_itself += bool(held_out.intersection(found.equal_rows))
    assert equal_to_itself == len(asked)
    assert method.setup is not None
    assert method.setup.held_out == held_out
    if name in READS_ALL and name != "tfidf":
        free = [found for found in make_method(name).fit(setup).predict_many(asked) if isinstance(found, Prediction)]
        assert any(held_out.intersection(found.demonstration_rows) for found in free), "else this shows nothing"


def test_a_classifier_learns_nothing_from_rows_that_are_held_out(setup: Setup) -> None:
    drawn = draw_validation(setup, rows=12, out_of_scope="oos")
    rows = [each for row, each in enumerate(setup.task.pool.demonstrations) if row not in drawn.setup.held_out]
    other = Setup.of(Task(setup.task.model, Pool.of(rows)), EncodeSettings(pool_tokens=500))
    one, two = (make_method("tfidf").fit(each).predict(drawn.demonstrations[0].text) for each in (drawn.setup, other))
    assert one.scores.log_probs == pytest.approx(two.scores.log_probs)


# --- signs ------------------------------------------------------------------------------------------------------------


def prediction(log_probs: Sequence[float], **more: Any) -> Prediction:
    labels = ("amber", "blue", "oos")
    scores = LabelScores(labels, np.array(log_probs), "one_pass", int(np.argmax(log_probs)), 1, 1)
    return replace(Prediction("m", "the amber thing number 3", scores, 1, {"total": 1.0}, False), **more)


def test_signs_are_what_an_answer_shows(setup: Setup) -> None:
    found = prediction(np.log([0.2, 0.1, 0.4]).tolist())
    best, outside, near, rival = signs_of(found, setup, "oos")
    assert best == pytest.approx(np.log(0.2)), "the best one but the one out of scope"
    assert outside == pytest.approx(np.log(0.3 / 0.7))
    assert near == pytest.approx(1.0), "the row itself"
    assert rival == pytest.approx(np.log(0.4 / 0.2))
    best, outside, _, rival = signs_of(found, setup, None)
    assert best == pytest.approx(np.log(0.4))
    assert rival == pytest.approx(np.log(0.2 / 0.4)), "the runner-up, where no label is out of scope"
    nothing = replace(found, query="xyz")
    assert signs_of(nothing, setup, None)[2] == 0
    assert len(SIGNS) == 4


def test_rows_that_are_held_out_are_like_nothing(setup: Setup) -> None:
    drawn = draw_validation(setup, rows=12, out_of_scope="oos")
    row = next(row for row in drawn.demonstrations if row.label != "oos")
    found = prediction([-1.0, -2.0, -3.0], query=row.text)
    assert signs_of(found, setup, "oos")[2] == pytest.approx(1.0)
    assert 0 < signs_of(found, drawn.setup, "oos")[2] < 0.9


def test_rows_out_of_scope_are_like_nothing(setup: Setup) -> None:
    row = next(row for row in setup.task.pool.demonstrations if row.label == "oos")
    found = prediction([-1.0, -2.0, -3.0], query=row.text)
    assert signs_of(found, setup, None)[2] == pytest.approx(1.0)
    assert signs_of(found, setup, "oos")[2] < 0.9
    assert signs_of(found, setup, None)[2] == pytest.approx(1.0), "nothing that is remembered was changed"


def test_a_method_that_reads_vectors_tells_nearness_by_them(
    model: LanguageModel, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbsa_core.retrieve.embeddings.load_embedder", lambda source, device: Letters())
    task = Task(model, setup.task.pool)
    whole = Setup.of(task, EncodeSettings(pool_tokens=500)).encode()
    drawn = draw_validation(whole, rows=12, out_of_scope="oos").encode()
    rows, text = task.pool.demonstrations, "amber thing blue"
    vectors, query = task.embeddings(DEFAULT_EMBEDDER).vectors, Letters().embed([text])[0]
    may = [at for at, row in enumerate(rows) if row.label != "oos" and at not in drawn.setup.held_out]
    found = prediction([-1.0, -2.0, -3.0], query=text)
    by_words, by_vectors = signs_of(found, drawn.setup, "oos"), signs_of(found, drawn.setup, "oos", DEFAULT_EMBEDDER)
    assert by_vectors[2] == pytest.approx(float((vectors[may] @ query).max()))
    assert by_vectors[2] != pytest.approx(by_words[2])
    assert np.delete(by_vectors, 2) == pytest.approx(np.delete(by_words, 2))
    for settings, embedder in ((QuerySettings(), None), (QuerySettings(row_retriever="hybrid"), DEFAULT_EMBEDDER)):
        method = make_method("dbsa_fresh", settings)
        option = fit_reject_option(method, whole, out_of_scope="oos", rows=12)
        assert option.embedder == embedder
        assert RejectOption.from_json(option.as_json()) == option
        answer = Rejecting(method, option).fit(drawn.setup).predict(text)
        assert answer.in_scope_score == option.score(signs_of(answer, drawn.setup, "oos", embedder))


def test_labels_that_were_left_open_have_estimates(setup: Setup) -> None:
    scores = LabelScores(
        ("amber", "blue", "oos"), np.array([np.log(0.6), -np.inf, -np.inf]), "best_first", 0, 1, 1,
        open=(OpenLabels((1, 2), np.log(0.2)),),
    )  # fmt: skip
    best, outside, _, rival = signs_of(prediction([0, 0, 0], scores=scores), setup, "oos")
    assert best == pytest.approx(np.log(0.6))
    assert outside == pytest.approx(np.log(0.3 / 0.7)), "half of what was left open is labels'"
    assert rival == pytest.approx(np.log(0.05 / 0.6))


def test_greedy_decoding_cannot_tell(setup: Setup) -> None:
    method = make_method("dbsa", QuerySettings(decode="greedy"))
    with pytest.raises(SettingsError, match="choose exact decoding"):
        fit_reject_option(method, setup, out_of_scope="oos", rows=12)


# --- answers ----------------------------------------------------------------------------------------------------------


def judged(log_probs: Sequence[float], score: float, out_of_scope: str | None = "oos", **more: Any) -> Prediction:
    return prediction(np.log(log_probs).tolist(), verdict=Verdict(score, 0.5, out_of_scope), **more)


def test_what_is_refused_has_the_label_for_such_texts_and_the_nearest_beside_it() -> None:
    found = judged([0.2, 0.1, 0.1], 0.4)
    assert found.refused
    assert (found.label, found.nearest_label, found.runner_up) == ("oos", "amber", "amber")
    assert (found.probability, found.interval, found.margin, found.check) == (None, None, None, REFUSED)
    assert found.probabilities["amber"] == pytest.approx(0.5), "the labels' own stay"
    other = judged([0.2, 0.1, 0.1], 0.4, out_of_scope=None)
    assert (other.label, other.nearest_label) == (REFUSED, "amber") == ("None of the labels", "amber")


def test_what_is_not_refused_has_the_most_probable_other_label() -> None:
    found = judged([0.2, 0.1, 0.6], 0.5)
    assert not found.refused
    assert (found.label, found.runner_up) == ("amber", "oos")
    assert found.probability == pytest.approx(0.2 / 0.9)
    assert found.margin == pytest.approx(-0.4 / 0.9)
    plain = prediction(np.log([0.2, 0.1, 0.6]).tolist())
    assert (plain.label, plain.in_scope_score, plain.refused) == ("oos", None, False)


def test_the_verdict_takes_the_place_of_the_check_for_outside_mass() -> None:
    assert prediction(np.log([0.2, 0.01, 0.01]).tolist()).check == NO_LABEL
    assert judged([0.2, 0.01, 0.01], 0.9).check == ""
    assert judged([0.2, 0.19, 0.01], 0.9).check == "Unsure"


def test_what_a_person_taught_is_the_answer_whatever_the_verdict() -> None:
    found = judged([0.2, 0.1, 0.1], 0.1, taught="blue")
    assert (found.label, found.refused, found.check) == ("blue", False, "As you taught")
    assert found.probability == pytest.approx(0.25)


def test_json_and_columns_say_the_score() -> None:
    plain = judged([0.2, 0.1, 0.1], 0.4).as_json()
    assert (plain["label"], plain["nearest_label"], plain["in_scope_score"]) == ("oos", "amber", 0.4)
    assert (plain["in_scope_threshold"], plain["probability"]) == (0.5, None)
    assert set(plain) == set(FIELD_MEANINGS)
    cells = dict(zip(ANSWER_COLUMNS, judged([0.2, 0.1, 0.1], 0.4).answer(), strict=True))
    assert cells["in_scope_score"] == 0.4
    assert (cells["label"], cells["probability"], cells["check"]) == ("oos", None, REFUSED)
    without = prediction([-1.0, -2.0, -3.0])
    assert without.as_json()["in_scope_score"] is None
    assert dict(zip(ANSWER_COLUMNS, without.answer(), strict=True))["in_scope_score"] is None


@pytest.mark.parametrize("name", METHODS)
def test_every_method_answers_as_before_with_a_verdict_beside_it(setup: Setup, name: str) -> None:
    queries = ["the amber thing number 3", "xyz", "a blue thing"]
    method = Rejecting(make_method(name), option()).fit(setup)
    plain = make_method(name).fit(setup)
    alone = [method.predict(query) for query in queries]
    assert [found.refused for found in alone] == [False, True, found_blue(alone)]
    for query, found, together in zip(queries, alone, method.predict_many(queries), strict=True):
        want = plain.predict(query)
        assert found.scores.log_probs == pytest.approx(want.scores.log_probs, rel=1e-4)
        assert isinstance(together, Prediction)
        assert together.in_scope_score == pytest.approx(found.in_scope_score, abs=1e-5)
        assert found.seconds["total"] >= found.seconds["retrieve"] > 0
        assert found.method == name
    for shared in ("name", "title", "may_read", "settings", "reads_blocks", "uses"):
        assert getattr(method, shared) == getattr(plain, shared)
    assert method.cost(setup) == plain.cost(setup)


def found_blue(alone: Sequence[Prediction]) -> bool:
    """By hand: the third query's similarity is between the others'."""
    score = alone[2].in_scope_score
    assert score is not None
    return score < 0.5


def test_a_query_that_cannot_be_answered_stays_an_error_in_its_place(setup: Setup) -> None:
    method = Rejecting(make_method("dbsa"), option()).fit(setup)
    first, error, last = method.predict_many(["one thing", "  ", "another"])
    assert isinstance(first, Prediction)
    assert isinstance(error, QueryError)
    assert isinstance(last, Prediction)
    with pytest.raises(QueryError, match="empty"):
        method.predict("")
    with pytest.raises(SettingsError, match="not fitted"):
        Rejecting(make_method("dbsa"), option()).predict_many(["one"])


def test_a_correction_is_in_force_at_once_and_makes_like_texts_fit(setup: Setup) -> None:
    method = Rejecting(make_method("dbsa_fresh"), option()).fit(setup)
    assert method.predict("qwerty asdf").refused
    method.teach("qwerty asdf", "blue")
    taught = method.predict("qwerty asdf")
    assert (taught.label, taught.in_scope_score) == ("blue", pytest.approx(1 / (1 + np.exp(-5.0))))
    assert method.predict("qwerty asdf!").label != "oos", "the row that was taught is like it"


def test_a_label_that_there_is_not_is_refused(setup: Setup) -> None:
    with pytest.raises(SettingsError, match="There is no label 'none' to be out of scope"):
        fit_reject_option(make_method("dbsa"), setup, out_of_scope="none")
    with pytest.raises(SettingsError, match="There is no label 'none'"):
        Rejecting(make_method("dbsa"), option(out_of_scope="none")).fit(setup)


# --- fitted to a method -----------------------------------------------------------------------------------------------


def test_an_option_is_fitted_to_a_copy_and_the_method_stays_as_it_is(setup: Setup) -> None:
    method = make_method("tfidf").fit(setup)
    told: list[tuple[int, int]] = []
    found = fit_reject_option(method, setup, out_of_scope="OOS", rows=12, on_progress=lambda *step: told.append(step))
    assert method.setup is setup
    assert (found.out_of_scope, found.rows_out_of_scope) == ("oos", 5)
    assert found.rows == len(told) == told[-1][1]
    assert [done for done, _ in told] == list(range(1, found.rows + 1))
    assert found.seconds > 0
    assert f'fitted on {found.rows} rows of the file, 5 of which have the label "oos"' in found.sentence


def test_words_tell_what_no_label_fits(setup: Setup) -> None:
    """Texts of the label out of scope share no word with the others here."""
    found = fit_reject_option(make_method("tfidf"), setup, out_of_scope="oos", rows=12)
    method = Rejecting(make_method("tfidf"), found).fit(setup)
    assert method.predict("the amber thing number 77").label == "amber"
    assert method.predict("nothing of this sort 77").label == "oos"


@pytest.mark.parametrize("name", ["dbsa_fresh", "fixed_icl", "zero_shot"])
def test_a_whole_pool_is_encoded_anew_without_the_rows_and_once_for_all_methods(
    model: LanguageModel, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = setup_of(model, ALL).encode()
    assert len(whole.rows) == len(PAIRS)
    options = RejectOptions(whole, "oos", rows=12)
    fitted: list[Setup] = []

    class Seen(type(make_method(name))):  # type: ignore[misc]
        def fit(self, setup: Setup) -> Method:
            fitted.append(setup)
            return super().fit(setup)  # type: ignore[no-any-return]

    method = Seen(QuerySettings(), name=name)
    one, two = options.fit(method), options.fit(method)
    assert fitted[0].task is whole.task
    assert not fitted[0].held_out.intersection(fitted[0].rows)
    assert fitted[0].encoded is fitted[1].encoded, "once"
    assert (fitted[0].encoded is not None) == method.reads_blocks
    assert replace(one, seconds=0) == replace(two, seconds=0)


def test_too_few_rows_of_a_kind_are_refused_with_what_to_do(model: LanguageModel) -> None:
    few = setup_of(model, 500, [*PAIRS[:40], ("none of it", "oos"), ("nor this", "oos")])
    with pytest.raises(
        DataError, match=r"and 0 the label 'oos'; a reject option is fitted on 5 or more of either kind"
    ):
        fit_reject_option(make_method("tfidf"), few, out_of_scope="oos")
    three = setup_of(model, 300, [pair for pair in PAIRS if pair[1] in COLOURS[:3]])
    with pytest.raises(DataError, match="name a label that is out of scope"):
        fit_reject_option(make_method("tfidf"), three, rows=8)


# --- held-out rows of a setup -----------------------------------------------------------------------------------------


def test_rows_in_blocks_cannot_be_held_out_by_hand(setup: Setup) -> None:
    with pytest.raises(DataError, match=r"make it by Setup\.without"):
        replace(setup, held_out=frozenset(setup.rows[:2]))


def test_holding_out_adds_up_and_lasts(setup: Setup) -> None:
    free = [row for row in range(len(PAIRS)) if row not in setup.rows]
    less = setup.without(free[:2]).without(free[2:4])
    assert less.held_out == set(free[:4])
    assert less.encoded is setup.encoded
    grown = less.teach("a new text", "amber")
    assert grown.held_out == less.held_out
    again = less.without(setup.rows[:1])
    assert again.encoded is None
    assert again.held_out == {*free[:4], setup.rows[0]}
    assert not again.held_out.intersection(again.encode().rows)
    assert again.plan.tokens <= setup.plan.tokens
