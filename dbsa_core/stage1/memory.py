"""The memory of a pool: how large it is for a model, and in which form each layer's keys are kept there.

Knows nothing about encoding. A rotated key is moved to another place by rotating queries, or by rotating it on; it is
never rotated back, which would cost half-precision keys their digits.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from dbsa_core.devices import policy_for
from dbsa_core.errors import DataError
from dbsa_core.layer_memory import SCALE_BYTES, quantised, restored
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.once import say_once
from dbsa_core.store import Arena, BlockKV, KeyForm, with_spare

log = logging.getLogger(__name__)


def key_forms(model: LanguageModel) -> tuple[KeyForm, ...]:
    """For each layer, the form in which its keys are kept on the model's device: chosen here, and said once."""
    if not policy_for(model.device).reads_in_place:
        return (KeyForm.BEFORE_ROPE,) * model.shape.layers
    if not all(model.movable):
        say_once(
            log,
            f"{model.name}: {model.movable.count(False)} of {len(model.movable)} layers have a sliding window, a "
            "softcap, sink scores or RoPE tables that depend on the length; their keys are gathered for each query, "
            "the others' are read in place.",
        )
    return tuple(KeyForm.FROM_BLOCK_START if movable else KeyForm.BEFORE_ROPE for movable in model.movable)


def arena_for(
    model: LanguageModel,
    tokens: int,
    forms: Sequence[KeyForm] | None = None,
    *,
    int8: bool = False,
    grows: bool = True,
) -> Arena:
    """Memory for a pool of so many tokens, and some to spare where it `grows`; as the model makes keys and values, or
    as `int8`. `forms` are those of `key_forms` by default."""
    shape = model.shape
    size = (shape.layers, with_spare(tokens) if grows else tokens, shape.kv_heads, shape.head_dim)
    keys = torch.empty(size, dtype=torch.int8 if int8 else shape.dtype, device=model.device)
    forms = forms or key_forms(model)
    if not int8:
        return Arena(keys, torch.empty_like(keys), forms)
    sizes = (size[:3], size[:3], (shape.layers, *size[2:]))
    scales = tuple(torch.empty(each, dtype=torch.float32, device=model.device) for each in sizes)
    return Arena(keys, torch.empty_like(keys), forms, scales, shape.dtype)


def bytes_per_token(model: LanguageModel, *, int8: bool) -> int:
    """Of a pool's memory, keys and values of all layers."""
    shape = model.shape
    if not int8:
        return shape.bytes_per_token
    return 2 * shape.layers * shape.kv_heads * (shape.head_dim + SCALE_BYTES)


def forms_to_load(model: LanguageModel, saved: Sequence[KeyForm]) -> tuple[KeyForm, ...]:
    """The forms in which a pool that was saved in others is kept: rotated where this device wants it, else as saved.

    Raises `DataError` where keys are rotated that this model's layers need as they are before RoPE.
    """
    if len(saved) != len(model.movable):
        raise DataError(f"The pool was saved for {len(saved)} layers, {model.name} has {len(model.movable)}.")
    rotated = [form is KeyForm.FROM_BLOCK_START for form in saved]
    if stuck := [i for i, (turned, may) in enumerate(zip(rotated, model.movable, strict=True)) if turned > may]:
        raise DataError(
            f"The pool was saved with keys {KeyForm.FROM_BLOCK_START.value}, but layer {stuck[0]} of {model.name} "
            "needs them before RoPE (it has a sliding window, a softcap, sink scores or RoPE tables that depend on "
            "the length), and they are not rotated back, for that would cost precision; encode anew."
        )
    wanted = zip(saved, key_forms(model), strict=True)
    return tuple(form if form is KeyForm.FROM_BLOCK_START else here for form, here in wanted)


def in_forms(model: LanguageModel, kv: BlockKV, held: Sequence[KeyForm], forms: Sequence[KeyForm]) -> BlockKV:
    """A block whose keys are `held` in some forms in those of `forms_to_load`: rotated once, in float32, and rounded
    once more where they are int8."""
    turned = [i for i, (a, b) in enumerate(zip(held, forms, strict=True)) if a is not b and model.rope.rotates[i]]
    if not turned:
        return kv
    keys, positions = kv.keys.clone(), torch.arange(kv.keys.shape[2], device=kv.keys.device)
    scales = tuple(scale.clone() for scale in kv.scales)
    for layer in turned:
        tables = model.rope.tables(positions, model.rope.layer_types[layer])
        if not scales:
            keys[layer] = model.rope.rotate_wide(keys[layer, None], tables)[0]
            continue
        channels = scales[2][layer][:, None]
        wide = restored(keys[layer], scales[0][layer], torch.float32, channels)
        keys[layer], scales[0][layer] = quantised(model.rope.rotate_wide(wide[None], tables)[0], channels)
    return BlockKV(keys, kv.values, scales)
