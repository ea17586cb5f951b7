"""Rows of a session's data by what they hold: which of them are looked at, and how many of each label and length.

Knows nothing about screens. What is found in the data is found once for each of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args
from weakref import WeakKeyDictionary

import numpy as np

from app.server.data import Data
from dbsa_core.data import ColumnUse, Problem, clean_text, explain_columns

Show = Literal["used", "out", "all"]
Order = Literal["file", "longest"]
USED, LEFT_OUT, EXCLUDED = range(3)
"""What became of a row: it is in the pool; it has a problem that left it out; somebody left it out."""
BY_HAND = "excluded"
"""Stands among the kinds of problems for rows that somebody left out."""
BINS = 14
"""Ranges of lengths at most, the last of which has no end."""


@dataclass(frozen=True)
class Filter:
    """Which rows are looked at; plain values. All of its conditions hold for them."""

    show: Show = "used"
    """Rows in use, those left out, or all of the file."""
    label: str = ""
    """ "" for any."""
    length: int = -1
    """The least of a range of lengths, in characters; -1 for any."""
    problem: str = ""
    """A kind of problem, or `BY_HAND`; "" for any row, with or without one."""
    words: str = ""
    """Stands in the text, whatever the case; "" for any."""
    order: Order = "file"
    by_name: bool = False
    """Whether labels are listed by name rather than by their number of rows."""
    page: int = 0

    @property
    def narrows(self) -> bool:
        """Whether it leaves any row out of those that it could show."""
        return bool(self.label or self.problem or self.words) or self.length >= 0

    @property
    def wide(self) -> Filter:
        """The same without any condition."""
        return Filter(show=self.show, order=self.order, by_name=self.by_name)

    def pressed(self, written: str) -> Filter:
        """What a press makes of it, which says some of the values as JSON: these, on the first page, or without them
        where they were in force already; itself where nothing can be read."""
        try:
            given = json.loads(written)
            made = replace(self, **{"page": 0, **given})
        except (TypeError, ValueError):
            return self
        if not made._valid():
            return self
        usual = Filter()
        conditions = {name for name in given if name in ("label", "length", "problem")}
        if conditions and all(getattr(self, name) == value for name, value in given.items()):
            return replace(self, page=0, **{name: getattr(usual, name) for name in given})
        return made

    def _valid(self) -> bool:
        numbers, texts = (self.length, self.page), (self.label, self.problem, self.words)
        kinds = self.show in get_args(Show) and self.order in get_args(Order) and isinstance(self.by_name, bool)
        whole = all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
        return kinds and whole and self.page >= 0 and all(isinstance(text, str) for text in texts)

    def to(self, *, page: int) -> Press:
        return Press({"page": page})


class Press:
    """What a button would change of a filter."""

    def __init__(self, changes: Mapping[str, Any]):
        self.changes = dict(changes)

    @property
    def written(self) -> str:
        return json.dumps(self.changes, ensure_ascii=False)


@dataclass(frozen=True)
class Chosen:
    """What a filter shows. By label and by length: the rows that it would show with any label, or of any length."""

    filter: Filter
    places: np.ndarray
    """Of all rows, over all pages, in its order."""
    total: int
    """Rows that it could show."""
    by_label: np.ndarray
    by_length: np.ndarray
    label_totals: np.ndarray
    """Without any condition."""
    length_totals: np.ndarray


class Rows:
    """All rows of a file that have cells, the ones that are left out among them."""

    def __init__(self, data: Data):
        pool, table = data.pool, data.table
        kept = {demonstration.row: demonstration for demonstration in pool.demonstrations}
        by_hand = frozenset(data.excluded)
        texts, cells = table.frame[data.text_column].tolist(), table.frame[data.label_column].tolist()
        self.labels = pool.labels
        at = {label: place for place, label in enumerate(self.labels)}
        self.numbers = np.asarray(table.row_numbers, dtype=np.int64)
        self.texts: list[str] = []
        self.own_labels: list[str] = []
        """As they are called, also of rows that are left out."""
        self.state = np.zeros(len(texts), dtype=np.int8)
        for place, row in enumerate(table.row_numbers):
            if (found := kept.get(row)) is not None:
                self.texts.append(found.text)
                self.own_labels.append(found.label)
                continue
            own = clean_text(cells[place])
            self.texts.append(clean_text(texts[place]))
            self.own_labels.append(data.label_names.get(own, own))
            self.state[place] = EXCLUDED if row in by_hand else LEFT_OUT
        self.label_at = np.fromiter((at.get(label, -1) for label in self.own_labels), np.int32, len(texts))
        self.lengths = np.fromiter(map(len, self.texts), np.int32, len(texts))
        self.edges = edges(self.lengths)
        self.range_at = self.ranges(self.lengths)
        """Of each row the place of its range of lengths."""
        self.problems: tuple[Problem, ...] = pool.problems
        self._data_columns = (table, data.text_column, data.label_column)

    @cached_property
    def columns(self) -> tuple[ColumnUse, ...]:
        return explain_columns(*self._data_columns)

    @cached_property
    def counts(self) -> np.ndarray:
        """Rows in use of each label."""
        return self._by_label(self.state == USED)

    @cached_property
    def _folded(self) -> list[str]:
        return [text.casefold() for text in self.texts]

    @cached_property
    def _kinds(self) -> dict[str, frozenset[int]]:
        kinds = {problem.kind: frozenset(problem.rows) for problem in self.problems if problem.rows}
        return {BY_HAND: frozenset(self.numbers[self.state == EXCLUDED].tolist()), **kinds}

    def kinds_of(self, row: int) -> list[str]:
        """The kinds of problems that a row has, by its number."""
        return [kind for kind, rows in self._kinds.items() if row in rows and kind != BY_HAND]

    def rows_of(self, kind: str) -> frozenset[int]:
        """Numbers of the rows that have a problem of that kind."""
        return self._kinds.get(kind, frozenset())

    def ranges(self, lengths: np.ndarray | int) -> np.ndarray:
        """The places of the ranges that lengths are in."""
        return np.searchsorted(self.edges, lengths, side="right") - 1

    def range_of(self, place: int) -> tuple[int, int | None]:
        """The least and the greatest length of a range, None where it has no end."""
        last = place + 1 == len(self.edges)
        return int(self.edges[place]), None if last else int(self.edges[place + 1]) - 1

    def chosen(self, filter: Filter) -> Chosen:
        """The rows that it shows."""
        base = self._shown(filter.show)
        found = base.copy()
        if filter.problem:
            found &= np.isin(self.numbers, np.fromiter(self.rows_of(filter.problem), np.int64))
        if words := filter.words.casefold().strip():
            found &= np.fromiter((words in text for text in self._folded), bool, len(self.texts))
        of_label, of_length = self._of_label(filter.label), self._of_length(filter.length)
        places = np.flatnonzero(found & of_label & of_length)
        if filter.order == "longest":
            places = places[np.argsort(-self.lengths[places], kind="stable")]
        return Chosen(
            filter,
            places,
            int(base.sum()),
            self._by_label(found & of_length),
            self._by_length(found & of_label),
            self._by_label(base),
            self._by_length(base),
        )

    def _shown(self, show: Show) -> np.ndarray:
        if show == "all":
            return np.ones(len(self.state), dtype=bool)
        return self.state == USED if show == "used" else self.state != USED

    def _of_label(self, label: str) -> np.ndarray | bool:
        if not label:
            return True
        if label in self.labels:
            return self.label_at == self.labels.index(label)
        # One that only rows have which are left out.
        return np.fromiter((own == label for own in self.own_labels), bool, len(self.own_labels))

    def _of_length(self, least: int) -> np.ndarray | bool:
        if least < 0:
            return True
        return self.range_at == self.ranges(least)

    def _by_label(self, rows: np.ndarray) -> np.ndarray:
        found = self.label_at[rows]
        return np.bincount(found[found >= 0], minlength=len(self.labels))

    def _by_length(self, rows: np.ndarray) -> np.ndarray:
        return np.bincount(self.range_at[rows], minlength=len(self.edges))


def edges(lengths: np.ndarray | Sequence[int]) -> np.ndarray:
    """Where ranges of lengths begin: at 0 and every 1, 2 or 5 times a power of ten. The last has no end: it also holds
    the one row in twenty at most that is longer than all ranges of that size."""
    if not len(lengths):
        return np.zeros(1, dtype=np.int64)
    high = float(np.percentile(lengths, 95))
    step = next(step for step in _round_numbers() if high / step < BINS - 1)
    found = np.arange(0, max(high, 1) + step, step, dtype=np.int64)
    return found[found <= max(1, np.max(lengths))]


def _round_numbers() -> Any:
    scale = 1
    while True:
        yield from (scale, 2 * scale, 5 * scale)
        scale *= 10


_FOUND: WeakKeyDictionary[Data, Rows] = WeakKeyDictionary()


def rows_of(data: Data) -> Rows:
    """The rows of these data."""
    if (found := _FOUND.get(data)) is None:
        found = _FOUND[data] = Rows(data)
    return found
