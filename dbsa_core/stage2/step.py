"""One query as one forward of a fixed size, every input in device memory: what a CUDA graph replays.

Knows nothing about when it is worth it. The new tokens are a prompt, padded to `Size.prompt`, and nodes of a label
trie, padded to `Size.nodes`; they read up to `Size.blocks` blocks where those stand in an arena. Another choice of
blocks, another prompt or other nodes are other numbers in the same memory. Every layer must read in place.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from dbsa_core.devices import policy_for
from dbsa_core.layer_memory import LayerMemory
from dbsa_core.model.hook import attention_modules
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prompt import Ids
from dbsa_core.stage2.in_place import ReadsInPlace, normalizers
from dbsa_core.stage2.prefix import BlocksInPlace
from dbsa_core.stage2.trie import Nodes
from dbsa_core.store import Arena

MEMORY = ("dbsa_keys", "dbsa_values", "dbsa_scales")
"""Attributes of an attention module while a step runs its layers: the arena's part for the layer, by a name that is the
same for all layers, which are then compiled once. One step runs at a time."""
ASKED = 2048
"""Log-probabilities that any step has room for: a node has its children."""


@dataclass(frozen=True)
class Size:
    """Room for a query; what is not used is masked."""

    prompt: int
    """Tokens of the prompt."""
    nodes: int
    """Nodes of the trie."""
    blocks: int
    """Blocks that are read."""

    @property
    def tokens(self) -> int:
        return self.prompt + self.nodes

    def holds(self, other: Size) -> bool:
        """Whether what fits the other fits this."""
        return all(room >= needed for room, needed in zip(astuple(self), astuple(other), strict=True))

    def wastes(self, other: Size) -> bool:
        """Whether the other would be much faster for what fits both: rows cost more than blocks that are not read."""
        return self.tokens > 1.25 * other.tokens or self.blocks * self.tokens > 4 * other.blocks * other.tokens


class QueryStep(ReadsInPlace):
    """Inputs, and the forward that turns them into log-probabilities.

    `forward` reads and writes device memory alone, so it can be captured. Its caller holds the model's lock.
    """

    def __init__(self, model: LanguageModel, arena: Arena, size: Size):
        super().__init__(model)
        self.size = size
        self.arena = weakref.ref(arena)
        """Whose memory is read; whoever asks holds it."""
        tokens, device = size.tokens, model.device
        lengths = {
            "ids": tokens,
            "depths": tokens,
            "numbers": 3,
            "firsts": size.blocks,
            "begins": size.blocks,
            "lengths": size.blocks,
            "rows": max(ASKED, 2 * size.nodes),
            "asked": max(ASKED, 2 * size.nodes),
        }
        ends = [0, *accumulate(lengths.values())]
        self._spans = {name: slice(*span) for name, span in zip(lengths, pairwise(ends), strict=True)}
        self._host = torch.zeros(ends[-1], dtype=torch.long, pin_memory=policy_for(device).captures)
        self._put = {name: self._host.numpy()[span] for name, span in self._spans.items()}
        self._fields = torch.zeros(ends[-1], dtype=torch.long, device=device)
        """All inputs but the tree, in one copy."""
        self._nodes: Nodes | None = None
        self._tree = torch.zeros(size.nodes, size.nodes, dtype=torch.bool, device=device)
        self._causal = torch.ones(size.prompt, size.prompt, dtype=torch.bool, device=device).tril()
        self._eye = torch.eye(tokens, dtype=torch.bool, device=device)
        self._row = torch.arange(tokens, device=device)
        self.edges = torch.tensor([0, tokens], dtype=torch.int32, device=device)
        self.run: Callable[[], torch.Tensor] = lambda: self.forward(self.stock, log_probs_of)
        """What a captured graph takes the place of: float32 [asked], log-probabilities of what the nodes ask for."""

    def answer(self, prompt: Ids, nodes: Nodes, blocks: BlocksInPlace) -> np.ndarray:
        """float32 [asked], log-probabilities of what the nodes ask for, behind the blocks and the prompt."""
        assert blocks.arena is self.arena()
        self._load(prompt, nodes, blocks)
        return self.run()[: len(nodes.asked)].cpu().numpy()

    def _load(self, prompt: Ids, nodes: Nodes, blocks: BlocksInPlace) -> None:
        put, room, many, count = self._put, self.size.prompt, len(nodes.tokens), len(blocks.firsts)
        self._host.zero_()
        put["ids"][: len(prompt)], put["ids"][room : room + many] = prompt, nodes.tokens
        put["depths"][room : room + many] = nodes.depths
        begins, ends = np.array(blocks.stretches.spans).reshape(count, 2).T
        put["numbers"][:] = len(prompt), (ends - begins).sum(), count
        put["firsts"][:count], put["begins"][:count] = blocks.firsts, begins
        put["lengths"][:], put["lengths"][:count] = 1, ends - begins
        put["rows"][: len(nodes.rows)], put["asked"][: len(nodes.asked)] = nodes.rows, nodes.asked
        self._fields.copy_(self._host, non_blocking=True)
        if self._nodes is not nodes:
            tree = np.zeros((self.size.nodes, self.size.nodes), bool)
            tree[:many, :many] = nodes.sees
            self._tree.copy_(torch.from_numpy(tree))
            self._nodes = nodes

    @torch.inference_mode()
    def forward(self, runner: PreTrainedModel, score: Score) -> torch.Tensor:
        """float32 [asked], by the model or its compiled twin; `score` is `log_probs_of` or that compiled."""
        field = {name: self._fields[span] for name, span in self._spans.items()}
        prompt, context, count = field["numbers"].unbind()
        self.count = count[None].int()
        behind = torch.where(self._row < self.size.prompt, self._row, prompt + field["depths"])
        self.place(behind, (context - field["firsts"])[None])
        self.begins, self.lengths = field["begins"][None].int(), field["lengths"][None].int()
        self.seen = self._seen(prompt)[None]
        arena = self.arena()
        assert arena is not None
        rows = torch.cat([prompt[None] - 1, self._row[self.size.prompt :]])
        with self._attached(arena):
            logits = self.run_layers(runner, field["ids"], behind, rows)
        return score(logits, field["rows"], field["asked"])

    @contextmanager
    def _attached(self, arena: Arena) -> Iterator[None]:
        """Within it, attention modules know their layer's part of the arena."""
        modules = attention_modules(self.stock)
        for layer, module in modules.items():
            for name, part in zip(MEMORY, arena.layer(layer), strict=True):
                setattr(module, name, part)
        try:
            yield
        finally:
            for module in modules.values():
                for name in MEMORY:
                    delattr(module, name)

    def memory(self, module: nn.Module) -> LayerMemory:
        return LayerMemory(*(getattr(module, name) for name in MEMORY))

    def _seen(self, prompt: torch.Tensor) -> torch.Tensor:
        """Which new tokens see which, bool [tokens, tokens]: a prompt's token those up to itself, a node the prompt and
        its ancestors, a row that is not used itself."""
        room = self.size.prompt
        sees = self._eye.clone()
        sees[:room, :room] = self._causal
        sees[room:, :room] = self._row[:room] < prompt
        sees[room:, room:] |= self._tree
        return sees


Score = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def log_probs_of(logits: torch.Tensor, rows: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
    """The log-probability of token asked[i] by the logits [rows, vocabulary] of row rows[i]: float32 [asked]."""
    found: torch.Tensor = logits.float()[rows, asked] - normalizers(logits)[rows]
    return found
