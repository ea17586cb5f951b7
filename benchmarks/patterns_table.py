"""The table of what blocks have to see while they are encoded; a part of docs/RESULTS.md."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.markdown import ALL_SETS, number, paragraph, versions, with_interval
from benchmarks.pieces import against

METHODS = ("dbsa", "dbsa_fresh")
OWN = "sink-previous-self"
WORDS = {
    "full": "full attention",
    "sink-previous-self": "shared first block, the 2 before, itself (the method's own)",
    "sink-self": "shared first block, itself",
    "self": "itself alone",
}
PAPER = {"sink-self": "0.27", "self": "0.09"}
"""Average accuracies of the paper's ablation (arXiv 2503.08640)."""


def patterns_section(found: dict[str, Any]) -> list[str]:
    """One line a pattern."""
    config, rows = found["config"], found["rows"]
    draws = len({row["seed"] for row in rows})
    lines = [
        "## What a block has to see",
        "",
        paragraph(
            f"`python benchmarks/patterns.py --model ...`: {config['model']}, pools of {config['pool_tokens']:,}",
            f"tokens, {draws} draws of up to {config['rows']} test rows; {found['device']}, {found['dtype']},",
            f"{versions(found)}.",
            "The same rows in the same blocks under each pattern; a query reads 30 % of the blocks, and the first one",
            "always. *DBSA* is the paper's method, by set and in all, with intervals of 95 % and the difference to the",
            "method's own pattern in points on the same rows, with McNemar's p; *+ 8* adds similar examples. Seconds",
            "are medians of second encodings; *estimated* is what a plan says before, as a share of them. The paper's",
            "own figures are averages with Llama-3.1-8B and generated labels, where a block that saw nothing else is",
            "of next to no use; which of the differences it is that makes it useful here was not taken apart.",
        ),
        "",
        f"| a block sees | `--pattern` | density | {' | '.join(ALL_SETS.values())} | DBSA (95 %) | against own | + 8 | "
        "against own | the paper's | encoding | estimated |",
        "|---" * (10 + len(ALL_SETS)) + "|",
    ]
    for pattern, words in WORDS.items():
        of = [row for row in rows if row["pattern"] == pattern]
        plain, fresh = ([row for row in of if row["method"] == name] for name in METHODS)
        sets = [_share([row for row in plain if row["dataset"] == name]) for name in ALL_SETS]
        own = [[row for row in rows if (row["pattern"], row["method"]) == (OWN, name)] for name in METHODS]
        lines.append(
            f"| {words} | `{pattern}` | {number(median(row['density'] for row in plain))} | "
            f"{' | '.join(f'{share:.3f}' for share in sets)} | {_total(plain)} | {_against(plain, own[0])} | "
            f"{_share(fresh):.3f} | {_against(fresh, own[1])} | {PAPER.get(pattern, '')} | "
            f"{number(median(row['encode_seconds'] for row in plain))} s | {_estimated(plain)} |"
        )
    return lines


def _share(rows: Sequence[dict[str, Any]]) -> float:
    return sum(row["right"] for row in rows) / sum(row["n"] for row in rows)


def _total(rows: Sequence[dict[str, Any]]) -> str:
    return with_interval(_share(rows), sum(row["n"] for row in rows))


def _against(rows: Sequence[dict[str, Any]], own: Sequence[dict[str, Any]]) -> str:
    """ "-1.9, p 0.003"; "" for the method's own pattern."""
    if rows and rows[0]["pattern"] == OWN:
        return ""
    points, p = against(rows, own)
    return f"{points:+.1f}, p {'< 0.001' if p < 0.001 else f'{p:.3f}'}"


def _estimated(rows: Sequence[dict[str, Any]]) -> str:
    """Of encodings that a plan could know the machine's speed for."""
    known = [row for row in rows if row["estimated_seconds"] < 10 * row["encode_seconds"]]
    return f"{100 * median(row['estimated_seconds'] / row['encode_seconds'] for row in known):.0f} %"
