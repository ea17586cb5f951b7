"""The Ask page's pictures as SVG and HTML in its own colours: which block saw which, and where a query looked.

Knows nothing about text: what is drawn is numbers and block ids. What stands for a part of the context names it
(`data-part`), so that all views show what is selected in one: see `app.ask.linked`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from app.ask.heads import Columns, called, groups_of
from app.ask.linked import part_of
from app.ask.shown import ShownAnswer, ShownAttention, ShownPool
from app.words import count, percent

SIZE = 228
"""Pixels of the mask's picture at a side."""
EXACT_BLOCKS = 128
"""Blocks up to which every block is drawn; of more, bands are drawn with straight edges."""
GAPS_UP_TO = 48
BARS = 12
"""Blocks that have a bar of their own; what others got is summed up."""


# --- the mask of stage 1 ----------------------------------------------------------------------------------------------


def mask_picture(pool: ShownPool, read: Sequence[int]) -> str:
    """Which block sees which while it is encoded, the first block on top; those that were read are outlined.

    Blocks that are planned and not encoded yet are pale. The slider around it chooses a block by keys.
    """
    total = max(1, pool.planned)
    cell = SIZE / total
    bands = _exact_bands(pool, total) if total <= EXACT_BLOCKS else _straight_bands(pool, total)
    shapes = "".join(f'<path class="dbsa-{name}" d="{path}"/>' for name, path in bands)
    if total <= GAPS_UP_TO:
        shapes += f'<path class="dbsa-gaps" d="{_grid(total)}"/>'
    if pool.blocks < pool.planned:
        rest = SIZE - pool.blocks * cell
        shapes += f'<rect class="dbsa-pale" x="0" y="{pool.blocks * cell:.1f}" width="{SIZE}" height="{rest:.1f}"/>'
    side = max(cell, 5.0)
    outlines = "".join(_square((block + 0.5) * cell - side / 2, side) for block in read)
    shapes += (
        f'<path class="dbsa-read" d="{outlines}"/><path class="dbsa-cross"/><path class="dbsa-cross dbsa-pointed"/>'
    )
    words = f"Which of {total:,} blocks saw which while they were encoded; {len(read):,} read blocks are outlined"
    svg = (
        f'<svg class="dbsa-mask" viewBox="-3 -3 {SIZE + 6} {SIZE + 6}" role="img" aria-label="{escape(words)}">'
        f"{shapes}</svg>"
    )
    drawn = {"size": SIZE, "total": total, "encoded": pool.blocks, "sinks": pool.sinks, "window": pool.window}
    data = "".join(f' data-{name}="{value}"' for name, value in drawn.items())
    return (
        f'<div class="dbsa-cells" role="slider" tabindex="0" aria-label="Block, of {total:,}" aria-valuemin="1" '
        f'aria-valuemax="{total}" aria-valuenow="1" aria-valuetext="No block is chosen"{data} '
        f'data-read="{" ".join(str(block + 1) for block in read)}">{svg}</div>'
    )


def _exact_bands(pool: ShownPool, total: int) -> list[tuple[str, str]]:
    cell, pattern = SIZE / total, pool.pattern
    bands: dict[str, list[str]] = {"none": [], "previous": [], "sink": [], "self": []}
    for row in range(total):
        bands["none"].append(_box(0, row, row + 1, cell))
        first = max(0, row - pattern.previous_blocks)
        if first < row:
            bands["previous"].append(_box(first, row, row - first, cell))
        if sinks := min(pattern.sink_blocks, row):
            bands["sink"].append(_box(0, row, sinks, cell))
        bands["self"].append(_box(row, row, 1, cell))
    return [(name, "".join(boxes)) for name, boxes in bands.items()]


def _square(at: float, side: float) -> str:
    """On the diagonal."""
    return f"M{at:.1f} {at:.1f}h{side:.1f}v{side:.1f}h{-side:.1f}z"


def _box(column: float, row: float, width: float, cell: float) -> str:
    return f"M{column * cell:.1f} {row * cell:.1f}h{width * cell:.1f}v{cell:.1f}h{-width * cell:.1f}z"


def _straight_bands(pool: ShownPool, total: int) -> list[tuple[str, str]]:
    cell, pattern = SIZE / total, pool.pattern
    wide = max(1.2, cell)
    back = min(SIZE, wide + pattern.previous_blocks * cell)
    sink = max(1.2, pattern.sink_blocks * cell) if pattern.sink_blocks else 0
    return [
        ("none", f"M0 0V{SIZE}H{SIZE}z"),
        ("previous", f"M0 0V{back:.1f}L{SIZE - back:.1f} {SIZE}H{SIZE}z" if pattern.previous_blocks else ""),
        ("sink", f"M0 0h{sink:.1f}V{SIZE}H0z" if sink else ""),
        ("self", f"M0 0V{wide:.1f}L{SIZE - wide:.1f} {SIZE}H{SIZE}z"),
    ]


def _grid(total: int) -> str:
    cell = SIZE / total
    return "".join(f"M0 {i * cell:.1f}H{SIZE}M{i * cell:.1f} 0V{SIZE}" for i in range(1, total))


# --- where the query looked -------------------------------------------------------------------------------------------


def attention_bars(answer: ShownAnswer, columns: Columns) -> str:
    """The share of each part of the context, as the mean of all heads; similar rows together, and small blocks too."""
    attention = answer.attention
    assert attention is not None
    shares = attention.shares
    first, blocks, similar = map(columns.parts, ("first", "retrieved", "similar"))
    best = set(sorted(blocks, key=lambda name: -shares[name])[:BARS])
    bars = [("first" if len(first) == 1 else "first ones", first, "other")] if first else []
    bars += [(name.removeprefix("block "), (name,), "block") for name in blocks if name in best]
    if rest := tuple(name for name in blocks if name not in best):
        bars.append((f"{len(rest):,} more", rest, "other"))
    others = (("similar", similar), ("query", columns.parts("query")), ("no token", columns.parts("nowhere")))
    bars += [(word, parts, "other") for word, parts in others if parts]
    widest = max(sum(shares[part] for part in parts) for _, parts, _ in bars) or 1.0
    items = "".join(_column(attention, columns, *bar, widest) for bar in bars)
    return f'<ul class="dbsa-columns dbsa-roving">{items}</ul>'


def _column(
    attention: ShownAttention, columns: Columns, name: str, parts: Sequence[str], kind: str, widest: float
) -> str:
    share = sum(attention.shares[part] for part in parts)
    height = 72 * share / widest  # the rest is for the words
    return (
        f'<li data-part="{part_of(*parts)}" data-said="{escape(bar_sentence(attention, parts))}" '
        f"{of_head(columns, parts)}>"
        f'<button type="button" data-link aria-pressed="false"><span class="dbsa-over">{100 * share:.1f}</span>'
        f'<span class="dbsa-stem dbsa-of-{kind}" style="height:{height:.1f}%"></span>'
        f'<span class="dbsa-under">{escape(name)}</span></button></li>'
    )


def bar_sentence(attention: ShownAttention, parts: Sequence[str], note: str = "") -> str:
    """What these parts got; of a single one, of which `note` is said, also which head looked at it most."""
    share = percent(sum(attention.shares[part] for part in parts))
    if len(parts) == 1:
        return f"{called(parts[0], note)} got {share} of the attention; {_most(attention, parts[0])}."
    return f"{_many(parts)} got {share} of the attention together."


def of_head(columns: Columns, parts: Sequence[str], note: str = "") -> str:
    """The attributes by which a head's own share of these parts is shown."""
    name, together = (called(parts[0], note), "") if len(parts) == 1 else (_many(parts), ' data-together=" together"')
    return f'data-columns="{columns.of(parts)}" data-called="{escape(name)}"{together}'


def _many(parts: Sequence[str]) -> str:
    return count(len(parts), "block" if parts[0].startswith("block ") else "similar row")


def _most(attention: ShownAttention, part: str) -> str:
    mass = attention.mass[:, :, attention.names.index(part)]
    layer, head = np.unravel_index(int(mass.argmax()), mass.shape)
    most = percent(float(mass[layer, head]))
    return f"the head that looked at it most, head {head + 1} of layer {layer + 1}, gave it {most}"


def attention_sentence(attention: ShownAttention, sinks: int) -> str:
    """Which retrieved block got most, and where; the numbers are those of the bars."""
    retrieved = groups_of(attention, sinks).get("retrieved")
    if retrieved is None:
        return "Apart from what every query reads, there is no block."
    return bar_sentence(attention, [max(retrieved.parts, key=attention.shares.__getitem__)])
