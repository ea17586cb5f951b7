"""Where each head of the model looked, as HTML: a grid of layers and heads, and the numbers behind it.

The grid holds what `heads.js` shows of a head that is pointed at or chosen: the share of each column (`data-mass`,
16 bits each), of which a bar or an entry names its own (`data-columns`), and in these the rows (`data-rows`, `data-
stretch`): the square root of a row's share of its block, 8 bits each; and over how many parts it spread (`data-spread`,
as a share of all parts, 16 bits each). What the server wrote is the mean of all heads.
Knows nothing about text: what is drawn is numbers and block ids.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape

import numpy as np

from app.ask.shown import ShownAnswer, ShownAttention
from app.ask.spans import is_block, number_of
from app.words import count, percent
from dbsa_core.prediction import NOWHERE

SHADES = 10
CONCENTRATION = "concentration"
"""What the grid can show beside shares: 0 where a head spreads over all parts alike, 1 where it looks at one alone."""
MOST_CELLS = 6_000
"""Heads of all layers, up to which they are told apart."""
MOST_NUMBERS, FEWEST_COLUMNS = 60_000, 32
"""Shares that are sent of all heads, and the columns that are sent in any case."""

CSS = """
.dbsa-byhead h3 label { font-weight: inherit; font-size: inherit; color: inherit; }
.dbsa-byhead select { font-size: 0.82rem; padding: 0.1rem 1.6rem 0.1rem 0.5rem; border-radius: 5px;
  border: 1px solid var(--input-border-color); background-color: var(--input-background-fill);
  color: var(--body-text-color); }
.dbsa-grid { cursor: crosshair; border-radius: 3px; touch-action: manipulation; }
.dbsa-heads { display: block; width: 100%; height: 13rem; fill: var(--dbsa-fill-best); }
.dbsa-headat { fill: none; stroke: var(--dbsa-outline); stroke-width: 3; vector-effect: non-scaling-stroke; }
.dbsa-headat.dbsa-pointed { stroke-width: 2; stroke-dasharray: 3 2; }
.dbsa .dbsa-headsaid { min-height: 7em; margin: 0.4rem 0 0; }
.dbsa .dbsa-barsaid { min-height: 3em; margin: 0; }
.dbsa-below .dbsa-panel h3 { display: flex; flex-wrap: wrap; gap: 0.2rem 0.6rem; align-items: baseline; }
.dbsa-whose { font-weight: 400; color: var(--dbsa-muted); font-size: 0.85rem; }
.dbsa-below h3 > button { border: 1px solid var(--button-secondary-border-color); border-radius: 5px; cursor: pointer;
  background: var(--button-secondary-background-fill); color: var(--button-secondary-text-color);
  padding: 0 0.6rem; font-size: 0.78rem; font-weight: 400; }
.dbsa-below h3 > button[hidden] { display: none; }
@media (max-width: 760px) {
  .dbsa-heads { height: 10rem; }
  .dbsa .dbsa-barsaid { min-height: 5.8em; }
}
"""


@dataclass(frozen=True)
class Group:
    """Parts of the context that the grid can show the share of."""

    words: str
    parts: tuple[str, ...]


def groups_of(attention: ShownAttention, sinks: int) -> dict[str, Group]:
    """Those that there are: the retrieved blocks, the shared first ones, the similar rows, the query, and what is on no
    token. They are all of the context."""
    first = [name for name in attention.names if is_block(name) and number_of(name) <= max(1, sinks)]
    retrieved = [name for name in attention.names if is_block(name) and number_of(name) > max(1, sinks)]
    similar = [name for name in attention.names if name.startswith("similar ")]
    found = {
        "retrieved": Group(count(len(retrieved), "retrieved block"), tuple(retrieved)),
        "first": Group("the first block" if len(first) == 1 else "the first blocks", tuple(first)),
        "similar": Group(count(len(similar), "similar row"), tuple(similar)),
        "query": Group("the query", tuple(name for name in attention.names if name == "query")),
        "nowhere": Group("no token (attention sink)", tuple(name for name in attention.names if name == NOWHERE)),
    }
    return {name: group for name, group in found.items() if group.parts}


class Columns:
    """The shares that are sent: each part's own, or the sum of the blocks that have none of their own."""

    def __init__(self, answer: ShownAnswer):
        assert answer.attention is not None
        self._attention, self._answer = answer.attention, answer
        self.groups = groups_of(self._attention, answer.pool.sinks)
        layers, heads, _ = self._attention.mass.shape
        room = max(FEWEST_COLUMNS, MOST_NUMBERS // (layers * heads))
        shares = self._attention.shares
        best = sorted(self.parts("retrieved"), key=lambda name: -shares[name])
        blocks, others = [*self.parts("first"), *best], [name for name in shares if not is_block(name)]
        own = {*others, *blocks[: max(1, room - len(others) - 1)]}
        self._own = [name for name in self._attention.names if name in own]
        self._at = {name: at for at, name in enumerate(self._own)}

    def parts(self, group: str) -> tuple[str, ...]:
        """Of a group; none where there is no such group."""
        return self.groups[group].parts if group in self.groups else ()

    def of(self, parts: Iterable[str]) -> str:
        """Value of `data-columns`."""
        return " ".join(map(str, sorted({self._at.get(part, len(self._own)) for part in parts})))

    def has(self, part: str) -> bool:
        """Whether it has one of its own."""
        return part in self._at

    @cached_property
    def mass(self) -> np.ndarray:
        """float32 [layers, heads, columns]."""
        mass = self._attention.mass
        own = np.isin(self._attention.names, self._own)
        columns = mass[..., own]
        return columns if own.all() else np.concatenate([columns, mass[..., ~own].sum(-1, keepdims=True)], axis=-1)

    @cached_property
    def by_row(self) -> np.ndarray | None:
        """float32 [layers, heads, stretches]: of each row, its share of what its block has."""
        by_row = self._attention.by_row
        if by_row is None:
            return None
        whole = np.full(by_row.shape, 1e-9, np.float32)
        for part in self._answer.parts:
            own = [row.stretch for row in part.rows if row.stretch is not None]
            if number_one(part.key) and self._attention.start is not None:
                own.append(self._attention.start)
            if own:
                whole[..., own] = np.maximum(by_row[..., own].sum(-1, keepdims=True), 1e-9)
        return np.clip(by_row / whole, 0, 1)


def number_one(key: str) -> bool:
    """Whether it is the pool's first block, where what stands before the first row is."""
    return key == "block 1"


def heads_panel(answer: ShownAnswer, columns: Columns) -> str:
    """The grid with its sentence; "" where heads are too many to be told apart."""
    attention = answer.attention
    if attention is None or attention.mass[:, :, 0].size > MOST_CELLS:
        return ""
    groups = columns.groups
    words = {name: f"share on {group.words}" for name, group in groups.items()}
    if len(attention.names) > 1:
        words[CONCENTRATION] = "concentration"
    options = "".join(f'<option value="{name}">{escape(said)}</option>' for name, said in words.items())
    title = (
        f"<h3><label>Darker: more <select data-share>{options}</select></label>"
        '<span class="dbsa-muted">layers down, heads across</span></h3>'
    )
    grid = _grid(attention, columns)
    said = f'<p class="dbsa-muted dbsa-headsaid">{escape(groups_sentence(attention, groups))}</p>'
    return f'<div class="dbsa-panel dbsa-byhead">{title}{grid}{said}</div>'


def groups_sentence(attention: ShownAttention, groups: dict[str, Group]) -> str:
    """What all heads gave to each group, and the head that gave most to the first of them."""
    shares = attention.shares
    mean = [f"{percent(sum(shares[part] for part in group.parts))} on {group.words}" for group in groups.values()]
    first = next(iter(groups.values()))
    mass = share_of(attention, first.parts)
    most = f"{head_called(mass, mass.argmax()).capitalize()} gave most to {first.words}: {percent(float(mass.max()))}."
    return f"Mean of all heads: {', '.join(mean)}. {most} {spread_sentence(attention)}"


def spread_sentence(attention: ShownAttention) -> str:
    """Over how many parts heads spread, and which one over fewest."""
    spread, parts = attention.spread, count(len(attention.names), "part")
    least = f"{head_called(spread, spread.argmin())} over fewest: {spread.min():.1f}"
    return f"A head spread over {spread.mean():.1f} of {parts} on average, {least}."


def head_called(values: np.ndarray, place: np.intp) -> str:
    """ "head 3 of layer 12": the one at a place of values [layers, heads], counted through."""
    layer, head = np.unravel_index(place, values.shape)
    return f"head {head + 1} of layer {layer + 1}"


def share_of(attention: ShownAttention, parts: Sequence[str]) -> np.ndarray:
    """float32 [layers, heads]."""
    found: np.ndarray = attention.mass[..., np.isin(attention.names, parts)].sum(axis=-1)
    return found


def _grid(attention: ShownAttention, columns: Columns) -> str:
    """The first group's; the others' are drawn from the numbers that are sent."""
    layers, heads, _ = attention.mass.shape
    groups = columns.groups
    sent = {
        name: {"words": group.words, "columns": _numbers(columns.of(group.parts))} for name, group in groups.items()
    }
    parts = len(attention.names)
    data = {
        "layers": layers,
        "heads": heads,
        "parts": parts,
        "groups": json.dumps(sent),
        "mass": packed(columns.mass, 65535, "<u2"),
        "spread": packed(attention.spread / parts, 65535, "<u2"),
    }
    if columns.by_row is not None:
        data["rows"] = packed(np.sqrt(columns.by_row), 255, "u1")
    named = "".join(f' data-{name}="{escape(str(value))}"' for name, value in data.items())
    role = (
        f'role="slider" tabindex="0" aria-label="Head, of {layers * heads:,}" aria-valuemin="1" '
        f'aria-valuemax="{layers * heads}" aria-valuenow="1" aria-valuetext="Mean of all heads"'
    )
    return f'<div class="dbsa-grid" {role}{named}>{heads_picture(attention, next(iter(groups.values())))}</div>'


def _numbers(written: str) -> list[int]:
    return [int(one) for one in written.split()]


def packed(values: np.ndarray, scale: int, kind: str) -> str:
    """Shares for a script: in base64, each as a whole number up to `scale`."""
    return base64.b64encode(np.rint(np.clip(values, 0, 1) * scale).astype(kind).tobytes()).decode()


def heads_picture(attention: ShownAttention, chosen: Group) -> str:
    """The share of a group by layer (down) and head (across), as so many shades."""
    share = share_of(attention, chosen.parts)
    layers, heads = share.shape
    levels = np.ceil(SHADES * share / max(float(share.max()), 1e-6)).astype(int)
    wide, high = 560 / heads, max(4.0, 200 / layers)
    paths = []
    for level in range(SHADES + 1):
        cells = "".join(
            f"M{head * wide:.1f} {layer * high:.1f}h{wide - 1:.1f}v{high - 1:.1f}h{1 - wide:.1f}z"
            for layer, head in zip(*np.nonzero(levels == level), strict=True)
        )
        paths.append(f'<path data-level="{level}" d="{cells}" fill-opacity="{0.06 + 0.94 * level / SHADES:.2f}"/>')
    words = f"Share of attention on {chosen.words}, {layers} layers by {heads} heads"
    at = '<path class="dbsa-headat"/><path class="dbsa-headat dbsa-pointed"/>'
    return (
        f'<svg class="dbsa-heads" viewBox="0 0 560 {layers * high:.0f}" role="img" aria-label="{escape(words)}" '
        f'preserveAspectRatio="none">{"".join(paths)}{at}</svg>'
    )


def called(attention_part: str, note: str = "") -> str:
    """ "Block 12", "Similar row 2", "The query"; `note` says more of it."""
    name = {"query": "The query", NOWHERE: "No token (attention sink)"}.get(
        attention_part, attention_part.replace("similar ", "similar row ").capitalize()
    )
    return f"{name} ({note})" if note else name
