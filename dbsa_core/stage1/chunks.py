"""Blocks on their way through the model: how many go together, and by which forward.

Knows nothing about whole pools or progress.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from dbsa_core.blocks import Block, BlockPattern
from dbsa_core.devices import policy_for
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.stage1.layers import layers_of
from dbsa_core.stage1.packed import PackedStage, packs
from dbsa_core.stage1.windows import BlockStage
from dbsa_core.store import Arena


def tokens_at_once(model: LanguageModel) -> int:
    """Of blocks that go through the model together."""
    policy = policy_for(model.device)
    wanted = policy.encode_products * model.shape.layers / model.model.num_parameters()
    return max(policy.encode_tokens, min(policy.most_encode_tokens, int(wanted)))


class Chunks:
    """Consecutive blocks, taken so many tokens at a time, a block at least; fewer once memory ran out."""

    def __init__(self, blocks: Sequence[Block], tokens: int):
        self._left, self._tokens = deque(blocks), tokens

    def take(self) -> list[Block]:
        """The next ones; none where all are taken."""
        chunk: list[Block] = []
        while self._left and (not chunk or sum(map(len, chunk)) + len(self._left[0]) <= self._tokens):
            chunk.append(self._left.popleft())
        return chunk

    def halve(self, chunk: list[Block]) -> bool:
        """Put a chunk back, to be taken in halves; False where it is a single block."""
        if len(chunk) == 1:
            return False
        self._left.extendleft(reversed(chunk))
        self._tokens = sum(map(len, chunk)) // 2
        return True


def run_chunk(
    model: LanguageModel,
    store: Arena,
    pattern: BlockPattern,
    rope_length: int | None,
    blocks: Sequence[Block],
    chunk: Sequence[Block],
    *,
    compiled: bool = True,
) -> None:
    """Write keys and values of `chunk`, consecutive ones of `blocks` with places in the store; by compiled layers where
    there are some and they are wanted."""
    if packs(model, store):
        twin = layers_of(model, int8=store.int8).twin if compiled else None
        PackedStage(model, store, pattern, blocks, chunk).run(model, twin or model.model)
    else:
        windows = BlockStage.of(model, store, rope_length, pattern, blocks, chunk)
        token_ids = model.ids([token for block in chunk for token in block.token_ids])
        model.run(token_ids, windows.positions, windows, deferred=True, rope_length=rope_length)
