"""Log-probabilities of candidate labels behind a prompt: a token trie, scored in one pass or best-first, or walked
greedily.

Knows nothing about where the context came from: every method is scored here, by the same rule.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from dbsa_core.devices import policy_for
from dbsa_core.prompt import Ids
from dbsa_core.stage2.dense_prefill import prefill, tokens_at_once
from dbsa_core.stage2.label_scores import LabelScores, OpenLabels, Way
from dbsa_core.stage2.prefix import Prefix
from dbsa_core.stage2.steps import Found, steps_of
from dbsa_core.stage2.tail import AttentionMass, Group, Tail, TailStage, groups_behind, groups_with
from dbsa_core.stage2.trie import LabelTrie

Decode = Literal["exact", "greedy"]

ONE_PASS_NODES = 512
"""Up to this many trie nodes one tree-masked pass is taken; above, the trie is expanded best-first."""
NODES_PER_FORWARD = 512
"""A tree-masked pass over more nodes is split, so that their logits stay bounded."""
PROVEN_LABELS = 2
"""Best-first goes on until so many best labels are proven: the label and its runner-up."""
OPEN_SHARE = 0.01
"""Best-first goes on until what it leaves open has at most this share of what all labels may have: B <= 0.01 (Z + B).
No interval of `LabelScores` is wider."""


def choose_way(num_nodes: int) -> Literal["one_pass", "best_first"]:
    """The rule, the same for every method and device: by the number of trie nodes alone."""
    return "one_pass" if num_nodes <= ONE_PASS_NODES else "best_first"


@dataclass
class _Walk:
    """The tokens behind a prefix so far: the prompt, then expanded trie nodes."""

    prefix: Prefix
    prompt: Ids
    trie: LabelTrie
    mass: AttentionMass | None
    node_slots: dict[int, int] = field(default_factory=dict)
    """Expanded node -> its place among them."""
    log_probs: dict[int, torch.Tensor] = field(default_factory=dict)
    """Node (-1: root) -> float [children + terminator]: log-probabilities behind it."""
    forwards: int = 0
    tokens: int = 0

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
            while node >= 0:
                tree[row, self.node_slots[node]] = True
                node = self.trie.parents[node]
        if prompt:
            return groups_with(len(prompt), tree, self.prefix)
        return groups_behind(len(self.prompt), tree, self.model.device)

    def _keep(self, logits: torch.Tensor, nodes: list[int]) -> None:
        normalizers = logits.logsumexp(-1, keepdim=True)
        wanted = [[*(self.trie.tokens[c] for c in self.trie.children[n]), self.trie.terminator_id] for n in nodes]
        widest = max(map(len, wanted))
        padded = self.model.ids([t for row in wanted for t in (*row, *[0] * (widest - len(row)))]).view(-1, widest)
        log_probs = (logits.gather(1, padded) - normalizers).double().cpu()
        for node, row, found in zip(nodes, wanted, log_probs, strict=True):
            self.log_probs[node] = found[: len(row)]

    def after(self, node: int, child: int | None) -> float:
        """Log-probability of a child, or of the terminator (None), behind a node (-1: the root)."""
        place = -1 if child is None else self.trie.children[node].index(child)
        return float(self.log_probs[node][place])


def score_labels(
    prefix: Prefix,
    prompt: Ids,
    trie: LabelTrie,
    *,
    decode: Decode = "exact",
    way: Way | None = None,
    spans: Sequence[tuple[int, int]] | None = None,
) -> LabelScores:
    """Score every label behind `prefix` and `prompt`.

    `way` overrides the rule of `choose_way` (for tests and benchmarks). `spans`: also return the attention mass of the
    prompt's last token on these (start, end) ranges of prefix and prompt.
    """
    start = max(0, len(prompt) - tokens_at_once(prefix, len(prompt)))
    mass = AttentionMass(tuple(spans)) if spans is not None else None
    chosen: Way = "greedy" if decode == "greedy" else (way or choose_way(len(trie)))
    # Best-first takes several forwards: nobody else's come between them.
    with prefix.model.lock:
        one_pass = chosen == "one_pass" and mass is None
        found = steps_of(prefix.model).find(prefix, prompt, trie) if one_pass else Found()
        if found.step is not None and prefix.blocks is not None:
            log_probs = found.step.answer(prompt, trie, prefix.blocks)
            best, tokens = int(log_probs.argmax()), len(prompt) + len(trie)
            return LabelScores(trie.labels, log_probs, chosen, best, 1, tokens, warming_up=found.warming_up)
        walk = _Walk(prefill(prefix, prompt[:start]) if start else prefix, prompt[start:], trie, mass)
        log_probs, best, left = {"greedy": _greedy, "one_pass": _one_pass, "best_first": _best_first}[chosen](walk)
    stacked = mass.stacked() if mass is not None else None
    tokens = start + walk.tokens
    return LabelScores(
        trie.labels, log_probs, chosen, best, walk.forwards, tokens, tuple(left), stacked, found.warming_up
    )


_Found = tuple[np.ndarray, int, list[OpenLabels]]
"""Log-probabilities [labels], the best label, and what was left open."""


def _one_pass(walk: _Walk) -> _Found:
    trie = walk.trie
    nodes = list(range(len(trie)))
    for start in range(0, len(nodes), NODES_PER_FORWARD):
        walk.forward(nodes[start : start + NODES_PER_FORWARD])
    behind_parents = [walk.after(trie.parents[node], node) for node in nodes]
    log_probs = trie.label_log_probs(np.array([*behind_parents, *(walk.after(end, None) for end in trie.ends)]))
    return log_probs, int(log_probs.argmax()), []


def _best_first(walk: _Walk) -> _Found:
    """Expand the likeliest beginnings until the best labels are proven and what is left open weighs next to nothing."""
    trie = walk.trie
    at_once = policy_for(walk.model.device).nodes_at_once
    log_probs = np.full(len(trie.labels), -np.inf)
    walk.forward([])
    frontier = [(-walk.after(-1, child), child) for child in trie.children[-1]]
    heapq.heapify(frontier)
    proven = min(PROVEN_LABELS, len(trie.labels))
    while frontier:
        threshold = np.partition(log_probs, -proven)[-proven]
        if threshold > -frontier[0][0] and _next_to_nothing(frontier, log_probs):
            break
        batch = [heapq.heappop(frontier) for _ in range(min(at_once, len(frontier)))]
        walk.forward([node for _, node in batch])
        for cost, node in batch:
            for child in trie.children[node]:
                heapq.heappush(frontier, (cost - walk.after(node, child), child))
            if node in trie.label_of:
                log_probs[trie.label_of[node]] = -cost + walk.after(node, None)
    left = [OpenLabels(trie.below(node), -cost) for cost, node in frontier]
    return log_probs, int(log_probs.argmax()), left


def _next_to_nothing(frontier: Sequence[tuple[float, int]], log_probs: np.ndarray) -> bool:
    """B <= 0.01 (Z + B), in logarithms."""
    left = float(np.logaddexp.reduce([-cost for cost, _ in frontier]))
    return bool(left <= np.log(OPEN_SHARE) + np.logaddexp(left, np.logaddexp.reduce(log_probs)))


def _greedy(walk: _Walk) -> _Found:
    """The paper's constrained greedy decoding: at each step the most probable token among those that the trie
    allows."""
    trie, node, total = walk.trie, -1, 0.0
    left: list[OpenLabels] = []
    walk.forward([])
    while True:
        options: list[tuple[float, int | None]] = [(walk.after(node, child), child) for child in trie.children[node]]
        if node in trie.label_of:
            options.append((walk.after(node, None), None))
        step, taken = max(options, key=lambda option: option[0])
        for passed, child in options:
            if child != taken:
                labels = trie.below(child) if child is not None else (trie.label_of[node],)
                left.append(OpenLabels(labels, total + passed))
        total += step
        if taken is None:
            break
        walk.forward([taken])
        node = taken
    log_probs = np.full(len(trie.labels), -np.inf)
    best = trie.label_of[node]
    log_probs[best] = total
    return log_probs, best, left
