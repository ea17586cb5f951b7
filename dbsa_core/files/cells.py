"""Single cells: their text made clean, and the look of codes and of numbers.

Knows nothing about columns, tables or files.
"""

import re
import unicodedata
from collections.abc import Sequence

from dbsa_core.files.formats import shortened

BREAKS = re.compile(r"[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
# Control characters, and marks without a shape that mean nothing to a reader: soft hyphens, zero-width spaces, marks of
# writing direction, invisible operators. Joiners and variation selectors stay: words and emoji need them.
CONTROLS = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
# All that Unicode calls ignorable; in labels it makes two of what a reader takes for one.
_SHAPELESS = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U000e0000-\U000e0fff]"
)
_JOINERS = "\u200c\u200d"
_WHOLE = re.compile(r"([-+]?\d+)\.0+")
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


def label_key(label: str) -> str:
    """What the spellings of one label have in common: no marks without a shape, single spaces, whole numbers without
    decimals, `true` and `false` in small letters."""
    key = " ".join(_SHAPELESS.sub("", label).split()).strip(f"{_JOINERS} ")
    if number := _WHOLE.fullmatch(key):
        return number[1]
    return key.lower() if key.lower() in {"true", "false"} else key


def ascii_quoted(label: str) -> str:
    """A label in quotation marks, with all that has no shape and no common width written out."""
    shown = "".join(sign if sign == " " or (sign.isprintable() and not _SHAPELESS.match(sign)) else ascii(sign)[1:-1]
                    for sign in shortened(label))  # fmt: skip
    return f'"{shown}"'


def quoted(values: Sequence[str], limit: int = 5) -> str:
    shown = ", ".join(f'"{shortened(value)}"' for value in values[:limit])
    return shown + (f" and {len(values) - limit:,} more" if len(values) > limit > 2 else "")
