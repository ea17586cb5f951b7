"""Where a query looked, as bars in the page's own colours and in words.

Knows nothing about text: what is drawn is numbers and block ids. What stands for a part of the context names it
(`data-part`), so that all views show what is selected in one: see `app.ask.linked`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from app.ask.heads import Columns, called, groups_of, head_called
from app.ask.linked import part_of
from app.ask.shown import ShownAnswer, ShownAttention
from app.ask.spans import is_block
from app.words import count, percent

BARS = 12
"""Blocks that have a bar of their own; what others got is summed up."""


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
    return count(len(parts), "block" if is_block(parts[0]) else "similar row")


def _most(attention: ShownAttention, part: str) -> str:
    mass = attention.mass[:, :, attention.names.index(part)]
    return f"the head that looked at it most, {head_called(mass, mass.argmax())}, gave it {percent(float(mass.max()))}"


def attention_sentence(attention: ShownAttention, sinks: int) -> str:
    """Which retrieved block got most, and where; the numbers are those of the bars."""
    retrieved = groups_of(attention, sinks).get("retrieved")
    if retrieved is None:
        return "Apart from what every query reads, there is no block."
    return bar_sentence(attention, [max(retrieved.parts, key=attention.shares.__getitem__)])
