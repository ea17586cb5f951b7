"""Deferred RoPE: keys before rotation out of an unmodified model, and their rotation later with the model's own
function.

Knows nothing about blocks. In a staged forward the model's rotary tables are a `StandIn`'s: with cos = 1 and sin = 0,
attention receives queries and keys as they are before RoPE.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import nn

from dbsa_core.errors import CapacityError, ModelError

Tables = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class StandIn:
    """The rotary tables of one staged forward.

    Deferred, it returns cos = 1 and sin = 0. Otherwise it returns the true tables, computed as for a forward of
    `length` tokens: tables that depend on the length of the forward (longrope, dynamic NTK) are the same for pool and
    query then.
    """

    rope: Rope
    deferred: bool
    length: int | None

    def __call__(self, x: torch.Tensor, position_ids: torch.Tensor, layer_type: str | None = None) -> Tables:
        cos, sin = self.rope.tables(position_ids[0], layer_type, self.length, dtype=x.dtype)
        if self.deferred:
            return torch.ones_like(cos), torch.zeros_like(sin)
        return cos, sin


@dataclass(frozen=True)
class Neutral:
    """Tables of a staged forward that leave queries and keys as they are before RoPE, without computing the true ones;
    for decoders that have one table for all layers."""

    rotary_dim: int

    def __call__(self, x: torch.Tensor, position_ids: torch.Tensor, *_: Any, **__: Any) -> Tables:
        size = (*position_ids.shape, self.rotary_dim)
        return x.new_ones(size), x.new_zeros(size)


@dataclass(frozen=True)
class Rope:
    """A model's rotary embedding, as a function of positions.

    `rotates[layer]` tells whether a layer applies it at all; `layer_types[layer]` names its table where a model has
    several. Find them by `find_rope`.
    """

    embedding: nn.Module
    """A copy of the model's `rotary_emb`: calling it leaves the model's own state alone."""
    apply: Any
    """The model file's own `apply_rotary_pos_emb(query, key, cos, sin)`."""
    layer_types: tuple[str | None, ...]
    rotates: tuple[bool, ...]
    length_dependent: bool
    """Whether the tables change with the length of the forward (longrope, dynamic NTK)."""
    switch_length: int | None = None
    """Where they are length-dependent: up to this many positions the tables for short sequences hold."""
    whole_heads: bool = True
    """Whether `apply` takes whole heads; else the family's attention hands it the first rotary_dim numbers only."""

    def tables(
        self,
        positions: torch.Tensor,
        layer_type: str | None = None,
        length: int | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tables:
        """cos and sin [1, tokens, rotary_dim] at `positions` [tokens], as in a forward of `length` tokens.

        Raises `CapacityError` for positions beyond `length` where the tables depend on it: they would be another
        length's, and no longer those by which cached keys were rotated.
        """
        pinned = self.length_dependent and length is not None
        if pinned and length is not None and len(positions) and (last := int(positions.max())) >= length:
            raise CapacityError(
                f"Position {last:,} lies beyond the {length:,} for which these RoPE tables hold; they change with the "
                "length, so keys rotated before would not fit. Encode the pool anew, planned for more tokens."
            )
        asked = torch.cat([positions, positions.new_tensor([length - 1])]) if pinned and length else positions
        probe = torch.empty(0, dtype=dtype, device=positions.device)
        arguments = () if layer_type is None else (layer_type,)
        cos, sin = self.embedding(probe, asked[None], *arguments)
        return (cos[:, :-1], sin[:, :-1]) if pinned else (cos, sin)

    def moves(self, distances: torch.Tensor, layer_type: str | None = None) -> Tables:
        """cos and sin [1, tokens, rotary_dim], float32, that turn states which are rotated already further by
        `distances` [tokens] positions. The factor that YaRN's tables hold is left out: those states have it."""
        cos, sin = self.tables(torch.cat([distances.new_zeros(1), distances]), layer_type)
        return cos[:, 1:] / cos[:, :1], sin[:, 1:] / cos[:, :1]

    def rotate_wide(self, states: torch.Tensor, tables: Tables) -> torch.Tensor:
        """The same as `rotate`, computed in float32 or wider and rounded once."""
        wide = torch.promote_types(states.dtype, torch.float32)
        return self.rotate(states.to(wide), (tables[0].to(wide), tables[1].to(wide))).to(states.dtype)

    def partner(self, states: torch.Tensor) -> torch.Tensor:
        """What RoPE multiplies by sin, for `states` [batch, heads, tokens, head_dim]: of each number its signed
        partner."""
        size = (1, states.shape[2], self.rotary_dim)
        return self.rotate(states, (states.new_zeros(size), states.new_ones(size)))

    def partner_matrix(self, head_dim: int, dtype: torch.dtype) -> torch.Tensor:
        """`partner` as a matrix [head_dim, head_dim]: it is `states @ matrix`."""
        return self.partner(torch.eye(head_dim, device=_device_of(self.embedding))[None, None])[0, 0].to(dtype)

    def elementwise(self, tables: Tables, head_dim: int) -> Tables:
        """cos and sin [tokens, head_dim], float32, with which `rotate` is `states * cos + partner(states) * sin`: as
        the family's own function lays them out, and 1 and 0 for what of a head it leaves alone."""
        cos, sin = (table.float() for table in tables)
        ones, none, all_of = cos.new_ones(1, 1, cos.shape[1], head_dim), torch.zeros_like(cos), torch.ones_like(cos)
        signs, left_alone = self.rotate(ones, (none, all_of)), self.rotate(ones, (none, none))
        turned = self.rotate(ones, (none, sin)) * signs - left_alone
        return self.rotate(ones, (cos, none))[0, 0], turned[0, 0]

    @cached_property
    def rotary_dim(self) -> int:
        """Numbers of a head that take part."""
        return int(self.tables(torch.arange(1, device=_device_of(self.embedding)), self.layer_types[0])[0].shape[-1])

    def rotate(self, states: torch.Tensor, tables: Tables) -> torch.Tensor:
        """`states` [batch, heads, tokens, head_dim] rotated by cos and sin [1, tokens, rotary_dim]."""
        rotary_dim = tables[0].shape[-1]
        if self.whole_heads or rotary_dim == states.shape[-1]:
            rotated: torch.Tensor = self.apply(states[:, :0], states, *tables)[1]
            return rotated
        turned, passed = states[..., :rotary_dim], states[..., rotary_dim:]
        return torch.cat([self.apply(turned[:, :0], turned, *tables)[1], passed], dim=-1)

    def pinned_length(self, tokens: int, max_positions: int) -> int | None:
        """The one length to record for a pool and its queries, if at most `tokens` positions are ever used."""
        if not self.length_dependent:
            return None
        if self.switch_length is not None and tokens <= self.switch_length:
            return self.switch_length
        return max_positions


def _rope_parameters(config: Any) -> dict[str, Any]:
    parameters = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    return dict(parameters)


def find_rope(
    embedding: nn.Module,
    attention_module: type,
    config: Any,
    rotates: tuple[bool, ...],
    head_dim: int,
    max_positions: int,
) -> Rope:
    """The rotary embedding of a decoder, its attention being an instance of `attention_module`."""
    source = sys.modules[attention_module.__module__]
    apply = getattr(source, "apply_rotary_pos_emb", None)
    if apply is None:
        raise ModelError(
            f"The family {config.model_type!r} keeps no apply_rotary_pos_emb beside its attention, so its keys before "
            "RoPE cannot be rotated later. Use a model of a supported family (see the README)."
        )
    embedding = copy.deepcopy(embedding)
    typed = "layer_type" in _argument_names(embedding)
    types = tuple(getattr(config, "layer_types", None) or ()) if typed else ()
    layer_types = types if typed else (None,) * len(rotates)
    parameters = _rope_parameters(config)
    kinds = {str(p.get("rope_type", "default")) for p in (parameters, *parameters.values()) if isinstance(p, dict)}
    dependent = bool(kinds & {"dynamic", "longrope"})
    switch = parameters.get("original_max_position_embeddings") or getattr(
        config, "original_max_position_embeddings", None
    )
    rope = Rope(embedding, apply, layer_types, rotates, dependent, int(switch or max_positions) if dependent else None)
    _refuse_unknown_length_dependence(rope, config, max_positions)
    return replace(rope, whole_heads=_takes_whole_heads(rope, head_dim))


def _takes_whole_heads(rope: Rope, head_dim: int) -> bool:
    """With partial rotary some families' functions pass the rest of a head through, others must not see it."""
    device = _device_of(rope.embedding)
    kind = rope.layer_types[0] if rope.layer_types else None
    tables = rope.tables(torch.arange(2, device=device), kind)
    states = torch.zeros(1, 1, 2, head_dim, device=device)
    try:
        return rope.rotate(states, tables).shape == states.shape
    except RuntimeError:
        return False


def _device_of(embedding: nn.Module) -> torch.device:
    return next((buffer.device for buffer in embedding.buffers()), torch.get_default_device())


def _argument_names(embedding: nn.Module) -> tuple[str, ...]:
    forward: Any = embedding.forward
    while hasattr(forward, "__wrapped__"):
        forward = forward.__wrapped__
    return tuple(forward.__code__.co_varnames[: forward.__code__.co_argcount])


def _refuse_unknown_length_dependence(rope: Rope, config: Any, max_positions: int) -> None:
    """Tables that change with the length although no known kind says so would silently break every law."""
    if rope.length_dependent:
        return
    device = _device_of(rope.embedding)
    few = torch.arange(4, device=device)
    many = torch.cat([few, few.new_tensor([2 * max_positions])])
    for kind in dict.fromkeys(rope.layer_types):
        short = rope.tables(few, kind)[0]
        if not torch.equal(short, rope.tables(many, kind)[0][:, :4]):
            raise ModelError(
                f"The RoPE tables of this {config.model_type!r} model depend on the length of the forward in a way "
                "that is not known here, so cached keys could not be moved. Use a model with static, dynamic or "
                "longrope RoPE."
            )
