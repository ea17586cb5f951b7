"""What all tests share. The environment is set before anything imports a library that reads it.

`DBSA_CACHE` is left as it is: converting the embedded model takes a while, and the result is shared between runs.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
from pathlib import Path

import pytest

from dbsa_core.retrieve import DEFAULT_EMBEDDER
from tests.letters import Letters
from tools.try_versions import LOCK, requirements

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # each process has a core

MOST_PROCESSES = 4
"""Of the fast tests: each imports what the app needs, half a gigabyte."""

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM_PATHS = (
    "/usr/bin/chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Several processes for all fast tests together, and for all slow ones; one for tests that are named, and for
    browsers, whose stories wait for answers that take a core each."""
    named = config.args_source is pytest.Config.ArgsSource.ARGS or config.option.keyword
    alone = "not browser and not gpu" not in config.option.markexpr
    return 0 if named or alone else min(MOST_PROCESSES, os.cpu_count() or 1)


def find_chromium() -> Path | None:
    for path in map(Path, CHROMIUM_PATHS):
        if os.access(path, os.X_OK):
            return path
    for name in CHROMIUM_NAMES:
        if found := shutil.which(name):
            return Path(found)
    return None


def require_chromium() -> Path:
    """The path of Chromium. Without one the test is skipped, or fails where DBSA_REQUIRE_BROWSER=1 asks for it."""
    path = find_chromium()
    if path is not None:
        return path
    if os.environ.get("DBSA_REQUIRE_BROWSER") == "1":
        pytest.fail("No Chromium or Google Chrome was found, and DBSA_REQUIRE_BROWSER=1 is set.", pytrace=False)
    pytest.skip("No Chromium or Google Chrome was found: the browser tests are skipped. Install one to run them.")


@pytest.fixture(autouse=True)
def nothing_is_compiled_in_the_background(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a second encoding on a GPU: beside the next test, whose filter of warnings is made meanwhile."""
    if request.node.get_closest_marker("gpu") and not request.node.get_closest_marker("compiles"):
        monkeypatch.setattr("dbsa_core.stage1.layers.Layers.encoded", lambda layers: None)


@pytest.fixture(autouse=True)
def letters(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Letters:
    """Rows have vectors that no model makes; what makes them is tested by itself."""
    encoder = Letters()

    def load(source: str, device: str | None) -> Letters:
        return encoder if source == DEFAULT_EMBEDDER else Letters(source)

    if not any(request.node.get_closest_marker(name) for name in ("real_encoder", "browser")):
        monkeypatch.setattr("dbsa_core.retrieve.embeddings.load_embedder", load)
    return encoder


def unlike_the_lock() -> list[str]:
    """Packages of this environment in other versions than those that constraints.txt says were tested."""
    found = []
    for requirement in requirements(LOCK):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed = importlib.metadata.version(requirement.name)
            if not requirement.specifier.contains(installed, prereleases=True):
                found.append(f"{requirement.name} {installed}")
    return found


def pytest_report_header() -> list[str]:
    others = ", ".join(unlike_the_lock())
    return [f"versions: {f'unlike constraints.txt: {others}' if others else 'those of constraints.txt'}", _browser()]


def _browser() -> str:
    return f"browser: {find_chromium() or 'no Chromium or Google Chrome found, so browser tests cannot run'}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") is not None:
        require_chromium()


@pytest.fixture(scope="session")
def chromium_path() -> Path:
    return require_chromium()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of full-size data sets that may lie beside the repository."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("No shared/data folder lies beside the repository.")
    return path
