"""Stage 1 of a chunk of blocks with one operator a layer, for models all of whose layers are read in place.

Knows nothing about whole pools or progress. Keys that the chunk sees stand in a bank, rotated: those of blocks before
it, then its own. A block sees two runs of the bank: the sinks, and what ends with itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from dbsa_core.attention.block_attention import block_attention_op, tile_tokens
from dbsa_core.attention.query_attention import has_kernel
from dbsa_core.blocks import Block, BlockPattern, starts
from dbsa_core.interrupt import AllWrittenError, held, stop_if_cancelled
from dbsa_core.model.hook import KEYWORD, NUMBER, ROTATES, ModuleStage, no_mask
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.model.rope import Neutral
from dbsa_core.store import Arena, KeyForm

SPARE = 2
"""Of what a chunk has none, so many that nobody reads: a compiler takes sizes of 0 and 1 for cases of their own."""


def packs(model: LanguageModel, store: Arena) -> bool:
    """Whether chunks go this way: every layer's keys are kept rotated, by one kind of RoPE tables, and there is a
    kernel for them."""
    rotated = all(form is KeyForm.FROM_BLOCK_START for form in store.forms)
    return model.moves_alike and rotated and has_kernel(_new_keys(store))


def _new_keys(store: Arena) -> torch.Tensor:
    """No tokens' keys, as the model makes them."""
    return store.keys.new_empty((0, *store.keys.shape[2:]), dtype=store.dtype)


class PackedStage(ModuleStage):
    """One forward of a chunk of blocks; everything that its layers share is made once."""

    def __init__(
        self, model: LanguageModel, store: Arena, pattern: BlockPattern, blocks: Sequence[Block], chunk: Sequence[Block]
    ):
        """For `chunk`, consecutive ones of `blocks` with places in the store."""
        # Not the model itself: a compiler's guards may keep what it saw.
        self.keys, self.values, self.scales = store.keys, store.values, store.scales
        self.begin = torch.tensor(store.span(chunk[0].id)[0])
        """On the host."""
        layout = _Layout(store, pattern, blocks, chunk)
        tiles = layout.tiles(tile_tokens(model.heads, model.shape.kv_heads, _new_keys(store)))
        token_ids = np.array([token for block in chunk for token in block.token_ids])
        # Where near queries serve for far keys too, some that nobody reads: a compiler takes other lists for others.
        apart = pattern.positions == "local" or len(layout.far) <= SPARE
        far = layout.far if apart else layout.far[:SPARE]
        stands = layout.in_block, layout.near, far
        sent = token_ids, np.concatenate(stands), layout.moves, layout.before, layout.table, tiles
        self.token_ids, places, moves, self.before, table, cut = _sent(sent, model.device)
        self.blocks, self.tiles = table.int(), cut.int()
        rope, head_dim, kind = model.rope, model.shape.head_dim, model.rope.layer_types[0]
        kept, near, turned_far = zip(
            *(_parted(part, stands) for part in rope.elementwise(rope.tables(places, kind), head_dim)), strict=True
        )
        self.turns = [*kept, *near, *rope.elementwise(rope.moves(moves, kind), head_dim), *turned_far]
        self.partner = rope.partner_matrix(head_dim, model.shape.dtype)
        self.positions = _parted(places, stands)[1]

    def run(self, model: LanguageModel, runner: PreTrainedModel, *, locked: bool = True) -> None:
        """Write the chunk's keys and values of all layers, by the model's own layers or those of its compiled twin;
        with the model's lock held, unless nobody is to wait for this."""
        stop_if_cancelled()
        arguments: dict[str, Any] = {
            "input_ids": self.token_ids[None],
            "position_ids": self.positions[None],
            "attention_mask": no_mask(model.device),
            "use_cache": False,
            KEYWORD: self,
        }
        neutral = Neutral(model.rope.rotary_dim)
        with (
            held(model.lock) if locked else nullcontext(),
            model.hook.staged(neutral),
            torch.inference_mode(),
            suppress(AllWrittenError),
        ):
            runner.get_decoder()(**arguments)

    def attend_in(
        self, module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        found: torch.Tensor = block_attention_op(
            query,
            key,
            value,
            self.keys,
            self.values,
            self.scales,
            getattr(module, NUMBER),
            self.begin,
            self.before,
            self.turns if getattr(module, ROTATES) else [],
            self.partner,
            self.blocks,
            self.tiles,
            scaling,
        )
        return found


def _sent(arrays: Sequence[np.ndarray], device: torch.device) -> list[torch.Tensor]:
    """Arrays of integers on the device, in one copy."""
    flat: Any = torch.from_numpy(np.concatenate([array.ravel() for array in arrays])).to(device)
    sizes = [array.size for array in arrays]
    return [part.view(array.shape) for part, array in zip(flat.split(sizes), arrays, strict=True)]


def _parted(joined: Any, arrays: Sequence[np.ndarray]) -> tuple[torch.Tensor, ...]:
    """What is of each of the arrays."""
    parts: tuple[torch.Tensor, ...] = joined.split([len(array) for array in arrays])
    return parts


_NOTHING = (0,) * 8
"""A block of no tokens: one more, so that there are always two at least."""


class _Layout:
    """Where everything of a chunk stands, as integers on the host."""

    def __init__(self, store: Arena, pattern: BlockPattern, blocks: Sequence[Block], chunk: Sequence[Block]):
        in_pool, seen = starts(blocks), {block.id: pattern.runs(block.id) for block in chunk}
        earlier = pattern.seen_before([block.id for block in chunk])
        spare = max(0, SPARE - sum(len(blocks[other]) for other in earlier))
        banked = [*earlier, *seen]
        bank = dict(zip(banked, accumulate((len(blocks[other]) for other in banked), initial=spare), strict=False))
        # Sinks stand where they stand in the pool. With local positions, near keys stand wherever they are few steps
        # from the near queries, for distances alone count, and far queries at their places in their own windows.
        sequential = pattern.positions == "sequential" or chunk[0].id < pattern.sink_blocks
        base = 0 if sequential else in_pool[seen[chunk[0].id][1][0]]

        def moved(block: int) -> int:
            return in_pool[block] - (0 if block < pattern.sink_blocks else base)

        def run(others: Sequence[int]) -> tuple[int, int, int]:
            if not others:
                return 0, 0, 0
            values = bank[others[0]] if store.int8 else store.span(others[0])[0]
            return bank[others[0]], values, sum(len(blocks[other]) for other in others)

        lengths = np.array([len(block) for block in chunk])
        self._lengths = lengths
        self.in_block = np.concatenate([np.arange(length) for length in lengths])
        """[tokens], of each token in its own block."""
        self.near = self.in_block + np.repeat([moved(block) for block in seen], lengths)
        """[tokens], positions of the chunk's tokens among near keys, their own included."""
        firsts = [sum(len(blocks[w]) for w in pattern.window(block)[:-1]) for block in seen]
        self.far = self.in_block + np.repeat(firsts, lengths) if pattern.positions == "local" else self.near
        """[tokens], their positions among far keys: with local positions, in their own windows."""
        copied = banked if store.int8 else earlier
        spans = [(0, spare), *(store.span(other) for other in copied)]
        self.before = np.concatenate([np.arange(*span) for span in spans])
        """[keys], of what the bank begins with, in the memory; all of it where that is int8."""
        moves = [0, *map(moved, copied)]
        self.moves = np.repeat(moves, [end - start for start, end in spans])
        """[keys], how far those are turned on."""
        first = [int(end - length) for end, length in zip(np.cumsum(lengths), lengths, strict=True)]
        runs = [(*run(sinks), *run(near)) for sinks, near in seen.values()]
        rows = [(at, n, *run) for at, n, run in zip(first, lengths.tolist(), runs, strict=True)]
        self.table = np.array([*rows, _NOTHING])
        """[blocks + 1, 8], as the operator takes it."""

    def tiles(self, tokens: int) -> np.ndarray:
        """[tiles + 1, 2], as the operator takes them, of so many tokens."""
        each = [*(np.arange(0, length, tokens) for length in self._lengths), np.zeros(1, int)]
        return np.stack([np.repeat(np.arange(len(each)), [len(one) for one in each]), np.concatenate(each)], axis=1)
