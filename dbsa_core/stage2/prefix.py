"""Stage 2, the prefix: chosen blocks at fresh positions, of which every new token sees everything.

Knows nothing about how blocks were chosen or what the query is (arXiv 2503.08640, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch

from dbsa_core.model.language_model import LanguageModel
from dbsa_core.stage1 import EncodedPool


@dataclass(frozen=True, eq=False)
class Prefix:
    """What a query sees before itself: rotated keys and values at positions 0..length-1. Nobody writes into it, so that
    many queries may read it at once."""

    model: LanguageModel
    keys: torch.Tensor
    values: torch.Tensor
    """[layers, kv_heads, length, head_dim]."""
    block_spans: tuple[tuple[int, int, int], ...] = ()
    """(block id, start, end) in the prefix's order."""
    rope_length: int | None = None

    @classmethod
    def empty(cls, model: LanguageModel, rope_length: int | None = None) -> Prefix:
        """Nothing before the query."""
        return cls(model, *reserve(model, 0), (), rope_length)

    @property
    def length(self) -> int:
        """Its tokens, without the query."""
        return self.keys.shape[2]


def reserve(model: LanguageModel, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Memory for keys and values of so many tokens, each [layers, kv_heads, tokens, head_dim]."""
    size = (model.shape.layers, model.shape.kv_heads, tokens, model.shape.head_dim)
    keys = torch.empty(size, dtype=model.shape.dtype, device=model.device)
    return keys, torch.empty_like(keys)


def assemble(model: LanguageModel, encoded: EncodedPool, block_ids: Sequence[int]) -> Prefix:
    """The blocks, in the order given, at positions 0.. with RoPE applied."""
    stored = [encoded.store.get(block_id) for block_id in block_ids]
    ends = list(accumulate((kv.keys.shape[2] for kv in stored), initial=0))
    with torch.inference_mode():
        keys, values = reserve(model, ends[-1])
        for kv, start, end in zip(stored, ends, ends[1:], strict=False):
            values[:, :, start:end] = kv.values
            _rotate_into(keys[:, :, start:end], kv.keys, model, start, encoded.rope_length)
    spans = tuple(zip(block_ids, ends, ends[1:], strict=False))
    return Prefix(model, keys, values, spans, encoded.rope_length)


def _rotate_into(
    target: torch.Tensor, keys: torch.Tensor, model: LanguageModel, first: int, rope_length: int | None
) -> None:
    """Rotate a block's keys [layers, kv_heads, tokens, head_dim] to positions `first`.., all layers of a kind at
    once."""
    rope = model.rope
    positions = torch.arange(first, first + keys.shape[2], device=keys.device)
    kinds = {(kind, rotates) for kind, rotates in zip(rope.layer_types, rope.rotates, strict=True)}
    for kind, rotates in kinds:
        layers = [i for i in range(len(rope.rotates)) if (rope.layer_types[i], rope.rotates[i]) == (kind, rotates)]
        every = len(layers) == len(rope.rotates)
        part = keys if every else keys[layers]
        if rotates:
            part = rope.rotate(part, rope.tables(positions, kind, rope_length, dtype=keys.dtype))
        target[slice(None) if every else layers] = part
