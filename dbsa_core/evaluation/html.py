"""An evaluation's results as one HTML page, which needs no server and no network.

Knows nothing about how they were found. No text of a row stands in it, only labels.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from dbsa_core.evaluation.report import NOTES, grouped, headings, mistakes, summary, table_row, verdicts
from dbsa_core.evaluation.result import Evaluation, beaten_by_word_counts, may_refuse, without_option

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#8c564b", "#bcbd22")
"""Told apart by most colour-blind people (Okabe and Ito), with darker ones behind them."""
MOST_LABELS = 40
"""Of a confusion matrix: those that were mistaken most often."""
_COUNTS = 12
"""A matrix of at most so many labels has its counts written in it."""
_GREY = "#808080"
_SHADES = ((0.0, "rgba(0,114,178,0.05)"), (1.0, "rgba(0,114,178,0.6)"))
"""Ink can be read on all of them, dark on light and light on dark."""
_DRAW = """
const ink = matchMedia("(prefers-color-scheme: dark)").matches ? "#dddddd" : "#333333";
function draw(place, data, layout) {
  layout.font.color = ink;
  for (const trace of data) if (trace.type === "heatmap") trace.textfont = {color: ink};
  Plotly.newPlot(`figure-${place}`, data, layout, {responsive: true, displaylogo: false});
}
"""
_CSS = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 84rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem; }
th, td { text-align: left; padding: 0.25rem 0.7rem 0.25rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
td:first-child { min-width: 11rem; } td + td, th + th { white-space: nowrap; }
pre { overflow-x: auto; font-size: 0.8rem; } .muted { opacity: 0.75; }
"""


def report_page(results: Sequence[Evaluation], settings: Mapping[str, Any]) -> str:
    """The page, with plotly.js in it: about 5 MB."""
    from plotly.offline import get_plotlyjs

    figures = list(_figures(results))
    body = "\n".join(_parts(results, settings, [title for title, _ in figures]))
    drawn = "\n".join(f"draw({place}, ...{_json(figure)});" for place, (_, figure) in enumerate(figures))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Evaluation</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_CSS}</style><script>{get_plotlyjs()}</script></head>\n<body>\n{body}\n<script>{_DRAW}{drawn}\n</script>\n"
        "</body></html>\n"
    )


def _json(figure: Any) -> str:
    found = json.loads(figure.to_json())
    # In a script, "</" would end it.
    return json.dumps([found["data"], found["layout"]]).replace("</", "<\\/")


def _parts(results: Sequence[Evaluation], settings: Mapping[str, Any], titles: Sequence[str]) -> Iterator[str]:
    yield f"<h1>Evaluation</h1><p>{escape(summary(results, settings))}</p>"
    if told := beaten_by_word_counts(results):
        yield f"<p><strong>{escape(told)}</strong></p>"
    for why in without_option(results):
        yield f"<p>{escape(why)}</p>"
    for reads, found in grouped(results):
        yield f"<h2>Methods that {reads}</h2>"
        yield _table([headings(results), *(table_row(each, results) for each in found)])
    if len(results) > 1:
        yield "<h2>Which is better</h2>" + _table(verdicts(results))
    yield f'<p class="muted">{escape(NOTES)}</p>'
    for place, title in enumerate(titles):
        yield f'<h2>{escape(title)}</h2><div id="figure-{place}" role="figure" aria-label="{escape(title)}"></div>'
    for each in results:
        if len(listed := mistakes(each)) > 1:
            yield f"<h2>Mistakes of {escape(each.title)}</h2>" + _table(listed)
    yield f"<h2>Settings</h2><pre>{escape(json.dumps(settings, indent=1, ensure_ascii=False))}</pre>"


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{_marked(cell)}</td>' for cell in row)}</tr>" for row in rows[1:])
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _marked(cell: str) -> str:
    """With names of methods, which stand in backticks, as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(cell))


# --- figures ----------------------------------------------------------------------------------------------------------


def _figures(results: Sequence[Evaluation]) -> Iterator[tuple[str, Any]]:
    """Each with its title."""
    yield "Accuracy and latency", _accuracy_and_latency(results)
    if any(found.reliability for found in results):
        yield "Calibration: accuracy of answers by their probability", _calibration(results)
    if may_refuse(results):
        yield "Coverage and accuracy: rows answered with a label, and how many of them are right", _coverage(results)
    for found in results:
        if found.accuracy < 1:
            yield f"Right labels and answers: {found.title}", confusion_figure(found)


def _layout(**more: Any) -> dict[str, Any]:
    axis = {"gridcolor": "rgba(128,128,128,0.25)", "zerolinecolor": "rgba(128,128,128,0.4)"}
    each = {name: {**axis, **more.pop(name, {})} for name in ("xaxis", "yaxis")}
    clear = "rgba(0,0,0,0)"
    margin = {"l": 60, "r": 20, "t": 20, "b": 50}
    plain = {"paper_bgcolor": clear, "plot_bgcolor": clear, "font": {"color": _GREY}, "margin": margin, "height": 420}
    plain |= {"legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}}
    return {**plain, **each, **more}


def _accuracy_and_latency(results: Sequence[Evaluation]) -> Any:
    from plotly import graph_objects as go

    figure = go.Figure(layout=_layout(
        xaxis={"type": "log", "title": "seconds a query, median"},
        yaxis={"title": "accuracy", "tickformat": ".0%"},
    ))  # fmt: skip
    for found, colour in zip(results, _colours(results), strict=True):
        estimate = found.accuracy_estimate
        figure.add_scatter(
            x=[found.latency_p50_seconds], y=[estimate.value], name=escape(found.title), mode="markers",
            marker={"color": colour, "size": 11},
            error_y={"type": "data", "array": [estimate.high - estimate.value],
                     "arrayminus": [estimate.value - estimate.low], "color": colour},
            hovertemplate=f"{escape(found.title)}<br>{estimate}<br>%{{x:.4f}} s<extra></extra>",
        )  # fmt: skip
    return figure


def _calibration(results: Sequence[Evaluation]) -> Any:
    from plotly import graph_objects as go

    figure = go.Figure(layout=_layout(
        xaxis={"title": "probability", "tickformat": ".0%", "range": [0, 1.02]},
        yaxis={"title": "accuracy", "tickformat": ".0%", "range": [0, 1.02]},
    ))  # fmt: skip
    ideal = {"color": _GREY, "dash": "dot"}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="as it says", line=ideal, hoverinfo="skip")
    for found, colour in zip(results, _colours(results), strict=True):
        bins = found.reliability
        figure.add_scatter(
            x=[each.probability for each in bins], y=[each.accuracy for each in bins], name=escape(found.title),
            mode="lines+markers", line={"color": colour}, customdata=[each.count for each in bins],
            hovertemplate=f"{escape(found.title)}: %{{y:.0%}} of %{{customdata:,}} answers of about %{{x:.0%}}"
            "<extra></extra>",
        )  # fmt: skip
    return figure


def _coverage(results: Sequence[Evaluation]) -> Any:
    from plotly import graph_objects as go

    figure = go.Figure(layout=_layout(
        xaxis={"title": "share of rows answered with a label", "tickformat": ".0%", "range": [0, 1.02]},
        yaxis={"title": "accuracy of those", "tickformat": ".0%"},
    ))  # fmt: skip
    for found, colour in zip(results, _colours(results), strict=True):
        curve = found.coverage_curve()
        if found.threshold is None or not curve:
            continue
        name, thresholds = escape(found.title), [threshold for threshold, _, _ in curve]
        hover = f"{name}: %{{y:.1%}} of %{{x:.1%}} at threshold %{{customdata:.3f}}<extra></extra>"
        chosen = [point for point in curve if point[0] >= found.threshold][-1:]
        figure.add_scatter(
            x=[share for _, share, _ in curve], y=[right for _, _, right in curve], name=name, mode="lines",
            line={"color": colour}, customdata=thresholds, hovertemplate=hover, legendgroup=name,
        )  # fmt: skip
        figure.add_scatter(
            x=[share for _, share, _ in chosen], y=[right for _, _, right in chosen], name="as fitted", mode="markers",
            marker={"color": colour, "size": 11}, customdata=[found.threshold], hovertemplate=hover, legendgroup=name,
            showlegend=False,
        )  # fmt: skip
    return figure


def _colours(results: Sequence[Evaluation]) -> list[str]:
    return [COLOURS[place % len(COLOURS)] for place in range(len(results))]


def confusion_figure(found: Evaluation) -> Any:
    """Right labels down, answers across; of many labels those that were mistaken most often."""
    from plotly import graph_objects as go

    counts = found.confusion()
    labels = sorted({label for pair in counts for label in pair if label})
    wrong = dict.fromkeys(labels, 0)
    for (gold, answer), count in counts.items():
        if gold != answer:
            for label in filter(None, (gold, answer)):
                wrong[label] += count
    kept = sorted(sorted(labels, key=lambda label: -wrong[label])[:MOST_LABELS])
    shown = [[counts.get((gold, answer), 0) for answer in kept] for gold in kept]
    values = np.log1p(np.array(shown, float))
    short = [label if len(label) <= 24 else f"{label[:23]}…" for label in kept]
    names = [escape(f"{place + 1} {label}") for place, label in enumerate(short)]  # short ones may be equal
    figure = go.Figure(layout=_layout(
        height=max(420, 18 * len(kept) + 200),
        xaxis={"title": "answer", "tickangle": 60, "automargin": True},
        yaxis={"title": "right label", "autorange": "reversed", "automargin": True},
    ))  # fmt: skip
    figure.add_heatmap(
        z=values, x=names, y=names, text=shown, colorscale=_SHADES, showscale=False, xgap=1, ygap=1,
        texttemplate="%{text}" if len(kept) <= _COUNTS else None,
        hovertemplate="right: %{y}<br>answer: %{x}<br>%{text:,} rows<extra></extra>",
    )  # fmt: skip
    return figure
