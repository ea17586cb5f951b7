"""Who answered what: one method's answers against the right labels, and the methods against each other, as tables whose
cells lead to their rows.

Pure functions; every piece of user text goes through `html.escape`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from app.evaluation.cut import Cut
from app.evaluation.results import NO_ANSWER
from app.rows.look import look_button
from app.server.evaluated import Evaluated
from app.views import muted, scrolling, view
from app.words import count, shortened

if TYPE_CHECKING:
    from dbsa_core.evaluation import Evaluation

MOST_LABELS = 24
"""Of a confusion matrix: those that were mistaken most often."""
_NAME = 26
"""Characters of a label in a heading, at most."""

CSS = """
.dbsa-matrix { display: flex; flex-wrap: wrap; gap: 0.5rem 2.5rem; align-items: flex-start; }
.dbsa-matrix > section { min-width: 0; max-width: 100%; }
.dbsa-matrix > section + section { flex: 0 1 24rem; }
.dbsa.dbsa-matrix table.dbsa-table { min-width: 0; font-size: 0.82rem; }
.dbsa.dbsa-matrix table.dbsa-table td { padding: 0; border: 0; text-align: center; }
.dbsa.dbsa-matrix table.dbsa-table th { padding: 0; border: 0; text-align: center; }
.dbsa.dbsa-matrix table.dbsa-table tbody th:first-child { text-align: right; padding: 0 0.4rem 0 0; }
.dbsa.dbsa-matrix table.dbsa-table thead th { vertical-align: bottom; font-weight: 400; }
.dbsa.dbsa-matrix table.dbsa-table thead th > * { writing-mode: vertical-rl; transform: rotate(180deg);
  padding: 0.3rem 0 0; }
.dbsa.dbsa-matrix table.dbsa-table tbody td { width: 1.75rem; min-width: 1.75rem; height: 1.55rem;
  border: 1px solid var(--background-fill-primary); background: var(--dbsa-soft); }
.dbsa.dbsa-matrix table.dbsa-table td.dbsa-hit {
  background: color-mix(in srgb, var(--dbsa-soft-blue) var(--share), var(--dbsa-soft)); }
.dbsa.dbsa-matrix table.dbsa-table td.dbsa-miss {
  background: color-mix(in srgb, var(--dbsa-warm) var(--share), var(--dbsa-soft)); }
.dark .dbsa.dbsa-matrix table.dbsa-table td.dbsa-miss {
  background: color-mix(in srgb, var(--dbsa-warm) calc(0.45 * var(--share)), var(--dbsa-soft)); }
.dbsa.dbsa-matrix table button.dbsa-look[data-event] { border: 0; border-radius: 0; background: none; padding: 0;
  color: var(--body-text-color); font-size: inherit; line-height: 1.4; font-weight: inherit; }
.dbsa.dbsa-matrix table td button.dbsa-look[data-event] { display: block; width: 100%; height: 100%; }
.dbsa.dbsa-matrix table button.dbsa-look[data-event]:hover { outline: 2px solid var(--dbsa-info-line);
  outline-offset: -1px; }
.dbsa.dbsa-matrix table button.dbsa-look[data-event]:focus-visible { outline: 2px solid var(--dbsa-info-line);
  outline-offset: -1px; }
.dbsa.dbsa-matrix table td button.dbsa-look[aria-pressed="true"] { outline: 2px solid var(--dbsa-outline);
  outline-offset: -1px; font-weight: 700; }
.dbsa-matrix .dbsa-axis { color: var(--dbsa-muted); font-size: 0.8rem; margin: 0 0 0.2rem; }
.dbsa-whose { display: flex; flex-wrap: wrap; gap: 0.35rem; margin: 0.2rem 0 0.5rem; }
"""


def matrices_view(run: Evaluated, cut: Cut) -> str:
    """Both; "" before there is a result."""
    found = cut.result(run)
    if found is None:
        return ""
    whose = [
        look_button(each.title, cut.to("wrong", method=each.method), pressed=each.method == found.method)
        for each in run.results
    ]
    head = f'<h2 class="dbsa-sub">Right labels and answers</h2><div class="dbsa-whose">{"".join(whose)}</div>'
    parts = [f"<section>{head}{_confusion(found, cut)}</section>"]
    if len(run.results) > 1:
        parts.append(f'<section><h2 class="dbsa-sub">Where methods differ</h2>{_disagreement(run, cut)}</section>')
    return view("matrix", *parts)


def shown_labels(found: Evaluation) -> tuple[list[str], int]:
    """Labels, right ones and answered ones, in their order, and how many there are: of many those that were mistaken,
    most often if they are many too. The last one is "", no answer, where there is such."""
    wrong: dict[str, int] = {}
    for (gold, answer), rows in found.confusion().items():
        for label in {gold, answer}:
            wrong[label] = wrong.get(label, 0) + (rows if gold != answer else 0)
    ranked = sorted(wrong, key=lambda label: (-wrong[label], label))
    if len(ranked) > MOST_LABELS:
        ranked = [label for label in ranked[:MOST_LABELS] if wrong[label]] or ranked[:MOST_LABELS]
    return sorted(ranked, key=lambda label: (label == "", label)), len(wrong)


def _confusion(found: Evaluation, cut: Cut) -> str:
    (kept, labels), counts = shown_labels(found), found.confusion()
    head = "".join(f'<th scope="col">{_heading(label, cut.to("answer", answer=label))}</th>' for label in kept)
    most = max(counts.values())
    rows = []
    for gold in filter(None, kept):
        cells = []
        for answer in kept:
            to = cut.to("cell", gold=gold, answer=answer)
            said = f"{_named(gold)} answered as {_named(answer)}"
            cells.append(_cell(counts.get((gold, answer), 0), most, gold == answer, to, cut, said))
        rows.append(f'<tr><th scope="row">{_heading(gold, cut.to("label", gold=gold))}</th>{"".join(cells)}</tr>')
    left = ""
    if labels > len(kept):
        shown = set(kept)
        rest = sum(rows for (gold, answer), rows in counts.items() if gold != answer and not {gold, answer} <= shown)
        how = f"most often; {count(rest, 'further mistake')} with others stand among the rows below" if rest else ""
        left = muted(f"{len(kept):,} of {count(labels, 'label')}: those that were mistaken{f' {how}' if how else ''}.")
    return _matrix(head, rows, "Down: the right label. Across: the answer.", "Right labels and answers") + left


def _disagreement(run: Evaluated, cut: Cut) -> str:
    results = run.results
    head = "".join(f'<th scope="col"><span>{escape(each.title)}</span></th>' for each in results)
    most = max(each.wrong for each in results) or 1
    rows = []
    for one in results:
        cells = []
        for other in results:
            if one is other:
                to, number = cut.to("wrong", method=one.method), one.wrong
                said = f"answered wrongly by {one.title}"
            else:
                to = cut.to("only", method=one.method, other=other.method)
                number = sum(mine and not its for mine, its in zip(one.right, other.right, strict=True))
                said = f"answered rightly by {one.title} and wrongly by {other.title}"
            cells.append(_cell(number, most, one is not other, to, cut, said))
        rows.append(f'<tr><th scope="row">{escape(one.title)}</th>{"".join(cells)}</tr>')
    words = (
        "Rows that the method on the left answered rightly and the one above did not; on the diagonal, its mistakes."
    )
    return _matrix(head, rows, words, "Where methods differ")


def _cell(number: int, most: int, hit: bool, to: Cut, cut: Cut, said: str) -> str:
    if not number:
        return "<td></td>"
    share = 25 + 55 * math.log1p(number) / math.log1p(most)
    button = look_button(f"{number:,}", to, pressed=cut.is_page_of(to), title=f"{count(number, 'row')} {said}")
    return f'<td class="dbsa-{"hit" if hit else "miss"}" style="--share:{share:.0f}%">{button}</td>'


def _heading(label: str, to: Cut) -> str:
    return look_button(shortened(_named(label), _NAME), to, title=_named(label))


def _named(label: str) -> str:
    return label or NO_ANSWER


def _matrix(head: str, rows: Sequence[str], words: str, name: str) -> str:
    table = f'<table class="dbsa-table"><thead><tr><td></td>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<p class="dbsa-axis">{escape(words)}</p>{scrolling(table, name)}'
