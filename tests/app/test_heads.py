"""Stories in a browser: one head of the model is pointed at or chosen, and every view shows where it looked."""

from __future__ import annotations

import re
from base64 import b64decode

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from app.ask.heads import groups_of, share_of
from app.ask.shown import ShownAnswer, ShownAttention
from app.words import percent
from tests.app.serving import GRADIO_ON_PANDAS_3
from tests.app.test_browser import ENCODED, FILTER, try_example

pytestmark = [pytest.mark.browser, *GRADIO_ON_PANDAS_3]
MEAN = "mean of all heads"


@pytest.fixture(scope="module")
def looked(recorded: ShownAnswer) -> ShownAttention:
    assert recorded.attention is not None
    return recorded.attention


def cell(page: Page, looked: ShownAttention, layer: int, head: int) -> tuple[float, float]:
    """Where it is on the screen; layers and heads from 0."""
    grid = page.locator(".dbsa-grid svg")
    grid.scroll_into_view_if_needed()
    box = grid.bounding_box()
    assert box is not None
    layers, heads, _ = looked.mass.shape
    return box["x"] + (head + 0.5) * box["width"] / heads, box["y"] + (layer + 0.5) * box["height"] / layers


def drawn_at(looked: ShownAttention, layer: int, head: int) -> str:
    """How its cell begins in the path of its shade."""
    layers, heads, _ = looked.mass.shape
    return f"M{head * 560 / heads:.1f} {layer * max(4.0, 200 / layers):.1f}h"


def bars(page: Page) -> dict[str, float]:
    """The number over each, by the word below it."""
    found = page.locator(".dbsa-columns li").all()
    return {one.locator(".dbsa-under").inner_text(): float(one.locator(".dbsa-over").inner_text()) for one in found}


def expected(looked: ShownAttention, mass: np.ndarray) -> dict[str, float]:
    shares = dict(zip(looked.names, mass, strict=True))
    named = {"first": shares["block 1"], "query": shares["query"], "similar": 0.0}
    for name, share in shares.items():
        if name.startswith("similar"):
            named["similar"] += share
        elif name.startswith("block") and name != "block 1":
            named[name.removeprefix("block ")] = share
    return named


def whose(page: Page):
    return page.locator(".dbsa-whose")


def most(looked: ShownAttention) -> tuple[int, int]:
    """The head that gave most to the retrieved blocks."""
    mass = share_of(looked, groups_of(looked, 1)["retrieved"].parts)
    layer, head = np.unravel_index(int(mass.argmax()), mass.shape)
    return int(layer), int(head)


def test_another_answer_is_shown_with_its_own_numbers(page: Page) -> None:
    """A page may write them into the very elements of the answer before it, at which a head was looked at."""
    grid = page.locator(".dbsa-grid")
    grid.focus()
    for key in ("Home", "Escape"):
        page.keyboard.press(key)
    before, packed = bars(page), grid.get_attribute("data-mass")
    try_example(page, FILTER)
    expect(grid).not_to_have_attribute("data-mass", packed or "")
    entries = page.locator("#blocks .dbsa-entry").all()
    assert len(entries) == 17
    for entry in entries:
        name, share = entry.locator("header b").inner_text(), entry.locator(".dbsa-share").inner_text()
        said = entry.get_attribute("data-said") or ""
        assert re.match(rf"{name}( \d)? \(.*\) got {share} of the attention;", said), (name, share, said)
    now = bars(page)
    assert now.keys() != before.keys()
    assert sum(now.values()) == pytest.approx(100, abs=0.5)
    grid.focus()
    page.keyboard.press("End")
    sent = np.frombuffer(b64decode(grid.get_attribute("data-mass") or ""), "<u2") / 65535
    heads = int(grid.get_attribute("data-layers") or 0) * int(grid.get_attribute("data-heads") or 0)
    last = sent.reshape(heads, -1)[-1]
    columns = [(one.get_attribute("data-columns") or "").split() for one in page.locator(".dbsa-columns li").all()]
    assert [*bars(page).values()] == pytest.approx([100 * last[[*map(int, c)]].sum() for c in columns], abs=0.06)
    page.keyboard.press("Escape")
    assert bars(page) == now


def test_a_head_that_is_pointed_at_is_shown_and_one_that_is_clicked_stays(page: Page, looked: ShownAttention) -> None:
    mean = bars(page)
    assert mean == pytest.approx({k: 100 * v for k, v in expected(looked, looked.mass.mean((0, 1))).items()}, abs=0.06)
    page.mouse.move(*cell(page, looked, 3, 2))
    expect(whose(page)).to_have_text("head 3 of layer 4")
    page.mouse.move(0, 0)
    expect(whose(page)).to_have_text(MEAN)
    assert bars(page) == mean
    layer, head = most(looked)
    page.mouse.click(*cell(page, looked, layer, head))
    page.mouse.move(0, 0)
    expect(whose(page)).to_have_text(f"head {head + 1} of layer {layer + 1}")
    shares = {name: 100 * share for name, share in expected(looked, looked.mass[layer, head]).items()}
    assert bars(page) == pytest.approx(shares, abs=0.06)
    assert sum(bars(page).values()) == pytest.approx(100, abs=0.6)
    page.get_by_role("button", name="Mean again").click()
    expect(whose(page)).to_have_text(MEAN)
    assert bars(page) == mean


def test_the_sentence_agrees_with_the_numbers_of_the_head(page: Page, looked: ShownAttention) -> None:
    said, groups = page.locator(".dbsa-headsaid"), groups_of(looked, 1)
    for name, group in groups.items():
        share = float(sum(looked.shares[part] for part in group.parts))
        expect(said).to_contain_text(f"{percent(share)} on {group.words}")
        assert name
    layer, head = most(looked)
    page.mouse.click(*cell(page, looked, layer, head))
    for group in groups.values():
        share = float(share_of(looked, group.parts)[layer, head])
        expect(said).to_contain_text(f"{percent(share)} on {group.words}")
    names = [name for name in looked.names if name != "query"]
    best = max(names, key=lambda name: looked.mass[layer, head, looked.names.index(name)])
    share = float(looked.mass[layer, head, looked.names.index(best)])
    expect(said).to_contain_text(
        re.compile(rf"Of what was read, {best.capitalize()} \(.*\) got most: {percent(share)}")
    )


def test_the_chosen_block_shows_what_each_of_its_rows_got(
    page: Page, recorded: ShownAnswer, looked: ShownAttention
) -> None:
    layer, head = most(looked)
    mass = {name: looked.mass[layer, head, place] for place, name in enumerate(looked.names)}
    part = max((one for one in recorded.parts if len(one.rows) > 1), key=lambda one: mass[one.key])
    key = part.key.replace(" ", "-")
    page.locator(f'.dbsa-columns [data-part="{key}"] button').click()
    entry = page.locator(f'#blocks [data-part="{key}"]')
    for row in part.rows:
        assert row.share is not None
        expect(entry.locator(f'[data-number="row {row.number}"] b')).to_have_text(percent(row.share))
    page.mouse.click(*cell(page, looked, layer, head))
    assert looked.by_row is not None
    shares = {row.number: float(looked.by_row[layer, head, row.stretch]) for row in part.rows}
    for number, share in shares.items():
        got = entry.locator(f'[data-number="row {number}"] b').inner_text()
        assert float(got.removesuffix(" %").removeprefix("< ")) == pytest.approx(100 * share, abs=0.6)
    assert sum(shares.values()) == pytest.approx(float(mass[part.key]), abs=2e-3)
    best = max(shares, key=shares.__getitem__)
    expect(page.locator(".dbsa-said > span")).to_contain_text(f"Of its rows, row {best} got most")
    expect(page.locator(".dbsa-said > span")).to_contain_text(
        f"of the attention of head {head + 1} of layer {layer + 1}"
    )


def test_the_grid_shows_another_share(page: Page, looked: ShownAttention) -> None:
    layers, heads, _ = looked.mass.shape
    darkest = page.locator('[data-level="10"]')
    for name, group in groups_of(looked, 1).items():
        page.locator("[data-share]").select_option(name)
        mass = share_of(looked, group.parts)
        layer, head = np.unravel_index(int(mass.argmax()), mass.shape)
        expect(darkest).to_have_attribute("d", re.compile(re.escape(drawn_at(looked, int(layer), int(head)))))
        drawn = page.locator("[data-level]").evaluate_all("all => all.map(one => one.getAttribute('d')).join('')")
        assert drawn.count("M") == layers * heads


def test_the_grid_shows_how_concentrated_heads_are(page: Page, looked: ShownAttention) -> None:
    layers, heads, _ = looked.mass.shape
    spread, parts = looked.spread, len(looked.names)
    page.get_by_label("Darker: more").select_option("concentration")
    shades = page.locator("[data-level]").evaluate_all("all => all.map(one => one.getAttribute('d'))")
    concentrated = 1 - np.log(spread) / np.log(parts)
    for layer, head in np.ndindex(layers, heads):
        (level,) = (level for level, shade in enumerate(shades) if drawn_at(looked, layer, head) in shade)
        assert level == pytest.approx(10 * concentrated[layer, head] / concentrated.max() + 0.5, abs=0.52)
    layer, head = map(int, np.unravel_index(int(spread.argmin()), spread.shape))
    said = page.locator(".dbsa-headsaid")
    expect(said).to_contain_text(f"head {head + 1} of layer {layer + 1} over fewest: {spread.min():.1f}.")
    page.mouse.move(*cell(page, looked, layer, head))
    expect(whose(page)).to_have_text(f"head {head + 1} of layer {layer + 1}")
    expect(said).to_contain_text(f"Spread over {spread[layer, head]:.1f} of {parts} parts.")
    page.mouse.click(*cell(page, looked, 5, 5))
    expect(said).to_contain_text(f"Spread over {spread[5, 5]:.1f} of {parts} parts.")
    page.keyboard.press("Escape")
    expect(page.get_by_label("Darker: more")).to_have_value("concentration")


def test_heads_are_chosen_by_keys_and_escape_lets_go(page: Page, looked: ShownAttention) -> None:
    grid = page.locator(".dbsa-grid")
    grid.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    expect(whose(page)).to_have_text("head 2 of layer 2")
    expect(grid).to_have_attribute("aria-valuenow", str(looked.mass.shape[1] + 2))
    expect(grid).to_have_attribute("aria-valuetext", re.compile("^Head 2 of layer 2: "))
    page.keyboard.press("End")
    layers, heads, _ = looked.mass.shape
    expect(whose(page)).to_have_text(f"head {heads} of layer {layers}")
    page.keyboard.press("Escape")
    expect(whose(page)).to_have_text(MEAN)
    expect(grid).to_have_attribute("aria-valuetext", "Mean of all heads")


def test_the_list_is_in_the_order_of_the_head_and_another_answer_begins_with_the_mean(
    page: Page, recorded: ShownAnswer, looked: ShownAttention
) -> None:
    layer, head = most(looked)
    page.mouse.click(*cell(page, looked, layer, head))
    expect(whose(page)).not_to_have_text(MEAN)
    mass = dict(zip(looked.names, looked.mass[layer, head], strict=True))
    keys = page.locator("#blocks .dbsa-entry").evaluate_all("all => all.map(one => one.dataset.part)")
    shares = [mass[key.replace("-", " ")] for key in keys]
    assert shares == pytest.approx(sorted(shares, reverse=True), abs=1e-4)
    assert len(shares) == len(recorded.parts)
    try_example(page, FILTER)
    expect(page.locator("#dbsa-answer h2")).to_be_visible(timeout=ENCODED)
    expect(whose(page)).to_have_text(MEAN, timeout=ENCODED)
