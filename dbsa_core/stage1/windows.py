"""Attention of stage 1: what each block of a chunk sees, and where its keys and values are written.

Knows nothing about whole pools or progress.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import torch

from dbsa_core.attention import CAUSAL, LayerOptions, Part, Visibility, attend
from dbsa_core.blocks import Block, BlockPattern, starts
from dbsa_core.interrupt import AllWrittenError
from dbsa_core.layer_memory import LayerMemory, channels_of
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.model.rope import Rope, Tables
from dbsa_core.store import Arena, KeyForm

Slices = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class _Places:
    """Where some keys stand among all that a query may see."""

    positions: torch.Tensor
    """[keys]."""
    origins: torch.Tensor
    """[keys], the position of the first key of each one's block."""

    @classmethod
    def of(cls, blocks: Sequence[tuple[int, int]], device: torch.device) -> _Places:
        """Of whole blocks, by their (first position, length)."""
        firsts, lengths = torch.tensor(blocks, dtype=torch.long, device=device).view(-1, 2).unbind(1)
        origins = firsts.repeat_interleave(lengths)
        within = [torch.arange(length, device=device) for _, length in blocks]
        return cls(origins + torch.cat(within) if within else origins, origins)

    def last(self, tokens: int) -> _Places:
        """Those of the last keys."""
        return _Places(self.positions[-tokens:], self.origins[-tokens:])

    @property
    def from_block_start(self) -> torch.Tensor:
        """[keys], positions counted from the first key of their block."""
        return self.positions - self.origins


@dataclass(frozen=True)
class _Window:
    """One block of the chunk and what it sees."""

    start: int
    end: int
    """Its tokens within the chunk."""
    in_arena: Slices
    in_bank: Slices
    """Where the window's tokens stand, in order, the block's own last."""
    places: _Places
    """Of the window's tokens."""
    visibility: Visibility


@dataclass
class BlockStage:
    """Attention of stage 1 for one chunk of blocks: each block against [sink, previous, itself], at its own positions.

    The chunk's keys and values are written where they stay, each layer's keys in their form, and windows are read from
    there. With sequential positions a key stands at one position for every reader: then a bank holds the rotated keys
    of one layer, first those of the earlier blocks that the chunk sees, then the chunk's own.
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
    own: _Places
    """Of the chunk's tokens."""
    before: _Places | None
    """Of the earlier tokens in the bank, with sequential positions; None with local ones."""
    _bank: torch.Tensor | None = None
    _tables: dict[tuple[int, str | None, str], Tables] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: LanguageModel,
        store: Arena,
        rope_length: int | None,
        pattern: BlockPattern,
        blocks: Sequence[Block],
        chunk: Sequence[Block],
    ) -> BlockStage:
        """For `chunk`, consecutive ones of `blocks` with places in the store."""
        in_pool, in_chunk = starts(blocks), starts(chunk)
        earlier = pattern.seen_before([block.id for block in chunk])
        banked = [*earlier, *(block.id for block in chunk)]
        bank = dict(zip(banked, pairwise(starts([blocks[b] for b in banked])), strict=True))
        sequential = pattern.positions == "sequential"

        def placed(block_ids: Sequence[int], firsts: Sequence[int]) -> _Places:
            held = [(first, len(blocks[b])) for b, first in zip(block_ids, firsts, strict=True)]
            return _Places.of(held, model.device)

        windows = []
        for block, (start, end) in zip(chunk, pairwise(in_chunk), strict=True):
            seen = pattern.window(block.id)
            firsts = [in_pool[w] for w in seen] if sequential else starts([blocks[w] for w in seen])[:-1]
            positions = _run([range(first, first + len(blocks[w])) for w, first in zip(seen, firsts, strict=True)])
            # Each token sees all keys up to its own: the window's earlier blocks whole, its own block causally.
            visibility = Visibility(positions[len(positions) - len(block) :], (Part(positions, CAUSAL),))
            slices = _joined([store.span(w) for w in seen]), _joined([bank[w] for w in seen])
            windows.append(_Window(start, end, *slices, placed(seen, firsts), visibility))
        owns = [window.places.last(window.end - window.start) for window in windows]
        return cls(
            model.rope,
            rope_length,
            store,
            store.span(chunk[0].id)[0],
            store.span(chunk[-1].id)[1],
            _joined([store.span(b) for b in earlier]),
            windows,
            _Places(torch.cat([own.positions for own in owns]), torch.cat([own.origins for own in owns])),
            placed(earlier, [in_pool[b] for b in earlier]) if sequential else None,
        )

    @property
    def positions(self) -> torch.Tensor:
        """Positions of the chunk's own tokens [tokens]."""
        return self.own.positions

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: LayerOptions
    ) -> torch.Tensor:
        memory = self.store.layer(layer)
        self._write(memory, layer, key, value)
        if layer == len(self.store.keys) - 1:
            raise AllWrittenError
        # [kv_heads, tokens, head_dim] of the whole memory; or of what the chunk sees, restored from int8: blocks see
        # what is kept, of their own tokens too, so that nothing depends on how chunks were cut.
        restored = self.store.int8
        there = self._seen if restored else slice(None)
        keys, values = (states.transpose(0, 1) for states in memory.read(there, query.dtype))
        rotates = self.rope.rotates[layer]
        if banked := rotates and self.before is not None:
            tables = self._rope_tables(_OWN, self.own, layer, query.dtype)
            query = self.rope.rotate(query, tables)
            if restored:
                before = keys.shape[1] - query.shape[2]
                own = self._at_places(_OWN, self.own, layer, keys[None, :, before:])
                keys = self._banked(layer, keys, ((0, before),), own)
            else:
                keys = self._banked(layer, keys, self.earlier, self.rope.rotate(key, tables))
        # Tokens first, as the caller wants them: what is returned is a view.
        output = query.new_empty(1, query.shape[2], query.shape[1], query.shape[3])
        for index, window in enumerate(self.windows):
            seen = _gather(keys, window.in_bank if banked or restored else window.in_arena)
            own_query = query[:, :, window.start : window.end]
            if rotates and not banked:
                seen = self._at_places(index, window.places, layer, seen)
                cos, sin = self._rope_tables(index, window.places, layer, query.dtype)
                length = window.end - window.start
                own_query = self.rope.rotate(own_query, (cos[:, -length:], sin[:, -length:]))
            held = seen, _gather(values, window.in_bank if restored else window.in_arena)
            seen_by_own = attend(own_query, [held], window.visibility, options)
            output[:, window.start : window.end] = seen_by_own.transpose(1, 2)
        return output.transpose(1, 2)

    def _write(self, memory: LayerMemory, layer: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """Keep the chunk's keys and values."""
        if self.store.int8 and self.first == 0:
            partner = self.rope.partner_matrix(key.shape[3], torch.float32)
            memory.scales[2].copy_(channels_of(key[0].transpose(0, 1), partner, self.windows[0].end))
        kept = self._as_kept(layer, key)
        memory.write(slice(self.first, self.last), kept[0].transpose(0, 1), value[0].transpose(0, 1))

    def _as_kept(self, layer: int, key: torch.Tensor) -> torch.Tensor:
        """The chunk's keys in the layer's form."""
        if self.store.forms[layer] is KeyForm.BEFORE_ROPE or not self.rope.rotates[layer]:
            return key
        kind = self.rope.layer_types[layer]
        if (_OWN, kind, "start") not in self._tables:
            self._tables[_OWN, kind, "start"] = self.rope.tables(self.own.from_block_start, kind)
        return self.rope.rotate_wide(key, self._tables[_OWN, kind, "start"])

    @cached_property
    def _seen(self) -> torch.Tensor:
        """Where in the memory what the chunk sees stands, its own last: int64 [keys]."""
        spans = [*self.earlier, (self.first, self.last)]
        return torch.cat([torch.arange(*span, device=self.own.positions.device) for span in spans])

    def _banked(self, layer: int, keys: torch.Tensor, earlier: Slices, own: torch.Tensor) -> torch.Tensor:
        """The bank filled from keys as they are kept [kv_heads, tokens, head_dim], of which it takes `earlier`, and the
        chunk's rotated keys, in memory that all layers share."""
        assert self.before is not None
        before = len(self.before.positions)
        if self._bank is None:
            self._bank = keys.new_empty(keys.shape[0], before + own.shape[2], keys.shape[2])
        if before:
            self._bank[:, :before] = self._at_places(_EARLIER, self.before, layer, _gather(keys, earlier))[0]
        self._bank[:, before:] = own[0]
        return self._bank

    def _at_places(self, index: int, places: _Places, layer: int, kept: torch.Tensor) -> torch.Tensor:
        """Keys of a layer that rotates, from their form to where they stand."""
        if self.store.forms[layer] is KeyForm.BEFORE_ROPE:
            return self.rope.rotate(kept, self._rope_tables(index, places, layer, kept.dtype))
        kind = self.rope.layer_types[layer]
        if (index, kind, "move") not in self._tables:
            self._tables[index, kind, "move"] = self.rope.moves(places.origins, kind)
        return self.rope.rotate_wide(kept, self._tables[index, kind, "move"])

    def _rope_tables(self, index: int, places: _Places, layer: int, dtype: torch.dtype) -> Tables:
        """Tables for the positions of the bank's parts or of one window, made once for all layers of a kind."""
        kind = self.rope.layer_types[layer]
        if (index, kind, "place") not in self._tables:
            self._tables[index, kind, "place"] = self.rope.tables(places.positions, kind, self.rope_length, dtype=dtype)
        return self._tables[index, kind, "place"]


_OWN, _EARLIER = -1, -2
"""Of tables, beside the numbers of windows: the chunk's tokens, and those before it in the bank."""


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
