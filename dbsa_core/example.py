"""The bundled example's files, in a checkout and in an installed package.

Knows nothing about what they hold.
"""

from pathlib import Path

_HERE = Path(__file__).resolve().parent
_PLACES = (_HERE / "assets" / "example", _HERE.parent / "assets" / "example")
"""Installed beside the library, or at the top of a checkout."""


def example_file(name: str) -> Path:
    """The path of `train.csv` or `test.csv`, labelled rows with the columns `text` and `label`."""
    return next((place / name for place in _PLACES if (place / name).is_file()), _PLACES[-1] / name)
