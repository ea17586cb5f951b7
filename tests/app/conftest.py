"""A small pool with texts that are evil, encoded by a tiny model; and the app in a browser, with the embedded one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from app.ask.recorded import read
from app.ask.shown import ShownAnswer
from app.server.example import FILE, QUERIES, Example
from app.server.models import load_model
from app.server.workspace import Workspace
from dbsa_core import LanguageModel
from dbsa_core.data import Demonstration, Pool, build_pool
from dbsa_core.errors import ModelError
from dbsa_core.files.tables import read_table
from dbsa_core.methods import Setup
from dbsa_core.settings import EncodeSettings
from dbsa_core.task import Task
from tests.app.pages import ROWS
from tests.app.serving import NEVER_COMES, SOON, served
from tests.tiny import tiny_model
from tools.browser import launched


@pytest.fixture(scope="session")
def setup() -> Setup:
    pool = Pool.of([Demonstration(text, label, row) for row, (text, label) in enumerate(ROWS, start=101)])
    return Setup.of(Task(tiny_model(), pool), EncodeSettings(block_size=2, pool_tokens=300)).encode()


@pytest.fixture(scope="session")
def recorded() -> ShownAnswer:
    """What the page shows at first."""
    found = read(QUERIES[0], build_pool(read_table(FILE), "text", "label").fingerprint)
    assert found is not None
    return found.answer


@pytest.fixture(scope="session")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pools are saved."""
    return tmp_path_factory.mktemp("pools")


@pytest.fixture(scope="session")
def url(pools: Path) -> Iterator[str]:
    over = threading.Event()

    def load(source: str) -> LanguageModel:
        if source == NEVER_COMES:
            over.wait()
            raise ModelError("It did not come.")
        return load_model(source)

    workspace = Workspace(load=load, pools=pools)
    workspace.example = Example(workspace)
    workspace.example.start()
    with served(workspace) as url:
        yield url
    over.set()


@pytest.fixture(scope="session")
def browser(chromium_path: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launched(playwright, chromium_path)
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
    expect(page.locator("#header")).to_contain_text("Support desk, 600 rows", timeout=SOON)
    yield page
    context.close()
    outside = {url for url in asked if urlparse(url).hostname not in ("127.0.0.1", None)}
    assert outside == set()
    assert failed == []
