"""Where encoded blocks are kept.

Knows nothing about models or prompts: block ids and tensors only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from dbsa_core.store.memory import MemoryStore


@dataclass(frozen=True)
class BlockKV:
    """One block's keys before RoPE and its values, both [layers, kv_heads, tokens, head_dim]."""

    keys: torch.Tensor
    values: torch.Tensor

    @property
    def num_bytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes


class KVStore(Protocol):
    """Blocks by id. `get` of a block that was never put raises `KeyError`."""

    def put(self, block_id: int, kv: BlockKV) -> None: ...

    def get(self, block_id: int) -> BlockKV: ...

    def __contains__(self, block_id: int) -> bool: ...

    @property
    def num_bytes(self) -> int: ...


__all__ = ["BlockKV", "KVStore", "MemoryStore"]
