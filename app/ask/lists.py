"""The lower half of the Ask page as HTML: blocks and similar rows that were read, and where the query looked.

Pure functions of what is shown; every piece of user text goes through `html.escape`.
"""

from __future__ import annotations

from html import escape

from app.ask.cards import muted_class
from app.ask.pictures import attention_bars, attention_sentence, heads_picture
from app.ask.shown import Pieces, ShownAnswer, ShownPart, ShownRow
from app.views import muted
from app.words import count, percent
from dbsa_core.data import TAUGHT

ROWS_OPEN = 1
"""Of a block, the rows that stand there unfolded."""


def below_view(answer: ShownAnswer, outdated: str = "") -> str:
    """Both halves side by side."""
    return f'<div class="dbsa dbsa-below{muted_class(outdated)}">{_parts(answer)}{_looked(answer)}</div>'


def _parts(answer: ShownAnswer) -> str:
    blocks = len(answer.read)
    similar = len(answer.parts) - blocks
    named = [count(blocks, "block")] if blocks else []
    named += [count(similar, "similar row")] if similar else []
    hints = ["sorted by attention"] if answer.attention is not None else []
    if any(strength for part in answer.parts for row in part.rows for _, strength in (*row.text, *row.label)):
        hints.append("matching words marked")
    if any(row.near is not None for part in answer.parts for row in part.rows[1:]):
        hints.append("nearest by meaning first")
    items = "".join(map(_part, answer.parts))
    body = (
        f'<div id="blocks" class="dbsa-list" tabindex="0" role="group" aria-label="Rows that were read">{items}</div>'
    )
    return _folded(", ".join(named) or "Nothing was read", " · ".join(hints), body)


def _folded(title: str, hint: str, body: str) -> str:
    summary = f'<summary>{escape(title)}<span class="dbsa-hint">{escape(hint)}</span></summary>'
    return f"<details data-wide open>{summary}{body}</details>"


def _part(part: ShownPart) -> str:
    share = f'<span class="dbsa-share">{percent(part.share)} of attention</span>' if part.share is not None else ""
    head = f'<div class="dbsa-parthead"><b>{escape(part.name)}</b><span>{escape(part.note)}</span>{share}</div>'
    first = "".join(map(_row, part.rows[:ROWS_OPEN]))
    rest = part.rows[ROWS_OPEN:]
    more = (
        f"<details><summary>{count(len(rest), 'more row')}</summary>{''.join(map(_row, rest))}</details>"
        if rest
        else ""
    )
    return f'<article class="dbsa-part">{head}{first}{more}</article>'


def _row(row: ShownRow) -> str:
    place = "taught by you" if row.number == TAUGHT else f"row {row.number:,}"
    place += f" · cosine {row.near:.2f}" if row.near is not None else ""
    same = '<span class="dbsa-tag dbsa-out">same text as the query</span>' if row.same else ""
    return (
        f'<div class="dbsa-demo"><span class="dbsa-text">{_marked(row.text)}</span> '
        f'<span class="dbsa-chip">{_marked(row.label)}</span> <span class="dbsa-muted">{place}</span>'
        f"{same}</div>"
    )


def _marked(pieces: Pieces) -> str:
    return "".join(
        f'<mark class="dbsa-m{strength}">{escape(text)}</mark>' if strength else escape(text)
        for text, strength in pieces
    )


def _looked(answer: ShownAnswer) -> str:
    attention, sinks = answer.attention, max(1, answer.pool.sinks)
    if attention is None:
        return ""
    bars = (
        f'<div class="dbsa-panel"><h3>Share of attention, per cent</h3>{attention_bars(attention, sinks)}'
        f"{muted(attention_sentence(attention, sinks))}</div>"
    )
    if picture := heads_picture(attention, sinks):
        bars += (
            '<div class="dbsa-panel"><h3>Share on retrieved blocks, by layer (down) and head (across)</h3>'
            f"{picture}</div>"
        )
    said = '<p class="dbsa-muted">It says where the model read, not why it answered.</p>'
    return _folded("Where the query looked", "mean of all heads", f'<div id="attention">{bars}{said}</div>')
