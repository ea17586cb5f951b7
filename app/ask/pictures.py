"""The Ask page's pictures as SVG and HTML in its own colours: which block saw which, and where a query looked.

Knows nothing about text: what is drawn is numbers and block ids. What stands for a part of the context names it
(`data-part`), so that all views show what is selected in one: see `app.ask.linked`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from app.ask.linked import part_of
from app.ask.shown import ShownAttention, ShownPool
from app.words import count, percent

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


def attention_bars(attention: ShownAttention, sinks: int) -> str:
    """The share of each part of the context, as the mean of all heads; similar rows together, and small blocks too."""
    shares = attention.shares
    first = [name for name in shares if name.startswith("block ") and int(name.split()[1]) <= sinks]
    blocks = [name for name in shares if name.startswith("block ") and name not in first]
    kept = blocks
    if len(blocks) > BARS:
        best = set(sorted(blocks, key=lambda name: -shares[name])[:BARS])
        kept = [name for name in blocks if name in best]
    similar = [name for name in shares if name.startswith("similar ")]
    bars = [("first" if len(first) == 1 else "first ones", first, "other")] if first else []
    bars += [(name.removeprefix("block "), [name], "block") for name in kept]
    if rest := [name for name in blocks if name not in kept]:
        bars.append((f"{len(rest):,} more", rest, "other"))
    bars += [("similar", similar, "other")] if similar else []
    bars += [(name, [name], "other") for name in shares if not name.startswith(("block ", "similar "))]
    widest = max(sum(shares[part] for part in parts) for _, parts, _ in bars) or 1.0
    columns = "".join(_column(attention, *bar, widest) for bar in bars)
    return f'<ul class="dbsa-columns dbsa-roving">{columns}</ul>'


def _column(attention: ShownAttention, name: str, parts: Sequence[str], kind: str, widest: float) -> str:
    share = sum(attention.shares[part] for part in parts)
    height = 72 * share / widest  # the rest is for the words
    return (
        f'<li data-part="{part_of(*parts)}" data-said="{escape(bar_sentence(attention, parts))}">'
        f'<button type="button" data-link aria-pressed="false"><span class="dbsa-over">{100 * share:.1f}</span>'
        f'<span class="dbsa-stem dbsa-of-{kind}" style="height:{height:.1f}%"></span>'
        f'<span class="dbsa-under">{escape(name)}</span></button></li>'
    )


def bar_sentence(attention: ShownAttention, parts: Sequence[str], note: str = "") -> str:
    """What these parts got; of a single one, of which `note` is said, also which head looked at it most."""
    share = percent(sum(attention.shares[part] for part in parts))
    if len(parts) == 1:
        name = f"{_called(parts[0])} ({note})" if note else _called(parts[0])
        return f"{name} got {share} of the attention; {_most(attention, parts[0])}."
    many = count(len(parts), "block" if parts[0].startswith("block ") else "similar row")
    return f"{many} got {share} of the attention together."


def _called(part: str) -> str:
    """ "Block 12", "Similar row 2", "The query"."""
    return {"query": "The query"}.get(part, part.replace("similar ", "similar row ").capitalize())


def _most(attention: ShownAttention, part: str) -> str:
    mass = attention.mass[:, :, attention.names.index(part)]
    layer, head = np.unravel_index(int(mass.argmax()), mass.shape)
    most = percent(float(mass[layer, head]))
    return f"the head that looked at it most, head {head + 1} of layer {layer + 1}, gave it {most}"


def attention_sentence(attention: ShownAttention, sinks: int) -> str:
    """Which retrieved block got most, and where; the numbers are those of the bars."""
    retrieved = _retrieved(attention, sinks)
    if not retrieved:
        return "Apart from what every query reads, there is no block."
    best = max((attention.names[index] for index in retrieved), key=attention.shares.__getitem__)
    return bar_sentence(attention, [best])


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
