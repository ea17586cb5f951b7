"""What holds for the memory of a pool's blocks: written in place, shared as far as pools agree, copied once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from dbsa_core.blocks import Block, BlockPattern
from dbsa_core.data import Pool
from dbsa_core.errors import Cancelled
from dbsa_core.interrupt import interruptible
from dbsa_core.prompt import PromptTemplate
from dbsa_core.stage1.encoding import EncodedPool, append_blocks, encode_blocks
from dbsa_core.store import Arena, BlockKV, KeyForm, with_spare
from tests.tiny import tiny_model

MODEL = tiny_model("llama")
PATTERN = BlockPattern(1, 1, 1)


def arena(tokens: int, lengths: Sequence[int] = ()) -> Arena:
    """Two layers, three heads of four; each block filled with its number."""
    made = Arena(torch.empty(2, tokens, 3, 4), torch.empty(2, tokens, 3, 4), [KeyForm.BEFORE_ROPE] * 2)
    made.extended(0, lengths)
    for block, length in enumerate(lengths):
        made.put(block, filled(block, length))
    return made


def filled(number: float, tokens: int) -> BlockKV:
    keys = torch.full((2, 3, tokens, 4), float(number))
    return BlockKV(keys, keys + 0.5)


def holds(found: Arena, block: int, number: float) -> bool:
    kv = found.get(block)
    return bool((kv.keys == number).all() and (kv.values == number + 0.5).all())


def blocks(count: int, seed: int = 0) -> list[Block]:
    generator = torch.Generator().manual_seed(seed)
    return [Block(i, (i,), tuple(torch.randint(256, (6 + i % 3,), generator=generator).tolist())) for i in range(count)]


def encoded(held: Sequence[Block], **more: Any) -> EncodedPool:
    return encode_blocks(MODEL, Pool((), (), ""), held, PATTERN, PromptTemplate(), **more)


def appended(pool: EncodedPool, more: Sequence[Block]) -> EncodedPool:
    return append_blocks(MODEL, pool, Pool((), (), ""), more)


def contents(pool: EncodedPool) -> list[torch.Tensor]:
    found = [pool.store.get(block.id) for block in pool.blocks]
    return [tensor.clone() for kv in found for tensor in (kv.keys, kv.values)]


def test_blocks_stand_one_behind_the_other_and_are_views() -> None:
    made = arena(20, (3, 5, 2))
    assert [made.span(b) for b in range(3)] == [(0, 3), (3, 8), (8, 10)]
    assert len(made) == 3
    assert made.capacity == 20
    assert made.num_bytes == 2 * 2 * 20 * 3 * 4 * 4
    assert all(holds(made, b, b) for b in range(3))
    assert made.get(1).keys.shape == (2, 3, 5, 4)
    made.keys[:, 3:8] = 9
    assert (made.get(1).keys == 9).all()
    assert made.get(1).keys.nbytes + made.get(1).values.nbytes == 2 * 2 * 3 * 5 * 4 * 4


@pytest.mark.parametrize("block", [3, -1, 100])
def test_a_block_that_was_never_put_is_a_key_error(block: int) -> None:
    made = arena(20, (3, 5, 2))
    assert block not in made
    with pytest.raises(KeyError):
        made.get(block)


def test_further_blocks_take_the_room_that_is_there() -> None:
    made = arena(20, (3, 5))
    assert made.extended(2, (4, 8)) is made
    assert made.span(3) == (12, 20)
    assert holds(made, 1, 1)


def test_beyond_the_room_all_is_copied_once_which_the_log_says(caplog: pytest.LogCaptureFixture) -> None:
    made = arena(10, (3, 5))
    with caplog.at_level(logging.INFO, logger="dbsa_core.store"):
        larger = made.extended(2, (3,), expected_tokens=40)
    assert larger is not made
    assert (made.capacity, larger.capacity) == (10, 50)
    assert [len(made), len(larger)] == [2, 3]
    assert all(holds(larger, b, b) for b in range(2))
    assert "memory of 10 tokens is full: the 8 before were copied once, into one of 50" in caplog.text
    assert larger.extended(3, (20,)) is larger


def test_what_was_continued_elsewhere_is_not_overwritten(caplog: pytest.LogCaptureFixture) -> None:
    made = arena(20, (3, 5))
    one = made.extended(2, (4,))
    one.put(2, filled(2, 4))
    with caplog.at_level(logging.INFO, logger="dbsa_core.store"):
        other = made.extended(2, (6,))
    assert other is not made
    other.put(2, filled(7, 6))
    assert holds(one, 2, 2)
    assert holds(other, 2, 7)
    assert holds(other, 1, 1)
    assert "was continued elsewhere" in caplog.text


def test_places_that_were_not_written_are_given_back() -> None:
    made = arena(20, (3, 5))
    made.extended(2, (4, 4)).drop_from(2)
    assert len(made) == 2
    assert made.extended(2, (12,)) is made


def test_encoding_writes_where_the_pool_stays_and_reserves_a_quarter_more() -> None:
    held = blocks(8)
    pool = encoded(held, chunk_tokens=20)
    assert pool.store.capacity == with_spare(pool.tokens)
    assert pool.num_bytes == pool.store.num_bytes
    assert [pool.store.span(b.id)[1] - pool.store.span(b.id)[0] for b in held] == [len(b) for b in held]
    assert encoded(held[:3], expected_tokens=500).store.capacity == with_spare(500)


def test_two_pools_that_go_on_from_the_same_blocks_leave_each_other_alone() -> None:
    all_blocks, others = blocks(9), blocks(9, seed=1)
    first = encoded(all_blocks[:7], expected_tokens=100)
    before = contents(first)
    one = appended(first, all_blocks[7:])
    kept = contents(one)
    other = appended(first, others[7:])
    assert one.store is first.store
    assert other.store is not first.store
    for found, expected in ((first, before), (one, kept)):
        assert all(torch.equal(a, b) for a, b in zip(contents(found), expected, strict=True))
    whole = encoded([*all_blocks[:7], *others[7:]])
    for a, b in zip(contents(other), contents(whole), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_a_pool_that_outgrows_its_memory_is_the_pool_encoded_at_once() -> None:
    held = blocks(24)
    pool = encoded(held[:4])
    for start in range(4, 24, 4):
        pool = appended(pool, held[start : start + 4])
    for a, b in zip(contents(pool), contents(encoded(held)), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_encoding_that_is_stopped_in_the_middle_leaves_no_half_blocks() -> None:
    held = blocks(8)
    pool = encoded(held[:4], expected_tokens=200)
    before = contents(pool)
    asked: list[int] = []
    with pytest.raises(Cancelled), interruptible(lambda: bool(asked.append(0)) or len(asked) > 1):
        appended(pool, held[4:])
    assert len(pool.store) == 4
    assert all(torch.equal(a, b) for a, b in zip(contents(pool), before, strict=True))
    again = appended(pool, held[4:])
    assert again.store is pool.store
    for a, b in zip(contents(again), contents(encoded(held)), strict=True):
        assert torch.allclose(a, b, atol=1e-5)
