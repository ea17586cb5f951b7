"""What the page calls the parts of a context."""

from __future__ import annotations

import re
from collections.abc import Sequence


def similar_key(number: int) -> str:
    """Of the nearest row, the second nearest, and so on, from 1."""
    return f"similar {number}"


def keys_of(spans: Sequence[str]) -> tuple[str, ...]:
    """Of the spans of a `QueryAttention`: blocks from 1, and the nearest similar example, which stands last, as the
    first."""
    similar = sum(span.startswith("similar example ") for span in spans)

    def key(span: str) -> str:
        if found := re.fullmatch(r"block (\d+)", span):
            return f"block {int(found[1]) + 1}"
        if found := re.fullmatch(r"similar example (\d+)", span):
            return similar_key(similar + 1 - int(found[1]))
        return span

    return tuple(map(key, spans))
