"""Make the pictures of `docs/screenshots/`: every tab, light and dark, 1280 and 400 pixels wide.

    PYTHONPATH=. python docs/screenshots.py [--only ask]

Starts the app with the embedded model and the bundled example, and needs Chromium (`/usr/bin/chromium`, or --chromium).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tools.browser import CHROMIUM, example_browser

FOLDER = Path(__file__).resolve().parent / "screenshots"
TABS = {"ask": "Ask", "data": "Data", "encode": "Encode", "file": "Classify a file", "evaluate": "Evaluate"}
WIDTHS = {"wide": 1280, "narrow": 400}
TALLEST = 1750
"""Pixels of a page that are shown; the Ask tab's blocks go on below."""
READY = 300_000


def prepare(page: Page, tab: str) -> None:
    """Bring the tab to the state that is worth a picture."""
    expect(page.locator("#header")).to_contain_text("encoded, ready", timeout=READY)
    button = page.get_by_role("tab", name=TABS[tab], exact=True)
    if button.is_visible():
        button.click()
    else:  # a narrow page keeps it in a menu
        page.locator("#tabs .overflow-menu > button").click()
        page.locator("#tabs .overflow-dropdown button", has_text=TABS[tab]).click()
    if tab == "encode":
        expect(page.locator("#plan-mask .dbsa-cells .dbsa-itself")).to_be_visible(timeout=READY)
    if tab == "ask":
        expect(page.locator("#notice")).to_contain_text("Recorded example", timeout=READY)
        expect(page.locator("#comparison")).to_contain_text("times as fast", timeout=READY)
        bar = page.locator('.dbsa-columns [data-part="block-12"] button')
        if bar.is_visible():  # a narrow page has it folded
            bar.click()
            expect(page.locator("#blocks .dbsa-chosen")).to_be_visible()
            page.evaluate("scrollTo(0, 0)")
    if tab == "data":
        page.locator("#data-labels .dbsa-of").nth(3).click()
        expect(page.locator("#explored")).to_contain_text("labelled")
    if tab == "evaluate":
        for held_out in ("40", "30"):
            evaluate(page, held_out)
    page.mouse.move(0, 0)
    page.evaluate("document.fonts.ready")
    page.wait_for_timeout(500)


def evaluate(page: Page, held_out: str) -> None:
    """Ask about so many rows of the data."""
    box = page.locator("#hold-out input")
    box.fill(held_out)
    box.press("Tab")
    methods = page.locator("#evaluated-methods")
    expect(methods.locator("input").first).to_be_visible(timeout=READY)
    for name, chosen in (("DBSA + similar rows", False), ("Similar rows alone", held_out == "30"), ("Zero-shot", True)):
        methods.get_by_role("checkbox", name=name, exact=True).set_checked(chosen)
    expect(page.locator("#evaluation-said")).to_contain_text(f"{held_out} rows held out", timeout=READY)
    page.locator("#evaluate").click()
    expect(page.locator("#evaluation-progress")).to_contain_text(f"Done: {held_out} rows asked", timeout=READY)


def shoot(browser: Browser, url: str, tab: str, scheme: str, width: str) -> Path:
    context = browser.new_context(viewport={"width": WIDTHS[width], "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.goto(f"{url}?__theme={scheme}")
    prepare(page, tab)
    tall = min(TALLEST, page.evaluate("document.documentElement.scrollHeight"))
    path = FOLDER / f"{tab}-{scheme}-{width}.png"
    page.screenshot(
        path=path, full_page=True, clip={"x": 0, "y": 0, "width": WIDTHS[width], "height": tall}, animations="disabled"
    )
    context.close()
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=TABS, action="append", help="a tab; may be given several times")
    parser.add_argument("--chromium", type=Path, default=CHROMIUM)
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    with example_browser(options.chromium) as (browser, url):
        for tab in options.only or TABS:
            for scheme in ("light", "dark"):
                for width in WIDTHS:
                    print(shoot(browser, url, tab, scheme, width).relative_to(FOLDER.parent.parent), flush=True)


if __name__ == "__main__":
    main()
