"""A method's label as HTML: large, with its tag, its probability and the next label."""

from __future__ import annotations

from html import escape

from app.ask.shown import ShownLabel, ShownMethod
from app.views import breakable
from app.words import measured, whole_percent
from dbsa_core.prediction import NEED_A_LOOK, REFUSED

LONG_LABEL = 22
"""Characters that fit a column in large type."""


def label_view(method: ShownMethod, kind: str = "") -> str:
    """Large, and smaller where it is long; a name may break behind an underscore."""
    if method.nearest:
        near = f'<span class="dbsa-nearest">nearest: {breakable(method.nearest)}</span>'
        return f'<p class="dbsa-label{kind} dbsa-long">{escape(REFUSED)} {near}</p>'
    kind += " dbsa-long" if len(method.label) > LONG_LABEL else ""
    return f'<p class="dbsa-label{kind}">{breakable(method.label)}{_tag(method)}</p>'


def _tag(method: ShownMethod) -> str:
    return f" {check_tag(method.check)}" if method.check else ""


def check_tag(check: str) -> str:
    """What is to be said of an answer, marked where a person should look at it; "" for nothing."""
    kind = " dbsa-out" if check in NEED_A_LOOK else ""
    return f'<span class="dbsa-tag{kind}">{escape(check)}</span>' if check else ""


def next_view(method: ShownMethod) -> str:
    if method.nearest:
        text = f"in-scope score {method.score or 0:.2f}, below {method.threshold or 0:.2f}"
        text += f" · this file calls such texts {method.label}" if method.label != REFUSED else ""
    elif not method.best:
        text = "no probability: greedy decoding follows one label only"
    elif method.taught:
        by_itself = method.best[0]
        text = "the model agrees:" if by_itself.name == method.label else f"the model by itself: {by_itself.name}"
        text += f" {probability(by_itself)}"
    else:
        mine = next((label for label in method.best if label.name == method.label), method.best[0])
        others = [label for label in method.best if label is not mine]
        text = probability(mine)
        if others:
            text += f" · next: {others[0].name} {probability(others[0])}"
        if method.score is not None:
            text += f" · in-scope score {method.score:.2f}"
    return f'<p class="dbsa-next">{escape(text)}</p>'


def share_of(method: ShownMethod) -> str:
    """The probability of its label; "" where it is none of the best, or there is none."""
    return next((probability(label) for label in method.best if label.name == method.label), "")


def time_of(method: ShownMethod) -> str:
    """ "1.3 s"; and whether a warm-up is part of it."""
    return measured(method.total) + (", warm-up included" if method.warming_up else "")


def probability(label: ShownLabel) -> str:
    """Whole per cent; both ends where they lie a point or more apart."""
    if label.high - label.low < 0.01:
        return whole_percent(label.probability)
    return f"{whole_percent(label.low)} to {whole_percent(label.high)}"
