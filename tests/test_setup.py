"""Identity: a task, a plan and an encoded pool that do not belong together are refused when they are put together."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from dbsa_core.data import Demonstration, Pool
from dbsa_core.errors import DataError, SettingsError
from dbsa_core.methods import METHODS, make_method
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prompt import PromptTemplate
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.setup import Setup, append
from dbsa_core.stage1.memory import arena_for
from dbsa_core.task import Task
from tests.tiny import tiny_model

PAIRS = [(f"thing number {i:02d}", "abc"[i % 3]) for i in range(24)]
SETTINGS = EncodeSettings(pool_tokens=400, block_size=2)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def setup(model: LanguageModel) -> Setup:
    return Setup.of(Task(model, Pool.of(PAIRS)), SETTINGS).encode()


def other_data() -> list[tuple[str, str]]:
    """As many rows, of as many tokens."""
    return [(text.replace("thing", "cloud"), label) for text, label in PAIRS]


OTHERS: dict[str, Any] = {
    "model": lambda model: Task(tiny_model("llama", seed=2), Pool.of(PAIRS)),
    "prompt": lambda model: Task(model, Pool.of(PAIRS), PromptTemplate(text_prefix="Tekst")),
    "data": lambda model: Task(model, Pool.of(other_data())),
    "rows": lambda model: Task(model, Pool.of(PAIRS[:3])),
    "label": lambda model: Task(model, Pool.of([(text, "bca"[i % 3]) for i, (text, _) in enumerate(PAIRS)])),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_plan_of_another_task_is_refused(setup: Setup, model: LanguageModel, what: str) -> None:
    with pytest.raises(DataError, match=r"The plan is (another model's|of other data)"):
        Setup(OTHERS[what](model), setup.plan)


@pytest.mark.parametrize("what", OTHERS)
def test_a_pool_of_another_task_is_refused(setup: Setup, model: LanguageModel, what: str) -> None:
    """The other task's own plan, so that only the pool is wrong."""
    other = Setup.of(OTHERS[what](model), SETTINGS)
    said = {"model": "by another model", "prompt": "with another prompt"}.get(what, "after another plan")
    with pytest.raises(DataError, match=f"The pool was encoded {said}.*; encode it anew"):
        Setup(other.task, other.plan, setup.encoded)
    with pytest.raises(DataError, match="The pool was encoded"):
        replace(other, encoded=setup.encoded)


@pytest.mark.parametrize(
    "settings", [{"seed": 1}, {"window": 1}, {"positions": "local"}, {"block_size": 3}, {"pool_tokens": 300}], ids=str
)
def test_a_pool_that_was_encoded_after_another_plan_is_refused(setup: Setup, settings: Any) -> None:
    other = Setup.of(setup.task, replace(SETTINGS, **settings))
    with pytest.raises(DataError, match="after another plan"):
        Setup(other.task, other.plan, setup.encoded)


def test_a_pool_rotated_for_another_length_is_refused() -> None:
    """Of longrope, tables change with the length: keys of one must not meet queries of another."""
    made = Setup.of(Task(tiny_model("phi3-longrope"), Pool.of(PAIRS)), EncodeSettings(pool_tokens=100, block_size=2))
    encoded = made.encode().encoded_pool()
    with pytest.raises(DataError, match="after another plan"):
        replace(made, encoded=replace(encoded, rope_length=(encoded.rope_length or 0) + 1))


def test_a_pool_of_another_precision_is_refused(setup: Setup) -> None:
    int8 = Setup.of(setup.task, replace(setup.plan.settings, pool_precision="int8"))
    with pytest.raises(DataError, match="after another plan"):
        replace(int8, encoded=setup.encoded_pool())
    assert int8.encode().encoded_pool().int8


def test_appended_blocks_belong_to_the_task_too(setup: Setup) -> None:
    def grown_by(text: str) -> Task:
        return setup.task.extended([Demonstration(text, "a", 99), Demonstration("thing number 25", "b", 100)])

    grown = append(setup, [24, 25], task=grown_by("thing number 24"))
    assert Setup(grown.task, grown.plan, grown.encoded).rows[-2:] == (24, 25)
    with pytest.raises(DataError, match=f"of other data than the task's: block {len(setup.blocks)} does not"):
        Setup(grown_by("cloud number 24"), grown.plan, grown.encoded)
    with pytest.raises(DataError, match="of other data than the task's"):
        Setup(setup.task, setup.plan, grown.encoded)


def test_a_pool_whose_store_lacks_a_block_is_refused(setup: Setup) -> None:
    with pytest.raises(DataError, match="Block 0 of the pool is not in its store"):
        replace(setup, encoded=replace(setup.encoded_pool(), store=arena_for(setup.task.model, 1)))


def test_a_setup_never_changes(setup: Setup) -> None:
    with pytest.raises(FrozenInstanceError):
        setup.encoded = None  # type: ignore[misc]
    bare = Setup(setup.task, setup.plan)
    assert bare.encode() is not bare
    assert bare.encoded is None
    with pytest.raises(SettingsError, match=r"Nothing is encoded yet; call encode\(\)"):
        bare.encoded_pool()
    assert setup.encode() is setup, "nothing is encoded twice"


def test_an_index_of_blocks_is_made_once_and_never_for_another_pool(setup: Setup) -> None:
    assert setup.block_retriever(QuerySettings(seed=1)) is setup.block_retriever(QuerySettings(seed=1))
    half = replace(setup.encoded_pool(), blocks=setup.encoded_pool().blocks[:4])
    part = replace(setup, encoded=half)
    assert len(part.block_retriever(QuerySettings(seed=1)).rank("thing").scores) == 4
    assert len(setup.block_retriever(QuerySettings(seed=1)).rank("thing").scores) == len(setup.blocks)


@pytest.mark.parametrize("name", METHODS)
def test_fitting_a_method_leaves_the_setup_as_it_is(setup: Setup, name: str) -> None:
    bare = Setup(setup.task, setup.plan)
    one, other = (make_method(name).fit(made).predict("thing number 03") for made in (bare, setup))
    assert bare.encoded is None
    assert one.scores.log_probs == pytest.approx(other.scores.log_probs)
