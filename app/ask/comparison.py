"""What an answer is compared with, as HTML: a column a method, which other methods there are, and the times of all.

Pure functions of what is shown; every piece of user text goes through `html.escape`.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from app.ask.label import label_view, next_view
from app.ask.shown import ShownAnswer, ShownMethod
from app.views import muted
from app.words import count, duration, measured, out_of
from dbsa_core import costs

if TYPE_CHECKING:
    from dbsa_core.methods.base import MayRead


@dataclass(frozen=True)
class Waiting:
    """A method that has not answered yet, and why."""

    name: str
    title: str
    text: str
    offer: str = ""
    """A button's text."""
    event: str = "select"
    """That a press of it triggers."""


@dataclass(frozen=True)
class Choice:
    """A method that may be compared with."""

    name: str
    title: str
    note: str
    """What it takes and may read."""
    chosen: bool


@dataclass(frozen=True)
class Comparing:
    """Where the comparison of the last answer stands."""

    choices: tuple[Choice, ...] = ()
    alone: bool = True
    """Whether a comparison begins by itself."""
    most: int = 3
    """Methods at once."""
    waiting: tuple[Waiting, ...] = ()
    measuring: str = ""
    """How far further runs are; "" where none are under way."""
    measures: bool = True
    """Whether there may be further runs."""


def columns(answer: ShownAnswer, comparing: Comparing | None) -> list[str]:
    """One for each method that it is compared with. Without `comparing` it is a run that only is looked at."""
    if comparing is None:
        others = answer.compared
        return [_compared(_id(place, other.method), answer, other, others, "") for place, other in enumerate(others)]
    there = {other.method: other for other in answer.compared}
    waiting = {each.name: each for each in comparing.waiting}
    wanted = [choice.name for choice in comparing.choices if choice.chosen]
    others = tuple(there[name] for name in wanted if name in there)
    made = []
    for place, name in enumerate(wanted):
        if name in there:
            last = there[name] is others[-1]
            made.append(_compared(_id(place, name), answer, there[name], others, _measuring(comparing) if last else ""))
        elif name in waiting:
            made.append(_waiting(_id(place, name), answer, waiting[name], others))
    return made


def _id(place: int, name: str) -> str:
    """Of the first column "comparison", of the others by their methods."""
    return f"comparison-{name}" if place else "comparison"


def chooser(comparing: Comparing) -> str:
    """The methods to choose from, closed until it is wanted."""
    full = sum(choice.chosen for choice in comparing.choices) >= comparing.most
    rows = "".join(_choice(choice, full) for choice in comparing.choices)
    alone = " checked" if comparing.alone else ""
    tick = (
        f'<label class="dbsa-alone"><input type="checkbox" id="compare-alone" data-change="option_select"{alone}>'
        "<span>Compare after every answer by itself</span></label>"
    )
    said = muted(f"At most {comparing.most} at once. The answer never waits for them.")
    return (
        '<details class="dbsa-choose" data-keep="compare" data-popup><summary>Compare with</summary>'
        f'<div class="dbsa-popup">{rows}{tick}{said}</div></details>'
    )


def _choice(choice: Choice, full: bool) -> str:
    state = " checked" if choice.chosen else " disabled" if full else ""
    return (
        f'<label><input type="checkbox" name="method" value="{escape(choice.name)}" id="compare-{escape(choice.name)}" '
        f'data-change="option_select"{state}><span><b>{escape(choice.title)}</b> {escape(choice.note)}</span></label>'
    )


def card(name: str, title: str, body: str, kind: str = "") -> str:
    """A column of that title."""
    kind = f" {kind}" if kind else ""
    return (
        f'<section id="{name}" class="dbsa-panel{kind}" aria-label="{escape(title)}"><h2>{escape(title)}</h2>{body}'
        "</section>"
    )


def _waiting(id: str, answer: ShownAnswer, waiting: Waiting, others: tuple[ShownMethod, ...]) -> str:
    body = f'<p class="dbsa-say">{escape(waiting.text)}</p>'
    if waiting.offer:
        body += f'<button type="button" class="dbsa-run" data-event="{waiting.event}">{escape(waiting.offer)}</button>'
    longest = max(method.total for method in (answer.method, *others))
    body += _times(longest, answer.method)
    return card(id, f"Compared with: {waiting.title}", body, "dbsa-compared")


def _compared(id: str, answer: ShownAnswer, other: ShownMethod, others: tuple[ShownMethod, ...], more: str) -> str:
    longest = max(method.total for method in (answer.method, *others))
    said = f'<p class="dbsa-say">{_faster(answer.method, other)}{escape(_why(answer, other, other is others[0]))}</p>'
    reads = f"{may_read(other, answer)} {_runs(answer.method, other)}".strip()
    foot = f'<p class="dbsa-muted">{escape(reads)} {more}</p>'
    body = f"{label_view(other, ' dbsa-second')}{next_view(other)}{_times(longest, answer.method, other)}"
    return card(id, f"Compared with: {other.title}", body + said + foot, "dbsa-compared")


def _measuring(comparing: Comparing) -> str:
    if comparing.measuring:
        stop = '<button type="button" data-event="pause">Stop</button>'
        return f"{escape(comparing.measuring)} {stop}"
    return '<button type="button" data-event="play">Measure 5 more</button>' if comparing.measures else ""


# --- times ------------------------------------------------------------------------------------------------------------

_PARTS = (("before", ("retrieve", "assemble")), ("anew", ("examples",)), ("rest", ("query",)))


def _times(longest: float, *methods: ShownMethod) -> str:
    """One bar a method, on one scale: what came before the forward, the examples that were encoded anew, the rest."""
    legend = (
        '<p class="dbsa-legend"><span><i class="dbsa-key dbsa-anew"></i>examples encoded anew</span> '
        '<span><i class="dbsa-key dbsa-rest"></i>the rest</span></p>'
    )
    return f'<div class="dbsa-bars dbsa-times">{"".join(_time(method, longest) for method in methods)}</div>{legend}'


def _time(method: ShownMethod, longest: float) -> str:
    seconds = {kind: sum(method.seconds.get(name, 0.0) for name in names) for kind, names in _PARTS}
    scale = 100 * method.total / (longest or 1.0) / (sum(seconds.values()) or 1.0)
    parts = "".join(
        f'<span class="dbsa-fill dbsa-{kind}" style="width:{scale * part:.2f}%"></span>'
        for kind, part in seconds.items()
    )
    return (
        f'<div class="dbsa-row"><span class="dbsa-name" title="{escape(method.title)}">{escape(method.title)}</span>'
        f'<span class="dbsa-track">{parts}</span><span class="dbsa-value">{measured(method.total)}</span></div>'
    )


def _faster(method: ShownMethod, other: ShownMethod) -> str:
    """Nothing where a warm-up is part of a time."""
    if method.warming_up or other.warming_up or not method.total or not other.total:
        return ""
    if (ratio := other.total / method.total) >= 1.05:
        return f"<strong>{ratio:.1f} times as fast.</strong> "
    return f"<strong>{1 / ratio:.1f} times as slow.</strong> " if ratio < 0.95 else ""


def _why(answer: ShownAnswer, other: ShownMethod, first: bool) -> str:
    """What made the difference; what the answer's method read is said in the first column alone."""
    method, pool = answer.method, answer.pool
    text = f"{measured(method.total)} against {measured(other.total)}"
    if first:
        similar = f"{count(method.rows_anew, 'similar row')} and " if method.rows_anew else ""
        text += f": {out_of(len(answer.read), pool.blocks, 'block')} came from memory, only {similar}your text "
        text += "were encoded" if similar else "was encoded"
    text += "."
    text += f" {other.title} encoded {count(other.rows_anew, 'row')}." if other.rows_anew else ""
    text += f" {other.title} read no row." if other.may_read == "none" else ""
    if other.fit_seconds >= 0.1:
        text += f" Before its first answer {other.title} took {measured(other.fit_seconds)}, once."
    if method.warming_up or other.warming_up:
        text += " First run, warm-up included."
    return text


def _runs(*methods: ShownMethod) -> str:
    """Of further runs the median, how many they were, and their range."""
    timed = [method for method in methods if method.measured]
    if len(timed) < len(methods):
        return ""
    each = "; ".join(
        f"{method.title} {measured(min(method.measured))} to {measured(max(method.measured))}" for method in timed
    )
    return f"Medians of {len(timed[0].measured)} runs in turn: {each}."


def may_read(method: ShownMethod, answer: ShownAnswer) -> str:
    """ "May read the 143 encoded rows."; "" where it reads none."""
    if method.may_read == "none":
        return ""
    return f"May read {which_rows(method.may_read, answer.pool.rows, answer.pool.encoded)}."


def which_rows(may_read: MayRead, rows: int, encoded: int) -> str:
    """ "the 143 encoded rows", of a file of `rows`."""
    if may_read == "none":
        return "no rows"
    if may_read == "all":
        return f"all {count(rows, 'row')}"
    return f"the {encoded:,} encoded rows" if encoded else "the rows to encode"


def price(once: float, each: float, trains: int = 0) -> str:
    """ "about 4 s", "about 7 s, 6 s of it once", "less than 1 s, once it is trained on 5,452 rows"."""
    if trains:
        return f"{duration(each)}, once it is trained on {count(trains, 'row')}"
    text = f"about {duration(once + each)}" if once + each >= 1 else duration(once + each)
    return f"{text}, {duration(once)} of it once" if once >= 0.5 else text


def break_even(answer: ShownAnswer) -> str:
    """After how many queries encoding has paid for itself beside Retrieval ICL, by the times at hand."""
    pool, method = answer.pool, answer.method
    if not pool.seconds:
        return ""
    once = f"Encoding {count(pool.blocks, 'block')} took {duration(pool.seconds)}, once."
    other = next((found for found in answer.compared if found.method == "retrieval_icl"), None)
    if other is None or method.warming_up or other.warming_up:
        return once
    queries = costs.break_even((pool.seconds, 0.0), (method.total, other.total))
    if queries is None:
        return f"{once} By these times it does not pay for itself in speed."
    return f"{once} By these times it has paid for itself after {queries:,} queries."
