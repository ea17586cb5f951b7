"""Seconds, measured when the device has done its work.

Knows nothing about what is timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from dbsa_core.devices import policy_for

PHASES = ("retrieve", "assemble", "forward")
"""What a query consists of, for every method; a phase that a method has not takes 0 seconds."""


def now(device: torch.device) -> float:
    """Seconds of a clock that only differences of mean something, read after all work given to `device` is done."""
    policy_for(device).wait(device)
    return time.perf_counter()


def marked(device: torch.device) -> Callable[[], float]:
    """What waits for the work given to `device` until now, whatever it is given later, and reads that clock then."""
    wait = policy_for(device).mark(device)

    def read() -> float:
        wait()
        return time.perf_counter()

    return read


@dataclass
class Stopwatch:
    """Seconds by phase, from the moment it is made."""

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._begun = now(self.device)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what is done within it."""
        begun = now(self.device)
        yield
        self.seconds[name] = now(self.device) - begun

    def finish(self) -> dict[str, float]:
        """All of `PHASES`, and the `total` since the stopwatch was made."""
        return {**{name: self.seconds.get(name, 0.0) for name in PHASES}, "total": now(self.device) - self._begun}
