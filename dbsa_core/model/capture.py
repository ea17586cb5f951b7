"""The one hook into transformers: a registered attention function, and the swap that lets a model use it.

Knows nothing about blocks or queries: each call hands queries, keys and values to the `Stage` that came along as a
keyword argument of the forward.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol

import torch
from torch import nn
from transformers import AttentionInterface, PreTrainedModel

from dbsa_core.attention import LayerOptions
from dbsa_core.errors import ModelError

NAME = "dbsa"
KEYWORD = "dbsa_stage"


class Stage(Protocol):
    """What attention means in one forward."""

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: LayerOptions
    ) -> torch.Tensor:
        """Queries [1, heads, tokens, head_dim], keys and values [1, kv_heads, keys, head_dim]; returns the query's
        shape."""
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


def cache_keyword(module: nn.Module) -> str:
    """What `module`'s forward calls its key-value cache: `cache` since transformers 5.24, before it `past_key_values`.

    The older name is accepted with a warning until 5.40, and what reads `**kwargs` would take any name without a word,
    so the signature says it. Raises `ModelError` where the forward takes no cache.
    """
    name = _cache_keyword(type(module).forward)
    if name is None:
        raise ModelError(
            f"{type(module).__name__} cannot be used: its forward takes neither `cache` nor `past_key_values`, so "
            "nothing that was encoded can be handed to it. Use a causal language model of transformers."
        )
    return name


@cache
def _cache_keyword(forward: Callable[..., Any]) -> str | None:
    parameters = inspect.signature(forward).parameters
    return next((name for name in ("cache", "past_key_values") if name in parameters), None)


@contextmanager
def captured(model: PreTrainedModel, rotary: nn.Module) -> Iterator[None]:
    """Within it, `model`'s attention is the stage's and its rotary embedding is `rotary`; afterwards both are as
    before.

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
