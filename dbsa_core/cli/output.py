"""What the command line writes: results to standard output or a CSV file, progress and notes to standard error.

Knows nothing about options, nor how an answer was found.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from dbsa_core.errors import DataError
from dbsa_core.evaluation import Evaluation, may_refuse
from dbsa_core.files.spreadsheet import safe_row
from dbsa_core.prediction import ANSWER_COLUMNS, FIELD_MEANINGS, NO_ANSWER, NO_LABEL, Prediction, no_answer
from dbsa_core.stage1.progress import Progress

SECONDS_BETWEEN_LINES = 1.0
"""Where standard error is no terminal, progress takes at most one line in this time."""


@dataclass
class Console:
    """Results go to `out`, all else to `err`."""

    out: TextIO
    err: TextIO
    _progress_shown: bool = False
    _last_line: float = field(default=float("-inf"))

    def result(self, text: str) -> None:
        """A line of results, there at once; characters that the terminal lacks are escaped."""
        self._clear()
        encoding = self.out.encoding or "utf-8"
        self.out.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        self.out.flush()

    def json(self, value: dict[str, Any]) -> None:
        """One object on one line; beyond ASCII only where the output is UTF-8."""
        plain = codecs.lookup(self.out.encoding or "utf-8").name != "utf-8"
        self.result(json.dumps(value, ensure_ascii=plain))

    def say(self, text: str) -> None:
        """One line for the user."""
        self._clear()
        self.err.write(" ".join(text.split()) + "\n")
        self.err.flush()

    def counted(self, what: str, done: int, total: int) -> None:
        """The progress of what is counted."""
        self.progress(f"{what}: {done:,} of {total:,}", last=done == total)

    def progress(self, text: str, *, last: bool = False) -> None:
        """How far it is: one line that is rewritten in a terminal, else a line a second and the last one."""
        if self.err.isatty():
            self.err.write(f"\r\x1b[K{text}" + ("\n" if last else ""))
            self._progress_shown = not last
        elif last or time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self.err.write(text + "\n")
            self._last_line = time.monotonic()
        self.err.flush()

    def encoding(self, progress: Progress) -> None:
        """The progress of encoding."""
        self.progress(
            f"block {progress.blocks_done:,} of {progress.blocks_total:,}, {progress.tokens_per_second:,.0f} tokens/s, "
            f"{progress.seconds_left:.0f} s left",
            last=progress.blocks_done == progress.blocks_total,
        )

    def close(self) -> None:
        """Forget an output that nobody reads any more, so that Python does not complain at its end."""
        with suppress(OSError, ValueError):
            self.out.close()

    def _clear(self) -> None:
        if self._progress_shown:
            self.err.write("\r\x1b[K")
            self._progress_shown = False


@dataclass(frozen=True)
class Answer:
    """What one method said to one query."""

    method: str
    query: str
    prediction: Prediction | None
    problem: str = ""
    """Why there is no prediction."""
    row: int | None = None
    """Data row in the file of queries, the first one being 1."""

    def as_json(self) -> dict[str, Any]:
        """The prediction's object; the same keys, empty, where there is none."""
        place = {} if self.row is None else {"row": self.row}
        if self.prediction is not None:
            return self.prediction.as_json() | place
        found: dict[str, Any] = dict.fromkeys(FIELD_MEANINGS)
        found |= {"query": self.query, "method": self.method, "check": NO_ANSWER, "problem": self.problem}
        found |= {name: [] for name in ("unscored_labels", "block_ids", "fresh_rows", "equal_rows", "notes")}
        found |= {name: {} for name in ("probabilities", "probability_intervals", "seconds")}
        return found | {"taught": False, "context_tokens": 0, "example_tokens": 0, "together": 0} | place

    def as_text(self) -> str:
        """One line for a terminal."""
        found = self.prediction
        if found is None:
            return f"  {self.method:<14} {self.problem}"
        second = f"{'nearest' if found.refused else 'then'} {found.runner_up}, " if found.runner_up is not None else ""
        rest = f"{second}{found.context_tokens:,} context tokens, {found.seconds['total']:.2f} s"
        warning = f"\n  {'':<14} {no_label_text(found)}" if found.check == NO_LABEL else ""
        sure = verdict_text(found) if found.refused else probability_text(found)
        return f"  {self.method:<14} {found.label}  {sure}  ({rest}){warning}"

    def cells(self) -> list[str]:
        """In the order of `ANSWER_COLUMNS`."""
        values = self.prediction.answer() if self.prediction is not None else no_answer(self.problem)
        cells = ["" if value is None else value for value in values]
        return [cell if isinstance(cell, str) else f"{cell:.6f}" for cell in cells]


def probability_text(found: Prediction) -> str:
    """The probability in words: a number, or two where the other labels were not all scored."""
    if found.interval is None:
        return "no probability over the labels: greedy decoding follows one label only"
    low, high = (f"{bound:.1%}" for bound in found.interval)
    return low if low == high else f"{low} to {high}"


def verdict_text(found: Prediction) -> str:
    """The in-scope score, and the threshold below which no label fits."""
    assert found.verdict is not None
    return f"in-scope score {found.verdict.score:.2f}, below {found.verdict.threshold:.2f}"


def no_label_text(found: Prediction) -> str:
    """What to say where most of the model's probability lies outside the labels."""
    return f"May fit no label: {found.scores.outside_mass[0]:.1%} of the model's probability lies outside the labels."


def header(own: Sequence[str], methods: Sequence[str]) -> list[str]:
    """The queries' own columns and ours, under names that are free."""
    names = list(own)
    for method in methods:
        for column in ANSWER_COLUMNS:
            wanted = column if len(methods) == 1 else f"{column}_{method}"
            while wanted in names:
                wanted += " (dbsa)"
            names.append(wanted)
    return names


def csv_line(cells: Sequence[str]) -> str:
    """One row of CSV without its line end."""
    buffer = io.StringIO()
    # The writer's own line end, since one of "\n" alone would leave a "\r" inside of a cell unquoted.
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue().removesuffix("\r\n")


@dataclass
class CsvFile:
    """A UTF-8 file that grows by one row at a time, so that a run that is stopped leaves what it found."""

    path: Path

    def start(self, cells: Sequence[str]) -> None:
        """Begin it anew with the header."""
        self._write("w", cells)

    def add(self, cells: Sequence[str]) -> None:
        """One more row."""
        self._write("a", cells)

    def _write(self, mode: str, cells: Sequence[str]) -> None:
        try:
            with self.path.open(mode, encoding="utf-8", newline="") as file:
                file.write(csv_line(cells) + "\n")
        except OSError as error:
            raise DataError(f'"{self.path}" cannot be written ({error.strerror}); give another --out.') from error


def evaluation_header(results: Sequence[Evaluation]) -> str:
    """Above `evaluation_line`s. Accuracy has its interval of 95 %; of a label that is out of scope, its recall, and the
    accuracy of the others; where a reject option may refuse, the share that is answered with a label, and the accuracy
    of those. The times are of whole queries, each alone: median, 95th percentile, and 75th less 25th
    percentile; then the queries that are answered in a second where many are asked together."""
    names = ["in-scope accuracy", "out-of-scope recall"] if results[0].out_of_scope is not None else []
    names += ["answered", "accuracy of those"] if may_refuse(results) else []
    apart = "".join(f"{name:>24} " for name in names)
    return (
        f"{'method':<25} {'accuracy':>24} {apart}{'macro-F1':>8} {'ECE':>6} {'n':>6} {'setup s':>9} {'p50 s':>8} "
        f"{'p95 s':>8} {'IQR s':>8} {'queries/s':>9}"
    )


def evaluation_line(found: Evaluation, results: Sequence[Evaluation]) -> str:
    """One row of a table of `results`."""
    shares = [found.in_scope_accuracy, found.oos_recall] if found.out_of_scope is not None else []
    shares += [found.coverage, found.answered_accuracy] if may_refuse(results) else []
    apart = "".join(f"{each or '-'!s:>24} " for each in shares)
    return (
        f"{found.method:<25} {found.accuracy_estimate!s:>24} {apart}{found.macro_f1.value:>8.3f} "
        f"{'-' if found.calibration_error is None else f'{found.calibration_error:.3f}':>6} {found.n:>6,} "
        f"{found.setup_seconds:>9.2f} {found.latency_p50_seconds:>8.3f} {found.latency_p95_seconds:>8.3f} "
        f"{found.latency_iqr_seconds:>8.3f} "
        f"{'-' if found.queries_per_second is None else f'{found.queries_per_second:.1f}':>9}"
    )


class CsvTable:
    """Rows of CSV as they are found: in a file where there is one, else on the output, unless that is for something
    else. `safe`: for spreadsheets."""

    def __init__(self, columns: Sequence[str], console: Console, *, out: Path | None, printed: bool, safe: bool):
        self._written: Callable[[Sequence[str]], list[str]] = safe_row if safe else list
        self._console, self._printed = console, printed and out is None
        self._file = CsvFile(out) if out else None
        if self._file:
            self._file.start(self._written(columns))
        self._print(columns)

    def add(self, cells: Sequence[str]) -> None:
        """One more, in the order of the columns."""
        if self._file:
            self._file.add(self._written(cells))
        self._print(cells)

    def _print(self, cells: Sequence[str]) -> None:
        if self._printed:
            self._console.result(csv_line(self._written(cells)))
