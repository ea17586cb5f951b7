"""The mask in a browser, without a server: what is drawn, counted and said, against the picture that NumPy draws."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from app.launch import STYLES
from app.mask.figure import SCRIPT, mask_figure, mask_picture
from dbsa_core.blocks import BlockPattern
from dbsa_core.masks import NOT_SEEN, PREVIOUS, SELF, SINK, block_picture

pytestmark = pytest.mark.browser
KINDS = {"itself": SELF, "previous": PREVIOUS, "sink": SINK}
PATTERNS = [BlockPattern(1, sinks, window) for sinks, window in ((1, 2), (0, 0), (2, 1), (0, 3), (5, 0), (3, 9))]


@pytest.fixture(scope="module")
def blank(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(5_000)
    failed: list[str] = []
    page.on("pageerror", lambda error: failed.append(str(error)))
    yield page
    context.close()
    assert failed == []


def shown(page: Page, html: str) -> Page:
    """The page with that alone, made anew."""
    page.goto("about:blank")
    page.set_content(f"<style>{''.join(STYLES)}</style><main>{html}</main>")
    page.evaluate(f"{SCRIPT}dbsaMask.refresh(); null")
    return page


def state(pattern: BlockPattern, total: int) -> dict[str, Any]:
    return {"total": total, "encoded": total, "sinks": pattern.sink_blocks, "window": pattern.previous_blocks}


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_squares_are_coloured_by_what_is_in_them(blank: Page, pattern: BlockPattern) -> None:
    """Of a square's blocks: one that sees itself, else one that sees a first block, else one that sees one before."""
    shown(blank, "")
    for total, factor in ((1, 1), (2, 1), (13, 1), (29, 3), (16, 4), (23, 2), (12, 5), (31, 40)):
        cells = -(-total // factor)
        picture = np.full((cells * factor,) * 2, -1)
        picture[:total, :total] = np.where(np.tri(total, dtype=bool), block_picture(total, pattern), -1)
        inside = picture.reshape(cells, factor, cells, factor).swapaxes(1, 2).reshape(cells, cells, -1)
        expected = np.full((cells, cells), "later", dtype="<U8")
        for name, kind in (("none", NOT_SEEN), ("previous", PREVIOUS), ("sink", SINK), ("itself", SELF)):
            expected[(inside == kind).any(-1)] = name
        strips = blank.evaluate(
            "([state, factor, cells]) => "
            "Array.from({length: cells}, (_, row) => dbsaPattern.strips(state, factor, row))",
            [state(pattern, total), factor, cells],
        )
        drawn = np.full((cells, cells), "later", dtype="<U8")
        for row, pieces in enumerate(strips):
            for name, first, end in pieces:
                drawn[row, first:end] = name
        assert (drawn == expected).all(), (total, factor)


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_pairs_of_an_area_are_counted_by_kind(blank: Page, pattern: BlockPattern) -> None:
    shown(blank, "")
    total, draw = 30, np.random.default_rng(0)
    picture, causal = block_picture(total, pattern), np.tri(total, dtype=bool)
    areas = [[sorted(draw.integers(1, total + 1, 2).tolist()) for _ in range(2)] for _ in range(60)]
    counted = blank.evaluate(
        "([state, areas]) => areas.map(([rows, columns]) => dbsaPattern.countsOf(state, rows, columns))",
        [state(pattern, total), areas],
    )
    for ((top, low), (left, right)), counts in zip(areas, counted, strict=True):
        part = np.s_[top - 1 : low, left - 1 : right]
        expected = {name: int((picture[part] == kind).sum()) for name, kind in KINDS.items()}
        assert counts == {**expected, "all": int(causal[part].sum())}


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_a_block_says_what_it_saw(blank: Page, pattern: BlockPattern) -> None:
    shown(blank, "")
    words = blank.evaluate(
        "state => Array.from({length: state.total}, (_, at) => "
        "dbsaPattern.ofBlock({...state, was: new Set()}, at + 1, false))",
        state(pattern, 20),
    )
    for block, said in enumerate(words):
        others = [number + 1 for number in range(block) if pattern.sees(block, number)]
        listed = re.sub(
            r"(\d+) to (\d+)", lambda found: ", ".join(map(str, range(int(found[1]), int(found[2]) + 1))), said
        )
        named = f"block{'s' if len(others) > 1 else ''} {', '.join(map(str, others))} and itself"
        assert listed == f"While it was encoded it saw {named if others else 'only itself'}."


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        ([7, 7], [7, 7], "Block 7 sees itself."),
        ([7, 7], [1, 1], "Block 7 sees block 1: the shared first block."),
        ([1200, 1200], [1199, 1199], "Block 1,200 sees block 1,199: one of the 2 before it."),
        ([7, 7], [3, 3], "Block 7 does not see block 3."),
        ([3, 3], [7, 7], "Block 7 comes after block 3, which does not see it."),
        ([11, 20], [1, 10], "Of blocks 11 to 20 with blocks 1 to 10, 13 of 100 pairs are seen: 10 with the shared "
         "first block, 3 with the 2 before it."),
        ([11, 20], [11, 20], "Among blocks 11 to 20, 27 of 55 pairs are seen: 10 of a block with itself, 17 with the 2 "
         "before it."),
        ([41, 50], [11, 20], "Blocks 41 to 50 do not see blocks 11 to 20."),
        ([11, 20], [41, 50], "Blocks 41 to 50 come after blocks 11 to 20 and are not seen."),
        (None, [11, 20], "This query read 2 of blocks 11 to 20."),
        (None, [12, 12], "This query read block 12."),
        (None, [13, 13], "This query did not read block 13."),
    ],
)  # fmt: skip
def test_an_area_is_said_in_words(blank: Page, rows: list[int] | None, columns: list[int], words: str) -> None:
    shown(blank, "")
    said = blank.evaluate(
        "([state, area]) => dbsaPattern.ofArea({...state, was: new Set([12, 15])}, area)",
        [state(BlockPattern(), 2000), {"rows": rows, "columns": columns}],
    )
    assert said == words


def side(page: Page) -> float:
    """Of the whole mask, in the units of its picture."""
    box = page.locator(".dbsa-cells svg").get_attribute("viewBox") or ""
    left, _, width, _ = map(float, box.split())
    return width + left - 22


def place(page: Page, row: float, column: float, inside: str = ".dbsa-cells") -> tuple[float, float]:
    """Where a place of the picture is on the screen; in its own units."""
    svg = page.locator(f"{inside} svg")
    svg.scroll_into_view_if_needed()
    found: list[float] = svg.evaluate(
        "(svg, [x, y]) => { const at = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM()); return [at.x, at.y]; }",
        [column, row],
    )
    return found[0], found[1]


@pytest.mark.parametrize("total", [2, 7, 29, 200, 2_000, 20_000])
def test_what_is_pointed_at_is_what_is_said(blank: Page, total: int) -> None:
    """At any size the words are those of the blocks under the pointer, and axes name blocks that there are."""
    pattern, read = BlockPattern(), range(0, total, max(2, total // 9))
    shown(blank, mask_figure(pattern, total, total, read))
    said, first = blank.locator(".dbsa-cellsaid"), blank.locator(".dbsa-cells path").first
    expect(first).to_have_attribute("d", re.compile("^M"))
    size = side(blank)
    assert 430 < size <= 440
    factor = math.ceil(total / size)
    unit = size / total

    def words(block: int) -> str:
        start = (block - 1) // factor * factor + 1
        end = min(total, start + factor - 1)
        return f"{start:,} to {end:,}" if end > start else f"{start:,}"

    for row, column in ((total, 1), (total, max(1, total // 2)), (max(1, total // 2), total), (total // 2 + 1, 1)):
        blank.mouse.move(*place(blank, (row - 0.5) * unit, (column - 0.5) * unit))
        text = said.inner_text()
        assert re.search(rf"\b{re.escape(words(row))}\b", text), (row, column, text)
        assert "itself" in text if row == column else re.search(rf"\b{re.escape(words(column))}\b", text), text
    blank.mouse.move(*place(blank, size + 13, 0.5 * unit))
    expect(said).to_contain_text(re.compile(rf"^This query read (\d+ of )?blocks? {words(1)}\."))
    labels = blank.locator(".dbsa-cells text:not(.dbsa-axis)").all_text_contents()
    ticks = [int(text.replace(",", "")) for text in labels if text != "query"]
    assert set(ticks) <= set(range(1, total + 1))
    assert len(ticks) == 2 * len(set(ticks))
    assert 1 in ticks
    assert max(ticks) > total // 2
    expect(blank.locator(".dbsa-scale")).to_be_visible(visible=factor > 1)
    if factor > 1:
        expect(blank.locator(".dbsa-scale")).to_contain_text(f"Each square stands for {factor} × {factor} blocks")


def test_a_close_up_shows_the_cells_of_a_large_mask(blank: Page) -> None:
    shown(blank, mask_figure(BlockPattern(), 20_000, 20_000, range(0, 20_000, 7)))
    said, near, mask = (blank.locator(name) for name in (".dbsa-cellsaid", ".dbsa-near", ".dbsa-cells"))
    expect(near.locator("h4")).to_have_text("Close up: blocks 1 to 24")
    blank.get_by_label("Block", exact=True).fill("12345")
    blank.keyboard.press("Enter")
    expect(near.locator("h4")).to_have_text("Close up: blocks 12,333 to 12,356")
    expect(said).to_have_text(
        "Block 12,345 was not read for this query. While it was encoded it saw blocks 1, 12,343, 12,344 and itself."
    )
    expect(mask).to_have_attribute("aria-valuenow", "12345")
    box = near.locator("svg").get_attribute("viewBox") or ""
    cell = (float(box.split()[2]) - 62) / 26  # of the first block, a gap, and 24 more
    blank.mouse.move(*place(blank, 12.5 * cell, 0.5 * cell, ".dbsa-near"))
    expect(said).to_have_text("Block 12,345 sees block 1: the shared first block.")
    blank.mouse.move(*place(blank, 20.5 * cell, (2 + 18.5) * cell, ".dbsa-near"))
    expect(said).to_have_text("Block 12,353 sees block 12,351: one of the 2 before it.")
    expect(near.locator("h4")).to_have_text("Close up: blocks 12,333 to 12,356")
    blank.mouse.click(*place(blank, 23.5 * cell, (2 + 4.5) * cell, ".dbsa-near"))
    expect(mask).to_have_attribute("aria-valuenow", "12356")
    expect(near.locator("h4")).to_have_text("Close up: blocks 12,333 to 12,356")
    mask.focus()
    blank.keyboard.press("PageDown")
    expect(mask).to_have_attribute("aria-valuenow", "12366")
    expect(near.locator("h4")).to_have_text("Close up: blocks 12,354 to 12,377")
    blank.keyboard.press("End")
    expect(near.locator("h4")).to_have_text("Close up: blocks 19,977 to 20,000")
    blank.keyboard.press("Escape")
    expect(mask).to_have_attribute("aria-valuetext", "No block is chosen")
    expect(said).to_contain_text("Point at a cell")


def test_a_mark_beside_the_diagonal_is_of_the_block_that_was_read(blank: Page) -> None:
    shown(blank, mask_figure(BlockPattern(), 20_000, 20_000, (4_999, 9_999)))
    unit = side(blank) / 20_000
    blank.mouse.move(*place(blank, 9_999.5 * unit, 9_999.5 * unit + 4))
    expect(blank.locator(".dbsa-cellsaid")).to_have_text("Block 10,000 sees itself.")
    blank.mouse.click(*place(blank, 9_999.5 * unit, 9_999.5 * unit + 4))
    expect(blank.locator(".dbsa-cellsaid")).to_contain_text("Block 10,000")
    expect(blank.locator(".dbsa-cells")).to_have_attribute("aria-valuenow", "10000")
    blank.mouse.click(*place(blank, 100.5, 60.5))  # a square of 46 blocks, none of which was read
    expect(blank.locator(".dbsa-cells")).to_have_attribute("aria-valuenow", "4531")
    assert blank.locator(".dbsa-asked").count() == 2  # beside the diagonal, and in the row of the query


def test_read_blocks_are_outlined_and_what_is_not_encoded_is_pale(blank: Page) -> None:
    shown(blank, mask_picture(BlockPattern(), 20, 12, (0, 4, 11)))
    outlined = blank.locator(".dbsa-mask .dbsa-read").get_attribute("d") or ""
    cell = 228 / 20
    assert [float(x) for x in re.findall(r"M([\d.]+) [\d.]+h", outlined)] == pytest.approx([0, 4 * cell, 11 * cell])
    assert blank.locator(".dbsa-pale").get_attribute("d") == "M0 136.8h228v91.2h-228z"
    blank.evaluate("dbsaMask.encoded(document.querySelector('.dbsa-cells'), 20)")
    assert blank.locator(".dbsa-pale").get_attribute("d") == ""


def test_a_narrow_screen_has_all_of_it(blank: Page) -> None:
    blank.set_viewport_size({"width": 360, "height": 800})
    shown(blank, mask_figure(BlockPattern(), 20_000, 20_000, range(0, 20_000, 7)))
    expect(blank.locator(".dbsa-near svg path").first).to_be_attached()
    assert blank.evaluate("document.documentElement.scrollWidth") <= 360
    blank.set_viewport_size({"width": 1280, "height": 900})
    expect(blank.locator(".dbsa-cells svg")).to_have_attribute("viewBox", re.compile(r"^-67 -36 528"))
