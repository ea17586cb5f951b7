"""How long the texts are, as HTML: a histogram whose bars show their rows.

Pure functions.
"""

from __future__ import annotations

from app.rows.look import leads_to
from app.server.exploring import Chosen, Press, Rows
from app.views import muted, view
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
.dbsa-lengths .dbsa-bin span:not(.dbsa-all) { inset: auto 25% 0 25%; background: var(--dbsa-fill-best); }
.dbsa-lengths .dbsa-bins:not(.dbsa-some) span:not(.dbsa-all) { inset: auto 0 0 0; background: var(--dbsa-fill); }
.dbsa-lengths .dbsa-scale { display: flex; gap: 2px; font-size: 0.75rem; color: var(--dbsa-muted);
  font-variant-numeric: tabular-nums; }
.dbsa-lengths .dbsa-scale span { flex: 1; min-width: 0; white-space: nowrap; overflow: visible; }
"""

NAMED = 'role="group" aria-label="Rows by the length of their text"'
SCALES = "Wide bars: all rows. Narrow bars: those that are shown. Each to its own scale."


def lengths_view(rows: Rows, chosen: Chosen) -> str:
    """Ranges of characters from left to right."""
    bins = "".join(_bin(rows, chosen, place) for place in range(len(rows.edges)))
    every = 1 if len(rows.edges) <= 7 else 2
    scale = "".join(
        f"<span>{_edge(rows, place) if place % every == 0 else ''}</span>" for place in range(len(rows.edges))
    )
    some = bool((chosen.by_length != chosen.length_totals).any())
    return view(
        "lengths",
        '<h3 class="dbsa-sub">Characters of a text</h3>',
        f'<div class="dbsa-bins{" dbsa-some" if some else ""}" {NAMED}>{bins}</div>',
        f'<div class="dbsa-scale" aria-hidden="true">{scale}</div>',
        muted(SCALES) if some else "",
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


def _bin(rows: Rows, chosen: Chosen, place: int) -> str:
    whole, now, least = int(chosen.length_totals[place]), int(chosen.by_length[place]), int(rows.edges[place])
    number = count(now, "row") if now == whole else out_of(now, whole, "row")
    said = f"{range_words(rows, place)}: {number}"
    bars = "".join(
        f'<span{kind} style="height:{100 * number / max(1, int(numbers.max())):.1f}%"></span>'
        for kind, number, numbers in ((' class="dbsa-all"', whole, chosen.length_totals), ("", now, chosen.by_length))
    )
    look = leads_to(Press({"length": least}), chosen.filter.length == least)
    return f'<button type="button" class="dbsa-bin" {look} aria-label="{said}" title="{said}">{bars}</button>'
