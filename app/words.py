"""Numbers in words, as every screen of the app says them.

Knows nothing about what is counted.
"""

from __future__ import annotations


def percent(share: float) -> str:
    """ "10.3 %"; what is not 0 or 1 is never rounded to it, and they are "0 %" and "100 %"."""
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    if 0 < share < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %"


def whole_percent(share: float) -> str:
    """ "73 %"; what is not 0 or 1 is never rounded to it."""
    if 0 < share < 0.005:
        return "< 1 %"
    if 0.995 <= share < 1:
        return "> 99 %"
    return f"{100 * share:.0f} %"


def between(low: float, high: float) -> str:
    """One number, or two where they differ in what is shown."""
    if low == 0 < high:
        return f"at most {percent(high)}"
    return percent(low) if percent(low) == percent(high) else f"{percent(low)} to {percent(high)}"


def duration(seconds: float) -> str:
    """ "45 s", "3 min 05 s" or "2 h 10 min", for estimates."""
    if seconds < 1:
        return "less than 1 s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


def measured(seconds: float) -> str:
    """ "1.3 s", or "38 ms" below a tenth of a second, for what was measured."""
    if seconds < 0.1:
        return f"{1000 * seconds:.0f} ms" if seconds >= 0.001 else "< 1 ms"
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def shortened(text: str, most: int) -> str:
    """The text on one line, and no longer than so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def count(number: int, noun: str, plural: str = "") -> str:
    """ "1 block", "29 blocks"; `plural` where an s does not make it."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def out_of(done: int, total: int, noun: str) -> str:
    """ "12 of 29 blocks"."""
    return f"{done:,} of {count(total, noun)}"


def ordinal(number: int) -> str:
    """ "1st", "2nd", "11th"."""
    last = number % 10 if number % 100 not in (11, 12, 13) else 0
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(last, 'th') }"
