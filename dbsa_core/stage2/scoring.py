"""Log-probabilities of candidate labels behind a prompt: a token trie, scored in one pass or best-first, or walked
greedily.

Knows nothing about where the context came from: every method is scored here, by the same rule.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch

from dbsa_core.attention.visibility import causal_tail
from dbsa_core.prompt import Ids, Prompter
from dbsa_core.stage2.context import AttentionMass, Context, QueryStage
from dbsa_core.stage2.dense_prefill import prefill, tokens_at_once
from dbsa_core.stage2.label_scores import LabelScores, OpenLabels, Way

Decode = Literal["exact", "greedy"]

ONE_PASS_NODES = 512
"""Up to this many trie nodes one tree-masked pass is taken; above, the trie is expanded best-first."""
NODES_AT_ONCE = {"cpu": 8, "cuda": 64}
"""How many nodes best-first expands in one forward."""
MASKED_PROMPT = 512
"""A prompt of up to so many tokens behind a context shares one mask with the nodes: one call a layer."""
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
        normalizers = logits.logsumexp(-1, keepdim=True)
        wanted = [[*(self.trie.tokens[c] for c in self.trie.children[n]), self.trie.terminator_id] for n in nodes]
        widest = max(map(len, wanted))
        padded = self.model.ids([t for row in wanted for t in (*row, *[0] * (widest - len(row)))]).view(-1, widest)
        log_probs = (logits.gather(1, padded) - normalizers).double().cpu()
        for node, row, found in zip(nodes, wanted, log_probs, strict=True):
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
        # And a long one must: its mask would grow with the square of its tokens.
        causal = prompt_tokens if context == 0 or prompt_tokens > MASKED_PROMPT else 0
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
    start = max(0, len(prompt) - tokens_at_once(context, len(prompt)))
    mass = AttentionMass(tuple(spans)) if spans is not None else None
    chosen: Way = "greedy" if decode == "greedy" else (way or choose_way(len(trie)))
    # The room behind a context serves one query at a time, and best-first takes several forwards.
    with context.model.lock:
        if start:
            # The same memory under another length: whoever handed the context in finds it as it was.
            context = prefill(replace(context), prompt[:start])
        walk = _Walk(context, prompt[start:], trie, mass)
        log_probs, best, left = {"greedy": _greedy, "one_pass": _one_pass, "best_first": _best_first}[chosen](walk)
    stacked = mass.stacked() if mass is not None else None
    return LabelScores(trie.labels, log_probs, chosen, best, walk.forwards, start + walk.tokens, tuple(left), stacked)


_Found = tuple[np.ndarray, int, list[OpenLabels]]
"""Log-probabilities [labels], the best label, and what was left open."""


def _one_pass(walk: _Walk) -> _Found:
    trie = walk.trie
    nodes = list(range(len(trie)))
    for start in range(0, len(nodes), NODES_PER_FORWARD):
        walk.forward(nodes[start : start + NODES_PER_FORWARD])
    path = np.zeros(len(trie))
    for node in nodes:
        parent = trie.parents[node]
        path[node] = (path[parent] if parent >= 0 else 0.0) + walk.after(parent, node)
    log_probs = np.array([path[end] + walk.after(end, None) for end in trie.ends])
    return log_probs, int(log_probs.argmax()), []


def _best_first(walk: _Walk) -> _Found:
    """Expand the likeliest beginnings until the best labels are proven and what is left open weighs next to nothing."""
    trie = walk.trie
    at_once = NODES_AT_ONCE.get(walk.model.device.type, NODES_AT_ONCE["cpu"])
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
