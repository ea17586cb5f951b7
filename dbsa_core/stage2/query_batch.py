"""Several queries as one forward, side by side without padding, each reading its blocks where they stand.

Knows nothing about methods or which queries belong together. There are tokens enough to keep a device busy while the
host launches layer after layer, so nothing is captured. Every layer must read in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from dbsa_core.layer_memory import LayerMemory
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prompt import Ids
from dbsa_core.stage2.in_place import ReadsInPlace, normalizers
from dbsa_core.stage2.prefix import BlocksInPlace
from dbsa_core.stage2.trie import Nodes

ROWS_SUMMED = 256
"""Rows of logits that are summed at once, in float32."""


class Asked(NamedTuple):
    """What one query reads in one pass, and asks for."""

    prompt: Ids
    nodes: Nodes
    blocks: BlocksInPlace


class QueryBatch(ReadsInPlace):
    """One forward of several queries whose blocks stand in one arena; its caller holds the model's lock."""

    def __init__(self, model: LanguageModel, asked: Sequence[Asked]):
        super().__init__(model)
        self.device, self.asked = model.device, asked

    @torch.inference_mode()
    def answer(self) -> list[np.ndarray]:
        """For each query float32 [asked], log-probabilities of what its nodes ask for, behind its blocks and prompt."""
        asked = self.asked
        starts = [0, *accumulate(len(one.prompt) + len(one.nodes.tokens) for one in asked)]
        kept = [0, *accumulate(1 + len(one.nodes.tokens) for one in asked)]
        behind = np.concatenate([_behind(one) for one in asked])
        # Behind each prompt, and behind each node: what is kept of a query is one run of its tokens.
        rows = [
            start + len(one.prompt) - 1 + np.arange(1 + len(one.nodes.tokens))
            for start, one in zip(starts, asked, strict=False)
        ]
        ids, behind_there, rows_there, wanted, tokens = self._there(
            [token for one in asked for token in (*one.prompt, *one.nodes.tokens)],
            behind,
            np.concatenate(rows),
            np.concatenate([first + one.nodes.rows for first, one in zip(kept, asked, strict=False)]),
            np.concatenate([one.nodes.asked for one in asked]),
        )
        self._place(behind_there, starts)
        logits = self.run_layers(self.stock, ids, behind_there, rows_there)
        sums = torch.cat([normalizers(part) for part in torch.split(logits, ROWS_SUMMED)])
        found = (logits[wanted, tokens].float() - sums[wanted]).cpu().numpy()
        return np.split(found, list(accumulate(len(one.nodes.asked) for one in asked))[:-1])

    def memory(self, module: nn.Module) -> LayerMemory:
        # Told by number, and not by what stands on the module: a step may be captured meanwhile.
        layer: Any = module.layer_idx
        return self.asked[0].blocks.memory(layer)

    def _place(self, behind: torch.Tensor, starts: Sequence[int]) -> None:
        blocks = [one.blocks for one in self.asked]
        room = max(2, *(len(one.firsts) for one in blocks))
        distances, begins = (np.zeros((len(blocks), room), np.int64) for _ in range(2))
        lengths, counts = np.ones_like(begins), [len(one.firsts) for one in blocks]
        for query, one in enumerate(blocks):
            first, last = np.array(one.stretches.spans).reshape(-1, 2).T
            begins[query, : len(first)], lengths[query, : len(first)] = first, last - first
            distances[query, : len(first)] = (last - first).sum() - np.array(one.firsts)
        there = self._there(distances.ravel(), begins.ravel(), lengths.ravel(), counts, starts)
        self.place(behind, there[0].view(len(blocks), room))
        self.begins, self.lengths = (field.view(len(blocks), room).int() for field in there[1:3])
        self.count, self.edges = there[3].int(), there[4].int()
        self.seen = torch.from_numpy(_seen(self.asked)).to(self.device)

    def _there(self, *fields: Sequence[int] | np.ndarray) -> list[torch.Tensor]:
        """int64, on the device by one copy."""
        whole = torch.from_numpy(np.concatenate([np.asarray(field, np.int64) for field in fields])).to(self.device)
        return list(torch.split(whole, [len(field) for field in fields]))


def _behind(one: Asked) -> np.ndarray:
    """Positions of its tokens, counted from the prompt's first."""
    return np.concatenate([np.arange(len(one.prompt)), len(one.prompt) + np.array(one.nodes.depths, np.int64)])


def _seen(asked: Sequence[Asked]) -> np.ndarray:
    """bool [queries, most, most]: a prompt's token sees those up to itself, a node the prompt and its ancestors."""
    most = max(len(one.prompt) + len(one.nodes.tokens) for one in asked)
    seen = np.zeros((len(asked), most, most), bool)
    for sees, (prompt, nodes, _) in zip(seen, asked, strict=True):
        end = len(prompt) + len(nodes.tokens)
        sees[: len(prompt), : len(prompt)] = np.tri(len(prompt), dtype=bool)
        sees[len(prompt) : end, : len(prompt)] = True
        sees[len(prompt) : end, len(prompt) : end] = nodes.sees
    return seen
