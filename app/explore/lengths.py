"""How long the texts are, as HTML: a histogram whose bars show their rows.

Pure functions.
"""

from __future__ import annotations

from html import escape

from app.server.exploring import Chosen, Press, Rows
from app.views import view
from app.words import count, out_of

CSS = """
.dbsa-lengths .dbsa-bins { display: flex; align-items: stretch; gap: 2px; height: 5.2rem;
  border-bottom: 1px solid var(--dbsa-muted); }
.dbsa.dbsa-lengths button.dbsa-bin { flex: 1; min-width: 0; position: relative; border: 0; border-radius: 2px 2px 0 0;
  background: none; padding: 0; cursor: pointer; }
.dbsa.dbsa-lengths button.dbsa-bin:hover { background: var(--dbsa-soft); }
.dbsa.dbsa-lengths button.dbsa-bin[aria-pressed="true"] { background: var(--dbsa-chip);
  box-shadow: inset 0 0 0 2px var(--dbsa-info-line); }
.dbsa-lengths .dbsa-bin span { position: absolute; inset: auto 0 0 0; background: var(--dbsa-fill); min-height: 0; }
.dbsa-lengths .dbsa-bin span.dbsa-all { background: var(--dbsa-soft-blue); }
.dbsa-lengths .dbsa-scale { display: flex; gap: 2px; font-size: 0.75rem; color: var(--dbsa-muted);
  font-variant-numeric: tabular-nums; }
.dbsa-lengths .dbsa-scale span { flex: 1; min-width: 0; white-space: nowrap; overflow: visible; }
"""


def lengths_view(rows: Rows, chosen: Chosen) -> str:
    """Ranges of characters from left to right."""
    most = max(1, int(chosen.length_totals.max()))
    bins = "".join(_bin(rows, chosen, place, most) for place in range(len(rows.edges)))
    every = 1 if len(rows.edges) <= 7 else 2
    scale = "".join(
        f"<span>{_edge(rows, place) if place % every == 0 else ''}</span>" for place in range(len(rows.edges))
    )
    return view(
        "lengths",
        '<h3 class="dbsa-sub">Characters of a text</h3>',
        f'<div class="dbsa-bins" role="group" aria-label="Rows by the length of their text">{bins}</div>',
        f'<div class="dbsa-scale" aria-hidden="true">{scale}</div>',
    )


def _edge(rows: Rows, place: int) -> str:
    low, high = rows.range_of(place)
    return f"{low:,}{'+' if high is None and place else ''}"


def range_words(rows: Rows, place: int) -> str:
    """ "40 to 59 characters"."""
    low, high = rows.range_of(place)
    if high is None:
        return f"{count(low, 'character')} or more"
    return f"{low:,} to {count(high, 'character')}" if high > low else count(low, "character")


def _bin(rows: Rows, chosen: Chosen, place: int, most: int) -> str:
    whole, now, least = int(chosen.length_totals[place]), int(chosen.by_length[place]), int(rows.edges[place])
    number = count(now, "row") if now == whole else out_of(now, whole, "row")
    said = f"{range_words(rows, place)}: {number}"
    bars = f'<span class="dbsa-all" style="height:{100 * whole / most:.1f}%"></span>' if now != whole else ""
    bars += f'<span style="height:{100 * now / most:.1f}%"></span>'
    pressed = str(chosen.filter.length == least).lower()
    look = f'data-look="{escape(Press({"length": least}).written)}" data-event="select" aria-pressed="{pressed}"'
    return f'<button type="button" class="dbsa-bin" {look} aria-label="{said}" title="{said}">{bars}</button>'
