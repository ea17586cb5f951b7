"""One answer as the Ask page shows it: plain values that can be written to a file and read again.

Knows nothing about models, sessions or HTML.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, Any

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


# --- files ------------------------------------------------------------------------------------------------------------


def as_json(answer: ShownAnswer) -> dict[str, Any]:
    """Plain values; the attention as float16 in base64."""
    plain = asdict(answer)
    if answer.attention is not None:
        mass = answer.attention.mass.astype(np.float16)
        plain["attention"] = {
            "names": list(answer.attention.names),
            "shape": list(mass.shape),
            "float16": base64.b64encode(mass.tobytes()).decode(),
            "start": answer.attention.start,
        }
        if (by_row := answer.attention.by_row) is not None:
            found = by_row.astype(np.float16)
            plain["attention"]["rows"] = found.shape[-1]
            plain["attention"]["by_row"] = base64.b64encode(found.tobytes()).decode()
    return plain


def from_json(plain: Mapping[str, Any]) -> ShownAnswer:
    """What `as_json` wrote. `KeyError`, `TypeError` or `ValueError` where it was of another form."""
    found = plain["attention"]
    attention = None
    if found is not None:
        values = np.frombuffer(base64.b64decode(found["float16"]), np.float16).reshape(found["shape"])
        by_row = None
        if "by_row" in found:
            rows = np.frombuffer(base64.b64decode(found["by_row"]), np.float16)
            by_row = rows.reshape(*found["shape"][:2], found["rows"]).astype(np.float32)
        attention = ShownAttention(tuple(found["names"]), values.astype(np.float32), by_row, found["start"])
    pool, method = ShownPool(**plain["pool"]), _method(plain["method"])
    compared = tuple(map(_method, plain["compared"]))
    parts = tuple(_part(part) for part in plain["parts"])
    read = tuple(plain["read"])
    stamp = tuple((name, value) for name, value in plain["stamp"])
    return ShownAnswer(plain["query"], pool, method, read, parts, attention, compared, stamp)


def _method(plain: Mapping[str, Any]) -> ShownMethod:
    lists = {"best": tuple(ShownLabel(**label) for label in plain["best"])}
    lists |= {name: tuple(plain[name]) for name in ("equal_rows", "notes", "measured")}
    return ShownMethod(**{**plain, **lists})


def _part(plain: Mapping[str, Any]) -> ShownPart:
    return ShownPart(**{**plain, "rows": tuple(map(_row, plain["rows"]))})


def _row(plain: Mapping[str, Any]) -> ShownRow:
    return ShownRow(**{**plain, "text": _pieces(plain["text"]), "label": _pieces(plain["label"])})


def _pieces(plain: list[list[Any]]) -> Pieces:
    return tuple((text, strength) for text, strength in plain)


def form() -> str:
    """The fields of all these values in words: a file that was written when they were others is not read."""
    kinds = (ShownAnswer, ShownPool, ShownMethod, ShownLabel, ShownPart, ShownRow, ShownAttention)
    return "; ".join(f"{kind.__name__} {' '.join(field.name for field in fields(kind))}" for kind in kinds)
