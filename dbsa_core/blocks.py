"""Blocks of demonstrations, the pattern of which block sees which, and the grouping of a pool into blocks.

Knows nothing about models: ids and integers only.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from itertools import accumulate
from typing import Literal

from dbsa_core.data import Pool
from dbsa_core.errors import SettingsError
from dbsa_core.prompt import Ids

Positions = Literal["sequential", "local"]


@dataclass(frozen=True)
class Block:
    """Demonstrations that are encoded, stored and retrieved together."""

    id: int
    """Its place in the pool, from 0."""
    rows: tuple[int, ...]
    """Indices into `Pool.demonstrations`, in the order of the ids."""
    token_ids: Ids
    """Ids of its demonstrations one after the other; those of block 0 begin with the BOS where the model has one."""

    def __len__(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True)
class BlockPattern:
    """Which blocks a block sees while it is encoded (arXiv 2503.08640, section 3); the defaults are the paper's."""

    demonstrations_per_block: int = 50
    """Demonstrations in a block; the last one may hold fewer."""
    sink_blocks: int = 1
    """The first blocks of the pool, seen by every block (the paper's anchor block)."""
    previous_blocks: int = 2
    """Blocks right before a block that it sees."""
    positions: Positions = "sequential"
    """`sequential`: 0.. over the whole pool, as in the paper. `local`: 0.. over a block's own window without gaps, so
    that the pool may be longer than the model's context."""

    def __post_init__(self) -> None:
        if self.demonstrations_per_block < 1:
            raise SettingsError(f"Block size is {self.demonstrations_per_block}; it must be at least 1 example.")
        if self.sink_blocks < 0 or self.previous_blocks < 0:
            raise SettingsError("The numbers of sink blocks and of previous blocks must be 0 or more.")
        if self.positions not in ("sequential", "local"):
            raise SettingsError(f"Positions are {self.positions!r}; accepted are 'sequential' and 'local'.")

    def runs(self, block: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The blocks that `block` sees: the sinks before it, and those right before it that are none, itself last."""
        sinks = range(min(self.sink_blocks, block))
        previous = range(max(len(sinks), block - self.previous_blocks), block)
        return tuple(sinks), (*previous, block)

    def window(self, block: int) -> tuple[int, ...]:
        """The blocks that `block` sees, itself last: {sink} + previous + itself in pool order, without repeats."""
        sinks, near = self.runs(block)
        return sinks + near

    def seen_before(self, blocks: Sequence[int]) -> list[int]:
        """What consecutive blocks see of those before them, in pool order."""
        return sorted({other for block in blocks for other in self.window(block)} - set(blocks))

    def sees(self, block: int, other: int) -> bool:
        """Whether the tokens of `block` attend to those of `other` (causally, where they are the same block)."""
        return other <= block and (other < self.sink_blocks or block - other <= self.previous_blocks)

    @property
    def required_blocks(self) -> int:
        """How many first blocks are part of every selection: the sinks, and never fewer than the first block (BOS)."""
        return max(1, self.sink_blocks)


def mask_area(lengths: Sequence[int], pattern: BlockPattern) -> int:
    """Number of (query token, key token) pairs that stage 1 computes; `n (n + 1) / 2` would be dense causal."""
    seen = SeenTokens(lengths, pattern)
    return sum(own * seen.before(block) + own * (own + 1) // 2 for block, own in enumerate(lengths))


def mask_density(lengths: Sequence[int], pattern: BlockPattern) -> float:
    """`mask_area` as a share of dense causal attention's."""
    n = sum(lengths)
    return mask_area(lengths, pattern) / (n * (n + 1) / 2) if n else 1.0


def window_tokens(lengths: Sequence[int], pattern: BlockPattern) -> int:
    """Tokens of the longest window, itself included."""
    seen = SeenTokens(lengths, pattern)
    return max((own + seen.before(block) for block, own in enumerate(lengths)), default=0)


class SeenTokens:
    """How many tokens blocks see, blocks of so many tokens each: told without going through their windows, which grow
    with the pool where a pattern has all previous blocks."""

    def __init__(self, lengths: Sequence[int], pattern: BlockPattern):
        self._upto, self._pattern = [0, *accumulate(lengths)], pattern

    def before(self, block: int) -> int:
        """In the blocks before this one, by it, or by it and the blocks right behind it together."""
        sinks = min(self._pattern.sink_blocks, block)
        previous = max(sinks, block - self._pattern.previous_blocks)
        return self._upto[sinks] + self._upto[block] - self._upto[previous]


def draw_rows(pool: Pool, row_tokens: Sequence[int], budget: int, seed: int, longest_row: int) -> tuple[int, ...]:
    """Rows of the pool to encode: every label first, then at random, at most `budget` tokens, shuffled.

    `row_tokens[i]` is the length of row i in tokens; rows longer than `longest_row` are never drawn. The shuffle is the
    paper's random grouping.
    """
    rng = random.Random(seed)
    order = _shuffled(row_tokens, longest_row, rng)
    chosen: dict[int, None] = {}
    covered: set[str] = set()
    spent = 0
    for first_of_label in (True, False):
        for row in order:
            label = pool.demonstrations[row].label
            if row in chosen or (first_of_label and label in covered) or spent + row_tokens[row] > budget:
                continue
            chosen[row] = None
            covered.add(label)
            spent += row_tokens[row]
    drawn = list(chosen)
    rng.shuffle(drawn)
    return tuple(drawn)


def label_rows(pool: Pool, row_tokens: Sequence[int], seed: int, longest_row: int) -> tuple[int, ...]:
    """The first row of each label that `draw_rows` comes to: those it takes before all others."""
    found: dict[str, int] = {}
    for row in _shuffled(row_tokens, longest_row, random.Random(seed)):
        found.setdefault(pool.demonstrations[row].label, row)
    return tuple(found.values())


def _shuffled(row_tokens: Sequence[int], longest_row: int, rng: random.Random) -> list[int]:
    order = [row for row, tokens in enumerate(row_tokens) if tokens <= longest_row]
    rng.shuffle(order)
    return order


def group(rows: Sequence[int], row_ids: Sequence[Ids], pattern: BlockPattern, first_block: int = 0) -> list[Block]:
    """Cut rows, in their order, into blocks of `demonstrations_per_block`.

    `row_ids[i]` are the ids of `rows[i]`; `first_block` is the id of the first block made (for appending).
    """
    size = pattern.demonstrations_per_block
    blocks = []
    for number, start in enumerate(range(0, len(rows), size)):
        ids = tuple(token for part in row_ids[start : start + size] for token in part)
        blocks.append(Block(first_block + number, tuple(rows[start : start + size]), ids))
    return blocks


def with_prefix(blocks: Sequence[Block], prefix_ids: Ids) -> list[Block]:
    """The blocks with what the tokenizer puts before a text (a BOS, for most) once, at the start of block 0."""
    return [replace(b, token_ids=prefix_ids + b.token_ids) if b.id == 0 else b for b in blocks]


def starts(blocks: Sequence[Block]) -> list[int]:
    """Position of each block's first token when all follow one another, and the total at the end."""
    return list(accumulate((len(block) for block in blocks), initial=0))


def automatic_block_size(rows: int, wanted_blocks: int = 24, largest: int = 50) -> int:
    """Demonstrations per block so that the pool has at least `wanted_blocks` blocks where its rows allow it."""
    return max(1, min(largest, rows // wanted_blocks))


def chosen_blocks(ratio: float, blocks: int, pattern: BlockPattern) -> int:
    """How many blocks a ratio means: ratio x blocks rounded half up, and at least one beside the sink where there is
    one.

    The ratio is taken as it is written: 0.35 of 90 blocks are 31.5, so 32, although the float is a little less than
    0.35. The sink blocks are always in, and count.
    """
    check_ratio(ratio)
    meant = (Decimal(str(ratio)) * blocks).to_integral_value(ROUND_HALF_UP)
    return min(blocks, max(pattern.required_blocks + 1, int(meant)))


def check_ratio(ratio: float) -> None:
    """`SettingsError` where it is not a share above 0 and at most 1."""
    number = isinstance(ratio, int | float) and not isinstance(ratio, bool) and math.isfinite(ratio)
    if not (number and 0 < ratio <= 1):
        raise SettingsError(
            f"The retrieval ratio is {ratio!r}; it must be above 0 and at most 1 (0.3 reads 30 % of the blocks)."
        )
