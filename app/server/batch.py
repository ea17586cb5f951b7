"""Long work as plain functions that a job runs: encoding in steps, and a file of queries.

Knows nothing about sessions or screens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from dbsa_core import EncodedPool, Prediction, Task
from dbsa_core.blocks import Block
from dbsa_core.devices import policy_for
from dbsa_core.errors import Cancelled, QueryError
from dbsa_core.files.spreadsheet import safe
from dbsa_core.files.tables import Table
from dbsa_core.interrupt import interruptible
from dbsa_core.methods import Method
from dbsa_core.planning import EncodingPlan
from dbsa_core.prediction import ANSWER_COLUMNS
from dbsa_core.speed import note_encoding
from dbsa_core.stage1.encoding import OnProgress, Progress, append_blocks, encode_blocks

QUERYABLE_TOKENS = 1_000
"""From here on, what is done is published: with less, a query finds next to nothing to read."""


def encode_in_steps(
    task: Task,
    plan: EncodingPlan,
    *,
    publish: Callable[[EncodedPool], None],
    report: OnProgress,
    cancelled: Callable[[], bool],
    give_way: Callable[[], None],
) -> EncodedPool:
    """Carry a plan out a few blocks at a time, publishing each state, so that queries can read what is done.

    Raises `Cancelled` where it was stopped before the first block was done; later, what is done is returned.
    """
    encoded: EncodedPool | None = None
    for step in _steps(plan.blocks, policy_for(task.model.device).step_tokens):
        give_way()
        if cancelled():
            break
        try:
            with interruptible(cancelled):
                encoded = _encode_step(task, plan, encoded, step)
        except Cancelled:
            break
        if encoded.tokens >= QUERYABLE_TOKENS or encoded.complete:
            publish(encoded)
        # The pool's own seconds: those of encoding, without the queries that were let pass.
        report(Progress(len(encoded.blocks), len(plan.blocks), encoded.tokens, plan.tokens, encoded.seconds))
    if encoded is None:
        raise Cancelled("Stopped before the first block was done; nothing was encoded.")
    note_encoding(task.model, encoded.tokens, encoded.seconds)
    return encoded


def _encode_step(task: Task, plan: EncodingPlan, encoded: EncodedPool | None, step: Sequence[Block]) -> EncodedPool:
    if encoded is None:
        done = encode_blocks(
            task.model,
            task.pool,
            step,
            plan.pattern,
            task.template,
            rope_length=plan.rope_length,
            expected_tokens=plan.tokens,
        )
    else:
        done = append_blocks(task.model, encoded, task.pool, step)
    return replace(done, blocks_planned=len(plan.blocks))


def _steps(blocks: Sequence[Block], tokens: int) -> Iterator[list[Block]]:
    step: list[Block] = []
    for block in blocks:
        step.append(block)
        if sum(map(len, step)) >= tokens:
            yield step
            step = []
    if step:
        yield step


@dataclass(frozen=True)
class RowsDone:
    """How far the classification of a file is."""

    done: int
    total: int
    seconds: float

    @property
    def seconds_left(self) -> float:
        return (self.total - self.done) * self.seconds / self.done if self.done else float("inf")


@dataclass(frozen=True)
class Answers:
    """A file with its answers; where it was stopped, only the rows that were reached."""

    frame: pd.DataFrame
    path: Path
    rows_total: int
    skipped: int
    """Rows without an answer: an empty text, or one too long."""


def classify_rows(
    table: Table,
    texts: Sequence[str],
    method: Method,
    *,
    folder: Path,
    report: Callable[[RowsDone], None],
    cancelled: Callable[[], bool],
    give_way: Callable[[], None],
    spreadsheet_safe: bool = False,
) -> Answers:
    """Classify every text and write the table with columns of answers to a CSV file in `folder`.

    Its cells are as they came; with `spreadsheet_safe` none of them is a formula (`dbsa_core.files.spreadsheet`).
    """
    begun, rows = time.perf_counter(), []
    for number, text in enumerate(texts, start=1):
        give_way()
        if cancelled():
            break
        try:
            with interruptible(cancelled):
                rows.append(_answer(method, text))
        except Cancelled:
            break
        report(RowsDone(number, len(texts), time.perf_counter() - begun))
    if not rows:
        raise Cancelled("Stopped before the first row was classified; there is no file.")
    frame = with_answers(table.frame.iloc[: len(rows)], rows)
    path = folder / f"{Path(table.source).stem[:80] or 'file'}-classified.csv"
    # The byte order mark lets spreadsheets read the file as UTF-8.
    written = frame.map(_safe).rename(columns=_safe) if spreadsheet_safe else frame
    written.to_csv(path, index=False, encoding="utf-8-sig")
    return Answers(frame, path, len(texts), sum(row is None for row in rows))


def _safe(cell: Any) -> Any:
    return safe(cell) if isinstance(cell, str) else cell


def _answer(method: Method, text: str) -> Prediction | None:
    try:
        return method.predict(text)
    except QueryError:
        return None


def with_answers(frame: pd.DataFrame, answers: Sequence[Prediction | None]) -> pd.DataFrame:
    """The frame with the columns of answers; a name that the file has gets `predicted_` before it."""
    empty = (None,) * len(ANSWER_COLUMNS)
    rows = [empty if answer is None else answer.answer() for answer in answers]
    found = frame.reset_index(drop=True)
    for place, name in enumerate(ANSWER_COLUMNS):
        while name in found.columns:
            name = f"predicted_{name}"
        found[name] = [row[place] for row in rows]
    return found
