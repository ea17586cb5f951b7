"""From a prediction to what is shown: numbers, order, marked words, and the way to a file and back."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from app.ask.from_prediction import shown_answer, shown_method, shown_pool
from app.ask.plain import as_json, from_json
from app.ask.shown import Pieces, ShownAnswer
from dbsa_core.blocks import mask_density
from dbsa_core.methods import Setup, make_method
from dbsa_core.prediction import Prediction
from dbsa_core.settings import QuerySettings
from dbsa_core.stage2.label_scores import LabelScores, OpenLabels
from tests.app.ask.conftest import QUERY, SETTINGS
from tests.app.pages import ROWS


def prediction_of(log_probs: list[float], way: str = "one_pass") -> Prediction:
    values = np.array(log_probs)
    labels = tuple(f"label {index}" for index in range(len(values)))
    left = tuple(int(index) for index in np.flatnonzero(~np.isfinite(values)))
    scores = LabelScores(
        labels,
        values,
        way,  # type: ignore[arg-type]
        int(values.argmax()),
        1,
        10,
        (OpenLabels(left, math.log(0.009)),) if left else (),
    )
    return Prediction("dbsa", "q", scores, 1234, {"total": 0.09}, False)


def plain(pieces: Pieces) -> str:
    return "".join(text for text, _ in pieces)


def test_the_pool_is_told_with_its_numbers(setup: Setup) -> None:
    pool = shown_pool(setup, "mine.csv")
    assert (pool.name, pool.rows, pool.encoded) == ("mine.csv", len(ROWS), len(setup.rows))
    assert (pool.blocks, pool.planned) == (len(setup.blocks),) * 2
    assert pool.complete
    assert pool.density == mask_density([len(block) for block in setup.blocks], setup.plan.pattern)
    planned = shown_pool(Setup(setup.task, setup.plan), "mine.csv")
    assert (planned.encoded, planned.blocks, planned.planned) == (0, 0, len(setup.plan.blocks))
    assert not planned.complete


def test_the_best_five_labels_come_with_their_intervals(setup: Setup) -> None:
    made = shown_method(prediction_of([*np.log([0.1, 0.4, 0.2, 0.05, 0.03, 0.02])]), setup, SETTINGS)
    assert [label.name for label in made.best] == ["label 1", "label 2", "label 0", "label 3", "label 4"]
    assert made.labels == 6
    assert made.best[0].probability == made.best[0].low == made.best[0].high == pytest.approx(0.5)
    assert made.meaning.startswith("Softmax over the 6 candidate labels of their exact log-probabilities.")
    assert "20.0 % of the model's probability lies outside them." in made.meaning
    plain = prediction_of([*np.log([0.1, 0.4])])
    voted = shown_method(replace(plain, scores=replace(plain.scores, votes=np.log([8, 1]), best=0)), setup, SETTINGS)
    assert [(label.name, label.probability) for label in voted.best] == [
        ("label 0", pytest.approx(2 / 3)), ("label 1", pytest.approx(1 / 3))
    ]  # fmt: skip
    assert voted.meaning.endswith(
        "To the model's log-probabilities those of classifiers are added, by their weight. 50.0 % of the model's "
        "probability lies outside the labels."
    )
    open_ends = shown_method(
        prediction_of([math.log(0.6), -math.inf, math.log(0.3), -math.inf], "best_first"), setup, SETTINGS
    )
    assert open_ends.best[0].low < open_ends.best[0].probability < open_ends.best[0].high
    assert "4 candidate labels; 2 of them were not scored one by one" in open_ends.meaning
    assert "9.1 % to 10.0 % of the model's probability lies outside them." in open_ends.meaning
    greedy = shown_method(prediction_of([-math.inf, math.log(0.6)], "greedy"), setup, SETTINGS)
    assert greedy.best == ()
    assert greedy.meaning.startswith("The other candidate label was not scored. ")


def test_what_was_read_comes_by_attention_the_best_rows_first(setup: Setup, prediction: Prediction) -> None:
    made = shown_answer(prediction, setup, SETTINGS, "mine.csv")
    assert prediction.selection is not None
    assert made.read == prediction.selection.block_ids
    assert len(made.parts) == len(made.read) + 3
    shares = [part.share for part in made.parts]
    assert shares == sorted(shares, reverse=True)  # type: ignore[type-var]
    assert made.attention is not None
    assert {part.key for part in made.parts} == {*made.attention.names} - {"query"}
    scores = {part.key: part.score for part in made.parts if part.score is not None}
    assert scores == {f"block {block + 1}": prediction.selection.scores[block] for block in made.read}
    named = dict(zip(made.attention.names, made.attention.mass.mean(axis=(0, 1)), strict=True))
    blocks = {part.name: part for part in made.parts if part.name.startswith("Block ")}
    retriever = setup.block_retriever(QuerySettings())
    for block in made.read:
        part = blocks[f"Block {block + 1}"]
        assert part.share == pytest.approx(named[f"block {block + 1}"])
        assert {row.number for row in part.rows} == {row + 101 for row in setup.blocks[block].rows}
        assert part.note == ("shared first block" if block == 0 else f"score {prediction.selection.scores[block]:.1f}")
        weights = retriever.matched_words(QUERY, block)
        marked = [[text for text, strength in (*row.text, *row.label) if strength] for row in part.rows]
        totals = [sum(weights.get(word, 0.0) for word in set(words)) for words in marked]
        assert totals == sorted(totals, reverse=True)


def test_similar_rows_are_told_from_the_nearest(setup: Setup, prediction: Prediction) -> None:
    rows = prediction.demonstration_rows
    made = shown_answer(replace(prediction, attention=None), setup, SETTINGS, "mine.csv")
    similar = [part for part in made.parts if part.name == "Similar row"]
    assert [part.rows[0].number for part in similar] == [row + 101 for row in reversed(rows)]
    assert [part.note.split(",")[0] for part in similar] == ["nearest", "2nd nearest", "3rd nearest"]
    unread = [row for row in setup.rows if row not in {r for b in made.read for r in setup.blocks[b].rows}]
    assert unread
    one = replace(prediction, demonstration_rows=(unread[0],), attention=None)
    assert shown_answer(one, setup, SETTINGS, "x").parts[-1].note == "nearest, its block was not read"
    assert made.attention is None
    assert {part.share for part in made.parts} == {None}


def test_marked_words_are_the_querys_and_the_text_stays_whole(setup: Setup, shown: ShownAnswer) -> None:
    for part in shown.parts:
        for row in part.rows:
            assert (plain(row.text), plain(row.label)) == ROWS[row.number - 101]
            for text, strength in (*row.text, *row.label):
                assert 0 <= strength <= 3
                assert not strength or text.lower() in {"my", "card", "is", "lost"}
    strengths = {strength for part in shown.parts for row in part.rows for _, strength in row.text}
    assert {0, 3} <= strengths
    unmarked = shown_answer(
        make_method("dbsa", QuerySettings(retriever="random", ratio=0.6)).fit(setup).predict(QUERY),
        setup,
        QuerySettings(retriever="random"),
        "x",
    )
    assert {strength for part in unmarked.parts for row in part.rows for _, strength in row.text} == {0}


def test_words_that_stand_in_many_rows_tell_nothing(
    setup: Setup, prediction: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    def marked() -> set[str]:
        made = shown_answer(prediction, setup, SETTINGS, "x")
        return {text for part in made.parts for row in part.rows for text, strength in row.text if strength}

    assert {"card", "my", "lost", "is"} <= marked()
    monkeypatch.setattr("app.ask.from_prediction.FREQUENT_ROWS", 3)
    assert {"my", "lost", "is"} <= marked()
    assert "card" not in marked(), "in six of ten rows"


def test_the_querys_own_row_is_flagged(prediction: Prediction, shown: ShownAnswer) -> None:
    (equal,) = prediction.equal_rows
    assert shown.method.equal_rows == (equal + 101,)
    assert {row.number for part in shown.parts for row in part.rows if row.same} <= {equal + 101}


def test_an_answer_of_similar_rows_alone(setup: Setup) -> None:
    bare = Setup(setup.task, setup.plan)
    made = shown_answer(make_method("nearest").fit(bare).predict(QUERY), bare, QuerySettings(), "mine.csv")
    assert (made.read, made.attention, made.pool.blocks) == ((), None, 0)
    assert [part.name for part in made.parts] == ["Similar row"] * 8
    assert {part.note.count(",") for part in made.parts} == {0}
    assert made.method.rows_anew == 8


def without_tokens(made: ShownAnswer) -> ShownAnswer:
    """And without the attention: what compares by its values."""
    return replace(made, attention=None, parts=tuple(replace(part, tokens=None) for part in made.parts))


def test_a_file_holds_all_of_an_answer(shown: ShownAnswer) -> None:
    read = from_json(json.loads(json.dumps(as_json(shown))))
    assert without_tokens(read) == without_tokens(shown)
    for part, own in zip(read.parts, shown.parts, strict=True):
        assert (part.tokens is None) == (own.tokens is None)
        if part.tokens is not None and own.tokens is not None:
            assert (part.tokens.texts, part.tokens.before) == (own.tokens.texts, own.tokens.before)
            assert part.tokens.shares == pytest.approx(own.tokens.shares, rel=1e-3, abs=1e-7)
    assert read.attention is not None
    assert shown.attention is not None
    assert read.attention.names == shown.attention.names
    assert np.abs(read.attention.mass - shown.attention.mass).max() < 1e-3
    without = from_json(as_json(replace(shown, attention=None, compared=())))
    assert (without.attention, without.compared) == (None, ())


@pytest.mark.parametrize("missing", ["pool", "method", "parts", "attention", "read"])
def test_a_file_of_another_form_is_refused(shown: ShownAnswer, missing: str) -> None:
    changed = {name: value for name, value in as_json(shown).items() if name != missing}
    with pytest.raises(KeyError):
        from_json(changed)
