"""Scripts as they are sent: all that runs of them, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.ask.linked import SCRIPT
from app.away.page import PICTURE
from app.scripts import script_of

APP = Path(__file__).parents[2] / "app"


@pytest.mark.parametrize("file", sorted(APP.rglob("*.js")), ids=lambda file: file.name)
def test_each_line_that_runs_is_sent(file: Path) -> None:
    sent = script_of(file.parent, file.name)
    assert sent in SCRIPT + PICTURE
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    assert sent.splitlines() == [line for line in lines if line and line[:2] != "//"]
    assert len(sent) < file.stat().st_size
