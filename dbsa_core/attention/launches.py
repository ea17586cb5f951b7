"""How kernels for CUDA are compiled and started: sizes of tiles, and what of a device they must fit.

Knows nothing about what a kernel computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import triton
from triton.tools.tensor_descriptor import TensorDescriptor

from dbsa_core.devices import gpu_of

SHARED_MARGIN = 1.3
"""The compiler takes more than the tiles."""
WIDEST_OF_MANY_ROWS = 128
"""Numbers of a head whose sums fit the registers beside 128 rows."""


@dataclass(frozen=True)
class Launch:
    """How a kernel is compiled: tiles of so many query rows and keys, in whose shared memory `stages` tiles of keys
    wait."""

    rows: int
    keys: int
    warps: int
    stages: int

    def shared_bytes(self, width: int) -> int:
        """For heads of `width` numbers of two bytes: the queries, and keys and values."""
        return 2 * width * (self.rows + 2 * self.stages * self.keys)


def width_of(head_dim: int) -> int:
    """Numbers of a head in a tile."""
    return max(16, int(triton.next_power_of_2(head_dim)))


def launches_that_fit(
    width: int, device: torch.device, launches: Sequence[Launch], margin: float = SHARED_MARGIN
) -> list[Launch]:
    """Those that the device has the shared memory for, with heads of `width` numbers."""
    limit = gpu_of(device).shared_bytes
    return [one for one in launches if margin * one.shared_bytes(width) <= limit]


def copies_tiles(head_dim: int, device: torch.device) -> bool:
    """Whether tiles of keys come by the accelerator: the device has one, and heads fill them."""
    return gpu_of(device).copies_tiles and width_of(head_dim) == head_dim


def tiles_of(memories: Sequence[torch.Tensor], launch: Launch) -> list[TensorDescriptor]:
    """Of memories [tokens, kv_heads, head_dim], what the accelerator copies tiles of a head by."""
    return [TensorDescriptor.from_tensor(one.flatten(1), [launch.keys, width_of(one.shape[2])]) for one in memories]
