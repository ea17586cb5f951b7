"""The mask's HTML: what it says, that it stays small, and that its kinds of cells differ by lightness."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from app.mask.figure import kind_names, mask_figure, mask_picture, mask_words
from app.theme import CSS
from dbsa_core.blocks import BlockPattern
from dbsa_core.masks import PREVIOUS, SELF, SINK, block_picture
from tests.app.pages import text_of


@pytest.mark.parametrize(
    ("pattern", "blocks", "words"),
    [
        (BlockPattern(), 27, "Block 7 sees blocks 1, 5, 6 and itself. 102 of 378 block pairs, 27.0 %."),
        (BlockPattern(previous_blocks=4), 27, "Block 9 sees blocks 1, 5 to 8 and itself."),
        (BlockPattern(sink_blocks=0, previous_blocks=0), 27, "Block 4 sees only itself. 27 of 378"),
        (BlockPattern(), 2, "Block 2 sees block 1 and itself. 3 of 3 block pairs, 100 %."),
        (BlockPattern(), 1, "Block 1 sees only itself. 1 of 1"),
        (BlockPattern(previous_blocks=2000), 9000, "Block 2,005 sees blocks 1, 5 to 2,004 and itself."),
    ],
)
def test_a_block_shows_the_pattern(pattern: BlockPattern, blocks: int, words: str) -> None:
    assert mask_words(pattern, blocks).startswith(words)


def test_the_table_has_the_counts_of_the_picture() -> None:
    pattern, blocks = BlockPattern(5, 2, 3), 40
    picture = block_picture(blocks, pattern)
    page = text_of(mask_figure(pattern, blocks, 0))
    said = {"itself": SELF, "the 3 before": PREVIOUS, "the 2 shared first blocks": SINK}
    for words, kind in said.items():
        assert f"{words} {(picture == kind).sum():,} " in page
    assert "full attention 820 100 %" in page
    assert "This query read" not in page
    assert kind_names(BlockPattern(previous_blocks=1))["previous"] == "the one before"


def test_what_was_read_is_sent_as_runs() -> None:
    page = mask_figure(BlockPattern(), 29, 29, (0, 2, 3, 4, 28), linked=True)
    assert 'data-read="1 3-5 29"' in page
    assert "This query read 5 blocks" in page
    assert "marked is what was read: 5 blocks" in page
    assert "data-linked" in page
    assert "data-linked" not in mask_figure(BlockPattern(), 29, 0)
    assert 'data-encoded="12" ' in mask_picture(BlockPattern(), 29, 12, ())


def test_no_blocks() -> None:
    assert text_of(mask_figure(BlockPattern(), 0, 0)) == "No blocks yet."
    assert mask_words(BlockPattern(), 0) == "No blocks yet."
    assert 'data-total="1"' in mask_picture(BlockPattern(), 0, 0, ())


def test_what_is_sent_does_not_grow_with_the_pairs_of_blocks() -> None:
    few, many = (len(mask_figure(BlockPattern(), blocks, blocks)) for blocks in (20, 20_000))
    assert many < few + 100
    assert len(mask_figure(BlockPattern(), 20_000, 20_000, range(0, 20_000, 3))) < 45_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_kinds_of_cells_differ_by_lightness(scheme: str) -> None:
    """Neighbours in lightness have a contrast of 1.5 or more, whatever their hues."""
    found = re.findall(r"--dbsa-cell-(\w+): #(\w{6})", CSS)
    assert len(found) == 8
    colours = found[:4] if scheme == "light" else found[4:]
    assert {name for name, _ in colours} == set(kind_names(BlockPattern()))

    def luminance(colour: str) -> float:
        """As WCAG 2.2 defines it."""
        parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light = sorted(luminance(colour) for _, colour in colours)
    for darker, lighter in pairwise(light):
        assert (lighter + 0.05) / (darker + 0.05) >= 1.5
