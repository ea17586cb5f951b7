"""Models by size: what each would take on this machine, and which of them fit.

Knows nothing about sessions. Estimates are scaled from the model that is loaded, by the number of parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.server.models import EMBEDDED
from dbsa_core.model.embedded import EMBEDDED_NAME

if TYPE_CHECKING:
    from dbsa_core import LanguageModel

FILE_BYTES = 2
"""Bytes of a parameter in the files of these models, which are bfloat16."""
ROOM = 1.2
"""Memory that must be free, as a multiple of the weights': a pool and a query want room too."""
QUERY_TOKENS = 350
"""Tokens that go through the model for a query with eight similar rows, where none was asked yet."""
BYTES_PER_SECOND = 1e12
"""At which weights are read at most, roughly, as by a GPU; no query is faster than once through them."""


@dataclass(frozen=True)
class KnownModel:
    """A model that can be named without looking it up; parameters are counted from its published shape."""

    source: str
    name: str
    parameters: int


KNOWN = (
    KnownModel(EMBEDDED, EMBEDDED_NAME, 134_515_008),
    KnownModel("Qwen/Qwen2.5-0.5B-Instruct", "Qwen2.5-0.5B-Instruct", 494_032_768),
    KnownModel("Qwen/Qwen2.5-1.5B-Instruct", "Qwen2.5-1.5B-Instruct", 1_543_714_304),
    KnownModel("Qwen/Qwen2.5-7B-Instruct", "Qwen2.5-7B-Instruct", 7_615_616_512),
)


@dataclass(frozen=True)
class Offer:
    """What a model would take here."""

    model: KnownModel
    download_bytes: int
    """0 where its files are here already."""
    memory_bytes: int
    """Of its weights, in the dtype that this machine computes in."""
    seconds: float | None
    """Of a query, roughly; None before the speed of any model is known."""
    refused: str
    """Why it does not fit; "" where it does."""


def offers(loaded: LanguageModel, free_bytes: int, query_tokens: int = QUERY_TOKENS) -> list[Offer]:
    """All of `KNOWN` on the machine of a model that is loaded, beside which they would be loaded."""
    from dbsa_core.speed import known_speed

    size, own = loaded.shape.dtype.itemsize, loaded.model.num_parameters()
    speed = known_speed(loaded)
    found = []
    for known in KNOWN:
        memory = known.parameters * size
        seconds = None
        if speed is not None:
            seconds = max(query_tokens * known.parameters / own / speed, memory / BYTES_PER_SECOND)
        needs = int(ROOM * memory)
        refused = ""
        if needs > free_bytes:
            refused = f"needs {gigabytes(needs)} of memory, {gigabytes(free_bytes)} are free"
        found.append(Offer(known, _download(known), memory, seconds, refused))
    return found


def gigabytes(num_bytes: int) -> str:
    """ "3.1 GB"."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes < 10e9 else f"{num_bytes / 1e9:.0f} GB"


def _download(known: KnownModel) -> int:
    if known.source == EMBEDDED:
        return 0
    from huggingface_hub import try_to_load_from_cache

    here = try_to_load_from_cache(known.source, "config.json")
    return 0 if isinstance(here, str) else FILE_BYTES * known.parameters
