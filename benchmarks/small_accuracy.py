"""How do the methods compare with the embedded model on three public data sets, and what do they take? A small table.

    python benchmarks/small_accuracy.py [--data FOLDER] [--rows 100] [--device cpu|cuda]

Pools of 4,000 tokens, the paper's prompts, test rows drawn with a seed. Writes
`benchmarks/results/small-accuracy-<device>.json` with rows of
`{dataset, method, n, accuracy, setup_seconds, latency_n, latency_p50_seconds, latency_p95_seconds,
latency_iqr_seconds, throughput_n, queries_per_second}`: latencies of a sample asked one by one, the methods in turn,
and the throughput of all rows asked together.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

import torch
import transformers

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import dbsa_core as dbsa  # noqa: E402  # the script runs without an installation
from benchmarks.versions import versions  # noqa: E402
from dbsa_core.prompt import template  # noqa: E402

SETS = ("trec", "banking77", "nlu")
POOL_TOKENS = 4000
SEED = 42


def task_of(
    name: str, folder: Path, model: dbsa.LanguageModel, count: int
) -> tuple[dbsa.Task, list[dbsa.Demonstration]]:
    """A data set in the paper's words, and so many of its test rows, drawn with SEED."""
    pool = dbsa.build_pool(dbsa.read_table(folder / "train.csv"))
    test = list(dbsa.build_pool(dbsa.read_table(folder / "test.csv")).demonstrations)
    drawn = random.Random(SEED).sample(test, min(count, len(test)))
    return dbsa.Task(model, pool, template(name)), drawn


def device_name(model: dbsa.LanguageModel) -> str:
    """What a model runs on, in words."""
    if model.device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"


def described(model: dbsa.LanguageModel, config: dict[str, Any]) -> dict[str, Any]:
    """What rows were measured with; `config` is what the script was told."""
    dtype = str(model.shape.dtype).removeprefix("torch.")
    return {"device": device_name(model), "dtype": dtype, "versions": versions(), "config": config}


def run(name: str, folder: Path, model: dbsa.LanguageModel, count: int, methods: list[str]) -> list[dict[str, Any]]:
    """All methods on one data set."""
    task, drawn = task_of(name, folder, model, count)
    setup = dbsa.Setup.of(task, dbsa.EncodeSettings(pool_tokens=POOL_TOKENS, seed=SEED))
    rows = []
    for found in dbsa.evaluate([dbsa.make_method(method) for method in methods], setup, drawn):
        rows.append({"dataset": name, **found.as_json()})
        print(
            f"{name:10s} {found.method:18s} accuracy {found.accuracy_estimate}  setup {found.setup_seconds:7.2f} s  "
            f"query p50 {found.latency_p50_seconds:.3f} s, IQR {found.latency_iqr_seconds:.3f} s",
            flush=True,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--model", default=None, help="hub id, folder or GGUF file; the embedded model if left out")
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--device", default=None)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--methods", default=",".join(dbsa.METHODS))
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    model = dbsa.LanguageModel.load(arguments.model, device=arguments.device, dtype=arguments.dtype)
    rows = []
    for name in SETS:
        rows += run(name, arguments.data / name, model, arguments.rows, arguments.methods.split(","))
    kind = model.device.type
    config = {"model": model.name, "pool_tokens": POOL_TOKENS, "seed": SEED, "rows": arguments.rows}
    found = {**described(model, config), "rows": rows}
    out = arguments.out or ROOT / "benchmarks" / "results" / f"small-accuracy-{kind}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"written: {out.name}")


if __name__ == "__main__":
    main()
