"""Labelled rows of the file on which something is fitted to a method's answers, or that stand in for a test file: rows
that the method does not read.

Knows nothing about what is fitted, nor about any method. Rows of a test file never come here: a setup holds none.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from dbsa_core.data import Demonstration, Pool
from dbsa_core.devices import policy_for
from dbsa_core.setup import Setup
from dbsa_core.stage1.progress import OnProgress
from dbsa_core.task import Task

ROWS, ROWS_ON_CPU = 300, 80
"""As many rows whose label fits are asked about at most, unless told otherwise; where forwards are slow, fewer."""
SHARE = 3
"""One row in so many is held out at most."""
LABELS_LEFT_OUT = 8
"""One label in so many is left out."""
LEAST_LABELS = 4
"""With fewer, none is left out: what was left would be another task."""


@dataclass(frozen=True, eq=False)
class Validation:
    """Rows to be asked about, and a setup in which no method reads them."""

    setup: Setup
    """Encoded as the one it was drawn from, where no row is in a block; else yet to be encoded, without them."""
    demonstrations: tuple[Demonstration, ...]
    """The rows, with labels that the setup may lack, in random order, so that the first ones are a sample too."""

    def encode(self, on_progress: OnProgress | None = None) -> Validation:
        """The same with an encoded setup; itself where it is."""
        return replace(self, setup=self.setup.encode(on_progress=on_progress))


def rows_for(setup: Setup) -> int:
    """`ROWS`, or `ROWS_ON_CPU`."""
    return ROWS_ON_CPU if policy_for(setup.task.model.device).bounds_time else ROWS


def draw_validation(
    setup: Setup, *, rows: int | None = None, out_of_scope: str | None = None, seed: int = 0
) -> Validation:
    """Draw up to `rows` rows, and half of those of the label `out_of_scope`, at most `rows` / 2.

    Rows that are not in blocks are drawn where there are enough; no row stands for a text that stands elsewhere too:
    rows of the same text, but for case, are held out with it, and where one of them is in a block, it counts as such.
    Every label keeps a row.
    """
    rows = rows or rows_for(setup)
    usable = _but_one_a_label(setup, _usable(setup, random.Random(seed)))
    demonstrations = setup.task.pool.demonstrations
    mine = [row for row in usable if demonstrations[row].label == out_of_scope]
    others = [row for row in usable if demonstrations[row].label != out_of_scope]
    wanted = min(len(mine) // 2, rows // 2), min(rows, len(others) // SHARE)
    encoded = {_text(setup, row) for row in setup.rows}
    free = [[row for row in each if _text(setup, row) not in encoded] for each in (mine, others)]
    enough = all(2 * len(there) >= count for there, count in zip(free, wanted, strict=True))
    kinds = free if enough else (mine, others)
    drawn = [row for each, count in zip(kinds, wanted, strict=True) for row in each[:count]]
    random.Random(seed).shuffle(drawn)
    alike = {equal for row in drawn for equal in setup.task.rows_equal_to(_text(setup, row))}
    return Validation(setup.without(alike), tuple(demonstrations[row] for row in drawn))


def draw_unseen(setup: Setup, *, rows: int | None = None, seed: int = 0) -> Validation:
    """The same of a setup that lacks some labels, with up to `rows` / 2 rows of these among the others: texts that none
    of its labels fits. One label in `LABELS_LEFT_OUT` is left out, none where there are fewer than `LEAST_LABELS`."""
    rows, task = rows or rows_for(setup), setup.task
    rng = random.Random(seed)
    labels = task.pool.labels
    left_out = set(rng.sample(labels, max(1, len(labels) // LABELS_LEFT_OUT)) if len(labels) >= LEAST_LABELS else ())
    if not left_out:
        return draw_validation(setup, rows=rows, seed=seed)
    there = [each for row, each in enumerate(task.pool.demonstrations) if row not in setup.unread]
    kept = [each for each in there if each.label not in left_out]
    fewer = Task(task.model, Pool.of(kept, set(labels) - left_out), task.template)
    settings = replace(setup.plan.settings, pool_tokens=setup.plan.tokens)
    drawn = draw_validation(Setup.of(fewer, settings), rows=rows, seed=seed)
    unseen = [task.pool.demonstrations[row] for row in _usable(setup, rng)]
    both = [*drawn.demonstrations, *[row for row in unseen if row.label in left_out][: rows // 2]]
    rng.shuffle(both)
    return Validation(drawn.setup, tuple(both))


def _text(setup: Setup, row: int) -> str:
    """But for case."""
    return setup.task.pool.demonstrations[row].text.casefold()


def _usable(setup: Setup, rng: random.Random) -> list[int]:
    """Rows that may be drawn, shuffled: one of each text that has one label. What was taught, and what is too long to
    be read, is not among them."""
    demonstrations = setup.task.pool.demonstrations
    order = [row for row in range(len(demonstrations)) if row not in setup.not_beside]
    rng.shuffle(order)
    found: dict[str, int] = {}
    for row in order:
        equal = [demonstrations[other] for other in setup.task.rows_equal_to(_text(setup, row))]
        if all(other.label == demonstrations[row].label and not other.taught for other in equal):
            found.setdefault(_text(setup, row), row)
    return list(found.values())


def _but_one_a_label(setup: Setup, rows: list[int]) -> list[int]:
    """Those rows without the first one of each label."""
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(setup.task.pool.demonstrations[row].label, row)
    kept = set(first.values())
    return [row for row in rows if row not in kept]
