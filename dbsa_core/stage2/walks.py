"""Ways to learn what follows nodes of a label trie behind a prompt: by a tail that grows, or by passes that keep
nothing, of a captured step or of a batch. Several queries may learn together.

Know nothing about which nodes are worth it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import numpy as np
import torch

from dbsa_core.model.hook import Stage
from dbsa_core.prompt import Ids
from dbsa_core.stage2.prefix import Prefix
from dbsa_core.stage2.query_batch import Asked, QueryBatch
from dbsa_core.stage2.step import ASKED, QueryStep
from dbsa_core.stage2.tail import AttentionMass, Group, SideBySide, Tail, TailStage, groups_behind, groups_with
from dbsa_core.stage2.trie import LabelTrie, Nodes

NODES_PER_FORWARD = 512
"""A tree-masked pass over more nodes is split, so that their logits stay bounded."""
STEP_NODES = 128
"""Of a step that reads a trie in parts: those that are asked at once, and their ancestors."""


WHOLE = None
Request = Sequence[int] | None
"""Nodes, or the `WHOLE` trie."""


@dataclass
class Walk:
    """What is known so far of one query's trie."""

    prefix: Prefix
    prompt: Ids
    trie: LabelTrie
    votes: np.ndarray | None = field(default=None, kw_only=True)
    """See `LabelScores.votes`."""
    log_probs: dict[int, np.ndarray] = field(default_factory=dict, init=False)
    """Node (-1: root) -> float64, of what is `LabelTrie.following`."""
    forwards: int = field(default=0, init=False)
    tokens: int = field(default=0, init=False)
    """New tokens of all forwards."""

    def learn(self, request: Request) -> None:
        """Learn what follows these nodes, whose parents were asked before; the first time also what follows the
        prompt. `WHOLE`: what `LabelTrie.whole` asks for, at once."""
        raise NotImplementedError

    def every(self) -> np.ndarray:
        """Log-probabilities [asked] of all that `LabelTrie.whole` asks for, once the whole trie was learnt."""
        raise NotImplementedError

    def after(self, node: int, child: int | None) -> float:
        """Log-probability of a child, or of the terminator (None), behind a node (-1: the root)."""
        place = -1 if child is None else self.trie.children[node].index(child)
        return float(self.log_probs[node][place])


@dataclass
class TailWalk(Walk):
    """The tokens behind a prefix so far: the prompt, then nodes, each forward behind those before."""

    mass: AttentionMass | None = None
    node_slots: dict[int, int] = field(default_factory=dict, init=False)
    """Node that was asked -> its place among them."""

    def __post_init__(self) -> None:
        self.tail = Tail(self.prefix, len(self.prompt) + len(self.trie))
        self.model = self.prefix.model

    def learn(self, request: Request) -> None:
        nodes = range(len(self.trie)) if request is WHOLE else request
        for start in range(0, max(1, len(nodes)), NODES_PER_FORWARD):
            forward_together([self.begun(nodes[start : start + NODES_PER_FORWARD])])

    def begun(self, nodes: Sequence[int]) -> TailForward:
        """A forward of the prompt (the first time) and of `nodes`, parents before children; it is still to be run."""
        prompt, start = () if self.forwards else self.prompt, len(self.tail)
        for node in nodes:
            self.node_slots[node] = len(self.node_slots)
        token_ids = (*prompt, *(self.trie.tokens[node] for node in nodes))
        behind = self.prefix.length + len(self.prompt)
        self.tail.positions += range(self.prefix.length, self.prefix.length + len(prompt))
        self.tail.positions += [behind + self.trie.depths[node] for node in nodes]
        mass = None if self.forwards else self.mass
        stage = TailStage(self.tail, start, self._groups(prompt, nodes), mass, len(prompt) - 1)
        first = len(prompt) - 1 if prompt else 0
        self.forwards += 1
        self.tokens += len(token_ids)
        return TailForward(self, token_ids, stage, first, [-1, *nodes] if prompt else list(nodes))

    def _groups(self, prompt: Ids, nodes: Sequence[int]) -> tuple[Group, ...]:
        """Every node sees the prompt, its ancestors and itself."""
        tree = torch.zeros(len(nodes), len(self.node_slots), dtype=torch.bool)
        for row, node in enumerate(nodes):
            tree[row, [self.node_slots[above] for above in self.trie.ancestors(node)]] = True
        if prompt:
            return groups_with(len(prompt), tree, self.prefix)
        return groups_behind(len(self.prompt), tree, self.model.device)

    def keep(self, logits: torch.Tensor, nodes: Sequence[int]) -> None:
        """What follows `nodes` by their logits [nodes, vocabulary]."""
        normalizers = logits.logsumexp(-1, keepdim=True)
        wanted = [self.trie.following(node) for node in nodes]
        widest = max(map(len, wanted))
        padded = self.model.ids([t for row in wanted for t in (*row, *[0] * (widest - len(row)))]).view(-1, widest)
        log_probs = (logits.gather(1, padded) - normalizers).double().cpu().numpy()
        for node, row, found in zip(nodes, wanted, log_probs, strict=True):
            self.log_probs[node] = found[: len(row)]

    def every(self) -> np.ndarray:
        behind_parents = [self.after(parent, node) for node, parent in enumerate(self.trie.parents)]
        return np.array([*behind_parents, *(self.after(end, None) for end in self.trie.ends)])


@dataclass(frozen=True)
class TailForward:
    """New tokens of one query behind its tail."""

    walk: TailWalk
    token_ids: Ids
    stage: TailStage
    first: int
    """The token behind which the first logits are; they are those of all tokens from there on."""
    nodes: Sequence[int]
    """Whose logits they are, -1 being the prompt."""


def forward_together(parts: Sequence[TailForward]) -> None:
    """Run the tokens of several queries through the model side by side, each attending by itself."""
    model, edges = parts[0].walk.model, [0, *accumulate(len(part.token_ids) for part in parts)]
    stage: Stage = parts[0].stage if len(parts) == 1 else SideBySide([part.stage for part in parts], edges)
    kept = [range(start + part.first, end) for part, (start, end) in zip(parts, pairwise(edges), strict=True)]
    logits = model.run(
        model.ids([token for part in parts for token in part.token_ids]),
        model.ids([at for part in parts for at in part.stage.tail.positions[part.stage.start :]]),
        stage,
        deferred=parts[0].stage.rotation.deferred,
        rope_length=parts[0].walk.prefix.rope_length,
        logits_rows=[row for rows in kept for row in rows],
    )
    assert logits is not None
    for part, own in zip(parts, torch.split(logits, [len(part.nodes) for part in parts]), strict=True):
        part.walk.keep(own, part.nodes)


@dataclass
class PassWalk(Walk):
    """Passes that keep nothing: each reads the prompt anew, and the ancestors of what it is asked for."""

    _whole: np.ndarray | None = field(default=None, init=False)

    def asked(self, nodes: Sequence[int]) -> Asked:
        """The pass for these nodes (-1: the prompt)."""
        return self._pass(self.trie.behind(nodes))

    def asked_whole(self) -> Asked:
        """The pass for the whole trie."""
        return self._pass(self.trie.whole)

    def _pass(self, nodes: Nodes) -> Asked:
        assert self.prefix.blocks is not None
        self.forwards += 1
        self.tokens += len(self.prompt) + len(nodes.tokens)
        return Asked(self.prompt, nodes, self.prefix.blocks)

    def keep(self, nodes: Sequence[int], found: np.ndarray) -> None:
        """What a pass for `nodes` found, float32 [asked]."""
        at, wide = 0, found.astype(np.float64)
        for node in nodes:
            many = len(self.trie.following(node))
            self.log_probs[node] = wide[at : at + many]
            at += many

    def keep_whole(self, found: np.ndarray) -> None:
        self._whole = found.astype(np.float64)

    def waiting(self, nodes: Sequence[int]) -> list[int]:
        """These nodes, and first the prompt where nothing was asked yet."""
        return list(nodes) if self.forwards else [-1, *nodes]

    def every(self) -> np.ndarray:
        assert self._whole is not None
        return self._whole


@dataclass
class StepWalk(PassWalk):
    """Passes of a captured step, as many as its room makes of what is asked."""

    step: QueryStep = field(kw_only=True)

    def learn(self, request: Request) -> None:
        if request is WHOLE:
            self.keep_whole(self.step.answer(*self.asked_whole()))
            return
        waiting = self.waiting(request)
        while waiting:
            count = self._fitting(waiting)
            self.keep(waiting[:count], self.step.answer(*self.asked(waiting[:count])))
            waiting = waiting[count:]

    def _fitting(self, nodes: Sequence[int]) -> int:
        """How many of them one pass has room for, one at least."""
        held: set[int] = set()
        asked = 0
        for count, node in enumerate(nodes):
            held |= set(self.trie.ancestors(node))
            asked += len(self.trie.following(node))
            if len(held) > self.step.size.nodes or asked > ASKED:
                return count
        return len(nodes)


def passes_together(walks: Sequence[tuple[PassWalk, Request]]) -> None:
    """One pass of several queries, side by side, each for what it is asked."""
    waiting = [None if request is WHOLE else walk.waiting(request) for walk, request in walks]
    asked = [
        walk.asked_whole() if nodes is None else walk.asked(nodes)
        for (walk, _), nodes in zip(walks, waiting, strict=True)
    ]
    found = QueryBatch(walks[0][0].prefix.model, asked).answer()
    for (walk, _), nodes, own in zip(walks, waiting, found, strict=True):
        if nodes is None:
            walk.keep_whole(own)
        else:
            walk.keep(nodes, own)


def tails_together(walks: Sequence[tuple[TailWalk, Request]]) -> None:
    """One forward of several queries, side by side, each for what it is asked."""
    forward_together([walk.begun(range(len(walk.trie)) if nodes is WHOLE else nodes) for walk, nodes in walks])


def step_nodes(trie: LabelTrie) -> int | None:
    """The nodes of a step that reads the trie in parts; None where one node alone may be too much for any."""
    widest, deepest = max(map(len, trie.children)) + 1, max(trie.depths) + 1
    return min(len(trie), STEP_NODES) if widest <= ASKED and deepest <= STEP_NODES else None
