"""Which label is that of texts that fit no other one.

Knows nothing about models or methods.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dbsa_core.errors import SettingsError

NAMES = (
    "oos", "out of scope", "out of domain", "none of the above", "none of these", "none", "no intent", "no label",
    "nothing", "other", "others", "unknown", "fallback", "irrelevant", "misc", "miscellaneous",
)  # fmt: skip
"""What such labels are called; the first of them that there is counts."""


def guessed_out_of_scope(labels: Sequence[str]) -> str | None:
    """The label whose name says that it is for texts that fit no other one; None where there is none."""
    by_name = {_plain(label): label for label in reversed(labels)}
    return next((by_name[name] for name in NAMES if name in by_name), None)


def checked_out_of_scope(label: str, labels: Sequence[str]) -> str:
    """That label as it is spelled; `SettingsError` where there is none such."""
    found = next((known for known in labels if _plain(known) == _plain(label)), None)
    if found is None:
        raise SettingsError(f"There is no label {label!r} to be out of scope; give one of the {len(labels):,} labels.")
    return found


def _plain(label: str) -> str:
    return " ".join(re.sub(r"[\W_]+", " ", label.casefold()).split())
