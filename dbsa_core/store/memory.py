"""Encoded blocks in memory, on the device where they were made.

Knows nothing about files or budgets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbsa_core.store import BlockKV


class MemoryStore:
    """A dictionary of blocks."""

    def __init__(self) -> None:
        self._blocks: dict[int, BlockKV] = {}

    def put(self, block_id: int, kv: BlockKV) -> None:
        self._blocks[block_id] = kv

    def get(self, block_id: int) -> BlockKV:
        return self._blocks[block_id]

    def __contains__(self, block_id: int) -> bool:
        return block_id in self._blocks

    @property
    def num_bytes(self) -> int:
        return sum(kv.num_bytes for kv in self._blocks.values())
