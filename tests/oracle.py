"""Slow twins: stock eager forwards under explicit masks. Nothing here uses the fast paths that it judges."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from dbsa_core.model.language_model import LanguageModel


def layer_windows(model: PreTrainedModel) -> Any:
    config = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None)
    return config.sliding_window if getattr(config, "sliding_window", None) else None, kinds


def dense_arguments(model: PreTrainedModel, tokens: int, allowed: torch.Tensor) -> Any:
    """`allowed` [tokens, tokens] as stock eager attention takes it, with each layer's own sliding window put in.

    A 4-D mask replaces a model's sliding window silently; so the window is put into the mask, by position.
    """
    mask = _additive(allowed, model.dtype)
    window, kinds = layer_windows(model)
    if window is None:
        return mask
    positions = torch.arange(tokens, device=allowed.device)
    narrow = _additive(allowed & (positions[:, None] - positions[None] < window), model.dtype)
    source = Path(sys.modules[type(model.get_decoder()).__module__].__file__ or "").read_text()
    mapped = kinds is not None and "causal_mask_mapping" in source
    return {"full_attention": mask, "sliding_attention": narrow} if mapped else narrow


def named_cache(model: Any, cache: Any) -> dict[str, Any]:
    """The cache under the name that the forward has for it: `cache` since transformers 5.24."""
    return {"cache" if "cache" in inspect.signature(type(model).forward).parameters else "past_key_values": cache}


def masked_logits(model: PreTrainedModel, token_ids: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """Logits [tokens, vocabulary] of one dense eager forward under `allowed` [tokens, tokens]."""
    mask = dense_arguments(model, len(token_ids), allowed)
    with torch.no_grad():
        return model(input_ids=token_ids[None], attention_mask=mask, use_cache=False).logits[0]


def masked_attentions(model: PreTrainedModel, token_ids: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """What stock eager attention gives: [layers, heads, tokens, tokens], under `allowed` [tokens, tokens]."""
    mask = dense_arguments(model, len(token_ids), allowed)
    with torch.no_grad():
        found = model(input_ids=token_ids[None], attention_mask=mask, use_cache=False, output_attentions=True)
    return torch.stack([layer[0] for layer in found.attentions])


def pinned_logits(
    model: LanguageModel, token_ids: torch.Tensor, allowed: torch.Tensor, length: int | None
) -> torch.Tensor:
    """The same where RoPE tables change with the length of the forward and are those of `length`: a forward that is too
    short for them is made longer by tokens that nothing sees."""
    switch = model.rope.switch_length
    missing = switch + 1 - len(token_ids) if length is not None and switch is not None and length > switch else 0
    if missing <= 0:
        return masked_logits(model.model, token_ids, allowed)
    padded = torch.eye(len(token_ids) + missing, dtype=torch.bool, device=allowed.device)
    padded[: len(token_ids), : len(token_ids)] = allowed
    longer = torch.cat([token_ids, token_ids.new_zeros(missing)])
    return masked_logits(model.model, longer, padded)[: len(token_ids)]


def _additive(allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill(~allowed, torch.finfo(dtype).min)[
        None, None
    ]


def generated(model: LanguageModel, prompt: Sequence[int], paths: Collection[tuple[int, ...]]) -> tuple[int, ...]:
    """The one of `paths`, which end alike, that `generate` takes greedily behind the prompt."""
    from transformers import GenerationConfig

    def allowed(_: int, so_far: torch.Tensor) -> list[int]:
        done = tuple(so_far.tolist()[len(prompt) :])
        return sorted({path[len(done)] for path in paths if path[: len(done)] == done and len(path) > len(done)})

    ids, end = model.ids(prompt)[None], next(iter(paths))[-1]
    config = GenerationConfig(do_sample=False, num_beams=1, max_new_tokens=60, eos_token_id=end, pad_token_id=0)
    with torch.no_grad():
        out = model.model.generate(
            ids, attention_mask=torch.ones_like(ids), generation_config=config, prefix_allowed_tokens_fn=allowed
        )
    return tuple(out[0].tolist()[len(prompt) :])
