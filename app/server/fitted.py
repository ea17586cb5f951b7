"""Fitted methods of a session: each fitted once to what its queries read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import dbsa_core as dbsa
from app.server.session import Session

if TYPE_CHECKING:
    from dbsa_core import Setup
    from dbsa_core.methods import Method
    from dbsa_core.settings import QuerySettings


def fitted_method(session: Session, name: str, setup: Setup, settings: QuerySettings) -> tuple[Method, float]:
    """The method, fitted once per setup and settings, and the seconds that this took then."""
    with session.lock:
        found = session._methods.get(name)
    if found is None or found[0] != (setup, settings):
        begun = time.perf_counter()
        method = dbsa.make_method(name, settings).fit(setup)  # which may take long, so not within the lock
        found = (setup, settings), method, time.perf_counter() - begun
        with session.lock:
            session._methods[name] = found
    return found[1], found[2]


def kept_bytes(session: Session) -> int:
    """Memory of what its methods keep beside the session's pools."""
    with session.lock:
        found = list(session._methods.values())
    return sum(method.cost(setup).once * setup.task.model.shape.bytes_per_token for (setup, _), method, _ in found)
