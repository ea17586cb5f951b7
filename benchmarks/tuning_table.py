"""The table of what tuning chose: a part of docs/RESULTS.md."""

from __future__ import annotations

from typing import Any

from benchmarks.markdown import ALL_SETS, number, paragraph, versions, with_interval
from benchmarks.pieces import against
from dbsa_core.evaluation.measures import Estimate, mean_difference, paired

Row = dict[str, Any]


def tuning_section(found: dict[str, Any]) -> list[str]:
    """One line a set."""
    config = found["config"]
    lines = [
        "## What tuning chooses",
        "",
        paragraph(
            f"`python benchmarks/tuning.py --model ...`: {config['model']}, pools of {config['pool_tokens']:,} tokens,",
            f"seed {config['seed']}; {found['device']}, {found['dtype']}, {versions(found)}. Chosen is by up to",
            f"{config['rows']} rows a set of the training files that nothing reads, and half as many of a label that",
            "is out of scope; accuracies are of as many other ones, which were not chosen by; never of test rows. *p*",
            "is McNemar's, of the chosen settings against the default ones. A reject option is chosen where the mean",
            "of in-scope accuracy and out-of-scope recall is better with one beyond chance, and is part of what is",
            "chosen then; beside it stands the default with one, too. Seconds are those of tuning, without encoding",
            "the pool.",
        ),
        "",
        "| data | chosen | accuracy | default | p | ms a query | default | s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in _sets(found):
        chosen, default, now, before = _of(found, name)
        p = against([now], [before])[1]
        times = " | ".join(number(1000 * row["latency_p50_seconds"]) for row in (chosen, default))
        beside = f"; with one {_judged(found, name)['default', True]['accuracy']:.3f}" if chosen["reject"] else ""
        lines.append(
            f"| {ALL_SETS[name]} | {chosen['name']} | {_share(now)} | {_share(before)}{beside} | {p:.2g} | "
            f"{times} | {number(chosen['tuning_seconds'])} |"
        )
    chosen_mean, default_mean, difference = _means(found)
    kept = sum(_is_preferred(found, name) for name in _sets(found))
    said = paragraph(
        f"On the mean of the sets {100 * chosen_mean:.1f} % are answered right as chosen, and",
        f"{100 * default_mean:.1f} % with the default settings: {100 * difference.value:+.1f} points",
        f"({100 * difference.low:+.1f} to {100 * difference.high:+.1f}, 95 %, paired bootstrap within each set). What",
        f"is preferred by other files stayed on {kept} of {len(_sets(found))} sets.",
    )
    return [*lines, "", said]


def tuning_sentence(found: dict[str, Any]) -> str:
    """What it brings and takes, for the README."""
    seconds = [_of(found, name)[0]["tuning_seconds"] for name in _sets(found)]
    chosen, default, _ = _means(found)
    return paragraph(
        f"`tune` takes {min(seconds):.0f} to {max(seconds):.0f} s a file there, and raises the accuracy on rows of the",
        f"{len(seconds)} training files that it did not choose by from {default:.3f} to {chosen:.3f}:",
        "[docs/RESULTS.md](docs/RESULTS.md#what-tuning-chooses).",
    )


def _sets(found: dict[str, Any]) -> list[str]:
    return [name for name in ALL_SETS if any(row["dataset"] == name for row in found["rows"])]


def _of(found: dict[str, Any], name: str) -> tuple[Row, Row, Row, Row]:
    """Chosen and default candidates; and on other rows what was chosen, with a reject option where that was, and the
    default settings."""
    by_role, judged = _candidates(found, name), _judged(found, name)
    chosen = by_role["chosen"]
    default = by_role.get("default", chosen)
    return chosen, default, judged["chosen", chosen["reject"]], judged["default", False]


def _candidates(found: dict[str, Any], name: str) -> dict[str, Row]:
    """Those that have a role, by it."""
    return {row["role"]: row for row in _rows(found, name, "chosen by") if row["role"]}


def _judged(found: dict[str, Any], name: str) -> dict[tuple[str, bool], Row]:
    """On other rows: by the role, and whether it is with a reject option."""
    return {(row["role"], row["reject"]): row for row in _rows(found, name, "other rows")}


def _rows(found: dict[str, Any], name: str, asked: str) -> list[Row]:
    return [row for row in found["rows"] if (row["dataset"], row["asked"]) == (name, asked)]


def _is_preferred(found: dict[str, Any], name: str) -> bool:
    """What is chosen has no other role."""
    return "preferred" not in _candidates(found, name)


def _means(found: dict[str, Any]) -> tuple[float, float, Estimate]:
    each = [_of(found, name)[2:] for name in _sets(found)]
    strata = [paired(*([one == "1" for one in row["right_each"]] for row in rows)) for rows in each]
    means = [sum(row["accuracy"] for row in rows) / len(each) for rows in zip(*each, strict=True)]
    return means[0], means[1], mean_difference(strata)


def _share(row: Row) -> str:
    return with_interval(row["accuracy"], row["n"])
