"""Make `docs/demo.html`: the bundled example's answer as a page that stands alone, to be seen without installing.

    PYTHONPATH=. python tools/make_demo.py

After `tools/record_example.py`, and whenever a view of an answer was changed.
"""

from __future__ import annotations

from pathlib import Path

from app.ask.recorded import read
from app.away.page import standalone
from app.server.example import FILE, QUERIES
from dbsa_core.data import build_pool
from dbsa_core.files.tables import read_table

DEMO = Path(__file__).resolve().parents[1] / "docs" / "demo.html"


def demo() -> str:
    """The page; the texts of the rows in it are the example's own."""
    found = read(QUERIES[0], build_pool(read_table(FILE), "text", "label").fingerprint)
    if found is None:
        raise SystemExit("The recorded example is of another version: run tools/record_example.py first.")
    return standalone(found.answer, texts=True)


if __name__ == "__main__":
    DEMO.write_text(demo(), encoding="utf-8")
    print(f"{DEMO.name}: {DEMO.stat().st_size:,} bytes")
