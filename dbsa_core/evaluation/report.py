"""An evaluation's results as files: JSON, CSV, Markdown, and one HTML page.

Knows nothing about how they were found.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from dbsa_core.data import Demonstration
from dbsa_core.errors import DataError
from dbsa_core.evaluation.measures import Estimate
from dbsa_core.evaluation.result import Evaluation, beaten_by_word_counts, comparisons, may_refuse, without_option

READS = {"all": "may read the whole file", "encoded": "may read the encoded rows", "none": "may read no rows"}
"""Methods are grouped by it, for one that may read more has an advantage."""
BASELINE = "retrieval_icl"
"""Beside which it is told when a method has paid for itself."""
MISTAKES = 20
"""The most frequent ones that are listed."""
_OF = 24
"""Characters of a label in a table, at most."""


def write_report(
    folder: Path, results: Sequence[Evaluation], test: Sequence[Demonstration], settings: Mapping[str, Any]
) -> None:
    """Into the folder: `results.json`, `results.csv` (a row a method), `answers.csv` (a row a test row), `report.md`
    and `report.html`. Raises `DataError` where they cannot be written."""
    from dbsa_core.evaluation.html import report_page

    files = {
        "results.json": json.dumps(as_json(results), indent=1, ensure_ascii=False) + "\n",
        "results.csv": _csv(_result_rows(results)),
        "answers.csv": _csv(_answer_rows(results, test)),
        "report.md": report_markdown(results, settings),
        "report.html": report_page(results, settings),
    }
    for name, text in files.items():
        try:
            (folder / name).write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise DataError(f'"{folder / name}" cannot be written ({error.strerror}).') from error


def as_json(results: Sequence[Evaluation]) -> dict[str, Any]:
    """Results of all methods, with reliability and confusion, and of every two of them which is better."""
    return {
        "results": [_result_json(found) for found in results],
        "comparisons": [
            {
                "first": each.first,
                "second": each.second,
                "n": each.n,
                "only_first": each.only_first,
                "only_second": each.only_second,
                "difference": each.difference.value,
                "difference_low": each.difference.low,
                "difference_high": each.difference.high,
                "mcnemar_p": each.p,
            }
            for each in comparisons(results)
        ],
    }


def _result_json(found: Evaluation) -> dict[str, Any]:
    """An empty answer is none."""
    confusion = [{"label": gold, "answer": answer, "rows": rows} for (gold, answer), rows in found.confusion().items()]
    return found.as_json() | {"reliability": [asdict(each) for each in found.reliability], "confusion": confusion}


def _result_rows(results: Sequence[Evaluation]) -> Iterator[Sequence[Any]]:
    found = [result.as_json() for result in results]
    names = list(dict.fromkeys(name for each in found for name in each if name not in ("unseen_labels", "no_option")))
    yield names
    for each in found:
        yield [each.get(name, "") for name in names]


def _answer_rows(results: Sequence[Evaluation], test: Sequence[Demonstration]) -> Iterator[Sequence[Any]]:
    names = [result.method for result in results]
    what = [("label", "probability", *(["in_scope_score"] if each.threshold is not None else [])) for each in results]
    titles = (f"{column}_{name}" for name, columns in zip(names, what, strict=True) for column in columns)
    yield ["row", "text", "label", *titles]
    for at, place in enumerate(results[0].places):
        row = test[place]
        answers = [
            (result.predicted[at], result.probabilities[at], *result.in_scope_scores[at : at + 1]) for result in results
        ]
        yield [row.row, row.text, row.label, *(value for answer in answers for value in answer)]


def _csv(rows: Iterator[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerows(rows)
    return buffer.getvalue()


# --- in words ---------------------------------------------------------------------------------------------------------


def headings(results: Sequence[Evaluation]) -> list[str]:
    """Of `table_row`s."""
    apart = ["in-scope accuracy", "out-of-scope recall"] if results[0].out_of_scope is not None else []
    apart += ["answered", "accuracy of those"] if may_refuse(results) else []
    return [
        "method", "accuracy", "macro-F1", *apart, "calibration error", "setup", "query p50", "query p95", "queries/s",
        "context tokens", "KV", "pays from query",
    ]  # fmt: skip


def table_row(found: Evaluation, results: Sequence[Evaluation]) -> list[str]:
    """A method's row of a table."""
    apart = [_estimate(each) for each in (found.in_scope_accuracy, found.oos_recall)]
    baseline = next((each for each in results if each.method == BASELINE), None)
    pays = found.paid_for_itself(baseline) if baseline is not None and baseline is not found else None
    return [
        f"{found.title} (`{found.method}`)",
        _estimate(found.accuracy_estimate),
        _estimate(found.macro_f1),
        *(apart if found.out_of_scope is not None else []),
        *([_estimate(found.coverage), _estimate(found.answered_accuracy)] if may_refuse(results) else []),
        "-" if found.calibration_error is None else f"{found.calibration_error:.3f}",
        f"{found.setup_seconds:,.2f} s",
        f"{found.latency_p50_seconds:.4f} s",
        f"{found.latency_p95_seconds:.4f} s",
        "-" if found.queries_per_second is None else f"{found.queries_per_second:,.1f}",
        f"{found.context_tokens:,.0f}",
        f"{found.kv_bytes / 1e6:,.1f} MB",
        "-" if pays is None else f"{pays:,}",
    ]


def _estimate(found: Estimate | None) -> str:
    return "-" if found is None else str(found)


def grouped(results: Sequence[Evaluation]) -> Iterator[tuple[str, list[Evaluation]]]:
    """What methods may read, and those that may; the most accurate first."""
    order = [*READS]
    ranked = sorted(results, key=lambda found: (order.index(found.may_read), -found.accuracy))
    for may_read, found in groupby(ranked, key=lambda found: found.may_read):
        yield READS[may_read], list(found)


def verdicts(results: Sequence[Evaluation]) -> list[list[str]]:
    """Every two methods, and which is better, with headings first."""
    titles = {found.method: found.title for found in results}
    rows = [["methods", "accuracy, first less second", "only one right", "McNemar's p", ""]]
    for each in comparisons(results):
        better = titles[each.first if each.difference.value > 0 else each.second]
        low, high = each.difference.low, each.difference.high
        rows.append(
            [
                f"{titles[each.first]} / {titles[each.second]}",
                f"{each.difference.value:+.1%} ({low:+.1%} to {high:+.1%})",
                f"{each.only_first:,} / {each.only_second:,}",
                f"{each.p:.2g}",
                f"{better} is better" if each.significant else "no difference beyond noise",
            ]
        )
    return rows


def mistakes(found: Evaluation) -> list[list[str]]:
    """The most frequent ones, with headings first."""
    wrong = [(pair, count) for pair, count in found.confusion().items() if pair[0] != pair[1]]
    rows = [[_short(gold), _short(answer) or "no answer", f"{count:,}"] for (gold, answer), count in wrong[:MISTAKES]]
    return [["right label", "answer", "rows"], *rows]


def _short(label: str) -> str:
    return label if len(label) <= _OF else label[: _OF - 1] + "…"


def summary(results: Sequence[Evaluation], settings: Mapping[str, Any]) -> str:
    """With what, on what."""
    data, model = settings["data"], settings["model"]
    held_out = f", {data['held_out']:,} of them held out" if data["held_out"] else ""
    return (
        f"{model['name']} ({model['dtype']}, {model['device']}); {data['rows']:,} labelled rows with "
        f"{data['labels']:,} labels{held_out}, {settings['encoded']['rows']:,} of them encoded "
        f"({settings['encode']['pool_tokens']:,} tokens); "
        f"{results[0].n:,} of {settings['test']['rows']:,} test rows."
    )


NOTES = (
    "Intervals hold 95 %, by bootstrap over the test rows. Times are of whole queries, each asked alone; queries/s are "
    'of all rows asked together. "Pays from query": from how many queries on a method has taken less time in all than '
    'Retrieval ICL. "Answered": with a label, where a reject option may refuse. p-values are of each pair alone: of '
    "many pairs, one in twenty seems different by chance."
)


def report_markdown(results: Sequence[Evaluation], settings: Mapping[str, Any]) -> str:
    """Tables of results and of every two methods."""
    told = [*filter(None, [beaten_by_word_counts(results)]), *without_option(results)]
    parts = ["# Evaluation", summary(results, settings), *told]
    for reads, found in grouped(results):
        parts += [
            f"## Methods that {reads}",
            _table([headings(results), *(table_row(each, results) for each in found)]),
        ]
    if len(results) > 1:
        parts += ["## Which is better", _table(verdicts(results))]
    for each in results:
        if len(listed := mistakes(each)) > 1:
            parts += [f"## Mistakes of {each.title}", _table(listed)]
    return "\n\n".join([*parts, NOTES]) + "\n"


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = (" | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows)
    rule = " | ".join("---" for _ in rows[0])
    return "\n".join(f"| {line} |" for line in (head, rule, *body))
