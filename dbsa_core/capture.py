"""The one hook into transformers: a registered attention function, and the swap that lets a model use it.

Knows nothing about blocks or queries: each call hands queries, keys and values to the `Stage` that came along as a
keyword argument of the forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import nn
from transformers import AttentionInterface, PreTrainedModel

from dbsa_core.attention import LayerOptions

NAME = "dbsa"
KEYWORD = "dbsa_stage"


class Stage(Protocol):
    """What attention means in one forward."""

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: LayerOptions
    ) -> torch.Tensor:
        """Queries [1, heads, tokens, head_dim], keys and values [1, kv_heads, keys, head_dim]; returns the
        query's shape."""
        ...


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    stage: Stage = options[KEYWORD]
    asked = LayerOptions(
        scaling=query.shape[-1] ** -0.5 if scaling is None else scaling,
        sliding_window=options.get("sliding_window"),
        softcap=options.get("softcap"),
        sinks=options.get("s_aux"),
    )
    layer: Any = module.layer_idx
    output = stage.attend(layer, query, key, value, asked)
    return output.transpose(1, 2).contiguous(), None


@contextmanager
def captured(model: PreTrainedModel, rotary: nn.Module) -> Iterator[None]:
    """Within it, `model`'s attention is the stage's and its rotary embedding is `rotary`; afterwards both are
    as before.

    It changes the model while it lasts: hold the model's lock.
    """
    AttentionInterface.register(NAME, _attention)
    decoder: Any = model.get_decoder()
    before, own_rotary = model.config._attn_implementation, decoder.rotary_emb
    try:
        decoder.rotary_emb = rotary
        model.set_attn_implementation(NAME)
        yield
    finally:
        decoder.rotary_emb = own_rotary
        model.set_attn_implementation(before)
