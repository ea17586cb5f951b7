"""What holds for whole setups on disk: they answer as the ones that were saved, and are refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dbsa_core import load_setup, save_setup
from dbsa_core.data import Demonstration, Pool
from dbsa_core.errors import DataError, SettingsError
from dbsa_core.methods import Setup, make_method
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prompt import PromptTemplate
from dbsa_core.saved import SETUP
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.setup import append
from dbsa_core.store import disk
from dbsa_core.task import Task
from tests.tiny import FAMILIES, tiny_model

PAIRS = [(f"text number {i}", "xy"[i % 2]) for i in range(14)]
QUERIES = ("text number 3", "number", "a lamp")


def setup_of(family: str = "llama", template: PromptTemplate | None = None, **settings: Any) -> Setup:
    rows = [Demonstration(text, label, row) for row, (text, label) in enumerate(PAIRS, start=7)]
    chosen = EncodeSettings(**{"pool_tokens": 120, "block_size": 2} | settings)
    return Setup.of(Task(tiny_model(family), Pool.of(rows, "xyz"), template), chosen)


def same(one: Setup, other: Setup) -> None:
    """Both answer alike, by every method that reads the pool, and hold the same."""
    assert (one.task.pool.demonstrations, one.task.pool.labels) == (
        other.task.pool.demonstrations,
        other.task.pool.labels,
    )
    assert one.plan == other.plan
    assert (one.blocks, one.loose, one.not_beside) == (other.blocks, other.loose, other.not_beside)
    names = ("pattern", "template", "model_signature", "rope_length", "blocks_planned", "complete", "seconds")
    assert [getattr(one.encoded, name) for name in names] == [getattr(other.encoded, name) for name in names]
    for name in ("dbsa", "dbsa_fresh"):
        methods = [
            make_method(name, QuerySettings(ratio=0.5, fresh_demonstrations=2)).fit(made) for made in (one, other)
        ]
        for query in QUERIES:
            answers = [method.predict(query) for method in methods]
            assert np.array_equal(answers[0].scores.log_probs, answers[1].scores.log_probs)
            assert answers[0].label == answers[1].label
            assert answers[0].selection == answers[1].selection


def as_it_is(setup: Setup) -> Setup:
    return setup


def with_more_rows(setup: Setup) -> Setup:
    grown = setup.task.extended([Demonstration(f"a lamp {i}", "z", 100 + i) for i in range(3)])
    rest = [row for row in range(len(setup.task.pool)) if row not in setup.rows][:2]
    return append(setup, [*rest, 14, 15, 16], task=grown)


def with_lessons(setup: Setup) -> Setup:
    for i in range(5):
        setup = setup.teach(f"a lamp {i}", "lamp")
    return setup.settled().teach("a lamp", "x")


def stopped(setup: Setup) -> Setup:
    pool = setup.encoded_pool()
    return Setup(setup.task, setup.plan, replace(pool, blocks=pool.blocks[:2]))


@pytest.mark.parametrize("change", [as_it_is, with_more_rows, with_lessons, stopped])
@pytest.mark.parametrize("positions", ["sequential", "local"])
def test_a_setup_comes_back_as_it_was(tmp_path: Path, change: Callable[[Setup], Setup], positions: str) -> None:
    setup = change(setup_of(positions=positions).encode())
    save_setup(setup, tmp_path / "one")
    found = load_setup(tmp_path / "one", setup.task.model)
    same(setup, found)
    save_setup(found, tmp_path / "two")
    same(setup, load_setup(tmp_path / "two", setup.task.model))


@pytest.mark.parametrize("pool_precision", ["model", "int8"])
@pytest.mark.parametrize("family", FAMILIES)
def test_so_it_is_for_every_family(tmp_path: Path, family: str, pool_precision: str) -> None:
    template = PromptTemplate("Frage:", "Antwort:")
    setup = with_more_rows(setup_of(family, template, pool_precision=pool_precision).encode())
    assert setup.encoded_pool().int8 == (pool_precision == "int8")
    save_setup(setup, tmp_path / "one")
    same(setup, load_setup(tmp_path / "one", setup.task.model))


def test_what_was_loaded_goes_on(tmp_path: Path) -> None:
    """It is appended to and taught as the one that was saved, and encodes what is left of a stopped one."""
    setup = setup_of().encode()
    save_setup(setup, tmp_path / "one")
    for change in (with_more_rows, with_lessons):
        same(replace_seconds(change(setup)), replace_seconds(change(load_setup(tmp_path / "one", setup.task.model))))
    assert load_setup(tmp_path / "one", setup.task.model).plan.seconds > 0


def replace_seconds(setup: Setup) -> Setup:
    return Setup(setup.task, setup.plan, replace(setup.encoded_pool(), seconds=1.0))


@pytest.fixture(scope="module")
def setup() -> Setup:
    return setup_of().encode()


@pytest.fixture
def folder(setup: Setup, tmp_path: Path) -> Path:
    save_setup(setup, tmp_path / "one")
    return tmp_path / "one"


def test_nothing_encoded_is_nothing_to_save(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Nothing is encoded yet"):
        save_setup(setup_of(), tmp_path / "one")
    assert not (tmp_path / "one").exists()


@pytest.mark.parametrize("other", [{"seed": 2}, {"dtype": torch.bfloat16}], ids=str)
def test_another_model_is_told_by_name(folder: Path, setup: Setup, other: dict[str, Any]) -> None:
    model: LanguageModel = tiny_model("llama", **other)
    with pytest.raises(DataError, match=f"was encoded by {setup.task.model.name}, and .* is given here"):
        load_setup(folder, model)


def test_a_folder_without_one_says_so(setup: Setup, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for name in ("nowhere", "file", ""):
        with pytest.raises(DataError, match="There is no saved pool in"):
            load_setup(tmp_path / name, setup.task.model)


def change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "is of format 2, and 1 is known"),
        ({"rows": []}, "is damaged"),
        ({"rows": [["a"]]}, "is damaged"),
        ({"rows": None}, "is damaged"),
        ({"labels": ["other"]}, "not among the labels"),
        ({"model": None}, "is damaged"),
        ({"plan": {}}, "is damaged"),
        ({"template": {"shape": "round"}}, "is damaged"),
        ({"blocks": [[0, 99]]}, "names rows that are not there"),
        ({"blocks": [[0, 1]]}, "encoded differently"),
        ({"blocks_planned": "many"}, "is damaged"),
    ],
    ids=str,
)
def test_what_is_damaged_is_refused(folder: Path, setup: Setup, changes: dict[str, Any], message: str) -> None:
    change(folder / SETUP, **changes)
    with pytest.raises(DataError, match=message):
        load_setup(folder, setup.task.model)


def test_a_text_that_was_changed_is_refused(folder: Path, setup: Setup) -> None:
    rows = json.loads((folder / SETUP).read_text("utf-8"))["rows"]
    rows[0][0] = "text number X"
    change(folder / SETUP, rows=rows)
    with pytest.raises(DataError, match="encoded differently"):
        load_setup(folder, setup.task.model)


def test_a_cut_file_and_lost_blocks_are_refused(folder: Path, setup: Setup) -> None:
    whole = (folder / SETUP).read_text("utf-8")
    (folder / SETUP).write_text(whole[: len(whole) // 2], encoding="utf-8")
    with pytest.raises(DataError, match="is damaged"):
        load_setup(folder, setup.task.model)
    (folder / SETUP).write_text(whole, encoding="utf-8")
    (folder / "blocks" / disk.MANIFEST).unlink()
    with pytest.raises(DataError, match="its blocks are missing"):
        load_setup(folder, setup.task.model)


def test_a_full_disk_leaves_what_was_there(folder: Path, setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "save_file", full)
    with pytest.raises(DataError, match=r"cannot be written \(No space left on device\)"):
        save_setup(setup, folder)
    assert [path.name for path in folder.parent.iterdir()] == ["one"]
    same(setup, load_setup(folder, setup.task.model))
