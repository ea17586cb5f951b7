"""What does keeping a pool as int8 change in the answers? Beside the model's precision, on three public data sets.

    python benchmarks/int8_accuracy.py --model MODEL [--data FOLDER] [--rows 500] [--pool-tokens 28000] [--device cuda]

The same rows are encoded twice, and the same test rows, drawn with a seed, asked of both pools and once more of the
first in another order, which tells what rounding within a batch alone does. Writes
`benchmarks/results/int8-accuracy-<device>.json` with rows of `{dataset, method, n, pool_tokens, accuracy,
accuracy_int8, same_label, same_label_in_another_order, log_prob_change, bytes, bytes_int8}`: accuracies and shares of
test rows with the same label, and the mean change of the best label's log-probability.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import dbsa_core as dbsa  # noqa: E402  # the script runs without an installation
from benchmarks.small_accuracy import SEED, SETS, described, task_of  # noqa: E402

METHODS = ("dbsa", "dbsa_fresh")


def run(name: str, folder: Path, model: dbsa.LanguageModel, count: int, pool_tokens: int) -> list[dict[str, Any]]:
    """Both methods on one data set."""
    task, drawn = task_of(name, folder, model, count)
    texts, right = [row.text for row in drawn], [row.label for row in drawn]
    settings = dbsa.EncodeSettings(pool_tokens=pool_tokens, seed=SEED)
    whole, int8 = (dbsa.Setup.of(task, replace(settings, pool_precision=kind)).encode() for kind in ("model", "int8"))
    rows = []
    for method in METHODS:
        first, reordered, small = (
            answers(method, setup, texts, backwards=backwards)
            for setup, backwards in ((whole, False), (whole, True), (int8, False))
        )
        best = [label for label, _ in first]
        changes = [
            abs(ours[best[at]] - theirs[best[at]])
            for at, ((_, ours), (_, theirs)) in enumerate(zip(first, small, strict=True))
        ]
        rows.append(
            {
                "dataset": name,
                "method": method,
                "n": len(drawn),
                "pool_tokens": whole.encoded_pool().tokens,
                "accuracy": share(best, right),
                "accuracy_int8": share([label for label, _ in small], right),
                "same_label": share([label for label, _ in small], best),
                "same_label_in_another_order": share([label for label, _ in reordered], best),
                "log_prob_change": float(np.mean(changes)),
                "bytes": whole.encoded_pool().num_bytes,
                "bytes_int8": int8.encoded_pool().num_bytes,
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def answers(
    method: str, setup: dbsa.Setup, texts: Sequence[str], *, backwards: bool
) -> list[tuple[str, dict[str, float]]]:
    """For each text its label, and the log-probability of every label."""
    made = dbsa.make_method(method).fit(setup)
    found = made.predict_many(texts[::-1] if backwards else texts)
    told = []
    for one in found:
        assert isinstance(one, dbsa.Prediction), one
        told.append((one.label, dict(zip(setup.task.pool.labels, one.scores.log_probs, strict=True))))
    return told[::-1] if backwards else told


def share(ours: Sequence[str], theirs: Sequence[str]) -> float:
    return sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(ours)


def options(description: str | None, rows: int) -> argparse.Namespace:
    """What a script that compares answers is told; so many test rows a data set by default."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--model", required=True, help="hub id, folder or GGUF file")
    parser.add_argument("--rows", type=int, default=rows)
    parser.add_argument("--pool-tokens", type=int, default=28_000)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


def main() -> None:
    arguments = options(__doc__, 500)
    model = dbsa.LanguageModel.load(arguments.model, device=arguments.device)
    rows: list[dict[str, Any]] = []
    for name in SETS:
        rows += run(name, arguments.data / name, model, arguments.rows, arguments.pool_tokens)
    kind = model.device.type
    config = {"model": model.name, "seed": SEED, "rows": arguments.rows}
    found = {**described(model, config), "rows": rows}
    arguments.out.mkdir(parents=True, exist_ok=True)
    target = arguments.out / f"int8-accuracy-{kind}.json"
    target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"written: {target.name}")


if __name__ == "__main__":
    main()
