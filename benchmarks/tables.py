"""Write the measured tables, and the README example's output, into README.md from what the benchmarks printed.

    python benchmarks/tables.py [--run-example]

Numbers in the README come from `benchmarks/results/*.json` alone.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
NAMES = {
    "dbsa": "DBSA, as in the paper",
    "dbsa_fresh": "DBSA + 8 similar examples",
    "fixed_icl": "Fixed ICL",
    "retrieval_icl": "Retrieval ICL, from the pool",
    "zero_shot": "Zero-shot",
}
SETS = {"trec": "TREC", "banking77": "Banking-77", "nlu": "NLU"}


def accuracy_table(found: dict[str, Any]) -> str:
    """Accuracy and latency by method and data set."""
    rows = {(row["dataset"], row["method"]): row for row in found["rows"]}
    config = found["config"]
    lines = [
        f"**Accuracy and latency with the embedded model** ({found['device']}, {found['dtype']}, PyTorch "
        f"{found['versions']['torch']}; pool of {config['pool_tokens']:,} tokens, ratio 0.3, {config['rows']} test "
        f"rows a set, seed {config['seed']}). Accuracy, then median seconds a query. With {config['rows']} rows a "
        "difference under about 0.1 is noise. The similar examples come from the whole training file, which the other "
        "methods here do not read.",
        "",
        "| | " + " | ".join(SETS.values()) + " |",
        "|---|" + "---|" * len(SETS),
    ]
    for method, name in NAMES.items():
        cells = [rows[dataset, method] for dataset in SETS]
        shown = [f"{c['accuracy']:.2f} · {c['latency_p50_seconds']:.3f} s" for c in cells]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def cpu_table(found: dict[str, Any]) -> str:
    """Every row of the CPU benchmark, with its target where there is one."""
    lines = [
        f"**On a CPU** ({found['device']}; PyTorch {found['versions']['torch']}, embedded model, TREC, a pool of 4,000 "
        "tokens; one run, ratios within it).",
        "",
        "| | value | target |",
        "|---|---|---|",
    ]
    for row in found["rows"]:
        target = "" if row["target"] is None else f"<= {row['target']:g}"
        value = f"{row['value']:.2g}" if row["value"] < 1e-3 else f"{row['value']:,.3g}"
        lines.append(f"| {row['name']} | {value} {row['unit']} | {target} |")
    return "\n".join(lines)


def example_output(readme: str) -> str:
    """What the README's Python example prints."""
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert code is not None
    printed = io.StringIO()
    os.chdir(ROOT)
    with contextlib.redirect_stdout(printed):
        exec(compile(code[1], "README.md", "exec"), {})
    return f"It prints:\n\n```\n{printed.getvalue().rstrip()}\n```"


def between(text: str, marker: str, new: str) -> str:
    """Replace what stands between `<!-- marker -->` and `<!-- /marker -->` (or right behind a lone marker)."""
    block = f"<!-- {marker} -->\n{new}\n<!-- /{marker} -->"
    pattern = rf"<!-- {marker} -->(\n.*?<!-- /{marker} -->)?"
    return re.sub(pattern, lambda _: block, text, count=1, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run-example", action="store_true", help="also run the README's example and keep its output")
    arguments = parser.parse_args()
    path = ROOT / "README.md"
    readme = path.read_text(encoding="utf-8")
    tables = []
    for file in sorted(RESULTS.glob("small-accuracy-*.json")):
        tables.append(accuracy_table(json.loads(file.read_text())))
    if (RESULTS / "cpu.json").is_file():
        tables.append(cpu_table(json.loads((RESULTS / "cpu.json").read_text())))
    readme = between(readme, "tables", "\n\n".join(tables))
    if arguments.run_example:
        readme = between(readme, "python-output", example_output(readme))
    path.write_text(readme, encoding="utf-8")


if __name__ == "__main__":
    main()
