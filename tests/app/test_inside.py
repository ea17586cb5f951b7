"""Stories in a browser: a block and a similar row are looked into token by token."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from app.ask.inside import seen_token
from app.ask.shown import ShownAnswer, ShownTokens
from app.words import percent
from tests.app.serving import GRADIO_ON_PANDAS_3
from tests.app.test_browser import FILTER, try_example

pytestmark = [pytest.mark.browser, *GRADIO_ON_PANDAS_3]
HINT = "Point at a token, here or in the picture, to read what it got and saw. A click keeps it."
ON = ".dbsa-tokens > .dbsa-on"


@pytest.fixture(scope="module")
def tokens(recorded: ShownAnswer) -> dict[str, ShownTokens]:
    """By the part's key."""
    return {part.key: part.tokens for part in recorded.parts if part.tokens is not None}


def opened(page: Page, part: str) -> Locator:
    """The entry of a part, which is chosen by its name, with its tokens in sight."""
    entry = page.locator(f'#blocks [data-part="{part}"]')
    entry.locator("[data-link]").first.click()
    inside = entry.locator(".dbsa-inside")
    expect(inside).to_be_visible()
    if inside.get_attribute("open") is None:
        inside.locator("summary").click()
    expect(inside.locator(".dbsa-tokens > span").first).to_be_visible()
    return inside


def row_of(inside: Locator, token: int, tokens: int) -> tuple[float, float]:
    """Where a token's row is in the picture."""
    svg = inside.locator(".dbsa-window svg")
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 3, box["y"] + (token + 0.5) * box["height"] / tokens


def said(found: ShownTokens, token: int, whose: str) -> str:
    before = sum(one.tokens for one in found.before)
    seen = f"{before:,} tokens before the {whose} and " if before else ""
    return (
        f"“{seen_token(found.texts[token])}”, token {token + 1} of {len(found.shares)}: "
        f"{percent(float(found.shares[token] / found.shares.sum()))} of what the {whose} got. "
        f"It saw {seen}{token + 1} of its own, itself included."
    )


def test_a_block_is_looked_into_token_by_token(page: Page, tokens: dict[str, ShownTokens]) -> None:
    inside, found = opened(page, "block-12"), tokens["block 12"]
    within = "one => one.getBoundingClientRect().bottom <= one.closest('.dbsa-list').getBoundingClientRect().bottom + 1"
    assert inside.evaluate(within), "its list goes there"
    words = inside.locator(".dbsa-tokens > span")
    assert len(words.all()) == len(found.texts) > 100
    assert "".join(words.all_text_contents()).replace("↵\n", "\n") == "".join(found.texts)
    expect(inside).to_contain_text(f"Of its {len(found.shares)} tokens, “")
    keys = inside.locator(".dbsa-windowkeys")
    for run in found.before:
        expect(keys).to_contain_text(f"{run.name}: {run.tokens} tokens")
    assert [run.name for run in found.before] == ["block 1", "blocks 10 and 11"]
    line = inside.locator(".dbsa-tokensaid")
    expect(line).to_have_text(HINT)
    for token in (5, int(found.shares.argmax())):
        words.nth(token).hover()
        expect(line).to_have_text(said(found, token, "block"))
        expect(inside.locator(ON)).to_have_count(1)
    levels = [float(one.evaluate("one => one.style.getPropertyValue('--dbsa-level')")) for one in words.all()]
    assert levels[int(found.shares.argmax())] == max(levels) == 6
    assert levels[int(found.shares.argmin())] == min(levels)
    page.mouse.move(2, 2)
    expect(line).to_have_text(HINT)
    expect(inside.locator(ON)).to_have_count(0)


def test_the_picture_and_the_text_show_the_same_token(page: Page, tokens: dict[str, ShownTokens]) -> None:
    inside, found = opened(page, "block-12"), tokens["block 12"]
    line, size = inside.locator(".dbsa-tokensaid"), len(found.shares)
    page.mouse.move(*row_of(inside, size - 2, size))
    expect(line).to_have_text(said(found, size - 2, "block"))
    inside_list = "one => { const [own, frame] = [one, one.parentElement].map(each => each.getBoundingClientRect());"
    shown = "return own.top >= frame.top - 1 && own.bottom <= frame.bottom + 1; }"
    assert inside.locator(ON).evaluate(inside_list + shown), "the text goes to the token"
    page.mouse.click(*row_of(inside, 7, size))
    page.mouse.move(2, 2)
    expect(line).to_have_text(said(found, 7, "block"))
    expect(inside).to_be_visible()
    inside.locator(".dbsa-tokens > span").nth(7).click()
    page.mouse.move(2, 2)
    expect(line).to_have_text(HINT)
    expect(inside).to_be_visible()


def test_tokens_are_gone_through_by_keys(page: Page, tokens: dict[str, ShownTokens]) -> None:
    inside, found = opened(page, "similar-1"), tokens["similar 1"]
    slider = page.get_by_role("slider", name=f"Token, of {len(found.shares)}")
    slider.focus()
    for key, token in [("ArrowDown", 0), ("PageDown", 10), ("ArrowUp", 9), ("End", len(found.shares) - 1), ("Home", 0)]:
        page.keyboard.press(key)
        expect(slider).to_have_attribute("aria-valuenow", str(token + 1))
        expect(slider).to_have_attribute("aria-valuetext", said(found, token, "row"))
    page.keyboard.press("Escape")
    expect(inside).to_be_hidden()


def test_what_is_looked_into_stays_so_from_block_to_block(page: Page, tokens: dict[str, ShownTokens]) -> None:
    opened(page, "block-12").locator(".dbsa-tokens > span").nth(3).click()
    page.locator('.dbsa-columns [data-part="block-26"] button').click()
    other = page.locator('#blocks [data-part="block-26"] .dbsa-inside')
    expect(other.locator(".dbsa-tokens > span")).to_have_count(len(tokens["block 26"].shares))
    expect(other.locator(".dbsa-tokensaid")).to_have_text(HINT)
    other.locator("summary").click()
    expect(other.locator(".dbsa-tokens")).to_be_hidden()
    page.locator('.dbsa-columns [data-part="block-12"] button').click()
    expect(page.locator('#blocks [data-part="block-12"] .dbsa-inside')).to_be_visible()
    expect(page.locator('#blocks [data-part="block-12"] .dbsa-tokens')).to_be_hidden()


def test_another_answer_has_its_own_tokens(page: Page, tokens: dict[str, ShownTokens]) -> None:
    opened(page, "block-1").locator(".dbsa-tokens > span").nth(3).click()
    before = page.locator('#blocks [data-part="block-1"] .dbsa-inside').get_attribute("data-shares")
    try_example(page, FILTER)
    inside = opened(page, "block-1")
    assert inside.get_attribute("data-shares") != before
    expect(inside.locator(".dbsa-tokensaid")).to_have_text(HINT)
    texts = tokens["block 1"].texts
    words = inside.locator(".dbsa-tokens > span")
    assert "".join(words.all_text_contents()).replace("↵\n", "\n") == "".join(texts), "the same block"
    words.nth(1).hover()
    seen = re.escape(seen_token(texts[1]))
    expect(inside.locator(".dbsa-tokensaid")).to_have_text(
        re.compile(rf"“{seen}”, token 2 of {len(texts)}: .*It saw 2 of")
    )
