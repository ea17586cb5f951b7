"""Figures: the mask cell by cell against the pattern, and that a browser can have them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from app import plots
from app.plots import mask_figure, mask_words
from dbsa_core.blocks import BlockPattern
from dbsa_core.masks import NOT_SEEN, PREVIOUS, SELF, SINK, block_picture


def heatmap(figure: go.Figure) -> go.Heatmap:
    return next(trace for trace in figure.data if isinstance(trace, go.Heatmap))


def named(figure: go.Figure, name: str) -> Any:
    return next(trace for trace in figure.data if trace.name == name)


def check_serialises(figure: go.Figure) -> None:
    assert json.loads(figure.to_json())["data"] is not None


@pytest.mark.parametrize("sinks", [0, 1, 2])
@pytest.mark.parametrize("previous", [0, 2])
@pytest.mark.parametrize("blocks", [1, 3, 7])
def test_mask_categories_are_what_the_pattern_sees(sinks: int, previous: int, blocks: int) -> None:
    pattern = BlockPattern(5, sinks, previous)
    figure = mask_figure(pattern, blocks)
    trace = heatmap(figure)
    assert trace.z.dtype == np.uint8
    for row in range(blocks):
        for column in range(blocks):
            category, sentence = trace.z[row, column], trace.hovertext[row, column]
            assert (category != NOT_SEEN) == pattern.sees(row, column)
            if row == column:
                assert category == SELF
                assert sentence == f"block {row + 1} sees itself"
            elif category == SINK:
                assert column < sinks
                assert sentence == f"block {row + 1} sees block {column + 1}: sink"
            elif category == PREVIOUS:
                assert 0 < row - column <= previous
                assert sentence == f"block {row + 1} sees block {column + 1}: previous"
            else:
                assert sentence == f"block {row + 1} does not see block {column + 1}"
    check_serialises(figure)


def test_mask_axes_and_names() -> None:
    figure = mask_figure(BlockPattern(), 9)
    assert figure.layout.xaxis.title.text == "attended to"
    assert figure.layout.yaxis.title.text == "block being encoded"
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]
    assert figure.layout.yaxis.scaleanchor == "x"
    assert list(heatmap(figure).x) == list(range(1, 10))
    assert [trace.name for trace in figure.data[1:]] == ["not attended", "self", "previous", "sink"]
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert "30 of 45 block pairs, 66.7 %" in figure.layout.title.subtitle.text


@pytest.mark.parametrize("blocks", [1, 2, 9, 10, 11, 29, 100, 101, 513, 20_000])
def test_an_axis_names_blocks_that_there_are_each_once(blocks: int) -> None:
    layout = mask_figure(BlockPattern(), blocks).layout
    for axis in (layout.xaxis, layout.yaxis):
        assert axis.tickvals[0] == 1
        assert max(axis.tickvals) <= blocks
        assert len(set(axis.tickvals)) == len(axis.tickvals) <= 11
    assert max(layout.xaxis.tickvals) > blocks // 2


def test_beyond_sentences_the_hover_says_which_blocks_and_no_number_of_a_colour() -> None:
    said = heatmap(mask_figure(BlockPattern(), 200)).hovertemplate
    assert said == "block %{y}, attending to block %{x}<extra></extra>"
    assert "block about" in heatmap(mask_figure(BlockPattern(), 2000)).hovertemplate


def test_chosen_and_current_blocks_are_marked() -> None:
    figure = mask_figure(BlockPattern(), 9, chosen=(0, 4, 8), current=6)
    strip = named(figure, "read by this query")
    assert list(strip.x) == [1, 5, 9]
    assert strip.x.dtype == np.uint8
    assert strip.y[0] > 9.5
    row = named(figure, "block 7, encoded now")
    assert sorted({float(v) for v in row.y if v == v}) == [6.5, 7.5]
    boxes = next(trace for trace in figure.data[1:] if trace.mode == "lines" and not trace.showlegend)
    assert len(boxes.x) == 18
    assert boxes.x.dtype == np.float32
    check_serialises(figure)


def test_no_blocks() -> None:
    check_serialises(mask_figure(BlockPattern(), 0))
    assert mask_words(BlockPattern(), 0) == "No blocks yet."


@pytest.mark.parametrize(
    ("pattern", "blocks", "factor"),
    [
        (BlockPattern(1, 1, 2), 29, 3),
        (BlockPattern(1, 0, 0), 16, 4),
        (BlockPattern(1, 5, 1), 23, 2),
        (BlockPattern(1, 1, 7), 31, 3),
        (BlockPattern(1, 2, 0), 12, 5),
    ],
)
def test_downsampling_is_by_max(pattern: BlockPattern, blocks: int, factor: int) -> None:
    cells = -(-blocks // factor)
    padded = np.zeros((cells * factor,) * 2, dtype=np.uint8)
    padded[:blocks, :blocks] = block_picture(blocks, pattern)
    expected = padded.reshape(cells, factor, cells, factor).max(axis=(1, 3))
    assert (plots._picture(pattern, blocks, factor) == expected).all()


def test_downsampling_is_said() -> None:
    exact = mask_figure(BlockPattern(), 512)
    assert "strongest" not in exact.layout.title.subtitle.text
    assert heatmap(exact).z.shape == (512, 512)
    figure = mask_figure(BlockPattern(), 2000, chosen=(0, 1999))
    trace = heatmap(figure)
    words = figure.layout.title.subtitle.text.replace("<br>", " ")
    assert "each cell is the strongest of 4 × 4 blocks" in words
    assert trace.z.shape == (500, 500)
    assert trace.z.dtype == np.uint8
    assert trace.x[0] == 2.5
    assert trace.x[-1] == 1998.5
    assert len(figure.to_json()) < 500_000


@pytest.mark.parametrize(
    ("pattern", "blocks", "words"),
    [
        (BlockPattern(), 27, "Block 7 sees blocks 1, 5, 6 and itself. 102 of 378 block pairs, 27.0 %."),
        (BlockPattern(previous_blocks=4), 27, "Block 9 sees blocks 1, 5 to 8 and itself."),
        (BlockPattern(sink_blocks=0, previous_blocks=0), 27, "Block 4 sees only itself. 27 of 378"),
        (BlockPattern(), 2, "Block 2 sees block 1 and itself. 3 of 3 block pairs, 100 %."),
        (BlockPattern(), 1, "Block 1 sees only itself. 1 of 1"),
    ],
)
def test_mask_words(pattern: BlockPattern, blocks: int, words: str) -> None:
    assert mask_words(pattern, blocks).startswith(words)
