"""One evaluation: what is asked of whom, what was answered so far, and the files to take away.

Knows nothing about sessions, nor how it is shown. One thread adds to it, any may read it.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbsa_core.data import Demonstration

if TYPE_CHECKING:
    from dbsa_core.evaluation import Evaluation

FILES = ("report.html", "report.md", "results.csv", "answers.csv", "results.json", "run.json")
"""To take away, of those that its folder holds."""


@dataclass(frozen=True)
class Wanted:
    """What is to be evaluated, on which rows."""

    of_file: bool = False
    """On those of the session's test file; else on rows of the data that are held out."""
    hold_out: int = 100
    """As many rows, at most a third of the data."""
    seed: int = 0
    """Draws them."""
    methods: tuple[str, ...] | None = None
    """Names; None for what answers queries, and the classifier of words."""
    reject: bool = False
    """Whether each is shown with a reject option too."""
    text_column: str | None = None
    """Of the test file; guessed where it is None, and so is the other."""
    label_column: str | None = None


@dataclass(frozen=True)
class Stage:
    """What is being done."""

    name: str
    done: int
    total: int
    begun: float = field(default_factory=time.monotonic)
    before: int = 0
    """How far it was when it was begun."""

    def at(self, done: int) -> Stage:
        return replace(self, done=done)

    @property
    def seconds_left(self) -> float:
        """By the speed so far; infinite before the first step."""
        steps = self.done - self.before
        return (self.total - self.done) * (time.monotonic() - self.begun) / steps if steps > 0 else float("inf")


@dataclass(eq=False)
class Evaluated:
    """What a run asks, and what came of it."""

    number: int
    """From 1, in a session."""
    data: str
    """Name of the labelled file."""
    test: str
    """Where the test rows are from, in words."""
    settings: Mapping[str, Any]
    """All that answers and times depend on, as plain values."""
    rows: tuple[Demonstration, ...]
    """The test rows."""
    in_data: frozenset[int]
    """Places of those whose text stands among the rows that may be read."""
    folder: Path
    code: Mapping[str, str]
    """Programs that do the same, by what they are written for."""
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    begun: datetime = field(default_factory=lambda: datetime.now().astimezone())
    stage: Stage | None = None
    """None before its first one, and when it is over."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why a method's context does not fit, by its name."""
    ended: tuple[Evaluation, ...] | None = ()
    """The results; None while it runs."""
    whole: bool = False
    """Whether all was asked."""
    _so_far: Callable[[], list[Evaluation]] | None = field(default=None, repr=False)
    _seen: tuple[Stage | None, tuple[Evaluation, ...]] | None = field(default=None, repr=False)
    """The results at a stage."""

    def begin(self) -> None:
        """It is to go on."""
        self.ended, self.stage, self.refused, self.whole = None, None, {}, False

    def watch(self, so_far: Callable[[], list[Evaluation]]) -> None:
        """`so_far()` gives the results while it runs."""
        self._so_far, self._seen = so_far, None

    def report(self, name: str, done: int, total: int) -> None:
        """How far a stage is; one of another name begins."""
        now = self.stage
        self.stage = now.at(done) if now is not None and now.name == name else Stage(name, done, total, before=done - 1)

    def end(self, results: Sequence[Evaluation] | None = None, *, whole: bool = False) -> None:
        """It is over, with these results, or with those so far."""
        self.whole = whole
        self.ended = tuple(results) if results is not None else self.results
        self.stage, self._so_far = None, None  # which holds model and pool

    @property
    def results(self) -> tuple[Evaluation, ...]:
        """Of the rows that every method has answered."""
        if self.ended is not None:
            return self.ended
        so_far, stage, seen = self._so_far, self.stage, self._seen
        if so_far is None:
            return ()
        if seen is None or seen[0] != stage:
            seen = self._seen = stage, tuple(so_far())
        return seen[1]

    def as_it_is(self) -> Evaluated:
        """The same with the results so far, whatever comes later."""
        return replace(self, ended=self.results)

    @property
    def answered(self) -> int:
        """Rows that its results are of."""
        return self.results[0].n if self.results else 0

    def result(self, method: str) -> Evaluation | None:
        """The result of that name."""
        return next((found for found in self.results if found.method == method), None)

    @property
    def places(self) -> Sequence[int]:
        """Of the rows that its results are of, among all."""
        return self.results[0].places if self.results else ()

    @property
    def files(self) -> list[Path]:
        """Once it is over."""
        return [path for name in FILES if (path := self.folder / name).is_file()] if self.ended else []

    def discard(self) -> None:
        """Its folder is not needed any more."""
        shutil.rmtree(self.folder, ignore_errors=True)
