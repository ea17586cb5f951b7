"""Stories in a browser: an answer is taken away, and looked at without a server."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from app.away.page import LEFT_OUT
from tests.app.serving import GRADIO_ON_PANDAS_3, SOON
from tests.app.test_browser import FILTER, try_example
from tools.make_demo import DEMO

pytestmark = [pytest.mark.browser, *GRADIO_ON_PANDAS_3]
CHOSEN = re.compile(r"\bdbsa-chosen\b")


@pytest.fixture
def alone(browser: Browser) -> Iterator[Page]:
    """A page without any server; nothing may be asked for, and no script may fail."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(SOON)
    asked: list[str] = []
    failed: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.on("console", lambda said: failed.append(said.text) if said.type == "error" else None)
    yield page
    context.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert failed == []


def use(page: Page) -> None:
    """All that can be pointed at and pressed there."""
    entry, said = page.locator('#blocks [data-part="block-12"]'), page.locator(".dbsa-said > span")
    page.locator('.dbsa-columns [data-part="block-12"] button').click()
    expect(entry).to_have_class(CHOSEN)
    expect(entry.locator(".dbsa-demo").last).to_be_visible()
    expect(said).to_contain_text("While it was encoded it saw blocks 1, 10, 11 and itself.")
    expect(page.get_by_role("slider", name="Block of the mask, of 29")).to_have_attribute("aria-valuenow", "12")
    entry.locator(".dbsa-inside summary").click()
    entry.locator(".dbsa-tokens > span").nth(1).hover()
    expect(entry.locator(".dbsa-tokensaid")).to_contain_text(re.compile(r"oken 2 of \d+: .* It saw \d+ tokens before"))
    page.keyboard.press("Escape")
    expect(page.locator("#blocks .dbsa-chosen")).to_have_count(0)
    grid = page.locator(".dbsa-grid")
    grid.focus()
    page.keyboard.press("End")
    expect(page.locator(".dbsa-whose")).to_have_text("head 9 of layer 30")
    page.keyboard.press("Escape")
    expect(page.locator(".dbsa-whose")).to_have_text("mean of all heads")
    page.get_by_label("Sorted by").select_option("order in the pool")
    expect(page.locator("#blocks .dbsa-entry header b").nth(1)).to_have_text("Block 3")
    page.get_by_text("Times, and what this answer used").click()
    expect(page.locator(".dbsa-phases")).to_contain_text("What this answer used")


def test_the_demo_is_used_from_a_file(alone: Page) -> None:
    alone.goto(DEMO.as_uri())
    expect(alone.locator("h1")).to_have_text("The app says my robot is offline since I changed the router.")
    expect(alone.locator("#blocks mark").first).to_be_visible()
    use(alone)
    svg = alone.locator("#mask svg")
    svg.hover()
    expect(alone.locator(".dbsa-said > span")).to_contain_text(re.compile("^Block "))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_its_picture_is_saved_as_svg_and_png(alone: Page, scheme: str) -> None:
    alone.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    alone.goto(DEMO.as_uri())
    with alone.expect_download() as saved:
        alone.get_by_role("button", name="SVG").click()
    assert saved.value.suggested_filename == "wifi_connection.svg"
    written = saved.value.path().read_text(encoding="utf-8")
    assert ".dbsa-itself { fill: #214884; }" in written if scheme == "light" else "#e3edfb" in written
    for words in ("wifi_connection", "attended to", "read for this query", "Share of attention, per cent", "26"):
        assert words in written
    with alone.expect_download() as saved:
        alone.get_by_role("button", name="PNG").click()
    picture = saved.value.path().read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(picture[16:20], "big") > 2000, "twice as many pixels as units"
    drawn = alone.context.new_page()
    drawn.set_content(written)
    boxes = drawn.locator("svg > rect.dbsa-of-block").count()
    assert boxes == 8
    right, low = drawn.evaluate("(() => { const {width, height} = document.querySelector('svg').viewBox.baseVal;"
                                " return [width, height]; })()")  # fmt: skip
    beyond = drawn.locator("svg text").evaluate_all(
        "(all, [right, low]) => all.map(one => [one.textContent, one.getBoundingClientRect(),"
        " document.querySelector('svg').getBoundingClientRect()]).filter(([, own, svg]) =>"
        " own.right - svg.left > right || own.bottom - svg.top > low).map(([text]) => text)",
        [right, low],
    )
    assert beyond == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_demo_has_no_serious_or_moderate_fault_for_who_cannot_see_it(alone: Page, scheme: str) -> None:
    alone.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    alone.goto(DEMO.as_uri())
    alone.locator('.dbsa-columns [data-part="block-12"] button').click()
    alone.get_by_text("Times, and what this answer used").click()
    faults = Axe().run(alone).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in faults if one["impact"] != "minor"] == []
    alone.set_viewport_size({"width": 400, "height": 800})
    alone.reload()
    assert alone.evaluate("document.documentElement.scrollWidth") <= 400
    expect(alone.locator("#blocks")).to_be_hidden()


def test_an_answer_is_taken_away_with_texts_only_where_that_is_said(page: Page, alone: Page, tmp_path: Path) -> None:
    try_example(page, FILTER)
    page.locator("#away").get_by_role("button", name="Take it away").click()
    whole = page.locator("#away-texts")
    expect(whole).to_contain_text(re.compile(r"Make the files; includes the texts of \d+ rows"))
    rows = int(re.findall(r"\d+", whole.inner_text())[0])
    texts = [text for text in page.locator("#blocks .dbsa-demo .dbsa-text").all_text_contents() if text]
    assert len(texts) == rows

    def made(button: str) -> dict[str, Path]:
        page.locator(button).click()
        links = page.locator("#away-files a[download]")
        expect(links).to_have_count(4, timeout=SOON)
        found = {}
        for place in range(4):
            with page.expect_download() as saved:
                links.nth(place).click()
            name = saved.value.suggested_filename
            kind = name.removesuffix(Path(name).suffix).removesuffix("-replacement_parts")
            found[kind] = tmp_path / f"{button[1:]}-{name}"
            saved.value.save_as(found[kind])
        return found

    bare = made("#away-bare")
    assert set(bare) == {"page", "read", "attention", "answer"}
    assert not [text for text in texts for path in bare.values() if text != FILTER and text in path.read_text("utf-8")]
    alone.goto(bare["page"].as_uri())
    expect(alone.locator("#blocks")).to_contain_text(LEFT_OUT)
    expect(alone.locator("#blocks")).to_contain_text(re.compile(r"row \d+"))
    plain = json.loads(bare["answer"].read_text("utf-8"))
    assert plain["query"] == FILTER
    assert plain["answers"][0]["label"] == "replacement_parts"
    full = made("#away-texts")
    lines = list(csv.DictReader(io.StringIO(full["read"].read_text("utf-8-sig"))))
    assert sorted(line["text"] for line in lines) == sorted(texts)
    alone.goto(full["page"].as_uri())
    expect(alone.locator("#blocks .dbsa-text").first).not_to_have_text(LEFT_OUT)
    expect(alone.locator("#dbsa-answer .dbsa-label")).to_have_text("replacement_parts")
    with page.expect_download() as saved:
        page.locator("#away").get_by_role("button", name="SVG").click()
    assert saved.value.suggested_filename == "replacement_parts.svg"
    page.get_by_role("button", name="I forgot my password").click()
    expect(page.locator("#away-files")).to_be_hidden(timeout=SOON)
