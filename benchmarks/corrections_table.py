"""The table of corrections: a part of docs/RESULTS.md."""

from __future__ import annotations

from typing import Any

from benchmarks.markdown import ALL_SETS, number, paragraph, versions
from benchmarks.pieces import against
from dbsa_core.intervals import wilson_interval

BASE = "hybrid 8, 0.3"
VOTES = "votes of words+vectors, weight 1"
_SIGNIFICANT = 0.01
_KINDS: tuple[tuple[str, str], ...] = (
    ("Other ways of reading", "read"),
    ("Attention on the context", "context"),
    ("A bias per label", "bias"),
    ("Several selections", "mean"),
    ("Adaptive budget", "adaptive"),
    ("Votes", "votes"),
    ("Votes, and more", "and more"),
    ("Classifiers alone", "alone"),
)


def corrections_section(found: dict[str, Any]) -> list[str]:
    """One line a correction."""
    config, by_name = found["config"], _by_name(found)
    sets, base = list(by_name[BASE]), by_name[BASE]
    lines = [
        "## Corrections",
        "",
        paragraph(
            f"`python benchmarks/corrections.py --model ...`: {config['model']}, pools of {config['pool_tokens']:,}",
            f"tokens, seed {config['seed']}; {found['device']}, {found['dtype']}, {versions(found)}. Asked are",
            f"{base[sets[0]]['n']} rows a set of the training files that no method reads, never test rows. What a",
            "correction fits, it fits on other ones of these rows than it is judged by, in five folds. The first line",
            f"is what all are compared with: `dbsa_fresh` with 8 similar rows by `hybrid` and ratio 0.3 ({BASE!r});",
            "other ways of reading are named by the retriever of similar rows, their number, and the ratio. Intervals",
            f"are of all {sum(row['n'] for row in base.values()):,} rows together; *against the first* is the",
            "difference in points on the same rows, with McNemar's p. *Fitted* is the mean of what was fitted, where",
            "that is one number: the weight of votes, the largest bias, or the threshold of entropy.",
        ),
        "",
        f"| correction | {' | '.join(ALL_SETS[name] for name in sets)} | mean (95 %) | against the first | fitted |",
        "|---" * (4 + len(sets)) + "|",
    ]
    for title, kind in _KINDS:
        lines.append(f"| **{title}** |" + " |" * (3 + len(sets)))
        for name, rows in by_name.items():
            if _kind(name) == kind:
                lines.append(_line(name, rows, base))
    return [*lines, "", *_kept(by_name)]


def _line(name: str, rows: dict[str, dict[str, Any]], base: dict[str, dict[str, Any]]) -> str:
    count, right = (sum(row[what] for row in rows.values()) for what in ("n", "right"))
    low, high = wilson_interval(right, count)
    shares = " | ".join(f"{row['accuracy']:.3f}" for row in rows.values())
    values = [row["value"] for row in rows.values()]
    fitted = number(sum(values) / len(values)) if all(value is not None for value in values) else ""
    against = "" if name == BASE else _against(rows, base)
    return f"| {name} | {shares} | {right / count:.3f} ({low:.3f} to {high:.3f}) | {against} | {fitted} |"


def _kept(by_name: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    """What is part of the product, and what is not."""
    base = by_name[BASE]
    beyond = [
        name for name, rows in by_name.items()
        if _kind(name) in ("context", "bias", "mean", "adaptive", "votes") and _helps(rows, base)
    ]  # fmt: skip
    more = [name for name in by_name if _kind(name) == "and more"]
    said = ", ".join(f"`{name}` ({_against(by_name[name], by_name[VOTES])})" for name in more)
    return [
        paragraph(
            f"**Part of the product** is what helps beyond chance (p < {_SIGNIFICANT:g}): {_quoted(beyond)}. They are",
            "a setting, `QuerySettings.votes`, with a weight of 1 unless told otherwise; `dbsa_core.voting` fits one.",
            "**No part of it**: a bias per label, batch calibration, temperature and scale of the attention, means of",
            "selections, an adaptive budget, votes of nearest rows. They are functions of the benchmark alone",
            "(`benchmarks/corrected.py`, and `context_weighed`, which leaves the first block as it is).",
        ),
        "",
        paragraph(f"Against `{VOTES}`, further corrections and other ways of reading bring: {said}."),
    ]


def _helps(rows: dict[str, dict[str, Any]], base: dict[str, dict[str, Any]]) -> bool:
    points, p = against([*rows.values()], [*base.values()])
    return points > 0 and p < _SIGNIFICANT


def _quoted(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def corrections_sentence(found: dict[str, Any]) -> str:
    """What votes bring."""
    by_name = _by_name(found)
    base, votes = by_name[BASE], by_name[VOTES]
    rows = sum(row["n"] for row in base.values())
    shares = [sum(row["right"] for row in of.values()) / rows for of in (base, votes, by_name["vectors alone"])]
    return paragraph(
        f"Of the same rows, {shares[0]:.3f} are answered rightly with hybrid similar rows, and {shares[1]:.3f} where",
        "classifiers of words and of sentence vectors vote beside the model",
        f"({_against(votes, base)}; the better of them alone: {shares[2]:.3f}). What else was tried, and did not help:",
        "[docs/RESULTS.md](docs/RESULTS.md).",
    )


def _by_name(found: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """By correction, then by set, in the order of `ALL_SETS`."""
    by_name: dict[str, dict[str, dict[str, Any]]] = {}
    for row in found["rows"]:
        by_name.setdefault(row["correction"], {})[row["dataset"]] = row
    return {name: {key: of[key] for key in ALL_SETS if key in of} for name, of in by_name.items()}


def _kind(name: str) -> str:
    if name.startswith("votes"):
        return "and more" if "bias" in name else "votes"
    if "votes" in name:
        return "and more"
    if name == "batch calibration":
        return "bias"
    if name in ("words alone", "nearest alone", "vectors alone"):
        return "alone"
    first = name.split()[0]
    return first if first in ("context", "bias", "mean", "adaptive") else "read"


def _against(rows: dict[str, dict[str, Any]], base: dict[str, dict[str, Any]]) -> str:
    """ "+1.2, p = 0.003", over the rows of all sets."""
    points, p = against([*rows.values()], [*base.values()])
    return f"{points:+.1f}, p = {number(p)}"
