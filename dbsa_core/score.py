"""Log-probabilities of candidate labels behind a prompt: a token trie, scored in one pass or best-first, or
walked greedily.

Knows nothing about where the context came from: every method is scored here, by the same rule.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from dbsa_core.assemble import AttentionMass, Context, QueryStage
from dbsa_core.attention.visibility import causal_tail
from dbsa_core.prompt import Ids, Prompter

Decode = Literal["exact", "greedy"]
Way = Literal["one_pass", "best_first", "greedy"]

ONE_PASS_NODES = {"cpu": 48, "cuda": 512}
"""Up to this many trie nodes one tree-masked pass is taken; above, the trie is expanded best-first."""
NODES_AT_ONCE = {"cpu": 8, "cuda": 64}
"""How many nodes best-first expands in one forward."""
NODES_PER_FORWARD = 512
"""A tree-masked pass over more nodes is split, so that their logits stay bounded."""
PROVEN_LABELS = 2
"""Best-first goes on until so many best labels are proven: the label and its runner-up."""


def choose_way(num_nodes: int, device_type: str) -> Literal["one_pass", "best_first"]:
    """The rule, the same for every method: by the number of trie nodes and the device alone."""
    return "one_pass" if num_nodes <= ONE_PASS_NODES.get(device_type, ONE_PASS_NODES["cpu"]) else "best_first"


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


@dataclass(frozen=True)
class LabelScores:
    """What scoring found; arrays are in the order of `labels`."""

    labels: tuple[str, ...]
    log_probs: np.ndarray
    """float64 [labels]: exact log-probability of label and terminator; -inf for labels that were not expanded."""
    way: Way
    best: int
    unexpanded_bound: float
    """The labels at -inf have together at most this probability; 0 where every label is exact."""
    forwards: int
    tokens: int
    """Tokens that went through the model, prompt included."""
    mass: torch.Tensor | None = None
    """[layers, heads, spans], if it was asked for."""

    @property
    def label(self) -> str:
        return self.labels[self.best]

    @property
    def probabilities(self) -> np.ndarray:
        """Softmax over the candidate labels, float64 [labels]; 0 for labels that were not expanded.

        A greedy walk knows one label only: there it is that label's own probability.
        """
        if self.way == "greedy":
            return np.asarray(np.exp(self.log_probs))
        shifted = np.exp(self.log_probs - self.log_probs[self.best])
        return np.asarray(shifted / shifted.sum())

    @property
    def outside_mass(self) -> float:
        """Probability that the model gives to anything that is not a candidate label."""
        return max(0.0, 1.0 - float(np.exp(self.log_probs).sum()))

    def ranked(self) -> list[int]:
        """Label indices, most probable first; ties in label order."""
        return [int(i) for i in np.lexsort((np.arange(len(self.labels)), -self.log_probs))]


@dataclass
class _Walk:
    """The tokens behind a context so far: the prompt, then expanded trie nodes."""

    context: Context
    prompt: Ids
    trie: LabelTrie
    mass: AttentionMass | None
    node_slots: dict[int, int] = field(default_factory=dict)
    """Expanded node -> its place behind the context."""
    log_probs: dict[int, torch.Tensor] = field(default_factory=dict)
    """Node (-1: root) -> float [children + terminator]: log-probabilities behind it."""
    forwards: int = 0
    tokens: int = 0

    def __post_init__(self) -> None:
        self.cache = self.context.cache()
        self.model = self.context.model

    def forward(self, nodes: Sequence[int]) -> None:
        """One forward of the prompt (the first time) and of `nodes`, parents before children."""
        prompt = self.prompt if not self.forwards else ()
        before = len(self.prompt) + len(self.node_slots) if self.forwards else 0
        for offset, node in enumerate(nodes):
            self.node_slots[node] = before + len(prompt) + offset
        token_ids = (*prompt, *(self.trie.tokens[node] for node in nodes))
        stage = self._stage(len(prompt), nodes)
        rows = [len(prompt) - 1, *range(len(prompt), len(token_ids))] if prompt else range(len(token_ids))
        logits = self.model.run(
            self.model.ids(token_ids),
            stage.positions[-len(token_ids) :],
            stage,
            rope_length=self.context.rope_length,
            cache=self.cache,
            logits_rows=rows,
        )
        assert logits is not None
        self._keep(logits, [-1, *nodes] if prompt else list(nodes))
        self.forwards += 1
        self.tokens += len(token_ids)

    def _keep(self, logits: torch.Tensor, nodes: list[int]) -> None:
        log_probs = logits - logits.logsumexp(-1, keepdim=True)
        wanted = [[*(self.trie.tokens[c] for c in self.trie.children[n]), self.trie.terminator_id] for n in nodes]
        widest = max(map(len, wanted))
        padded = self.model.ids([t for row in wanted for t in (*row, *[0] * (widest - len(row)))]).view(-1, widest)
        for node, row, found in zip(nodes, wanted, log_probs.gather(1, padded).double().cpu(), strict=True):
            self.log_probs[node] = found[: len(row)]

    def _stage(self, prompt_tokens: int, nodes: Sequence[int]) -> QueryStage:
        context, device = self.context.length, self.model.device
        total = len(self.prompt) + len(self.node_slots)
        positions = torch.arange(context + total)
        for node, slot in self.node_slots.items():
            positions[context + slot] = context + len(self.prompt) + self.trie.depths[node]
        positions = positions.to(device)
        mass = self.mass if not self.forwards else None
        # A prompt with nothing before it attends faster by itself: SDPA skips half of a causal square only unmasked.
        causal = prompt_tokens if context == 0 else 0
        masked = prompt_tokens - causal
        visible = torch.zeros(masked + len(nodes), context + total, dtype=torch.bool)
        if masked:
            visible[:masked, : context + masked] = causal_tail(masked, context + masked)
        visible[masked:, : context + len(self.prompt)] = True
        for row, node in enumerate(nodes, start=masked):
            while node >= 0:
                visible[row, context + self.node_slots[node]] = True
                node = self.trie.parents[node]
        return QueryStage(positions, visible.to(device), causal, mass, max(prompt_tokens - 1, 0))

    def after(self, node: int, child: int | None) -> float:
        """Log-probability of a child, or of the terminator (None), behind a node (-1: the root)."""
        place = -1 if child is None else self.trie.children[node].index(child)
        return float(self.log_probs[node][place])


def score_labels(
    context: Context,
    prompt: Ids,
    trie: LabelTrie,
    *,
    decode: Decode = "exact",
    way: Way | None = None,
    spans: Sequence[tuple[int, int]] | None = None,
) -> LabelScores:
    """Score every label behind `context` and `prompt`.

    `way` overrides the rule of `choose_way` (for tests and benchmarks). `spans`: also return the attention mass of the
    prompt's last token on these (start, end) ranges of context and prompt. The context is left as it was; it needs room
    for the prompt and the trie's nodes.
    """
    context = context.with_room(len(prompt) + len(trie))
    mass = AttentionMass(tuple(spans)) if spans is not None else None
    chosen: Way = "greedy" if decode == "greedy" else (way or choose_way(len(trie), context.model.device.type))
    # The room behind a context serves one query at a time, and best-first takes several forwards.
    with context.model.lock:
        walk = _Walk(context, prompt, trie, mass)
        log_probs, best, bound = {"greedy": _greedy, "one_pass": _one_pass, "best_first": _best_first}[chosen](walk)
    stacked = mass.stacked() if mass is not None else None
    return LabelScores(trie.labels, log_probs, chosen, best, bound, walk.forwards, walk.tokens, stacked)


def _one_pass(walk: _Walk) -> tuple[np.ndarray, int, float]:
    trie = walk.trie
    nodes = list(range(len(trie)))
    for start in range(0, len(nodes), NODES_PER_FORWARD):
        walk.forward(nodes[start : start + NODES_PER_FORWARD])
    path = np.zeros(len(trie))
    for node in nodes:
        parent = trie.parents[node]
        path[node] = (path[parent] if parent >= 0 else 0.0) + walk.after(parent, node)
    log_probs = np.array([path[end] + walk.after(end, None) for end in trie.ends])
    return log_probs, int(log_probs.argmax()), 0.0


def _best_first(walk: _Walk) -> tuple[np.ndarray, int, float]:
    trie = walk.trie
    at_once = NODES_AT_ONCE.get(walk.model.device.type, NODES_AT_ONCE["cpu"])
    log_probs = np.full(len(trie.labels), -np.inf)
    walk.forward([])
    frontier = [(-walk.after(-1, child), child) for child in trie.children[-1]]
    heapq.heapify(frontier)
    proven = min(PROVEN_LABELS, len(trie.labels))
    while frontier:
        threshold = np.partition(log_probs, -proven)[-proven]
        if threshold > -frontier[0][0]:
            break
        batch: list[tuple[float, int]] = []
        while frontier and len(batch) < at_once and -frontier[0][0] >= threshold:
            batch.append(heapq.heappop(frontier))
        walk.forward([node for _, node in batch])
        for cost, node in batch:
            for child in trie.children[node]:
                heapq.heappush(frontier, (cost - walk.after(node, child), child))
            if node in trie.label_of:
                log_probs[trie.label_of[node]] = -cost + walk.after(node, None)
    bound = float(sum(np.exp(-cost) for cost, _ in frontier))
    return log_probs, int(log_probs.argmax()), bound


def _greedy(walk: _Walk) -> tuple[np.ndarray, int, float]:
    """The paper's constrained greedy decoding: at each step the most probable token among those that the trie
    allows."""
    trie, node, total = walk.trie, -1, 0.0
    walk.forward([])
    while True:
        options: list[tuple[float, int | None]] = [(walk.after(node, child), child) for child in trie.children[node]]
        if node in trie.label_of:
            options.append((walk.after(node, None), None))
        step, child = max(options, key=lambda option: option[0])
        total += step
        if child is None:
            break
        walk.forward([child])
        node = child
    log_probs = np.full(len(trie.labels), -np.inf)
    best = trie.label_of[node]
    log_probs[best] = total
    return log_probs, best, 1.0 - float(np.exp(total))
