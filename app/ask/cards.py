"""The upper half of the Ask page as HTML: a notice, a headline, and the three columns of one answer.

Pure functions of what is shown; every piece of user text goes through `html.escape`. A button names the event that its
press triggers (`data-event`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from app.ask.pictures import mask_picture
from app.ask.shown import ShownAnswer, ShownLabel, ShownMethod
from app.views import bar, facts, muted
from app.words import count, duration, measured, out_of, whole_percent
from dbsa_core.data import TAUGHT

TITLES = {
    "dbsa": "DBSA",
    "dbsa_fresh": "DBSA + similar rows",
    "retrieval_icl": "Retrieval ICL",
    "nearest": "Similar rows alone",
}
OFFERED_LABELS = 200
"""In the list to choose from, the most probable first; others can be typed."""
LONG_LABEL = 22
"""Characters that fit a column in large type."""


@dataclass(frozen=True)
class Comparing:
    """Where the comparison stands while there is no answer to compare with; `offer` is a button's text."""

    text: str
    offer: str = ""
    event: str = "select"
    """That a press of it triggers."""


def answer_view(
    answer: ShownAnswer,
    comparing: Comparing | None = None,
    outdated: str = "",
    labels: Sequence[str] | None = None,
) -> str:
    """Headline and columns. `comparing` stands in for the second answer while there is none; `outdated` says what of
    what it used is no longer in force, and stands in for the headline. `labels`: those to choose the right one from,
    where the answer may be corrected."""
    columns = (
        _answer(answer.method, "" if labels is None else _correction(answer.query, labels)),
        _compared(answer, comparing) if answer.compared is None else _comparison(answer, answer.compared),
        _read(answer),
    )
    head = notice_view(outdated, ("retry", "Ask again")) if outdated else _headline(answer)
    head = f'<div class="dbsa-head">{head}<p class="dbsa-for"><span>for: {escape(answer.query)}</span>{_STOP}</p></div>'
    kind = muted_class(outdated)
    return f'<div class="dbsa dbsa-ask{kind}">{head}<div class="dbsa-three">{"".join(columns)}</div></div>'


_STOP = '<button type="button" data-event="stop">Stop</button>'


def muted_class(outdated: str) -> str:
    """Of a view of an answer of which something is no longer in force."""
    return " dbsa-outdated" if outdated else ""


def notice_view(text: str, *buttons: tuple[str, str], strong: str = "") -> str:
    """A strip over the answer: what it is, and buttons (event, text) for what to do about it. "" for no text."""
    if not text and not strong:
        return ""
    pressed = "".join(f'<button type="button" data-event="{event}">{escape(name)}</button>' for event, name in buttons)
    head = f"<strong>{escape(strong)}</strong>" if strong else ""
    return f'<div class="dbsa dbsa-notice" role="status"><span>{head}{escape(text)}</span>{pressed}</div>'


def _headline(answer: ShownAnswer) -> str:
    pool, method = answer.pool, answer.method
    if not answer.read:
        text = f"{count(pool.rows, 'example')} searched. This answer read {method.rows_anew} of them and nothing else."
    else:
        anew = f"only {method.rows_anew} of them" if method.rows_anew else "none of them"
        text = f"{count(pool.rows, 'example')}, {pool.encoded:,} of them encoded once. This answer re-read {anew}."
        if pool.rows == pool.encoded:
            text = f"{count(pool.rows, 'example')}, encoded once. This answer re-read {anew}."
    return f'<p class="dbsa-headline">{escape(text)}</p>'


# --- the first column -------------------------------------------------------------------------------------------------


def _answer(method: ShownMethod, correction: str) -> str:
    notes = []
    if in_file := [row for row in method.equal_rows if row != TAUGHT]:
        named = ", ".join(f"{row:,}" for row in in_file[:3])
        more = f" and {len(in_file) - 3:,} more" if len(in_file) > 3 else ""
        rows = "row" if len(in_file) == 1 else "rows"
        notes.append(f"This text stands in the file: {rows} {named}{more}.")
    further = method.labels - len(method.best)
    if method.best and further:
        notes.append(f"{count(further, 'more label')} below.")
    notes = [*method.notes, *notes]
    body = f"{_label(method)}{_next(method)}{_bars(method)}"
    foot = muted(" ".join(notes)) if notes else ""
    return _card("dbsa-answer", TITLES[method.method], body + correction + foot)


def _correction(query: str, labels: Sequence[str]) -> str:
    """What teaches the right label of a text: closed until it is wanted."""
    offered = "".join(f'<option value="{escape(label)}"></option>' for label in labels[:OFFERED_LABELS])
    field = (
        '<input type="text" list="right-labels" id="right-label" autocomplete="off" aria-label="Right label" '
        f'placeholder="Label, or a new one" data-enter="submit"><datalist id="right-labels">{offered}</datalist>'
    )
    form = f'<div>{field}<button type="button" data-event="submit">Teach</button></div>'
    summary = "<summary>Wrong? Choose the right label</summary>"
    said = muted("The text becomes an example, and is asked again.")
    return f'<details class="dbsa-teach" data-keep data-query="{escape(query)}">{summary}{form}{said}</details>'


def _card(name: str, title: str, body: str) -> str:
    return (
        f'<section id="{name}" class="dbsa-panel" aria-label="{escape(title)}"><h2>{escape(title)}</h2>{body}</section>'
    )


def _label(method: ShownMethod, kind: str = "") -> str:
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


def _next(method: ShownMethod) -> str:
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


def _bars(method: ShownMethod) -> str:
    rows = "".join(bar(label.name, label.probability, probability(label)) for label in method.best)
    return f'<div class="dbsa-bars">{rows}</div>' if rows else ""


# --- the second column ------------------------------------------------------------------------------------------------

COMPARED = "Compared with: Retrieval ICL, which re-reads its examples each time"


def _compared(answer: ShownAnswer, comparing: Comparing | None) -> str:
    body = f'<p class="dbsa-say">{escape(comparing.text)}</p>' if comparing is not None else ""
    if comparing is not None and comparing.offer:
        body += f'<button type="button" id="compare" data-event="{comparing.event}">{escape(comparing.offer)}</button>'
    return _card("comparison", COMPARED, body + _times(answer.method))


def _comparison(answer: ShownAnswer, other: ShownMethod) -> str:
    label = f"{_label(other, ' dbsa-second')}{_next(other)}"
    said = f'<p class="dbsa-say">{_faster(answer.method, other)}{escape(_why(answer, other))}</p>'
    return _card("comparison", COMPARED, label + _times(answer.method, other) + said)


def _times(*methods: ShownMethod) -> str:
    """One bar a method, on one scale."""
    longest = max(method.total for method in methods) or 1.0
    rows = "".join(
        bar(
            TITLES[method.method],
            method.total / longest,
            measured(method.total),
            " dbsa-anew" if method.method == "retrieval_icl" else "",
        )
        for method in methods
    )
    return f'<div class="dbsa-bars dbsa-times">{rows}</div>'


def _faster(method: ShownMethod, other: ShownMethod) -> str:
    """Nothing where a warm-up is part of a time."""
    if method.cold or other.cold or not method.total or not other.total:
        return ""
    if (ratio := other.total / method.total) >= 1.05:
        return f"<strong>{ratio:.1f} times as fast.</strong> "
    return f"<strong>{1 / ratio:.1f} times as slow.</strong> " if ratio < 0.95 else ""


def _why(answer: ShownAnswer, other: ShownMethod) -> str:
    method, pool = answer.method, answer.pool
    text = f"{measured(method.total)} against {measured(other.total)}: "
    text += f"{out_of(len(answer.read), pool.blocks, 'block')} came from memory, "
    similar = f"{count(method.rows_anew, 'similar row')} and " if method.rows_anew else ""
    text += f"only {similar}your text were encoded." if similar else "only your text was encoded."
    text += f" Retrieval ICL encoded {count(other.rows_anew, 'row')}."
    if method.cold or other.cold:
        text += " First run, warm-up included: ask again for a fair comparison."
    return text


# --- the third column -------------------------------------------------------------------------------------------------

_LEGEND = (
    ("self", "itself"),
    ("previous", "the ones before"),
    ("sink", "shared first block"),
    ("none", "not attended"),
)


def _read(answer: ShownAnswer) -> str:
    pool = answer.pool
    legend = "".join(f'<li><span class="dbsa-key dbsa-{name}"></span>{words}</li>' for name, words in _LEGEND)
    outlined = '<li><span class="dbsa-key dbsa-read"></span>read for this query</li>' if answer.read else ""
    picture = f'<div class="dbsa-picture">{mask_picture(pool, answer.read)}<ul>{legend}{outlined}</ul></div>'
    title = "What was read" if answer.read else "What is encoded" if pool.blocks else "What will be encoded"
    body = f"<details data-wide open><summary>{title}</summary>{picture}{muted(_read_words(answer))}</details>"
    return f'<section id="mask" class="dbsa-panel" aria-label="{title}">{body}</section>'


def _read_words(answer: ShownAnswer) -> str:
    pool = answer.pool
    dense = f"{whole_percent(pool.density)} of full attention"
    if answer.read:
        return f"{out_of(len(answer.read), pool.blocks, 'block')}, {dense} when encoded"
    blocks = out_of(pool.blocks, pool.planned, "block") if pool.blocks else count(pool.planned, "block")
    return f"{blocks}, at {dense}"


# --- below ------------------------------------------------------------------------------------------------------------


def phases_view(answer: ShownAnswer, outdated: str = "") -> str:
    """Seconds by phase, tokens, what a probability is, when encoding has paid for itself, and what was used."""
    methods = [answer.method, *([answer.compared] if answer.compared is not None else [])]
    head = "".join(f'<th scope="col">{escape(TITLES[method.method])}</th>' for method in methods)
    rows = [_row(name.capitalize(), [_cell(m.seconds.get(name, 0.0)) for m in methods]) for name in _PHASES]
    rows.append(_row("Tokens of context", [f"{method.context_tokens:,}" for method in methods]))
    rows.append(_row("Rows encoded with the query", [f"{method.rows_anew:,}" for method in methods]))
    table = (
        f'<div class="dbsa-scroll"><table class="dbsa-table"><thead><tr><th scope="col">Phase</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
    said = [break_even(answer), f"What a probability is: {answer.method.meaning}"]
    notes = "".join(f"<li>{escape(sentence)}</li>" for sentence in said if sentence)
    used = f"<h3>What this answer used</h3>{facts(answer.stamp)}" if answer.stamp else ""
    body = f'{table}<ul class="dbsa-notes">{notes}</ul>{used}'
    return f'<div class="dbsa dbsa-phases{muted_class(outdated)}">{body}</div>'


_PHASES = ("retrieve", "assemble", "forward", "total")


def _row(name: str, cells: list[str]) -> str:
    kind = ' class="dbsa-total"' if name == "Total" else ""
    return f'<tr{kind}><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _cell(seconds: float) -> str:
    return "–" if seconds == 0 else f"{seconds:.3f} s"


def break_even(answer: ShownAnswer) -> str:
    """After how many queries encoding has paid for itself, by the times at hand."""
    pool, other = answer.pool, answer.compared
    if not pool.seconds:
        return ""
    once = f"Encoding {count(pool.blocks, 'block')} took {duration(pool.seconds)}, once."
    if other is None or answer.method.cold or other.cold:
        return once
    gained = other.total - answer.method.total
    if gained <= 0:
        return f"{once} By these times it does not pay for itself in speed."
    return f"{once} By these times it has paid for itself after {int(pool.seconds / gained) + 1:,} queries."
