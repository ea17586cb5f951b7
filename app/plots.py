"""The app's larger figure: the mask of stage 1, with words beside it.

Pure functions of core values; knows nothing about Gradio. Text colours are the style sheet's (`app.theme`), so that one
figure serves light and dark screens; hence transparent backgrounds and colours that read on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app.views import density_words
from dbsa_core.blocks import BlockPattern
from dbsa_core.masks import NOT_SEEN, PREVIOUS, SELF, SINK, block_picture

MAX_CELLS = 512
"""Blocks that a mask figure draws one by one; of more, several share a cell."""
MAX_SENTENCES = 128
"""Blocks up to which every cell of a mask figure has its own sentence on hover."""

_CATEGORIES = (
    (NOT_SEEN, "not attended", "rgba(128,128,128,0.15)"),
    (SELF, "self", "#2f66b5"),
    (PREVIOUS, "previous", "#7fa8dc"),
    (SINK, "sink", "#f0c24b"),
)
_OUTLINE = "#d9480f"
GREY = "#7d8694"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
_MODEBAR = ["zoom", "pan", "select", "lasso", "zoomin", "zoomout", "autoscale", "resetscale"]


def base_figure(title: str, subtitle: str, height: int, **layout: Any) -> go.Figure:
    # Plotly does not wrap: a long line would be cut on a narrow screen.
    lines = "<br>".join(_wrapped(subtitle, 46))
    top = 40 + 17 * (lines.count("<br>") + 1 if lines else 0)
    return go.Figure(
        layout={
            "title": {
                "text": title,
                "font": {"size": 14},
                "subtitle": {"text": lines, "font": {"size": 12}},
                "x": 0,
                "xref": "container",
                "y": 1,
                "yref": "container",
                "yanchor": "top",
                "pad": {"t": 12, "l": 8},
            },
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": _FONT, "size": 12, "color": GREY},
            "margin": {"l": 8, "r": 12, "t": top, "b": 8},
            "height": height + top,
            "legend": {
                "orientation": "h",
                "x": 0,
                "y": -0.02,
                "yanchor": "top",
                "itemclick": False,
                "itemdoubleclick": False,
            },
            "modebar": {"remove": _MODEBAR, "bgcolor": "rgba(0,0,0,0)", "color": GREY},
            "hovermode": "closest",
            "hoverlabel": {"font": {"family": _FONT, "size": 12}},
            **layout,
        }
    )


def _wrapped(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


# --- the mask of stage 1 ----------------------------------------------------------------------------------------------


def mask_figure(
    pattern: BlockPattern, num_blocks: int, chosen: Sequence[int] = (), current: int | None = None
) -> go.Figure:
    """Which block sees which while it is encoded; `chosen` blocks (ids from 0) are marked as read by the query.

    `current` is the id of the block being encoded.
    """
    if num_blocks < 1:
        return base_figure(
            "Which block sees which", "No blocks yet", 60, xaxis={"visible": False}, yaxis={"visible": False}
        )
    factor = -(-num_blocks // MAX_CELLS)
    notes = [density_words(pattern, num_blocks)]
    if factor > 1:
        notes.append(f"each cell is the strongest of {factor} × {factor} blocks")
    strip = max(1.2, 0.045 * num_blocks) if chosen else 0.0
    axis = {
        "showgrid": False,
        "zeroline": False,
        "tickvals": _ticks(num_blocks),
        "constrain": "domain",
    }
    figure = base_figure(
        "Which block sees which",
        "; ".join(notes),
        430 if num_blocks <= MAX_SENTENCES else 640,
        xaxis={
            **axis,
            "title": {"text": "attended to", "standoff": 4},
            "range": [0.5, num_blocks + 0.5],
            "side": "top",
            "constraintoward": "left",
        },
        yaxis={
            **axis,
            "title": {"text": "block being encoded", "standoff": 4},
            "range": [num_blocks + 0.5 + strip, 0.5],
            "scaleanchor": "x",
            "constraintoward": "top",
        },
    )
    figure.layout.margin.t += 46
    figure.add_trace(_mask_heatmap(_picture(pattern, num_blocks, factor), factor))
    for _, name, colour in _CATEGORIES:
        marker = {"symbol": "square", "size": 11, "color": colour, "line": {"color": GREY, "width": 1}}
        figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", name=name, marker=marker, hoverinfo="skip"))
    if current is not None:
        figure.add_trace(
            _boxes([(0.5, current + 0.5, num_blocks + 0.5, current + 1.5)], f"block {current + 1}, encoded now")
        )
    if chosen:
        figure.add_trace(_boxes([(b + 0.5, b + 0.5, b + 1.5, b + 1.5) for b in chosen], "", show=False))
        figure.add_trace(_strip(chosen, num_blocks, strip))
    return figure


def _ticks(num_blocks: int) -> list[int]:
    """At most eleven round numbers of blocks that there are, and the first."""
    steps = (times * 10**power for power in range(9) for times in (1, 2, 5))
    step = next(step for step in steps if num_blocks <= 10 * step)
    return sorted({1, *range(step, num_blocks + 1, step)})


def _mask_heatmap(picture: np.ndarray, factor: int) -> go.Heatmap:
    cells = len(picture)
    numbers = (np.arange(cells) * factor + (factor + 1) / 2).astype(np.float32 if factor % 2 == 0 else np.uint32)
    steps = [(edge / 4, colour) for code, _, colour in _CATEGORIES for edge in (code, code + 1)]
    near = "about " if factor > 1 else ""
    hover: dict[str, Any] = {"hovertemplate": f"block {near}%{{y}}, attending to block {near}%{{x}}<extra></extra>"}
    if factor == 1 and cells <= MAX_SENTENCES:
        hover = {"hoverinfo": "text", "hovertext": _sentences(picture)}
    gap = 1 if cells <= 64 else 0
    return go.Heatmap(
        z=picture,
        x=_smallest(numbers),
        y=_smallest(numbers),
        zmin=-0.5,
        zmax=3.5,
        colorscale=steps,
        showscale=False,
        xgap=gap,
        ygap=gap,
        **hover,
    )


def _smallest(values: np.ndarray) -> np.ndarray:
    """Whole numbers in the smallest unsigned type that holds them; others as they are."""
    return values.astype(np.min_scalar_type(int(values.max()))) if values.dtype.kind == "u" else values


def _sentences(picture: np.ndarray) -> np.ndarray:
    def sentence(row: int, column: int) -> str:
        code = picture[row, column]
        if code == NOT_SEEN:
            return f"block {row + 1} does not see block {column + 1}"
        return f"block {row + 1} sees {'itself' if code == SELF else f'block {column + 1}: {_CATEGORIES[code][1]}'}"

    size = range(len(picture))
    return np.array([[sentence(row, column) for column in size] for row in size], dtype=object)


def _picture(pattern: BlockPattern, num_blocks: int, factor: int) -> np.ndarray:
    """`block_picture`, or the largest category of each `factor` x `factor` of it without drawing it in full: uint8."""
    if factor == 1:
        return block_picture(num_blocks, pattern)
    row, column = np.indices((-(-num_blocks // factor),) * 2, dtype=np.int32) * factor
    last_row, last_column = (np.minimum(first + factor, num_blocks) - 1 for first in (row, column))
    nearest, farthest = row - last_column, last_row - column
    picture = np.full(row.shape, NOT_SEEN, dtype=np.uint8)
    picture[(nearest <= 0) & (farthest >= 0)] = SELF
    picture[np.maximum(nearest, 1) <= np.minimum(farthest, pattern.previous_blocks)] = PREVIOUS
    picture[(column < pattern.sink_blocks) & (farthest >= 1)] = SINK
    return picture


def _boxes(corners: Sequence[tuple[float, float, float, float]], name: str, *, show: bool = True) -> go.Scatter:
    """Rectangles (left, top, right, bottom) as one line with gaps."""
    across = [(left, right, right, left, left, np.nan) for left, _, right, _ in corners]
    down = [(top, top, low, low, top, np.nan) for _, top, _, low in corners]
    return go.Scatter(
        x=np.array(across, dtype=np.float32).ravel(),
        y=np.array(down, dtype=np.float32).ravel(),
        mode="lines",
        line={"color": _OUTLINE, "width": 2},
        name=name,
        showlegend=show,
        hoverinfo="skip",
    )


def _strip(chosen: Sequence[int], num_blocks: int, strip: float) -> go.Scatter:
    numbers = _smallest(np.array(chosen, dtype=np.uint32) + 1)
    return go.Scatter(
        x=numbers,
        y=np.full(len(numbers), num_blocks + 0.5 + strip / 2, dtype=np.float32),
        mode="markers",
        cliponaxis=False,
        marker={"symbol": "triangle-up", "size": 9, "color": _OUTLINE},
        name="read by this query",
        hovertemplate="block %{x} is read by this query<extra></extra>",
    )


def mask_words(pattern: BlockPattern, num_blocks: int) -> str:
    """The mask in words: one block that shows the pattern, and the count of block pairs."""
    if num_blocks < 1:
        return "No blocks yet."
    block = min(num_blocks, pattern.sink_blocks + pattern.previous_blocks + 4) - 1
    others = pattern.window(block)[:-1]
    seen = f"block{'s' if len(others) > 1 else ''} {_numbers(others)} and itself" if others else "only itself"
    return f"Block {block + 1} sees {seen}. {density_words(pattern, num_blocks)}."


def _numbers(blocks: Sequence[int]) -> str:
    """Block ids as numbers from 1; three or more in a row as "5 to 9"."""
    parts: list[str] = []
    for _, run in groupby(enumerate(blocks), key=lambda item: item[1] - item[0]):
        numbers = [block + 1 for _, block in run]
        parts += [f"{numbers[0]} to {numbers[-1]}"] if len(numbers) > 2 else map(str, numbers)
    return ", ".join(parts)
