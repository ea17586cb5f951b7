"""Labels that may be wrong: those that were made wrong are found, and nothing of a row speaks for or against itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dbsa_core import label_issues
from dbsa_core.classifiers import CLASSIFIERS, train_classifier, votes_on_rows
from dbsa_core.data import Demonstration, Pool
from dbsa_core.errors import Cancelled
from dbsa_core.interrupt import interruptible
from dbsa_core.label_issues import (
    ASKING,
    FOLDS,
    LOOKING,
    NEAREST,
    TRAINING,
    LabelIssue,
    Suspect,
    ask_without,
    asking,
    classifiers_of,
    find_label_issues,
    find_suspects,
    most_disputed,
)
from dbsa_core.methods import make_method
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.retrieve.embeddings import Embeddings
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.task import Task
from tests.letters import Letters
from tests.tiny import tiny_model

WORDS = {"fruit": "apple pear mango plum", "tool": "saw drill hammer file", "weather": "rain snow hail cloud"}
PAIRS = [(f"{one} and {two} number {i}", label) for label, words in WORDS.items()
         for i, (one, two) in enumerate((a, b) for a in words.split() for b in words.split() if a != b)]  # fmt: skip
WRONG = {3: "tool", 20: "fruit"}
"""Rows whose label is made wrong."""
BY_VOTES = QuerySettings(fresh_demonstrations=4, votes="words", vote_weight=100.0)
"""A tiny model says nothing about texts: so the votes decide."""


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return tiny_model("llama", max_position_embeddings=2048)


def setup_of(model: LanguageModel, pairs: Any, tokens: int = 300) -> Setup:
    return Setup.of(Task(model, Pool.of(pairs)), EncodeSettings(pool_tokens=tokens, block_size=3))


def made_wrong() -> list[tuple[str, str]]:
    return [(text, WRONG.get(row, label)) for row, (text, label) in enumerate(PAIRS)]


@pytest.fixture(scope="module")
def setup(model: LanguageModel) -> Setup:
    return setup_of(model, made_wrong())


def test_labels_that_were_made_wrong_are_found(setup: Setup) -> None:
    told: list[tuple[str, int, int]] = []
    known: list[LabelIssue] = []
    found = find_label_issues(setup, BY_VOTES, on_progress=lambda *one: told.append(one), on_found=known.append)
    assert tuple(known) == found.issues
    assert {issue.demonstration.row - 1 for issue in found.issues} == set(WRONG)
    assert (found.rows, found.suspects, found.asked) == (len(PAIRS), len(WRONG), len(WRONG))
    for issue in found.issues:
        right = PAIRS[issue.demonstration.row - 1][1]
        assert issue.suggested == right
        assert issue.demonstration.label == WRONG[issue.demonstration.row - 1]
        assert issue.own_probability < issue.probability <= 1
        assert issue.nearest_as_suggested > NEAREST / 2
    assert [what for what, *_ in dict.fromkeys((what,) for what, *_ in told)] == [TRAINING, LOOKING, ASKING]
    assert told[-1] == (ASKING, len(WRONG), len(WRONG))
    assert max(done for what, done, _ in told if what == LOOKING) == next(n for what, _, n in told if what == LOOKING)


def test_a_file_without_such_rows_has_none(model: LanguageModel) -> None:
    found = find_label_issues(setup_of(model, PAIRS), BY_VOTES)
    assert (found.issues, found.suspects, found.asked) == ((), 0, 0)


def test_the_models_answer_decides(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that agrees with the row's label takes it off the list."""
    asked = label_issues.ask_without

    def agreeing(setup: Setup, settings: QuerySettings, suspects: Sequence[Suspect], **rest: Any) -> Any:
        (first, answer), *others = asked(setup, settings, suspects, **rest)
        return [(replace(first, label=answer.label), answer), *others]

    monkeypatch.setattr(label_issues, "ask_without", agreeing)
    found = find_label_issues(setup, BY_VOTES)
    assert (found.asked, len(found.issues)) == (len(WRONG), len(WRONG) - 1)


def test_suspects_are_asked_about_as_by_the_method_that_reads_none_of_them(model: LanguageModel) -> None:
    setup = setup_of(model, [*made_wrong(), (PAIRS[3][0].upper(), "weather")])
    settings = replace(BY_VOTES, votes="none")
    suspects = [each for each in find_suspects(setup, asking(settings)) if each.row in WRONG]
    unread = {*WRONG, len(PAIRS)}
    answers = list(ask_without(setup, asking(settings), suspects))
    assert [suspect for suspect, _ in answers] == suspects
    for suspect, answer in answers:
        assert answer.query == setup.task.pool.texts[suspect.row]
        assert unread.isdisjoint(answer.demonstration_rows)
        method = make_method("nearest", asking(settings)).fit(setup.without(unread))
        expected = method.predict(answer.query)
        assert expected.demonstration_rows == answer.demonstration_rows
        np.testing.assert_allclose(answer.scores.log_probs, expected.scores.log_probs, atol=1e-5)


@pytest.mark.parametrize("votes", ["none", "words", "vectors", "words+vectors"])
def test_nothing_that_judges_a_row_has_seen_its_text(setup: Setup, votes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And margins are those of classifiers that are trained on the other folds, one row at a time."""
    seen: list[tuple[str, list[int], list[int]]] = []

    def noted(name: str, texts: Any, labels: Any, judged: list[int], others: list[int], *rest: Any) -> Any:
        seen.append((name, judged, others))
        return votes_on_rows(name, texts, labels, judged, others, *rest)

    monkeypatch.setattr(label_issues, "votes_on_rows", noted)
    settings = asking(QuerySettings(votes=votes))
    found = {suspect.row: suspect for suspect in find_suspects(setup, settings)}
    pool, embeddings = setup.task.pool, setup.task.embeddings(settings.embedder)
    assert Counter(name for name, *_ in seen) == dict.fromkeys(classifiers_of(settings), FOLDS)
    assert sorted(row for name, judged, _ in seen if name == seen[0][0] for row in judged) == list(range(len(pool)))
    labels = [row.label for row in pool.demonstrations]
    summed = {row: np.zeros(len(pool.labels)) for row in range(len(pool))}
    for name, judged, others in seen:
        texts = {pool.texts[row].casefold() for row in others}
        assert not any(pool.texts[row].casefold() in texts for row in judged)
        trained = train_classifier(name, pool.texts, labels, others, embeddings)
        for row in judged:
            summed[row] += trained.votes(pool.texts[row], pool.labels)
    margins = {row: votes.max() - votes[pool.labels.index(labels[row])] for row, votes in summed.items()}
    assert set(found) == {row for row, margin in margins.items() if margin > 0} >= set(WRONG)
    for row, suspect in found.items():
        assert suspect.margin == pytest.approx(margins[row], abs=1e-5)
        assert suspect.likelier == pool.labels[int(summed[row].argmax())]
    assert [suspect.margin for suspect in found.values()] == sorted((s.margin for s in found.values()), reverse=True)


def test_rows_of_the_same_text_are_no_evidence(model: LanguageModel) -> None:
    """Eight copies with the wrong label would else outvote all others."""
    text = PAIRS[3][0]
    copies = [(text.title(), "tool")] * NEAREST
    setup = setup_of(model, [*made_wrong(), *copies])
    of_text = [each for each in find_suspects(setup, asking(BY_VOTES)) if each.row in (3, *range(36, 36 + NEAREST))]
    assert len(of_text) == 1 + NEAREST
    assert all(each.disputed_by_nearest and each.nearest.count("tool") <= 1 for each in of_text)
    assert {each.likelier for each in of_text} == {"fruit"}


def test_what_is_held_out_taught_or_alone_is_not_judged(setup: Setup, model: LanguageModel) -> None:
    held_out = setup.without([3])
    found = find_label_issues(held_out, BY_VOTES)
    assert found.rows == len(PAIRS) - 1
    assert {issue.demonstration.row - 1 for issue in found.issues} == {20}
    assert not any(3 in answer.demonstration_rows for _, answer in ask_without(held_out, BY_VOTES, found_in(held_out)))

    no_weather = setup.without(range(24, 36))
    suspects = find_suspects(no_weather, asking(BY_VOTES))
    assert set(WRONG) <= {each.row for each in suspects}
    assert not any("weather" in each.nearest for each in suspects)

    taught = setup.extended([Demonstration("apple and pear, said by a person", "tool", 0)])
    assert len(PAIRS) not in {each.row for each in find_suspects(taught, asking(BY_VOTES))}

    alone = setup_of(model, [*made_wrong(), ("apple and saw and rain", "unheard of")])
    assert len(PAIRS) not in {each.row for each in find_suspects(alone, asking(BY_VOTES))}


def found_in(setup: Setup) -> list[Suspect]:
    return find_suspects(setup, asking(BY_VOTES))


def test_as_many_are_asked_as_is_said_and_of_a_label_half(setup: Setup) -> None:
    found = find_label_issues(setup, BY_VOTES, rows=1)
    assert (found.suspects, found.asked, len(found.issues)) == (2, 1, 1)
    all_tools = [Suspect(row, "tool", "fruit", 9.0 - row, ()) for row in range(12, 24)]
    most = most_disputed(setup, all_tools, 100)
    of_label = sum(row.label == "tool" for row in setup.task.pool.demonstrations)
    assert most == all_tools[: of_label // 2]


def test_it_is_asked_with_rows_that_tell_something() -> None:
    paper = asking(QuerySettings(fresh_demonstrations=0, row_retriever="random"))
    assert (paper.fresh_demonstrations, paper.row_retriever) == (NEAREST, "bm25")
    mine = QuerySettings(fresh_demonstrations=12, row_retriever="hybrid")
    assert asking(mine) == mine
    assert classifiers_of(mine) == CLASSIFIERS
    assert classifiers_of(replace(mine, votes="words")) == classifiers_of(QuerySettings()) == ("words",)


def test_too_few_rows_have_no_suspects(model: LanguageModel) -> None:
    for pairs in (PAIRS[:1], [PAIRS[0], PAIRS[12]]):
        found = find_label_issues(setup_of(model, pairs), BY_VOTES)
        assert (found.rows, found.suspects, found.asked, found.issues) == (len(pairs), 0, 0, ())


@pytest.mark.parametrize("at", [TRAINING, LOOKING, ASKING])
def test_it_can_be_stopped(setup: Setup, at: str) -> None:
    told: list[str] = []
    with pytest.raises(Cancelled), interruptible(lambda: at in told):
        find_label_issues(setup, BY_VOTES, on_progress=lambda what, done, total: told.append(what))
    assert told[-1] == at


def test_the_vectors_of_rows_are_made_once(letters: Letters) -> None:
    texts = [text for text, _ in PAIRS]
    embeddings = Embeddings(texts)
    made = embeddings.vectors
    before = letters.calls
    embeddings.as_query(5)
    assert np.array_equal(embeddings.query(texts[5]), made[5])
    labels = [label for _, label in PAIRS]
    judged, others = list(range(0, 36, 5)), [row for row in range(36) if row % 5]
    found = votes_on_rows("vectors", texts, labels, judged, others, embeddings, ("fruit", "new", "tool", "weather"))
    assert letters.calls == before
    trained = train_classifier("vectors", texts, labels, others, embeddings)
    for votes, row in zip(found, judged, strict=True):
        np.testing.assert_allclose(votes, trained.votes(texts[row], ("fruit", "new", "tool", "weather")), atol=1e-6)
        assert votes[1] == votes.max()
