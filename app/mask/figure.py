"""The mask of stage 1 as HTML: its frame, what it is drawn from, and its counts in words.

`mask.js` draws it, from the pattern alone: what is sent does not grow with the squares of blocks. A mask is a
`dbsa-cells`, a slider that chooses a block by keys, with `data-total`, `data-encoded` (blocks; what is not encoded is
pale), `data-sinks`, `data-window` and `data-read`. With `data-size` it is a small picture of so many pixels; otherwise
it has axes, takes what room there is, and stands in a `dbsa-masks` with what it says of the cell that is pointed at
(`dbsa-cellsaid`), a close-up where its blocks are small (`dbsa-near`), and a field for a block's number (`data-goto`).
A mask with `data-linked` shares its selection with the other views of an answer: see `app.ask.linked`. One with
`data-still` is to be looked at alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from app.scripts import script_of
from app.views import density_words, muted
from app.words import count, percent
from dbsa_core.blocks import BlockPattern
from dbsa_core.masks import NOT_SEEN, PREVIOUS, SELF, SINK, pair_counts
from dbsa_core.settings import FULL_WINDOW

SCRIPT = script_of(Path(__file__).parent, "pattern.js", "cells.js", "mask.js")
"""Makes `dbsaPattern`, `dbsaCells` and `dbsaMask`."""
THERE = "window.dbsaThere = true; window.dispatchEvent(new Event('dbsa-there'));\n"
"""To stand behind the scripts of a page, which it has once."""


def whenever_shown(refresh: str) -> str:
    """For the `js_on_load` of a `gr.HTML`: that code once the page's scripts are there, and for each new value."""
    return f"""
const shown = () => {{ if (window.dbsaThere) {{ {refresh} }} }};
shown();
if (!window.dbsaThere) window.addEventListener('dbsa-there', shown, {{once: true}});
watch('value', shown);
"""


LOAD = whenever_shown("dbsaMask.refresh();")
"""For masks that are linked to no other views."""
SIZE = 228
"""Pixels of the small picture at a side."""

_KINDS = ((SELF, "itself"), (PREVIOUS, "previous"), (SINK, "sink"), (NOT_SEEN, "none"))


def kind_names(pattern: BlockPattern) -> dict[str, str]:
    """What a cell may be, by its name in the style sheet, in words."""
    first = "shared first block" if pattern.sink_blocks < 2 else f"the {pattern.sink_blocks} shared first blocks"
    before = {0: "the ones before", 1: "the one before"}.get(pattern.previous_blocks)
    if pattern.previous_blocks >= FULL_WINDOW:
        before = "all before"
    words = ("itself", before or f"the {pattern.previous_blocks:,} before", first, "not attended")
    return dict(zip((name for _, name in _KINDS), words, strict=True))


def mask_picture(pattern: BlockPattern, total: int, encoded: int, read: Sequence[int]) -> str:
    """Small, beside an answer whose views it is linked with. `read`: ids of blocks, from 0, in order."""
    return _cells(pattern, total, encoded, read, f'data-size="{SIZE}" data-linked', f"Block, of {total:,}")


def mask_figure(
    pattern: BlockPattern, total: int, encoded: int, read: Sequence[int] = (), *, linked: bool = False
) -> str:
    """With axes, a close-up, and all that it shows in words."""
    if total < 1:
        return f'<div class="dbsa">{muted("No blocks yet.")}</div>'
    cells = _cells(pattern, total, encoded, read, "data-linked" if linked else "", f"Block of the mask, of {total:,}")
    said = "Point at a cell to read what it is; a click keeps its block, Escape lets it go."
    words = muted(mask_words(pattern, total))
    if read:
        words += muted(f"This query read {count(len(read), 'block')}: marked at the diagonal and in the row below.")
    if encoded < total:
        words += muted("What is not encoded yet is pale.")
    goto = (
        f'<label class="dbsa-goto">Block <input type="number" data-goto min="1" max="{total}" step="1" '
        f'placeholder="1 to {total:,}"></label>'
    )
    return (
        f'<figure class="dbsa dbsa-masks" aria-label="Which block sees which">'
        f"<figcaption><h3>Which block sees which</h3>{words}</figcaption>"
        f'<div class="dbsa-whole">{cells}<p class="dbsa-muted dbsa-scale" hidden></p></div>'
        f'<div class="dbsa-aside">{_counts(pattern, total)}{goto}<div class="dbsa-near" hidden><h4></h4>'
        f'<svg class="dbsa-mask" role="img"></svg></div></div>'
        f'<p class="dbsa-cellsaid" data-hint="{said}">{said}</p></figure>'
    )


def still_picture(pattern: BlockPattern, total: int, size: int) -> str:
    """Of so many pixels, to be looked at alone."""
    return (
        f'<span class="dbsa-cells dbsa-still" {_drawn(pattern, total, total)} data-read="" data-size="{size}" '
        "data-still>"
        f'<svg class="dbsa-mask" aria-hidden="true" viewBox="-3 -3 {size + 6} {size + 6}"></svg></span>'
    )


def _drawn(pattern: BlockPattern, total: int, encoded: int) -> str:
    """What a mask is drawn from, as attributes."""
    pattern_of = {"sinks": pattern.sink_blocks, "window": pattern.previous_blocks}
    drawn = {"total": max(1, total), "encoded": encoded, **pattern_of}
    return " ".join(f'data-{name}="{value}"' for name, value in drawn.items())


def _cells(pattern: BlockPattern, total: int, encoded: int, read: Sequence[int], more: str, name: str) -> str:
    words = f"Which of {total:,} blocks sees which: {density_words(pattern, total)}"
    if read:
        words += f"; marked is what was read: {count(len(read), 'block')}"
    box = f' viewBox="-3 -3 {SIZE + 6} {SIZE + 6}"' if "data-size" in more else ""
    return (
        f'<div class="dbsa-cells" role="slider" tabindex="0" aria-label="{name}" aria-valuemin="1" '
        f'aria-valuemax="{max(1, total)}" aria-valuenow="1" aria-valuetext="No block is chosen" '
        f'{_drawn(pattern, total, encoded)} data-read="{_runs(read)}" {more}>'
        f'<svg class="dbsa-mask" role="img" aria-label="{escape(words)}"{box}></svg></div>'
    )


def _counts(pattern: BlockPattern, total: int) -> str:
    """The kinds of cells with their colours, and how many there are."""
    counts, names = pair_counts(total, pattern), kind_names(pattern)
    pairs = sum(counts.values())
    rows = "".join(
        f'<tr><th scope="row"><span class="dbsa-key dbsa-{name}"></span>{escape(names[name])}</th>'
        f"<td>{counts[kind]:,}</td><td>{percent(counts[kind] / pairs)}</td></tr>"
        for kind, name in _KINDS
    )
    head = '<tr><th scope="col">A block sees</th><th scope="col">Pairs</th><th scope="col">Share</th></tr>'
    total_row = f'<tr class="dbsa-total"><th scope="row">full attention</th><td>{pairs:,}</td><td>100 %</td></tr>'
    return f'<table class="dbsa-table dbsa-counts"><thead>{head}</thead><tbody>{rows}{total_row}</tbody></table>'


# --- in words ---------------------------------------------------------------------------------------------------------


def mask_words(pattern: BlockPattern, total: int) -> str:
    """One block that shows the pattern, and the count of block pairs."""
    if total < 1:
        return "No blocks yet."
    block = min(total, pattern.sink_blocks + pattern.previous_blocks + 4) - 1
    others = pattern.window(block)[:-1]
    seen = f"block{'s' if len(others) > 1 else ''} {_numbers(others)} and itself" if others else "only itself"
    return f"Block {block + 1:,} sees {seen}. {density_words(pattern, total)}."


def _numbers(blocks: Sequence[int]) -> str:
    """Block ids as numbers from 1; three or more in a row as "5 to 9"."""
    parts: list[str] = []
    for first, last in _in_a_row(blocks):
        parts += [f"{first:,} to {last:,}"] if last - first > 1 else [f"{n:,}" for n in range(first, last + 1)]
    return ", ".join(parts)


def _runs(blocks: Sequence[int]) -> str:
    """Block ids as numbers from 1 for `data-read`: "1 5-9"."""
    return " ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in _in_a_row(blocks))


def _in_a_row(blocks: Sequence[int]) -> list[tuple[int, int]]:
    """Ids in order as numbers from 1: the first and last of each run without a gap."""
    found = []
    for _, run in groupby(enumerate(blocks), key=lambda item: item[1] - item[0]):
        numbers = [block + 1 for _, block in run]
        found.append((numbers[0], numbers[-1]))
    return found
