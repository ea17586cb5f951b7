"""Threads that work beside the program and end with it.

Knows nothing about their work. A daemon thread inside PyTorch's code takes the process down when the interpreter ends
("terminate called without an active exception", and an error as exit status), so they are stopped before that.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Collection

GRACE = 1.0
"""Seconds for work to come to its end by itself when the program ends; after them it is broken off."""
LAST = 20.0
"""Seconds until it must be out of whatever it cannot be broken off in, such as one long operation."""

_stops: dict[threading.Thread, Callable[[], object]] = {}
_lock = threading.Lock()
_watcher: threading.Thread | None = None


def start(name: str, work: Callable[[], object], stop: Callable[[], object]) -> threading.Thread:
    """Run `work` in a thread. When the main thread has ended, `stop()` asks it to return."""
    global _watcher

    def run() -> None:
        try:
            work()
        finally:
            with _lock:
                del _stops[thread]

    thread = threading.Thread(target=run, name=name, daemon=True)
    with _lock:
        _stops[thread] = stop
        if _watcher is None or not _watcher.is_alive():  # a forked process starts without it
            _watcher = threading.Thread(target=_end_with_the_program, name="dbsa-end", daemon=False)
            _watcher.start()
    thread.start()
    return thread


def _end_with_the_program() -> None:
    threading.main_thread().join()
    with _lock:
        running = dict(_stops)
    for stop in running.values():
        stop()
    _join(running, GRACE)
    for thread in running:
        if thread.is_alive():
            # Raised at the thread's next step in Python; `SystemExit` ends a thread without a word.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))
    _join(running, LAST)


def _join(threads: Collection[threading.Thread], seconds: float) -> None:
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
