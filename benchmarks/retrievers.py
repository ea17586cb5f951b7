"""Which retriever is more accurate, for blocks and for similar rows, and what does it cost a query?

    python benchmarks/retrievers.py [--data FOLDER] [--model MODEL] [--rows 400] [--pool-tokens 28000] [--sets trec,..]

Asked are rows of the training files that no method reads (`draw_validation`), never test rows: what is chosen by these
figures is chosen before a test. Writes `benchmarks/results/retrievers-<device>.json` with rows of `{dataset, method,
settings, n, right, right_each, accuracy, accuracy_low, accuracy_high, retrieve_p50_seconds, latency_p50_seconds}`; the
seconds are of a sample that is asked one by one. Rows of the same run, by its configuration, for sets that are not
named are kept: it may be measured in pieces.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import dbsa_core as dbsa  # noqa: E402  # the script runs without an installation
from benchmarks.pieces import Pieces, hits, options  # noqa: E402
from benchmarks.small_accuracy import SEED, task_of  # noqa: E402
from dbsa_core.validation import draw_validation  # noqa: E402

ALONE = 24
"""Queries whose seconds are measured."""
_FEW, _MORE = dbsa.QuerySettings(), dbsa.QuerySettings(ratio=0.1, fresh_demonstrations=16)


def _by(settings: dbsa.QuerySettings, blocks: str, rows: str) -> dbsa.QuerySettings:
    return replace(settings, retriever=blocks, row_retriever=rows)


VARIANTS: tuple[tuple[str, dbsa.QuerySettings], ...] = (
    *(("dbsa", _by(_FEW, name, "bm25")) for name in ("random", "bm25", "bm25-stem", "dense", "hybrid")),
    *(("dbsa", _by(_FEW, name, "bm25")) for name in ("hybrid+mmr", "hybrid+labels")),
    *(("dbsa_fresh", _by(_FEW, "bm25", name)) for name in ("bm25", "bm25-stem", "dense", "hybrid", "random")),
    *(("dbsa_fresh", _by(_FEW, name, "hybrid")) for name in ("random", "dense", "hybrid")),
    *(("dbsa_fresh", _by(_MORE, "hybrid", name)) for name in ("bm25", "dense", "hybrid", "hybrid+mmr")),
    ("dbsa_fresh", _by(_MORE, "hybrid", "hybrid+labels")),
    ("dbsa_fresh", _by(replace(_MORE, fresh_demonstrations=32), "hybrid", "hybrid")),
    ("nearest", _by(replace(_MORE, fresh_demonstrations=32), "bm25", "hybrid")),
)


def measured(name: str, settings: dbsa.QuerySettings, asked: Any) -> dict[str, Any]:
    """One way of reading, asked about the rows of a `Validation`."""
    method = dbsa.make_method(name, settings).fit(asked.setup)
    texts = [row.text for row in asked.demonstrations]
    asked.setup.task.embeddings(settings.embedder).forget()
    sample = [method.predict(text) for text in texts[: ALONE + 4]][4:]  # the first ones warm up
    answers = method.predict_many(texts)
    each = [found.label == row.label for found, row in zip(answers, asked.demonstrations, strict=True)]
    return {
        "method": name,
        "settings": {field: asdict(settings)[field] for field in sorted(method.uses)},
        **hits(each),
        "retrieve_p50_seconds": statistics.median(found.seconds["retrieve"] for found in sample),
        "latency_p50_seconds": statistics.median(found.seconds["total"] for found in sample),
    }


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--pool-tokens", type=int, default=28_000)
    args = parser.parse_args()
    model, sets, found = Pieces.begin(args, "retrievers", pool_tokens=args.pool_tokens, rows=args.rows)
    for name in sets:
        begun = time.perf_counter()
        task, _ = task_of(name, args.data / name, model, 0)
        setup = dbsa.Setup.of(task, dbsa.EncodeSettings(pool_tokens=args.pool_tokens, seed=SEED))
        asked = draw_validation(setup, rows=args.rows, seed=SEED).encode()
        for method, settings in VARIANTS:
            row = {"dataset": name, **measured(method, settings, asked)}
            found.rows.append(row)
            print(
                f"{name:10s} {method:10s} {settings.retriever:13s} {settings.row_retriever:13s} {settings.ratio:g} "
                f"{settings.fresh_demonstrations:2d}  {row['accuracy']:.3f}  "
                f"{1e3 * row['retrieve_p50_seconds']:.1f} of {1e3 * row['latency_p50_seconds']:.1f} ms",
                flush=True,
            )
        print(f"{name}: {time.perf_counter() - begun:.0f} s", flush=True)
        found.write()


if __name__ == "__main__":
    main()
