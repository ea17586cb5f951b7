"""The history of a session as HTML: a line for every query, and pinned ones beside what the page shows.

Pure functions of what is shown; every piece of user text goes through `html.escape`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from html import escape

from app.ask.label import probability, share_of, time_of
from app.ask.shown import ShownAnswer
from app.views import breakable, muted, view
from app.words import count, measured, out_of, shortened

CSS = """
.dbsa-history ol { max-height: 22rem; overflow: auto; }
.dbsa-history li { display: grid; align-items: center; gap: 0.1rem 0.8rem; padding: 0.25rem 0;
  grid-template-columns: 3.2rem minmax(0, 3fr) minmax(0, 2fr) 4rem 4.6rem;
  border-top: 1px solid var(--border-color-primary); }
.dbsa-history li a { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; text-align: left; }
.dbsa-history li[aria-current] a { font-weight: 600; }
.dbsa-history li button { padding: 0 0.5rem; }
.dbsa-history button[aria-pressed=true] { background: var(--dbsa-chip); color: var(--dbsa-chip-text); }
.dbsa-history li .dbsa-muted { font-variant-numeric: tabular-nums; }
.dbsa-history .dbsa-scroll { margin-bottom: 0.8rem; }
.dbsa.dbsa-history table.dbsa-table { width: 100%; min-width: 34rem; table-layout: fixed; }
.dbsa.dbsa-history table.dbsa-table th, .dbsa.dbsa-history table.dbsa-table td { text-align: left; white-space: normal;
  vertical-align: top; overflow-wrap: anywhere; }
.dbsa.dbsa-history table.dbsa-table th:first-child { width: 7.5rem; }
.dbsa-history td.dbsa-differs { background: var(--dbsa-warning); color: var(--dbsa-warning-text); }
@media (max-width: 760px) {
  .dbsa-history li { grid-template-columns: minmax(0, 1fr) 3.2rem 4.6rem; }
  .dbsa-history li a { grid-column: 1 / -1; grid-row: 1; }
  .dbsa-history li > :first-child { display: none; }
}
"""
MOST_CHARACTERS = 200
"""Of a text: all of it stands in its run."""


@dataclass(frozen=True)
class Line:
    """One query of the history."""

    run: str
    time: str
    """ "14:05"."""
    query: str
    label: str
    share: str
    """ "73 %", or "" where there is no probability."""
    seconds: float
    about: str
    """Data and settings."""


def history_view(lines: Sequence[Line], pinned: Collection[str], shown: str, compared: Sequence[ShownAnswer]) -> str:
    """The newest first; `shown`: the id of the run that is on the screen; `compared`: what stands side by side."""
    if not lines:
        return ""
    items = "".join(_line(line, line.run in pinned, line.run == shown) for line in lines)
    title = f'<summary>History<span class="dbsa-hint">{count(len(lines), "query", "queries")}</span></summary>'
    body = f"{_side_by_side(compared)}<ol>{items}</ol>"
    return view("history", f'<details data-keep="history">{title}{body}</details>')


def _line(line: Line, pinned: bool, shown: bool) -> str:
    run, text = escape(line.run), escape(shortened(line.query, MOST_CHARACTERS))
    current = ' aria-current="true"' if shown else ""
    link = f'<a href="?run={run}" data-run-link="{run}" title="{text}&#10;{escape(line.about)}">{text}</a>'
    pin = (
        f'<button type="button" data-event="select" value="{run}" aria-pressed="{str(pinned).lower()}" '
        f'aria-label="{"Pinned" if pinned else "Pin"}: {text}">{"Pinned" if pinned else "Pin"}</button>'
    )
    answer = f'<span>{breakable(line.label)} <span class="dbsa-muted">{line.share}</span></span>'
    times = f'<span class="dbsa-muted">{line.time}</span>', f'<span class="dbsa-muted">{measured(line.seconds)}</span>'
    return f"<li{current}>{times[0]}{link}{answer}{times[1]}{pin}</li>"


# --- side by side -----------------------------------------------------------------------------------------------------


def _side_by_side(answers: Sequence[ShownAnswer]) -> str:
    if not answers:
        return ""
    first = answers[0]
    rows = {name: [value(answer) for answer in answers] for name, value in _ROWS.items()}
    pools = {_of_stamp("Pool")(answer) for answer in answers}
    if len(answers) > 1 and len(pools) == 1:
        common = [f"{len(set(answer.read) & set(first.read)):,}" for answer in answers[1:]]
        rows["Of them in the first too"] = ["", *common]
    stamped = dict.fromkeys(name for answer in answers for name, _ in answer.stamp)
    facts = {name: [_of_stamp(name)(answer) for answer in answers] for name in stamped if name not in _ROWS}
    alike = [] if len(answers) == 1 else [name for name, cells in facts.items() if len(set(cells)) == 1]
    rows |= {name: cells for name, cells in facts.items() if name not in alike}
    one_text = len({answer.query for answer in answers}) == 1
    marked = {*facts, "Method", *(["Label"] if one_text else [])}
    head = "".join(f'<th scope="col">{escape(shortened(answer.query, MOST_CHARACTERS))}</th>' for answer in answers)
    body = "".join(_row(name, cells, name in marked) for name, cells in rows.items())
    same = f"The same for all: {'; '.join(facts[name][0] for name in alike)}." if alike else ""
    return muted(same) + (
        '<div class="dbsa-scroll" tabindex="0" role="group" aria-label="Pinned queries side by side">'
        f'<table class="dbsa-table"><thead><tr><th scope="col">Text</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _row(name: str, cells: Sequence[str], marked: bool) -> str:
    """`marked`: what differs from the first is."""
    kinds = [' class="dbsa-differs"' if marked and cell != cells[0] else "" for cell in cells]
    shown = "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, cells, strict=True))
    return f'<tr><th scope="row">{escape(name)}</th>{shown}</tr>'


def _of_stamp(name: str) -> Callable[[ShownAnswer], str]:
    return lambda answer: dict(answer.stamp).get(name, "")


def _next(answer: ShownAnswer) -> str:
    others = [label for label in answer.method.best if label.name != answer.method.label]
    return f"{others[0].name} {probability(others[0])}" if others else ""


_ROWS: dict[str, Callable[[ShownAnswer], str]] = {
    "Asked": lambda answer: _of_stamp("Asked")(answer)[:16],
    "Label": lambda answer: answer.method.label,
    "Probability": lambda answer: share_of(answer.method),
    "Next": _next,
    "Time": lambda answer: time_of(answer.method),
    "Method": lambda answer: answer.method.title,
    "Similar rows": lambda answer: f"{answer.method.rows_anew:,}",
    "Blocks read": lambda answer: out_of(len(answer.read), answer.pool.blocks, "block"),
}
