"""Results of a benchmark that may be measured in pieces: rows of the same run for sets that are not asked for are kept.

Knows nothing about what is measured.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import dbsa_core as dbsa
from benchmarks.small_accuracy import described


class Pieces:
    """Rows of `{dataset, ...}`; those of another configuration are begun anew."""

    def __init__(self, path: Path, model: dbsa.LanguageModel, config: dict[str, Any], sets: Collection[str]):
        before = json.loads(path.read_text()) if path.is_file() else {}
        kept = before["rows"] if before.get("config") == config else []
        self.rows: list[dict[str, Any]] = [row for row in kept if row["dataset"] not in sets]
        self._path, self._about = path, described(model, config)

    def write(self) -> None:
        """What there is by now."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps({**self._about, "rows": self.rows}, indent=1) + "\n")
