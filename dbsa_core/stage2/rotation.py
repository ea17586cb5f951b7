"""Stage 2, new tokens rotated: their keys to where they stand, their queries to where the keys they meet count from.

Knows nothing about what is visible. A block that is read in place has keys rotated from its own start, at a position m
of the prefix: for it a query at position p is rotated by p - m, which is exact for RoPE tables that are the same at
every length, since scores depend on distances alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from dbsa_core.model.rope import Tables
from dbsa_core.stage2.prefix import Prefix


@dataclass(frozen=True, eq=False)
class Rotation:
    """The rotations of one forward of new tokens behind a prefix, whose tables its layers share."""

    prefix: Prefix
    positions: torch.Tensor
    """[tokens], of the new tokens."""
    _tables: dict[tuple[str | None, bool], Tables] = field(default_factory=dict, repr=False)

    @property
    def deferred(self) -> bool:
        """Whether the stage rotates queries and keys; else the model has done so."""
        return self.prefix.blocks is not None

    def placed(self, layer: int, states: torch.Tensor) -> torch.Tensor:
        """Queries or keys [1, heads, tokens, head_dim] of new tokens, rotated to their positions."""
        if not self.deferred or not self.prefix.model.rope.rotates[layer]:
            return states
        return self.prefix.model.rope.rotate(states, self._made(layer, turned=False))

    def turned(self, layer: int, query: torch.Tensor) -> torch.Tensor:
        """Queries before RoPE [1, heads, tokens, head_dim], rotated for each block: [blocks, heads, tokens,
        head_dim]."""
        assert self.prefix.blocks is not None
        for_each = query.expand(len(self.prefix.blocks.firsts), -1, -1, -1)
        if not self.prefix.model.rope.rotates[layer]:
            return for_each
        return self.prefix.model.rope.rotate(for_each, self._made(layer, turned=True))

    def _made(self, layer: int, *, turned: bool) -> Tables:
        """[1 or blocks, tokens, rotary_dim]: for positions counted from the prefix's start, or from each block's."""
        model = self.prefix.model
        kind = model.rope.layer_types[layer]
        if (kind, turned) not in self._tables:
            counted_from = self.prefix.blocks.firsts if turned and self.prefix.blocks is not None else (0,)
            at = self.positions - torch.tensor(counted_from, device=self.positions.device)[:, None]
            tables = model.rope.tables(at.flatten(), kind, self.prefix.rope_length, dtype=model.shape.dtype)
            cos, sin = (table.view(*at.shape, -1) for table in tables)
            self._tables[kind, turned] = cos, sin
        return self._tables[kind, turned]
