"""How a file's answers add up, as HTML: what needs a look, the accuracy where it is known, and the labels.

Pure functions; every piece of user text goes through `html.escape`.
"""

from __future__ import annotations

from collections import Counter
from html import escape

from app.rows.look import Look, look_button
from app.server.batch import Accuracy, Classified, LabelCount
from app.views import muted, view
from app.words import count, whole_percent
from dbsa_core.files.cells import quoted

SHOWN_LABELS = 12
"""Labels that are listed at once; the others stand behind "more"."""

CSS = """
.dbsa-tally table.dbsa-table { width: 100%; }
.dbsa.dbsa-tally table.dbsa-table :is(th, td) { padding: 0.2rem 0.5rem; overflow-wrap: break-word; }
.dbsa.dbsa-tally table.dbsa-table td { white-space: nowrap; }
.dbsa.dbsa-tally table.dbsa-table tbody th { text-align: left; font-weight: 400; white-space: normal;
  overflow-wrap: anywhere; }
.dbsa.dbsa-tally button.dbsa-look[data-event] { border: 0; background: none; padding: 0; text-align: left;
  text-decoration: underline; text-underline-offset: 0.2em; color: inherit; font-size: inherit; }
@media (max-width: 760px) {
  .dbsa-tally .dbsa-bar { display: none; }
}
.dbsa-tally .dbsa-track { min-width: 3rem; height: 0.55rem; }
"""


def summary_view(found: Classified) -> str:
    """ "" before the first row is done."""
    answers = found.answers()
    if not answers:
        return ""
    checks = Counter(answer.check for answer in answers if answer.check)
    need, so_far = sum(answer.needs_a_look for answer in answers), found.done < found.total
    verb = "needs" if need == 1 else "need"
    head = f"{need:,} of {count(len(answers), 'row')} {'so far ' if so_far else ''}{verb} a look"
    named = " · ".join(f"{number:,} {check}" for check, number in checks.most_common())
    parts = [f'<p class="dbsa-lead">{head}</p>', muted(named) if named else "", *_accuracy(found)]
    labels = found.by_label()
    parts += ['<h3 class="dbsa-sub">By label</h3>', _labels(labels[:SHOWN_LABELS], labels, found)]
    if further := labels[SHOWN_LABELS:]:
        more = f"<summary>{count(len(further), 'more label')}</summary>{_labels(further, labels, found)}"
        parts.append(f'<details data-keep="more labels">{more}</details>')
    return view("tally", *parts)


def _accuracy(found: Classified) -> list[str]:
    whole, unseen = found.accuracy(), found.accuracy(unseen_only=True)
    if whole is None:
        return []
    said = [f'<p class="dbsa-accuracy"><strong>Accuracy {accuracy_words(whole)}</strong></p>']
    in_data = whole.rows - (unseen.rows if unseen is not None else 0)
    if in_data:
        rest = f"; without them {accuracy_words(unseen)}" if unseen is not None else ""
        said.append(muted(f"The texts of {count(in_data, 'row')} stand in the data as well{rest}."))
    if unknown := found.unknown_labels():
        are, rows = ("is", "Its rows count") if len(unknown) == 1 else ("are", "Their rows count")
        said.append(muted(f"No label of the data {are} {quoted(unknown)}. {rows} as wrong."))
    return said


def accuracy_words(found: Accuracy) -> str:
    """ "87 % (95 % interval 84 % to 90 %) on 400 labelled rows"."""
    low, high = map(whole_percent, found.interval)
    rows = count(found.rows, "labelled row")
    return f"{whole_percent(found.share)} (95 % interval {low} to {high}) on {rows}"


def _labels(shown: list[LabelCount], labels: list[LabelCount], found: Classified) -> str:
    most, gold = max(label.rows for label in labels) or 1, bool(found.rows.gold)
    head = (
        '<th scope="col">Label</th><th scope="col">Rows</th><td class="dbsa-bar"></td><th scope="col">Need a look</th>'
    )
    head += '<th scope="col">Right</th>' if gold else ""
    rows = []
    for label in shown:
        width = 100 * label.rows / most
        cells = [
            f"<td>{label.rows:,}</td>",
            f'<td class="dbsa-bar"><span class="dbsa-track"><span class="dbsa-fill" style="width:{width:.1f}%"></span>'
            "</span></td>",
            f"<td>{label.need_a_look:,}</td>",
        ]
        if gold:
            cells.append(f"<td>{label.right:,} of {label.gold:,}</td>" if label.gold else "<td></td>")
        button = look_button(label.label, Look("label", label.label)) if label.rows else escape(label.label)
        rows.append(f'<tr><th scope="row">{button}</th>{"".join(cells)}</tr>')
    return f'<table class="dbsa-table"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
