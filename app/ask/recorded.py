"""The bundled example's answer as it was recorded, so that a page has one before any model is there.

`tools/record_example.py` writes it. A file of other data, another query or another form is not read.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.ask.plain import as_json, form, from_json
from app.ask.shown import ShownAnswer
from dbsa_core.example import example_file

log = logging.getLogger(__name__)

FILE = example_file("answer.json")


@dataclass(frozen=True)
class Recorded:
    """An answer, and where and when its times were measured."""

    answer: ShownAnswer
    machine: str
    date: str


def write(recorded: Recorded, fingerprint: str, file: Path = FILE) -> None:
    """`fingerprint` is that of the pool's data."""
    plain = {
        "machine": recorded.machine,
        "date": recorded.date,
        "data": fingerprint,
        "form": form(),
        "answer": as_json(recorded.answer),
    }
    file.write_text(json.dumps(plain, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def read(query: str, fingerprint: str, file: Path = FILE) -> Recorded | None:
    """What was recorded of this query over these data; None, logged, where that is not what the file holds."""
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        if why := _outdated(plain, query, fingerprint):
            log.warning("The recorded example is not shown: %s.", why)
            return None
        return Recorded(from_json(plain["answer"]), plain["machine"], plain["date"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("The recorded example cannot be read: %s", error)
        return None


def _outdated(plain: Mapping[str, Any], query: str, fingerprint: str) -> str:
    if plain["form"] != form():
        return "it was written by another version"
    if plain["data"] != fingerprint:
        return "it is of other data"
    return "" if plain["answer"]["query"] == query else "it is of another query"
