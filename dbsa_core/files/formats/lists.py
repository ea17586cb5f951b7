"""Cells that are lists: one of a single value is that value, as annotation tools write a label.

Knows nothing about labels: cells in, cells out.
"""

import ast
import json
from collections.abc import Sequence
from typing import Any

_PLAIN = (str, int, float, bool, type(None))


def single(cell: Any) -> Any:
    """The only value of a list, None of an empty one; what is no such list stays as it is."""
    inner = cell
    while isinstance(inner, dict) and len(inner) == 1 and "choices" in inner:
        inner = inner["choices"]
    if isinstance(inner, list | tuple) and len(inner) <= 1 and all(isinstance(value, _PLAIN) for value in inner):
        return inner[0] if inner else None
    return cell


def is_nested(cell: Any) -> bool:
    return isinstance(cell, dict | list | tuple)


def unusable(column: Sequence[Any], row_numbers: Sequence[int]) -> str | None:
    """What a column holds that cannot be texts or labels, and where first; None where nothing does."""
    for number, cell in zip(row_numbers, column, strict=True):
        if is_nested(cell) and is_nested(single(cell)):
            plain = isinstance(cell, list | tuple) and all(isinstance(value, _PLAIN) for value in cell)
            return f"{'lists of several values' if plain else 'lists or objects'} (first in row {number})"
        if isinstance(cell, bytes):
            return f"binary data (first in row {number})"
    return None


def parsed(text: str) -> Any:
    """What text that looks like a list or an object stands for, in JSON or as Python writes it; None where it is
    neither, such as a bare word in brackets."""
    if (text[:1], text[-1:]) not in {("[", "]"), ("{", "}"), ("(", ")")}:
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if is_nested(found):
            return found
    return None
