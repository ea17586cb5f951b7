"""Several methods fitted on one setup: the pool is encoded once, and a method that does not fit stops no other.

Knows nothing about any one method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dbsa_core.errors import CapacityError
from dbsa_core.methods.base import Method
from dbsa_core.setup import Setup
from dbsa_core.stage1.progress import OnProgress
from dbsa_core.timing import now

OnRefused = Callable[[str, CapacityError], None]
"""Told a method's name, and why its context does not fit."""


@dataclass(frozen=True)
class Fitted:
    """A method that is ready, and what that took."""

    method: Method
    setup_seconds: float
    """All that is done once for all queries: encoding, where the method reads what is encoded, and its `fit`."""
    kv_bytes: int = 0
    """Keys and values that it keeps between queries."""


def fit_methods(
    methods: Sequence[Method],
    setup: Setup,
    *,
    on_progress: OnProgress | None = None,
    on_refused: OnRefused | None = None,
) -> list[Fitted]:
    """Fit each method on the same setup, encoded first where one of them reads blocks (`on_progress` of that).

    A method whose context does not fit is left out and told to `on_refused`; where there is no such callback, or where
    no method is left, its `CapacityError` is raised.
    """
    ready: list[Fitted] = []
    refusal: CapacityError | None = None
    not_encoded: CapacityError | None = None
    if any(method.reads_blocks for method in methods):
        try:
            setup = setup.encode(on_progress=on_progress)
        except CapacityError as error:
            not_encoded = error
    for method in methods:
        try:
            if method.reads_blocks and not_encoded is not None:
                raise not_encoded
            ready.append(_fit(method, setup))
        except CapacityError as error:
            if on_refused is None:
                raise
            on_refused(method.name, error)
            refusal = error
    if not ready and refusal is not None:
        raise refusal
    return ready


def _fit(method: Method, setup: Setup) -> Fitted:
    device = setup.task.model.device
    encoded = setup.encoded if method.reads_blocks else None
    begun = now(device)
    method.fit(setup)
    seconds = now(device) - begun + (encoded.seconds if encoded is not None else 0.0)
    own = method.cost(setup).once * setup.task.model.shape.bytes_per_token
    return Fitted(method, seconds, own + (encoded.num_bytes if encoded is not None else 0))
