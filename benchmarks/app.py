"""How long does a visitor wait? The app in Chromium beside an empty page of Gradio, in turn, in one run.

    python benchmarks/app.py [--data FILE] [--out FILE] [--chromium PATH]

Starts the app as a user does, with the embedded model and the example's pool that an earlier start saved. Writes
`benchmarks/results/app.json` with rows of `{name, value, n, iqr, unit, target}`, as `benchmarks/cpu.py` does.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.launch import free_port  # noqa: E402  # the script runs without an installation
from app.server.example import QUERIES  # noqa: E402
from benchmarks.cpu import Sample, machine, row  # noqa: E402
from benchmarks.many_blocks import many_blocks  # noqa: E402
from tools.browser import CHROMIUM, launched  # noqa: E402

TURNS = 3
CLICKS = 3
PATIENCE = 300_000
"""Milliseconds."""
EMPTY = """
import sys
import gradio
with gradio.Blocks(analytics_enabled=False) as demo:
    gradio.HTML("<p id='dbsa-answer'>Nothing</p>")
    gradio.Textbox()
demo.launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True)
"""
LOAD = "import dbsa_core; dbsa_core.LanguageModel.load()"


@contextmanager
def started(*command: str) -> Iterator[tuple[str, float]]:
    """The address of a server that was just started with a free port as its last argument, and when that was."""
    port = free_port()
    begun = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, *command, str(port)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}", begun
    finally:
        server.terminate()
        server.wait(30)


def opened(browser: Browser, url: str) -> Page:
    """The page, as soon as there is one, with its answer in sight; of a visitor who was never here."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    port = int(url.rsplit(":", 1)[1])
    while True:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.02)
    page.goto(url, wait_until="commit")
    page.wait_for_selector("#dbsa-answer")
    return page


def own_seconds(page: Page) -> float:
    """What the prediction on the page took by itself, as its Details say; they stay open."""
    open_details(page)
    total = page.locator("#latency tr.dbsa-total td").first
    expect(total).to_have_text(re.compile(r"^\d+\.\d+ s$"))
    return float(total.inner_text().removesuffix(" s"))


def open_details(page: Page) -> None:
    """And wait until their figures are drawn."""
    if not page.locator("#latency").is_visible():
        turn_details(page)
    expect(page.locator("#whole-mask .dbsa-cells .dbsa-itself")).to_be_visible()


def turn_details(page: Page) -> None:
    page.locator("#details").get_by_role("button", name="Details").click()


def wait_for_comparison(page: Page) -> None:
    expect(page.locator("#comparison .dbsa-say")).to_contain_text("against")


def start_turn(browser: Browser) -> dict[str, float]:
    """One start of each: an empty page, the app, and a model loaded by itself."""
    found: dict[str, float] = {}
    with started("-c", EMPTY) as (url, begun):
        opened(browser, url)
        found["empty"] = time.perf_counter() - begun
    with started("app.py", "--port") as (url, begun):
        page = opened(browser, url)
        found["page"] = time.perf_counter() - begun
        found["bytes"] = page.evaluate(
            "performance.getEntriesByType('resource').reduce((sum, one) => sum + one.transferSize, 0)"
        )
        page.get_by_role("button", name=QUERIES[1]).click()
        expect(page.locator("#notice")).to_be_hidden()
        expect(page.locator("#dbsa-answer h2")).to_have_text("DBSA + similar rows")
        found["answer"] = time.perf_counter() - begun
        wait_for_comparison(page)
        found["query"] = own_seconds(page)
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", LOAD], cwd=ROOT, check=True, capture_output=True)
    found["load"] = time.perf_counter() - begun
    return found


WATCH = """
text => new Promise(done => {
  const answer = document.querySelector('#answer'), begun = performance.now();
  const shown = () => answer.querySelector('#comparison')?.innerText;
  const before = shown();
  new MutationObserver((_, watcher) => {
    if (!shown() || shown() === before) return;
    watcher.disconnect();
    requestAnimationFrame(() => done(performance.now() - begun));
  }).observe(answer, {childList: true, subtree: true, characterData: true});
  [...document.querySelectorAll('.dbsa-chips button')].find(one => one.innerText.trim() === text).click();
})
"""
"""Clicks an example; milliseconds until the comparison before it gave way to the new answer's."""


def click_seconds(page: Page, *, details: bool) -> list[float]:
    """From a click on an example to its answer on the screen, less what the prediction itself took."""
    found = []
    for number in range(CLICKS):
        taken = page.evaluate(WATCH, QUERIES[1 + number % 3]) / 1000
        wait_for_comparison(page)
        found.append(taken - own_seconds(page))
        if not details:
            turn_details(page)
            expect(page.locator("#latency")).to_be_hidden()
    return found


def drop_seconds(browser: Browser, url: str, file: Path) -> float:
    """From the drop of a file to the answer of a first question, with one press between, less the prediction's own."""
    page = opened(browser, url)
    page.get_by_role("tab", name="Data", exact=True).click()
    begun = time.perf_counter()
    page.locator("#data-file input[type=file]").set_input_files(file)
    expect(page.locator("#use-data")).to_contain_text("now")
    page.locator("#use-data").click()
    query = page.locator("#query textarea")
    query.fill("Who wrote Hamlet ?")
    query.press("Enter")
    expect(page.locator("#dbsa-answer h2")).to_have_text("Similar rows alone")
    taken = time.perf_counter() - begun
    return taken - own_seconds(page)


def rows_of(
    turns: Sequence[dict[str, float]],
    clicks: Sequence[float],
    clicks_unfolded: Sequence[float],
    drops: Sequence[float],
) -> list[dict[str, Any]]:
    def of(name: str) -> list[float]:
        return [turn[name] for turn in turns]

    due = [turn["load"] + 1.5 * turn["query"] for turn in turns]
    return [
        row("an empty page of Gradio, from its start", Sample.of(of("empty")), "s"),
        row("the page with a recorded answer, from its start", Sample.of(of("page")), "s"),
        row("page / empty page", Sample.of(of("page"), of("empty")), "ratio", 1.5),
        row("a model loaded by itself", Sample.of(of("load")), "s"),
        row("an example's own answer, from the start", Sample.of(of("answer")), "s"),
        row("that answer / (model + 1.5 of that query)", Sample.of(of("answer"), due), "ratio", 1.0),
        row("drop of a file to a first answer, less the prediction", Sample.of(drops), "s", 3.0),
        row("click to answer on the screen, less the prediction", Sample.of(clicks), "s", 0.3),
        row("the same with Details open, all figures drawn", Sample.of(clicks_unfolded), "s", 0.3),
        row("page weight", Sample.of([size / 1e6 for size in of("bytes")]), "MB", 0.5),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "trec" / "train.csv")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "app.json")
    parser.add_argument("--chromium", type=Path, default=CHROMIUM)
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = launched(playwright, options.chromium)
        start_turn(browser)  # saves the example's pool, and warms the disk up
        turns = [start_turn(browser) for _ in range(TURNS)]
        clicks: list[float] = []
        unfolded: list[float] = []
        drops: list[float] = []
        for _ in range(TURNS):  # a server each, which encodes nothing for the visitor before
            with started("app.py", "--port") as (url, _):
                page = opened(browser, url)
                page.get_by_role("button", name=QUERIES[2]).click()
                expect(page.locator("#notice")).to_be_hidden()
                wait_for_comparison(page)
                clicks += click_seconds(page, details=False)
                open_details(page)
                unfolded += click_seconds(page, details=True)
                drops.append(drop_seconds(browser, url, options.data))
        blocks = many_blocks(browser)
        browser.close()
    rows = rows_of(turns, clicks, unfolded, drops) + blocks
    config = {"model": "SmolLM2-135M-Instruct", "data": "TREC", "turns": TURNS, "clicks": CLICKS}
    options.out.write_text(json.dumps({**machine(), "config": config, "rows": rows}, indent=1) + "\n", "utf-8")
    print(f"written: {options.out.name}")


if __name__ == "__main__":
    main()
