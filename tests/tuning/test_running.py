"""Tuning: what is asked is read by nothing, votes afterwards are votes within, and time is kept to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dbsa_core.classifiers import VOTES
from dbsa_core.data import Demonstration, Pool
from dbsa_core.errors import CapacityError, ModelError
from dbsa_core.methods import make_method
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.retrieve import embeddings
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.task import Task
from dbsa_core.tuning import LEAST_ROWS, METHOD, running, trial, tune
from dbsa_core.tuning.readings import BY_VECTORS, BY_VECTORS_SLOW, BY_WORDS, described, readings_of, votes_to_try
from dbsa_core.tuning.trial import Trial, votes_on
from dbsa_core.validation import Validation, draw_validation
from tests.tiny import tiny_model

WORDS = {"fruit": "apple pear mango plum", "tool": "saw drill hammer file", "weather": "rain snow hail cloud"}
PAIRS = [(f"{one} {said} {other}", label) for label, words in WORDS.items()
         for said in ("and", "or", "but no", "with", "to") for one in words.split() for other in words.split()
         if one != other]  # fmt: skip
SLOW = readings_of(QuerySettings(), vectors=True, slow=True)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return tiny_model("llama", max_position_embeddings=2048)


@pytest.fixture(scope="module")
def setup(model: LanguageModel) -> Setup:
    return Setup.of(Task(model, Pool.of(PAIRS)), EncodeSettings(pool_tokens=300, block_size=3)).encode()


# --- what is tried ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tried", [BY_VECTORS, BY_VECTORS_SLOW, BY_WORDS])
def test_the_default_and_the_papers_reading_are_always_tried(tried: Sequence[Any]) -> None:
    default = QuerySettings()
    assert (default.row_retriever, default.fresh_demonstrations, default.ratio) in tried[:2]
    assert tried[-1] == ("bm25", 0, default.ratio)
    assert len(set(tried)) == len(tried)


def test_all_else_stays_as_it_was_given() -> None:
    base = QuerySettings(embedder="mine", order="most_to_least", seed=7, vote_weight=3.0, decode="greedy")
    for found in readings_of(base, vectors=True, slow=False):
        assert (found.embedder, found.order, found.seed) == ("mine", "most_to_least", 7)
        assert (found.votes, found.vote_weight, found.decode) == ("none", 1.0, "exact")
    voting = replace(base, decode="exact", votes="words")
    assert readings_of(voting, vectors=True, slow=False) == readings_of(base, vectors=True, slow=False)


def test_without_vectors_nothing_reads_them() -> None:
    assert votes_to_try(vectors=True) == VOTES
    assert votes_to_try(vectors=False) == ("none", "words")
    for found in readings_of(QuerySettings(), vectors=False, slow=False):
        assert "embedder" not in found.of_retrieval(blocks=True, rows=True)


def test_settings_are_told_in_words() -> None:
    found = QuerySettings(fresh_demonstrations=16, row_retriever="hybrid", ratio=0.1, votes="words+vectors")
    assert described(found) == "16 similar rows by hybrid and 10% of the blocks by bm25, votes of words and vectors"
    assert described(replace(found, retriever="hybrid", vote_weight=1.5)) == (
        "16 similar rows and 10% of the blocks by hybrid, votes of words and vectors (weight 1.5)"
    )
    assert described(QuerySettings(fresh_demonstrations=0)) == "30% of the blocks by bm25"


# --- a trial ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn(setup: Setup) -> Validation:
    return draw_validation(setup, rows=24).encode()


@pytest.mark.parametrize("votes", VOTES)
def test_votes_afterwards_are_votes_within(drawn: Validation, votes: str) -> None:
    """The slow twin: the method with these votes, asked anew."""
    settings = replace(SLOW[1], fresh_demonstrations=2)
    tried = Trial(settings, drawn, votes_on(drawn, settings.embedder, VOTES))
    tried.ask(10)
    tried.ask(100)
    assert len(tried.answers) == len(drawn.demonstrations) == 24
    voting = replace(settings, votes=votes, vote_weight=0.7)
    slow = make_method("dbsa_fresh", voting).fit(drawn.setup)
    answers = list(slow.predict_many([row.text for row in drawn.demonstrations]))
    right = [answer.label == row.label for answer, row in zip(answers, drawn.demonstrations, strict=True)]
    assert tried.right(votes, 0.7).tolist() == right
    for found, answer in zip(tried.with_votes(voting), answers, strict=True):
        assert found is not None
        assert found.label == answer.label
        assert found.scores.probabilities == pytest.approx(answer.scores.probabilities, abs=1e-5)


def test_a_weight_is_judged_by_weights_that_were_fitted_on_other_rows(
    drawn: Validation, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = Trial(SLOW[1], drawn, votes_on(drawn, SLOW[1].embedder, VOTES))
    tried.ask(24)
    fitted: list[int] = []

    def weight(scores: NDArray[Any], votes: NDArray[Any], gold: NDArray[Any]) -> float:
        fitted.append(len(gold))
        return 100.0 if len(gold) == 24 else 0.0

    monkeypatch.setattr(trial, "likeliest_weight", weight)
    kept, right = tried.fitted_weight("words", 0)
    assert kept == 100.0
    assert sorted(fitted) == [19, 19, 19, 19, 20, 24]
    assert right.tolist() == tried.right("none").tolist() != tried.right("words", 100.0).tolist()


def test_a_row_that_fits_no_context_is_wrong(model: LanguageModel) -> None:
    long = [Demonstration("apple " * 400, "fruit", 200)]
    drawn = Validation(Setup.of(Task(model, Pool.of(PAIRS)), EncodeSettings(pool_tokens=300)).encode(), tuple(long))
    tried = Trial(SLOW[1], drawn, votes_on(drawn, SLOW[1].embedder, VOTES))
    tried.ask(1)
    assert tried.answers == [None]
    assert tried.right("words", 100.0).tolist() == [False]
    tried.time()
    assert tried.latency is None


def test_time_is_taken_of_queries_alone_until_it_is_over(drawn: Validation) -> None:
    tried = Trial(SLOW[1], drawn, votes_on(drawn, SLOW[1].embedder, VOTES))
    tried.ask(5)
    tried.time(lambda: True)
    assert tried.latency is None
    tried.time()
    assert tried.latency is not None
    assert tried.latency > 0


# --- tuning -----------------------------------------------------------------------------------------------------------


def test_what_is_asked_is_read_by_nothing_and_no_text_is_from_elsewhere(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Trial] = []
    ask = Trial.ask

    def noted(self: Trial, count: int) -> None:
        seen.append(self)
        ask(self, count)

    monkeypatch.setattr(Trial, "ask", noted)
    trained: list[Sequence[int]] = []
    train = trial.votes_on.__globals__["Setup"].trained_classifier

    def training(self: Setup, *args: Any, **more: Any) -> Any:
        trained.append(sorted(self.unread))
        return train(self, *args, **more)

    monkeypatch.setattr(Setup, "trained_classifier", training)
    monkeypatch.setattr(running, "LEAST_ROWS", 12)
    found = tune(setup, rows=12)
    asked = {row.text for row in seen[0].drawn.demonstrations}
    assert found.rows == len(asked) == 12
    assert asked <= {text for text, _ in PAIRS}
    rows = {at for at, (text, _) in enumerate(PAIRS) if text in asked}
    for each in seen:
        assert rows <= set(each.drawn.setup.unread)
        assert rows.isdisjoint(each.drawn.setup.rows)
        for answer in each.answers:
            assert answer is not None
            assert rows.isdisjoint(answer.demonstration_rows)
    assert trained
    assert all(rows <= set(unread) for unread in trained)


class Scripted(Trial):
    """Right about the first rows: as many as `script` says for its reading and the votes."""

    script = staticmethod(lambda settings, votes: 0)
    took = 0.0

    def ask(self, count: int) -> None:
        self.answers += [None] * min(count, len(self.drawn.demonstrations) - len(self.answers))
        Scripted.took += 0.001 * count
        self.seconds += 0.001 * count

    def right(self, votes: str, weights: Any = 1.0) -> NDArray[np.bool_]:
        return np.arange(len(self.answers)) < self.script(self.settings, votes)

    def fitted_weight(self, votes: str, seed: int) -> tuple[float, NDArray[np.bool_]]:
        return 1.5, self.right(votes)

    def time(self, over: Callable[[], bool] = lambda: False) -> None:
        self.latency = 1.0


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[QuerySettings, str], int]], None]:
    def use(script: Callable[[QuerySettings, str], int]) -> None:
        monkeypatch.setattr(Scripted, "script", staticmethod(script))
        monkeypatch.setattr(Scripted, "took", 0.0)
        monkeypatch.setattr(running, "Trial", Scripted)
        monkeypatch.setattr(running, "vote_seconds", lambda *args: 0.0)

    return use


def is_(settings: QuerySettings, retriever: str, similar: int, ratio: float) -> bool:
    return (settings.row_retriever, settings.fresh_demonstrations, settings.ratio) == (retriever, similar, ratio)


def test_noise_changes_nothing(setup: Setup, scripted: Any) -> None:
    scripted(lambda settings, votes: 32 if is_(settings, "dense", 8, 0.1) else 30)
    found = tune(setup, rows=48)
    assert found.chosen == found.preferred
    chosen = found.settings.query
    assert is_(chosen, "hybrid", 8, 0.3)
    assert (chosen.votes, chosen.vote_weight) == ("words+vectors", 1.5)
    assert found.settings.method().name == METHOD
    assert found.default is not None
    default = found.candidates[found.default].settings
    assert default is not None
    assert (default, default.votes) == (QuerySettings(), "none")
    assert "nothing else was more accurate beyond chance" in found.sentence
    assert "with the default settings (no more than chance)" in found.sentence
    # Of what was tried, the paper's way without votes, and of classifiers alone.
    assert len(found.candidates) == (len(BY_VECTORS_SLOW) - 1) * len(VOTES) + 1 + 2


def test_what_is_better_beyond_chance_is_chosen_and_said(setup: Setup, scripted: Any) -> None:
    scripted(lambda settings, votes: 47 if is_(settings, "dense", 8, 0.1) and votes == "words" else 30)
    found = tune(setup, rows=48)
    assert is_(found.settings.query, "dense", 8, 0.1)
    assert (found.settings.query.votes, found.settings.query.vote_weight) == ("words", 1.5)
    assert found.candidates[found.chosen].right.sum() == 47
    assert "more accurate beyond chance" in found.sentence
    assert "97.9%" in found.sentence
    assert found.p_values[found.chosen] < 0.001


def test_what_is_behind_beyond_chance_is_asked_no_further(setup: Setup, scripted: Any) -> None:
    scripted(lambda settings, votes: 20 if settings.row_retriever == "dense" else 45)
    found = tune(setup, rows=48)
    dropped = [each for each in found.candidates if not each.complete]
    assert [each.settings.row_retriever for each in dropped] == ["dense"]
    assert LEAST_ROWS <= len(dropped[0].right) < 48
    # The preferred one and the default are asked about all, however they do.
    scripted(lambda settings, votes: 48 if settings.row_retriever == "dense" else 20)
    found = tune(setup, rows=48)
    assert found.default is not None
    assert found.candidates[found.preferred].complete
    assert found.settings.query.row_retriever == "dense"


def test_with_few_rows_nothing_is_chosen_by_them(setup: Setup, scripted: Any) -> None:
    scripted(lambda settings, votes: 30 if is_(settings, "dense", 8, 0.1) else 0)
    told: list[Any] = []
    found = tune(setup, rows=30, on_progress=lambda *each: told.append(each))
    assert (found.rows, told) == (0, [])
    assert found.chosen == found.preferred
    assert "Only 30 rows of the file could be asked about" in found.sentence
    assert found.settings.query.vote_weight == 1.0


def test_a_file_of_which_no_row_can_be_held_out_gets_what_is_preferred(model: LanguageModel) -> None:
    setup = Setup.of(Task(model, Pool.of([("apple", "fruit"), ("saw", "tool")])), EncodeSettings(pool_tokens=300))
    found = tune(setup)
    assert (found.rows, found.settings.query.votes) == (0, "words+vectors")
    assert "Only 0 rows" in found.sentence
    assert [each["accuracy"] for each in found.as_json()["candidates"]] == [None] * len(found.candidates)


def test_time_is_kept_to(setup: Setup, scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(lambda settings, votes: 48)
    monkeypatch.setattr(running, "perf_counter", lambda: Scripted.took)  # an answer takes a millisecond
    for budget, asked, tried in ((10.0, 48, 6), (0.130, 48, 2), (0.049, 24, 2), (1e-9, 8, 1)):
        scripted(lambda settings, votes: 48)
        found = tune(setup, rows=48, budget_seconds=budget)
        assert found.rows == asked
        complete = {described(replace(each.settings, votes="none")) for each in found.candidates
                    if each.settings and each.complete}  # fmt: skip
        assert len(complete) == tried
        assert bool(found.notes) == (tried < 6)


def test_it_can_be_stopped_and_uses_what_was_asked(setup: Setup, scripted: Any) -> None:
    scripted(lambda settings, votes: 48)
    told: list[tuple[str, int, int]] = []
    found = tune(setup, rows=48, stop=lambda: len(told) >= 7, on_progress=lambda *each: told.append(each))
    assert found.rows == 48
    assert len({what for what, _, _ in told}) == 2
    assert [done for _, done, _ in told] == [8, 16, 24, 32, 40, 48, 48]
    assert told[-1][0] == "the time of a query with " + told[0][0]
    assert {total for _, _, total in told} == {6 * 48}
    assert "it was stopped" in found.notes[0]
    assert found.chosen == found.preferred
    assert found.default is None
    assert "default" not in found.sentence


def test_what_memory_does_not_hold_is_not_chosen(setup: Setup, scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(lambda settings, votes: 30)
    ask = Scripted.ask

    def refusing(self: Scripted, count: int) -> None:
        ask(self, count)
        if "paper" in refused or (self.settings.fresh_demonstrations and self.settings.row_retriever in refused):
            self.refused = CapacityError("no room")

    monkeypatch.setattr(Scripted, "ask", refusing)
    refused = ["hybrid"]
    assert is_(tune(setup, rows=48).settings.query, "bm25", 8, 0.3)
    refused += ["bm25", "dense"]  # the paper's way of reading is left
    settings = tune(setup, rows=48).settings.query
    assert (settings.fresh_demonstrations, settings.votes) == (0, "none")
    refused += ["paper"]
    with pytest.raises(CapacityError, match="no room"):
        tune(setup, rows=48)


def test_memory_that_runs_out_over_a_query_or_over_fitting_is_noted(
    drawn: Validation, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = Trial(SLOW[1], drawn, votes_on(drawn, SLOW[1].embedder, VOTES))
    method = tried.method()
    monkeypatch.setattr(method, "predict_many", lambda texts: iter([CapacityError("no room")]))
    tried.ask(5)
    assert str(tried.refused) == "no room"
    assert tried.answers == []


def test_without_a_sentence_encoder_words_are_left(
    setup: Setup, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*args: Any) -> Any:
        raise ModelError("it is not here")

    task = Task(setup.task.model, setup.task.pool)
    monkeypatch.setattr(embeddings, "load_embedder", none)
    scripted(lambda settings, votes: 30)
    found = tune(Setup.of(task, setup.plan.settings), rows=48)
    assert is_(found.settings.query, "bm25", 8, 0.3)
    assert found.settings.query.votes == "words"
    assert "it is not here" in found.notes[0]
    assert found.default is not None
    assert found.default != found.preferred


def test_a_classifier_alone_that_is_better_is_told_of(setup: Setup, scripted: Any) -> None:
    scripted(lambda settings, votes: 10)
    found = tune(setup, rows=48)
    alone = {each.name: each for each in found.candidates if each.settings is None}
    assert set(alone) == {"a classifier of words alone", "a classifier of vectors alone"}
    assert alone["a classifier of words alone"].right.mean() > 0.9
    assert "alone is more accurate on these rows" in found.sentence
    assert found.settings.evidence["sentence"] == found.sentence


# --- texts that fit no label ------------------------------------------------------------------------------------------


NONE = [(f"{text} indeed", "none") for text, _ in PAIRS[::4]]


@pytest.mark.parametrize("helps", [True, False])
def test_a_reject_option_is_chosen_where_it_helps_beyond_chance(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, helps: bool
) -> None:
    pool = Pool.of([*PAIRS, *NONE])
    setup = Setup.of(Task(model, pool), EncodeSettings(pool_tokens=300, block_size=3))
    label = pool.labels.index("none")
    votes = trial.Trial.with_votes

    def answered(self: Trial, settings: QuerySettings) -> Any:
        found = votes(self, settings)
        for at, (each, row) in enumerate(zip(found, self.drawn.demonstrations, strict=True)):
            assert each is not None
            # "none" is never the most probable label; where the option helps, the best one is less probable there.
            best = (label + 1) % len(pool.labels) if row.label == "none" else pool.labels.index(row.label)
            sums = np.full(len(pool.labels), -5.0)
            sums[label] = -0.1 if helps and row.label == "none" else -5.0
            sums[best] = 0.0
            log_probs = sums - np.logaddexp.reduce(sums)
            found[at] = replace(each, scores=replace(each.scores, log_probs=log_probs, votes=None, best=best))
        return found

    monkeypatch.setattr(trial.Trial, "with_votes", answered)
    monkeypatch.setattr(running, "nearness", lambda text, *given: 0.5)
    monkeypatch.setattr(running, "readings_of", lambda base, **how: [base])
    found = tune(setup, rows=40, out_of_scope="none")
    assert found.settings.out_of_scope == "none"
    assert found.settings.reject == found.candidates[found.chosen].reject == helps
    assert found.default is not None
    assert not found.candidates[found.default].reject
    assert found.candidates[found.chosen].right.all() == helps
    assert found.candidates[found.chosen].name.endswith(", with a reject option") == helps


def test_without_a_label_out_of_scope_nothing_is_refused(setup: Setup, scripted: Any) -> None:
    scripted(lambda settings, votes: 30)
    assert not tune(setup, rows=48).settings.reject
