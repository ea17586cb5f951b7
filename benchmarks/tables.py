"""Write what the benchmarks printed into docs/BENCHMARKS.md, what makes answers more accurate into docs/RESULTS.md, and
the least of both, with the example's output, into the README.

    python benchmarks/tables.py [--run-example]

Numbers in both come from `benchmarks/results/*.json` alone.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.accuracy_table import methods_section, readme_accuracy  # noqa: E402  # the script runs without an installation
from benchmarks.corrections_table import corrections_section, corrections_sentence  # noqa: E402
from benchmarks.label_noise_table import label_noise_section, label_noise_sentence  # noqa: E402
from benchmarks.markdown import NAMES, RESULTS, SETS, number, paragraph, read, versions, with_interval  # noqa: E402
from benchmarks.patterns_table import patterns_section  # noqa: E402
from benchmarks.reject_table import reject_section, reject_sentence  # noqa: E402
from benchmarks.retrieval_table import retrievers_section, retrievers_sentence, speed_section  # noqa: E402
from benchmarks.rounded_tables import int8_section, weights_section  # noqa: E402
from benchmarks.tuning_table import tuning_section, tuning_sentence  # noqa: E402

HEAD = """# Benchmarks

Every table is what a script printed: its name, the machine and the versions stand above it. `benchmarks/tables.py`
writes this file from `benchmarks/results/`. What is compared within a table was measured in turn, in one run. A time is
a median; *n* says of how many measurements, and IQR is their interquartile range. A target that is missed stays, with
its figure.
"""
RESULTS_HEAD = """# Results

What was tried to make answers more accurate, what it brought, and what of it is part of the product; what tuning
chooses; and how labels that are wrong are found. Every figure is what a script printed; `benchmarks/tables.py` writes
this file from `benchmarks/results/`. Retrievers and the reject option stand in
[BENCHMARKS.md](BENCHMARKS.md#retrievers).
"""


def target_table(rows: list[dict[str, Any]]) -> list[str]:
    """Rows of `{name, value, unit, target}`, with n and IQR where there are some."""
    lines = ["| | value | n | IQR | target | |", "|---|---|---|---|---|---|"]
    for row in rows:
        spread = number(row["iqr"]) if row.get("iqr") is not None else ""
        target = "" if row["target"] is None else f"<= {row['target']:g}"
        verdict = "" if row["target"] is None else ("met" if row["value"] <= row["target"] else "**missed**")
        lines.append(
            f"| {row['name']} | {number(row['value'])} {row['unit']} | {row.get('n', 1)} | {spread} | {target} | "
            f"{verdict} |"
        )
    return lines


def _whole_file(methods: set[str]) -> str:
    more = ", and what TF-IDF counts," if "tfidf" in methods else ""
    return f"Similar examples{more} come from"


def accuracy_section(found: dict[str, Any], kind: str) -> list[str]:
    config = found["config"]
    lines = [
        f"## Accuracy and cost by method, {'GPU' if kind == 'cuda' else 'CPU'}",
        "",
        paragraph(
            f"`python benchmarks/small_accuracy.py --device {kind} --rows {config['rows']}`: {config['model']},",
            f"{found['device']}, {found['dtype']}, {versions(found)}. Pools of {config['pool_tokens']:,} tokens, ratio",
            f"0.3, {config['rows']} test rows a set, seed {config['seed']}. With so few rows a difference under about",
            f"0.1 is noise. {_whole_file({row['method'] for row in found['rows']})} the whole training file, which the",
            "other methods here do not read. Setup is all that is done once, encoding included.",
        ),
        "",
        "| data | method | accuracy | n | setup s | p50 s | p95 s | IQR s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        times = " | ".join(
            f"{row[name]:.3f}" for name in ("latency_p50_seconds", "latency_p95_seconds", "latency_iqr_seconds")
        )
        lines.append(
            f"| {SETS[row['dataset']]} | {NAMES[row['method']]} | {with_interval(row['accuracy'], row['n'])} | "
            f"{row['n']} | {row['setup_seconds']:.2f} | {times} |"
        )
    return lines


def cpu_section(found: dict[str, Any]) -> list[str]:
    config = found["config"]
    return [
        "## Encoding, queries and memory on a CPU",
        "",
        paragraph(
            f"`python benchmarks/cpu.py`: {config['model']}, {config['data']}, a pool of",
            f"{config['encode']['pool_tokens']:,} tokens; {found['device']}, {found['system']}, {versions(found)}.",
        ),
        "",
        *target_table(found["rows"]),
    ]


def app_section(found: dict[str, Any]) -> list[str]:
    config = found["config"]
    return [
        "## What a visitor waits for",
        "",
        paragraph(
            f"`python benchmarks/app.py`: the app in Chromium, {config['model']}, beside an empty page of Gradio and a",
            f"model that is loaded by itself, in turn; a dropped file is {config['data']}. The prediction's own",
            "seconds are taken off where it says so. An answer from the start waits for Gradio, then for PyTorch,",
            "transformers and the model, which are imported and loaded behind the page;",
            f"{found['device']}, {versions(found)}.",
        ),
        "",
        *target_table(found["rows"]),
    ]


def long_prompts_section(found: dict[str, Any]) -> list[str]:
    return [
        "## Long dense prompts on a GPU",
        "",
        paragraph(
            "`python benchmarks/long_prompts.py`: what Retrieval ICL costs, by family: a sliding window of",
            f"{found['config']['window']:,} in every layer (mistral), in every second one (qwen2), in none (llama).",
            f"The shape of Llama-3.1-8B with random weights, {found['dtype']}; {found['device']}, {versions(found)}.",
        ),
        "",
        *target_table(found["rows"]),
    ]


def gpu_section(found: list[dict[str, Any]]) -> list[str]:
    """One table a device, a column a shape; targets are of the first."""
    first = found[0]
    shapes = [one["shape"] for one in found]
    by_name = [{row["name"]: row for row in one["rows"]} for one in found]
    lines = [
        "## On a GPU",
        "",
        paragraph(
            "`python benchmarks/gpu.py`: shapes of models with random weights, bfloat16, a pool of blocks of 1,280",
            "tokens, 30 % of them read (8,960 or 28,160 tokens); 6 labels of 3 tokens, 77 labels of 4, and those",
            "behind 400 tokens of similar examples. From ids on the host to log-probabilities on the host, by the",
            "captured step; `batch64` is a query of as many asked together, each over blocks of its own, and its floor",
            "reads weights and pool once for all. A floor is arithmetic:",
            "weights and selected keys read once at 3.0 TB/s, or multiplied at",
            "790 TFLOP/s. Encoding is of all blocks, each seeing the first one and the two before it; dense is the",
            "stock forward over the same tokens at once, and memory is that beyond weights and pool. By own layers:",
            "before the model's layers are compiled, in the background behind its second encoding. An error is our",
            "relative RMS against float32 over that of stock transformers in the same",
            "type, on a small model of the family.",
            f"{first['device']}, {versions(first)}; one run a shape.",
        ),
        "",
        f"| | {' | '.join(shapes)} | target ({shapes[0]}) | then | floor | |",
        "|---" * (len(shapes) + 5) + "|",
    ]
    for name, row in by_name[0].items():
        values = [f"{number(rows[name]['value'])} {row['unit']}" if name in rows else "" for rows in by_name]
        bounds = ["" if row[kind] is None else number(row[kind]) for kind in ("target", "stretch", "floor")]
        verdict = "" if row["target"] is None else ("met" if row["value"] <= row["target"] else "**missed**")
        lines.append(f"| {name} | {' | '.join(values)} | {' | '.join(bounds)} | {verdict} |")
    return [*lines, "", *spent_table(first)]


def spent_table(found: dict[str, Any]) -> list[str]:
    """Where the time of each query goes."""
    kinds = list(found["profiles"][0]["ms"])
    lines = [
        paragraph(
            f"Where the time of {found['shape']} goes, ms. Around the graph: the host's work before and after, which",
            "differs from machine to machine. The largest kernels of each query are named in `benchmarks/results`.",
        ),
        "",
        f"| | {' | '.join(kinds)} | kernels launched |",
        "|---" * (len(kinds) + 2) + "|",
    ]
    for one in found["profiles"]:
        spent = [f"{one['ms'][kind]:.2f}" for kind in kinds]
        lines.append(f"| {one['query']} | {' | '.join(spent)} | {one['launches']:.0f} |")
    return lines


def gpu_results() -> list[dict[str, Any]]:
    """The largest shape first."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("gpu-*.json"))]
    return sorted(
        found, key=lambda one: -max(row["value"] for row in one["rows"] if row["name"].startswith("retrieval"))
    )


def probabilities_section(found: dict[str, Any]) -> list[str]:
    seconds = found["forward_seconds_p50"]
    return [
        "## Intervals of best-first scoring",
        "",
        paragraph(
            f"`python benchmarks/probabilities.py`: Banking-77, {found['queries']} queries, {found['labels']} labels,",
            f"best-first forced; {found['device'].upper()}, {versions(found)}.",
        ),
        "",
        f"- The exact probability misses its interval by at most {number(found['largest_miss'])}.",
        f"- The widest interval is {found['widest_interval']:.4f} (target <= 0.01).",
        f"- The label is the same in {found['same_label']} of {found['queries']} queries.",
        f"- Forward: {seconds['one_pass']:.2f} s in one pass, {seconds['best_first']:.2f} s best-first.",
    ]


def benchmarks() -> str:
    """docs/BENCHMARKS.md."""
    parts = []
    if found := read("cpu"):
        parts.append(cpu_section(found))
    if found := read("app"):
        parts.append(app_section(found))
    for kind in ("cpu", "cuda"):
        if found := read(f"small-accuracy-{kind}"):
            parts.append(accuracy_section(found, kind))
    for kind in ("cpu", "cuda"):
        if found := read(f"int8-accuracy-{kind}"):
            parts.append(int8_section(found))
    if found := read("reject-cuda"):
        parts.append(reject_section(found))
    if found := read("retrievers-cuda"):
        parts.append(retrievers_section(found))
    if found := read("retrieval-speed-cpu"):
        parts.append(speed_section(found))
    by_shape = [read(path.stem) for path in sorted(RESULTS.glob("weights-nvidia-*.json"))]
    if shapes := [one for one in by_shape if one is not None]:
        parts.append(weights_section(shapes, read("weights-accuracy-cuda")))
    if on_gpu := gpu_results():
        parts.append(gpu_section(on_gpu))
    if found := read("long-prompts-cuda"):
        parts.append(long_prompts_section(found))
    if found := read("probabilities-cpu"):
        parts.append(probabilities_section(found))
    return HEAD + "".join("\n" + "\n".join(part) + "\n" for part in parts)


def readme_speed() -> str:
    """Sentences on cost, on a CPU and on a GPU."""
    cpu = read("cpu")
    assert cpu is not None
    ratios = {row["name"]: row["value"] for row in cpu["rows"]}
    lines = [
        paragraph(
            f"Block-sparse encoding takes {ratios['block-sparse / dense']:.2f} of dense encoding's time, and a DBSA",
            f"query {ratios['DBSA / Retrieval ICL at 1,200 tokens']:.3f} of Retrieval ICL's at 1,200 selected tokens",
            f"({ratios['DBSA / Retrieval ICL at 2,000 tokens']:.3f} at 2,000).",
            *gpu_sentences(),
            "All figures, with n, spread, targets and what was missed: [docs/BENCHMARKS.md](docs/BENCHMARKS.md).",
        ),
    ]
    return "\n".join(lines)


def gpu_sentences() -> list[str]:
    """What a query takes on a GPU, of the largest shape."""
    if not (found := gpu_results()):
        return []
    rows, shape = {row["name"]: row["value"] for row in found[0]["rows"]}, found[0]["shape"]
    return [
        f"On one {found[0]['device']}, with the shape of {shape} in bfloat16 and 6 labels, a query over 8,960 selected",
        f"tokens takes {rows['query_6_8960_ms']:.1f} ms, {rows['query_6_8960_over_retrieval']:.3f} of Retrieval ICL's",
        f"time, and over 28,160 tokens {rows['query_6_28160_ms']:.1f} ms,",
        f"{rows['query_6_28160_over_retrieval']:.4f} of it (64 asked together, {rows['batch64_28160_ms']:.1f} ms",
        "each); a pool of 92,160 tokens is encoded in",
        f"{rows['encode_92160_ms'] / 1000:.1f} s, {rows['encode_92160_over_dense']:.2f} of a dense forward's time.",
    ]


def example_output(readme: str) -> str:
    """What the README's Python example prints."""
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert code is not None
    printed = io.StringIO()
    os.chdir(ROOT)
    with contextlib.redirect_stdout(printed):
        exec(compile(code[1], "README.md", "exec"), {})
    return f"It prints:\n\n```\n{printed.getvalue().rstrip()}\n```"


def results() -> str:
    """docs/RESULTS.md"""
    parts = [RESULTS_HEAD]
    sections = {
        "accuracy-cuda": methods_section,
        "accuracy-cpu": methods_section,
        "corrections-cuda": corrections_section,
        "tuning-cuda": tuning_section,
        "label-noise-cuda": label_noise_section,
        "patterns-cuda": patterns_section,
    }
    for name, section in sections.items():
        if found := read(name):
            parts.append("\n".join([*section(found), ""]))
    return "\n".join(parts)


def between(text: str, marker: str, new: str) -> str:
    """Replace what stands between `<!-- marker -->` and `<!-- /marker -->` (or right behind a lone marker)."""
    block = f"<!-- {marker} -->\n{new}\n<!-- /{marker} -->"
    pattern = rf"<!-- {marker} -->(\n.*?<!-- /{marker} -->)?"
    return re.sub(pattern, lambda _: block, text, count=1, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run-example", action="store_true", help="also run the README's example and keep its output")
    arguments = parser.parse_args()
    (ROOT / "docs" / "BENCHMARKS.md").write_text(benchmarks(), encoding="utf-8")
    path = ROOT / "README.md"
    readme = between(path.read_text(encoding="utf-8"), "speed", readme_speed())
    if (on_gpu := read("accuracy-cuda")) and (on_cpu := read("accuracy-cpu")):
        readme = between(readme, "accuracy", readme_accuracy(on_gpu, on_cpu))
    if found := read("reject-cuda"):
        readme = between(readme, "reject", reject_sentence(found))
    if found := read("retrievers-cuda"):
        readme = between(readme, "retrievers", retrievers_sentence(found))
    if found := read("corrections-cuda"):
        readme = between(readme, "corrections", corrections_sentence(found))
    (ROOT / "docs" / "RESULTS.md").write_text(results(), encoding="utf-8")
    if found := read("label-noise-cuda"):
        readme = between(readme, "label-noise", label_noise_sentence(found))
    if found := read("tuning-cuda"):
        readme = between(readme, "tuning", tuning_sentence(found))
    if arguments.run_example:
        readme = between(readme, "python-output", example_output(readme))
    path.write_text(readme, encoding="utf-8")


if __name__ == "__main__":
    main()
