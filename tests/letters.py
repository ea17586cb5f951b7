"""A sentence encoder that needs no model: texts are alike that share pairs of letters."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dbsa_core.interrupt import stop_if_cancelled

DIMENSIONS = 64


class Letters:
    """Counts pairs of letters, each in a dimension that its checksum names, with a sign of its own."""

    name = "letters"

    def __init__(self, salt: str = "") -> None:
        self._salt = salt
        self.embedded: list[str] = []
        """All texts so far, in turn."""
        self.calls = 0

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        stop_if_cancelled()
        self.calls += 1
        self.embedded.extend(texts)
        found = np.zeros((len(texts), DIMENSIONS), np.float64)
        for place, text in enumerate(texts):
            padded = f" {text.lower()} "
            for pair in itertools.pairwise(padded):
                checksum = zlib.crc32((self._salt + "".join(pair)).encode())
                found[place, checksum % DIMENSIONS] += 1 if checksum & 1024 else -1
        return (found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)).astype(np.float32)
