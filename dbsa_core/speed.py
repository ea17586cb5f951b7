"""Tokens per second of block-sparse encoding, by model and device: a short probe, then what was really encoded.

Knows nothing about plans.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from dbsa_core.blocks import Block, BlockPattern
from dbsa_core.data import Pool
from dbsa_core.interrupt import held
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prompt import PromptTemplate
from dbsa_core.stage1.chunks import tokens_at_once
from dbsa_core.stage1.encoding import encode_blocks

PROBE_BLOCK = 128
"""Tokens of a block of the probe; the first one warms the model up."""
PROBE_SECONDS = 2.5
"""A probe is of as many tokens as encoding puts in one forward, or of fewer where that would take longer than this."""


@dataclass(frozen=True)
class _Reading:
    tokens: int
    per_second: float


_readings: dict[tuple[str, str, str], _Reading] = {}


def _key(model: LanguageModel) -> tuple[str, str, str]:
    return model.signature, str(model.device), str(model.shape.dtype)


def _chunk(model: LanguageModel) -> int:
    """Tokens of one forward of encoding; where a model has fewer positions, those."""
    return min(tokens_at_once(model), model.max_positions)


def measured_speed(model: LanguageModel, pool_tokens: int | None = None) -> float:
    """Tokens per second: of the last encoding of this model on this device, or of a probe at first use.

    `pool_tokens` bounds the probe: no more than what is to be encoded is worth trying.
    """
    with held(model.lock):
        wanted = min(_chunk(model), pool_tokens or _chunk(model))
        reading = _readings.get(_key(model))
        if reading is None or reading.tokens < wanted // 2:
            reading = _readings[_key(model)] = _probed(model, wanted)
        return reading.per_second


def known_speed(model: LanguageModel) -> float | None:
    """Tokens per second, where they were measured already; nothing is tried."""
    reading = _readings.get(_key(model))
    return None if reading is None else reading.per_second


def note_encoding(model: LanguageModel, tokens: int, seconds: float) -> None:
    """Keep the speed of a real encoding, unless it was of too little to tell as much as what is known."""
    if not tokens or seconds <= 0:
        return
    with model.lock:
        known = _readings.get(_key(model))
        if known is None or tokens >= min(known.tokens, _chunk(model)):
            _readings[_key(model)] = _Reading(tokens, tokens / seconds)


def _probed(model: LanguageModel, tokens: int) -> _Reading:
    size = max(8, min(PROBE_BLOCK, tokens, model.max_positions // 8))
    _encode_noise(model, size, 1)
    reading = _encode_noise(model, size, 1)
    count = int(min(tokens, PROBE_SECONDS * reading.per_second)) // size
    return _encode_noise(model, size, count) if count > 1 else reading


def _encode_noise(model: LanguageModel, size: int, count: int) -> _Reading:
    """Encode `count` blocks of random tokens in one forward."""
    rng, vocabulary = random.Random(0), model.model.config.get_text_config().vocab_size
    blocks = [Block(i, (i,), tuple(rng.randrange(vocabulary) for _ in range(size))) for i in range(count)]
    nothing = Pool((), (), "")
    done = encode_blocks(model, nothing, blocks, BlockPattern(1), PromptTemplate(), chunk_tokens=size * count)
    return _Reading(done.tokens, done.tokens / max(done.seconds, 1e-9))
