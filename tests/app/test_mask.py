"""Stories in a browser: the whole mask, linked with an answer's views on Ask, and by itself on Encode."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.app.serving import GRADIO_ON_PANDAS_3, SOON
from tests.app.test_browser import ENCODED, FILTER, open_tab, try_example, use_trec
from tools.browser import cell_of

pytestmark = [pytest.mark.browser, *GRADIO_ON_PANDAS_3]
CHOSEN = re.compile(r"\bdbsa-chosen\b")
BLOCKS = 29


def cell(page: Page, figure: str, row: float, column: float) -> tuple[float, float]:
    """Where it is on the screen; below the last row is the query's."""
    svg = page.locator(f"{figure} .dbsa-cells svg")
    svg.scroll_into_view_if_needed()
    expect(svg.locator(".dbsa-itself")).to_be_attached(timeout=SOON)
    return place(page, figure, row, column)


def place(page: Page, figure: str, row: float, column: float) -> tuple[float, float]:
    """The same, without going there."""
    return cell_of(page.locator(f"{figure} .dbsa-cells svg"), row, column, BLOCKS)


def test_the_whole_mask_is_linked_with_what_was_read(page: Page) -> None:
    try_example(page, FILTER)
    page.locator("#details").get_by_role("button", name="Details").click()
    figure, said = page.locator("#whole-mask"), page.locator("#whole-mask .dbsa-cellsaid")
    expect(figure.get_by_role("row", name="itself 29 6.7 %")).to_be_visible(timeout=SOON)
    expect(figure).to_contain_text("110 of 435 block pairs, 25.3 %")
    expect(figure).to_contain_text("This query read 9 blocks")
    expect(figure.locator(".dbsa-near")).to_be_hidden()
    page.mouse.move(*cell(page, "#whole-mask", 24, 9))
    expect(said).to_have_text("Block 24 does not see block 9.")
    expect(page.locator(".dbsa-said > span")).to_have_text("Block 24 does not see block 9.")
    read = page.locator("#mask .dbsa-cells").get_attribute("data-read") or ""
    numbers = [int(number) for number in re.findall(r"\d+", read)]
    last = numbers[-1]
    page.mouse.move(*cell(page, "#whole-mask", BLOCKS + 1.3, last))
    expect(said).to_have_text(f"This query read block {last}.")
    where = cell(page, "#whole-mask", BLOCKS + 1.3, last)
    page.mouse.click(*where)
    expect(page.locator(f'#blocks [data-part="block-{last}"]')).to_have_class(CHOSEN)
    expect(said).to_contain_text(f"Block {last} (score")
    expect(said).to_contain_text("While it was encoded it saw blocks 1, ")
    now = place(page, "#whole-mask", BLOCKS + 1.3, last)
    assert abs(now[1] - where[1]) < 60, "what opens in the list does not push the mask away from who looks at it"
    slider = page.get_by_role("slider", name="Block of the mask, of 29")
    slider.focus()
    page.keyboard.press("Home")
    expect(page.locator('#blocks [data-part="block-1"]')).to_have_class(CHOSEN)
    page.keyboard.press("Escape")
    expect(said).to_contain_text("Point at a cell")
    page.locator('.dbsa-columns [data-part="block-1"] button').click()
    expect(slider).to_have_attribute("aria-valuenow", "1")
    figure.get_by_label("Block", exact=True).fill("18")
    page.keyboard.press("Tab")
    expect(page.locator("#blocks .dbsa-chosen")).to_have_count(0 if 18 not in numbers else 1)
    expect(said).to_contain_text("blocks 1, 16, 17 and itself")


def test_the_mask_of_the_plan_keeps_its_own_block(page: Page) -> None:
    expect(page.locator("#header")).to_contain_text("143 encoded, ready", timeout=ENCODED)
    open_tab(page, "Encode")
    said = page.locator("#plan-mask .dbsa-cellsaid")
    page.mouse.move(*cell(page, "#plan-mask", 12, 11))
    expect(said).to_have_text("Block 12 sees block 11: one of the 2 before it.")
    page.mouse.click(*cell(page, "#plan-mask", 12, 11))
    page.mouse.move(5, 5)
    expect(said).to_have_text("Block 12. While it was encoded it saw blocks 1, 10, 11 and itself.")
    slider = page.get_by_role("slider", name="Block of the mask, of 29")
    slider.focus()
    page.keyboard.press("ArrowDown")
    expect(slider).to_have_attribute("aria-valuenow", "13")
    open_tab(page, "Ask")
    expect(page.locator("#blocks .dbsa-chosen")).to_have_count(0)
    open_tab(page, "Encode")
    window = page.locator("#window input")
    window.fill("4")
    window.press("Tab")
    expect(page.locator("#plan-mask")).to_contain_text("Block 9 sees blocks 1, 5 to 8 and itself.", timeout=SOON)
    expect(page.locator("#plan-mask .dbsa-cells")).to_have_attribute("data-encoded", "0")
    page.mouse.move(*cell(page, "#plan-mask", 12, 8))
    expect(said).to_have_text("Block 12 sees block 8: one of the 4 before it.")


def test_the_mask_fills_while_blocks_are_encoded(page: Page, shared_data: Path) -> None:
    use_trec(page, shared_data, 3000)
    mask = page.locator("#plan-mask .dbsa-cells")
    expect(mask).to_have_attribute("data-encoded", "0", timeout=SOON)
    page.locator("#encode").click()
    some = re.compile(r"^[1-9]\d*$")
    expect(mask).to_have_attribute("data-encoded", some, timeout=ENCODED)
    pale = mask.locator(".dbsa-pale")
    assert pale.get_attribute("d")
    expect(page.locator("#encode-progress")).to_contain_text("Ready:", timeout=ENCODED)
    expect(mask).to_have_attribute("data-encoded", mask.get_attribute("data-total") or "")
    expect(pale).to_have_attribute("d", "")


def test_a_pattern_is_chosen_beside_others_and_encoded(page: Page) -> None:
    expect(page.locator("#header")).to_contain_text("143 encoded, ready", timeout=ENCODED)
    open_tab(page, "Encode")
    cards = page.locator("#patterns button")
    expect(cards).to_have_count(4, timeout=SOON)
    expect(page.locator('#patterns button[aria-pressed="true"]')).to_contain_text(
        "First block, the ones before, itself"
    )
    own = cards.nth(1)
    expect(own).to_contain_text("23.1 % of full attention")
    expect(own.locator(".dbsa-previous")).to_have_attribute("d", re.compile("^M"))
    window = page.locator("#window input")
    window.fill("6")
    window.press("Tab")
    expect(own).not_to_contain_text("23.1 %", timeout=SOON)
    expect(cards.nth(2)).to_contain_text("10.3 % of full attention")
    cards.nth(0).click()
    expect(cards.nth(0)).to_have_attribute("aria-pressed", "true", timeout=SOON)
    expect(window).to_have_value("1000000")
    expect(page.locator("#encode-progress")).to_contain_text("the window (2 to all blocks)")
    expect(page.locator("#plan-mask")).to_contain_text("435 of 435 block pairs, 100 %")
    page.mouse.move(*cell(page, "#plan-mask", 24, 9))
    expect(page.locator("#plan-mask .dbsa-cellsaid")).to_have_text("Block 24 sees block 9: full attention.")
    cards.nth(3).focus()
    page.keyboard.press("Enter")
    expect(cards.nth(3)).to_have_attribute("aria-pressed", "true", timeout=SOON)
    expect(page.locator("#sink input")).not_to_be_checked()
    page.locator("#encode").click()
    expect(page.locator("#encode-progress")).to_contain_text("Ready:", timeout=ENCODED)
    open_tab(page, "Ask")
    try_example(page, FILTER)
    expect(page.locator("#mask")).to_contain_text("9 of 29 blocks, 4 % of full attention when encoded")
    expect(page.locator('#blocks [data-part="block-1"]')).to_be_visible()
