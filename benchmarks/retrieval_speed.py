"""How long does ranking take, and how does that grow with the file?

    python benchmarks/retrieval_speed.py [--data FOLDER] [--sizes 1000,10000,100000]

Texts are those of public data sets, and beyond them halves of two of them put together. Each retriever ranks all rows
and names the 8 nearest, for queries drawn from the sets. Vectors of rows are drawn at random, for what they are does
not matter for the time; the time of a query's own vector, by the default encoder, stands apart. Writes
`benchmarks/results/retrieval-speed-cpu.json` with rows of `{retriever, rows, index_seconds, p50_seconds, p95_seconds,
n}`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import dbsa_core as dbsa  # noqa: E402  # the script runs without an installation
from benchmarks.versions import versions  # noqa: E402
from dbsa_core.quiet import hush_libraries  # noqa: E402
from dbsa_core.retrieve import make_retriever, nearest_rows  # noqa: E402
from dbsa_core.retrieve.corpus import Corpus  # noqa: E402
from dbsa_core.retrieve.embedder import load_embedder  # noqa: E402
from dbsa_core.retrieve.embeddings import Embeddings  # noqa: E402

SETS = ("banking77", "nlu", "trec")
RETRIEVERS = ("bm25", "bm25-stem", "dense", "hybrid", "bm25+mmr", "hybrid+labels", "random")
QUERIES, NEAREST, DIMENSIONS, SEED = 200, 8, 384, 42


class Drawn(Embeddings):
    """Vectors of unit length in random directions."""

    def __init__(self, texts: list[str], rng: np.random.Generator):
        super().__init__(texts)
        made = rng.standard_normal((len(texts), DIMENSIONS), dtype=np.float32)
        self._vectors = made / np.linalg.norm(made, axis=1, keepdims=True)

    def query(self, text: str) -> NDArray[np.float32]:
        return self._vectors[len(text)]  # type: ignore[index]


def texts_of(folder: Path, number: int) -> list[str]:
    """So many, the data sets' own first."""
    found = [
        row.text
        for name in SETS
        for row in dbsa.build_pool(dbsa.read_table(folder / name / "train.csv")).demonstrations
    ]
    rng = random.Random(SEED)
    own = list(found)
    while len(found) < number:
        one, other = rng.choice(own).split(), rng.choice(own).split()
        found.append(" ".join([*one[: len(one) // 2 + 1], *other[len(other) // 2 :]]))
    return found[:number]


def quantiles(function: Callable[[str], Any], queries: list[str]) -> dict[str, float]:
    """Seconds of one call."""
    for query in queries[:5]:
        function(query)
    seconds = []
    for query in queries:
        begun = time.perf_counter()
        function(query)
        seconds.append(time.perf_counter() - begun)
    low, high = np.quantile(seconds, [0.5, 0.95])
    return {"p50_seconds": float(low), "p95_seconds": float(high), "n": len(seconds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    args = parser.parse_args()
    hush_libraries()
    queries = random.Random(SEED).sample(texts_of(args.data, 20_000), QUERIES)
    rows: list[dict[str, Any]] = []
    for size in map(int, args.sizes.split(",")):
        texts = texts_of(args.data, size)
        labels = [(f"label {row % 77}",) for row in range(size)]
        for name in RETRIEVERS:
            vectors = Drawn(texts, np.random.default_rng(SEED))
            begun = time.perf_counter()
            retriever = make_retriever(name, Corpus(texts, [(row,) for row in range(size)], labels, vectors), seed=SEED)
            seconds = time.perf_counter() - begun
            found = quantiles(lambda query, retriever=retriever: nearest_rows(retriever, query, NEAREST), queries)
            rows.append({"retriever": name, "rows": size, "index_seconds": seconds, **found})
            low, high = (1e3 * found[name] for name in ("p50_seconds", "p95_seconds"))
            print(f"{name:14s} {size:7,d} rows: {low:.2f} ms, 95 % {high:.2f}")
    embedder = load_embedder()
    rows.append({"retriever": "a query's vector", "rows": 1, "index_seconds": 0.0,
                 **quantiles(lambda query: embedder.embed([query]), queries[:50])})  # fmt: skip
    print(f"a query's vector: {1e3 * rows[-1]['p50_seconds']:.1f} ms")
    begun = time.perf_counter()
    embedder.embed(texts_of(args.data, 1000))
    config = {"queries": QUERIES, "nearest": NEAREST, "seed": SEED, "encoder": embedder.name,
              "rows_embedded_per_second": 1000 / (time.perf_counter() - begun)}  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    report = {
        "device": f"CPU, {torch.get_num_threads()} threads",
        "versions": versions(),
        "config": config,
        "rows": rows,
    }
    (args.out / "retrieval-speed-cpu.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
