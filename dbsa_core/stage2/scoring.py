"""Log-probabilities of candidate labels behind a prompt: a token trie, scored in one pass or best-first, or walked
greedily.

Knows nothing about where the context came from: every method is scored here, by the same rule.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np

from dbsa_core.devices import policy_for
from dbsa_core.interrupt import held
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prompt import Ids
from dbsa_core.stage2.dense_prefill import prefill, tokens_at_once
from dbsa_core.stage2.label_scores import LabelScores, OpenLabels, Way
from dbsa_core.stage2.prefix import Prefix
from dbsa_core.stage2.steps import Found, can_capture, steps_of
from dbsa_core.stage2.tail import AttentionMass
from dbsa_core.stage2.trie import LabelTrie
from dbsa_core.stage2.walks import (
    WHOLE,
    PassWalk,
    Request,
    StepWalk,
    TailWalk,
    Walk,
    passes_together,
    step_nodes,
    tails_together,
)

Decode = Literal["exact", "greedy"]

ONE_PASS_NODES = 512
"""Up to this many trie nodes one tree-masked pass is taken; above, the trie is expanded best-first."""
PROVEN_LABELS = 2
"""Best-first goes on until so many best labels are proven: the label and its runner-up."""
OPEN_SHARE = 0.01
"""Best-first goes on until what it leaves open has at most this share of what all labels may have: B <= 0.01 (Z + B).
No interval of `LabelScores` is wider."""


def choose_way(num_nodes: int) -> Literal["one_pass", "best_first"]:
    """The rule, the same for every method and device: by the number of trie nodes alone."""
    return "one_pass" if num_nodes <= ONE_PASS_NODES else "best_first"


def nodes_at_once(trie: LabelTrie, model: LanguageModel, decode: Decode = "exact") -> int:
    """Trie nodes that one forward of a query brings along, at most."""
    if decode == "exact" and choose_way(len(trie)) == "one_pass":
        return len(trie)
    asked = 1 if decode == "greedy" else policy_for(model.device).nodes_at_once
    return min(len(trie), asked * (1 + max(trie.depths)))


def score_labels(
    prefix: Prefix,
    prompt: Ids,
    trie: LabelTrie,
    *,
    decode: Decode = "exact",
    way: Way | None = None,
    spans: Sequence[tuple[int, int]] | None = None,
    votes: np.ndarray | None = None,
) -> LabelScores:
    """Score every label behind `prefix` and `prompt`.

    `way` overrides the rule of `choose_way` (for tests and benchmarks). `spans`: also return the attention mass of the
    prompt's last token on these (start, end) ranges of prefix and prompt, and where the model has sink scores, what
    these took behind them. `votes` float64 [labels], finite, are added
    to the labels' log-probabilities when the best one is chosen (`LabelScores.votes`); greedy decoding has none.
    """
    chosen: Way = "greedy" if decode == "greedy" else (way or choose_way(len(trie)))
    mass = AttentionMass(tuple(spans)) if spans is not None else None
    # Some ways take several forwards: nobody else's come between them.
    with held(prefix.model.lock):
        found = _step_for(prefix, prompt, trie, chosen) if mass is None else Found()
        walk: Walk
        if found.step is not None:
            walk, before = StepWalk(prefix, prompt, trie, step=found.step, votes=votes), 0
        else:
            before = max(0, len(prompt) - tokens_at_once(prefix, len(prompt)))
            behind = prefill(prefix, prompt[:before]) if before else prefix
            walk = TailWalk(behind, prompt[before:], trie, mass, votes=votes)
        log_probs, best, left = _scored(WAYS[chosen](walk), walk)
    stacked, by_token = (mass.stacked(), mass.by_token()) if mass is not None else (None, None)
    tokens = before + walk.tokens
    return LabelScores(
        trie.labels,
        log_probs,
        chosen,
        best,
        walk.forwards,
        tokens,
        tuple(left),
        stacked,
        by_token,
        found.warming_up,
        votes,
    )


def score_together(
    queries: Sequence[tuple[Prefix, Ids]],
    trie: LabelTrie,
    *,
    decode: Decode = "exact",
    way: Way | None = None,
    votes: Sequence[np.ndarray | None] | None = None,
) -> list[LabelScores]:
    """The same as `score_labels` of each (prefix, prompt) and its votes, with as many forwards as one of them takes.

    All prefixes are of one model and of one pool or none, so that they were rotated alike. How many there are is for
    the caller to bound: memory grows with their tokens.
    """
    chosen: Way = "greedy" if decode == "greedy" else (way or choose_way(len(trie)))
    asked = [(*query, own) for query, own in zip(queries, votes or [None] * len(queries), strict=True)]
    with held(queries[0][0].model.lock):
        if reads_together([prefix for prefix, _ in queries]):
            passes = [PassWalk(prefix, prompt, trie, votes=own) for prefix, prompt, own in asked]
            found = _scored_together(passes, chosen, passes_together)
            walks: Sequence[Walk] = passes
        else:
            tails = [TailWalk(prefix, prompt, trie, votes=own) for prefix, prompt, own in asked]
            found = _scored_together(tails, chosen, tails_together)
            walks = tails
    return [
        LabelScores(trie.labels, log_probs, chosen, best, walk.forwards, walk.tokens, tuple(left), votes=walk.votes)
        for (log_probs, best, left), walk in zip(found, walks, strict=True)
    ]


def reads_together(prefixes: Sequence[Prefix]) -> bool:
    """Whether queries behind them may be a batch that reads blocks where they stand."""
    arenas = {id(prefix.blocks.arena) if prefix.blocks is not None else None for prefix in prefixes}
    whole = all(prefix.length == prefix.blocks_end for prefix in prefixes)
    return whole and len(arenas) == 1 and None not in arenas and can_capture(prefixes[0].model)


_AnyWalk = TypeVar("_AnyWalk", bound=Walk)


def _scored_together(
    walks: Sequence[_AnyWalk], way: Way, learn: Callable[[Sequence[tuple[_AnyWalk, Request]]], None]
) -> list[_Found]:
    """Each walk asks what it needs next, and all that still ask learn it together."""
    running = {place: WAYS[way](walk) for place, walk in enumerate(walks)}
    requests = {place: next(scoring) for place, scoring in running.items()}
    found: dict[int, _Found] = {}
    while requests:
        learn([(walks[place], request) for place, request in requests.items()])
        for place in list(requests):
            try:
                requests[place] = next(running[place])
            except StopIteration as end:
                found[place] = end.value
                del requests[place]
    return [found[place] for place in range(len(walks))]


def _scored(scoring: _Scoring, walk: Walk) -> _Found:
    while True:
        try:
            walk.learn(next(scoring))
        except StopIteration as end:
            found: _Found = end.value
            return found


def _step_for(prefix: Prefix, prompt: Ids, trie: LabelTrie, way: Way) -> Found:
    """The captured step for this query, if there is one."""
    nodes = len(trie) if way == "one_pass" else step_nodes(trie)
    return Found() if nodes is None else steps_of(prefix.model).find(prefix, prompt, nodes)


_Found = tuple[np.ndarray, int, list[OpenLabels]]
"""Log-probabilities [labels], the best label, and what was left open."""
_Scoring = Generator[Request, None, _Found]
"""What the walk is to learn next, until that is enough."""


def _one_pass(walk: Walk) -> _Scoring:
    yield WHOLE
    log_probs = walk.trie.label_log_probs(walk.every())
    return log_probs, int((log_probs if walk.votes is None else log_probs + walk.votes).argmax()), []


def _best_first(walk: Walk) -> _Scoring:
    """Expand the beginnings whose labels may weigh most until the best labels are proven and what is left open weighs
    next to nothing."""
    trie = walk.trie
    votes = np.zeros(len(trie.labels)) if walk.votes is None else walk.votes
    at_once = policy_for(walk.prefix.model.device).nodes_at_once
    log_probs = np.full(len(trie.labels), -np.inf)
    frontier: list[tuple[float, int, float]] = []
    """Less the most that a label below may weigh, in logarithms; the node; and the log-probability up to it."""

    def add(log_prob: float, node: int) -> None:
        most = 0.0 if walk.votes is None else float(votes[list(trie.below(node))].max())
        heapq.heappush(frontier, (-log_prob - most, node, log_prob))

    yield []
    for child in trie.children[-1]:
        add(walk.after(-1, child), child)
    proven = min(PROVEN_LABELS, len(trie.labels))
    while frontier:
        weights = log_probs + votes
        threshold = np.partition(weights, -proven)[-proven]
        if threshold > -frontier[0][0] and _next_to_nothing([-cost for cost, *_ in frontier], weights):
            break
        batch = [heapq.heappop(frontier) for _ in range(min(at_once, len(frontier)))]
        yield [node for _, node, _ in batch]
        for _, node, log_prob in batch:
            for child in trie.children[node]:
                add(log_prob + walk.after(node, child), child)
            if node in trie.label_of:
                log_probs[trie.label_of[node]] = log_prob + walk.after(node, None)
    left = [OpenLabels(trie.below(node), log_prob) for _, node, log_prob in frontier]
    return log_probs, int((log_probs + votes).argmax()), left


def _next_to_nothing(left: Sequence[float], finished: np.ndarray) -> bool:
    """B <= 0.01 (Z + B), in logarithms."""
    open_mass = float(np.logaddexp.reduce(left))
    return bool(open_mass <= np.log(OPEN_SHARE) + np.logaddexp(open_mass, np.logaddexp.reduce(finished)))


def _greedy(walk: Walk) -> _Scoring:
    """The paper's constrained greedy decoding: at each step the most probable token among those that the trie
    allows."""
    trie, node, total = walk.trie, -1, 0.0
    left: list[OpenLabels] = []
    yield []
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
        yield [taken]
        node = taken
    log_probs = np.full(len(trie.labels), -np.inf)
    best = trie.label_of[node]
    log_probs[best] = total
    return log_probs, best, left


WAYS: Mapping[Way, Callable[[Walk], _Scoring]] = {"greedy": _greedy, "one_pass": _one_pass, "best_first": _best_first}
