"""The lower half of the Ask page as HTML: blocks and similar rows that were read, and where the query looked.

Pure functions of what is shown; every piece of user text goes through `html.escape`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from app.ask.cards import muted_class
from app.ask.heads import Columns, heads_panel, number_one
from app.ask.inside import inside_view
from app.ask.linked import about, part_of, said_line
from app.ask.pictures import attention_bars, attention_sentence, bar_sentence, of_head
from app.ask.shown import Pieces, ShownAnswer, ShownPart, ShownRow
from app.views import muted
from app.words import count, percent
from dbsa_core.data import TAUGHT

LISTED = 100
"""Parts that have an entry of their own."""


def below_view(answer: ShownAnswer, outdated: str = "") -> str:
    """Both halves side by side, under what is said of the part that is chosen."""
    columns = Columns(answer) if answer.attention is not None else None
    halves = f"{said_line()}{_parts(answer, columns)}{_looked(answer, columns)}"
    return f'<div class="dbsa dbsa-below{muted_class(outdated)}" data-answer="{about(answer)}">{halves}</div>'


def _parts(answer: ShownAnswer, columns: Columns | None) -> str:
    blocks = len(answer.read)
    similar = len(answer.parts) - blocks
    named = [count(blocks, "block")] if blocks else []
    named += [count(similar, "similar row")] if similar else []
    listed, left = _listed(answer)
    places, hints = _places(listed), []
    if any(strength for part in listed for row in part.rows for _, strength in (*row.text, *row.label)):
        hints.append("matching words marked")
    if any(row.near is not None for part in listed for row in part.rows[1:]):
        hints.append("nearest by meaning first")
    items = "".join(
        _part(answer, columns, part, {name: place[at] for name, place in places.items()})
        for at, part in enumerate(listed)
    )
    body = f'<div id="blocks" class="dbsa-list dbsa-roving" role="group" aria-label="Rows that were read">{items}</div>'
    head = (
        f'<div class="dbsa-sort">{_sorted_by(places)}<span>{escape(" · ".join(hints))}</span></div>' if listed else ""
    )
    return _folded(", ".join(named) or "Nothing was read", "", head + body + _unlisted(left))


def _listed(answer: ShownAnswer) -> tuple[list[ShownPart], list[ShownPart]]:
    """The parts that have an entry, and the others: those with least attention, or by score where none is known."""
    order = [*range(len(answer.parts))]
    if answer.attention is None:
        order.sort(key=lambda at: _ORDERS["score"].key(answer.parts[at]))
    kept = {*order[:LISTED]}
    parts = [*enumerate(answer.parts)]
    return [part for at, part in parts if at in kept], [part for at, part in parts if at not in kept]


@dataclass(frozen=True)
class _Order:
    """What a list can be sorted by."""

    words: str
    key: Callable[[ShownPart], Any]
    known: Callable[[ShownPart], bool] = lambda part: True
    """Whether it is known of a part."""


_ORDERS = {
    "attention": _Order("attention", lambda part: -(part.share or 0.0), lambda part: part.share is not None),
    "score": _Order(
        "score", lambda part: (part.score is not None, -(part.score or 0.0)), lambda part: part.score is not None
    ),
    "pool": _Order("order in the pool", lambda part: (part.key.split()[0], int(part.key.split()[1]))),
}


def _places(parts: Sequence[ShownPart]) -> dict[str, list[int]]:
    """By what these can be sorted, and each one's place then."""
    found = {}
    for name, order in _ORDERS.items():
        if any(map(order.known, parts)):
            keys = [*map(order.key, parts)]
            ranked = sorted(range(len(parts)), key=keys.__getitem__)
            found[name] = [ranked.index(at) for at in range(len(parts))]
    return found


def _sorted_by(places: Mapping[str, Sequence[int]]) -> str:
    """The first one is how they come; "" where there is one alone."""
    if len(places) < 2:
        return ""
    options = "".join(f'<option value="{name}">{_ORDERS[name].words}</option>' for name in places)
    return f"<label>Sorted by <select data-sort>{options}</select></label>"


def _unlisted(left: Sequence[ShownPart]) -> str:
    """What is not told of one by one."""
    if not left:
        return ""
    shares = [part.share for part in left if part.share is not None]
    got = f" They got {percent(sum(shares))} of the attention together." if shares else ""
    return muted(f"{count(len(left), 'more part', 'more parts')} of the context stand in the pictures alone.{got}")


def _folded(title: str, hint: str, body: str) -> str:
    summary = f'<summary>{escape(title)}<span class="dbsa-hint">{escape(hint)}</span></summary>'
    return f"<details data-wide open>{summary}{body}</details>"


def _part(answer: ShownAnswer, columns: Columns | None, part: ShownPart, places: Mapping[str, int]) -> str:
    share = f'<span class="dbsa-share">{percent(part.share)}</span>' if part.share is not None else ""
    name = f"<b>{escape(part.name)}</b><span>{escape(part.note)}</span>{share}"
    rest = len(part.rows) - 1
    more = f"+{count(rest, 'row')}" if rest else "more"
    head = (
        f'<button type="button" data-link aria-pressed="false">{name}</button><button type="button" tabindex="-1" '
        f'data-expand="{more}" aria-expanded="false" aria-label="{more} of {escape(part.name)}">{more}</button>'
    )
    order = "".join(f' data-by-{name}="{place}"' for name, place in places.items())
    most = max((row.share or 0.0 for row in part.rows), default=0.0)
    rows = "".join(_row(row, at, most) for at, row in enumerate(part.rows))
    if columns is not None and columns.has(part.key):
        order += f" {of_head(columns, [part.key], part.note)}"
        rows += _start(answer, part, most)
    if answer.attention is not None and answer.tells_tokens:
        rows += inside_view(part, answer.attention.reach)
    return (
        f'<article class="dbsa-entry" data-part="{part_of(part.key)}" data-said="{escape(_said(answer, part))}"{order}>'
        f"<header>{head}</header>{rows}</article>"
    )


def _said(answer: ShownAnswer, part: ShownPart) -> str:
    attention = answer.attention
    if attention is not None and part.key in attention.shares:
        return bar_sentence(attention, [part.key], part.note) + _most_of_rows(part)
    return f"{part.name} ({part.note})."


def _most_of_rows(part: ShownPart) -> str:
    """ " Of its rows, row 345 got most: 2.1 %."; "" of a single one, and where that is not known."""
    known = [row for row in part.rows if row.share is not None]
    if len(known) < 2:
        return ""
    most = max(known, key=lambda row: row.share or 0.0)
    return f" Of its rows, {_place(most)} got most: {percent(most.share or 0.0)}."


def _place(row: ShownRow) -> str:
    return "one taught by you" if row.number == TAUGHT else f"row {row.number:,}"


def _start(answer: ShownAnswer, part: ShownPart, most: float) -> str:
    """What stands before the pool's first row, in the first block's entry."""
    attention = answer.attention
    if attention is None or attention.by_row is None or attention.start is None or not number_one(part.key):
        return ""
    share = float(attention.by_row[..., attention.start].mean())
    got = _got(share, attention.start, max(share, most))
    return f'<div class="dbsa-demo dbsa-start">Beginning of the text, before any row {got}</div>'


def _got(share: float, stretch: int | None, most: float, number: str = "") -> str:
    """The share of a row, with a bar to the scale of its block's largest."""
    place = f' data-stretch="{stretch}"' if stretch is not None else ""
    place += f' data-number="{number}"' if number else ""
    width = 100 * share / most if most else 0.0
    bar = f'<span class="dbsa-track"><span class="dbsa-fill" style="width:{width:.0f}%"></span></span>'
    return f'<span class="dbsa-got"{place}>{bar}<b>{percent(share)}</b></span>'


def _row(row: ShownRow, at: int, most: float) -> str:
    place = "taught by you" if row.number == TAUGHT else f"row {row.number:,}"
    near = f" · cosine {row.near:.2f}" if row.near is not None else ""
    own = _got(row.share, row.stretch, most, _place(row)) if row.share is not None else ""
    same = '<span class="dbsa-tag dbsa-out">same text as the query</span>' if row.same else ""
    return (
        f'<div class="dbsa-demo" data-row="{at}"><span class="dbsa-text">{_marked(row.text)}</span> '
        f'<span class="dbsa-chip">{_marked(row.label)}</span> <span class="dbsa-muted dbsa-place">'
        f'<button type="button" data-link aria-pressed="false" tabindex="-1">{place}</button>{near}</span>'
        f"{own}{same}</div>"
    )


def _marked(pieces: Pieces) -> str:
    return "".join(
        f'<mark class="dbsa-m{strength}">{escape(text)}</mark>' if strength else escape(text)
        for text, strength in pieces
    )


def _looked(answer: ShownAnswer, columns: Columns | None) -> str:
    attention = answer.attention
    if attention is None or columns is None:
        return ""
    whose = (
        '<span class="dbsa-whose">mean of all heads</span><button type="button" data-mean hidden>Mean again</button>'
    )
    bars = (
        f'<div class="dbsa-panel"><h3>Share of attention, per cent {whose}</h3>{attention_bars(answer, columns)}'
        f'<p class="dbsa-muted dbsa-barsaid">{escape(attention_sentence(attention, answer.pool.sinks))}</p></div>'
    )
    said = "It says where the model read, not why it answered."
    if grid := heads_panel(answer, columns):
        said = (
            "Point at a head in the grid to see where it alone looked; a click keeps it, Escape lets it go. Spread "
            f"over so many parts: as many equal shares have the same entropy. {said}"
        )
    return _folded("Where the query looked", "", f'<div id="attention">{bars}{grid}{muted(said)}</div>')
