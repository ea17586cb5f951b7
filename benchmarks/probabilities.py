"""Do the intervals of best-first scoring hold the exact probabilities, and what does each way of scoring cost?

    python benchmarks/probabilities.py [--data FOLDER] [--rows 50] [--device cpu|cuda]

Banking-77 with the embedded model, DBSA as in the paper over a pool of 4,000 tokens. Each query is scored in one pass,
which is exact, and best-first, forced here although its 217 trie nodes are below the limit. Ends with status 1 where an
interval misses the exact value by more than 1e-5 or is wider than 0.01. Writes
`benchmarks/results/probabilities-<device>.json`.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import dbsa_core as dbsa  # noqa: E402  # the script runs without an installation
from benchmarks.versions import versions  # noqa: E402
from dbsa_core.prompt import template  # noqa: E402
from dbsa_core.stage2 import scoring  # noqa: E402

POOL_TOKENS = 4000
SEED = 42
TOLERANCE = 1e-5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--rows", type=int, default=50)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    folder = options.data / "banking77"
    pool = dbsa.build_pool(dbsa.read_table(folder / "train.csv"))
    test = list(dbsa.build_pool(dbsa.read_table(folder / "test.csv")).demonstrations)
    drawn = random.Random(SEED).sample(test, min(options.rows, len(test)))
    model = dbsa.LanguageModel.load(device=options.device, dtype="float32")
    task = dbsa.Task(model, pool, template("banking77"))
    setup = dbsa.Setup.of(task, dbsa.EncodeSettings(pool_tokens=POOL_TOKENS, seed=SEED))
    method = dbsa.make_method("dbsa").fit(setup)
    limit = scoring.ONE_PASS_NODES
    method.predict(drawn[0].text)
    misses, widths, shares, seconds = [], [], [], {"one_pass": [], "best_first": []}
    same, outside = 0, 0.0
    for number, row in enumerate(drawn, start=1):
        found = {}
        for nodes in (limit, 0):
            scoring.ONE_PASS_NODES = nodes
            answer = method.predict(row.text)
            found[answer.scores.way] = answer
            seconds[answer.scores.way].append(answer.seconds["forward"])
        exact, walked = found["one_pass"].scores, found["best_first"].scores
        low, high = walked.intervals
        misses.append(float(max((low - exact.probabilities).max(), (exact.probabilities - high).max(), 0.0)))
        widths.append(float((high - low).max()))
        shares.append(walked.tokens / exact.tokens)
        same += exact.label == walked.label
        outside = max(outside, walked.outside_mass[0] - exact.outside_mass[0])
        outside = max(outside, exact.outside_mass[0] - walked.outside_mass[1])
        print(f"{number:3d}  miss {misses[-1]:.1e}  widest {widths[-1]:.4f}  {exact.label}", flush=True)
    scoring.ONE_PASS_NODES = limit
    result = {
        "queries": len(drawn),
        "labels": len(pool.labels),
        "trie_nodes": len(task.trie),
        "largest_miss": max(misses),
        "widest_interval": max(widths),
        "largest_miss_of_outside_mass": outside,
        "same_label": same,
        "forward_seconds_p50": {way: statistics.median(values) for way, values in seconds.items()},
        "share_of_one_pass_tokens_p50": statistics.median(shares),
        "device": str(model.device),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }
    print(json.dumps(result, indent=1))
    out = ROOT / "benchmarks" / "results" / f"probabilities-{model.device.type}.json"
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    good = max(misses) <= TOLERANCE and max(widths) <= scoring.OPEN_SHARE and outside <= TOLERANCE
    print("all intervals hold" if good else "AN INTERVAL MISSES")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
