"""Ending a forward before it is through: because its user stopped it (a dense one can take minutes), or because what
it was run for is there.

Knows nothing about what is stopped. Every layer's attention asks, in every model and method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from dbsa_core.errors import Cancelled


class AllWrittenError(Exception):
    """The last layer's keys and values are written: nobody needs what would still be computed of the forward."""


_LOOK_SECONDS = 0.05


class Lock(Protocol):
    """What `threading.Lock()` and `threading.RLock()` are."""

    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool: ...

    def release(self) -> None: ...


_cancelled: ContextVar[Callable[[], bool] | None] = ContextVar("dbsa_cancelled", default=None)


@contextmanager
def interruptible(cancelled: Callable[[], bool]) -> Iterator[None]:
    """Within it, a forward of this thread raises `Cancelled` at the next layer once `cancelled()` says so."""
    token = _cancelled.set(cancelled)
    try:
        yield
    finally:
        _cancelled.reset(token)


@contextmanager
def held(lock: Lock) -> Iterator[None]:
    """Hold a lock, and wait for it no longer than until this thread's work is cancelled; raises `Cancelled` then."""
    while not lock.acquire(timeout=_LOOK_SECONDS):
        stop_if_cancelled()
    try:
        yield
    finally:
        lock.release()


def stop_if_cancelled() -> None:
    """Raise `Cancelled` where this thread's work was cancelled."""
    cancelled = _cancelled.get()
    if cancelled is not None and cancelled():
        raise Cancelled("Stopped.")
