"""Single cells: their text made clean, and the look of codes and of numbers.

Knows nothing about columns, tables or files.
"""

import re
import unicodedata
from collections.abc import Sequence

from dbsa_core.formats import shortened

BREAKS = re.compile(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
# Control characters, and marks without a shape: zero-width space, word joiner, BOM, overrides of writing direction.
CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
CODED = re.compile(r"-?\d+(?:\.0+)?|(?:[a-z]{1,2}|label|class|category|cat|intent|type)[-_ ]?\d+|[!-~]", re.IGNORECASE)
FLOAT = re.compile(r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[-+]?\d+)?", re.IGNORECASE)


def clean_text(text: str | None) -> str:
    """Unicode NFC on one line, without control characters and surrounding white space; "" for None."""
    if not text:
        return ""
    text = text.strip()
    if text.isascii() and text.isprintable():
        return text
    if BREAKS.search(text):
        text = " ".join(part.strip() for part in BREAKS.split(text) if not part.isspace())
    return unicodedata.normalize("NFC", CONTROLS.sub("", text)).strip()


def quoted(values: Sequence[str], limit: int = 5) -> str:
    shown = ", ".join(f'"{shortened(value)}"' for value in values[:limit])
    return shown + (f" and {len(values) - limit:,} more" if len(values) > limit > 2 else "")
