"""Tokens per second of block-sparse encoding, by model and device: a short probe, then what was really encoded; and
from that, how long a pattern takes that attends to more or less.

Knows nothing about plans.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from dbsa_core.blocks import Block, BlockPattern, mask_area
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
    seen: float | None = None
    """Tokens that one attended to, on average; None where that is not known."""


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


def estimated_seconds(model: LanguageModel, lengths: Sequence[int], pattern: BlockPattern) -> float:
    """Of encoding blocks of so many tokens: by the speed that was measured, and by how much more or less attention is
    computed than there was. Work is counted in multiplications; those of attention are taken to run as fast as others.
    """
    tokens = sum(lengths)
    if not tokens:
        return 0.0
    seconds, then = tokens / measured_speed(model, tokens), _readings[_key(model)].seen
    if then is None:
        return seconds
    weights, each = _work(model)
    return seconds * (weights + each * mask_area(lengths, pattern) / tokens) / (weights + each * then)


def _work(model: LanguageModel) -> tuple[float, int]:
    """Multiplications of a token by the layers' weights; and for each token that it attends to, of queries by keys and
    by values."""
    weights = sum(
        parameter.numel() * _share_used(model, name)
        for name, parameter in model.model.named_parameters()
        if ".layers." in name
    )
    return weights, 2 * model.shape.layers * model.heads * model.shape.head_dim


def _share_used(model: LanguageModel, name: str) -> float:
    """Of the weights of that name, how many a token goes through: of experts those that are chosen."""
    if ".experts." not in name:
        return 1.0
    config = model.model.config.get_text_config()
    of = getattr(config, "num_local_experts", None) or getattr(config, "num_experts", None)
    return config.num_experts_per_tok / of if of else 1.0


def known_speed(model: LanguageModel) -> float | None:
    """Tokens per second, where they were measured already; nothing is tried."""
    reading = _readings.get(_key(model))
    return None if reading is None else reading.per_second


def note_encoding(model: LanguageModel, tokens: int, seconds: float, area: float | None = None) -> None:
    """Keep the speed of a real encoding, unless it was of too little to tell as much as what is known. `area`: pairs of
    tokens that it computed (`blocks.mask_area`)."""
    if not tokens or seconds <= 0:
        return
    with model.lock:
        known = _readings.get(_key(model))
        if known is None or tokens >= min(known.tokens, _chunk(model)):
            _readings[_key(model)] = _Reading(tokens, tokens / seconds, None if area is None else area / tokens)


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
    nothing, pattern = Pool((), (), ""), BlockPattern(1)
    done = encode_blocks(model, nothing, blocks, pattern, PromptTemplate(), chunk_tokens=size * count)
    seen = mask_area([size] * count, pattern) / done.tokens
    return _Reading(done.tokens, done.tokens / max(done.seconds, 1e-9), seen)
