"""All labels' tokens as a tree: what is scored behind a prompt.

Knows nothing about models. A label's probability is that of its path and then of the terminator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dbsa_core.prompt import Ids, Prompter


@dataclass(frozen=True)
class LabelTrie:
    """All labels' tokens as a tree; a label's probability is that of its path and then of the terminator."""

    labels: tuple[str, ...]
    terminator_id: int
    tokens: tuple[int, ...]
    """Token of each node; parents come before children."""
    parents: tuple[int, ...]
    """Parent of each node, -1 at the root."""
    depths: tuple[int, ...]
    ends: tuple[int, ...]
    """For each label, the node of its last token."""
    children: tuple[tuple[int, ...], ...]
    """Children of each node; the root's stand last (index -1)."""
    label_of: dict[int, int]
    """Node -> the label that ends there."""

    @classmethod
    def of(cls, labels: Sequence[str], prompter: Prompter) -> LabelTrie:
        return cls.of_ids(labels, [prompter.label(label) for label in labels], prompter.terminator_id)

    @classmethod
    def of_ids(cls, labels: Sequence[str], label_ids: Sequence[Ids], terminator_id: int) -> LabelTrie:
        nodes: dict[Ids, int] = {}
        for depth in range(max(map(len, label_ids))):
            for ids in label_ids:
                if len(ids) > depth:
                    nodes.setdefault(ids[: depth + 1], len(nodes))
        children: list[list[int]] = [[] for _ in range(len(nodes) + 1)]
        for ids, node in nodes.items():
            children[nodes[ids[:-1]] if len(ids) > 1 else -1].append(node)
        ends = tuple(nodes[ids] for ids in label_ids)
        return cls(
            tuple(labels),
            terminator_id,
            tuple(ids[-1] for ids in nodes),
            tuple(nodes[ids[:-1]] if len(ids) > 1 else -1 for ids in nodes),
            tuple(len(ids) - 1 for ids in nodes),
            ends,
            tuple(map(tuple, children)),
            {node: index for index, node in enumerate(ends)},
        )

    def __len__(self) -> int:
        return len(self.tokens)

    def below(self, node: int) -> tuple[int, ...]:
        """The labels that begin with the tokens up to `node`."""
        found, waiting = [], [node]
        while waiting:
            node = waiting.pop()
            if node in self.label_of:
                found.append(self.label_of[node])
            waiting.extend(self.children[node])
        return tuple(sorted(found))

    @cached_property
    def whole(self) -> Nodes:
        """All nodes in one pass. Asked for: each node behind its parent, then each label's end."""
        rows = [1 + parent for parent in self.parents] + [1 + end for end in self.ends]
        asked = [*self.tokens, *[self.terminator_id] * len(self.ends)]
        return Nodes(self.tokens, self.depths, _sees(self.parents), np.array(rows), np.array(asked))

    @cached_property
    def _on_path(self) -> np.ndarray:
        """bool [labels, nodes]."""
        return self.whole.sees[list(self.ends)]

    def following(self, node: int) -> list[int]:
        """The tokens that may stand behind a node (-1: the root): those of its children, then the terminator."""
        return [*(self.tokens[child] for child in self.children[node]), self.terminator_id]

    def behind(self, nodes: Sequence[int]) -> Nodes:
        """These nodes (-1: the root) and their ancestors. Asked for, of one after the other: what is `following`."""
        held = sorted({above for node in nodes for above in self.ancestors(node)})
        places = {node: place for place, node in enumerate(held)} | {-1: -1}
        follow = [self.following(node) for node in nodes]
        rows = [1 + places[node] for node, tokens in zip(nodes, follow, strict=True) for _ in tokens]
        return Nodes(
            tuple(self.tokens[node] for node in held),
            tuple(self.depths[node] for node in held),
            _sees([places[self.parents[node]] for node in held]),
            np.array(rows),
            np.array([token for tokens in follow for token in tokens]),
        )

    def ancestors(self, node: int) -> Iterator[int]:
        """The node itself (none for -1, the root), its parent, and so on."""
        while node >= 0:
            yield node
            node = self.parents[node]

    def label_log_probs(self, found: np.ndarray) -> np.ndarray:
        """float64 [labels], of the log-probabilities that `whole` asks for."""
        paths, ends = np.split(found.astype(np.float64), [len(self)])
        return np.asarray(np.where(self._on_path, paths, 0.0).sum(1) + ends)


@dataclass(frozen=True, eq=False)
class Nodes:
    """Nodes of a trie that are read in one pass behind a prompt, and what that is asked for."""

    tokens: tuple[int, ...]
    depths: tuple[int, ...]
    sees: np.ndarray
    """bool [nodes, nodes]: each node's ancestors and itself."""
    rows: np.ndarray
    """int64 [asked]: whose logits are read, 0 being those behind the prompt and 1 + i those behind node i."""
    asked: np.ndarray
    """int64 [asked]: the token whose log-probability is read there."""


def _sees(parents: Sequence[int]) -> np.ndarray:
    seen = np.eye(len(parents), dtype=bool)
    for node, parent in enumerate(parents):
        if parent >= 0:
            seen[node] |= seen[parent]
    return seen
