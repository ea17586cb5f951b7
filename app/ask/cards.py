"""The upper half of the Ask page as HTML: a notice, a headline, and the three columns of one answer.

Pure functions of what is shown; every piece of user text goes through `html.escape`. A button names the event that its
press triggers (`data-event`).
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from app.ask.comparison import Comparing, card, chooser, columns, may_read
from app.ask.label import label_view, next_view, probability
from app.ask.shown import ShownAnswer, ShownMethod
from app.mask.figure import kind_names, mask_picture
from app.views import bar, muted
from app.words import count, out_of, whole_percent
from dbsa_core.data import TAUGHT

OFFERED_LABELS = 200
"""In the list to choose from, the most probable first; others can be typed."""


def answer_view(
    answer: ShownAnswer,
    comparing: Comparing | None = None,
    outdated: str = "",
    labels: Sequence[str] | None = None,
) -> str:
    """Headline and columns. `comparing`: where the comparison stands, None for a run that is looked at. `outdated` says
    what of what it used is no longer in force, and stands in for the headline. `labels`: those to choose the right one
    from, where the answer may be corrected."""
    shown = [
        _answer(answer, "" if labels is None else _correction(answer.query, labels)),
        *columns(answer, comparing),
        _read(answer),
    ]
    head = notice_view(outdated, ("retry", "Ask again")) if outdated else _headline(answer)
    head += chooser(comparing) if comparing is not None and comparing.choices else ""
    head = f'<div class="dbsa-head">{head}<p class="dbsa-for"><span>for: {escape(answer.query)}</span>{_STOP}</p></div>'
    side_by_side = f'<div class="dbsa-three" data-columns="{len(shown)}">{"".join(shown)}</div>'
    return f'<div class="dbsa dbsa-ask{muted_class(outdated)}">{head}{side_by_side}</div>'


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


def _answer(answer: ShownAnswer, correction: str) -> str:
    method, notes = answer.method, []
    if in_file := [row for row in method.equal_rows if row != TAUGHT]:
        named = ", ".join(f"{row:,}" for row in in_file[:3])
        more = f" and {len(in_file) - 3:,} more" if len(in_file) > 3 else ""
        rows = "row" if len(in_file) == 1 else "rows"
        notes.append(f"This text stands in the file: {rows} {named}{more}.")
    further = method.labels - len(method.best)
    if method.best and further:
        notes.append(f"{count(further, 'more label')} below.")
    notes = [*method.notes, *notes, may_read(method, answer)]
    body = f"{label_view(method)}{next_view(method)}{_bars(method)}"
    foot = f'<p class="dbsa-muted">{escape(" ".join(filter(None, notes)))}</p>{_meaning(method)}'
    return card("dbsa-answer", method.title, body + correction + foot)


def _meaning(method: ShownMethod) -> str:
    """What its probabilities are, closed until it is wanted."""
    said = f'<div class="dbsa-popup">{escape(method.meaning)}</div>'
    return (
        '<details class="dbsa-meaning" data-keep="meaning" data-popup><summary>What is this number?</summary>'
        f"{said}</details>"
    )


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
    about = f'data-keep="teach {escape(query)}" data-about="{escape(query)}"'
    return f'<details class="dbsa-teach" {about}>{summary}{form}{said}</details>'


def _bars(method: ShownMethod) -> str:
    rows = "".join(bar(label.name, label.probability, probability(label)) for label in method.best)
    return f'<div class="dbsa-bars">{rows}</div>' if rows else ""


# --- the third column -------------------------------------------------------------------------------------------------


def _read(answer: ShownAnswer) -> str:
    pool = answer.pool
    absent = {"previous": not pool.window, "sink": not pool.sinks}
    kinds = [(name, words) for name, words in kind_names(pool.pattern).items() if not absent.get(name)]
    legend = "".join(f'<li><span class="dbsa-key dbsa-{name}"></span>{words}</li>' for name, words in kinds)
    outlined = '<li><span class="dbsa-key dbsa-read"></span>read for this query</li>' if answer.read else ""
    mask = mask_picture(pool.pattern, pool.planned, pool.blocks, answer.read)
    picture = f'<div class="dbsa-picture">{mask}<ul>{legend}{outlined}</ul></div>'
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
