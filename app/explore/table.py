"""A page of a file's rows as HTML, what they have in common, and each one's way out of the pool and back.

Pure functions; every piece of user text goes through `html.escape`.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import numpy as np

from app.explore.lengths import range_words
from app.explore.problems import kind_words
from app.rows.look import ROWS_A_PAGE, first_shown, look_button, turning
from app.server.curating import WHICH
from app.server.data import Data
from app.server.exploring import BY_HAND, EXCLUDED, LEFT_OUT, USED, Chosen, Press, Rows
from app.views import breakable, muted, scrolling, view
from app.words import count, out_of, shortened

CELL_LENGTH, OTHER_LENGTH = 240, 60
"""Characters of a text, and of another cell, that are shown."""
OTHER_COLUMNS = 4
"""Of the columns that are not used, the most that are shown."""

CSS = """
.dbsa table.dbsa-rows.dbsa-explored td:last-child { white-space: nowrap; text-align: right; padding-right: 0; }
.dbsa table.dbsa-explored tr.dbsa-gone td { color: var(--dbsa-muted); }
.dbsa table.dbsa-explored tr.dbsa-gone td.dbsa-text { text-decoration: line-through; }
.dbsa table.dbsa-explored .dbsa-tag { white-space: normal; }
.dbsa table.dbsa-rows.dbsa-explored td.dbsa-called { min-width: 9rem; }
.dbsa.dbsa-explorer table td:last-child button { border: 0; background: none; padding: 0; color: var(--dbsa-muted);
  text-decoration: underline; text-underline-offset: 0.2em; font-size: 0.82rem; }
.dbsa.dbsa-explorer table td:last-child button:hover { color: inherit; }
.dbsa-explorer .dbsa-turn { margin-left: auto; display: flex; gap: 0.4rem; align-items: center; }
.dbsa-explorer .dbsa-lead { margin: 0.2rem 0 0.3rem; }
@media (max-width: 760px) {
  .dbsa table.dbsa-explored .dbsa-number { display: none; }
  .dbsa table.dbsa-rows.dbsa-explored td.dbsa-called { min-width: 5rem; }
  .dbsa table.dbsa-rows.dbsa-explored td:last-child { white-space: normal; }
}
"""

STAYING = """
let left = -1;
const ways = () => [...element.querySelectorAll('tbody td:last-child')].map(one => one.querySelector('button'));
element.addEventListener('click', event => {
  const way = event.target.closest('tbody button[data-event]');
  left = way ? ways().indexOf(way) : -1;
});
watch('value', () => {
  if (left < 0 || document.activeElement !== document.body) return;
  const there = ways();
  (there[left] ?? there.at(-1))?.focus({preventScroll: true});
  left = -1;
});
"""
"""For `js_on_load`: where a row's button was pressed, the focus stays on that line."""


def table_view(data: Data, rows: Rows, chosen: Chosen) -> str:
    """The rows of the filter's page, with what they have in common above them."""
    filter, places = chosen.filter, chosen.places
    first = first_shown(filter, len(places))
    shown = places[first : first + ROWS_A_PAGE].tolist()
    table = _table(data, rows, shown) if shown else muted("No row fits all of that.")
    head = f'<p class="dbsa-lead" aria-live="polite" id="explored">{escape(said(rows, chosen))}</p>'
    return view("explorer", head, _bar(rows, chosen), table)


def said(rows: Rows, chosen: Chosen) -> str:
    """ "132 of 9,999 rows in use: labelled card_arrival, 40 to 59 characters"."""
    filter, found = chosen.filter, len(chosen.places)
    what = {"used": " in use", "out": " left out", "all": " of the file"}[filter.show]
    if not filter.narrows:
        return f"{count(chosen.total, 'row')}{what}"
    named = []
    if filter.label:
        named.append(f"labelled {filter.label}")
    if filter.length >= 0:
        named.append(range_words(rows, int(rows.ranges(filter.length))))
    if filter.problem:
        named.append(kind_words(filter.problem))
    if filter.words.strip():
        named.append(f"with “{filter.words.strip()}”")
    return f"{out_of(found, chosen.total, 'row')}{what}: {', '.join(named)}"


def _bar(rows: Rows, chosen: Chosen) -> str:
    """Which rows, in which order; what can be done with all of them; and the way to the pages around."""
    filter, places = chosen.filter, chosen.places
    used, whole = int((rows.state == USED).sum()), len(rows.state)
    ways = [("In use", "used", used), ("Left out", "out", whole - used), ("Whole file", "all", whole)]
    buttons = [
        look_button(f"{name} {number:,}", Press({"show": show}), pressed=filter.show == show)
        for name, show, number in ways
        if show != "out" or number
    ]
    orders = (("File's order", "file"), ("Longest first", "longest"))
    buttons += [look_button(name, Press({"order": order}), pressed=filter.order == order) for name, order in orders]
    if filter.narrows:
        buttons.append('<button type="button" data-event="clear">Clear the filter</button>')
        buttons += _with_all(rows.state[places])
    turn = f'<span class="dbsa-turn">{"".join(turning(filter, len(places)))}</span>'
    return f'<div class="dbsa-rowbar">{"".join(buttons)}{turn}</div>'


def _with_all(state: np.ndarray) -> Iterator[str]:
    used, by_hand = int((state == USED).sum()), int((state == EXCLUDED).sum())
    if used:
        yield f'<button type="button" data-event="delete" value="{WHICH}">Leave {count(used, "row")} out</button>'
    if by_hand:
        yield f'<button type="button" data-event="retry" value="{WHICH}">Take {count(by_hand, "row")} back</button>'


def _table(data: Data, rows: Rows, shown: list[int]) -> str:
    others = [name for name in map(str, data.table.frame.columns) if name not in (data.text_column, data.label_column)]
    others = others[:OTHER_COLUMNS]
    heads = [
        ("Row", ""),
        (data.text_column, "dbsa-text"),
        (data.label_column, "dbsa-called"),
        ("characters", "dbsa-number"),
    ]
    heads += [(name, "dbsa-other") for name in others]
    head = "".join(f'<th scope="col" class="{kind}">{escape(shortened(name, 40))}</th>' for name, kind in heads)
    body = "".join(_row(data, rows, place, others) for place in shown)
    table = (
        f'<table class="dbsa-table dbsa-rows dbsa-file dbsa-explored"><thead><tr>{head}<td></td></tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )
    return scrolling(table, "Rows of the file")


def _row(data: Data, rows: Rows, place: int, others: list[str]) -> str:
    row, state = int(rows.numbers[place]), int(rows.state[place])
    label, tags = rows.own_labels[place], [kind_words(kind) for kind in rows.kinds_of(row)]
    if state == EXCLUDED:
        tags = [kind_words(BY_HAND)]
    kind = "out" if state != USED else "kept"
    noted = "".join(f' <span class="dbsa-tag dbsa-{kind}">{escape(tag)}</span>' for tag in tags)
    cells = [
        f'<th scope="row">{row:,}</th>',
        f'<td class="dbsa-text">{breakable(shortened(rows.texts[place], CELL_LENGTH))}</td>',
        f'<td class="dbsa-called">{breakable(shortened(label, CELL_LENGTH))}{noted}</td>',
        f'<td class="dbsa-number">{int(rows.lengths[place]):,}</td>',
    ]
    for name in others:
        own = data.table.frame[name].iat[place] or ""
        cells.append(f'<td class="dbsa-other">{breakable(shortened(own, OTHER_LENGTH))}</td>')
    cells.append(f"<td>{_way(row, state)}</td>")
    gone = "" if state == USED else ' class="dbsa-gone"'
    return f"<tr{gone}>{''.join(cells)}</tr>"


def _way(row: int, state: int) -> str:
    if state == LEFT_OUT:
        return ""
    event, text = ("delete", "Leave out") if state == USED else ("retry", "Take back")
    return (
        f'<button type="button" data-event="{event}" value="row {row}" aria-label="{text}: row {row}">{text}</button>'
    )
