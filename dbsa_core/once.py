"""What a log says once in a process, however often it comes up.

Knows nothing about what is said.
"""

from __future__ import annotations

import logging

_said: set[str] = set()


def say_once(log: logging.Logger, sentence: str) -> None:
    """At the level of information."""
    if sentence not in _said:
        _said.add(sentence)
        log.info(sentence)
