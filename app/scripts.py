"""Scripts of the page, as they are sent: without what only their readers need."""

from __future__ import annotations

from pathlib import Path


def script_of(folder: Path, *names: str) -> str:
    """The files one after the other, without lines that are a comment, empty lines, and the space before others."""
    files = ((folder / name).read_text(encoding="utf-8") for name in names)
    lines = (line.strip() for file in files for line in file.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("//"))
