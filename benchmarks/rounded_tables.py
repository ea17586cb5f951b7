"""Tables of what rounding pools and weights takes and changes; parts of docs/BENCHMARKS.md."""

from __future__ import annotations

from typing import Any

from benchmarks.markdown import NAMES, SETS, number, paragraph, versions, with_interval

WEIGHTS = ("model", "int8", "nf4")
SAME_LABEL = 0.99
"""Of test rows whose answers by an int8 pool have the label of those by the model's precision, the target."""


def int8_section(found: dict[str, Any]) -> list[str]:
    rows = found["rows"]
    lines = [
        "## Pools kept as int8",
        "",
        paragraph(
            f"`python benchmarks/int8_accuracy.py`: {found['config']['model']} in {found['dtype']}, pools of",
            f"{rows[0]['pool_tokens']:,} tokens, once as the model makes keys and values and once as int8, which takes",
            f"{rows[0]['bytes_int8'] / rows[0]['bytes']:.3f} of the bytes; {found['device']}, {versions(found)}. The",
            "share of test rows with the same label is to be 0.99 or more; beside it the same share where the pool is",
            "as it was and the rows are asked in another order, which rounding within batches alone makes. The last",
            "column is the mean change of the best label's log-probability.",
        ),
        "",
        "| | rows | accuracy (95 %) | accuracy, int8 (95 %) | same label | | in another order | log-probability |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        told = [with_interval(row[name], row["n"]) for name in ("accuracy", "accuracy_int8")]
        verdict = "met" if row["same_label"] >= SAME_LABEL else "**missed**"
        lines.append(
            f"| {SETS[row['dataset']]}, {NAMES[row['method']]} | {row['n']} | {told[0]} | {told[1]} | "
            f"{row['same_label']:.3f} | {verdict} | {row['same_label_in_another_order']:.3f} | "
            f"{row['log_prob_change']:.3f} |"
        )
    return lines


def weights_section(found: list[dict[str, Any]], accuracy: dict[str, Any] | None) -> list[str]:
    """What weights of fewer bits take, by shape, and what they change in answers."""
    lines = [
        "## Weights of 8 and 4 bits",
        "",
        paragraph(
            f"`python benchmarks/gpu_weights.py`: {found[0]['device']}, {versions(found[0])}. A query has 6 labels and",
            "reads 28,160 tokens; 30,720 tokens are encoded. Whole weights are restored before they are multiplied:",
            "memory is saved, not time. Weights *and activations* as float8 are refused:",
            f"{found[0]['float8'].partition(': ')[2].split('. ')[0]}.",
        ),
        "",
        "| | weights | GB | query, ms | floor | of the model's | encode, ms | of the model's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        values = {row["name"]: row["value"] for row in one["rows"]}
        floors = {row["name"]: row["floor"] for row in one["rows"]}
        for kind in WEIGHTS:
            query, encode = f"{kind}_query_6_28160_ms", f"{kind}_encode_30720_ms"
            beside = [number(values[f"{n}_over_model"]) if kind != "model" else "" for n in (query, encode)]
            lines.append(
                f"| {one['shape']} | {kind} | {number(values[f'{kind}_weights_gb'])} | {number(values[query])} | "
                f"{number(floors[query])} | {beside[0]} | {number(values[encode])} | {beside[1]} |"
            )
    if accuracy is None:
        return lines
    lines += [
        "",
        paragraph(
            f"`python benchmarks/weights_accuracy.py`: {accuracy['config']['model']}, pools of",
            f"{accuracy['rows'][0]['pool_tokens']:,} tokens, {accuracy['device']}. *Same label* is the share of test",
            "rows with the label that the model as it was saved gives.",
        ),
        "",
        "| | rows | weights | accuracy (95 %) | same label |",
        "|---|---|---|---|---|",
    ]
    for row in accuracy["rows"]:
        same = "" if row["weights"] == "model" else f"{row['same_label']:.3f}"
        lines.append(
            f"| {SETS[row['dataset']]}, {NAMES[row['method']]} | {row['n']} | {row['weights']} | "
            f"{with_interval(row['accuracy'], row['n'])} | {same} |"
        )
    return lines
