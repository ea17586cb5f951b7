"""One answer as one HTML file: the views of the Ask page, linked as there, without a server and without a request.

The page may not ask for anything, by its own policy. Knows nothing about sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from html import escape
from pathlib import Path

from app.ask.cards import answer_view
from app.ask.heads import CSS as HEADS_CSS
from app.ask.inside import CSS as INSIDE_CSS
from app.ask.linked import CSS as LINKED_CSS
from app.ask.linked import SCRIPT as LINKED_SCRIPT
from app.ask.lists import below_view
from app.ask.phases import phases_view
from app.ask.shown import Pieces, ShownAnswer, ShownRow, ShownTokens
from app.ask.style import CSS as ASK_CSS
from app.away.style import BUTTONS, CSS
from app.mask.figure import mask_figure
from app.mask.style import CSS as MASK_CSS
from app.scripts import script_of
from app.theme import VARIABLES, VIEWS
from app.words import count

LARGEST = 1_000_000
"""Bytes of a page."""
PICTURE = script_of(Path(__file__).parent, "picture.js")
"""Makes `dbsaPicture`: what is shown as one picture, SVG or PNG."""
LEFT_OUT = "(text left out)"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
_SCHEME = """
const dark = matchMedia('(prefers-color-scheme: dark)');
const follow = () => document.body.classList.toggle('dark', dark.matches);
dark.addEventListener('change', follow);
follow();
"""
_SHOW = """
document.querySelectorAll('details[data-wide]').forEach(one => { one.open = innerWidth > 760; });
dbsaMask.refresh(); dbsaLinked.refresh(); dbsaHeads.refresh();
"""


def texts_in(answer: ShownAnswer) -> int:
    """Rows of the file whose texts it shows."""
    return sum(len(part.rows) for part in answer.parts)


def without_texts(answer: ShownAnswer) -> ShownAnswer:
    """The same with numbers and labels of rows, and no text of them."""
    silent = _with_rows(answer, lambda row: replace(row, text=((LEFT_OUT, 0),)))
    return _with_tokens(silent, lambda tokens: replace(tokens, texts=()))


def standalone(answer: ShownAnswer, *, texts: bool) -> str:
    """The whole page, of at most `LARGEST` bytes. `texts`: with those of the rows that were read, of which there are
    `texts_in`; where they are too many or too long, blocks with their best rows, and beginnings of texts."""
    shown = answer if texts else without_texts(answer)
    for smaller, left_out in _smaller_ones(shown):
        page = _page(smaller, f"So that this page stays small, {left_out}." if left_out else "")
        if len(page.encode()) <= LARGEST:
            break
    return page


_SMALLER = ((10, 400), (5, 200), (2, 120), (1, 60))
"""Rows of a block and characters of a text, tried one after the other."""


def _smaller_ones(answer: ShownAnswer) -> Iterator[tuple[ShownAnswer, str]]:
    """The answer, and with less and less of it; and what is left out."""
    yield answer, ""
    whole = _with_tokens(answer, lambda tokens: None)
    said = "blocks cannot be seen token by token"
    yield whole, said
    for rows, characters in _SMALLER:
        least = f"at most {count(rows, 'row')} of each block are shown, and {characters} characters of each text"
        yield _smaller(whole, rows, characters), f"{said}; {least}"


def _smaller(answer: ShownAnswer, rows: int, characters: int) -> ShownAnswer:
    return _with_rows(answer, lambda row: replace(row, text=_beginning(row.text, characters)), rows)


def _with_rows(answer: ShownAnswer, change: Callable[[ShownRow], ShownRow], most: int | None = None) -> ShownAnswer:
    parts = (replace(part, rows=tuple(map(change, part.rows[:most]))) for part in answer.parts)
    return replace(answer, parts=tuple(parts))


def _with_tokens(answer: ShownAnswer, change: Callable[[ShownTokens], ShownTokens | None]) -> ShownAnswer:
    parts = (replace(part, tokens=part.tokens and change(part.tokens)) for part in answer.parts)
    return replace(answer, parts=tuple(parts))


def _beginning(text: Pieces, most: int) -> Pieces:
    """So many characters of a text, and what stands for the rest."""
    found: list[tuple[str, int]] = []
    for piece, strength in text:
        if len(piece) > most:
            return (*found, (f"{piece[:most].rstrip()}…", strength))
        found.append((piece, strength))
        most -= len(piece)
    return tuple(found)


def _page(shown: ShownAnswer, note: str) -> str:
    pool = shown.pool
    what = f"{shown.method.title} over {pool.name}, {count(pool.rows, 'row')}; read-only, as it was answered."
    mask = mask_figure(pool.pattern, pool.planned, pool.blocks, shown.read, linked=True)
    said = f'<p class="dbsa-muted">{escape(" ".join(filter(None, (what, note))))}</p>'
    body = (
        f'<header class="dbsa"><h1>{escape(shown.query)}</h1>{said}{BUTTONS}</header>'
        f"{answer_view(shown)}{below_view(shown)}{mask}"
        f'<details class="dbsa dbsa-more"><summary>Times, and what this answer used</summary>{phases_view(shown)}'
        "</details>"
    )
    styles = "".join((VARIABLES, VIEWS, ASK_CSS, MASK_CSS, LINKED_CSS, HEADS_CSS, INSIDE_CSS, CSS))
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="generator" content="DBSA">'
        f"<title>{escape(f'{shown.method.label}: {shown.query}')}</title><style>{styles}</style>"
    )
    scripts = f"<script>{LINKED_SCRIPT}{PICTURE}{_SHOW}</script>"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body><script>{_SCHEME}</script>\n'
        f"<main>{body}</main>\n{scripts}</body>\n</html>\n"
    )
