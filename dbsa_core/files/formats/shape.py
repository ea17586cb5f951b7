"""What all tables with a row of names have in common: titles above it, the same names further down, columns of nothing.

Knows nothing about any one format.
"""

from collections.abc import Sequence
from typing import Any

from dbsa_core.files.formats import Parsed, describe_rows, shortened
from dbsa_core.files.layout import Row, is_blank, titles


def place_names(count: int) -> list[Any]:
    """Names of columns that have none."""
    return [f"column {place}" for place in range(1, count + 1)]


def title_notes(rows: Sequence[Row], header: int) -> list[str]:
    """What is said of the rows above the names."""
    above = titles(rows, header)
    said = shortened("; ".join(above), 80)
    return [f'Left out as a title above the names of the columns: "{said}".'] if above else []


def drop_repeated_headers(parsed: Parsed) -> Parsed:
    """Leave out rows that are the header again, as where files were joined."""
    header = [name.strip() for name in parsed.header]
    if len(header) < 2 or not any(header):
        return parsed
    again = set(range(len(parsed.row_numbers)))
    for name, column in zip(header, parsed.columns, strict=True):
        again = {i for i in again if ("" if (cell := column[i]) is None else str(cell).strip()) == name}
    if not again:
        return parsed
    numbers = [number for i, number in enumerate(parsed.row_numbers) if i in again]
    parsed.notes.append(
        f"The header stands again in {describe_rows(numbers)}, as where files were joined; left out there."
    )
    parsed.columns = [[cell for i, cell in enumerate(column) if i not in again] for column in parsed.columns]
    parsed.row_numbers = [number for i, number in enumerate(parsed.row_numbers) if i not in again]
    return parsed


def drop_unnamed_blank_columns(parsed: Parsed) -> Parsed:
    """Leave out columns that have neither a name nor a filled cell, such as those of trailing delimiters."""
    kept = [
        place
        for place, (name, column) in enumerate(zip(parsed.header, parsed.columns, strict=True))
        if name.strip() or not all(is_blank(cell) for cell in column)
    ]
    if kept and len(kept) < len(parsed.header):
        parsed.header = [parsed.header[place] for place in kept]
        parsed.columns = [parsed.columns[place] for place in kept]
        parsed.unusable = {kept.index(place): why for place, why in parsed.unusable.items() if place in kept}
    return parsed
