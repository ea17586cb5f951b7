"""The cards of what blocks may see: their numbers are the plans', and one of them is in force, or none."""

from __future__ import annotations

import re

import pytest

from app.mask.patterns import patterns_view
from app.views import size_words
from app.words import duration, percent
from dbsa_core.methods import Setup
from dbsa_core.planning import under_pattern
from dbsa_core.settings import SPARSITY_PATTERNS, SparsityPattern
from tests.app.pages import check_harmless, text_of


@pytest.mark.parametrize("chosen", [*SPARSITY_PATTERNS, None])
def test_a_card_has_the_numbers_of_its_plan(setup: Setup, chosen: SparsityPattern | None) -> None:
    plans = [(name, under_pattern(setup.task, setup.plan, name)) for name in SPARSITY_PATTERNS]
    page = patterns_view(plans, chosen)
    check_harmless(page)
    cards = re.findall(
        r'<button type="button" data-event="select" value="([a-z-]+)" aria-pressed="(\w+)">(.*?)</button>', page
    )
    assert [name for name, _, _ in cards] == list(SPARSITY_PATTERNS)
    assert [name for name, pressed, _ in cards if pressed == "true"] == ([chosen] if chosen else [])
    for (_, plan), (_, _, card) in zip(plans, cards, strict=True):
        said = text_of(card)
        assert f"{percent(plan.density)} of full attention" in said
        assert f"about {duration(plan.seconds)}" in said
        assert f"up to {size_words(plan.peak_bytes)}" in said
        assert f'data-sinks="{plan.pattern.sink_blocks}" data-window="{plan.pattern.previous_blocks}"' in card
        assert f'data-total="{len(plan.blocks)}"' in card
    assert "the paper: 0.27" in text_of(cards[2][2])
    assert "arXiv 2503.08640" in text_of(page)
