"""Stage 1: blocks of a pool through the model, each seeing its window alone; keys and values are kept.

Knows nothing about queries. Costs time in proportion to the mask's area and memory in proportion to a chunk of blocks
beside the stored keys and values, which are written where they stay; no n x n mask and no logits are made
(arXiv 2503.08640, section 3).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dbsa_core.blocks import Block, BlockPattern, SeenTokens, mask_area
from dbsa_core.data import Pool
from dbsa_core.devices import free_memory, policy_for
from dbsa_core.errors import CapacityError
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.model.memory import memory_ran_out
from dbsa_core.prompt import PromptTemplate
from dbsa_core.stage1.chunks import Chunks, run_chunk, tokens_at_once
from dbsa_core.stage1.layers import layers_of
from dbsa_core.stage1.memory import arena_for, bytes_per_token
from dbsa_core.stage1.packed import packs
from dbsa_core.stage1.progress import OnProgress, Progress
from dbsa_core.stage1.working import chunk_bytes, tokens_in_memory, working_of
from dbsa_core.store import Arena
from dbsa_core.timing import marked, now

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodedPool:
    """A pool whose blocks are encoded: what stage 2 reads."""

    pool: Pool
    """The whole file; `blocks` name rows of it."""
    blocks: tuple[Block, ...]
    """The blocks that are encoded, ids 0.. without gaps."""
    pattern: BlockPattern
    template: PromptTemplate
    store: Arena
    """May hold more blocks than these: those of a pool that went on from here."""
    model_signature: str
    rope_length: int | None
    """The forward length whose RoPE tables hold for pool and queries alike; None where tables do not depend on it."""
    blocks_planned: int
    """More than `len(blocks)` where encoding was stopped, or memory ran out."""
    seconds: float
    out_of_memory: str = ""
    """Where memory ran out before all blocks were encoded: how far it came, and what fits."""

    @property
    def complete(self) -> bool:
        return len(self.blocks) == self.blocks_planned

    @property
    def as_it_is(self) -> EncodedPool:
        """The same, planned for no more than what is done."""
        return replace(self, blocks_planned=len(self.blocks))

    @property
    def int8(self) -> bool:
        """Whether keys and values are kept as int8; else as the model makes them."""
        return self.store.int8

    @property
    def tokens(self) -> int:
        return sum(len(block) for block in self.blocks)

    @property
    def area(self) -> int:
        """Pairs of tokens that encoding it computed."""
        return mask_area([len(block) for block in self.blocks], self.pattern)

    @property
    def rows(self) -> tuple[int, ...]:
        """Indices of the pool's rows that are encoded."""
        return tuple(row for block in self.blocks for row in block.rows)

    def progress(self, tokens_planned: int) -> Progress:
        """How far it is, of so many tokens once it is complete; the seconds are those of encoding alone."""
        return Progress(len(self.blocks), self.blocks_planned, self.tokens, tokens_planned, self.seconds)

    @property
    def num_bytes(self) -> int:
        """Of the memory that is reserved for keys and values, room for more rows included."""
        return self.store.num_bytes

    @property
    def bytes_per_token(self) -> float:
        """Of that memory."""
        return self.store.num_bytes / self.store.capacity


def encode_blocks(
    model: LanguageModel,
    pool: Pool,
    blocks: Sequence[Block],
    pattern: BlockPattern,
    template: PromptTemplate,
    *,
    rope_length: int | None = None,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    chunk_tokens: int | None = None,
    expected_tokens: int | None = None,
    int8: bool = False,
) -> EncodedPool:
    """Encode `blocks` (ids 0.. in order); `cancelled` is asked between chunks of blocks, and what is done is kept.

    Keys and values are kept as the model makes them, or as `int8`, which takes about half the memory of half precision.
    Memory is reserved at once for `expected_tokens`, by default those of `blocks`, and some to spare. Where it runs out
    on the way, blocks go through the model fewer at a time, and at last those that are done are kept
    (`EncodedPool.out_of_memory` says so). Raises `CapacityError` where it runs out before one is done, and where
    sequential positions, or one window of local ones, exceed the model's.
    """
    _check_positions(model, blocks, pattern, rope_length)
    begun = now(model.device)
    tokens = max(expected_tokens or 0, sum(len(block) for block in blocks))
    try:
        store = arena_for(model, tokens, int8=int8)
    except (RuntimeError, MemoryError) as error:
        if not memory_ran_out(error):
            raise
        fits = min(tokens_in_memory(model, free_memory(model.device), int8=int8), tokens - 1)
        raise CapacityError(
            f"Memory of {model.device} has no room for the keys and values of {tokens:,} tokens; choose at most "
            f"{fits:,} pool tokens, or a smaller model."
        ) from error
    empty = EncodedPool(pool, (), pattern, template, store, model.signature, rope_length, len(blocks), 0.0)
    done = _continue(model, empty, blocks, 0, on_progress, cancelled, chunk_tokens)
    return replace(done, seconds=now(model.device) - begun)


def append_blocks(
    model: LanguageModel,
    encoded: EncodedPool,
    pool: Pool,
    blocks: Sequence[Block],
    *,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    chunk_tokens: int | None = None,
) -> EncodedPool:
    """Encode further `blocks` of `pool` (the old pool's rows first); no old block is read but sinks and previous ones.

    The last block stays as it is even where it is not full: the grouping of what is encoded is frozen. Returns a new
    `EncodedPool`, in the same memory where there is room behind the old one. Where memory runs out it is as in
    `encode_blocks`; the old pool stays as it is.
    """
    if model.signature != encoded.model_signature:
        raise CapacityError("The pool was encoded by another model; encode it anew with this one before appending.")
    all_blocks = (*encoded.blocks, *blocks)
    _check_positions(model, all_blocks, encoded.pattern, encoded.rope_length)
    begun = now(model.device)
    before = replace(encoded, pool=pool, blocks_planned=len(all_blocks))
    done = _continue(model, before, all_blocks, len(encoded.blocks), on_progress, cancelled, chunk_tokens)
    return replace(done, seconds=encoded.seconds + now(model.device) - begun)


def _continue(
    model: LanguageModel,
    encoded: EncodedPool,
    blocks: Sequence[Block],
    first: int,
    on_progress: OnProgress | None,
    cancelled: Callable[[], bool],
    chunk_tokens: int | None,
) -> EncodedPool:
    policy, begun, done, tokens, store = policy_for(model.device), now(model.device), first, 0, encoded.store
    waiting: deque[tuple[Callable[[], float], int, int]] = deque()
    before = sum(len(block) for block in blocks[:first])
    total = sum(len(block) for block in blocks[first:])
    seen, ran_out = SeenTokens([len(block) for block in blocks], encoded.pattern), ""

    def report() -> None:
        """Of the oldest chunk that was given to the device, when the device has done it."""
        clock, blocks_done, tokens_done = waiting.popleft()
        seconds = clock() - begun
        if on_progress:
            on_progress(Progress(blocks_done - first, len(blocks) - first, tokens_done, total, seconds))

    chunks = Chunks(blocks[first:], chunk_tokens or tokens_at_once(model))
    while chunk := chunks.take():
        if cancelled():
            break
        try:
            _check_room(model, seen, chunk, int8=encoded.int8)
            store = store.extended(chunk[0].id, [len(block) for block in chunk], before + total)
            try:
                run_chunk(model, store, encoded.pattern, encoded.rope_length, blocks, chunk)
            except BaseException:
                store.drop_from(chunk[0].id)
                raise
        except (RuntimeError, MemoryError) as error:
            if not memory_ran_out(error):
                raise
            if chunks.halve(chunk):
                log.info(f"Memory of {model.device} ran out; blocks go through the model fewer at a time.")
                continue
            ran_out = _ran_out(model, chunk[0], before + tokens, int8=encoded.int8)
            if done == first:
                raise CapacityError(ran_out) from error
            log.warning(ran_out)
            break
        done, tokens = chunk[-1].id + 1, tokens + sum(len(block) for block in chunk)
        waiting.append((marked(model.device), done, tokens))
        if len(waiting) > policy.chunks_ahead:
            report()
    while waiting:
        report()
    if packs(model, store):
        layers_of(model, int8=encoded.int8).encoded()
    return replace(encoded, blocks=tuple(blocks[:done]), store=store, out_of_memory=ran_out)


def _check_room(model: LanguageModel, seen: SeenTokens, chunk: Sequence[Block], *, int8: bool) -> None:
    """`MemoryError` where a device that would not say so has no memory for a chunk."""
    if policy_for(model.device).takes_reserved:
        return
    kept = sum(map(len, chunk)) * bytes_per_token(model, int8=int8)
    needed = chunk_bytes(model, seen, chunk, int8=int8) + kept
    if needed > free_memory(model.device):
        raise MemoryError


def _ran_out(model: LanguageModel, block: Block, encoded: int, *, int8: bool) -> str:
    """That there was no memory for a block, and what fits."""
    at = f"Memory of {model.device} ran out at block {block.id + 1}"
    if encoded:
        return f"{at}; the {encoded:,} tokens before it are kept. Choose {encoded:,} pool tokens, or a smaller model."
    if len(block.rows) == 1:
        return f"{at}, a single row of {len(block):,} tokens; choose a smaller model, or have long rows truncated."
    share = working_of(model, int8=int8).tokens(free_memory(model.device)) / len(block)
    size = max(1, min(int(share * len(block.rows)), len(block.rows) - 1))
    return f"{at}, which has {len(block):,} tokens; choose a block size of at most {size}, or a smaller model."


def _check_positions(
    model: LanguageModel, blocks: Sequence[Block], pattern: BlockPattern, rope_length: int | None
) -> None:
    limit = rope_length or model.max_positions
    has = f"{model.name} has {limit:,} positions"
    if rope_length is not None and rope_length < model.max_positions:
        has = (
            f"the RoPE tables that were chosen for this pool hold for {limit:,} positions (those of {model.name} "
            "change with the length)"
        )
    lengths = [len(block) for block in blocks]
    for block in blocks:
        last = sum(lengths[w] for w in pattern.window(block.id)) if pattern.positions == "local" else 0
        if last > limit:
            raise CapacityError(
                f"Block {block.id + 1} and what it sees are {last:,} tokens long, and {has}; choose a smaller block "
                "size or window."
            )
    if pattern.positions == "sequential" and sum(lengths) > limit:
        raise CapacityError(
            f"The pool has {sum(lengths):,} tokens, and {has}; choose fewer pool tokens, encode all of them anew at "
            "once, or choose positions 'local', with which a pool may be longer than that."
        )
