"""Cells that no spreadsheet takes for a formula, and back.

Knows nothing about tables: one cell at a time. A cell that begins with = + - @, a tab or a carriage return gets an
apostrophe before it; so does one that begins like that behind apostrophes of its own, so that the way back is exact.
"""

import re
from collections.abc import Sequence

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_MADE_SAFE = re.compile(r"'+[=+\-@\t\r]")


def safe(cell: str) -> str:
    """The cell as a spreadsheet shows it as text."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def safe_row(cells: Sequence[str]) -> list[str]:
    """The same for each cell of a row."""
    return [safe(cell) for cell in cells]


def restored(cell: str) -> str:
    """What `safe` was given."""
    return cell[1:] if _MADE_SAFE.match(cell) else cell
