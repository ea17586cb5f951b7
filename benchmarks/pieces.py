"""Results of a benchmark that may be measured in pieces: rows of the same run for sets that are not asked for are kept;
and what such a benchmark is told.

Knows nothing about what is measured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import transformers

import dbsa_core as dbsa
from benchmarks.markdown import ALL_SETS
from benchmarks.small_accuracy import SEED, described
from dbsa_core.evaluation.measures import compared
from dbsa_core.intervals import wilson_interval

ROOT = Path(__file__).resolve().parents[1]


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
    """Of such rows, a data set each, or a data set and a seed: the difference in points to other ones of the same sets
    and seeds, and McNemar's p."""
    before = {_asked(row): row["right_each"] for row in base}
    then = [one == "1" for row in rows for one in before[_asked(row)]]
    now = [one == "1" for row in rows for one in row["right_each"]]
    return 100 * (sum(now) - sum(then)) / len(now), compared("before", "now", then, now).p


def _asked(row: dict[str, Any]) -> tuple[str, int | None]:
    """Which test rows a row is of."""
    return row["dataset"], row.get("seed")


def options(about: str | None) -> argparse.ArgumentParser:
    """What such a benchmark is always told; `about` is its docstring."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--model", default=None, help="hub id, folder or GGUF file; the embedded model if left out")
    parser.add_argument("--sets", default=",".join(ALL_SETS))
    parser.add_argument("--device", default=None)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    return parser


class Pieces:
    """Rows of `{dataset, ...}`; those of another configuration are begun anew."""

    def __init__(self, path: Path, model: dbsa.LanguageModel, config: dict[str, Any], sets: Collection[str]):
        before = json.loads(path.read_text()) if path.is_file() else {}
        kept = before["rows"] if before.get("config") == config else []
        self.rows: list[dict[str, Any]] = [row for row in kept if row["dataset"] not in sets]
        self._path, self._about = path, described(model, config)

    @classmethod
    def begin(
        cls, args: argparse.Namespace, what: str, *, again: bool = True, **config: Any
    ) -> tuple[dbsa.LanguageModel, list[str], Pieces]:
        """By `options`: the model, the sets that are to be measured, and what was measured of the others; and of these
        sets too, where they are not measured `again`.

        `what` is in the file's name; `config` is what a run is told, without its model and SEED.
        """
        transformers.utils.logging.disable_progress_bar()
        model = dbsa.LanguageModel.load(args.model or "embedded", device=args.device)
        told, sets = {"model": model.name, **config, "seed": SEED}, args.sets.split(",")
        path = args.out / f"{what}-{model.device.type}.json"
        return model, sets, cls(path, model, told, sets if again else ())

    def write(self) -> None:
        """What there is by now."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps({**self._about, "rows": self.rows}, indent=1) + "\n")
