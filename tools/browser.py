"""The app over the bundled example, and a browser to look at it with: for the scripts that make pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from app.launch import build, served
from app.server.example import Example
from app.server.workspace import Workspace

CHROMIUM = Path("/usr/bin/chromium")


@contextmanager
def example_browser(chromium: Path = CHROMIUM) -> Iterator[tuple[Browser, str]]:
    """A browser, and the address of the app: the embedded model encodes the example meanwhile."""
    workspace = Workspace()
    workspace.example = Example(workspace)
    workspace.example.start()
    with served(workspace, build(workspace)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser, url
        browser.close()
