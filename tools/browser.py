"""The app over the bundled example, and a browser to look at it with: for the scripts that make pictures, and tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Playwright, sync_playwright

from app.launch import build, served
from app.server.example import Example
from app.server.workspace import Workspace

CHROMIUM = Path("/usr/bin/chromium")


_CELL = """(svg, [row, column, blocks]) => {
  const [left, , width] = svg.getAttribute('viewBox').split(' ').map(Number), size = width + left - 22;
  const [x, y] = [column, row].map(place => (place - 0.5) * size / blocks);
  const at = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
  return [at.x, at.y];
}"""


def launched(playwright: Playwright, chromium: Path) -> Browser:
    """One that asks for nothing by itself."""
    return playwright.chromium.launch(
        executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
    )


def cell_of(svg: Locator, row: float, column: float, blocks: int) -> tuple[float, float]:
    """Where a cell of the whole mask of so many blocks is on the screen."""
    x, y = svg.evaluate(_CELL, [row, column, blocks])
    return x, y


@contextmanager
def example_browser(chromium: Path = CHROMIUM) -> Iterator[tuple[Browser, str]]:
    """A browser, and the address of the app: the embedded model encodes the example meanwhile."""
    workspace = Workspace()
    workspace.example = Example(workspace)
    workspace.example.start()
    with served(workspace, build(workspace)) as url, sync_playwright() as playwright:
        browser = launched(playwright, chromium)
        yield browser, url
        browser.close()
