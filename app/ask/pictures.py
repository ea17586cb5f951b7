"""The Ask page's pictures as SVG and HTML in its own colours: which block saw which, and where a query looked.

Knows nothing about text: what is drawn is numbers and block ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from app.ask.shown import ShownAttention, ShownPool
from app.words import percent

SIZE = 228
"""Pixels of the mask's picture at a side."""
EXACT_BLOCKS = 128
"""Blocks up to which every block is drawn; of more, bands are drawn with straight edges."""
GAPS_UP_TO = 48
BARS = 12
"""Blocks that have a bar of their own; what others got is summed up."""
SHADES = 10
MOST_CELLS = 6_000


# --- the mask of stage 1 ----------------------------------------------------------------------------------------------


def mask_picture(pool: ShownPool, read: Sequence[int]) -> str:
    """Which block sees which while it is encoded, the first block on top; those that were read are outlined.

    Blocks that are planned and not encoded yet are pale.
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
    for block in read:
        at = (block + 0.5) * cell - side / 2
        shapes += (
            f'<rect class="dbsa-read" x="{at:.1f}" y="{at:.1f}" width="{side:.1f}" height="{side:.1f}">'
            f"<title>Block {block + 1} was read</title></rect>"
        )
    words = f"Which of {total:,} blocks saw which while they were encoded; {len(read):,} read blocks are outlined"
    return (
        f'<svg class="dbsa-mask" viewBox="-3 -3 {SIZE + 6} {SIZE + 6}" role="img" aria-label="{escape(words)}">'
        f"{shapes}</svg>"
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


def attention_bars(attention: ShownAttention, sinks: int) -> str:
    """The share of each part of the context, as the mean of all heads; similar rows together, and small blocks too."""
    mean = attention.mass.mean(axis=(0, 1))
    shares = dict(zip(attention.names, map(float, mean), strict=True))
    first = [name for name in shares if name.startswith("block ") and int(name.split()[1]) <= sinks]
    blocks = [name for name in shares if name.startswith("block ") and name not in first]
    kept = blocks
    if len(blocks) > BARS:
        best = set(sorted(blocks, key=lambda name: -shares[name])[:BARS])
        kept = [name for name in blocks if name in best]
    similar = [name for name in shares if name.startswith("similar ")]
    bars = [("first" if len(first) == 1 else "first ones", sum(shares[n] for n in first), "other")] if first else []
    bars += [(name.removeprefix("block "), shares[name], "block") for name in kept]
    if rest := [name for name in blocks if name not in kept]:
        bars.append((f"{len(rest)} more", sum(shares[name] for name in rest), "other"))
    bars += [("similar", sum(shares[name] for name in similar), "other")] if similar else []
    bars += [(name, share, "other") for name, share in shares.items() if not name.startswith(("block ", "similar "))]
    widest = max(share for _, share, _ in bars) or 1.0
    return f'<ul class="dbsa-columns">{"".join(_column(*bar, widest) for bar in bars)}</ul>'


def _column(name: str, share: float, kind: str, widest: float) -> str:
    height = 72 * share / widest  # the rest is for the words
    return (
        f'<li><span class="dbsa-over">{100 * share:.1f}</span>'
        f'<span class="dbsa-stem dbsa-of-{kind}" style="height:{height:.1f}%"></span>'
        f'<span class="dbsa-under">{escape(name)}</span></li>'
    )


def attention_sentence(attention: ShownAttention, sinks: int) -> str:
    """Which retrieved block got most, and where; the numbers are those of the bars."""
    mean = attention.mass.mean(axis=(0, 1))
    retrieved = _retrieved(attention, sinks)
    if not retrieved:
        return "Apart from what every query reads, there is no block."
    best = max(retrieved, key=lambda index: mean[index])
    layer, head = np.unravel_index(int(attention.mass[:, :, best].argmax()), attention.mass.shape[:2])
    most = percent(float(attention.mass[layer, head, best]))
    return (
        f"{attention.names[best].capitalize()} got {percent(float(mean[best]))} of the attention; the head that looked "
        f"at it most, head {head + 1} of layer {layer + 1}, gave it {most}."
    )


def _retrieved(attention: ShownAttention, sinks: int) -> list[int]:
    """Indices of the blocks that were retrieved, and not read because every query reads them."""
    numbered = ((i, name.split()[1]) for i, name in enumerate(attention.names) if name.startswith("block "))
    return [index for index, number in numbered if int(number) > max(1, sinks)]


def heads_picture(attention: ShownAttention, sinks: int) -> str:
    """The share of attention on retrieved blocks, by layer (down) and head (across); "" where none was retrieved."""
    retrieved = _retrieved(attention, sinks)
    if not retrieved or attention.mass[:, :, 0].size > MOST_CELLS:
        return ""
    share = attention.mass[:, :, retrieved].sum(axis=2)
    layers, heads = share.shape
    levels = np.ceil(SHADES * share / max(float(share.max()), 1e-6)).astype(int)
    wide, high = 560 / heads, max(4.0, 200 / layers)
    paths = []
    for level in range(SHADES + 1):
        cells = "".join(
            f"M{head * wide:.1f} {layer * high:.1f}h{wide - 1:.1f}v{high - 1:.1f}h{1 - wide:.1f}z"
            for layer, head in zip(*np.nonzero(levels == level), strict=True)
        )
        if cells:
            paths.append(f'<path d="{cells}" fill-opacity="{0.06 + 0.94 * level / SHADES:.2f}"/>')
    layer, head = np.unravel_index(int(share.argmax()), share.shape)
    words = (
        f"Share of attention on retrieved blocks, {layers} layers by {heads} heads; the most is "
        f"{percent(float(share.max()))} in layer {layer + 1}, head {head + 1}"
    )
    return (
        f'<svg class="dbsa-heads" viewBox="0 0 560 {layers * high:.0f}" role="img" aria-label="{words}" '
        f'preserveAspectRatio="none">{"".join(paths)}</svg>'
    )
