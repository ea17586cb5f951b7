"""How the views of evaluations look."""

from __future__ import annotations

from app.evaluation.answers import CSS as ANSWERS
from app.evaluation.beside import CSS as RUNS
from app.evaluation.matrices import CSS as MATRICES
from app.evaluation.results import CSS as RESULTS

CSS = RESULTS + MATRICES + ANSWERS + RUNS
"""For `launch(css=...)`."""
