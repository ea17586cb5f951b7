"""What the page calls the parts of a context."""

from __future__ import annotations

from collections.abc import Sequence


def is_block(name: str) -> bool:
    """By its name here, "block 12", or as a `QueryAttention` has it."""
    return name.startswith("block ")


def number_of(block: str) -> int:
    """From 1 by its name here, and from 0 as a `QueryAttention` has it."""
    return int(block.split()[1])


_SIMILAR = "similar example "


def similar_key(number: int) -> str:
    """Of the nearest row, the second nearest, and so on, from 1."""
    return f"similar {number}"


def keys_of(spans: Sequence[str]) -> tuple[str, ...]:
    """Of the spans of a `QueryAttention`: blocks from 1, and the nearest similar example, which stands last, as the
    first."""
    similar = sum(span.startswith(_SIMILAR) for span in spans)

    def key(span: str) -> str:
        if is_block(span):
            return f"block {number_of(span) + 1}"
        if span.startswith(_SIMILAR):
            return similar_key(similar + 1 - int(span.removeprefix(_SIMILAR)))
        return span

    return tuple(map(key, spans))
