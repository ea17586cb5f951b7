"""An evaluation's results as HTML: each method's accuracy and cost, and which of them is better.

Pure functions; every piece of user text goes through `html.escape`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from app.evaluation.cut import Cut
from app.rows.look import look_button
from app.server.evaluated import Evaluated
from app.views import message_view, muted, scrolling, size_words, view
from app.words import count, measured, out_of, percent

if TYPE_CHECKING:
    from dbsa_core.evaluation import Estimate, Evaluation

NO_ANSWER = "no answer"

CSS = """
.dbsa.dbsa-results table.dbsa-table { width: 100%; }
.dbsa.dbsa-results table.dbsa-table td { text-align: left; vertical-align: top; padding: 0.3rem 0.5rem;
  white-space: nowrap; }
.dbsa.dbsa-results table.dbsa-table thead th { text-align: left; vertical-align: bottom; padding: 0.3rem 0.5rem;
  overflow-wrap: normal; }
.dbsa.dbsa-results table.dbsa-table tbody th { white-space: normal; min-width: 9rem; font-weight: 600;
  vertical-align: top; }
.dbsa.dbsa-results table.dbsa-table thead th:first-child { padding-left: 0; font-weight: 600; }
.dbsa.dbsa-results table small { display: block; color: var(--dbsa-muted); font-size: 0.8rem; font-weight: 400;
  white-space: nowrap; }
.dbsa.dbsa-results button.dbsa-look[data-event] { border: 0; background: none; padding: 0; color: inherit;
  text-decoration: underline; text-underline-offset: 0.2em; font-size: inherit; text-align: left; }
.dbsa.dbsa-results .dbsa-message { margin-bottom: 0.6rem; }
"""


def results_view(run: Evaluated) -> str:
    """ "" before there is a result."""
    results = run.results
    if not results:
        return view("results", *_refused(run)) if run.refused else ""
    from dbsa_core.evaluation import beaten_by_word_counts, without_option

    head = f"Run {run.number}: {out_of(run.answered, len(run.rows), 'test row')}, {run.test}; data: {run.data}"
    parts = [f'<p class="dbsa-lead">{escape(head)}</p>', message_view(beaten_by_word_counts(results), "warning")]
    table = _table(_heads(run), [_row(found, run) for found in ranked(results)])
    parts += [table, *_refused(run), *map(muted, without_option(results)), muted(_notes(run))]
    if len(results) > 1:
        parts.append(f'<details data-keep="better"><summary>Which is better</summary>{_pairs(results)}</details>')
    return view("results", *parts)


def ranked(results: Sequence[Evaluation]) -> list[Evaluation]:
    """The most accurate first."""
    return sorted(results, key=lambda found: -found.accuracy)


def estimate_words(found: Estimate | None) -> tuple[str, str]:
    """A share and its interval: "91.3 %", "88.0 % to 94.0 %"; two empty ones for None."""
    if found is None:
        return "", ""
    return percent(found.value), f"{percent(found.low)} to {percent(found.high)}"


def _refused(run: Evaluated) -> Iterator[str]:
    for name, why in run.refused.items():
        yield muted(f"{name} is left out: {why}")


def _told_apart(run: Evaluated) -> bool:
    return any(found.in_scope_accuracy or found.oos_recall for found in run.results)


def _heads(run: Evaluated) -> list[str]:
    from dbsa_core.evaluation import may_refuse

    beyond = ["Without rows of the data"] if run.in_data else []
    apart = ["In scope", "Out-of-scope recall"] if _told_apart(run) else []
    refuses = ["Answered", "Of those, right"] if may_refuse(run.results) else []
    more = ["Macro-F1", "Calibration error", "Once", "A query", "Keeps", "Wrong"]
    return ["Method", "Accuracy", *beyond, *apart, *refuses, *more]


def _row(found: Evaluation, run: Evaluated) -> list[str]:
    from dbsa_core.evaluation import may_refuse

    shares: list[Estimate | None] = [found.accuracy_estimate]
    shares += [without(found, run)] if run.in_data else []
    shares += [found.in_scope_accuracy, found.oos_recall] if _told_apart(run) else []
    shares += [found.coverage, found.answered_accuracy] if may_refuse(run.results) else []
    error = found.calibration_error
    latency = measured(found.latency_p50_seconds), f"95 % up to {measured(found.latency_p95_seconds)}"
    button = look_button(f"{found.wrong:,}", Cut(run.id, found.method, "wrong")) if found.wrong else "0"
    return [
        f"{escape(found.title)}<small>{escape(found.method)}</small>",
        *(_two(*estimate_words(share)) for share in shares),
        _two(*estimate_words(found.macro_f1)),
        "" if error is None else f"{error:.3f}",
        measured(found.setup_seconds),
        _two(*latency),
        size_words(found.kv_bytes) if found.kv_bytes else "nothing",
        button,
    ]


def without(found: Evaluation, run: Evaluated) -> Estimate | None:
    """Accuracy on the rows whose text does not stand in the data; None where there are none."""
    from dbsa_core.evaluation.measures import share

    kept = [hit for hit, place in zip(found.right, run.places, strict=True) if place not in run.in_data]
    return share(sum(kept), len(kept)) if kept else None


def _two(value: str, below: str) -> str:
    return f"{escape(value)}<small>{escape(below)}</small>" if below else escape(value)


def _notes(run: Evaluated) -> str:
    said = [
        "Intervals hold 95 %. A query: half of them took no longer, each asked alone, the first ones left out. Once: "
        "what is done before, the encoding of the pool included."
    ]
    unanswered = max(found.unanswered for found in run.results)
    if unanswered:
        said.append(f"{count(unanswered, 'row')} fit no context and count as wrong.")
    return " ".join(said)


def _pairs(results: Sequence[Evaluation]) -> str:
    from dbsa_core.evaluation import comparisons

    titles = {found.method: found.title for found in results}
    rows = []
    for each in comparisons(results):
        better = titles[each.first if each.difference.value > 0 else each.second]
        difference = _two(
            signed(each.difference.value), f"{signed(each.difference.low)} to {signed(each.difference.high)}"
        )
        rows.append(
            [
                f"{escape(titles[each.first])} / {escape(titles[each.second])}",
                difference,
                f"{each.only_first:,} / {each.only_second:,}",
                f"{each.p:.2g}",
                f"{escape(better)} is better" if each.significant else "No difference beyond noise",
            ]
        )
    return _table(["Methods", "Accuracy, first less second", "Only one right", "McNemar’s p", ""], rows)


def signed(share: float) -> str:
    """ "+2.1 %"."""
    return f"{100 * share:+.1f} %".replace("-", "−")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The cells of rows are HTML."""
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for first, *cells in rows
    )
    table = f'<table class="dbsa-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return scrolling(table, "Results")
