"""One answer as the Ask page shows it: values that can be written to a file and read again, by `app.ask.plain`.

Knows nothing about models, sessions or HTML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from dbsa_core.blocks import BlockPattern
from dbsa_core.prediction import AS_TAUGHT

if TYPE_CHECKING:
    from dbsa_core.methods.base import MayRead

Pieces = tuple[tuple[str, int], ...]
"""A text in pieces, each with how strongly it is marked: 0 not at all, to 3."""


@dataclass(frozen=True)
class ShownRow:
    """One demonstration that was read."""

    text: Pieces
    label: Pieces
    number: int
    """Its row in the file; `TAUGHT` where somebody taught it."""
    same: bool
    """Whether its text is the query's."""
    near: float | None = None
    """Its cosine to the query, where vectors played a part."""
    share: float | None = None
    """In a block: of the attention of the query's last token, as the mean of all heads."""
    stretch: int | None = None
    """Its place in `ShownAttention.by_row`, where it has one."""


@dataclass(frozen=True)
class Before:
    """Tokens of other parts that the tokens of one saw."""

    kind: str
    """As cells of the mask are called: "sink", or "previous"."""
    name: str
    """ "block 1", "blocks 10 and 11", "9 blocks and 2 similar rows"."""
    tokens: int


@dataclass(frozen=True, eq=False)
class ShownTokens:
    """A block or a similar row by its tokens."""

    texts: tuple[str, ...]
    """One after the other they are its text; () where that is left out, or cannot be told."""
    shares: np.ndarray
    """float32 [tokens]: of the attention of the query's last token, as the mean of all heads."""
    before: tuple[Before, ...]
    """In the order of the context; behind them come its own, each of which sees those up to itself."""


@dataclass(frozen=True)
class ShownPart:
    """A block, or a similar row, that was read."""

    key: str
    """As the attention names it: "block 12", "similar 1"."""
    name: str
    """ "Block 12", or "Similar row"."""
    note: str
    """Why it was read: "shared first block", "score 4.8", "nearest"."""
    score: float | None
    """Of a block: what the retriever gave it."""
    share: float | None
    """Of the attention of the query's last token, as the mean of all heads."""
    rows: tuple[ShownRow, ...]
    """The best match first."""
    tokens: ShownTokens | None = None
    """None where they are not told apart."""


@dataclass(frozen=True)
class ShownLabel:
    """A label, its probability, and the least and greatest that this may be."""

    name: str
    probability: float
    low: float
    high: float


@dataclass(frozen=True)
class ShownMethod:
    """What one method answered, and what that took."""

    method: str
    title: str
    may_read: MayRead
    """Which rows."""
    label: str
    labels: int
    """Candidate labels."""
    best: tuple[ShownLabel, ...]
    """At most five, the most probable first; empty for greedy decoding."""
    check: str
    """What is to be said of the answer, such as "Unsure"; "" for nothing."""
    equal_rows: tuple[int, ...]
    """Rows of the file whose text is the query's; `TAUGHT` for one that was taught."""
    meaning: str
    """What the probabilities are."""
    notes: tuple[str, ...]
    seconds: Mapping[str, float]
    """By phase, and `total`."""
    fit_seconds: float
    """Of what was done once, before its first answer; the encoding of the pool is not part of it."""
    context_tokens: int
    rows_anew: int
    """Demonstrations that were encoded with the query."""
    cold: bool
    """Whether a warm-up is part of the seconds."""
    nearest: str = ""
    """The most probable label, where no label fits; "" where one does."""
    score: float | None = None
    """The in-scope score, from 0 to 1; None without a reject option."""
    threshold: float | None = None
    """No label fits where the score is below."""
    measured: tuple[float, ...] = ()
    """Seconds of further runs, in turn with those of the methods beside it."""

    @property
    def taught(self) -> bool:
        """Whether the label is what was taught for this very text."""
        return self.check == AS_TAUGHT

    @property
    def total(self) -> float:
        """Seconds of an answer: of this run, or the median of further ones."""
        return median(self.measured) if self.measured else self.seconds["total"]

    @property
    def warming_up(self) -> bool:
        """Whether a warm-up is part of `total`."""
        return self.cold and not self.measured


@dataclass(frozen=True)
class ShownPool:
    """The data, and what of them is encoded."""

    name: str
    rows: int
    """Of the file."""
    encoded: int
    """Rows that are encoded."""
    blocks: int
    planned: int
    """Blocks once all is encoded."""
    block_size: int
    sinks: int
    window: int
    density: float
    """Token pairs that encoding computes, as a share of full attention's."""
    seconds: float
    """Of encoding."""

    @property
    def pattern(self) -> BlockPattern:
        return BlockPattern(self.block_size, self.sinks, self.window)

    @property
    def complete(self) -> bool:
        return self.blocks == self.planned


@dataclass(frozen=True, eq=False)
class ShownAttention:
    """Where the query's last token looked."""

    names: tuple[str, ...]
    """Of the parts of the context: "block 3" (from 1), "similar 1" (the nearest), "query", "attention sink"."""
    mass: np.ndarray
    """float32 [layers, heads, parts]; sums to 1 over the parts."""
    by_row: np.ndarray | None = None
    """float32 [layers, heads, stretches]: of rows of blocks, those with the most attention. None where none is kept."""
    start: int | None = None
    """Which of the stretches is what stands before the first row, such as a BOS."""
    reach: str = ""
    """Of layers with a sliding window of their own, in a sentence."""

    @cached_property
    def shares(self) -> dict[str, float]:
        """Of each part, as the mean of all heads."""
        return dict(zip(self.names, map(float, self.mass.mean(axis=(0, 1))), strict=True))

    @cached_property
    def spread(self) -> np.ndarray:
        """float32 [layers, heads]: over how many parts a head spread its attention, from 1 to all of them: so many
        equal shares have the entropy that its own have. It is the exponential of that."""
        mass = self.mass.astype(np.float64)
        mass /= np.maximum(mass.sum(axis=-1, keepdims=True), 1e-12)
        entropy = -(mass * np.log(np.maximum(mass, 1e-12))).sum(axis=-1)
        return np.exp(entropy).astype(np.float32)


@dataclass(frozen=True)
class ShownAnswer:
    """All that the page shows of one query."""

    query: str
    pool: ShownPool
    method: ShownMethod
    read: tuple[int, ...]
    """Ids of the blocks that were read, from 0."""
    parts: tuple[ShownPart, ...]
    attention: ShownAttention | None
    compared: tuple[ShownMethod, ...] = ()
    """What other methods answered."""
    stamp: tuple[tuple[str, str], ...] = ()
    """Names and values of all that the answer used."""

    @cached_property
    def tells_tokens(self) -> bool:
        """Whether any part is told token by token."""
        return any(part.tokens is not None for part in self.parts)
