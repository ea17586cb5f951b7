"""The wheel: what is in it, and that its `dbsa` works where there is no checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = (
    *("app", "assets", "dbsa_core", "LICENSE", "README.md", "pyproject.toml"),
    *("requirements.txt", "requirements-quantised.txt", "requirements-dense.txt"),
)


def test_the_packages_named_are_the_packages_there_are() -> None:
    described = re.search(r"^packages = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M | re.S)
    assert described is not None
    named = set(re.findall(r'"([\w.]+)"', described[1])) - {"dbsa_core.assets.example"}
    folders = [file.parent for name in ("app", "dbsa_core") for file in (ROOT / name).rglob("__init__.py")]
    assert named == {".".join(folder.relative_to(ROOT).parts) for folder in folders}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the built wheel's packages, and its programs under `bin/`."""
    tree, target = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("installed")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tree / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    wheels = tree / "wheels"
    for command in (
        [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, tree],
        [*pip, "install", "-q", "--no-deps", "--no-index", "--find-links", wheels, "--target", target, "dbsa"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return target


def started(installed: Path, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, installed / "bin" / "dbsa", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["encode", "--pool-tokens", "600"], r"rows in \d+ blocks"),
        (["classify", "--pool-tokens", "600", "--query", "I forgot my password."], "reset_password"),
        (["evaluate", "--pool-tokens", "600", "--limit", "4", "--method", "dbsa,zero_shot"], "zero_shot"),
        (["--help"], "usage: dbsa .*Further commands: app"),
        (["app", "--help"], "usage: dbsa app"),
    ],
    ids=["encode", "classify", "evaluate", "help", "app-help"],
)
def test_the_installed_command_works_on_the_bundled_example(
    installed: Path, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    program = started(installed, *arguments, cwd=tmp_path)
    out, err = program.communicate(timeout=300)
    assert program.returncode == 0, err
    assert re.search(expected, out, re.DOTALL), out + err


@pytest.mark.slow
def test_the_installed_app_serves_its_page_and_encodes_the_example(installed: Path, tmp_path: Path) -> None:
    from gradio_client import Client

    with started(installed, "app", cwd=tmp_path) as program:
        try:
            assert program.stdout is not None
            line = next(line for line in program.stdout if "http://" in line)
            url = line.split()[-1]
            with urllib.request.urlopen(url, timeout=60) as page:
                assert "Dynamic Block-Sparse Attention" in page.read().decode()
            client = Client(url, verbose=False)
            until = time.monotonic() + 300
            while not client.predict(api_name="/status")["blocks_to_read"]:
                assert time.monotonic() < until
                assert program.poll() is None
                time.sleep(0.5)
            answer = client.predict("I forgot my password.", api_name="/classify")
            client.close()
            assert answer["label"] == "reset_password"
        finally:
            program.terminate()
            program.communicate(timeout=60)


@pytest.mark.slow
def test_the_recorded_answer_is_installed(installed: Path) -> None:
    assert (installed / "dbsa_core" / "assets" / "example" / "answer.json").is_file()
