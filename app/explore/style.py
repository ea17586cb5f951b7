"""How the views of a file's rows look."""

from __future__ import annotations

from app.explore.labels import CSS as LABELS
from app.explore.lengths import CSS as LENGTHS
from app.explore.problems import CSS as PROBLEMS
from app.explore.summary import CSS as SUMMARY
from app.explore.table import CSS as TABLE

CSS = SUMMARY + PROBLEMS + LENGTHS + LABELS + TABLE
"""For `launch(css=...)`."""
