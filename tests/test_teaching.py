"""Stories of corrections: one row more, at once, without encoding; a label that no block knows; forgetting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from dbsa_core.data import MAX_LABELS, Pool
from dbsa_core.errors import DataError, SettingsError
from dbsa_core.methods import METHODS, make_method
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prediction import Prediction
from dbsa_core.prompt import PromptTemplate
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.stage1 import encoding
from dbsa_core.stage2.trie import LabelTrie
from dbsa_core.task import Task
from tests.asking import ASKING
from tests.stage1.test_running_out import Device
from tests.tiny import tiny_model

PAIRS = [(f"thing number {i:02d} {'red' if i % 2 else 'old'}", ("a_b", "c")[i % 2]) for i in range(16)]
READS_ROWS = [name for name in ASKING if name != "zero_shot"]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return tiny_model("llama", max_position_embeddings=2048)


def setup_of(model: LanguageModel, **settings: Any) -> Setup:
    given = EncodeSettings(**{"pool_tokens": 400, "block_size": 2} | settings)
    return Setup.of(Task(model, Pool.of(PAIRS)), given)


@pytest.fixture(scope="module")
def setup(model: LanguageModel) -> Setup:
    made = setup_of(model).encode()
    assert 4 < len(made.rows) < len(PAIRS)
    return made


def answer(setup: Setup, name: str, query: str, **settings: Any) -> Prediction:
    return make_method(name, QuerySettings(**settings)).fit(setup).predict(query)


def same(one: Prediction, other: Prediction) -> bool:
    return one.labels == other.labels and np.allclose(one.scores.log_probs, other.scores.log_probs, rtol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_a_taught_method_answers_as_one_that_knew_the_row_from_the_start(setup: Setup, name: str) -> None:
    """The slow twin tokenizes and indexes everything anew."""
    taught = make_method(name).fit(setup)
    assert taught.teach("what a brick", "new_label") is taught
    row = setup.task.lesson("what a brick", "new_label")
    afresh = Task(setup.task.model, Pool.of([*setup.task.pool.demonstrations, row]))
    assert afresh.pool.labels == ("a_b", "c", "new_label")
    knew = make_method(name).fit(Setup(afresh, setup.plan, setup.encoded))
    one, other = taught.predict("which brick"), knew.predict("which brick")
    assert same(one, other)
    assert one.demonstration_rows == other.demonstration_rows
    assert (len(PAIRS) in one.demonstration_rows) == (name in READS_ROWS)


@pytest.mark.parametrize("name", METHODS)
def test_a_new_label_is_scored_by_a_new_trie_and_blocks_stay_the_same_tensors(setup: Setup, name: str) -> None:
    before = {block.id: setup.encoded_pool().store.get(block.id).keys.clone() for block in setup.blocks}
    method = make_method(name).fit(setup)
    assert method.predict("brick").labels == ("a_b", "c")
    found = method.teach("brick", "b").predict("brick")
    assert found.labels == ("a_b", "b", "c")
    assert sum(found.probabilities.values()) == pytest.approx(1)
    longer = setup.teach("brick", "b").task
    assert longer.trie == LabelTrie.of(("a_b", "b", "c"), longer.prompter)
    assert setup.task.trie.labels == ("a_b", "c"), "whoever shares the setup learns nothing"
    for block, keys in before.items():
        assert torch.equal(setup.encoded_pool().store.get(block).keys, keys)


@pytest.mark.parametrize("name", METHODS)
def test_fitting_to_an_earlier_setup_forgets(setup: Setup, name: str) -> None:
    method = make_method(name).fit(setup)
    before = method.predict("brick")
    assert not same(method.teach("brick", "b").predict("brick"), before)
    assert same(method.fit(setup).predict("brick"), before)


@pytest.mark.parametrize("name", METHODS)
def test_only_a_fitted_method_can_be_taught(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is not fitted"):
        make_method(name).teach("brick", "b")


def test_a_known_label_is_meant_however_it_is_spelled(setup: Setup) -> None:
    for spelled in ("a_b", "A B", " a  b"):
        lesson = setup.teach("brick", spelled).task.pool.demonstrations[-1]
        assert (lesson.label, lesson.row, lesson.taught) == ("a_b", 0, True)


def test_what_cannot_be_learnt_is_refused(setup: Setup, model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, label, what in ((" \n", "c", "text"), ("brick", "\t ", "label")):
        with pytest.raises(DataError, match=f"The {what} is empty; give a text"):
            setup.teach(text, label)
    # Cleaning joins lines, so this separator is one that can be typed.
    typed = Setup.of(Task(model, Pool.of(PAIRS), PromptTemplate(separator="=x")), setup.plan.settings)
    with pytest.raises(DataError, match="holds the token that ends labels"):
        typed.teach("brick", "a=x")
    with pytest.raises(DataError, match=r"The text is \d+ tokens long, label included, and an example may take 64"):
        setup.teach("very long " * 20, "c")
    assert setup_of(model, long_rows="truncate").teach("very long " * 20, "c").loose == (len(PAIRS),)
    monkeypatch.setattr("dbsa_core.task.MAX_LABELS", 2)
    with pytest.raises(DataError, match="There are 2 labels already"):
        setup.teach("brick", "b")
    assert MAX_LABELS > 2


@pytest.mark.parametrize("name", [name for name in READS_ROWS if name != "fixed_icl"])
def test_what_was_taught_last_about_a_text_holds(setup: Setup, name: str) -> None:
    """The file's own row with the same text, and what was taught about it before, are not read beside the query."""
    text = PAIRS[setup.rows[0]][0]
    wrong = next(label for label in ("a_b", "c") if label != PAIRS[setup.rows[0]][1])
    taught = setup.teach(text, "third").teach(text.upper(), wrong)
    found = answer(taught, name, text, ratio=0.1, fresh_demonstrations=8)
    equal = [row for row in found.demonstration_rows if row in taught.task.rows_equal_to(text)]
    assert equal == [len(PAIRS) + 1]
    assert taught.loose == (len(PAIRS) + 1,)


@pytest.mark.parametrize("name", ASKING)
@pytest.mark.parametrize("decode", ["exact", "greedy"])
def test_a_text_that_was_taught_is_answered_as_it_was_taught(setup: Setup, name: str, decode: Any) -> None:
    """Whatever the scores say, which are told all the same."""
    model_says = answer(setup, name, "brick", decode=decode)
    other = next(label for label in ("a_b", "c") if label != model_says.label)
    taught = setup.teach("Brick", model_says.label).teach("brick", other)
    found = answer(taught, name, "BRICK", decode=decode)
    assert (found.label, found.taught) == (other, other)
    assert (found.as_json()["label"], found.as_json()["taught"], found.answer()[0]) == (other, True, other)
    if decode == "greedy":
        assert (found.probability, found.margin) == (None, None)
    else:
        shares = found.probabilities
        assert found.probability == shares[other]
        assert found.margin == pytest.approx(shares[other] - shares[model_says.label])
        assert found.runner_up == model_says.label
        assert found.interval == pytest.approx((shares[other],) * 2)
    paraphrase = answer(taught, name, "a brick", decode=decode)
    assert (paraphrase.taught, paraphrase.label) == (None, paraphrase.scores.label)
    assert not paraphrase.as_json()["taught"]


def test_a_text_taught_twice_alike_is_no_contradiction(setup: Setup) -> None:
    assert len(setup.teach("brick", "b").teach("brick", "b").loose) == 2


def test_the_papers_method_reads_what_was_taught_only_where_it_is_like_the_query(setup: Setup) -> None:
    taught = setup
    for number in range(12):
        taught = taught.teach(f"brick {number}", "b")
    assert len(answer(taught, "dbsa", "a brick").demonstration_rows) == 8
    assert answer(taught, "dbsa", "thing").demonstration_rows == ()
    assert len(answer(taught, "fixed_icl", "thing").demonstration_rows) == 12


@pytest.mark.parametrize("name", ["dbsa", "dbsa_fresh"])
def test_what_fills_a_block_becomes_one(setup: Setup, name: str) -> None:
    method: Any = make_method(name, QuerySettings(ratio=1.0)).fit(setup)
    method.teach("brick one", "b")
    assert len(method.predict("brick").selection.block_ids) == len(setup.blocks)
    found = method.teach("brick two", "b").predict("brick")
    assert found.selection.block_ids[-1] == len(setup.blocks)
    assert found.demonstration_rows == () if name == "dbsa" else len(PAIRS) not in found.demonstration_rows
    twice = method.teach("brick three", "b").predict("brick")
    assert twice.demonstration_rows[-1] == len(PAIRS) + 2, "that one waits for the next block"
    at_once = setup.teach("brick one", "b").teach("brick two", "b").settled()
    assert at_once.blocks[-1].rows == (len(PAIRS), len(PAIRS) + 1)
    assert at_once.loose == ()
    assert same(found, answer(at_once, name, "brick", ratio=1.0))


def test_nothing_settles_where_no_block_is_full_or_the_pool_is_not_complete(setup: Setup, model: LanguageModel) -> None:
    one = setup.teach("brick one", "b")
    assert one.settled() is one
    bare = Setup(setup.task, setup.plan).teach("brick one", "b").teach("brick two", "b")
    assert bare.settled() is bare
    part = setup_of(model, pool_tokens=1_000)
    begun = encoding.encode_blocks(model, part.task.pool, part.plan.blocks[:2], part.plan.pattern, part.task.template)
    part = replace(part, encoded=replace(begun, blocks_planned=len(part.plan.blocks)))
    assert not part.encoded_pool().complete
    two = part.teach("brick one", "b").teach("brick two", "b")
    assert two.settled() is two


def test_rows_that_the_models_positions_do_not_hold_stay_beside(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(encoding, "_check_positions", _too_many)
    two = setup.teach("brick one", "b").teach("brick two", "b")
    assert two.settled() is two
    assert "stay beside the blocks: too many positions" in caplog.text
    assert len(PAIRS) in answer(two, "dbsa", "brick one").demonstration_rows


def test_rows_that_memory_does_not_hold_stay_beside(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    taught = setup
    for i in range(4):
        taught = taught.teach(f"brick number {i}", "b")
    with monkeypatch.context() as patch:
        Device(patch, before=len(setup.blocks) + 1)
        some = taught.settled()
    assert some.blocks[-1].rows == (len(PAIRS), len(PAIRS) + 1)
    assert some.loose == (len(PAIRS) + 2, len(PAIRS) + 3)
    assert len(PAIRS) + 2 in answer(some, "dbsa", "brick number 2").demonstration_rows
    assert some.settled().loose == (), "once there is memory again"


def _too_many(*_: Any) -> None:
    from dbsa_core.errors import CapacityError

    raise CapacityError("too many positions")
