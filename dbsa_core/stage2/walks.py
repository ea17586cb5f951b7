"""Two ways to learn what follows nodes of a label trie behind a prompt: by a tail that grows, or by a captured step.

Know nothing about which nodes are worth it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from dbsa_core.prompt import Ids
from dbsa_core.stage2.prefix import Prefix
from dbsa_core.stage2.step import ASKED, QueryStep
from dbsa_core.stage2.tail import AttentionMass, Group, Tail, TailStage, groups_behind, groups_with
from dbsa_core.stage2.trie import LabelTrie, Nodes

NODES_PER_FORWARD = 512
"""A tree-masked pass over more nodes is split, so that their logits stay bounded."""
STEP_NODES = 128
"""Of a step that reads a trie in parts: those that are asked at once, and their ancestors."""


@dataclass
class Walk:
    """What is known so far of one query's trie."""

    prefix: Prefix
    prompt: Ids
    trie: LabelTrie
    log_probs: dict[int, np.ndarray] = field(default_factory=dict, init=False)
    """Node (-1: root) -> float64, of what is `LabelTrie.following`."""
    forwards: int = field(default=0, init=False)
    tokens: int = field(default=0, init=False)
    """New tokens of all forwards."""

    def forward(self, nodes: Sequence[int]) -> None:
        """Learn what follows these nodes, whose parents were asked before; the first time also what follows the
        prompt."""
        raise NotImplementedError

    def every(self) -> np.ndarray:
        """Log-probabilities [asked] of all that `LabelTrie.whole` asks for."""
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

    def forward(self, nodes: Sequence[int]) -> None:
        """One forward of the prompt (the first time) and of `nodes`, parents before children."""
        prompt, start = () if self.forwards else self.prompt, len(self.tail)
        for node in nodes:
            self.node_slots[node] = len(self.node_slots)
        token_ids = (*prompt, *(self.trie.tokens[node] for node in nodes))
        behind = self.prefix.length + len(self.prompt)
        self.tail.positions += range(self.prefix.length, self.prefix.length + len(prompt))
        self.tail.positions += [behind + self.trie.depths[node] for node in nodes]
        mass = None if self.forwards else self.mass
        stage = TailStage(self.tail, start, self._groups(prompt, nodes), mass, len(prompt) - 1)
        rows = [len(prompt) - 1, *range(len(prompt), len(token_ids))] if prompt else range(len(token_ids))
        logits = self.model.run(
            self.model.ids(token_ids),
            self.model.ids(self.tail.positions[start:]),
            stage,
            deferred=stage.rotation.deferred,
            rope_length=self.prefix.rope_length,
            logits_rows=rows,
        )
        assert logits is not None
        self._keep(logits, [-1, *nodes] if prompt else list(nodes))
        self.forwards += 1
        self.tokens += len(token_ids)

    def _groups(self, prompt: Ids, nodes: Sequence[int]) -> tuple[Group, ...]:
        """Every node sees the prompt, its ancestors and itself."""
        tree = torch.zeros(len(nodes), len(self.node_slots), dtype=torch.bool)
        for row, node in enumerate(nodes):
            tree[row, [self.node_slots[above] for above in self.trie.ancestors(node)]] = True
        if prompt:
            return groups_with(len(prompt), tree, self.prefix)
        return groups_behind(len(self.prompt), tree, self.model.device)

    def _keep(self, logits: torch.Tensor, nodes: list[int]) -> None:
        normalizers = logits.logsumexp(-1, keepdim=True)
        wanted = [self.trie.following(node) for node in nodes]
        widest = max(map(len, wanted))
        padded = self.model.ids([t for row in wanted for t in (*row, *[0] * (widest - len(row)))]).view(-1, widest)
        log_probs = (logits.gather(1, padded) - normalizers).double().cpu().numpy()
        for node, row, found in zip(nodes, wanted, log_probs, strict=True):
            self.log_probs[node] = found[: len(row)]

    def every(self) -> np.ndarray:
        nodes = range(len(self.trie))
        for start in range(0, len(nodes), NODES_PER_FORWARD):
            self.forward(nodes[start : start + NODES_PER_FORWARD])
        behind_parents = [self.after(self.trie.parents[node], node) for node in nodes]
        return np.array([*behind_parents, *(self.after(end, None) for end in self.trie.ends)])


@dataclass
class StepWalk(Walk):
    """The same by a step, which keeps nothing: each pass reads the prompt anew, and the ancestors of what it is asked
    for."""

    step: QueryStep

    def forward(self, nodes: Sequence[int]) -> None:
        """As many passes as the step's room makes of it."""
        waiting = list(nodes) if self.forwards else [-1, *nodes]
        while waiting:
            count = self._fitting(waiting)
            self._pass(waiting[:count])
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

    def _pass(self, nodes: Sequence[int]) -> None:
        asked = self.trie.behind(nodes)
        found, at = self._answer(asked), 0
        for node in nodes:
            many = len(self.trie.following(node))
            self.log_probs[node] = found[at : at + many]
            at += many

    def _answer(self, nodes: Nodes) -> np.ndarray:
        assert self.prefix.blocks is not None
        self.forwards += 1
        self.tokens += len(self.prompt) + len(nodes.tokens)
        return self.step.answer(self.prompt, nodes, self.prefix.blocks).astype(np.float64)

    def every(self) -> np.ndarray:
        return self._answer(self.trie.whole)


def step_nodes(trie: LabelTrie) -> int | None:
    """The nodes of a step that reads the trie in parts; None where one node alone may be too much for any."""
    widest, deepest = max(map(len, trie.children)) + 1, max(trie.depths) + 1
    return min(len(trie), STEP_NODES) if widest <= ASKED and deepest <= STEP_NODES else None
