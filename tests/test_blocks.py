"""What holds for blocks and patterns: one rule in four forms, and rows drawn within a budget, every label first."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

from dbsa_core.blocks import (
    BlockPattern,
    SeenTokens,
    automatic_block_size,
    chosen_blocks,
    draw_rows,
    group,
    mask_area,
    mask_density,
    starts,
    window_tokens,
)
from dbsa_core.data import Pool
from dbsa_core.errors import SettingsError
from dbsa_core.masks import NOT_SEEN, PREVIOUS, SELF, SINK, block_picture, dense_mask, pair_counts

PATTERNS = [BlockPattern(1, sinks, previous) for sinks, previous in product((0, 1, 2, 4), (0, 1, 2, 9))]
LENGTHS = (5, 1, 3, 4, 2, 6, 1, 2)


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_a_window_holds_what_a_block_sees(pattern: BlockPattern) -> None:
    for block in range(9):
        window = pattern.window(block)
        assert window == tuple(other for other in range(9) if pattern.sees(block, other))
        assert window[-1] == block


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_the_mask_token_by_token_has_the_area_that_is_reckoned(pattern: BlockPattern) -> None:
    mask = dense_mask(LENGTHS, pattern)
    assert mask_area(LENGTHS, pattern) == int(mask.sum())
    assert mask_density(LENGTHS, pattern) == pytest.approx(int(mask.sum()) / (24 * 25 / 2))
    widest = max(int(row.sum()) for row in mask)
    assert window_tokens(LENGTHS, pattern) == widest


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_the_mask_token_by_token_is_the_rule(pattern: BlockPattern) -> None:
    block_of = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    mask = dense_mask(LENGTHS, pattern)
    for q in range(sum(LENGTHS)):
        for t in range(sum(LENGTHS)):
            assert bool(mask[q, t]) == (t <= q and pattern.sees(int(block_of[q]), int(block_of[t])))


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_the_picture_shows_what_is_seen(pattern: BlockPattern) -> None:
    picture = block_picture(8, pattern)
    for row in range(8):
        for column in range(8):
            kind = picture[row, column]
            assert (kind != NOT_SEEN) == pattern.sees(row, column)
            assert (kind == SELF) == (row == column)
            if kind == SINK:
                assert column < pattern.sink_blocks
            if kind == PREVIOUS:
                assert pattern.sink_blocks <= column
                assert row - column <= pattern.previous_blocks


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_tokens_seen_before_are_those_of_the_windows(pattern: BlockPattern) -> None:
    """Of a block by itself, and of blocks in a row together."""
    seen, count = SeenTokens(LENGTHS, pattern), len(LENGTHS)
    for first in range(count):
        assert seen.before(first) == sum(LENGTHS[other] for other in pattern.window(first)[:-1])
        for last in range(first, count):
            together = pattern.seen_before(range(first, last + 1))
            assert seen.before(first) == sum(LENGTHS[other] for other in together)


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_pairs_are_counted_as_the_picture_shows_them(pattern: BlockPattern) -> None:
    for blocks in range(12):
        picture = block_picture(blocks, pattern)[np.tri(blocks, dtype=bool)]
        expected = {kind: int((picture == kind).sum()) for kind in (SELF, PREVIOUS, SINK, NOT_SEEN)}
        assert pair_counts(blocks, pattern) == expected


def test_densities_are_those_of_the_specification() -> None:
    """600 rows: 0.54 of the block pairs with 50 rows a block, 0.13 with 10; counted by tokens a little less."""
    for size, pairs, tokens in ((50, 0.54, 0.50), (10, 0.13, 0.114)):
        blocks, pattern = 600 // size, BlockPattern(size)
        seen = sum(pattern.sees(row, column) for row in range(blocks) for column in range(row + 1))
        assert seen / (blocks * (blocks + 1) / 2) == pytest.approx(pairs, abs=0.005)
        assert mask_density([10 * size] * blocks, pattern) == pytest.approx(tokens, abs=0.005)
    assert mask_density([], BlockPattern(50)) == 1.0


@pytest.mark.parametrize("field", ["demonstrations_per_block", "sink_blocks", "previous_blocks"])
def test_a_pattern_refuses_numbers_below_its_least(field: str) -> None:
    with pytest.raises(SettingsError):
        BlockPattern(**{field: -1})


def test_a_pattern_refuses_unknown_positions() -> None:
    with pytest.raises(SettingsError, match="'global'; accepted are 'sequential' and 'local'"):
        BlockPattern(positions="global")  # type: ignore[arg-type]


# --- rows -------------------------------------------------------------------------------------------------------------

POOL = Pool.of([(f"text {i}", f"label {i % 7}" if i < 90 else f"rare {i}") for i in range(100)])
TOKENS = [5 + (i * 7) % 11 for i in range(100)]


@pytest.mark.parametrize("seed", range(5))
def test_every_label_comes_first_where_the_budget_allows(seed: int) -> None:
    drawn = draw_rows(POOL, TOKENS, 300, seed, 50)
    assert {POOL.demonstrations[row].label for row in drawn} == set(POOL.labels)
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize(("budget", "seed"), list(product((0, 4, 20, 100, 333, 10_000), range(3))))
def test_rows_stay_within_the_budget_and_fill_it(budget: int, seed: int) -> None:
    drawn = draw_rows(POOL, TOKENS, budget, seed, 50)
    spent = sum(TOKENS[row] for row in drawn)
    assert spent <= budget
    left = [TOKENS[row] for row in range(100) if row not in drawn]
    assert not left or spent + min(left) > budget, "a row that fits was left behind"


def test_rows_are_the_seeds() -> None:
    draws = [draw_rows(POOL, TOKENS, 300, seed, 50) for seed in (1, 1, 2)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
    assert set(draws[0]) != set(draws[2])
    whole = [draw_rows(POOL, TOKENS, 10_000, seed, 50) for seed in (1, 2)]
    assert set(whole[0]) == set(whole[1]) == set(range(100))
    assert whole[0] != whole[1], "the whole file is shuffled too"
    assert whole[0] != tuple(range(100))


def test_labels_are_spread_and_do_not_stand_first() -> None:
    """Covering every label must not put one row of each label into the sink block in the order of drawing."""
    drawn = draw_rows(POOL, TOKENS, 10_000, 3, 50)
    first = [POOL.demonstrations[row].label for row in drawn[: len(POOL.labels)]]
    assert len(set(first)) < len(first)


def test_a_row_too_long_for_a_block_is_never_drawn() -> None:
    for longest in (5, 9, 15):
        drawn = draw_rows(POOL, TOKENS, 10_000, 0, longest)
        assert set(drawn) == {row for row in range(100) if TOKENS[row] <= longest}


def test_rows_are_cut_into_blocks_in_their_order() -> None:
    rows = (4, 2, 9, 0, 7)
    blocks = group(rows, [(row, row) for row in rows], BlockPattern(2), first_block=3)
    assert [block.id for block in blocks] == [3, 4, 5]
    assert [block.rows for block in blocks] == [(4, 2), (9, 0), (7,)]
    assert [block.token_ids for block in blocks] == [(4, 4, 2, 2), (9, 9, 0, 0), (7, 7)]
    assert starts(blocks) == [0, 4, 8, 10]


@pytest.mark.parametrize("rows", [1, 5, 24, 47, 48, 160, 600, 1199, 1200, 5000])
def test_the_automatic_block_size_gives_24_blocks_where_rows_allow(rows: int) -> None:
    size = automatic_block_size(rows)
    assert 1 <= size <= 50
    assert math.ceil(rows / size) >= min(rows, 24)
    if size < 50:
        assert math.ceil(rows / (size + 1)) < 25, "larger blocks would do"


# --- ratio ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "blocks", "sinks", "count"),
    [
        (0.3, 27, 1, 8),  # 8.1
        (0.3, 25, 1, 8),  # 7.5, half goes up
        (0.5, 5, 1, 3),  # 2.5, half goes up
        (0.5, 7, 1, 4),  # 3.5, where rounding to even gives 4 as well
        (0.3, 24, 1, 7),  # 7.2
        (0.25, 10, 1, 3),  # 2.5, where rounding to even would give 2
        (0.35, 90, 1, 32),  # 31.5, although 0.35 * 90 is 31.499999999999996
        (0.29, 50, 1, 15),  # 14.5, although 0.29 * 50 is 14.499999999999998
        (1.0, 27, 1, 27),
        (1, 27, 1, 27),
        (0.01, 27, 1, 2),  # one beside the sink
        (0.01, 27, 2, 3),
        (0.01, 27, 0, 2),  # block 0 carries the BOS and is in even without a sink
        (0.3, 1, 1, 1),
        (1.0, 1, 1, 1),
        (0.3, 2, 1, 2),
        (0.01, 2, 4, 2),
        (0.3, 0, 1, 0),
    ],
)
def test_a_ratio_names_a_count(ratio: float, blocks: int, sinks: int, count: int) -> None:
    assert chosen_blocks(ratio, blocks, BlockPattern(1, sink_blocks=sinks)) == count


@pytest.mark.parametrize("ratio", [math.nan, math.inf, -math.inf, 0, 0.0, -0.3, 1.5, 1.0001, True, False, "0.3", None])
def test_a_ratio_that_is_no_share_is_refused_by_its_value(ratio: Any) -> None:
    with pytest.raises(SettingsError, match=str(ratio).replace(".", r"\.")):
        chosen_blocks(ratio, 10, BlockPattern())
