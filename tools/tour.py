"""Follow `docs/TOUR.md` word for word in a browser, and make its pictures on the way.

    PYTHONPATH=. python tools/tour.py

What there is to press, type and read has to stand on the page, in this order: a step that it does not have, or has
otherwise, ends the walk. Needs Chromium (`/usr/bin/chromium`, or --chromium).
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tools.browser import CHROMIUM, cell_of, example_browser

ROOT = Path(__file__).resolve().parents[1]
TOUR = ROOT / "docs" / "TOUR.md"
PICTURES = TOUR.parent / "tour"
SOON = 120_000
"""Milliseconds."""
AROUND = 12
"""Pixels about what a picture shows."""
_MARKS = re.compile(
    r"!\[[^\]]*\]\(tour/(?P<picture>[\w-]+)\.png\)|\*\*(?P<press>[^*]+)\*\*|`(?P<type>[^`]+)`|\*(?P<read>[^*]+)\*"
)


def instructions(page: str) -> list[tuple[str, str]]:
    """What the numbered parts of the page say to do: (`press`, `type`, `read` or `picture`, the words), in order."""
    steps = page[page.index("\n## 1.") : page.index("\n## Now your own")]
    found = (
        next((kind, words) for kind, words in mark.groupdict().items() if words) for mark in _MARKS.finditer(steps)
    )
    return [(kind, " ".join(words.split())) for kind, words in found]


class Walk:
    """One walk through the tour; every step has to be the page's next one."""

    def __init__(self, page: Page, tour: str, pictures: Path | None = None) -> None:
        self.page = page
        self._left = instructions(tour)
        self._pictures = pictures

    @property
    def makes_pictures(self) -> bool:
        return self._pictures is not None

    def _next(self, kind: str, words: str) -> None:
        if self._left[:1] != [(kind, words)]:
            raise AssertionError(f"the walk goes on with {(kind, words)}, the page with {self._left[:1]}")
        del self._left[0]

    def press(self, words: str, what: Locator) -> None:
        """What has these words on it."""
        expect(what).to_contain_text(words, timeout=SOON)
        self._press(words, what)

    def labelled(self, words: str, within: str) -> None:
        """What has them beside it."""
        self._press(words, self.page.locator(within).get_by_label(words))

    def _press(self, words: str, what: Locator) -> None:
        self._next("press", words)
        what.click(timeout=SOON)

    def tab(self, words: str) -> None:
        self.press(words, self.page.get_by_role("tab", name=words, exact=True))

    def button(self, words: str, within: str = "body") -> None:
        self.press(words, self.page.locator(within).get_by_role("button", name=words, exact=True))

    def unfold(self, words: str, panel: str) -> None:
        self.press(words, self.page.locator(f"{panel} button", has_text=words).first)

    def choose(self, words: str, what: Locator) -> None:
        """An option of a list."""
        self._next("press", words)
        what.select_option(words)

    def tick(self, words: str, within: str) -> None:
        self._next("press", words)
        self.page.locator(within).get_by_role("checkbox", name=words, exact=True).check(timeout=SOON)

    def point(self, words: str, x: float, y: float) -> None:
        self._next("press", words)
        self.page.mouse.move(x, y)

    def type(self, words: str, what: Locator, leave: str = "") -> None:
        """Write into a box, and press a key that leaves it."""
        self._next("type", words)
        what.fill(words)
        if leave:
            what.press(leave)

    def file(self, words: str, within: str) -> None:
        self._next("type", words)
        self.page.locator(f"{within} input[type=file]").set_input_files(ROOT / words)

    def read(self, words: str, within: str) -> None:
        self._next("read", words)
        expect(self.page.locator(within).first).to_contain_text(words, timeout=SOON)

    def picture(self, name: str, *parts: str, tallest: int = 900) -> None:
        """Of what holds all these parts of the page."""
        self._next("picture", name)
        if self._pictures is None:
            return
        self.page.wait_for_timeout(500)
        boxes = [box for part in parts if (box := self.page.locator(part).first.bounding_box())]
        left, above = min(box["x"] for box in boxes) - AROUND, min(box["y"] for box in boxes) - AROUND
        wide = max(box["x"] + box["width"] for box in boxes) + AROUND - left
        tall = max(box["y"] + box["height"] for box in boxes) + AROUND - above
        self._pictures.mkdir(exist_ok=True)
        self.page.screenshot(
            path=self._pictures / f"{name}.png",
            full_page=True,
            clip={"x": left, "y": above + self.page.evaluate("scrollY"), "width": wide, "height": min(tall, tallest)},
            animations="disabled",
        )

    def ends(self) -> None:
        if self._left:
            raise AssertionError(f"the page goes on with {self._left[0]}")


def first_sight(walk: Walk) -> None:
    walk.read("Recorded example", "#notice")
    walk.read("143 encoded, ready", "#header")
    walk.button("Where can I buy a new filter?")
    walk.read("replacement_parts", "#dbsa-answer .dbsa-label")
    expect(walk.page.locator("#comparison .dbsa-say")).to_contain_text("against", timeout=SOON)
    walk.read("9 of 29 blocks", "#mask")
    walk.picture("answer", "#header", "#mask")


def what_was_read(walk: Walk) -> None:
    page = walk.page
    walk.press("22", page.locator('.dbsa-columns [data-part="block-22"] button'))
    walk.read("While it was encoded it saw blocks 1, 20, 21 and itself.", ".dbsa-said")
    expect(page.locator('#blocks [data-part="block-22"] .dbsa-demo').last).to_be_visible()
    walk.picture("linked", ".dbsa-said", "#blocks", "#attention")
    inside = page.locator('#blocks [data-part="block-22"] .dbsa-inside')
    walk.press("Token by token", inside.locator("summary"))
    walk.read("blocks 20 and 21", "#blocks .dbsa-open .dbsa-windowkeys")
    walk.read("Of its 152 tokens", "#blocks .dbsa-open .dbsa-inside")
    walk.picture("tokens", "#blocks .dbsa-open .dbsa-inside")
    walk.button("Let go", ".dbsa-said")
    share = page.locator("#attention").get_by_label("Darker: more")
    walk.labelled("Darker: more", "#attention")
    page.keyboard.press("Escape")
    walk.choose("share on the first block", share)
    walk.picture("heads", "#attention .dbsa-panel:has(.dbsa-grid)")


def the_mask(walk: Walk) -> None:
    walk.unfold("Details", "#details")
    walk.read("110 of 435 block pairs, 25.3 %", "#whole-mask")
    svg = walk.page.locator("#whole-mask .dbsa-cells svg")
    svg.scroll_into_view_if_needed()
    expect(svg.locator(".dbsa-itself")).to_be_attached(timeout=SOON)
    walk.point("24, 9", *cell_of(svg, 24, 9, 29))
    walk.read("Block 24 does not see block 9.", "#whole-mask .dbsa-cellsaid")
    walk.picture("mask", "#whole-mask")


def teaching(walk: Walk) -> None:
    page, box = walk.page, walk.page.locator("#query textarea")
    walk.button("What is the capital of France?")
    walk.read("May fit no label", "#dbsa-answer")
    walk.press("Wrong? Choose the right label", page.get_by_text("Wrong? Choose the right label"))
    walk.type("small_talk", page.locator("#right-label"))
    walk.button("Teach", "#dbsa-answer")
    walk.read("small_talk", "#dbsa-answer .dbsa-label")
    walk.read("As you taught", "#dbsa-answer")
    walk.type("What is the capital of Italy?", box)
    walk.button("Classify", "#ask-row")
    expect(page.locator("#dbsa-answer")).not_to_contain_text("As you taught", timeout=SOON)
    walk.read("small_talk", "#dbsa-answer .dbsa-label")
    expect(page.locator("#comparison .dbsa-say")).to_contain_text("against", timeout=SOON)
    walk.picture("taught", "#ask-row", "#mask")
    walk.unfold("Take it away", "#away")
    walk.read("includes the texts of", "#away-texts")


def the_data(walk: Walk) -> None:
    walk.tab("Data")
    walk.press("wifi_connection", walk.page.locator("#data-labels .dbsa-of", has_text="wifi_connection"))
    walk.read("50 of 600 rows in use", "#data-rows")
    walk.type("router", walk.page.locator("#search-rows textarea, #search-rows input"))
    walk.read("labelled wifi_connection, with “router”", "#data-rows")
    walk.picture("data", "#search-rows", "#data-labels", "#data-rows")


def another_pattern(walk: Walk) -> None:
    walk.tab("Encode")
    card = walk.page.locator("#patterns button").nth(2)
    walk.press("First block, itself", card)
    walk.read("10.3 % of full attention", "#patterns [aria-pressed=true]")
    walk.button("Encode")
    walk.read("Ready: 29 blocks encoded.", "#encode-progress")
    walk.picture("encode", "#patterns", "#plan-mask", tallest=1300)
    walk.press("First block, the ones before, itself", walk.page.locator("#patterns button").nth(1))
    walk.button("Encode")
    walk.read("110 of 435 block pairs", "#plan")
    expect(walk.page.locator("#encode-progress")).to_contain_text("Ready: 29 blocks encoded.", timeout=SOON)


def tuning(walk: Walk) -> None:
    walk.labelled("Best for this file (tuned)", "#method")
    walk.read("Tuning for this file", "#tuned-said")
    asked = re.compile(r"[4-9]\d of 480" if walk.makes_pictures else r"[1-9]\d* of 480")
    expect(walk.page.locator("#tuned-said")).to_contain_text(asked, timeout=SOON)
    walk.press("Stop", walk.page.locator("#stop-tuning"))
    walk.read("rows of the file", "#tuned-said")
    expect(walk.page.locator("#tuned-said")).to_contain_text("it was stopped", timeout=SOON)
    walk.picture("tuned", "#method", "#tuned-said", "#ratio")


def a_file(walk: Walk) -> None:
    walk.tab("Classify a file")
    walk.file("assets/example/test.csv", "#queries-file")
    walk.button("Classify all rows")
    walk.read("Accuracy", "#file-summary")
    if walk.makes_pictures:
        expect(walk.page.locator("#file-progress")).to_contain_text("Row 12 of 120", timeout=SOON)
    look = walk.page.locator("#file-answers").get_by_role("button", name=re.compile("^Need a look [1-9]"))
    walk.press("Need a look", look)
    walk.press("Stop", walk.page.locator("#stop-file"))
    walk.read("The others stand in the file too, with the reason.", "#file-progress")
    walk.picture("file", "#queries-file", "#file-answers", tallest=1150)


def which_is_best(walk: Walk) -> None:
    walk.tab("Evaluate")
    walk.type("8", walk.page.locator("#hold-out input"), leave="Tab")
    walk.tick("Retrieval ICL", "#evaluated-methods")
    expect(walk.page.locator("#evaluation-said")).to_contain_text("8 rows held out", timeout=SOON)
    walk.press("Evaluate", walk.page.locator("#evaluate"))
    walk.read("Done: 8 rows asked.", "#evaluation-progress")
    walk.picture("evaluate", "#evaluated-methods", "#evaluation-matrices", tallest=1300)


PARTS = (first_sight, what_was_read, the_mask, teaching, the_data, another_pattern, tuning, a_file, which_is_best)


def follow(page: Page, pictures: Path | None = None) -> None:
    """Walk from the page as it opens to the last instruction; `AssertionError` where the page leads elsewhere."""
    walk = Walk(page, TOUR.read_text(encoding="utf-8"), pictures)
    for part in PARTS:
        begun = time.monotonic()
        part(walk)
        if pictures:
            print(f"{part.__name__}: {time.monotonic() - begun:.0f} s", flush=True)
    walk.ends()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chromium", type=Path, default=CHROMIUM)
    with example_browser(parser.parse_args().chromium) as (browser, url):
        page = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
        page.goto(f"{url}?__theme=light")
        follow(page, PICTURES)


if __name__ == "__main__":
    main()
