"""Running out of memory while encoding: fewer blocks at a time, then what is done is kept, and what fits is said."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from dbsa_core.blocks import Block, BlockPattern
from dbsa_core.data import Pool
from dbsa_core.errors import CapacityError
from dbsa_core.methods import METHODS, make_method
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prompt import PromptTemplate
from dbsa_core.settings import EncodeSettings
from dbsa_core.setup import Setup
from dbsa_core.stage1 import encoding
from dbsa_core.stage1.encoding import EncodedPool, append_blocks, encode_blocks
from dbsa_core.stage1.working import working_of
from dbsa_core.task import Task
from tests.stage2.test_step import random_ids
from tests.tiny import tiny_model

LENGTHS = (40, 30, 50, 45, 35, 60)
BLOCKS = [Block(i, (2 * i, 2 * i + 1), random_ids(n, i)) for i, n in enumerate(LENGTHS)]
PATTERN, EMPTY = BlockPattern(2), Pool((), (), "")
FAMILIES = ["llama", "gemma2", "smollm3", "qwen2"]
IN_BFLOAT16 = 0.03
"""Products of other sizes are rounded otherwise, layer by layer."""


class Device:
    """Has room for chunks of so many tokens, and for the blocks before one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tokens: int = 10**9, before: int = 10**9):
        self.tokens, self.before, self.ran = tokens, before, list[int]()
        self._run = encoding.run_chunk
        monkeypatch.setattr(encoding, "run_chunk", self.run)

    def run(self, model: Any, store: Any, pattern: Any, length: Any, blocks: Any, chunk: Sequence[Block]) -> None:
        self.ran.append(len(chunk))
        if sum(map(len, chunk)) > self.tokens or chunk[-1].id >= self.before:
            store.keys[:, store.span(chunk[0].id)[0] :] = torch.nan
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        self._run(model, store, pattern, length, blocks, chunk)


def encoded(model: LanguageModel, blocks: Sequence[Block] = BLOCKS, **options: Any) -> EncodedPool:
    return encode_blocks(model, EMPTY, blocks, PATTERN, PromptTemplate(), **options)


def check_equal(ours: EncodedPool, theirs: EncodedPool, most: float = 1e-6) -> None:
    """`most`: the relative root mean square of a difference."""
    assert ours.blocks == theirs.blocks[: len(ours.blocks)]
    for block in ours.blocks:
        a, b = ours.store.get(block.id), theirs.store.get(block.id)
        for found, expected in ((a.keys, b.keys), (a.values, b.values)):
            assert float((found.double() - expected.double()).norm()) <= most * float(expected.double().norm())


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_go_through_the_model_fewer_at_a_time(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(family)
    whole, device, told = encoded(model), Device(monkeypatch, tokens=100), list[int]()
    found = encoded(model, on_progress=lambda progress: told.append(progress.blocks_done))
    assert found.complete
    assert found.out_of_memory == ""
    check_equal(found, whole)
    assert device.ran[0] == 6
    assert told == sorted(told)
    assert told[-1] == 6


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("done", [1, 3, 5])
def test_what_is_done_is_kept_and_goes_on_once_there_is_memory(
    done: int, family: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny_model(family)
    whole = encoded(model)
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        Device(patch, before=done)
        part = encoded(model)
    tokens = sum(LENGTHS[:done])
    said = (
        f"Memory of cpu ran out at block {done + 1}; the {tokens} tokens before it are kept. Choose {tokens} pool "
        "tokens, or a smaller model."
    )
    assert (len(part.blocks), part.complete, part.out_of_memory) == (done, False, said)
    own = [record.message for record in caplog.records if record.name == encoding.__name__]
    assert own == [said], "others' threads may say something meanwhile"
    assert len(part.store) == done, "no place is left for what was not written"
    check_equal(part, whole)
    rest = append_blocks(model, part, EMPTY, BLOCKS[done:])
    assert (rest.complete, rest.out_of_memory) == (True, "")
    check_equal(rest, whole)


def test_appending_keeps_what_is_done_and_leaves_the_pool_from_before(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    whole, before = encoded(model), encoded(model, BLOCKS[:2])
    with monkeypatch.context() as patch:
        Device(patch, before=4)
        grown = append_blocks(model, before, EMPTY, BLOCKS[2:])
    assert (len(before.blocks), len(grown.blocks), grown.blocks_planned) == (2, 4, 6)
    assert "at block 5; the 165 tokens before it are kept" in grown.out_of_memory
    check_equal(grown, whole)
    with monkeypatch.context() as patch:
        Device(patch, before=2)
        with pytest.raises(CapacityError, match="ran out at block 3; the 70 tokens before it are kept"):
            append_blocks(model, before, EMPTY, BLOCKS[2:])
    check_equal(append_blocks(model, before, EMPTY, BLOCKS[2:]), whole)


def test_where_not_one_block_fits_it_says_what_size_does(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    working = working_of(model)
    Device(monkeypatch, before=0)
    long = [Block(0, tuple(range(10)), random_ids(400, 0))]

    def free(tokens: int) -> None:
        monkeypatch.setattr(encoding, "free_memory", lambda _: int(working.fixed + working.per_token * tokens) + 1)
        monkeypatch.setattr(encoding, "_check_room", lambda *_, **__: None)

    free(200)
    with pytest.raises(CapacityError, match="which has 400 tokens; choose a block size of at most 5, or a smaller"):
        encoded(model, long)
    free(4000)  # so it was something else: one row less than there were
    with pytest.raises(CapacityError, match="a block size of at most 9, or"):
        encoded(model, long)
    free(10)
    with pytest.raises(CapacityError, match="a block size of at most 1, or"):
        encoded(model, long)
    with pytest.raises(CapacityError, match="block 1, a single row of 40 tokens; choose a smaller model, or have long"):
        encoded(model, [Block(0, (0,), BLOCKS[0].token_ids)])


@pytest.mark.parametrize("room", [1, 1.5, 3])
def test_a_device_that_would_not_say_so_is_asked_before(room: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a CPU, where the system ends a process that takes too much."""
    model = tiny_model()
    whole, working = encoded(model), working_of(model)
    most = max(LENGTHS)
    needed = working.fixed + most * (working.per_token + model.shape.bytes_per_token) + most * 4 * most * 9
    device = Device(monkeypatch)
    monkeypatch.setattr(encoding, "free_memory", lambda _: int(room * needed))
    found = encoded(model)
    assert found.complete
    check_equal(found, whole)
    assert 1 <= max(device.ran) < 6, "nothing was tried that has no room"


def test_memory_that_goes_away_meanwhile_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model, free = tiny_model(), iter([10**9, 10**9])
    whole = encoded(model)
    monkeypatch.setattr(encoding, "free_memory", lambda _: next(free, 0))
    found = encoded(model, chunk_tokens=70)
    assert 0 < len(found.blocks) < 6
    assert "are kept" in found.out_of_memory
    check_equal(found, whole)


def test_a_pool_without_room_says_how_much_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    each, working = model.shape.bytes_per_token * 1.25, working_of(model)

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(encoding, "arena_for", full)
    free = int(each * 100 + working.fixed + working.per_token * 100) + 1
    monkeypatch.setattr(encoding, "free_memory", lambda _: free)
    with pytest.raises(CapacityError, match="no room for the keys and values of 260 tokens; choose at most 100 pool t"):
        encoded(model)


def test_other_errors_are_raised_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    model = tiny_model()
    monkeypatch.setattr(encoding, "run_chunk", fails)
    with pytest.raises(RuntimeError, match="mat1"):
        encoded(model)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_answers_from_what_is_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(f"{word} {i}", "hot" if i % 2 else "cold") for i in range(6) for word in ("sun", "ice")]
    setup = Setup.of(Task(tiny_model(), Pool.of(rows)), EncodeSettings(pool_tokens=400, block_size=3))
    with monkeypatch.context() as patch:
        Device(patch, before=2)
        setup = setup.encode()
    assert setup.encoded is not None
    assert len(setup.encoded.blocks) == 2
    assert make_method(name).fit(setup).predict("sun 3").scores.label in ("hot", "cold")


@pytest.mark.gpu
def test_on_a_gpu_memory_really_runs_out() -> None:
    """First for what is computed on the way, which fewer blocks at a time mend; then for the pool itself."""
    sizes = {"hidden_size": 1024, "head_dim": 64, "intermediate_size": 8192, "max_position_embeddings": 16_384}
    model = tiny_model(device="cuda", dtype=torch.bfloat16, **sizes)
    blocks = [Block(i, (2 * i, 2 * i + 1), random_ids(1000, i)) for i in range(12)]
    whole = encoded(model, blocks)
    working, total = working_of(model), torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    held = torch.cuda.memory_reserved()

    def leave(num_bytes: float) -> None:
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction((held + num_bytes) / total)

    try:
        leave(whole.num_bytes + 3000 * working.per_token)
        few = encoded(model, blocks)
        assert few.complete
        check_equal(few, whole, IN_BFLOAT16)
        del few
        leave(whole.num_bytes // 2)
        with pytest.raises(CapacityError, match="no room for the keys and values of 12,000 tokens; choose at most"):
            encoded(model, blocks)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    check_equal(encoded(model, blocks), whole, IN_BFLOAT16)
