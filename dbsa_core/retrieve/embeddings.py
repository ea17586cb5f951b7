"""Texts as vectors of unit length, made once: those of a file's rows, kept on disk too, and those of queries.

Knows nothing about ranking.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dbsa_core.folders import default_cache_folder
from dbsa_core.retrieve import DEFAULT_EMBEDDER
from dbsa_core.retrieve.embedder import Embedder, load_embedder

log = logging.getLogger(__name__)

QUERIES = 4096
"""Whose vectors are remembered; the oldest go first."""
WORTH_KEEPING = 1000
"""Rows from which on their vectors are kept on disk."""
FILES = 16
"""There, at most; those that were not used for longest go first."""
_AT_ONCE = 1024


class Embeddings:
    """Rows and queries by one sentence encoder. Its methods may be called from several threads."""

    def __init__(
        self,
        texts: Sequence[str],
        source: str = DEFAULT_EMBEDDER,
        device: str | None = None,
        *,
        before: Embeddings | None = None,
    ) -> None:
        """`before` has the vectors of the first texts, by the same encoder."""
        self._texts = tuple(texts)
        self._source, self._device, self._before = source, device, before
        self._lock = threading.RLock()
        self._vectors: NDArray[np.float32] | None = None
        self._done: list[NDArray[np.float32]] = []
        """Of the first rows, so that what was stopped goes on."""
        self._making = False
        self._queries: dict[str, NDArray[np.float32]] = before._queries if before is not None else {}
        self._compared: tuple[str, NDArray[np.float32]] | None = None
        """The last query that all rows were compared to, and its cosines."""

    @property
    def embedder(self) -> Embedder:
        """Loaded when it is first used; see `load_embedder` for errors."""
        return load_embedder(self._source, self._device)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """`[texts, dimensions]`, made when first used. Raises `Cancelled` where this thread's work was; what was
        made by then is kept."""
        with self._lock:
            if self._vectors is None:
                self._vectors = self._made()
                self._before, self._done = None, []
            return self._vectors

    @property
    def progress(self) -> tuple[int, int] | None:
        """Rows that have their vectors, and all; None where they are not being made."""
        done = sum(map(len, list(self._done)))
        return (done, len(self._texts)) if self._making else None

    def query(self, text: str) -> NDArray[np.float32]:
        """`[dimensions]`"""
        if (found := self._queries.get(text)) is None:
            self.ahead([text])
            found = self._queries.get(text)
        return found if found is not None else self.embedder.embed([text])[0]

    def cosines(self, text: str) -> NDArray[np.float32]:
        """`[texts]`: of each row to the query, not to be written to. Of one query several ask, one after the other:
        retrievers of blocks and of rows, and a reject option."""
        if (compared := self._compared) is None or compared[0] != text:
            near: NDArray[np.float32] = self.vectors @ self.query(text)
            near.setflags(write=False)
            self._compared = compared = text, near
        return compared[1]

    def ahead(self, texts: Sequence[str]) -> None:
        """Make the vectors of queries that are about to be asked, in one go."""
        new = [text for text in dict.fromkeys(texts) if text not in self._queries]
        if not new:
            return
        vectors = self.embedder.embed(new)
        with self._lock:
            self._remember(new, vectors)

    def _remember(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        self._queries.update(zip(texts, vectors, strict=True))
        for text in list(self._queries)[: max(0, len(self._queries) - QUERIES)]:
            self._queries.pop(text, None)  # another task's embeddings may have them too

    def as_query(self, row: int) -> None:
        """Have the vector of a row at hand as that of a query, so that it is not made twice."""
        vectors = self.vectors
        with self._lock:
            self._remember([self._texts[row]], vectors[[row]])

    def forget(self) -> None:
        """Have the vectors of queries made anew, as where a time is measured."""
        with self._lock:
            self._queries.clear()
            self._compared = None

    def _made(self) -> NDArray[np.float32]:
        if self._before is not None:
            known = self._before.vectors
            new = self._texts[len(known) :]
            return np.concatenate([known, self.embedder.embed(new)]) if new else known
        if len(self._texts) < WORTH_KEEPING:
            return self.embedder.embed(self._texts)
        path = default_cache_folder() / "embeddings" / f"{_key(self._texts, self.embedder)}.npy"
        try:
            found: NDArray[np.float32] = np.load(path)
            path.touch()
            return found
        except (OSError, ValueError):
            pass
        made = self._embedded()
        try:
            _write(path, made)
        except OSError as error:  # a full disk stops nobody
            log.warning("The rows' vectors are not kept on the disk: %s", error)
        return made

    def _embedded(self) -> NDArray[np.float32]:
        embedder, done = self.embedder, sum(map(len, self._done))
        log.info("Embedding %s rows with %s", f"{len(self._texts) - done:,}", embedder.name)
        self._making = True
        try:
            for at in range(done, len(self._texts), _AT_ONCE):
                self._done.append(embedder.embed(self._texts[at : at + _AT_ONCE]))
        finally:
            self._making = False
        return np.concatenate(self._done)


def _write(path: Path, vectors: NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{threading.get_ident()}.partial")
    with partial.open("wb") as file:
        np.save(file, vectors)
    partial.replace(path)
    kept = sorted(path.parent.glob("*.npy"), key=lambda one: one.stat().st_mtime)
    for old in kept[: max(0, len(kept) - FILES)]:
        old.unlink(missing_ok=True)


def _key(texts: Sequence[str], embedder: Embedder) -> str:
    """Of these texts by an encoder that behaves like this one, whatever it is called."""
    probe = np.round(embedder.embed(["Which account was charged?"])[0], 3) + 0.0
    digest = hashlib.blake2b(probe.tobytes(), digest_size=20)
    for text in texts:
        written = text.encode("utf-8", "surrogatepass")
        digest.update(len(written).to_bytes(8, "little") + written)
    return digest.hexdigest()
