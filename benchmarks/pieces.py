"""Results of a benchmark that may be measured in pieces: rows of the same run for sets that are not asked for are kept.

Knows nothing about what is measured.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import dbsa_core as dbsa
from benchmarks.small_accuracy import described
from dbsa_core.evaluation.measures import compared
from dbsa_core.intervals import wilson_interval


def hits(each: Sequence[bool]) -> dict[str, Any]:
    """Of rows of which each was answered rightly or not: `{n, right, right_each, accuracy, accuracy_low,
    accuracy_high}`."""
    right, rows = sum(each), len(each)
    low, high = wilson_interval(right, rows)
    return {
        "n": rows,
        "right": right,
        "right_each": "".join("01"[one] for one in each),
        "accuracy": right / rows,
        "accuracy_low": low,
        "accuracy_high": high,
    }


def against(rows: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Of such rows, a data set each: the difference in points to other ones of the same sets, and McNemar's p."""
    before = {row["dataset"]: row["right_each"] for row in base}
    then = [one == "1" for row in rows for one in before[row["dataset"]]]
    now = [one == "1" for row in rows for one in row["right_each"]]
    return 100 * (sum(now) - sum(then)) / len(now), compared("before", "now", then, now).p


class Pieces:
    """Rows of `{dataset, ...}`; those of another configuration are begun anew."""

    def __init__(self, path: Path, model: dbsa.LanguageModel, config: dict[str, Any], sets: Collection[str]):
        before = json.loads(path.read_text()) if path.is_file() else {}
        kept = before["rows"] if before.get("config") == config else []
        self.rows: list[dict[str, Any]] = [row for row in kept if row["dataset"] not in sets]
        self._path, self._about = path, described(model, config)

    def write(self) -> None:
        """What there is by now."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps({**self._about, "rows": self.rows}, indent=1) + "\n")
