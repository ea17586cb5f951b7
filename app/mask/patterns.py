"""What blocks may see, side by side: a picture, what it costs for the data at hand, and the paper's figure of each."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from app.mask.figure import still_picture
from app.views import muted, size_words
from app.words import duration, percent
from dbsa_core.settings import SparsityPattern

if TYPE_CHECKING:
    from dbsa_core.planning import EncodingPlan

SIZE = 132
"""Pixels of a picture at a side."""
_NAMES: dict[SparsityPattern, str] = {
    "full": "Full attention",
    "sink-previous-self": "First block, the ones before, itself",
    "sink-self": "First block, itself",
    "self": "Itself alone",
}
_PAPER: dict[SparsityPattern, str] = {
    "full": "0.91",
    "sink-previous-self": "0.90",
    "sink-self": "0.27",
    "self": "0.09",
}
_SOURCE = (
    "The paper's accuracies are averages with Llama-3.1-8B (arXiv 2503.08640): of 90,000 tokens for the first two, "
    "where full attention is Fixed ICL, and of its ablation for the others. What this implementation makes of each "
    "pattern is measured in docs/RESULTS.md."
)

CSS = """
.dbsa-patterns > div { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 13rem), 1fr));
  gap: 0.7rem; margin-bottom: 0.4rem; }
.dbsa.dbsa-patterns > div > button { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: 0 0.8rem;
  align-items: start; text-align: left; margin: 0; padding: 0.6rem 0.8rem; font: inherit; font-size: 0.85rem;
  line-height: 1.45; border: 1px solid var(--border-color-primary); border-radius: 8px; cursor: pointer;
  background: var(--block-background-fill); color: var(--body-text-color); white-space: normal; }
.dbsa.dbsa-patterns > div > button[aria-pressed=true] { border-color: var(--dbsa-info-line);
  box-shadow: inset 0 0 0 1px var(--dbsa-info-line); background: var(--dbsa-info); }
.dbsa-patterns b { grid-column: 1 / -1; font-weight: 600; margin-bottom: 0.3rem; }
.dbsa-patterns .dbsa-still { display: block; width: 6.2rem; cursor: pointer; }
.dbsa-patterns span span { display: block; }
.dbsa-patterns i { font-style: normal; color: var(--dbsa-muted); display: block; }
"""


def patterns_view(plans: Sequence[tuple[SparsityPattern, EncodingPlan]], chosen: SparsityPattern | None) -> str:
    """One card a pattern, each the plan of the same blocks; a press chooses it."""
    cards = "".join(_card(name, plan, name == chosen) for name, plan in plans)
    return f'<div class="dbsa dbsa-patterns"><div>{cards}</div>{muted(_SOURCE)}</div>'


def _card(name: SparsityPattern, plan: EncodingPlan, chosen: bool) -> str:
    facts = [
        f"{percent(plan.density)} of full attention",
        f"about {duration(plan.seconds)}",
        f"up to {size_words(plan.peak_bytes)}",
    ]
    said = "".join(f"<span>{escape(fact)}</span>" for fact in facts)
    picture = still_picture(plan.pattern, len(plan.blocks), SIZE)
    return (
        f'<button type="button" data-event="select" value="{name}" aria-pressed="{"true" if chosen else "false"}">'
        f"<b>{escape(_NAMES[name])}</b>{picture}<span>{said}<i>the paper: {_PAPER[name]}</i></span></button>"
    )
