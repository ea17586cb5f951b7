"""Stories in a browser: what is pointed at or chosen in one view of an answer is shown in all of them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.app.serving import GRADIO_ON_PANDAS_3
from tests.app.test_browser import ENCODED, FILTER, OFFLINE, ask, try_example

pytestmark = [pytest.mark.browser, *GRADIO_ON_PANDAS_3]
CHOSEN, POINTED, OPEN = (re.compile(rf"\bdbsa-{word}\b") for word in ("chosen", "pointed", "open"))
BLOCKS = 29
READ = (1, 3, 7, 11, 12, 21, 24, 26, 29)
"""Of the bundled example's pool, what its first query reads."""


def entry(page: Page, part: str) -> Locator:
    return page.locator(f'#blocks [data-part="{part}"]')


def bar(page: Page, name: str) -> Locator:
    return page.locator(".dbsa-columns li").filter(has=page.get_by_text(name, exact=True))


def said(page: Page) -> Locator:
    return page.locator(".dbsa-said > span")


def cross(page: Page, pointed: bool = False) -> list[int]:
    """Blocks whose row and column are shown in the mask."""
    path = page.locator(".dbsa-cross.dbsa-pointed" if pointed else ".dbsa-cross:not(.dbsa-pointed)")
    tops = re.findall(r"M0 ([\d.]+)H", path.get_attribute("d") or "")
    size = float(page.locator(".dbsa-cells").get_attribute("data-size") or 0)
    return [round(float(top) * BLOCKS / size) + 1 for top in tops]


def cell(page: Page, row: int, column: int) -> tuple[float, float]:
    """Where it is on the screen."""
    page.locator(".dbsa-cells").scroll_into_view_if_needed()
    box = page.locator(".dbsa-cells svg").bounding_box()
    assert box is not None
    around, size = 3, 228
    x, y = ((around + (place - 0.5) * size / BLOCKS) / (size + 2 * around) for place in (column, row))
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def in_sight(of: Locator) -> bool:
    """Whether it is within what its list shows."""
    found: bool = of.evaluate(
        """one => {
          const [own, list] = [one, one.closest('.dbsa-list')].map(each => each.getBoundingClientRect());
          return own.top >= list.top - 1 && own.top < list.bottom - 20;
        }"""
    )
    return found


def test_a_bar_is_shown_in_all_views_until_escape(page: Page) -> None:
    bar(page, "29").click()
    expect(entry(page, "block-29")).to_have_class(CHOSEN)
    expect(entry(page, "block-29")).to_have_class(OPEN)
    expect(entry(page, "block-29").locator(".dbsa-demo")).to_have_count(3)
    expect(entry(page, "block-29").locator(".dbsa-demo").last).to_be_visible()
    expect(entry(page, "block-12")).not_to_have_class(CHOSEN)
    assert cross(page) == [29]
    expect(said(page)).to_contain_text(
        re.compile(r"^Block 29 \(score [\d.]+\) got [\d.]+ % of the attention; the head")
    )
    expect(said(page)).to_contain_text("it saw blocks 1, 27, 28 and itself.")
    expect(bar(page, "29").get_by_role("button")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(page.locator("#blocks .dbsa-chosen, .dbsa-columns .dbsa-chosen")).to_have_count(0)
    expect(entry(page, "block-29")).not_to_have_class(OPEN)
    expect(said(page)).to_contain_text("Point at a block")
    assert cross(page) == []


def test_a_cell_of_the_mask_chooses_its_block_and_the_list_goes_there(page: Page) -> None:
    page.mouse.move(*cell(page, 24, 9))
    expect(said(page)).to_have_text("Block 24 does not see block 9.")
    page.mouse.move(*cell(page, 24, 23))
    expect(said(page)).to_have_text("Block 24 sees block 23: one of the 2 before it.")
    page.mouse.move(*cell(page, 24, 1))
    expect(said(page)).to_have_text("Block 24 sees block 1: the shared first block.")
    page.mouse.move(*cell(page, 3, 24))
    expect(said(page)).to_have_text("Block 24 comes after block 3, which does not see it.")
    page.mouse.click(*cell(page, 3, 1))
    expect(bar(page, "3")).to_have_class(CHOSEN)
    expect(entry(page, "block-3")).to_have_class(CHOSEN)
    expect(entry(page, "block-3").locator("header")).to_be_in_viewport()
    assert in_sight(entry(page, "block-3")), "it has the least attention, and stands last"
    page.mouse.click(*cell(page, 18, 18))
    expect(said(page)).to_contain_text("Block 18 was not read for this query. While it was encoded it saw blocks 1, 16")
    expect(page.locator("#blocks .dbsa-chosen")).to_have_count(0)
    page.mouse.click(*cell(page, 18, 2))
    page.mouse.move(5, 5)
    expect(said(page)).to_contain_text("Point at a block")


def test_pointing_previews_and_a_click_keeps(page: Page) -> None:
    entry(page, "block-26").hover()
    expect(bar(page, "26")).to_have_class(POINTED)
    assert (cross(page, pointed=True), cross(page)) == ([26], [])
    expect(said(page)).to_contain_text("Block 26 (score")
    bar(page, "12").click()
    bar(page, "21").hover()
    expect(entry(page, "block-21")).to_have_class(POINTED)
    expect(entry(page, "block-12")).to_have_class(CHOSEN)
    assert (cross(page, pointed=True), cross(page)) == ([21], [12])
    page.mouse.move(5, 5)
    expect(page.locator(".dbsa-entry.dbsa-pointed")).to_have_count(0)
    expect(said(page)).to_contain_text("Block 12 (score")
    page.get_by_role("button", name="Let go").click()
    expect(said(page)).to_contain_text("Point at a block")


def test_similar_rows_have_one_bar_and_each_an_entry(page: Page) -> None:
    bar(page, "similar").click()
    expect(page.locator("#blocks .dbsa-chosen")).to_have_count(8)
    expect(said(page)).to_contain_text(re.compile(r"^8 similar rows got [\d.]+ % of the attention together\."))
    assert cross(page) == []
    entry(page, "similar-3").locator(".dbsa-text").click()
    expect(page.locator("#blocks .dbsa-demo.dbsa-chosen")).to_have_count(0)  # what is closed is chosen as a whole
    expect(page.locator("#blocks .dbsa-chosen")).to_have_count(1)
    expect(bar(page, "similar")).to_have_class(CHOSEN)
    expect(said(page)).to_contain_text("Similar row 3 (3rd nearest) got")


def test_a_demonstration_is_chosen_with_its_block(page: Page) -> None:
    block = entry(page, "block-12")
    block.get_by_role("button", name="+4 rows of Block 12").click()
    expect(block).to_have_class(OPEN)
    expect(block).not_to_have_class(CHOSEN)
    third = block.locator(".dbsa-demo").nth(2)
    third.locator(".dbsa-chip").click()
    expect(third).to_have_class(CHOSEN)
    expect(block).to_have_class(CHOSEN)
    expect(bar(page, "12")).to_have_class(CHOSEN)
    assert cross(page) == [12]
    expect(third.get_by_role("button")).to_have_attribute("aria-pressed", "true")
    expect(block.locator("header [data-link]")).to_have_attribute("aria-pressed", "false")
    block.get_by_role("button", name="less of Block 12").click()
    expect(block).not_to_have_class(OPEN)
    expect(block).not_to_have_class(CHOSEN)


def test_what_was_read_is_sorted_by_attention_score_or_place(page: Page) -> None:
    names = page.locator("#blocks .dbsa-entry header b")
    by_attention = names.all_inner_texts()
    assert by_attention[0] == "Block 1"
    sort = page.get_by_label("Sorted by")
    sort.select_option("order in the pool")
    assert names.all_inner_texts() == [*(f"Block {number}" for number in READ), *["Similar row"] * 8]
    sort.select_option("score")
    scores = page.locator("#blocks .dbsa-entry header").get_by_text("score ").all_inner_texts()
    values = [float(score.split()[1]) for score in scores]
    assert values == sorted(values, reverse=True)
    assert names.all_inner_texts()[:8] == ["Similar row"] * 8
    sort.select_option("attention")
    assert names.all_inner_texts() == by_attention


def test_words_that_tell_nothing_are_not_marked(page: Page) -> None:
    marked = {word.lower() for word in page.locator("#blocks mark").all_text_contents()}
    assert {"robot", "router", "offline"} <= marked
    assert not marked & {"the", "my", "is", "i"}


def test_what_was_read_fits_a_screen(page: Page) -> None:
    entries = page.locator("#blocks .dbsa-entry")
    expect(entries).to_have_count(len(READ) + 8)
    assert page.locator("#blocks").evaluate("list => list.scrollHeight <= list.clientHeight + 1")
    assert page.locator("#blocks").evaluate("list => list.offsetHeight") <= 720


def test_views_are_gone_through_by_keys(page: Page) -> None:
    page.get_by_label("Sorted by").focus()
    page.keyboard.press("Tab")
    expect(entry(page, "block-1").locator("[data-link]").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    second = page.locator("#blocks .dbsa-entry").nth(1)
    expect(second.locator("[data-link]").first).to_be_focused()
    expect(second).to_have_class(POINTED)
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(page.locator("#blocks .dbsa-entry").last).to_have_class(CHOSEN)
    page.keyboard.press("ArrowDown")  # to the rows of what is open
    expect(page.locator("#blocks .dbsa-entry").last.locator(".dbsa-place [data-link]").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#blocks .dbsa-entry").last.locator(".dbsa-demo").first).to_have_class(CHOSEN)
    mask = page.get_by_role("slider", name="Block, of 29")
    mask.focus()
    page.keyboard.press("Home")
    expect(mask).to_have_attribute("aria-valuenow", "1")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(bar(page, "3")).to_have_class(CHOSEN)
    expect(mask).to_have_attribute("aria-valuetext", re.compile("^Block 3 "))
    page.keyboard.press("End")
    expect(bar(page, "29")).to_have_class(CHOSEN)
    page.keyboard.press("Escape")
    expect(mask).to_have_attribute("aria-valuetext", "No block is chosen")


def test_what_is_chosen_stays_while_the_query_does(page: Page) -> None:
    page.get_by_label("Sorted by").select_option("order in the pool")
    bar(page, "12").click()
    try_example(page, "Classify it here")
    expect(page.locator("#query textarea")).to_have_value(OFFLINE)
    expect(entry(page, "block-12")).to_have_class(CHOSEN)
    assert cross(page) == [12]
    ask(page, FILTER)
    expect(page.locator("#dbsa-answer .dbsa-label")).to_have_text("replacement_parts", timeout=ENCODED)
    expect(page.locator("#blocks .dbsa-chosen")).to_have_count(0)
    assert cross(page) == []
    expect(page.locator("#blocks .dbsa-entry header b").first).to_have_text("Block 1")
    expect(page.get_by_label("Sorted by")).to_have_value("pool")


def test_a_finger_chooses_on_a_narrow_screen(page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    page.reload()
    page.locator("#mask summary").click()
    page.mouse.click(*cell(page, 12, 1))
    expect(entry(page, "block-12")).to_have_class(CHOSEN)
    expect(entry(page, "block-12")).to_be_visible()
    expect(said(page)).to_contain_text("Block 12 (score")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("width", [1280, 1000, 500])
def test_pointing_elsewhere_moves_nothing_while_a_block_is_kept(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for summary in page.locator(".dbsa-below > details:not([open]) > summary").all():
        summary.click()
    page.locator('.dbsa-columns [data-part="block-12"] button').click()
    expect(entry(page, "block-12")).to_have_class(OPEN)
    page.mouse.move(2, 2)

    def top() -> float:
        found: float = page.evaluate("document.querySelector('#attention').getBoundingClientRect().top + scrollY")
        return found

    before = top()
    for name in ("3", "similar", "query"):
        bar(page, name).hover()
        expect(bar(page, name)).to_have_class(POINTED)
        assert top() == before, name
