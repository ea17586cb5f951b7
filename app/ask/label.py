"""A method's label as HTML: large, with its tag, its probability and the next label."""

from __future__ import annotations

from html import escape

from app.ask.shown import ShownLabel, ShownMethod
from app.words import whole_percent

LONG_LABEL = 22
"""Characters that fit a column in large type."""


def label_view(method: ShownMethod, kind: str = "") -> str:
    """Large, and smaller where it is long; a name may break behind an underscore."""
    kind += " dbsa-long" if len(method.label) > LONG_LABEL else ""
    return f'<p class="dbsa-label{kind}">{escape(method.label).replace("_", "_<wbr>")}{_tag(method)}</p>'


def _tag(method: ShownMethod) -> str:
    if method.taught:
        return ' <span class="dbsa-tag">As you taught</span>'
    if method.may_fit_no_label:
        return ' <span class="dbsa-tag dbsa-out">May fit no label</span>'
    unsure = len(method.best) > 1 and method.best[0].probability < 2 * method.best[1].probability
    return ' <span class="dbsa-tag dbsa-out">Unsure</span>' if unsure else ""


def next_view(method: ShownMethod) -> str:
    if not method.best:
        text = "no probability: greedy decoding follows one label only"
    elif method.taught:
        by_itself = method.best[0]
        text = "the model agrees:" if by_itself.name == method.label else f"the model by itself: {by_itself.name}"
        text += f" {probability(by_itself)}"
    else:
        text = probability(method.best[0])
        if len(method.best) > 1:
            text += f" · next: {method.best[1].name} {probability(method.best[1])}"
    return f'<p class="dbsa-next">{escape(text)}</p>'


def probability(label: ShownLabel) -> str:
    """Whole per cent; both ends where they lie a point or more apart."""
    if label.high - label.low < 0.01:
        return whole_percent(label.probability)
    return f"{whole_percent(label.low)} to {whole_percent(label.high)}"
