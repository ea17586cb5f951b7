"""A file of texts, classified row by row: the answers as they come, what was corrected, and how they add up.

Knows nothing about sessions, nor how the file is handed back.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.server.jobs import unexpected
from dbsa_core.errors import Cancelled
from dbsa_core.files.tables import Table
from dbsa_core.interrupt import interruptible
from dbsa_core.intervals import wilson_interval
from dbsa_core.prediction import ANSWER_COLUMNS, AS_TAUGHT, NEED_A_LOOK, NO_TEXT, Prediction, no_answer

if TYPE_CHECKING:
    from dbsa_core.data import Pool
    from dbsa_core.methods import Method

NOT_REACHED = "Not reached: the classification was stopped before this row."


@dataclass(frozen=True, slots=True)
class RowAnswer:
    """What became of one row; the fields that `ANSWER_COLUMNS` name are those, None where there is none."""

    label: str | None
    probability: float | None
    probability_low: float | None
    probability_high: float | None
    margin: float | None
    runner_up: str | None
    in_scope_score: float | None
    check: str | None
    problem: str | None
    in_data: bool = False
    """Whether its text stands among the rows that were read from."""

    @classmethod
    def of(cls, prediction: Prediction) -> RowAnswer:
        return cls(*prediction.answer(), in_data=bool(prediction.equal_rows))  # type: ignore[arg-type]

    @classmethod
    def none(cls, problem: str) -> RowAnswer:
        return cls(*no_answer(problem))  # type: ignore[arg-type]

    @property
    def cells(self) -> tuple[str | float | None, ...]:
        """The values of `ANSWER_COLUMNS`."""
        return tuple(getattr(self, name) for name in ANSWER_COLUMNS)

    @property
    def needs_a_look(self) -> bool:
        return self.check in NEED_A_LOOK


@dataclass(frozen=True)
class Rows:
    """What is to be classified."""

    table: Table
    column: str
    """Of the texts."""
    texts: Sequence[str]
    gold_column: str | None = None
    gold: Sequence[str] = ()
    """The right label of each row, "" where it is not known; nothing where the file has none."""


@dataclass(frozen=True)
class Accuracy:
    """How many of the labelled rows were answered rightly; an unanswered one was not."""

    right: int
    rows: int

    @property
    def share(self) -> float:
        return self.right / self.rows if self.rows else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """With a confidence of 95 %."""
        return wilson_interval(self.right, self.rows)


@dataclass(frozen=True)
class LabelCount:
    """Of one label: rows that were answered by it, and how many of them need a look; with right labels known, rows
    that have it, and how many of those were answered so."""

    label: str
    rows: int
    need_a_look: int
    gold: int
    right: int


@dataclass(eq=False)
class Classified:
    """A file's answers, those of its first rows while they are being made. One thread adds to it, any may read it."""

    rows: Rows
    pool: Pool
    """The rows that were read from."""
    used: dict[str, Any]
    """All that the answers are made of, as plain values."""
    seconds: float = 0.0
    stopped: str = ""
    """Why rows were not reached; "" where none was left out."""
    problem: str = ""
    """What went wrong in the middle, for the user."""
    unwritten: str = ""
    """Why there is nothing to take away."""
    files: Sequence[Path] = ()
    """To take away, once all is done; the file itself is the first."""
    left_behind: Sequence[str] = ()
    """What the user's workbook holds and the one to take away does not."""
    corrected: dict[str, str] = field(default_factory=dict)
    """Labels that a person gave, by text without case."""
    _answers: list[RowAnswer] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def total(self) -> int:
        return len(self.rows.texts)

    @property
    def done(self) -> int:
        return len(self._answers)

    @property
    def seconds_left(self) -> float:
        return (self.total - self.done) * self.seconds / self.done if self.done else float("inf")

    def add(self, answer: RowAnswer, seconds: float) -> None:
        """The next row's answer, and the seconds since the first one was begun."""
        self._answers.append(answer)
        self.seconds = seconds

    def correct(self, text: str, label: str) -> None:
        """Give all rows of this text, but for case, the label that a person says is right."""
        with self._lock:
            self.corrected = {**self.corrected, text.casefold(): label}

    def answers(self) -> list[RowAnswer]:
        """Of the rows that were reached, with what was corrected."""
        corrected, texts = self.corrected, self.rows.texts
        found = self._answers[:]
        if not corrected:
            return found
        return [_corrected(row, corrected.get(texts[i].casefold())) for i, row in enumerate(found)]

    def whole(self) -> list[RowAnswer]:
        """Of all rows, with a reason where one was not reached."""
        found = self.answers()
        return found + [RowAnswer.none(self.stopped or NOT_REACHED)] * (self.total - len(found))

    def accuracy(self, *, unseen_only: bool = False) -> Accuracy | None:
        """Of the rows that were reached and whose right label is known, by what the method itself said; None where
        there are none. `unseen_only`: of those whose text does not stand in the data."""
        pairs = [
            (answer.label, gold)
            for answer, gold in zip(self._answers[:], self.rows.gold, strict=False)
            if gold and not (unseen_only and answer.in_data)
        ]
        return Accuracy(sum(label == gold for label, gold in pairs), len(pairs)) if pairs else None

    def by_label(self) -> list[LabelCount]:
        """Labels that rows were answered by, or that are right for some; the most frequent first."""
        answers, gold = self.answers(), self.rows.gold
        rows = Counter(answer.label for answer in answers if answer.label is not None)
        look = Counter(answer.label for answer in answers if answer.label is not None and answer.needs_a_look)
        right, own = Counter[str](), Counter[str]()
        for answer, label in zip(self._answers[:], gold, strict=False):
            if label:
                own[label] += 1
                right[label] += answer.label == label
        names = sorted({*rows, *own}, key=lambda name: (-rows[name], -own[name], name))
        return [LabelCount(name, rows[name], look[name], own[name], right[name]) for name in names]

    def unknown_labels(self) -> list[str]:
        """Right labels that are no candidates: rows that have them count as wrong."""
        return sorted({label for label in self.rows.gold if label} - set(self.pool.labels))


def _corrected(answer: RowAnswer, label: str | None) -> RowAnswer:
    """The probabilities were those of the method's own label, so none stays."""
    if label is None or (answer.label == label and answer.check == AS_TAUGHT):
        return answer
    none = dict.fromkeys(
        ("probability", "probability_low", "probability_high", "margin", "runner_up", "in_scope_score", "problem")
    )
    return replace(answer, label=label, check=AS_TAUGHT, **none)


def classify_rows(
    found: Classified,
    method: Callable[[], Method],
    *,
    cancelled: Callable[[], bool],
    give_way: Callable[[], None],
) -> None:
    """Classify every row; a row without an answer gets the reason. `method()` is asked for before each of them, and
    where it is another one, the rows from there on are asked anew.

    Raises `Cancelled` where it was stopped before the first one.
    """
    begun = time.perf_counter()
    try:
        while found.done < found.total and not cancelled():
            for answer in _answers(method, found.rows.texts[found.done :], cancelled, give_way):
                found.add(answer, time.perf_counter() - begun)
    except Cancelled:
        pass
    except Exception as error:
        found.problem = unexpected(error, f"classifying the rows of a file from row {found.done + 1:,} on")
        found.stopped = f"Not reached: an earlier row failed. {found.problem}"
    if not found.done and not found.problem:
        raise Cancelled("Stopped before the first row was classified; there is no file.")
    if found.done < found.total and not found.stopped:
        found.stopped = NOT_REACHED


def _answers(
    method: Callable[[], Method], texts: Sequence[str], cancelled: Callable[[], bool], give_way: Callable[[], None]
) -> Iterator[RowAnswer]:
    """Of the first texts, as many as one method is in force for."""
    asked = method()
    found = asked.predict_many(filter(None, texts))
    for text in texts:
        give_way()
        if cancelled() or method() is not asked:
            return
        if not text:
            yield RowAnswer.none(NO_TEXT)
            continue
        with interruptible(cancelled):
            answer = next(found)
        yield RowAnswer.of(answer) if isinstance(answer, Prediction) else RowAnswer.none(str(answer))


def free_names(taken: Collection[str], wanted: Sequence[str] = ANSWER_COLUMNS) -> list[str]:
    """Names for columns of ours; one that the file has gets `predicted_` before it."""
    names: list[str] = []
    for name in wanted:
        while name in taken or name in names:
            name = f"predicted_{name}"
        names.append(name)
    return names
