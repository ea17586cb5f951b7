"""What holds for pools on disk: what comes back is what was saved, or a sentence that says why not."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dbsa_core.data import Pool
from dbsa_core.devices import CPU
from dbsa_core.errors import DataError
from dbsa_core.methods import Setup, make_method
from dbsa_core.prompt import PromptTemplate
from dbsa_core.saved import load_pool, save_pool
from dbsa_core.settings import EncodeSettings
from dbsa_core.setup import encode
from dbsa_core.stage1 import memory
from dbsa_core.stage1.encoding import EncodedPool
from dbsa_core.store import KeyForm, disk
from dbsa_core.task import Task
from tests.tiny import tiny_model

PAIRS = [(f"text number {i}", "xy"[i % 2]) for i in range(10)]
SETTINGS = EncodeSettings(pool_tokens=300, block_size=2)


def setup_of(
    pairs: Any = PAIRS, template: PromptTemplate | None = None, family: str = "llama", **options: Any
) -> Setup:
    settings = replace(SETTINGS, **{name: options.pop(name) for name in tuple(options) if hasattr(SETTINGS, name)})
    return Setup.of(Task(tiny_model(family, **options), Pool.of(pairs), template), settings)


@pytest.fixture(scope="module")
def setup() -> Setup:
    return setup_of().encode()


@pytest.fixture
def folder(setup: Setup, tmp_path: Path) -> Path:
    """A saved pool; nothing else lies beside it."""
    save_pool(setup.encoded_pool(), tmp_path / "pools" / "one")
    return tmp_path / "pools" / "one"


def load(folder: Path, setup: Setup) -> EncodedPool | None:
    return load_pool(folder, setup.task, setup.plan)


def blocks_of(pool: EncodedPool) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(pool.store.get(block.id).keys, pool.store.get(block.id).values) for block in pool.blocks]


@pytest.fixture
def in_place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether keys are kept rotated from their block's start, where a layer allows it."""
    keep_in_place(monkeypatch, getattr(request, "param", True))
    return bool(getattr(request, "param", True))


def keep_in_place(monkeypatch: pytest.MonkeyPatch, whether: bool) -> None:
    monkeypatch.setattr(memory, "policy_for", lambda device: replace(CPU, reads_in_place=whether))


def forms_of(pool: EncodedPool) -> list[str]:
    return ["rotated" if form is KeyForm.FROM_BLOCK_START else "before" for form in pool.store.forms]


@pytest.mark.parametrize("in_place", [False, True], indirect=True)
@pytest.mark.parametrize("family", ["llama", "phi3-longrope", "gemma3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_save_then_load_is_bit_equal(tmp_path: Path, family: str, dtype: torch.dtype, in_place: bool) -> None:
    setup = setup_of(family=family, dtype=dtype).encode()
    pool = setup.encoded_pool()
    save_pool(pool, tmp_path / "pool")
    again = setup_of(family=family, dtype=dtype)
    found = load(tmp_path / "pool", again)
    assert found is not None
    for ours, theirs in zip(blocks_of(found), blocks_of(pool), strict=True):
        assert ours[0].dtype == dtype
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])
    assert found.store.forms == pool.store.forms
    assert ("rotated" in forms_of(pool)) == (in_place and family != "phi3-longrope")
    same = ("blocks", "pattern", "template", "model_signature", "rope_length", "blocks_planned", "seconds", "rows")
    assert [getattr(found, name) for name in same] == [getattr(pool, name) for name in same]
    assert found.complete
    assert found.num_bytes == pool.num_bytes
    again = replace(again, encoded=found)
    one, other = (make_method("dbsa_fresh").fit(made).predict("text number 3") for made in (setup, again))
    assert np.array_equal(one.scores.log_probs, other.scores.log_probs)


def test_a_file_of_the_format_before_has_keys_before_rope(
    folder: Path, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loaded as they are, or rotated once in float32 where they are read in place."""
    as_format_1(folder)
    found = load(folder, setup)
    assert found is not None
    assert forms_of(found) == ["before"] * 4
    for ours, theirs in zip(blocks_of(found), blocks_of(setup.encoded_pool()), strict=True):
        assert torch.equal(ours[0], theirs[0])
    keep_in_place(monkeypatch, True)
    turned, encoded = load(folder, setup), setup_of().encode().encoded_pool()
    assert turned is not None
    assert forms_of(turned) == forms_of(encoded) == ["rotated"] * 4
    for ours, theirs in zip(blocks_of(turned), blocks_of(encoded), strict=True):
        assert torch.allclose(ours[0], theirs[0], atol=1e-5)
        assert torch.equal(ours[1], theirs[1]) or torch.allclose(ours[1], theirs[1], atol=1e-5)


def as_format_1(folder: Path) -> None:
    manifest = json.loads((folder / disk.MANIFEST).read_text())
    assert manifest.pop("key_forms") == ["before RoPE"] * 4
    (folder / disk.MANIFEST).write_text(json.dumps({**manifest, "format": 1}))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_keys_are_rotated_once_in_float32_and_rounded_once(
    tmp_path: Path, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_in_place(monkeypatch, False)
    setup = setup_of(dtype=dtype).encode()
    save_pool(setup.encoded_pool(), tmp_path / "pool")
    keep_in_place(monkeypatch, True)
    found, rope = load(tmp_path / "pool", setup), setup.task.model.rope
    assert found is not None
    for (ours, _), (before, _) in zip(blocks_of(found), blocks_of(setup.encoded_pool()), strict=True):
        tables = rope.tables(torch.arange(before.shape[2]))
        assert torch.equal(ours, rope.rotate(before.float(), tables).to(dtype))


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_an_int8_pool_is_rotated_by_rounding_once_more(
    tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the same factors, for they are those of the pairs that are turned; values stay as they are."""
    keep_in_place(monkeypatch, False)
    setup = setup_of(family=family, pool_precision="int8").encode()
    save_pool(setup.encoded_pool(), tmp_path / "pool")
    keep_in_place(monkeypatch, True)
    found, rope = load(tmp_path / "pool", setup), setup.task.model.rope
    assert found is not None
    assert found.int8
    assert "rotated" in forms_of(found)
    for block in found.blocks:
        (keys, values), (before, same) = (pool.store.read(block.id) for pool in (found, setup.encoded_pool()))
        factors = [pool.store.get(block.id).scales[2] for pool in (found, setup.encoded_pool())]
        assert torch.equal(values, same)
        assert torch.equal(*factors)
        for layer, form in enumerate(forms_of(found)):
            tables = rope.tables(torch.arange(before.shape[2]), rope.layer_types[layer])
            wanted = rope.rotate(before[layer, None], tables)[0] if form == "rotated" else before[layer]
            assert float((keys[layer] - wanted).norm() / wanted.norm()) < (0.01 if form == "rotated" else 1e-9)


def test_a_pool_of_another_precision_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"was encoded differently \(dtype\)"):
        load(folder, setup_of(pool_precision="int8"))


def test_a_rotated_pool_stays_rotated_where_keys_would_be_gathered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never rotated back: a CPU reads it in place too, appends to it, and answers alike."""
    keep_in_place(monkeypatch, True)
    there = setup_of().encode()
    save_pool(there.encoded_pool(), tmp_path / "pool")
    keep_in_place(monkeypatch, False)
    here = setup_of()
    found = load(tmp_path / "pool", here)
    assert found is not None
    assert forms_of(found) == ["rotated"] * 4
    one, other = (
        make_method("dbsa_fresh").fit(setup).predict("text number 3")
        for setup in (replace(here, encoded=found), setup_of().encode())
    )
    assert np.allclose(one.scores.log_probs, other.scores.log_probs, atol=1e-4)
    save_pool(found, tmp_path / "again")
    again = load(tmp_path / "again", here)
    assert again is not None
    assert forms_of(again) == ["rotated"] * 4


@pytest.mark.usefixtures("in_place")
@pytest.mark.parametrize("family", ["gemma3", "gemma2", "phi3-longrope"])
def test_a_rotated_pool_is_refused_where_a_layer_needs_keys_before_rope(tmp_path: Path, family: str) -> None:
    setup, path = setup_of(family=family).encode(), tmp_path / "pool" / disk.MANIFEST
    save_pool(setup.encoded_pool(), path.parent)
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "key_forms": ["rotated from the block's start"] * 4}))
    with pytest.raises(DataError, match=r"layer 0 of tiny-.* needs them before RoPE .*not rotated back.*encode anew"):
        load(path.parent, setup)


def test_where_nothing_was_saved_there_is_none(setup: Setup, tmp_path: Path) -> None:
    assert load(tmp_path / "nowhere", setup) is None
    (tmp_path / "empty").mkdir()
    assert load(tmp_path / "empty", setup) is None
    (tmp_path / "file").write_text("not a folder")
    assert load(tmp_path / "file", setup) is None


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("model_signature", {"seed_of_weights": 2}),
        ("fingerprint", {"pairs": [*PAIRS[:9], ("text number X", "y")]}),
        ("fingerprint", {"pairs": [*PAIRS[:9], (PAIRS[9][0], "x")]}),
        ("template", {"template": PromptTemplate(text_prefix="Tex_:")}),
        ("pattern", {"window": 1}),
        ("pattern", {"positions": "local"}),
        ("pattern", {"sink_blocks": 0}),
        ("blocks, pattern", {"block_size": 3}),
        ("blocks", {"seed": 7}),
        ("blocks", {"pool_tokens": 200}),
        ("dtype, model_signature", {"dtype": torch.bfloat16}),
    ],
)
def test_a_pool_of_something_else_is_refused_by_the_name_of_what_differs(
    folder: Path, what: str, changes: dict[str, Any]
) -> None:
    weights = changes.get("seed_of_weights")
    other = setup_of(**{name: value for name, value in changes.items() if name != "seed_of_weights"})
    if weights is not None:
        other = Setup.of(Task(tiny_model("llama", seed=weights), other.task.pool), SETTINGS)
    with pytest.raises(DataError, match=rf"was encoded differently \({what}\); encode anew"):
        load(folder, other)


def test_a_pool_that_was_stopped_is_not_taken_for_a_whole_one(setup: Setup, tmp_path: Path) -> None:
    encoded = setup.encoded_pool()
    save_pool(replace(encoded, blocks=encoded.blocks[:2]), tmp_path / "part")
    with pytest.raises(DataError, match=r"encoded differently \(blocks\)"):
        load(tmp_path / "part", setup)


def test_a_block_that_is_cut_or_missing_is_refused(folder: Path, setup: Setup) -> None:
    path = folder / "block-00002.safetensors"
    whole = path.read_bytes()
    for size in (0, 5, 100, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"A block of the pool in .* cannot be read .*encode anew"):
            load(folder, setup)
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        load(folder, setup)
    path.write_bytes(whole)
    assert load(folder, setup) is not None


def test_a_block_in_the_place_of_another_is_refused(folder: Path, setup: Setup) -> None:
    """Block 0 is a token longer than the others, by the BOS."""
    assert len(setup.plan.blocks[0]) == len(setup.plan.blocks[2]) + 1
    (folder / "block-00002.safetensors").write_bytes((folder / "block-00000.safetensors").read_bytes())
    with pytest.raises(DataError, match="encode anew"):
        load(folder, setup)


class Bomb:
    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("name", ["block-00001.safetensors", disk.MANIFEST])
def test_a_pickle_in_place_of_a_file_is_refused_and_not_run(folder: Path, setup: Setup, name: str) -> None:
    trace = folder.parent / "it-ran"
    for content in (pickle.dumps(Bomb(trace)), pickle.dumps({"keys": Bomb(trace)}, protocol=0)):
        (folder / name).write_bytes(content)
        with pytest.raises(DataError, match="encode anew"):
            load(folder, setup)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "no readable manifest"),
        (lambda text: "", "no readable manifest"),
        (lambda text: "[1, 2]", "no readable manifest"),
        (lambda text: json.dumps({"format": 1}), "no readable manifest"),
        (lambda text: json.dumps({**json.loads(text), "format": 3}), "encoded differently .*format"),
        (
            lambda text: json.dumps({**json.loads(text), "key_forms": ["sideways"] * 4}),
            "'sideways' is not a valid .*known",
        ),
        (lambda text: json.dumps({**json.loads(text), "key_forms": None}), "form that is not known"),
        (lambda text: json.dumps({**json.loads(text), "key_forms": ["before RoPE"]}), "for 1 layers, tiny-llama has 4"),
        (lambda text: json.dumps({**json.loads(text), "identity": None}), "encode anew"),
        (lambda text: json.dumps({**json.loads(text), "identity": ["pattern"]}), "encode anew"),
        (lambda text: json.dumps({**json.loads(text), "blocks": ["../../etc"]}), "encode anew"),
        (lambda text: json.dumps({**json.loads(text), "blocks": [0, 1]}), "encode anew"),
    ],
    ids=[
        "cut",
        "empty",
        "list",
        "keys missing",
        "newer",
        "odd form",
        "no forms",
        "few forms",
        "no identity",
        "odd identity",
        "odd blocks",
        "fewer blocks",
    ],
)
def test_a_damaged_manifest_is_refused(folder: Path, setup: Setup, change: Any, message: str) -> None:
    path = folder / disk.MANIFEST
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=message):
        load(folder, setup)


def test_saving_replaces_the_whole_folder(folder: Path, setup: Setup) -> None:
    (folder / "block-00099.safetensors").write_bytes(b"of an older pool")
    other = setup_of(block_size=4)
    save_pool(other.encode().encoded_pool(), folder)
    assert load(folder, other) is not None
    names = {f"block-{block.id:05d}.safetensors" for block in other.plan.blocks}
    assert {path.name for path in folder.iterdir()} == names | {disk.MANIFEST}
    with pytest.raises(DataError, match="encoded differently"):
        load(folder, setup)


def test_until_all_is_written_the_folder_is_as_it_was(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at before each file is written: nothing there the first time, the old pool the second time."""
    folder, seen = tmp_path / "pools" / "one", []
    save_file = disk.save_file

    def looking(*args: Any) -> None:
        seen.append(load(folder, setup))
        save_file(*args)

    monkeypatch.setattr(disk, "save_file", looking)
    save_pool(setup.encoded_pool(), folder)
    assert seen == [None] * len(setup.plan.blocks)
    seen.clear()
    save_pool(setup.encoded_pool(), folder)
    assert len(seen) == len(setup.plan.blocks)
    assert all(pool is not None for pool in seen)


def test_saving_that_fails_leaves_the_old_pool_and_no_rubbish(
    folder: Path, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    calls: list[int] = []
    save_file = disk.save_file

    def failing(*args: Any) -> None:
        calls.append(0)
        if len(calls) == 3:
            raise OSError("No space left on device")
        save_file(*args)

    monkeypatch.setattr(disk, "save_file", failing)
    with pytest.raises(OSError, match="No space left"):
        save_pool(encode(setup.task, setup.plan), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept
    assert [path.name for path in folder.parent.iterdir()] == ["one"]
    calls.clear()
    with pytest.raises(OSError, match="No space left"):
        save_pool(setup.encoded_pool(), folder.parent / "two")
    assert [path.name for path in folder.parent.iterdir()] == ["one"]
