"""What encoding needs beside the memory of the pool: the tensors of a chunk of blocks on its way through the model.

Knows nothing about plans. A family's layers are not reckoned but tried: two small chunks go through them, and of their
tensors the most that are alive at a time are counted. What grows with the square of a block (masks, and scores where
they are written out) is reckoned: chunks so small have next to none of it.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

from dbsa_core.attention.block_attention import attend_blocks, block_attention_op
from dbsa_core.attention.reference import TILE_SCORES
from dbsa_core.attention.sdpa import mask_rows
from dbsa_core.blocks import Block, BlockPattern, SeenTokens
from dbsa_core.devices import policy_for
from dbsa_core.interrupt import held
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.model.live import LiveBytes
from dbsa_core.stage1.chunks import Chunks, run_chunk, tokens_at_once
from dbsa_core.stage1.memory import arena_for, bytes_per_token
from dbsa_core.stage1.packed import packs
from dbsa_core.store import SPARE, with_spare

PROBE_BLOCKS = 8
PROBE_TOKENS = (4, 12)
"""Of each of so many blocks, in two chunks."""
SCORES_AT_A_TIME = 3
"""Copies of the scores that the reference implementation has in memory."""
EARLIER_OF_INT8 = 2
"""Copies of what a chunk sees before itself: of values, and of keys in the bank."""
WIDE_BYTES = 4
"""Of a score."""


@dataclass(frozen=True)
class Working:
    """Of one model on its device."""

    fixed: float
    """Bytes, of however small a chunk."""
    per_token: float
    """Bytes for each token of a chunk."""
    packed: bool
    """Whether chunks go through kernels of our own, which write out neither masks nor scores."""

    def tokens(self, free: int) -> int:
        """The most tokens of a chunk that so many bytes hold."""
        return max(0, int((free - self.fixed) / self.per_token))


def working_of(model: LanguageModel, *, int8: bool = False) -> Working:
    """Measured when it is first asked for, of a pool that is kept as the model makes it or as `int8`."""
    known = _known.setdefault(model, {})
    if int8 in known:
        return known[int8]
    with held(model.lock):
        packed = packs(model, arena_for(model, 1, int8=int8))
        (few, less), (many, more) = (_tried(model, length, packed, int8=int8) for length in PROBE_TOKENS)
        each = (more - less) / (many - few)
        known[int8] = found = Working(max(0.0, less - each * few), each, packed)
    return found


_known: weakref.WeakKeyDictionary[LanguageModel, dict[bool, Working]] = weakref.WeakKeyDictionary()


def _tried(model: LanguageModel, length: int, packed: bool, *, int8: bool) -> tuple[int, int]:
    """The tokens of a chunk, and the most bytes that its tensors take at a time, beside keys and values and masks."""
    lengths, pattern = [length] * PROBE_BLOCKS, BlockPattern(1)
    blocks = [Block(i, (i,), (1,) * length) for i in range(PROBE_BLOCKS)]
    store = arena_for(model, sum(lengths), int8=int8).extended(0, lengths)
    with LiveBytes(model.device, {block_attention_op: attend_blocks}) as live:
        # A compiler that meets a layer while tensors are counted gives that layer up for good.
        run_chunk(model, store, pattern, None, blocks, blocks, compiled=False)
    masks, _ = (0, 0) if packed else _squares(model, SeenTokens(lengths, pattern), blocks)
    return sum(lengths), live.peak - masks


def peak_bytes(model: LanguageModel, blocks: Sequence[Block], pattern: BlockPattern, *, int8: bool = False) -> int:
    """Bytes that encoding these blocks takes at its most, beside the model: keys and values and what is computed on the
    way, room for more rows included where the device takes it at once."""
    lengths, policy = [len(block) for block in blocks], policy_for(model.device)
    tokens = sum(lengths)
    kept = with_spare(tokens) if policy.takes_reserved else tokens
    chunks, seen, most = Chunks(blocks, tokens_at_once(model)), SeenTokens(lengths, pattern), 0
    while chunk := chunks.take():
        most = max(most, chunk_bytes(model, seen, chunk, int8=int8))
    return kept * bytes_per_token(model, int8=int8) + most + policy.kept_by_libraries


def chunk_bytes(model: LanguageModel, seen: SeenTokens, chunk: Sequence[Block], *, int8: bool = False) -> int:
    """Bytes that a chunk takes on its way through the model, beside its keys and values."""
    working, shape = working_of(model, int8=int8), model.shape
    found = working.fixed + working.per_token * sum(map(len, chunk))
    if working.packed:
        return int(found)
    earlier = seen.before(chunk[0].id) * (EARLIER_OF_INT8 if int8 else 1)
    found += earlier * shape.kv_heads * shape.head_dim * shape.dtype.itemsize
    return int(found) + sum(_squares(model, seen, chunk))


def _squares(model: LanguageModel, seen: SeenTokens, chunk: Sequence[Block]) -> tuple[int, int]:
    """Bytes of a chunk's masks, and of scores where they are written out."""
    group, masks, scores = model.heads // model.shape.kv_heads, 0, 0
    for block in chunk:
        square = len(block) * (seen.before(block.id) + len(block))
        times = 0 if model.writes_scores else mask_rows(group, square, model.device)
        masks += min(square, TILE_SCORES) * (1 + times * model.shape.dtype.itemsize)
        scores = max(scores, min(TILE_SCORES, model.heads * square))
    return masks, model.writes_scores * SCORES_AT_A_TIME * scores * WIDE_BYTES


def tokens_in_memory(model: LanguageModel, free: int, *, int8: bool = False) -> int:
    """Tokens of a pool that so many bytes hold, with room to spare and what is computed on the way."""
    working, together = working_of(model, int8=int8), tokens_at_once(model)
    kept, left = bytes_per_token(model, int8=int8) * (1 + SPARE), free - working.fixed
    few = left / (kept + working.per_token)
    return max(0, int(few if few < together else (left - working.per_token * together) / kept))
