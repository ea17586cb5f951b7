"""Evaluations beside each other: what they were made of, and what came of them.

Pure functions; every piece of user text goes through `html.escape`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from app.evaluation.cut import Cut
from app.evaluation.results import estimate_words, signed
from app.rows.look import look_button
from app.server.evaluated import Evaluated
from app.views import muted, scrolling, view
from app.words import measured, out_of, shortened

_HASH = 8
"""Characters of a fingerprint that are shown."""
_NAMES = {
    "model.name": "Model",
    "model.dtype": "Precision",
    "model.device": "Device",
    "prompt.text_prefix": "Word before a text",
    "prompt.label_prefix": "Word before a label",
    "data.rows": "Rows of the data",
    "data.labels": "Labels",
    "data.held_out": "Rows held out",
    "data.fingerprint": "Fingerprint of the data",
    "test.rows": "Test rows",
    "test.fingerprint": "Fingerprint of the test rows",
    "encode.pool_tokens": "Pool tokens",
    "encode.block_size": "Block size",
    "encode.window": "Window",
    "encode.sink_blocks": "Shared first blocks",
    "encode.positions": "Positions",
    "encode.seed": "Seed of the pool",
    "encode.long_rows": "Rows too long for a block",
    "encode.pool_precision": "Keys and values kept",
    "encoded.rows": "Rows encoded",
    "encoded.fingerprint": "Fingerprint of the blocks",
    "out_of_scope": "Label of texts that fit no other",
    "reject": "With a reject option",
}
_LEFT_OUT = ("model.signature", "prompt.separator")

CSS = """
.dbsa.dbsa-runs table.dbsa-table td { text-align: left; vertical-align: top; padding: 0.25rem 0.8rem 0.25rem 0; }
.dbsa.dbsa-runs table.dbsa-table th { text-align: left; vertical-align: top; padding: 0.25rem 0.8rem 0.25rem 0; }
.dbsa.dbsa-runs table.dbsa-table tbody th { white-space: normal; min-width: 9rem; max-width: 18rem; }
.dbsa.dbsa-runs td { min-width: 9rem; }
.dbsa.dbsa-runs table small { display: block; color: var(--dbsa-muted); font-size: 0.8rem; }
.dbsa.dbsa-runs tr.dbsa-part th { font-weight: 600; padding-top: 0.7rem; }
.dbsa.dbsa-runs tr.dbsa-differs > * { background: var(--dbsa-soft); }
.dbsa.dbsa-runs thead button { margin: 0.2rem 0.3rem 0 0; }
"""


@dataclass(frozen=True)
class Line:
    """A value of each run; "" where one has none."""

    name: str
    values: tuple[str, ...]
    below: tuple[str, ...] = ()
    """Of each, in small letters."""

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1


def runs_view(runs: Sequence[Evaluated], shown: str, differing: bool) -> str:
    """Runs that have results, side by side; with `differing`, lines that differ alone. `shown`: id of the one above."""
    runs = [run for run in runs if run.results]
    if len(runs) < 2:
        return view("runs", muted("From the second run on, runs stand side by side here: settings and results."))
    head = "".join(f'<th scope="col">{_head(run, run.id == shown)}</th>' for run in runs)
    body = "".join(_part(name, lines, len(runs), differing) for name, lines in parts(runs).items())
    table = f'<table class="dbsa-table"><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>'
    return view("runs", scrolling(table, "Runs side by side"))


def parts(runs: Sequence[Evaluated]) -> dict[str, list[Line]]:
    """Lines by what they are about: results first."""
    return {"Results": list(_results(runs)), "Settings": list(_settings(runs))}


def _head(run: Evaluated, shown: bool) -> str:
    at = f"Run {run.number}"
    look = look_button("Shown above" if shown else "Show above", Cut(run.id), pressed=shown)
    remove = (
        f'<button type="button" data-event="delete" value="{escape(run.id)}" class="dbsa-look" '
        f'aria-label="Remove run {run.number}">Remove</button>'
    )
    done = "" if run.whole else f"<small>{out_of(run.answered, len(run.rows), 'row')}</small>"
    return f"{at}, {run.begun:%H:%M}<br><small>{escape(shortened(run.data, 40))}</small>{done}<br>{look}{remove}"


def _part(name: str, lines: Sequence[Line], runs: int, differing: bool) -> str:
    shown = [line for line in lines if line.differs or not differing]
    if not shown:
        return ""
    rows = "".join(map(_line, shown))
    return f'<tr class="dbsa-part"><th scope="rowgroup" colspan="{runs + 1}">{escape(name)}</th></tr>{rows}'


def _line(line: Line) -> str:
    below = line.below or ("",) * len(line.values)
    cells = "".join(
        f"<td>{escape(value)}{f'<small>{escape(small)}</small>' if small else ''}</td>"
        for value, small in zip(line.values, below, strict=True)
    )
    marked = ' class="dbsa-differs"' if line.differs else ""
    return f'<tr{marked}><th scope="row">{escape(line.name)}</th>{cells}</tr>'


def _results(runs: Sequence[Evaluated]) -> Iterator[Line]:
    names = dict.fromkeys(found.method for run in runs for found in run.results)
    for name in names:
        found = [run.result(name) for run in runs]
        title = next(each.title for each in found if each is not None)
        accuracy = [estimate_words(each.accuracy_estimate if each is not None else None) for each in found]
        against = [_against(runs, place, name) for place in range(len(runs))]
        below = tuple(
            " · ".join(filter(None, pair)) for pair in zip((low for _, low in accuracy), against, strict=True)
        )
        yield Line(f"{title}: accuracy", tuple(value for value, _ in accuracy), below)
        scope = [estimate_words(each.in_scope_accuracy if each is not None else None) for each in found]
        recall = [estimate_words(each.oos_recall if each is not None else None) for each in found]
        for what, pairs in (("accuracy in scope", scope), ("out-of-scope recall", recall)):
            if any(value for value, _ in pairs):
                yield Line(f"{title}: {what}", *map(tuple, zip(*pairs, strict=True)))
        seconds = tuple("" if each is None else measured(each.latency_p50_seconds) for each in found)
        yield Line(f"{title}: a query", seconds)


def _against(runs: Sequence[Evaluated], place: int, name: str) -> str:
    """How a run's method differs from the first run's on the same rows: "+2.1 % against run 1, p = 0.03"."""
    from dbsa_core.evaluation.measures import compared

    first, run = runs[0], runs[place]
    one, other = first.result(name), run.result(name)
    if place == 0 or one is None or other is None or one.n != other.n:
        return ""
    if first.settings["test"] != run.settings["test"]:
        return ""
    found = compared(name, name, other.right, one.right)
    return f"{signed(found.difference.value)} against run {first.number}, p = {found.p:.2g}"


def _settings(runs: Sequence[Evaluated]) -> Iterator[Line]:
    from dbsa_core.evaluation.folder import flat_settings

    yield Line("Test rows from", tuple(run.test for run in runs))
    flat = [dict(flat_settings(run.settings)) for run in runs]
    for name in dict.fromkeys(name for each in flat for name in each):
        if name not in _LEFT_OUT:
            yield Line(_name(name), tuple(_value(name, each.get(name, "")) for each in flat))


def _name(name: str) -> str:
    """ "methods.dbsa_fresh.ratio" is "dbsa_fresh: ratio"."""
    if name in _NAMES:
        return _NAMES[name]
    _, _, rest = name.partition(".")
    method, _, field = rest.partition(".")
    return f"{method}: {field.replace('_', ' ')}" if field else f"{method}: no settings"


def _value(name: str, value: Any) -> str:
    if name.endswith("fingerprint"):
        return str(value)[:_HASH]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if value is None:
        return "none"
    return "asked" if value == {} else str(value)
