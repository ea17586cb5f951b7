"""Record the bundled example's answer, which the app shows before any model is loaded: `assets/example/answer.json`.

    PYTHONPATH=. python tools/record_example.py [--out FILE]

Encodes the example as the app does, asks its first query by both methods in turn, and keeps the runs of median time.
"""

from __future__ import annotations

import argparse
import platform
from dataclasses import replace
from datetime import date
from pathlib import Path

import torch

from app.ask.from_prediction import shown_answer, shown_method
from app.ask.recorded import FILE, Recorded, write
from app.server.answered import Answer
from app.server.example import QUERIES, Example
from app.server.stamps import stamp
from app.server.workspace import Workspace
from dbsa_core import Prediction, QuerySettings, make_method
from dbsa_core.methods import Method

RUNS = 5
LARGEST = 100_000
"""Bytes."""


def machine() -> str:
    """The processor and the threads that PyTorch uses of it."""
    names = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    found = [line.split(":", 1)[1].strip() for line in names.splitlines() if line.startswith("model name")]
    threads = torch.get_num_threads()
    name = " ".join((found or [platform.processor() or platform.machine()])[0].split())
    return f"{name}, {threads} thread{'s' if threads > 1 else ''}"


def median(runs: list[Prediction]) -> Prediction:
    """The run whose seconds are the median."""
    return sorted(runs, key=lambda run: run.seconds["total"])[len(runs) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    workspace = Workspace()
    example = Example(workspace)
    job = example.start()
    job.wait()
    if example.encoded is None or not example.encoded.pool.complete:
        raise SystemExit(f"The example was not encoded: {job.message}")
    setup, settings, query = example.encoded.setup, QuerySettings(), QUERIES[0]
    methods: list[Method] = [make_method(name, settings).fit(setup) for name in ("dbsa_fresh", "retrieval_icl")]
    runs: list[list[Prediction]] = [[], []]
    for turn in range(RUNS + 1):  # the first is the warm-up
        for own, method in zip(runs, methods, strict=True):
            prediction = method.predict(query, attention=turn > 0)
            own += [prediction] if turn else []
    answer, compared = map(median, runs)
    kept = Answer(answer, setup, setup, settings, example.data.name, 0.0, methods[0].uses)
    shown = shown_answer(answer, setup, settings, kept.name, stamp=stamp(kept))
    mine, other = (tuple(run.seconds["total"] for run in own) for own in runs)
    beside = replace(shown_method(compared, setup, settings), measured=other)
    shown = replace(shown, method=replace(shown.method, measured=mine), compared=(beside,))
    recorded = Recorded(shown, machine(), date.today().isoformat())
    write(recorded, example.data.pool.fingerprint, options.out)
    if (size := options.out.stat().st_size) > LARGEST:
        raise SystemExit(f"{options.out} has {size:,} bytes, and at most {LARGEST:,} are wanted.")
    times = ", ".join(f"{one.method} {one.seconds['total']:.2f} s: {one.label}" for one in (answer, compared))
    print(f"{options.out}: {size:,} bytes; {times}; {recorded.machine}, {recorded.date}")
    workspace.jobs.close()


if __name__ == "__main__":
    main()
