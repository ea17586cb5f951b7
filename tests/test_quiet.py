"""Warnings that libraries address to programmers: none reaches a user's terminal, and who asks for them gets them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOISY = """
import logging, runpy, sys, warnings
from transformers.utils import logging as transformers_logging

def noise(*arguments, **options):
    for category in (FutureWarning, DeprecationWarning, UserWarning):
        warnings.warn("noise of a library", category)
    transformers_logging.get_logger("transformers.models.llama").warning("noise of transformers")
    logging.getLogger("huggingface_hub.file_download").warning("noise of the hub")
    logging.getLogger("dbsa_core.model.loading").warning("a word of ours")
    raise SystemExit(7)
"""
COMMAND_LINE = """
from dbsa_core.model.language_model import LanguageModel
LanguageModel.load = noise
sys.argv = ["dbsa_core", "classify", "--query", "x"]
runpy.run_module("dbsa_core", run_name="__main__")
"""
APP = """
from app.server.example import Example
from dbsa_core.model.language_model import LanguageModel
LanguageModel.load = noise
Example.start = lambda self, after: self._workspace.model("embedded")
sys.argv = ["app.py"]
runpy.run_path("app.py", run_name="__main__")
"""


def stderr_of(script: str, *flags: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONWARNINGS", "HF_HUB_VERBOSITY")}
    done = subprocess.run(
        [sys.executable, *flags, "-c", NOISY + script],
        cwd=ROOT,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    return done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("script", [COMMAND_LINE, APP], ids=["command line", "app"])
def test_no_warning_of_a_library_reaches_the_terminal(script: str) -> None:
    shown = stderr_of(script)
    assert "noise" not in shown
    assert "a word of ours" in shown


@pytest.mark.slow
def test_who_asks_for_warnings_gets_them() -> None:
    shown = stderr_of(COMMAND_LINE, "-W", "default", TRANSFORMERS_VERBOSITY="info", HF_HUB_VERBOSITY="info")
    for words in ("noise of a library", "noise of transformers", "noise of the hub"):
        assert words in shown, words
