"""The README's example and commands work as they stand."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_names_the_two_commands_and_files_that_exist() -> None:
    assert "make app" in README
    assert "make test" in README
    for target, heading in re.findall(r"\]\((docs/[^)#]+)#?([^)]*)\)", README):
        assert (ROOT / target).is_file(), target
        headings = (
            re.findall(r"^#+ (.*)$", (ROOT / target).read_text(encoding="utf-8"), re.MULTILINE) if heading else []
        )
        assert not heading or heading in {found.lower().replace(" ", "-") for found in headings}, heading


@pytest.mark.slow
def test_the_python_example_runs_and_prints_a_label_of_the_file() -> None:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    run = subprocess.run([sys.executable, "-c", code[1]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    sentence, answer, blocks, *many, learnt = run.stdout.strip().splitlines()
    assert many == ["track_order", "wifi_connection"]
    assert re.match(r"\d+ of \d+ rows will be encoded \(about .* MB\), covering 12 of 12 labels;", sentence)
    labels = set(re.findall(r",(\w+)$", (ROOT / "assets/example/train.csv").read_text(encoding="utf-8"), re.MULTILINE))
    assert answer.split()[0] in labels
    assert re.match(r"blocks read: \(0, .*\) of \d+", blocks)
    assert learnt == "job_application"


@pytest.mark.slow
def test_the_command_line_examples_are_understood(tmp_path: Path) -> None:
    """Options only: `--help` of each subcommand lists what the README uses."""
    for line in re.findall(r"^python -m dbsa_core (.*)$", README, re.MULTILINE):
        command, *rest = line.split()
        shown = subprocess.run(
            [sys.executable, "-m", "dbsa_core", command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for option in (word for word in rest if word.startswith("--")):
            assert option in shown, option


def test_a_query_is_followed_through_functions_that_exist() -> None:
    text = (ROOT / "docs" / "A-QUERY.md").read_text(encoding="utf-8")
    assert re.findall(r"^(\d)\. \*\*", text, re.MULTILINE) == list("12345678")
    named = re.findall(r"`((?:dbsa_core|app)/[\w/]+\.py)`\s+`([\w.]+)`", text)
    assert len(named) >= 16
    for file, name in named:
        scope = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
        for part in name.split("."):
            found = [node for node in scope if getattr(node, "name", None) == part]
            assert found, f"there is no {name} in {file}"
            scope = getattr(found[0], "body", [])
