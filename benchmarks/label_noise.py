"""Of labels that were made wrong on purpose, how many are found, and how many of those that are listed were made wrong?

    python benchmarks/label_noise.py [--data FOLDER] [--model MODEL] [--share 0.05] [--asked 1000] [--sets trec,..]

In the training files that share of the labels is replaced, by another one at random (`random`), or by the label of the
nearest row that has another one (`alike`: what a person may mix up). The files have wrong labels of their own, which
count as right here: what is listed is worth more than its precision says. Writes
`benchmarks/results/label-noise-<device>.json` with rows of `{dataset, noise, way, wrong, listed, found, precision,
recall, precision_of_100, average_precision, seconds}`; `way` is what is read, and what disputes a label. Rows of the
same run, by its configuration, for sets that are not named are kept: it may be measured in pieces.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import dbsa_core as dbsa  # noqa: E402  # the script runs without an installation
from benchmarks.pieces import Pieces, options  # noqa: E402
from benchmarks.small_accuracy import SEED, task_of  # noqa: E402
from dbsa_core.label_issues import ask_without, asking, find_suspects, most_disputed  # noqa: E402

NOISES = ("random", "alike")
WAYS: Mapping[str, dbsa.QuerySettings] = {
    "words, bm25": dbsa.QuerySettings(),
    "words and its vote, bm25": dbsa.QuerySettings(votes="words"),
    "words and vectors and their votes, hybrid": dbsa.QuerySettings(row_retriever="hybrid", votes="words+vectors"),
}
"""Classifiers that find suspects, whether they vote beside the model, and the retriever of rows."""


def made_wrong(task: dbsa.Task, noise: str, share: float) -> tuple[dbsa.Pool, frozenset[int]]:
    """The rows with a share of the labels replaced, and which ones these are."""
    rng, rows = random.Random(SEED), list(task.pool.demonstrations)
    wrong = frozenset(rng.sample(range(len(rows)), round(share * len(rows))))
    for row in sorted(wrong):
        others = [label for label in task.pool.labels if label != rows[row].label]
        label = rng.choice(others)
        if noise == "alike":
            ranking = task.row_index.rank(rows[row].text)
            nearest = (task.pool.demonstrations[other].label for other in ranking.order)
            label = next(other for other in nearest if other != rows[row].label)
        rows[row] = replace(rows[row], label=label)
    return dbsa.Pool.of(rows, task.pool.labels), wrong


def measured(listed: Sequence[int], wrong: frozenset[int]) -> dict[str, Any]:
    """Of rows as they are listed."""
    right = np.array([row in wrong for row in listed], bool)
    precisions = right.cumsum() / np.arange(1, len(listed) + 1)
    return {
        "wrong": len(wrong),
        "listed": len(listed),
        "found": int(right.sum()),
        "precision": float(right.mean()) if len(listed) else None,
        "recall": int(right.sum()) / len(wrong),
        "precision_of_100": float(right[:100].mean()) if len(listed) else None,
        "average_precision": float(precisions[right].sum()) / len(wrong),
    }


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--asked", type=int, default=1000, help="rows that the model is asked about at most")
    args = parser.parse_args()
    model, sets, found = Pieces.begin(args, "label-noise", share=args.share, asked=args.asked)
    for name in sets:
        clean, _ = task_of(name, args.data / name, model, 0)
        for noise in NOISES:
            pool, wrong = made_wrong(clean, noise, args.share)
            setup = dbsa.Setup.of(dbsa.Task(model, pool, clean.template))
            for way, settings in WAYS.items():
                for said, row in _rows_of(setup, asking(settings), args.asked, wrong).items():
                    found.rows.append({"dataset": name, "noise": noise, "way": f"{way}: {said}", **row})
                    print(f"{name:10s} {noise:7s} {way}: {said:34s} {row}", flush=True)
        found.write()


def _rows_of(
    setup: dbsa.Setup, settings: dbsa.QuerySettings, count: int, wrong: frozenset[int]
) -> dict[str, dict[str, Any]]:
    """By what disputes a label: one more each time. All lists are in the order of the classifiers' margins."""
    begun = time.perf_counter()
    all_of_them = find_suspects(setup, settings)
    suspects = [each for each in all_of_them if each.disputed_by_nearest]
    before = time.perf_counter() - begun
    answers = ask_without(setup, settings, most_disputed(setup, suspects, count))
    disputed = [each for each in answers if each[1].label != each[0].label]
    seconds = time.perf_counter() - begun
    alike = [(suspect, answer) for suspect, answer in disputed if answer.label == suspect.likelier]
    by_model = sorted(disputed, key=lambda each: each[1].probabilities[each[0].label])
    lists = {
        "classifiers": ([each.row for each in all_of_them], before),
        "nearest rows": ([each.row for each in suspects], before),
        "model": ([suspect.row for suspect, _ in disputed], seconds),
        "model, in its order": ([suspect.row for suspect, _ in by_model], seconds),
        "model, for the same label": ([suspect.row for suspect, _ in alike], seconds),
    }
    return {said: {**measured(rows, wrong), "seconds": taken} for said, (rows, taken) in lists.items()}


if __name__ == "__main__":
    main()
