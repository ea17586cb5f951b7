"""The answer with evil texts, as the Ask page's tests have it."""

from __future__ import annotations

from tests.app.ask.conftest import compared, prediction, shown

__all__ = ["compared", "prediction", "shown"]
