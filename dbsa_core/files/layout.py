"""Where the rows of a sheet begin: titles may stand above the names of its columns.

Knows nothing about text or workbooks: rows of cells, blank ones None or "".
"""

from collections.abc import Sequence
from typing import Any

Row = Sequence[Any]


def is_blank(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def header_index(rows: Sequence[Row]) -> int:
    """Index of the row of names: the first filled one, or the one below titles.

    A title is a single filled cell of several words, or one with a blank row below it; what follows has to look like
    names, and then like rows. 0 where no row is filled.
    """
    filled = [(index, cells) for index, row in enumerate(rows) if (cells := [c for c in row if not is_blank(c)])]
    if not filled:
        return 0
    place = 0
    while place + 1 < len(filled) and _is_title(filled[place], filled[place + 1][0]):
        place += 1
    below = filled[place + 1 : place + 2]
    if place and not (_are_names(filled[place][1]) and below and len(below[0][1]) > 1):
        place = 0
    return filled[place][0]


def _is_title(row: tuple[int, list[Any]], next_index: int) -> bool:
    index, cells = row
    words = str(cells[0]).strip()
    return len(cells) == 1 and (" " in words or words.startswith("#") or next_index > index + 1)


def look_like_names(texts: Sequence[str]) -> bool:
    """Whether all are as short as names of columns are."""
    return all(len(text) <= 40 and not text.startswith(" ") and text.count(" ") < 4 for text in texts)


def _are_names(cells: Sequence[Any]) -> bool:
    """Several short texts, all different."""
    if len(cells) < 2 or not all(isinstance(cell, str) for cell in cells):
        return False
    return look_like_names(cells) and len({text.strip().casefold() for text in cells}) == len(cells)


def titles(rows: Sequence[Row], header: int) -> list[str]:
    """The filled cells above the names."""
    return [str(cell).strip() for row in rows[:header] for cell in row if not is_blank(cell)]
