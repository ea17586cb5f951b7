"""Stories in a browser, with the embedded model: upload, encode, ask, reload, Stop, bad input, and nothing leaves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import openpyxl
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from app.server.example import Example
from app.server.workspace import Workspace
from tests.app.serving import GRADIO_ON_PANDAS_3, served

pytestmark = [pytest.mark.browser, *GRADIO_ON_PANDAS_3]
SOON = 20_000
ENCODED = 240_000
"""Milliseconds; a busy machine encodes 50 tokens a second."""
INJECTED = "<img src=x onerror=\"document.title='pwned'\">"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    workspace = Workspace()
    workspace.example = Example(workspace)
    workspace.example.start()
    with served(workspace) as url:
        yield url


@pytest.fixture(scope="module")
def browser(chromium_path: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """A page of a browser of its own; at its end nothing may have left the computer, and no script may have failed."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(SOON)
    asked: list[str] = []
    failed: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(url)
    expect(page.locator("#header")).to_contain_text("Encoded pool", timeout=SOON)
    yield page
    context.close()
    outside = {url for url in asked if urlparse(url).hostname not in ("127.0.0.1", None)}
    assert outside == set()
    assert failed == []


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def upload(page: Page, field: str, path: Path) -> None:
    page.locator(f"{field} input[type=file]").set_input_files(path)


def choose(page: Page, dropdown: str, option: str) -> None:
    page.locator(f"{dropdown} input").click()
    page.get_by_role("option", name=option, exact=True).click()


def use_trec(page: Page, shared_data: Path, tokens: int) -> None:
    """TREC as the data, and a budget of so many tokens."""
    upload(page, "#data-file", shared_data / "trec" / "train.csv")
    expect(page.locator("#data-summary")).to_contain_text("ENTY", timeout=SOON)
    open_tab(page, "Encode")
    expect(page.locator("#plan")).to_contain_text("rows will be encoded", timeout=ENCODED)
    number = page.locator("#pool-tokens input[type=number]")
    number.fill(str(tokens))
    number.press("Tab")
    expect(page.locator("#plan")).to_contain_text("your budget", timeout=ENCODED)


def test_the_example_answers_at_once(page: Page) -> None:
    open_tab(page, "Ask")
    page.locator("#query textarea").fill("The app says my robot is offline since I changed the router.")
    page.locator("#query textarea").press("Enter")
    card = page.locator("#dbsa-answer")
    expect(card).to_contain_text("candidate labels", timeout=ENCODED)
    expect(page.locator("#blocks .dbsa-block").first).to_contain_text("Shared first block")
    expect(page.locator("#blocks mark").first).to_be_visible()
    expect(page.locator("#mask .js-plotly-plot .heatmaplayer image")).to_be_visible(timeout=SOON)
    expect(page.locator("#attention .js-plotly-plot .bars path").first).to_be_visible(timeout=SOON)
    page.locator("#layer input").click()
    page.get_by_role("option", name="Layer 3", exact=True).click()
    expect(page.locator("#attention")).to_contain_text("Layer 3 of 30", timeout=SOON)
    page.reload()
    open_tab(page, "Ask")
    expect(page.locator("#query textarea")).to_have_value(re.compile("offline"))
    expect(card).to_contain_text("candidate labels", timeout=SOON)


def test_the_comparison_comes_by_itself_or_when_asked_for(page: Page) -> None:
    open_tab(page, "Ask")
    page.get_by_role("button", name="I forgot my password and the reset link never arrives.").click()
    expect(page.locator("#dbsa-answer")).to_contain_text("candidate labels", timeout=ENCODED)
    expect(page.locator("#comparison")).to_contain_text("Retrieval ICL", timeout=SOON)
    button = page.locator("#compare")
    if button.is_visible():
        expect(button).to_contain_text("Run comparison (about")
        button.click()
    expect(page.locator("#comparison")).to_contain_text("candidate labels", timeout=ENCODED)
    expect(page.locator("#latency th")).to_contain_text(["Phase", "DBSA + similar examples", "Retrieval ICL"])


def test_upload_encode_reload_and_ask(page: Page, shared_data: Path) -> None:
    use_trec(page, shared_data, 1500)
    expect(page.locator("#header dd").nth(2)).to_have_text("None")
    page.locator("#encode").click()
    progress = page.locator("#encode-progress")
    expect(progress).to_contain_text("Encoding: block", timeout=ENCODED)
    expect(page.locator("#encode")).to_be_disabled()
    page.reload()
    open_tab(page, "Encode")
    expect(page.locator("#header")).to_contain_text("train.csv")
    expect(progress).to_contain_text("Ready", timeout=ENCODED)
    expect(page.locator("#header")).to_contain_text("Ready", timeout=SOON)
    open_tab(page, "Ask")
    page.locator("#query textarea").fill("Who wrote Hamlet ?")
    page.locator("#classify").click()
    expect(page.locator("#dbsa-answer .dbsa-label")).to_have_text(
        re.compile("ABBR|DESC|ENTY|HUM|LOC|NUM"), timeout=SOON
    )
    expect(page.locator("#reads")).to_contain_text("train.csv")


def test_stop_keeps_the_blocks_that_are_done(page: Page, shared_data: Path) -> None:
    use_trec(page, shared_data, 4000)
    page.locator("#encode").click()
    expect(page.locator("#encode-progress")).to_contain_text("Encoding: block", timeout=ENCODED)
    page.locator("#stop-encode").click()
    expect(page.locator("#encode-progress")).to_contain_text("Stopped after block", timeout=ENCODED)
    expect(page.locator("#encode")).to_be_enabled()
    open_tab(page, "Ask")
    expect(page.locator("#reads")).to_contain_text(re.compile(r"\d+ of \d+ blocks of train.csv"))


def test_a_bad_file_shows_our_message_and_loses_nothing(page: Page, tmp_path: Path) -> None:
    bad = tmp_path / "picture.csv"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2000))
    upload(page, "#data-file", bad)
    strip = page.locator("#messages")
    expect(strip).to_contain_text("picture.csv", timeout=SOON)
    expect(strip).to_contain_text("Accepted are CSV")
    expect(page.locator("#header")).to_contain_text("Support desk")
    strip.get_by_role("button", name="Dismiss").click()
    expect(strip).to_be_hidden()


def test_bad_settings_and_queries_show_our_message(page: Page) -> None:
    open_tab(page, "Encode")
    expect(page.locator("#plan")).to_contain_text("rows will be encoded", timeout=ENCODED)
    page.locator("#block-size input").fill("0")
    page.locator("#block-size input").press("Tab")
    strip = page.locator("#messages")
    expect(strip).to_contain_text("Block size (examples per block) is 0", timeout=SOON)
    page.locator("#block-size input").fill("10")
    expect(strip).to_be_hidden(timeout=SOON)
    expect(page.locator("#plan")).to_contain_text("10 demonstrations", timeout=SOON)
    expect(page.locator("#encode-progress")).to_contain_text("the block size (5 to 10)", timeout=ENCODED)
    open_tab(page, "Ask")
    page.locator("#query textarea").fill("   ")
    page.locator("#classify").click()
    expect(strip).to_contain_text("The query is empty", timeout=ENCODED)


def test_what_users_write_stays_text(page: Page, tmp_path: Path) -> None:
    rows = "".join(f"{INJECTED} number {i},{label}\n" for i in range(9) for label in ("<b>bold</b>", "plain"))
    file = tmp_path / "x<img src=x onerror=alert(1)>.csv"
    file.write_text(f"{INJECTED.replace(',', '')},label\n{rows}", encoding="utf-8")
    upload(page, "#data-file", file)
    expect(page.locator("#data-preview")).to_contain_text("<img src=x onerror", timeout=SOON)
    expect(page.locator("#data-summary")).to_contain_text("<b>bold</b>")
    open_tab(page, "Encode")
    expect(page.locator("#plan")).to_contain_text("rows will be encoded", timeout=ENCODED)
    page.locator("#encode").click()
    expect(page.locator("#header")).to_contain_text("Ready", timeout=ENCODED)
    open_tab(page, "Ask")
    page.locator("#query textarea").fill(f"{INJECTED} router")
    page.locator("#classify").click()
    expect(page.locator("#dbsa-answer")).to_contain_text("candidate labels", timeout=ENCODED)
    assert page.locator("img[src=x]").count() == 0
    assert page.title() != "pwned"


def test_a_workbook_without_names_is_read_as_the_user_says(page: Page, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["day", "notes"])
    book.active.append(["1", "nothing"])
    rows = book.create_sheet("rows")
    for i in range(9):
        rows.append([f"my lamp is broken {i}", "1"])
        rows.append([f"where is my parcel {i}", "2"])
    book.save(tmp_path / "a.xlsx")
    upload(page, "#data-file", tmp_path / "a.xlsx")
    expect(page.locator("#messages")).to_be_visible(timeout=SOON)
    page.locator("#data-reading button").first.click()
    choose(page, "#data-sheet", "rows")
    choose(page, "#data-first-line", "A row like the others")
    expect(page.locator("#data-summary")).to_contain_text("18 rows", timeout=SOON)
    expect(page.locator("#text-column input")).to_have_value(re.compile("column 1"))
    expect(page.locator("#data-problems")).to_contain_text("are codes")
    page.locator("#label-names-panel button").first.click()
    page.locator("#label-names [role=gridcell]:visible").nth(1).dblclick()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("damaged")
    page.keyboard.press("Enter")
    page.locator("#use-label-names").click()
    expect(page.locator("#data-summary")).to_contain_text("damaged", timeout=SOON)


def test_a_file_is_classified_and_handed_back(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "queries.csv"
    file.write_text("id,text\n1,my robot is offline\n2,where is my parcel\n", encoding="utf-8")
    open_tab(page, "Classify a file")
    upload(page, "#queries-file", file)
    expect(page.locator("#file-progress")).to_contain_text("2 rows of queries.csv", timeout=SOON)
    page.locator("#classify-file").click()
    expect(page.locator("#file-progress")).to_contain_text("Done: 2 of 2 rows", timeout=ENCODED)
    expect(page.locator("#file-answers")).to_contain_text("where is my parcel")
    with page.expect_download() as download:
        page.locator("#file-result a[download]").first.click()
    lines = download.value.path().read_text(encoding="utf-8-sig").splitlines()
    assert lines[0] == "id,text,label,probability,probability_low,probability_high,margin,runner_up,may_fit_no_label"
    assert len(lines) == 3


def test_another_browser_sees_nothing_of_it(page: Page, browser: Browser, url: str, shared_data: Path) -> None:
    upload(page, "#data-file", shared_data / "trec" / "train.csv")
    expect(page.locator("#header")).to_contain_text("train.csv", timeout=SOON)
    other = browser.new_page()
    other.goto(url)
    expect(other.locator("#header")).to_contain_text("Support desk", timeout=SOON)
    other.close()
