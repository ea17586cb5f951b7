"""A part of the context token by token: whose text it is, what it saw, and what it got."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.ask.by_token import reach_words, tokens_of
from app.ask.from_prediction import shown_answer
from app.ask.shown import ShownAnswer, ShownTokens
from dbsa_core.methods import Setup, make_method
from dbsa_core.prediction import Prediction
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.task import Task
from tests.app.ask.conftest import QUERY, SETTINGS
from tests.tiny import tiny_model


def parts(shown: ShownAnswer) -> dict[str, ShownTokens]:
    return {part.key: part.tokens for part in shown.parts if part.tokens is not None}


def test_each_part_has_its_own_text(setup: Setup, shown: ShownAnswer) -> None:
    found = parts(shown)
    assert found.keys() == {part.key for part in shown.parts}
    demonstrations = setup.task.pool.demonstrations
    for block in shown.read:
        rows = [demonstrations[row] for row in setup.blocks[block].rows]
        own = "".join(f"Text: {row.text}\nLabel: {setup.task.template.shown(row.label)}\n==\n" for row in rows)
        assert "".join(found[f"block {block + 1}"].texts) == own
    similar = [part for part in shown.parts if part.key.startswith("similar")]
    assert len(similar) == 3
    for part in similar:
        text = "".join(piece for piece, _ in part.rows[0].text)
        assert "".join(found[part.key].texts).startswith(f"Text: {text}\n")


def test_its_tokens_got_what_the_part_got(shown: ShownAnswer) -> None:
    for part in shown.parts:
        assert part.tokens is not None
        assert len(part.tokens.shares) == len(part.tokens.texts)
        assert part.tokens.shares.sum() == pytest.approx(part.share, abs=1e-5)


@pytest.mark.parametrize(("sinks", "window"), [(1, 2), (2, 1), (0, 1), (1, 0), (0, 0), (1, 10**6)])
def test_what_a_block_saw_is_told_as_the_pattern_has_it(setup: Setup, sinks: int, window: int) -> None:
    settings = EncodeSettings(block_size=1, pool_tokens=300, sink_blocks=sinks, window=window)
    own = Setup.of(setup.task, settings).encode()
    asked = QuerySettings(ratio=1.0, fresh_demonstrations=0)
    prediction = make_method("dbsa", asked).fit(own).predict(QUERY, attention=True)
    found = tokens_of(prediction.attention, own)
    pattern, blocks = own.plan.pattern, own.blocks
    assert len(found) == len(blocks) > 4
    for block in blocks:
        seen = [other for other in blocks if other.id < block.id and pattern.sees(block.id, other.id)]
        before = found[f"block {block.id + 1}"].before
        assert sum(one.tokens for one in before) == sum(map(len, seen))
        numbers = [other.id + 1 for other in seen]
        named = []
        for one in before:
            word, first, *rest = one.name.replace("to", "and").split()
            assert word == ("blocks" if rest else "block")
            run = range(int(first), int(rest[-1]) + 1) if rest else [int(first)]
            assert {number <= sinks for number in run} == {one.kind == "sink"}
            named += run
        assert named == numbers


def test_a_similar_row_saw_all_that_stands_before_it(setup: Setup, shown: ShownAnswer, prediction: Prediction) -> None:
    found, blocks = parts(shown), len(shown.read)
    of_blocks = sum(len(setup.blocks[block]) for block in shown.read)
    (farthest,), (nearest,) = found["similar 3"].before, found["similar 1"].before
    assert (farthest.name, farthest.tokens) == (f"{blocks} blocks", of_blocks)
    further = sum(len(found[key].shares) for key in ("similar 3", "similar 2"))
    assert (nearest.name, nearest.tokens) == (f"{blocks} blocks and 2 similar rows", of_blocks + further)
    assert nearest.tokens + len(found["similar 1"].shares) < prediction.context_tokens


def test_only_so_many_are_told_apart_those_with_the_most_attention_first(setup: Setup, prediction: Prediction) -> None:
    assert prediction.attention is not None
    everything = tokens_of(prediction.attention, setup)
    totals = [found.shares.sum() for found in everything.values()]
    assert totals == sorted(totals, reverse=True)
    first, second, *_ = everything
    most = len(everything[first].shares) + len(everything[second].shares)
    fewer = tokens_of(prediction.attention, setup, most)
    assert [*fewer][:2] == [first, second]
    assert sum(len(found.shares) for found in fewer.values()) <= most
    assert tokens_of(prediction.attention, setup, 0) == {}


def test_where_nothing_is_known_by_token_nothing_is_said(setup: Setup, prediction: Prediction) -> None:
    assert tokens_of(None, setup) == {}
    assert prediction.attention is not None
    assert tokens_of(replace(prediction.attention, by_token=()), setup) == {}
    without = shown_answer(replace(prediction, attention=None), setup, SETTINGS, "mine.csv")
    assert {part.tokens for part in without.parts} == {None}


@pytest.mark.parametrize("family", ["gpt_oss", "mixtral", "llama"])
def test_layers_with_a_window_of_their_own_are_told(setup: Setup, family: str) -> None:
    model = tiny_model(family)
    layers = model.model.config.get_text_config()
    kinds = getattr(layers, "layer_types", None)
    sliding = {"gpt_oss": kinds.count("sliding_attention") if kinds else 0, "mixtral": layers.num_hidden_layers}
    expected = sliding.get(family, 0)
    assert expected == len(model.windows) - [*model.windows].count(None)
    assert {*model.windows} <= {None, layers.sliding_window if expected else None}
    own = Setup.of(Task(model, setup.task.pool), EncodeSettings(block_size=2, pool_tokens=300)).encode()
    prediction = make_method("dbsa_fresh", SETTINGS).fit(own).predict(QUERY, attention=True)
    made = shown_answer(prediction, own, SETTINGS, "mine.csv")
    assert made.attention is not None
    assert made.attention.reach == reach_words(model.windows)
    assert bool(made.attention.reach) == bool(expected)
    assert np.concatenate([found.shares for found in parts(made).values()]).sum() <= 1


def test_the_sentence_of_the_windows() -> None:
    assert reach_words([None, None]) == ""
    one = "In 2 of the 4 layers a token sees nothing that stands 128 positions or more before it."
    assert reach_words([None, 128, 128, None]) == one
    assert reach_words([4096, 4096]).startswith("In each layer a token sees nothing that stands 4,096 positions")
    assert "128 to 1,024 positions" in reach_words([128, 1024, None])
