"""What holds for settings: a bad value is refused at the door by its name, and presets are what they are called."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest

from dbsa_core.blocks import BlockPattern
from dbsa_core.errors import SettingsError
from dbsa_core.settings import FULL_WINDOW, SETTING_PRESETS, EncodeSettings, QuerySettings, preset

WHOLE_ENCODE = ["pool_tokens", "block_size", "window", "sink_blocks", "seed"]
WHOLE_QUERY = ["fresh_demonstrations", "seed"]
NOT_WHOLE = [-1, 1.5, "3", True, math.nan, [1]]


@pytest.mark.parametrize("field", WHOLE_ENCODE)
@pytest.mark.parametrize("value", NOT_WHOLE, ids=repr)
def test_encode_settings_name_the_value_that_is_no_whole_number(field: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=re.escape(repr(value))):
        EncodeSettings(**{field: value})


@pytest.mark.parametrize("field", WHOLE_QUERY)
@pytest.mark.parametrize("value", NOT_WHOLE, ids=repr)
def test_query_settings_name_the_value_that_is_no_whole_number(field: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=re.escape(repr(value))):
        QuerySettings(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("pool_tokens", 0), ("block_size", 0), ("positions", "global"), ("positions", None), ("long_rows", "drop")],
)
def test_other_bad_encode_settings(field: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=re.escape(repr(value))):
        EncodeSettings(**{field: value})


@pytest.mark.parametrize("ratio", [math.nan, math.inf, 0, 0.0, -0.1, 1.5, "0.3", None, True, False], ids=repr)
def test_a_ratio_is_above_0_and_at_most_1(ratio: Any) -> None:
    with pytest.raises(SettingsError, match=re.escape(repr(ratio))):
        QuerySettings(ratio=ratio)


@pytest.mark.parametrize(
    ("field", "value"),
    [("retriever", "hybrid+mmr+labels"), ("row_retriever", "words"), ("order", "random"), ("decode", "sample")],
)
def test_an_unknown_name_is_refused_with_the_names_there_are(field: str, value: Any) -> None:
    accepted = {
        "retriever": r"dense.*hybrid\+mmr",
        "row_retriever": "bm25",
        "order": "least_to_most",
        "decode": "greedy",
    }[field]
    with pytest.raises(SettingsError, match=f"{re.escape(repr(value))}.*{accepted}"):
        QuerySettings(**{field: value})


@pytest.mark.parametrize("embedder", ["", " ", None, 3])
def test_a_sentence_encoder_has_a_name(embedder: Any) -> None:
    with pytest.raises(SettingsError, match=re.escape(repr(embedder))):
        QuerySettings(embedder=embedder)


def test_an_answer_depends_on_the_encoder_and_the_seed_only_where_a_retriever_uses_them() -> None:
    settings = QuerySettings(retriever="random", row_retriever="hybrid+labels")
    assert settings.of_retrieval(rows=True) == {"row_retriever", "embedder"}
    assert settings.of_retrieval(blocks=True) == {"retriever", "seed"}
    assert settings.of_retrieval(blocks=True, rows=True) == {"retriever", "row_retriever", "embedder", "seed"}
    assert QuerySettings().of_retrieval(blocks=True, rows=True) == {"retriever", "row_retriever"}
    other = QuerySettings(retriever="random", row_retriever="hybrid+labels", embedder="other", seed=1)
    assert settings.retriever_key("bm25") == other.retriever_key("bm25")
    assert settings.retriever_key("dense") != other.retriever_key("dense")
    assert settings.retriever_key("random") != other.retriever_key("random")


def test_the_least_values_are_accepted() -> None:
    least = EncodeSettings(pool_tokens=1, block_size=1, window=0, sink_blocks=0, seed=0)
    assert least.pattern(100) == BlockPattern(1, 0, 0)
    assert QuerySettings(ratio=1, fresh_demonstrations=0).ratio == 1


def test_the_paper_presets_are_the_papers() -> None:
    for name, tokens in (("paper-30k", 30_000), ("paper-90k", 90_000)):
        found = preset(name)
        assert found.encode.pool_tokens == tokens
        assert found.encode.pattern(10) == BlockPattern(50, 1, 2, "sequential") == BlockPattern()
        assert (found.query.ratio, found.query.fresh_demonstrations, found.query.order) == (0.3, 0, "pool")


def test_automatic_is_the_default() -> None:
    assert preset("automatic").encode == EncodeSettings()
    assert preset("automatic").query == QuerySettings()
    assert (QuerySettings().ratio, QuerySettings().fresh_demonstrations, EncodeSettings().window) == (0.3, 8, 2)


@pytest.mark.parametrize(
    ("name", "settings", "sinks", "window"),
    [
        ("full", EncodeSettings(), 1, FULL_WINDOW),
        ("full", EncodeSettings(window=3, sink_blocks=0), 1, FULL_WINDOW),
        ("sink-previous-self", EncodeSettings(), 1, 2),
        ("sink-previous-self", EncodeSettings(window=5, sink_blocks=3), 3, 5),
        ("sink-previous-self", EncodeSettings(window=0, sink_blocks=0), 1, 2),
        ("sink-previous-self", EncodeSettings(window=FULL_WINDOW), 1, 2),
        ("sink-self", EncodeSettings(window=5, sink_blocks=2), 2, 0),
        ("self", EncodeSettings(), 0, 0),
    ],
)
def test_a_named_pattern_is_a_sink_and_a_window(name: str, settings: EncodeSettings, sinks: int, window: int) -> None:
    found = settings.with_sparsity_pattern(name)
    assert (found.sink_blocks, found.window) == (sinks, window)
    assert found.sparsity_pattern == name
    assert replace(found, sink_blocks=settings.sink_blocks, window=settings.window) == settings


def test_a_pattern_that_is_none_of_them_has_no_name() -> None:
    assert EncodeSettings().sparsity_pattern == "sink-previous-self"
    assert EncodeSettings(sink_blocks=0).sparsity_pattern is None
    with pytest.raises(SettingsError, match="'none'; there are full, sink-previous-self, sink-self, self"):
        EncodeSettings().with_sparsity_pattern("none")


def test_an_unknown_preset_is_refused_with_the_presets_there_are() -> None:
    with pytest.raises(SettingsError, match=f"'paper'; there are {', '.join(SETTING_PRESETS)}"):
        preset("paper")


@pytest.mark.parametrize("rows", [24, 30, 100, 160, 600, 1200, 20_000])
def test_the_automatic_pattern_has_at_least_24_blocks_where_rows_allow(rows: int) -> None:
    size = EncodeSettings().pattern(rows).demonstrations_per_block
    assert math.ceil(rows / size) >= 24
    assert size <= 50


def test_a_block_size_that_is_named_is_kept() -> None:
    assert EncodeSettings(block_size=50).pattern(160).demonstrations_per_block == 50
    assert EncodeSettings().pattern(3).demonstrations_per_block == 1
