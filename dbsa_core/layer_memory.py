"""One layer's keys and values as they are kept: as the model makes them, or as int8 with scales.

Knows nothing about blocks. An int8 number stands for `number * scale * channel`: keys and values have a scale for each
token and head, and keys a factor for each number of a head besides, for some are a hundred times as large as others
(biases in Qwen2), and all others of a token would be rounded away beside them (compare arXiv 2402.02750).
"""

from __future__ import annotations

from typing import NamedTuple

import torch

LARGEST = 127
SMALLEST_CHANNEL = 0.01
"""Of a key's factors, as a share of their mean: what the first block has none of may come later."""
SCALE_BYTES = 4


class LayerMemory(NamedTuple):
    """What attention of one layer reads."""

    keys: torch.Tensor
    values: torch.Tensor
    """Both [tokens, kv_heads, head_dim]."""
    scales: tuple[torch.Tensor, ...] = ()
    """Of int8: of keys and of values, float32 [tokens, kv_heads], and the factors of keys, float32 [kv_heads,
    head_dim]. None where both are as the model makes them."""

    def write(self, where: slice, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Keep keys and values [tokens, kv_heads, head_dim] of some tokens."""
        if not self.scales:
            self.keys[where], self.values[where] = keys, values
            return
        of_keys, of_values, channels = self.scales
        self.keys[where], of_keys[where] = quantised(keys, channels)
        self.values[where], of_values[where] = quantised(values)

    def read(self, where: slice | torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values [tokens, kv_heads, head_dim] of some tokens, of that type: views where they can be."""
        values = self.values[where]
        if self.scales:
            values = restored(values, self.scales[1][where], dtype)
        return self.read_keys(where, dtype), values

    def read_keys(self, where: slice | torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """The keys alone."""
        keys = self.keys[where]
        return restored(keys, self.scales[0][where], dtype, self.scales[2]) if self.scales else keys


def quantised(states: torch.Tensor, channels: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers of `states` [..., head_dim] as int8, rounded to nearest, and their scales, float32 [...]."""
    wide = states.to(torch.promote_types(states.dtype, torch.float32))
    wide = wide.clone() if channels is None else wide / channels
    scales = torch.linalg.vector_norm(wide, torch.inf, dim=-1) / LARGEST
    wide.div_(scales.clamp(min=torch.finfo(torch.float32).tiny)[..., None]).round_()
    return wide.to(torch.int8), scales.float()


def restored(
    numbers: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype, channels: torch.Tensor | None = None
) -> torch.Tensor:
    """The inverse of `quantised`, but for what was rounded; of that type."""
    found = numbers.to(torch.promote_types(dtype, torch.float32)).mul_(scales[..., None])
    return (found if channels is None else found.mul_(channels)).to(dtype)


def channels_of(keys: torch.Tensor, partner: torch.Tensor, count: torch.Tensor | int) -> torch.Tensor:
    """Factors of keys, float32 [kv_heads, head_dim], from the first `count` of `keys` [tokens, kv_heads, head_dim].

    They are the largest lengths of the pairs that RoPE turns, which turning leaves as they are: so keys have the same
    in whatever form they are kept. They are shares of the head's largest, for kernels multiply queries by them, which
    float16 has no room for otherwise. `partner` [head_dim, head_dim] is the family's; see `Rope.partner_matrix`.
    """
    wide = keys.float()
    lengths = torch.hypot(wide, wide @ partner.float())
    first = torch.arange(len(keys), device=keys.device) < count
    largest = torch.where(first[:, None, None], lengths, 0).amax(0)
    least = (SMALLEST_CHANNEL * largest.mean(-1, keepdim=True)).clamp(min=torch.finfo(torch.float32).tiny)
    found = torch.maximum(largest, least)
    return found / found.amax(-1, keepdim=True)
