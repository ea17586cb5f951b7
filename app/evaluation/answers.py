"""Test rows with the answer of every method, as an HTML table.

Pure functions; every piece of user text goes through `html.escape`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from app.evaluation.cut import Cut
from app.evaluation.results import NO_ANSWER
from app.rows.look import ROWS_A_PAGE, first_shown, look_button, turning
from app.rows.table import CELL_LENGTH
from app.server.evaluated import Evaluated
from app.views import breakable, muted, view
from app.words import count, shortened, whole_percent

CSS = """
.dbsa.dbsa-tested table.dbsa-rows td.dbsa-text { min-width: 14rem; overflow-wrap: anywhere; }
.dbsa.dbsa-tested table.dbsa-rows td small { color: var(--dbsa-muted); font-size: 0.8rem; white-space: nowrap; }
.dbsa.dbsa-tested td.dbsa-wrong > span { text-decoration: underline wavy var(--dbsa-warning-line) 1px;
  text-underline-offset: 0.25em; }
@media (max-width: 760px) { .dbsa.dbsa-tested table.dbsa-rows td { min-width: 6rem; } }
"""


def answers_view(run: Evaluated, cut: Cut) -> str:
    """One page of the rows of that cut; "" before there is a result."""
    found = cut.result(run)
    if found is None:
        return ""
    chosen = cut.rows(run)
    first = first_shown(cut, len(chosen))
    shown = chosen[first : first + ROWS_A_PAGE]
    return view(
        "tested",
        '<h2 class="dbsa-sub" id="tested-rows">Test rows with their answers</h2>',
        f'<p id="tested-which">{_words(cut, run, len(chosen))}</p>',
        _bar(cut, run, len(chosen)),
        _table(run, shown) if shown else muted("No row."),
    )


def _words(cut: Cut, run: Evaluated, rows: int) -> str:
    """What is shown, in words."""
    found, other = cut.result(run), run.result(cut.other)
    title = escape(found.title) if found is not None else ""
    gold, answer = (f"<b>{breakable(label or NO_ANSWER)}</b>" for label in (cut.gold, cut.answer))
    others = escape(other.title) if other is not None else "another method"
    said = {
        "all": "all of them",
        "wrong": f"answered wrongly by {title}",
        "cell": f"right label {gold}, answered as {answer} by {title}",
        "label": f"right label {gold}",
        "answer": f"answered as {answer} by {title}",
        "only": f"answered rightly by {title} and wrongly by {others}",
    }
    return f"{count(rows, 'row')}: {said[cut.show]}"


def _bar(cut: Cut, run: Evaluated, chosen: int) -> str:
    buttons = [look_button(f"All {run.answered:,}", cut.to("all"), pressed=cut.show == "all")]
    for each in run.results:
        to = cut.to("wrong", method=each.method)
        buttons.append(look_button(f"Wrong by {each.title} {each.wrong:,}", to, pressed=cut.is_page_of(to)))
    return f'<div class="dbsa-rowbar">{"".join([*buttons, "<span></span>", *turning(cut, chosen)])}</div>'


def _table(run: Evaluated, shown: Sequence[int]) -> str:
    heads = ["Row", "Text", "Right label", *(each.title for each in run.results)]
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    places = run.places
    body = "".join(f"<tr>{''.join(_row(run, at, places[at]))}</tr>" for at in shown)
    table = f'<table class="dbsa-table dbsa-rows"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    named = 'role="region" aria-labelledby="tested-rows" tabindex="0"'
    return f'<div class="dbsa-scroll" {named}>{table}</div>'


def _row(run: Evaluated, at: int, place: int) -> Iterator[str]:
    row = run.rows[place]
    yield f'<th scope="row">{row.row:,}</th>'
    there = "<br><small>stands in the data</small>" if place in run.in_data else ""
    yield f'<td class="dbsa-text">{breakable(shortened(row.text, CELL_LENGTH))}{there}</td>'
    yield f"<td>{breakable(row.label)}</td>"
    for found in run.results:
        probability = found.probabilities[at]
        share = f" <small>{whole_percent(probability)}</small>" if probability is not None else ""
        wrong = "" if found.right[at] else ' class="dbsa-wrong"'
        yield f"<td{wrong}><span>{breakable(found.predicted[at] or NO_ANSWER)}</span>{share}</td>"
