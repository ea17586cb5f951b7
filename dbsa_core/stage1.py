"""Stage 1: blocks of a pool through the model, each seeing its window alone; keys before RoPE and values are kept.

Knows nothing about queries. Costs time in proportion to the mask's area and memory in proportion to a chunk of blocks
beside the stored keys and values, which are written where they stay; no n x n mask and no logits are made
(arXiv 2503.08640, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch

from dbsa_core.attention import CAUSAL, LayerOptions, Part, Visibility, attend
from dbsa_core.blocks import Block, BlockPattern, starts
from dbsa_core.data import Pool
from dbsa_core.devices import policy_for
from dbsa_core.errors import CapacityError
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.model.memory import memory_told
from dbsa_core.model.rope import Rope, Tables
from dbsa_core.prompt import PromptTemplate
from dbsa_core.store import Arena, with_spare
from dbsa_core.timing import now


@dataclass(frozen=True)
class Progress:
    """How far an encoding is."""

    blocks_done: int
    blocks_total: int
    tokens_done: int
    tokens_total: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        return self.tokens_done / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float:
        speed = self.tokens_per_second
        return (self.tokens_total - self.tokens_done) / speed if speed else float("inf")


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
    """More than `len(blocks)` where encoding was stopped."""
    seconds: float

    @property
    def complete(self) -> bool:
        return len(self.blocks) == self.blocks_planned

    @property
    def tokens(self) -> int:
        return sum(len(block) for block in self.blocks)

    @property
    def rows(self) -> tuple[int, ...]:
        """Indices of the pool's rows that are encoded."""
        return tuple(row for block in self.blocks for row in block.rows)

    @property
    def num_bytes(self) -> int:
        """Of the memory that is reserved for keys and values, room for more rows included."""
        return self.store.num_bytes


OnProgress = Callable[[Progress], None]


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
) -> EncodedPool:
    """Encode `blocks` (ids 0.. in order); `cancelled` is asked between chunks of blocks, and what is done is kept.

    Memory is reserved at once for `expected_tokens`, by default those of `blocks`, and some to spare. Raises
    `CapacityError` where sequential positions, or one window of local ones, exceed the model's.
    """
    _check_positions(model, blocks, pattern, rope_length)
    begun = now(model.device)
    tokens = max(expected_tokens or 0, sum(len(block) for block in blocks))
    with memory_told(model.device, f"over the pool of {tokens:,} tokens; choose fewer pool tokens or a smaller model."):
        store = arena_for(model, tokens)
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
    `EncodedPool`, in the same memory where there is room behind the old one.
    """
    if model.signature != encoded.model_signature:
        raise CapacityError("The pool was encoded by another model; encode it anew with this one before appending.")
    all_blocks = (*encoded.blocks, *blocks)
    _check_positions(model, all_blocks, encoded.pattern, encoded.rope_length)
    begun = now(model.device)
    before = replace(encoded, pool=pool, blocks_planned=len(all_blocks))
    done = _continue(model, before, all_blocks, len(encoded.blocks), on_progress, cancelled, chunk_tokens)
    return replace(done, seconds=encoded.seconds + now(model.device) - begun)


def arena_for(model: LanguageModel, tokens: int) -> Arena:
    """Memory for a pool of so many tokens, and some to spare."""
    shape = model.shape
    return Arena(
        layers=shape.layers,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        tokens=with_spare(tokens),
        dtype=shape.dtype,
        device=model.device,
    )


def _continue(
    model: LanguageModel,
    encoded: EncodedPool,
    blocks: Sequence[Block],
    first: int,
    on_progress: OnProgress | None,
    cancelled: Callable[[], bool],
    chunk_tokens: int | None,
) -> EncodedPool:
    budget = chunk_tokens or policy_for(model.device).encode_tokens
    begun, done, tokens, store = now(model.device), first, 0, encoded.store
    before = sum(len(block) for block in blocks[:first])
    total = sum(len(block) for block in blocks[first:])
    for chunk in _chunks(blocks[first:], budget):
        if cancelled():
            break
        reached = (
            f"at block {done + 1} of {len(blocks)}; choose fewer pool tokens ({before + tokens:,} were encoded) or a "
            "smaller model."
        )
        with memory_told(model.device, reached):
            store = store.extended(chunk[0].id, [len(block) for block in chunk], before + total)
            _encode_chunk(model, replace(encoded, store=store), blocks, chunk)
        done, tokens = chunk[-1].id + 1, tokens + sum(len(block) for block in chunk)
        if on_progress:
            on_progress(Progress(done - first, len(blocks) - first, tokens, total, now(model.device) - begun))
    return replace(encoded, blocks=tuple(blocks[:done]), store=store)


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


def _chunks(blocks: Sequence[Block], budget: int) -> Iterator[list[Block]]:
    chunk: list[Block] = []
    for block in blocks:
        if chunk and sum(map(len, chunk)) + len(block) > budget:
            yield chunk
            chunk = []
        chunk.append(block)
    if chunk:
        yield chunk


def _encode_chunk(model: LanguageModel, encoded: EncodedPool, blocks: Sequence[Block], chunk: list[Block]) -> None:
    stage = BlockStage.of(model, encoded, blocks, chunk)
    token_ids = model.ids([token for block in chunk for token in block.token_ids])
    try:
        model.run(token_ids, stage.positions, stage, deferred=True, rope_length=encoded.rope_length)
    except BaseException:
        encoded.store.drop_from(chunk[0].id)
        raise


Slices = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Window:
    """One block of the chunk and what it sees."""

    start: int
    end: int
    """Its tokens within the chunk."""
    in_arena: Slices
    in_bank: Slices
    """Where the window's tokens stand, in order, the block's own last."""
    key_positions: torch.Tensor
    """[keys], of the window's tokens."""
    visibility: Visibility


@dataclass
class BlockStage:
    """Attention of stage 1 for one chunk of blocks: each block against [sink, previous, itself], at its own positions.

    The chunk's keys and values are written where they stay, and windows are read from there. With sequential positions
    a key stands at one position for every reader: then a bank holds the rotated keys of one layer, first those of the
    earlier blocks that the chunk sees, then the chunk's own.
    """

    rope: Rope
    rope_length: int | None
    store: Arena
    first: int
    last: int
    """The chunk's tokens in the store."""
    earlier: Slices
    """In the store: what the chunk sees of the blocks before it."""
    windows: list[_Window]
    bank_positions: torch.Tensor | None
    """[bank tokens] with sequential positions; None with local ones."""
    _bank: torch.Tensor | None = None
    _tables: dict[tuple[int, str | None], Tables] = field(default_factory=dict)

    @classmethod
    def of(
        cls, model: LanguageModel, encoded: EncodedPool, blocks: Sequence[Block], chunk: Sequence[Block]
    ) -> BlockStage:
        """For `chunk`, consecutive ones of `blocks` with places in the pool's store."""
        pattern, store, in_pool, in_chunk = encoded.pattern, encoded.store, starts(blocks), starts(chunk)
        earlier = sorted({w for block in chunk for w in pattern.window(block.id)} - {block.id for block in chunk})
        banked = [*earlier, *(block.id for block in chunk)]
        bank = dict(zip(banked, pairwise(starts([blocks[b] for b in banked])), strict=True))
        sequential = pattern.positions == "sequential"
        windows = []
        for block, (start, end) in zip(chunk, pairwise(in_chunk), strict=True):
            seen = pattern.window(block.id)
            local = range(sum(len(blocks[w]) for w in seen))
            positions = _run([range(in_pool[w], in_pool[w + 1]) for w in seen]) if sequential else local
            # Each token sees all keys up to its own: the window's earlier blocks whole, its own block causally.
            visibility = Visibility(positions[len(positions) - len(block) :], (Part(positions, CAUSAL),))
            at = torch.tensor(positions, device=model.device)
            slices = _joined([store.span(w) for w in seen]), _joined([bank[w] for w in seen])
            windows.append(_Window(start, end, *slices, at, visibility))
        bank_positions = torch.cat([torch.arange(in_pool[b], in_pool[b + 1]) for b in banked]) if sequential else None
        return cls(
            model.rope,
            encoded.rope_length,
            store,
            store.span(chunk[0].id)[0],
            store.span(chunk[-1].id)[1],
            _joined([store.span(b) for b in earlier]),
            windows,
            None if bank_positions is None else bank_positions.to(model.device),
        )

    @property
    def positions(self) -> torch.Tensor:
        """Positions of the chunk's own tokens [tokens]."""
        return torch.cat([w.key_positions[w.start - w.end :] for w in self.windows])

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: LayerOptions
    ) -> torch.Tensor:
        # [kv_heads, tokens, head_dim] of the whole memory.
        keys, values = self.store.keys[layer].transpose(0, 1), self.store.values[layer].transpose(0, 1)
        keys[:, self.first : self.last], values[:, self.first : self.last] = key[0], value[0]
        rotates = self.rope.rotates[layer]
        if banked := rotates and self.bank_positions is not None:
            cos, sin = self._rope_tables(-1, self.bank_positions, layer, query.dtype)
            own = query.shape[2]
            query = self.rope.rotate(query, (cos[:, -own:], sin[:, -own:]))
            keys = self._banked(keys, (cos, sin))
        outputs = []
        for index, window in enumerate(self.windows):
            seen = _gather(keys, window.in_bank if banked else window.in_arena)
            own_query = query[:, :, window.start : window.end]
            if rotates and not banked:
                cos, sin = self._rope_tables(index, window.key_positions, layer, query.dtype)
                own = window.end - window.start
                seen = self.rope.rotate(seen, (cos, sin))
                own_query = self.rope.rotate(own_query, (cos[:, -own:], sin[:, -own:]))
            held = seen, _gather(values, window.in_arena)
            outputs.append(attend(own_query, [held], window.visibility, options))
        return torch.cat(outputs, dim=2)

    def _banked(self, keys: torch.Tensor, tables: Tables) -> torch.Tensor:
        """The bank filled from a layer's keys [kv_heads, tokens, head_dim], in memory that all layers share."""
        cos, sin = tables
        if self._bank is None:
            self._bank = keys.new_empty(keys.shape[0], cos.shape[1], keys.shape[2])
        at = 0
        for start, end in _joined([*self.earlier, (self.first, self.last)]):
            part = slice(at, at + end - start)
            self._bank[:, part] = self.rope.rotate(keys[None, :, start:end], (cos[:, part], sin[:, part]))[0]
            at = part.stop
        return self._bank

    def _rope_tables(self, index: int, positions: torch.Tensor | None, layer: int, dtype: torch.dtype) -> Tables:
        """Tables for the bank (-1) or for one window, made once for all layers of a kind."""
        kind = self.rope.layer_types[layer]
        if (index, kind) not in self._tables:
            assert positions is not None
            self._tables[index, kind] = self.rope.tables(positions, kind, self.rope_length, dtype=dtype)
        return self._tables[index, kind]


def _gather(memory: torch.Tensor, slices: Slices) -> torch.Tensor:
    """[1, kv_heads, keys, head_dim] of [kv_heads, tokens, head_dim]; a view where they stand together."""
    parts = [memory[None, :, start:end] for start, end in slices]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def _run(ranges: Sequence[range]) -> Sequence[int]:
    """The numbers of all ranges: one range where they follow one another without gaps."""
    if all(a.stop == b.start for a, b in pairwise(ranges)):
        return range(ranges[0].start, ranges[-1].stop)
    return tuple(number for one in ranges for number in one)


def _joined(slices: Sequence[tuple[int, int]]) -> Slices:
    """The slices with neighbours made one."""
    joined: list[tuple[int, int]] = []
    for start, end in slices:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(joined)
