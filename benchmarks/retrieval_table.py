"""The tables of retrievers: what they bring, and how long they take; parts of docs/BENCHMARKS.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.markdown import ALL_SETS, number, paragraph, versions
from benchmarks.pieces import against
from dbsa_core.intervals import wilson_interval

MOST_MS = 2.0
"""The target for the nearest rows of 100,000 by BM25."""
_DEFAULT = ("dbsa_fresh", {"retriever": "bm25", "row_retriever": "bm25", "ratio": 0.3, "fresh_demonstrations": 8})
_HYBRID = ("dbsa_fresh", {**_DEFAULT[1], "row_retriever": "hybrid"})

Variant = list[dict[str, Any]]
"""Its rows, one a data set."""


def retrievers_section(found: dict[str, Any]) -> list[str]:
    """One line a way of reading."""
    config, variants = found["config"], _variants(found["rows"])
    base = _named(variants, _DEFAULT)
    sets = [name for name in ALL_SETS if name in {row["dataset"] for row in found["rows"]}]
    lines = [
        "## Retrievers",
        "",
        paragraph(
            f"`python benchmarks/retrievers.py --model ...`: {config['model']}, pools of {config['pool_tokens']:,}",
            f"tokens, seed {config['seed']}; {found['device']}, {found['dtype']}, {versions(found)}. Asked are",
            f"{base[0]['n']} rows a set of the training files that no method reads, so that what is chosen by this",
            "table is chosen before a test. *Blocks by*, *rows by*: the retriever of blocks and that of similar rows.",
            f"Intervals are of all {sum(row['n'] for row in base):,} rows together; *against the default* is the",
            "difference in points on the same rows, with McNemar's p. Milliseconds are medians of queries that are",
            "asked one by one, and the median of the sets; the vector of the query is included: of retrieval alone,",
            "and of the whole answer.",
        ),
        "",
        f"| method | blocks by | rows by | ratio | rows | {' | '.join(ALL_SETS[name] for name in sets)} | all (95 %) | "
        "against the default | retrieve, ms | answer, ms |",
        "|---" * (9 + len(sets)) + "|",
    ]
    for variant in variants:
        settings, by_set = variant[0]["settings"], {row["dataset"]: row for row in variant}
        rows, right = sum(row["n"] for row in variant), sum(row["right"] for row in variant)
        low, high = wilson_interval(right, rows)
        shares = " | ".join(f"{by_set[name]['accuracy']:.3f}" for name in sets)
        times = " | ".join(
            number(1e3 * median([row[f"{what}_p50_seconds"] for row in variant])) for what in ("retrieve", "latency")
        )
        lines.append(
            f"| `{variant[0]['method']}` | {settings.get('retriever', '')} | {settings.get('row_retriever', '')} | "
            f"{settings.get('ratio', '')} | {settings.get('fresh_demonstrations', '')} | {shares} | "
            f"{right / rows:.3f} ({low:.3f} to {high:.3f}) | {_against(base, variant)} | {times} |"
        )
    return lines


def retrievers_sentence(found: dict[str, Any]) -> str:
    """What similar rows by words and meaning bring."""
    variants = _variants(found["rows"])
    base, hybrid = _named(variants, _DEFAULT), _named(variants, _HYBRID)
    rows = sum(row["n"] for row in base)
    shares = [sum(row["right"] for row in variant) / rows for variant in (base, hybrid)]
    times = [1e3 * median([row["latency_p50_seconds"] for row in variant]) for variant in (base, hybrid)]
    return paragraph(
        f"With {found['config']['model']} on {found['device']}, of {rows:,} rows that were held out of the training",
        f"files of {len(base)} data sets, {shares[0]:.3f} are answered rightly with similar rows by BM25, and",
        f"{shares[1]:.3f} with hybrid ones ({_against(base, hybrid)}), in {times[0]:.1f} and",
        f"{times[1]:.1f} ms a query.",
    )


def speed_section(found: dict[str, Any]) -> list[str]:
    """One line a retriever, one column a size."""
    config, rows = found["config"], found["rows"]
    sizes = sorted({row["rows"] for row in rows} - {1})
    vector = next(row for row in rows if row["rows"] == 1)
    lines = [
        "### Time of retrieval",
        "",
        paragraph(
            f"`python benchmarks/retrieval_speed.py`: {found['device']}, {versions(found)}. All rows are ranked and",
            f"the {config['nearest']} nearest named; median of {config['queries']} queries (95 % are below) in ms.",
            f"Dense and hybrid retrieval have the query's vector to make besides: {1e3 * vector['p50_seconds']:.1f} ms",
            f"here. Rows are embedded once, {config['rows_embedded_per_second']:.0f} a second here, and kept. The",
            f"target is {MOST_MS:g} ms for `bm25` and 100,000 rows.",
        ),
        "",
        f"| retriever | {' | '.join(f'{size:,} rows' for size in sizes)} | index of {sizes[-1]:,}, s | |",
        "|---" * (3 + len(sizes)) + "|",
    ]
    for name in dict.fromkeys(row["retriever"] for row in rows if row["rows"] != 1):
        of = {row["rows"]: row for row in rows if row["retriever"] == name}
        cells = [f"{1e3 * of[size]['p50_seconds']:.2f} ({1e3 * of[size]['p95_seconds']:.2f})" for size in sizes]
        met = "" if name != "bm25" else "met" if 1e3 * of[sizes[-1]]["p95_seconds"] < MOST_MS else "**missed**"
        lines.append(f"| `{name}` | {' | '.join(cells)} | {number(of[sizes[-1]]['index_seconds'])} | {met} |")
    return lines


def _variants(rows: Sequence[dict[str, Any]]) -> list[Variant]:
    """In the order in which they were asked."""
    found: dict[str, Variant] = {}
    for row in rows:
        found.setdefault(json.dumps([row["method"], row["settings"]], sort_keys=True), []).append(row)
    return list(found.values())


def _named(variants: Sequence[Variant], wanted: tuple[str, dict[str, Any]]) -> Variant:
    method, settings = wanted
    return next(
        variant
        for variant in variants
        if variant[0]["method"] == method and settings.items() <= variant[0]["settings"].items()
    )


def _against(base: Variant, variant: Variant) -> str:
    """ "+1.2, p = 0.003", over the rows of all sets."""
    if variant is base:
        return ""
    points, p = against(variant, base)
    return f"{points:+.1f}, p = {number(p)}"
