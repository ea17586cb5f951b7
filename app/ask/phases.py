"""What stands behind Details, as HTML: seconds by phase, tokens, definitions, and what the answer used."""

from __future__ import annotations

from html import escape
from statistics import median

from app.ask.cards import muted_class
from app.ask.comparison import break_even
from app.ask.shown import ShownAnswer
from app.views import facts


def phases_view(answer: ShownAnswer, outdated: str = "") -> str:
    """Seconds by phase, tokens, what a probability is, when encoding has paid for itself, and what was used."""
    methods = [answer.method, *answer.compared]
    head = "".join(f'<th scope="col">{escape(method.title)}</th>' for method in methods)
    rows = [_row(words, [_cell(m.seconds.get(name, 0.0)) for m in methods]) for name, words in _PHASES.items()]
    if any(method.measured for method in methods):
        rows.append(_row("Median of further runs", [_cell(median(m.measured) if m.measured else 0.0) for m in methods]))
    if any(method.fit_seconds >= 0.001 for method in methods):
        rows.append(_row("Before its first answer, once", [_cell(m.fit_seconds) for m in methods]))
    rows.append(_row("Tokens of context", [f"{method.context_tokens:,}" for method in methods]))
    rows.append(_row("Rows encoded with the query", [f"{method.rows_anew:,}" for method in methods]))
    table = (
        f'<div class="dbsa-scroll"><table class="dbsa-table"><thead><tr><th scope="col">Phase</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
    together = "Examples and text go through the model together; their time is parted by tokens."
    said = [break_even(answer), together]
    notes = "".join(f"<li>{escape(sentence)}</li>" for sentence in said if sentence)
    used = f"<h3>What this answer used</h3>{facts(answer.stamp)}" if answer.stamp else ""
    body = f'{table}<ul class="dbsa-notes">{notes}</ul>{used}'
    return f'<div class="dbsa dbsa-phases{muted_class(outdated)}">{body}</div>'


_PHASES = {
    "retrieve": "Retrieve",
    "assemble": "Assemble",
    "examples": "Encode examples anew",
    "query": "Your text and the labels",
    "total": "Total",
}
"""Names of the phases in words; the two before the last are one forward, parted by tokens."""


def _row(name: str, cells: list[str]) -> str:
    kind = ' class="dbsa-total"' if name == "Total" else ""
    return f'<tr{kind}><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _cell(seconds: float) -> str:
    return "–" if seconds == 0 else f"{seconds:.3f} s"
