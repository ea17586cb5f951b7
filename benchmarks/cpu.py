"""Does block-sparse encoding pay on a CPU? One run, ratios within it, correctness first.

    python benchmarks/cpu.py [--data FOLDER] [--out FILE]

The embedded model, TREC, a pool of 4,000 tokens. Writes `benchmarks/results/cpu.json` with rows of
`{name, value, n, iqr, unit, target}`: the median of n measurements and their interquartile range; a target is a bound
on the value, `null` where the row only informs. What is compared is measured in turn, and a ratio is the median of the
turns' ratios. Memory is read as Linux tells it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import transformers

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import dbsa_core as dbsa  # noqa: E402  # the script runs without an installation
from benchmarks.peak import forget_peak, peak_resident_bytes  # noqa: E402
from benchmarks.versions import versions  # noqa: E402
from dbsa_core.masks import dense_mask  # noqa: E402
from dbsa_core.methods.base import Setup  # noqa: E402
from dbsa_core.prompt import template  # noqa: E402
from dbsa_core.setup import encode  # noqa: E402
from dbsa_core.stage1.memory import arena_for, in_forms  # noqa: E402
from dbsa_core.stage2.dense_prefill import prefill  # noqa: E402
from dbsa_core.stage2.prefix import Prefix, assemble  # noqa: E402
from dbsa_core.stage2.scoring import score_labels  # noqa: E402
from dbsa_core.store import KeyForm  # noqa: E402

POOL_TOKENS = 4000
RATIOS = {1200: 0.3, 2000: 0.5}
TARGETS = {1200: 0.09, 2000: 0.05}
METHODS = ("dbsa", "dbsa_fresh", "fixed_icl", "retrieval_icl", "zero_shot")
REPEATS = 5
QUERIES = 20
PLANNED_TOKENS, PLANNED = (1000, 4000, 8000), 3
PLAN_OFF = 0.1
"""By what share the plan of memory may differ from what is then used."""
LEAST_DIFFERENCE = 0.002
"""GB by which the peaks of the methods must differ at least."""


def load_setup(folder: Path, tokens: int = POOL_TOKENS) -> tuple[Setup, list[str]]:
    """TREC's pool in the paper's words, and the first test questions."""
    pool = dbsa.build_pool(dbsa.read_table(folder / "train.csv"))
    test = dbsa.build_pool(dbsa.read_table(folder / "test.csv"))
    task = dbsa.Task(dbsa.LanguageModel.load(device="cpu"), pool, template("trec"))
    return Setup.of(task, dbsa.EncodeSettings(pool_tokens=tokens)), list(test.texts[:QUERIES])


def check(setup: Setup, query: str) -> float:
    """All blocks in order = one stock eager forward under the dense block mask: largest difference of a label's
    log-probability, as a share of the largest."""
    task, encoded = setup.task, setup.encoded_pool()
    model = task.model
    blocks = encoded.blocks[:6]
    prefix = assemble(model, encoded, [b.id for b in blocks])
    query_ids = task.prompter.query(query)
    ours = score_labels(prefix, query_ids, task.trie, way="one_pass").log_probs
    pool_ids = [token for block in blocks for token in block.token_ids]
    lengths = [len(block) for block in blocks]
    before = model.model.config._attn_implementation
    model.model.set_attn_implementation("eager")
    oracle = []
    for label in task.pool.labels:
        label_ids = (*task.prompter.label(label), task.prompter.terminator_id)
        ids = torch.tensor([*pool_ids, *query_ids, *label_ids])
        allowed = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
        allowed[: len(pool_ids), : len(pool_ids)] = dense_mask(lengths, encoded.pattern)
        mask = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)
        with torch.inference_mode():
            logits = model.model(ids[None], attention_mask=mask[None, None], use_cache=False).logits[0]
        log_probs = logits[-len(label_ids) - 1 : -1].double().log_softmax(-1)
        oracle.append(float(log_probs[torch.arange(len(label_ids)), torch.tensor(label_ids)].sum()))
    model.model.set_attn_implementation(before)
    return float(np.abs(ours - np.array(oracle)).max() / np.abs(oracle).max())


class _NoAttention:
    """A forward without attention: the floor of encoding."""

    def attend(self, layer: int, query: torch.Tensor, *_: Any) -> torch.Tensor:
        return query


def encoding_rows(setup: Setup) -> list[dict[str, Any]]:
    """Dense, block-sparse and attention-free encoding of the same tokens, in turn."""
    model, plan = setup.task.model, setup.plan
    ids = [token for block in plan.blocks for token in block.token_ids]

    def dense() -> None:
        prefill(Prefix.empty(model), ids)

    def sparse() -> None:
        encode(setup.task, plan)

    def floor() -> None:
        for start in range(0, len(ids), 1024):
            part = model.ids(ids[start : start + 1024])
            model.run(part, torch.arange(start, start + len(part)), _NoAttention())

    seconds = in_turn({"dense": dense, "sparse": sparse, "floor": floor}, REPEATS)
    return [
        row("Fixed ICL encoding, dense", Sample.of(seconds["dense"]), "s"),
        row("block-sparse encoding", Sample.of(seconds["sparse"]), "s"),
        row("the same forward without attention (floor)", Sample.of(seconds["floor"]), "s"),
        row("block-sparse / dense", Sample.of(seconds["sparse"], seconds["dense"]), "ratio", 0.70),
        row("floor / dense", Sample.of(seconds["floor"], seconds["dense"]), "ratio"),
        row("blocks", Sample(len(plan.blocks)), "blocks"),
        row("pool tokens", Sample(plan.tokens), "tokens"),
        row("mask density", Sample(plan.density), "share of dense causal"),
    ]


def query_rows(setup: Setup, queries: list[str]) -> list[dict[str, Any]]:
    """Whole queries, DBSA and Retrieval ICL in turn, at each number of selected tokens."""
    rows = []
    for selected, ratio in RATIOS.items():
        settings = dbsa.QuerySettings(ratio=ratio, fresh_demonstrations=0)
        ours = dbsa.make_method("dbsa", settings).fit(setup)
        theirs = dbsa.make_method("retrieval_icl", settings).fit(setup)
        ours.predict(queries[0])
        theirs.predict(queries[0])
        pairs = [(ours.predict(query), theirs.predict(query)) for query in queries]
        a = [p.seconds["total"] for p, _ in pairs]
        b = [p.seconds["total"] for _, p in pairs]
        tokens = Sample.of([p.context_tokens for p, _ in pairs])
        rows += [
            row(f"DBSA query, {selected:,} tokens selected", Sample.of(a), "s"),
            row(f"Retrieval ICL query, {selected:,} tokens", Sample.of(b), "s"),
            row(f"DBSA / Retrieval ICL at {selected:,} tokens", Sample.of(a, b), "ratio", TARGETS[selected]),
            row(f"tokens that the DBSA query at {selected:,} really reads", tokens, "tokens"),
        ]
    return rows


def together_rows(setup: Setup, queries: list[str]) -> list[dict[str, Any]]:
    """Many queries asked together against the same one by one, in turn."""
    rows, settings = [], dbsa.QuerySettings(ratio=0.3)
    for name in ("dbsa", "dbsa_fresh", "fixed_icl", "zero_shot"):
        method = dbsa.make_method(name, settings).fit(setup)

        def alone(method: Any = method) -> None:
            for query in queries:
                method.predict(query)

        def together(method: Any = method) -> None:
            for _ in method.predict_many(queries):
                pass

        together()
        seconds = in_turn({"alone": alone, "together": together}, REPEATS)
        each = Sample.of([taken / len(queries) for taken in seconds["together"]])
        rows.append(row(f"{name}, {len(queries)} queries together: seconds a query", each, "s"))
        rows.append(
            row(f"{name}, together / one by one", Sample.of(seconds["together"], seconds["alone"]), "ratio", 1.0)
        )
    return rows


def place_rows(setup: Setup, queries: list[str]) -> list[dict[str, Any]]:
    """Why a CPU gathers: blocks read where they stand, by a query rotated for each, against gathered ones, in turn."""
    task, gathered = setup.task, setup.encoded_pool()
    model, forms = task.model, (KeyForm.FROM_BLOCK_START,) * task.model.shape.layers
    store = arena_for(model, gathered.tokens, forms).extended(0, [len(block) for block in gathered.blocks])
    for block in gathered.blocks:
        store.put(block.id, in_forms(model, gathered.store.get(block.id), gathered.store.forms, forms))
    chosen = range(0, len(gathered.blocks), 3)
    seconds: dict[str, list[float]] = {"in place": [], "gathered": []}
    for query in queries:
        ids = task.prompter.query(query)
        pools = {"in place": replace(gathered, store=store), "gathered": gathered}
        for name, pool in pools.items():
            begun = time.perf_counter()
            score_labels(assemble(model, pool, chosen), ids, task.trie)
            seconds[name].append(time.perf_counter() - begun)
    ratio = Sample.of(seconds["in place"], seconds["gathered"])
    return [row(f"query reading {len(chosen)} blocks in place / gathered", ratio, "ratio")]


def memory_rows(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Peak resident memory of one process per method, beyond its weights and cached keys and values; and of loading."""
    loading, peaks = [], {}
    for method in METHODS:
        loaded, peaks[method] = apart(arguments, "--memory-of", method)
        loading.append(loaded)
    if max(peaks.values()) - min(peaks.values()) < LEAST_DIFFERENCE:
        raise SystemExit(f"Methods so unlike have the same peak memory ({peaks}): something else was measured.")
    found = [row("peak memory while the model is loaded, beyond its weights", Sample.of(loading), "GB", 1.0)]
    names = {method: f"peak memory of {method} beyond model and pool" for method in METHODS}
    return found + [row(names[method], Sample(peak), "GB", 1.0) for method, peak in peaks.items()]


def apart(arguments: argparse.Namespace, option: str, value: object) -> tuple[float, float]:
    """What a process of its own prints with that option."""
    command = [sys.executable, __file__, "--data", str(arguments.data), option, str(value)]
    first, second = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-2:]
    return float(first), float(second)


def memory_of(method: str, folder: Path) -> tuple[float, float]:
    """GB beyond the weights: the peak until the model is loaded, and that from there to the end of two queries, the
    pool's keys and values taken off too."""
    setup, queries = load_setup(folder)
    weights = sum(p.nbytes for p in setup.task.model.model.parameters())
    loading = peak_resident_bytes() - weights
    forget_peak()
    fitted = dbsa.make_method(method).fit(setup)
    for query in queries[:2]:
        fitted.predict(query)
    pool = setup.plan.num_bytes if method in ("dbsa", "dbsa_fresh", "fixed_icl") else 0
    return loading / 1e9, (peak_resident_bytes() - weights - pool) / 1e9


def plan_rows(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The memory that a plan names beside what encoding then takes, each in a process of its own."""
    rows = []
    for tokens in PLANNED_TOKENS:
        planned, used = zip(*(apart(arguments, "--plan-of", tokens) for _ in range(PLANNED)), strict=True)
        off = Sample(abs(planned[0] / Sample.of(used).value - 1), PLANNED)
        rows += [
            row(f"memory that encoding {tokens:,} tokens takes, planned", Sample(planned[0]), "GB"),
            row(f"memory that encoding {tokens:,} tokens takes, used", Sample.of(used), "GB"),
            row(f"plan of memory for {tokens:,} tokens, off by", off, "share", PLAN_OFF),
        ]
    return rows


def plan_of(tokens: int, folder: Path) -> tuple[float, float]:
    """GB that the plan of so many tokens names, and by which the process then grows at its most."""
    setup, _ = load_setup(folder, tokens)
    planned = setup.plan.peak_bytes
    # What loading has freed goes back to the system, or encoding would take it without growing.
    ctypes.CDLL(None).malloc_trim(0)
    before = psutil.Process().memory_info().rss
    forget_peak()
    setup.encode()
    return planned / 1e9, (peak_resident_bytes() - before) / 1e9


def in_turn(parts: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each part, the parts taking turns so that a drift of the machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(repeats):
        for name, part in parts.items():
            begun = time.perf_counter()
            part()
            seconds[name].append(time.perf_counter() - begun)
    return seconds


@dataclass(frozen=True)
class Sample:
    """A median, of how many measurements, and their interquartile range; one measurement has no spread."""

    value: float
    n: int = 1
    iqr: float | None = None

    @classmethod
    def of(cls, values: Sequence[float], beside: Sequence[float] | None = None) -> Sample:
        """Of the values, or of their ratios to those measured beside them in the same turn."""
        ratios = values if beside is None else [a / b for a, b in zip(values, beside, strict=True)]
        low, median, high = (float(np.percentile(ratios, share)) for share in (25, 50, 75))
        return cls(median, len(ratios), high - low)


def row(name: str, sample: Sample, unit: str, target: float | None = None) -> dict[str, Any]:
    verdict = "" if target is None else f"   target <= {target}: {'met' if sample.value <= target else 'MISSED'}"
    spread = "" if sample.iqr is None else f" (n {sample.n}, IQR {sample.iqr:.3g})"
    print(f"{name:60s} {sample.value:10.3f} {unit}{spread}{verdict}", flush=True)
    return {"name": name, **asdict(sample), "unit": unit, "target": target}


def machine() -> dict[str, Any]:
    return {
        "device": f"CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}",
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "trec")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "cpu.json")
    parser.add_argument("--memory-of", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--plan-of", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    if arguments.memory_of:
        print(*memory_of(arguments.memory_of, arguments.data))
        return
    if arguments.plan_of:
        print(*plan_of(arguments.plan_of, arguments.data))
        return
    setup, queries = load_setup(arguments.data)
    setup = setup.encode()
    difference = check(setup, queries[0])
    rows = [row("correctness: largest difference from stock eager", Sample(difference), "share", 1e-4)]
    if difference > 1e-4:
        raise SystemExit("The answers differ from stock transformers; nothing is timed.")
    rows += encoding_rows(setup) + query_rows(setup, queries) + together_rows(setup, queries)
    rows += place_rows(setup, queries) + memory_rows(arguments) + plan_rows(arguments)
    config = {"model": setup.task.model.name, "data": "TREC", "encode": asdict(setup.plan.settings), "ratios": RATIOS}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({**machine(), "config": config, "rows": rows}, indent=1) + "\n")
    print(f"written: {arguments.out.name}")


if __name__ == "__main__":
    main()
