"""What holds for encoding by one operator a layer, beside the laws: by compiled layers too, in half precision on a GPU,
and with the host a chunk ahead of the device."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch

from dbsa_core import timing
from dbsa_core.blocks import Block, BlockPattern
from dbsa_core.data import Pool
from dbsa_core.devices import CPU
from dbsa_core.model.compiled import recompiling, twin_of
from dbsa_core.model.hook import NUMBER, ROTATES, attention_modules
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prompt import PromptTemplate
from dbsa_core.stage1 import encoding, layers, memory, packed
from dbsa_core.stage1.encoding import EncodedPool, append_blocks, encode_blocks
from dbsa_core.stage1.layers import layers_of, try_out
from tests.stage2.test_step import WHOLLY, random_ids
from tests.tiny import tiny_model

LENGTHS = (40, 1, 33, 150, 9, 64)
BLOCKS = tuple(Block(i, (i,), random_ids(n, i)) for i, n in enumerate(LENGTHS))
PATTERN = BlockPattern(1)
WIDER = {"hidden_size": 64, "head_dim": 16}
ALLOWED = 1.2
"""Our RMS against float32, as a share of that of the path which rotates keys for each window."""


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain twin of the kernel serves on a CPU, and nothing is compiled."""
    monkeypatch.setattr(layers, "recompiling", nullcontext)
    monkeypatch.setattr(memory, "policy_for", lambda device: replace(CPU, reads_in_place=True))
    monkeypatch.setattr(packed, "has_kernel", lambda states: True)


@pytest.fixture
def model() -> LanguageModel:
    return tiny_model()


def encoded(model: LanguageModel, pattern: BlockPattern = PATTERN, **options: Any) -> EncodedPool:
    return encode_blocks(model, Pool((), (), ""), BLOCKS, pattern, PromptTemplate(), **options)


def same(ours: EncodedPool, theirs: EncodedPool) -> bool:
    tokens = sum(LENGTHS)
    pairs = ((ours.store.keys, theirs.store.keys), (ours.store.values, theirs.store.values))
    return all(torch.equal(a[:, :tokens], b[:, :tokens]) for a, b in pairs)


def rms(ours: EncodedPool, theirs: EncodedPool) -> float:
    """Relative, of keys and of values, the larger one."""
    tokens, found = sum(LENGTHS), []
    for a, b in ((ours.store.keys, theirs.store.keys), (ours.store.values, theirs.store.values)):
        wide, exact = a[:, :tokens].double(), b[:, :tokens].double()
        found.append(float((wide - exact).norm() / exact.norm()))
    return max(found)


@pytest.mark.usefixtures("everywhere")
def test_layers_are_compiled_behind_the_second_encoding_and_then_taken(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Any] = []
    twin = tiny_model().model
    monkeypatch.setattr(layers, "twin_of", lambda of: twin)
    monkeypatch.setattr(layers, "try_out", lambda of, runner, int8: ran.append(runner))
    first = encoded(model)
    assert layers_of(model)._thread is None, "one encoding does not pay for it"
    encoded(model)
    layers_of(model).wait()
    assert ran == [twin]
    assert layers_of(model).twin is twin
    assert same(encoded(model), first)
    encoded(model)
    assert len(ran) == 1


@pytest.mark.usefixtures("everywhere")
def test_where_layers_cannot_be_compiled_the_models_own_go_on(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(layers, "twin_of", fails)
    first = encoded(model)
    with caplog.at_level(logging.WARNING):
        assert same(encoded(model), first)
        layers_of(model).wait()
    assert "Layers are not compiled for encoding: RuntimeError: no compiler" in caplog.text
    assert layers_of(model).twin is None
    assert same(encoded(model), first)


def test_a_model_goes_with_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    gone = weakref.ref(model)
    layers_of(model).encoded()
    del model
    assert gone() is None


@pytest.mark.usefixtures("everywhere")
def test_the_models_own_layers_are_tried_out_without_a_compiler(model: LanguageModel) -> None:
    """What is compiled, as it is."""
    try_out(model, model.model)


@pytest.mark.usefixtures("everywhere")
def test_the_model_is_stock_behind_an_encoding_that_stops_in_its_last_layer(model: LanguageModel) -> None:
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        before = model.model(ids, output_hidden_states=True)
        encoded(model)
        after = model.model(ids, output_hidden_states=True)
    assert torch.equal(before.logits, after.logits)
    assert len(after.hidden_states) == len(before.hidden_states) == model.shape.layers + 1


def test_what_is_found_on_attention_modules_goes_with_the_hook(model: LanguageModel) -> None:
    modules = attention_modules(model.model)
    assert [int(getattr(module, NUMBER)) for module in modules.values()] == list(range(model.shape.layers))
    other = LanguageModel.of(model.model, model.tokenizer)
    model.close()
    assert not any(hasattr(module, name) for module in modules.values() for name in (NUMBER, ROTATES))
    encoded(other)
    assert all(hasattr(module, ROTATES) for module in modules.values()), "the one that is left takes its place"


class _Device:
    """Work is given to it now and done when it is waited for."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def mark(self, device: torch.device) -> Callable[[], None]:
        number = sum(word.startswith("given") for word in self.told)
        self.told.append(f"given {number}")
        return lambda: self.told.append(f"done {number}")


@pytest.mark.parametrize("ahead", [0, 1])
def test_the_host_is_at_most_a_chunk_ahead(model: LanguageModel, ahead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    device = _Device()
    policy = replace(CPU, mark=device.mark, chunks_ahead=ahead)
    monkeypatch.setattr(encoding, "policy_for", lambda _: policy)
    monkeypatch.setattr(timing, "policy_for", lambda _: policy)
    pool = encoded(model, chunk_tokens=60, on_progress=lambda p: device.told.append(f"told {p.blocks_done}"))
    assert pool.complete
    alone = [word for i in range(5) for word in (f"given {i}", f"done {i}", f"told {i + 2}")]
    if ahead:
        assert device.told[:3] == ["given 0", "given 1", "done 0"]
        assert sorted(device.told) == sorted(alone)
        assert [word for word in device.told if "told" in word] == [f"told {i}" for i in range(2, 7)]
    else:
        assert device.told == alone


@pytest.mark.usefixtures("everywhere")
def test_stop_keeps_what_was_given_to_the_device(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "policy_for", lambda _: replace(CPU, chunks_ahead=1))
    told: list[int] = []
    pool = encoded(
        model, chunk_tokens=60, on_progress=lambda p: told.append(p.blocks_done), cancelled=lambda: bool(told)
    )
    assert told == [2, 3], "the second chunk was under way when the first was done"
    assert len(pool.blocks) == 3
    rest = append_blocks(model, pool, Pool((), (), ""), BLOCKS[3:])
    assert same(rest, encoded(model, chunk_tokens=60)) or rms(rest, encoded(model)) < 1e-6


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("positions", ["sequential", "local"])
@pytest.mark.parametrize(
    ("family", "compiled"), [*((family, False) for family in WHOLLY), ("llama", True), ("smollm3", True)]
)
def test_as_near_to_float32_as_the_path_that_rotates_keys_for_each_window(
    family: str, compiled: bool, positions: Any, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = tiny_model(family, device="cuda", dtype=dtype, **WIDER)
    exact = tiny_model(family, device="cuda", **WIDER)
    exact.model.load_state_dict(half.model.state_dict())
    pattern = BlockPattern(1, 1, 1, positions)
    wanted = encoded(exact, pattern)
    with monkeypatch.context() as patched:
        patched.setattr(packed, "has_kernel", lambda states: False)
        by_windows = rms(encoded(half, pattern), wanted)
    assert packed.packs(half, wanted.store) is False, "float32 has no kernel"
    if compiled:
        monkeypatch.setattr(layers_of(half), "twin", twin_of(half))
    for chunk_tokens in (60, 10_000):
        with recompiling():
            pool = encoded(half, pattern, chunk_tokens=chunk_tokens)
        assert packed.packs(half, pool.store)
        assert rms(pool, wanted) < ALLOWED * by_windows


@pytest.mark.gpu
@pytest.mark.compiles
@pytest.mark.filterwarnings("ignore")
def test_compiled_layers_serve_any_sizes_without_being_compiled_again() -> None:
    """Also one block, chunks of one token more, and local positions; no memory of the pool's size is copied."""
    model = tiny_model("llama", device="cuda", dtype=torch.bfloat16, **WIDER)
    found = layers_of(model)
    for _ in range(2):
        encoded(model)
    found.wait()
    assert found.twin is not None
    compiles = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    pool = encoded(model, chunk_tokens=20_000)
    encoded(model, BlockPattern(1, 1, 1, "local"), chunk_tokens=60)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    appended = append_blocks(model, pool, Pool((), (), ""), [Block(len(BLOCKS), (6,), random_ids(37, 7))])
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == compiles
    assert appended.store is pool.store
    assert torch.cuda.max_memory_allocated() - before < pool.store.num_bytes
