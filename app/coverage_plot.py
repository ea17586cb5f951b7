"""The curve to choose a reject option's threshold from: how many texts are answered, and how many of those are right.

Pure functions of core values; knows nothing about Gradio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

if TYPE_CHECKING:
    from dbsa_core.reject import RejectOption

_RIGHT, _REFUSED, _CHOSEN = "#2f66b5", "#d9880f", "#d9480f"
_GREY = "#7d8694"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
_MODEBAR = ["zoom", "pan", "select", "lasso", "zoomin", "zoomout", "autoscale", "resetscale"]


def coverage_figure(option: RejectOption) -> go.Figure:
    """Over the share of texts in scope that are answered: how many of those are right, and of the others how many are
    refused. A mark shows the threshold in force."""
    axis = {"tickformat": ".0%", "fixedrange": True, "gridcolor": "rgba(128,128,128,0.25)", "zeroline": False}
    figure = _base_figure(
        "Coverage and accuracy",
        "On rows of the file that were asked about to fit it.",
        240,
        xaxis={**axis, "title": {"text": "answered, of texts that a label fits"}, "range": [0, 1.02]},
        yaxis={**axis, "range": [0, 1.04], "automargin": True},
    )
    figure.update_layout(legend={"y": -0.32}, margin={"b": 70})
    points = [point for point in option.curve if point.accuracy is not None]
    hover = "%{y:.0%} at threshold %{customdata:.2f}"
    lines = [("of those, right", _RIGHT, [(point, point.accuracy) for point in points])]
    if any(point.oos_recall is not None for point in points):
        lines.append(("of the others, refused", _REFUSED, [(point, point.oos_recall) for point in points]))
    for name, colour, values in lines:
        figure.add_scatter(
            x=[point.coverage for point, _ in values],
            y=[value for _, value in values],
            customdata=[point.threshold for point, _ in values],
            mode="lines",
            name=name,
            line={"color": colour, "width": 2},
            hovertemplate=f"{name}: {hover}<extra></extra>",
        )
    if (point := option.point) is not None:
        figure.add_vline(x=point.coverage, line={"color": _GREY, "dash": "dot"})
        marked = [value for value in (point.accuracy, point.oos_recall) if value is not None]
        figure.add_scatter(
            x=[point.coverage] * len(marked),
            y=marked,
            mode="markers",
            name=f"threshold {option.threshold:.2f}",
            marker={"size": 10, "color": _CHOSEN},
            hovertemplate="%{y:.0%} of %{x:.0%}<extra></extra>",
        )
    return figure


def _base_figure(title: str, subtitle: str, height: int, **layout: Any) -> go.Figure:
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
            "font": {"family": _FONT, "size": 12, "color": _GREY},
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
            "modebar": {"remove": _MODEBAR, "bgcolor": "rgba(0,0,0,0)", "color": _GREY},
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
