"""The quality problems of a file as HTML, each with the way to its rows, and rows that somebody left out.

Pure functions; every piece of user text goes through `html.escape`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from app.rows.look import look_button
from app.server.exploring import BY_HAND, Filter, Press
from app.views import muted, view
from app.words import count
from dbsa_core.data import Pool, Problem
from dbsa_core.files.formats import describe_rows

CSS = """
.dbsa-problems li { display: flex; gap: 0.6rem; align-items: baseline; padding: 0.35rem 0;
  border-bottom: 1px solid var(--border-color-primary); }
.dbsa-problems li:last-child { border-bottom: 0; }
.dbsa-problems .dbsa-tag { min-width: 4.4rem; text-align: center; flex: none; }
.dbsa-problems li > span:nth-child(2) { flex: 1; min-width: 0; }
.dbsa-problems li > span:last-child:not(:nth-child(2)) { flex: none; display: flex; flex-wrap: wrap; gap: 0.3rem; }
@media (max-width: 760px) {
  .dbsa-problems li { flex-wrap: wrap; }
  .dbsa-problems li > span:nth-child(2) { flex-basis: 70%; }
}
"""
_WORDS = {
    "duplicate": "repeat",
    "empty_text": "no text",
    "empty_label": "no label",
    "list_label": "several labels",
    "conflicting_labels": "text with several labels",
    "newlines": "had line breaks",
    "control_characters": "had invisible characters",
    "joined_labels": "label was spelled otherwise",
    "label_variants": "label like another",
    "single_example_label": "only one of its label",
    "label_without_text": "label without a text",
}
ALONE = {"show": "all", "label": "", "length": -1, "words": ""}
"""No other condition than the problem."""
UNREAD = "ragged_rows"
"""Rows that have no cells to show."""


def kind_words(kind: str) -> str:
    """What is wrong with a row, in a few words."""
    return "left out by you" if kind == BY_HAND else _WORDS.get(kind, kind.replace("_", " "))


def problems_view(pool: Pool, excluded: Sequence[int], filter: Filter) -> str:
    """Those that cost rows first."""
    ordered = sorted(pool.problems, key=lambda problem: not problem.excluded)
    items = [_by_hand(excluded, filter)] if excluded else []
    items += [_problem(problem, filter) for problem in ordered]
    if not ordered:
        items.append(muted(f"No problems found in {count(len(pool), 'row')}."))
    return view("problems", f"<ul>{''.join(items)}</ul>" if ordered or excluded else items[0])


def _by_hand(excluded: Sequence[int], filter: Filter) -> str:
    back = f'<button type="button" data-event="retry" value="problem {BY_HAND}">Take {_them(excluded)} back</button>'
    said = f"Left out by you: {describe_rows(excluded)}."
    return _item("out", "left out", said, f"{_show(BY_HAND, excluded, filter)}{back}")


def _problem(problem: Problem, filter: Filter) -> str:
    kind, word = ("out", "left out") if problem.excluded else ("kept", "kept" if problem.rows else "note")
    if not problem.rows or problem.kind == UNREAD:
        return _item(kind, word, problem.message, "")
    ways = _show(problem.kind, problem.rows, filter)
    if not problem.excluded:
        value = f"problem {escape(problem.kind)}"
        ways += f'<button type="button" data-event="delete" value="{value}">Leave {_them(problem.rows)} out</button>'
    return _item(kind, word, problem.message, ways)


def _item(kind: str, word: str, message: str, ways: str) -> str:
    ways = f"<span>{ways}</span>" if ways else ""
    return f'<li><span class="dbsa-tag dbsa-{kind}">{word}</span><span>{escape(message)}</span>{ways}</li>'


def _them(rows: Sequence[int]) -> str:
    return "it" if len(rows) == 1 else f"these {len(rows):,}"


def _show(kind: str, rows: Sequence[int], filter: Filter) -> str:
    name = f"Show {'it' if len(rows) == 1 else 'them'}"
    return look_button(name, Press({**ALONE, "problem": kind}), pressed=filter.problem == kind)
