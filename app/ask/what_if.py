"""What if, as HTML: the query settings that can be tried, and what each trial answered.

Pure functions of what is shown; every piece of user text goes through `html.escape`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from app.ask.label import share_of, time_of
from app.ask.shown import ShownAnswer, ShownMethod
from app.views import muted, view
from app.words import count, out_of, shortened
from dbsa_core.settings import ORDERS, QuerySettings

MOST_SIMILAR = 32
MOST_CHARACTERS = 160
"""Of a text where it is only named."""
ORDER_NAMES = {
    "pool": "As in the pool (the paper)",
    "least_to_most": "Best match last",
    "most_to_least": "Best match first",
}

CSS = """
.dbsa-tries { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); gap: 0.4rem 1.5rem;
  margin: 0.2rem 0 0; align-items: end; }
.dbsa-tries label { font-size: 0.85rem; font-weight: 600; color: var(--body-text-color); display: block; }
.dbsa-tries output { float: right; font-weight: 400; font-variant-numeric: tabular-nums; }
.dbsa-tries input, .dbsa-tries select { display: block; width: 100%; margin: 0.3rem 0 0; }
.dbsa-tries input { accent-color: var(--dbsa-fill-best); height: 1.6rem; }
.dbsa-tries select { padding: 0.25rem 0.4rem; font-size: 0.85rem; border-radius: 5px; color: var(--body-text-color);
  border: 1px solid var(--input-border-color); background: var(--input-background-fill); }
.dbsa-trying { visibility: hidden; display: flex; gap: 0.8rem; align-items: center; min-height: 1.9rem; margin: 0; }
body[data-trying] .dbsa-trying { animation: dbsa-appear 0s 0.3s forwards; }
.dbsa-tried li { display: flex; flex-wrap: wrap; gap: 0.1rem 0.8rem; align-items: center; padding: 0.3rem 0;
  border-top: 1px solid var(--border-color-primary); }
.dbsa-tried li > span { flex: 1 1 20rem; }
.dbsa-tried li button { padding-block: 0; }
.dbsa-tried .dbsa-other { background: var(--dbsa-warning); color: var(--dbsa-warning-text); padding: 0 0.3rem;
  border-radius: 3px; }
"""


def controls_view(query: str, settings: QuerySettings) -> str:
    """The settings that do not ask for encoding anew, as they were tried last."""
    most = max(MOST_SIMILAR, settings.fresh_demonstrations)
    choices = "".join(
        f'<option value="{name}"{" selected" if name == settings.order else ""}>{escape(ORDER_NAMES[name])}</option>'
        for name in ORDERS
    )
    fields = (
        _slider("try-ratio", "Retrieval ratio", settings.ratio, "0.01", 1, "0.01"),
        _slider("try-similar", "Similar rows", settings.fresh_demonstrations, "0", most, "1"),
        '<label>Order of the blocks that are read<select id="try-order" data-change="input">'
        f"{choices}</select></label>",
    )
    about = muted(
        f"Asks “{shortened(query, MOST_CHARACTERS)}” again at each move. The answer above and the settings in force "
        "stay as they are; window and block size are part of the encoding."
    )
    trying = '<p class="dbsa-trying"><span></span><button type="button" data-event="stop">Stop</button></p>'
    return f'<div class="dbsa">{about}<div class="dbsa-tries">{"".join(fields)}</div>{trying}</div>'


def _slider(name: str, title: str, value: float, least: str, most: float, step: str) -> str:
    return (
        f'<label>{title}<output for="{name}">{value:g}</output><input type="range" id="{name}" min="{least}" '
        f'max="{most:g}" step="{step}" value="{value:g}" data-change="input"></label>'
    )


def tried_view(answer: ShownAnswer, trials: Sequence[tuple[str, str, ShownAnswer]]) -> str:
    """A line for every trial (id of its run, changed settings in words, what it answered), the newest first."""
    lines = "".join(_line(answer, *trial) for trial in trials)
    return view("tried", f"<ul>{lines}</ul>") if lines else ""


def _line(answer: ShownAnswer, run: str, changed: str, trial: ShownAnswer) -> str:
    now, was = trial.method, answer.method
    label = escape(now.label)
    if now.label != was.label:
        label = f'<b class="dbsa-other">{label}</b>'
    before = "" if was.label == now.label else f"{was.label} "
    blocks = out_of(len(trial.read), trial.pool.blocks, "block")
    said = f"{escape(changed)}: {label} {escape(_how(now))} " + (
        f'<span class="dbsa-muted">(was {escape(before + _how(was))}) · {blocks}'
        f"{', ' + count(now.rows_anew, 'similar row') if now.rows_anew else ''}</span>"
    )
    look = f'<a href="?run={escape(run)}" data-run-link="{escape(run)}">Look at it</a>'
    use = f'<button type="button" data-event="apply" value="{escape(run)}">Use these settings</button>'
    return f"<li><span>{said}</span>{look}{use}</li>"


def _how(method: ShownMethod) -> str:
    """ "71 %, 0.6 s"; greedy decoding has no probability."""
    return ", ".join(filter(None, [share_of(method), time_of(method)]))
