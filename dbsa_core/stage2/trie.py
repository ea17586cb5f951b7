"""All labels' tokens as a tree: what is scored behind a prompt.

Knows nothing about models. A label's probability is that of its path and then of the terminator.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    def sees(self) -> np.ndarray:
        """bool [nodes, nodes]: each node's ancestors and itself."""
        seen = np.eye(len(self), dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                seen[node] |= seen[parent]
        return seen

    @cached_property
    def asked(self) -> tuple[np.ndarray, np.ndarray]:
        """What one pass over all nodes is asked for, int64 [nodes + labels]: the row of logits, the root's being 0 and
        a node's 1 + its number, and the token. First each node behind its parent, then each label's end."""
        rows = [1 + parent for parent in self.parents] + [1 + end for end in self.ends]
        return np.array(rows), np.array([*self.tokens, *[self.terminator_id] * len(self.ends)])

    def label_log_probs(self, found: np.ndarray) -> np.ndarray:
        """float64 [labels], of the log-probabilities of what is `asked`."""
        paths, ends = np.split(found.astype(np.float64), [len(self)])
        return np.asarray(np.where(self.sees[list(self.ends)], paths, 0.0).sum(1) + ends)
