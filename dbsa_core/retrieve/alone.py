"""One short text through a sentence encoder at a time, for a query waits for it: without what the library does around a
forward, and captured where the device captures, for launching its many small kernels is what takes the time there.

Knows nothing about which encoder it is: what comes out is compared with the library's own once, and where it differs,
or where anything goes wrong, the library is asked from then on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

SIZES = (16, 32, 64, 128)
"""Tokens, padding included, for which a forward is captured; the library encodes what is longer."""
CLOSE = 1e-4
"""Vectors are of unit length."""
_BATCH = 64
_PROBES = ("Which account was charged?", "a", "Please tell me when the card that I ordered twice will arrive abroad.")


def encoded(model: Any, texts: Sequence[str]) -> NDArray[np.float32]:
    """The vectors as the library makes them, `[texts, dimensions]`."""
    found = model.encode(list(texts), batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False)
    return np.asarray(found, dtype=np.float32)


class Alone:
    """Embeds single texts by a model of `sentence-transformers`. Its caller sees to one call at a time."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._ways: dict[int, Callable[[dict[str, Any]], torch.Tensor]] = {}
        self._usable: bool | None = None

    def embed(self, text: str) -> NDArray[np.float32] | None:
        """`[dimensions]`, or None where the library has to be asked."""
        if self._usable is None:
            self._usable = self._agrees()
        try:
            return self._embedded(text) if self._usable else None
        except RuntimeError as error:  # such as no memory for one more size
            log.info("Single texts go through the library from now on: %s", error)
            self._usable = False
            return None

    def _agrees(self) -> bool:
        """Whether it gives what the library gives."""
        try:
            expected = encoded(self._model, _PROBES)
            found = [self._embedded(text) for text in _PROBES]
        except Exception as error:  # an encoder may be anything
            log.info("Single texts go through the library: %s", error)
            return False
        return all(
            one is not None and np.abs(one - two).max() < CLOSE for one, two in zip(found, expected, strict=True)
        )

    def _embedded(self, text: str) -> NDArray[np.float32] | None:
        features = self._model.preprocess([text])
        tokens = features["attention_mask"].shape[1]
        size = next((size for size in SIZES if size >= tokens), None)
        if size is None:
            return None
        if size not in self._ways:
            self._ways[size] = self._way(size, features)
        found: NDArray[np.float32] = self._ways[size](features)[0].float().cpu().numpy()
        return found

    def _way(self, size: int, features: dict[str, Any]) -> Callable[[dict[str, Any]], torch.Tensor]:
        """How so many tokens are embedded: `[1, dimensions]`."""
        import torch

        from dbsa_core.devices import policy_for

        device = torch.device(self._model.device)
        policy = policy_for(device)

        def forward(given: dict[str, Any]) -> torch.Tensor:
            with torch.inference_mode():
                vectors: torch.Tensor = self._model(dict(given))["sentence_embedding"]
                return torch.nn.functional.normalize(vectors, dim=-1)

        if not policy.captures:
            return lambda given: forward({name: _on(value, device) for name, value in given.items()})
        shape = features["attention_mask"].shape
        names = [name for name, value in features.items() if getattr(value, "shape", None) == shape]
        kept = {name: _on(value, device) for name, value in features.items()}
        kept |= {name: features[name].new_zeros((1, size)).to(device) for name in names}
        for name in names:
            kept[name][:, : features[name].shape[1]] = features[name].to(device)
        replay = policy.capture(lambda: forward(kept), device, threading.Lock())

        def replayed(given: dict[str, Any]) -> torch.Tensor:
            for name in names:  # what is padded is masked, whatever token it is
                padded = torch.nn.functional.pad(given[name], (0, size - given[name].shape[1]))
                kept[name].copy_(padded)
            return replay()

        return replayed


def _on(value: Any, device: torch.device) -> Any:
    """A tensor there; a word of the library's as it is."""
    return value.to(device) if hasattr(value, "to") else value
