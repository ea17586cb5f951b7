"""The table of what a reject option brings; a part of docs/BENCHMARKS.md."""

from __future__ import annotations

from typing import Any

from benchmarks.markdown import ALL_SETS, NAMES, paragraph, versions

WITH_OPTION = "+reject"
IN_SCOPE, RECALL = 0.96, 0.70
"""The target for Clinic-150."""


def reject_section(found: dict[str, Any]) -> list[str]:
    """Sets with a label that is out of scope, then those without one."""
    config, rows = found["config"], found["rows"]
    pairs = [(plain, with_it) for plain in rows for with_it in rows if _same(plain, with_it)]
    apart = [pair for pair in pairs if pair[0]["out_of_scope"]]
    whole = [pair for pair in pairs if not pair[0]["out_of_scope"]]
    order = list(ALL_SETS)
    lines = [
        "## Knowing when no label fits",
        "",
        paragraph(
            f"`python benchmarks/reject.py --model ...`: {config['model']}, pools of {config['pool_tokens']:,} tokens,",
            f"up to {config['rows']:,} test rows a set, seed {config['seed']}; {found['device']}, {found['dtype']},",
            f"{versions(found)}. The same answers without and with a reject option, which is fitted on rows of the",
            "training file. *In scope*: accuracy on rows whose label is not the one out of scope; *recall*: share of",
            f"the others that are refused. The target with the option is {IN_SCOPE} in scope at a recall of",
            f"{RECALL:.2f}; without an option the accuracy in scope is the most that one can leave.",
        ),
        "",
        "| data, n | method | accuracy (95 %) | with the option | in scope | with it | recall | with it | |",
        "|---" * 9 + "|",
    ]
    for plain, with_it in sorted(apart, key=lambda pair: order.index(pair[0]["dataset"])):
        shares = [
            _estimate(row, name) for name in ("accuracy", "in_scope_accuracy", "oos_recall") for row in (plain, with_it)
        ]
        met = with_it["in_scope_accuracy"] >= IN_SCOPE and with_it["oos_recall"] >= RECALL
        lines.append(
            f"| {_set(plain)} | {NAMES[plain['method']]} | {' | '.join(shares)} | {'met' if met else '**missed**'} |"
        )
    lines += [
        "",
        paragraph(
            "Where no label is out of scope, rows of labels that are left out for fitting, and wrong answers, are told",
            "from right ones. Every test row has a label here, so each refusal costs coverage.",
        ),
        "",
        "| data, n | method | accuracy (95 %) | answered with the option | accuracy of those |",
        "|---|---|---|---|---|",
    ]
    for plain, with_it in sorted(whole, key=lambda pair: order.index(pair[0]["dataset"])):
        shares = [_estimate(plain, "accuracy"), _estimate(with_it, "coverage"), _estimate(with_it, "answered_accuracy")]
        lines.append(f"| {_set(plain)} | {NAMES[plain['method']]} | {' | '.join(shares)} |")
    return lines


def reject_sentence(found: dict[str, Any]) -> str:
    """What it brings to the default method on the set with a label out of scope."""
    rows = {row["method"]: row for row in found["rows"] if row["dataset"] == "clinc150"}
    plain, with_it = rows["dbsa_fresh"], rows["dbsa_fresh" + WITH_OPTION]
    return paragraph(
        f"With {found['config']['model']} on {found['device']}, of {plain['n']:,} test rows of Clinic-150",
        f"{_estimate(plain, 'accuracy')} are answered rightly, and with a reject option",
        f"{_estimate(with_it, 'accuracy')}: it refuses {with_it['oos_recall']:.2f} of the rows that no label fits",
        f"({plain['oos_recall']:.2f} without it), and the accuracy on the others goes from",
        f"{plain['in_scope_accuracy']:.3f} to {with_it['in_scope_accuracy']:.3f}.",
    )


def _same(plain: dict[str, Any], with_it: dict[str, Any]) -> bool:
    return plain["dataset"] == with_it["dataset"] and plain["method"] + WITH_OPTION == with_it["method"]


def _set(row: dict[str, Any]) -> str:
    return f"{ALL_SETS[row['dataset']]}, {row['n']:,}"


def _estimate(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:.3f} ({row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f})"
