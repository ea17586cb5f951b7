"""New tokens of one or more queries that read blocks where those stand in an arena, all told by tensors: what captured
steps and batches have in common.

Knows nothing about where the tensors come from. Every layer must read in place.
"""

from __future__ import annotations

from math import gcd
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from dbsa_core.attention.query_attention import query_attention_op
from dbsa_core.layer_memory import LayerMemory
from dbsa_core.model.hook import KEYWORD, ROTATES, ModuleStage, no_mask
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.model.rope import Neutral, Tables


class ReadsInPlace(ModuleStage):
    """Whoever makes one sets what is declared here before it runs; see `query_attention_op`."""

    own: Tables
    """Of the new tokens, by which they see one another: positions count from each prompt's first token. Blocks stand
    before it, each counted from its own first token: scores depend on distances alone."""
    turned: Tables
    """[queries, stretches, head_dim], what turns queries for each block."""
    edges: torch.Tensor
    seen: torch.Tensor
    begins: torch.Tensor
    lengths: torch.Tensor
    count: torch.Tensor

    def __init__(self, model: LanguageModel):
        # Not the model itself: it would live as long as the arena.
        self.stock, self.hook, self.rope, self.shape = model.model, model.hook, model.rope, model.shape
        self._kind = model.rope.layer_types[0]
        self._neutral, self._no_mask = Neutral(model.rope.rotary_dim), no_mask(model.device)

    def place(self, behind: torch.Tensor, distances: torch.Tensor) -> None:
        """Make the tables for tokens at positions `behind` [tokens] and blocks at `distances` [queries, stretches]."""
        self.own = self.rope.tables(behind, self._kind)
        moves = self.rope.moves(distances.flatten(), self._kind)
        cos, sin = self.rope.elementwise(moves, self.shape.head_dim)
        size = (*distances.shape, self.shape.head_dim)
        self.turned = cos.view(size), sin.view(size)
        if not all(self.rope.rotates):
            self._unturned = torch.ones_like(self.turned[0]), torch.zeros_like(self.turned[1])

    def run_layers(
        self, runner: PreTrainedModel, ids: torch.Tensor, behind: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor:
        """Logits [rows, vocabulary] behind the tokens `rows` of `ids` [tokens]; `runner` is the model or its compiled
        twin. Its caller holds the model's lock."""
        arguments: dict[str, Any] = {
            "input_ids": ids[None],
            "position_ids": behind[None],
            "attention_mask": self._no_mask,
            "use_cache": False,
            "logits_to_keep": rows,
            KEYWORD: self,
        }
        with self.hook.staged(self._neutral):
            logits: torch.Tensor = cast(Any, runner)(**arguments).logits[0]
        return logits

    def memory(self, module: nn.Module) -> LayerMemory:
        """Keys and values of all blocks in the layer of an attention module."""
        raise NotImplementedError

    def attend_in(
        self, module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        rotates = getattr(module, ROTATES)
        query = query.to(torch.promote_types(query.dtype, torch.float32))
        if rotates:
            query, key = self.rope.rotate(query, self.own), self.rope.rotate_wide(key, self.own)
        memory = self.memory(module)
        found: torch.Tensor = query_attention_op(
            query,
            self.rope.partner(query) if rotates else query,
            key,
            value,
            self.edges,
            self.seen,
            memory.keys,
            memory.values,
            memory.scales,
            *(self.turned if rotates else self._unturned),
            self.begins,
            self.lengths,
            self.count,
            scaling,
        )
        return found


VOCABULARY_PARTS = 64
"""Into so many parts, where it divides, a row of logits is summed."""


def normalizers(logits: torch.Tensor) -> torch.Tensor:
    """The log-sum-exp of each row of logits [rows, vocabulary], float32 [rows]."""
    # In parts: a compiler gives each row to one program, and a vocabulary is long for one.
    parts = gcd(logits.shape[1], VOCABULARY_PARTS)
    summed: torch.Tensor = logits.float().reshape(len(logits), parts, -1).logsumexp(2).logsumexp(1)
    return summed
