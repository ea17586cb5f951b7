"""What is paid once, and what each time.

Knows nothing about methods.
"""

from __future__ import annotations


def break_even(setup: tuple[float, float], query: tuple[float, float]) -> int | None:
    """From how many queries on the first of two methods has taken less time in all than the second, by their seconds
    once and for each query; None where it is never so for good."""
    once, each = setup[0] - setup[1], query[1] - query[0]
    if each <= 0:
        return None
    return max(0, int(once / each) + 1)
