"""Stage 2, the tail: new tokens behind a prefix, which they see whole, and how they see one another.

Knows nothing about labels: its tokens are a prompt, read causally, and then nodes of some tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

import torch

from dbsa_core.attention import (
    ALL,
    CAUSAL,
    KeysAndValues,
    LayerOptions,
    Part,
    Sees,
    Visibility,
    attend,
    attend_behind,
)
from dbsa_core.attention.reference import attention_scores, probabilities_of
from dbsa_core.attention.visibility import causal_tail
from dbsa_core.stage2.prefix import Prefix, reserve
from dbsa_core.stage2.rotation import Rotation

MASKED_PROMPT = 512
"""A prompt of up to so many tokens behind a prefix shares one small mask with the nodes, so that a layer reads the
prefix once. A longer one is a causal square by itself: its mask would grow with the square of its tokens."""


@dataclass
class AttentionMass:
    """Where the query's last token looked: for every layer and head, the share of attention on every span."""

    spans: tuple[tuple[int, int], ...]
    by_layer: dict[int, torch.Tensor] = field(default_factory=dict)
    """layer -> float32 [heads, spans]."""
    nowhere: dict[int, torch.Tensor] = field(default_factory=dict)
    """layer with sink scores -> float32 [heads]: the share that these took, which is on no token."""
    _tokens: torch.Tensor | None = field(default=None, repr=False)
    """float32 [tokens]: the means of the heads of each layer so far, added up."""
    _edges: dict[int, torch.Tensor] = field(default_factory=dict, repr=False)

    def take(self, layer: int, weights: torch.Tensor, first: int) -> None:
        """Those of a layer: float32 [heads, keys], of the keys from `first` on; those before it have none."""
        if first not in self._edges:
            edges = torch.tensor(self.spans, dtype=torch.long).view(-1, 2) - first
            self._edges[first] = edges.clamp(min=0).to(weights.device)
        sums = torch.cat([weights.new_zeros(len(weights), 1), weights.cumsum(-1)], dim=-1)
        starts, ends = self._edges[first].unbind(-1)
        self.by_layer[layer] = (sums[:, ends] - sums[:, starts]).clamp(min=0)
        if self._tokens is None:
            self._tokens = weights.new_zeros(first + weights.shape[-1])
        self._tokens[first:] += weights.mean(0)

    def by_token(self) -> torch.Tensor:
        """float32 [tokens] on the CPU: of all that was seen, from the first token on, the mean of all layers' heads."""
        assert self._tokens is not None
        return (self._tokens / len(self.by_layer)).cpu()

    def stacked(self) -> torch.Tensor:
        """float32 [layers, heads, spans] on the CPU; one more share is `nowhere`, where any layer has it."""
        found = [self.by_layer[layer] for layer in sorted(self.by_layer)]
        if self.nowhere:
            rest = [self.nowhere.get(layer, self.by_layer[layer].new_zeros(())) for layer in sorted(self.by_layer)]
            columns = [more.expand(len(one)).unsqueeze(-1) for more, one in zip(rest, found, strict=True)]
            found = [torch.cat([one, column], dim=-1) for one, column in zip(found, columns, strict=True)]
        return torch.stack(found).cpu()


@dataclass(frozen=True, eq=False)
class Group:
    """Tokens of one forward that see alike: the prefix, the first tokens of the tail, and some more as `sees` says."""

    start: int
    end: int
    """Its tokens within the forward."""
    whole: int
    """Tokens of the tail, from its beginning, that all of the group see."""
    last: int
    """The tail's tokens from `whole` up to here are seen as `sees` says."""
    sees: Sees


class Tail:
    """The new tokens behind one prefix: memory for their keys and values, and their positions.

    Serves one query at a time.
    """

    def __init__(self, prefix: Prefix, capacity: int):
        self.prefix = prefix
        self.keys, self.values = reserve(prefix.model, [capacity] * prefix.model.shape.layers)
        """For each layer [kv_heads, capacity, head_dim], rotated."""
        self.positions: list[int] = []
        """Of each of its tokens so far."""

    def __len__(self) -> int:
        return len(self.positions)


@dataclass
class TailStage:
    """Attention of one forward over new tokens; `start` of the tail's tokens were there before."""

    tail: Tail
    start: int
    groups: tuple[Group, ...]
    mass: AttentionMass | None = None
    mass_row: int = 0
    """The tail's token whose attention `mass` takes; it sees all of the tail up to itself."""
    _seen: dict[bool, list[Visibility]] = field(default_factory=dict, repr=False)

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: LayerOptions
    ) -> torch.Tensor:
        new = slice(self.start, self.start + key.shape[2])
        self.tail.keys[layer][:, new] = self.rotation.placed(layer, key)[0]
        self.tail.values[layer][:, new] = value[0]
        placed, blocks = self.rotation.placed(layer, query), self.tail.prefix.in_place(layer)
        turned = None if blocks is None else self.rotation.turned(layer, query)
        outputs = []
        for group, visibility in zip(self.groups, self._visibilities(blocks is not None), strict=True):
            own, parts = slice(group.start, group.end), self._parts(layer, group)
            if blocks is None or turned is None:
                outputs.append(attend(placed[:, :, own], parts, visibility, options))
            else:
                behind = blocks.memory(layer), blocks.stretches, placed[:, :, own], parts, visibility, options
                outputs.append(attend_behind(turned[:, :, own], *behind))
        if self.mass is not None:
            row = self.mass_row - self.start
            own = slice(row, row + 1)
            self._look(self.mass, layer, placed[:, :, own], None if turned is None else turned[:, :, own], options)
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=2)

    @cached_property
    def rotation(self) -> Rotation:
        """Of this forward's tokens."""
        return Rotation(self.tail.prefix, self.tail.prefix.model.ids(self.tail.positions[self.start :]))

    def _visibilities(self, in_place: bool) -> list[Visibility]:
        """Of each group: what stands in memory of its own, so without the blocks that a layer reads in place."""
        if in_place not in self._seen:
            self._seen[in_place] = [self._visibility(group, in_place) for group in self.groups]
        return self._seen[in_place]

    def _visibility(self, group: Group, in_place: bool) -> Visibility:
        prefix, positions = self.tail.prefix, self.tail.positions
        first = prefix.blocks_end if in_place else 0
        parts = [Part(range(first, prefix.length), ALL)] if prefix.length > first else []
        if group.whole:
            parts.append(Part(_as_range(positions[: group.whole]), ALL))
        parts.append(Part(_as_range(positions[group.whole : group.last]), group.sees))
        asked = positions[self.start + group.start : self.start + group.end]
        return Visibility(_as_range(asked), tuple(parts))

    def _parts(self, layer: int, group: Group) -> list[KeysAndValues]:
        prefix, tail = self.tail.prefix, self.tail
        parts = [(prefix.keys[layer][None], prefix.values[layer][None])] if prefix.keys[layer].shape[1] else []
        for first, last in ((0, group.whole), (group.whole, group.last)):
            if last > first:
                parts.append((tail.keys[layer][None, :, first:last], tail.values[layer][None, :, first:last]))
        return parts

    def _look(
        self,
        mass: AttentionMass,
        layer: int,
        row: torch.Tensor,
        turned: torch.Tensor | None,
        options: LayerOptions,
    ) -> None:
        """The weights of one row, which sees the keys up to its own that are within the layer's window."""
        prefix, seen = self.tail.prefix, self.tail.keys[layer][None, :, : self.mass_row + 1]
        asked = [(row, key) for key in (prefix.keys[layer][None], seen) if key.shape[2]]
        if turned is not None and prefix.blocks is not None:
            memory = prefix.blocks.memory(layer)
            keys = [memory.read_keys(slice(*span), row.dtype) for span in prefix.blocks.stretches.spans]
            there = [(one[None], key[None].transpose(1, 2)) for one, key in zip(turned, keys, strict=True)]
            asked = [*there, *asked]
        scores = torch.cat([attention_scores(one, key, options) for one, key in asked], dim=-1)
        window = options.sliding_window
        first = 0 if window is None else max(0, scores.shape[-1] - window)
        weights = probabilities_of(scores[..., first:], options)[0, :, 0].float()
        mass.take(layer, weights, first)
        if options.sinks is not None:
            mass.nowhere[layer] = (1 - weights.sum(-1)).clamp(min=0)


@dataclass(frozen=True)
class SideBySide:
    """Several tails in one forward; the tokens edges[i]..edges[i + 1] are those of the i-th, and attend by it alone."""

    stages: Sequence[TailStage]
    edges: Sequence[int]

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: LayerOptions
    ) -> torch.Tensor:
        found = [
            stage.attend(layer, query[:, :, start:end], key[:, :, start:end], value[:, :, start:end], options)
            for stage, (start, end) in zip(self.stages, pairwise(self.edges), strict=True)
        ]
        return torch.cat(found, dim=2)


def groups_behind(prompt: int, tree: torch.Tensor, device: torch.device) -> tuple[Group, ...]:
    """The nodes of one forward behind a prompt of so many tokens that was run before: they see it whole, and of the
    nodes so far those that `tree` names, bool [new nodes, nodes so far], each new one itself included."""
    nodes, known = tree.shape
    return (Group(0, nodes, prompt, prompt + known, Sees(tree.to(device))),)


def groups_with(prompt: int, tree: torch.Tensor, prefix: Prefix) -> tuple[Group, ...]:
    """The same for a forward that brings the prompt too, read causally, and then its first nodes."""
    nodes, device = len(tree), prefix.model.device
    if prefix.length and nodes and prompt <= MASKED_PROMPT:
        joint = causal_tail(prompt + nodes, prompt + nodes)
        joint[prompt:, prompt:] = tree
        return (Group(0, prompt + nodes, 0, prompt + nodes, Sees(joint.to(device))),)
    causal = Group(0, prompt, 0, prompt, CAUSAL)
    behind = (replace(group, start=prompt, end=prompt + nodes) for group in groups_behind(prompt, tree, device))
    return (causal, *behind) if nodes else (causal,)


def _as_range(positions: Sequence[int]) -> Sequence[int]:
    """The same as a range where there are no gaps: a layer's window is then applied in tiles."""
    run = range(positions[0], positions[0] + len(positions))
    return run if list(run) == list(positions) else positions
