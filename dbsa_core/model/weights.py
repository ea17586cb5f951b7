"""Weights of fewer bits than a model was saved with, by libraries that are installed beside the others.

Knows nothing about attention or blocks: transformers reads weights by the configuration that is made here. Only what
rounds each token for itself is offered. Where one token decides how another is rounded (LLM.int8() looks for outliers
in all of them), keys would depend on what else is in a forward, and no pool could be encoded in pieces.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import BitsAndBytesConfig, TorchAoConfig

from dbsa_core.errors import ModelError

AS_SAVED = "model"
"""Weights as the model has them."""
REQUIREMENTS = "requirements-quantised.txt"


@dataclass(frozen=True)
class Scheme:
    """One way of keeping the weights of linear layers, all but the output layer's."""

    library: str
    make: Callable[[torch.dtype], Any]
    """transformers' configuration, for a model that computes in this dtype; `ImportError` without the library."""
    marks: Callable[[dict[str, Any]], bool]
    """Whether a configuration that names the library, as a dictionary, means this."""


def _int8(dtype: torch.dtype) -> Any:
    from torchao.quantization import IntxWeightOnlyConfig, PerAxis

    # Whole weights are restored and multiplied. Compiled layers with Int8WeightOnlyConfig, which multiplies integers
    # first, would use a kernel of PyTorch that is slow for many tokens.
    return TorchAoConfig(IntxWeightOnlyConfig(torch.int8, PerAxis(0)))


def _nf4(dtype: torch.dtype) -> Any:
    import bitsandbytes  # noqa: F401  # transformers says that it is missing much later

    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


SCHEMES = {
    "int8": Scheme("torchao", _int8, lambda told: "IntxWeightOnlyConfig" in str(told.get("quant_type"))),
    "nf4": Scheme(
        "bitsandbytes",
        _nf4,
        lambda told: bool(told.get("load_in_4bit")) and told.get("bnb_4bit_quant_type") == "nf4",
    ),
}
"""int8: a scale for each row. nf4: 4 bits, a scale for every 64 weights (arXiv 2305.14314). Weights and activations as
float8 are not among them: activations are rounded so coarsely that the last bit of a sum decides about large steps, and
captured and stock logits are far apart (docs/BENCHMARKS.md)."""
WEIGHTS = (AS_SAVED, *SCHEMES)
"""What `LanguageModel.load(weights=)` takes."""


def configuration(weights: str, dtype: torch.dtype) -> Any | None:
    """What `from_pretrained` takes as `quantization_config`; None for weights as they were saved.

    Raises `ModelError` for a word that is not known, and without the library.
    """
    if weights == AS_SAVED:
        return None
    if weights not in SCHEMES:
        raise ModelError(f"Weights as {weights!r} are not known; accepted are {', '.join(WEIGHTS)}.")
    scheme = SCHEMES[weights]
    try:
        return scheme.make(dtype)
    except ImportError as error:
        raise ModelError(
            f"Weights as {weights} need the package {scheme.library}, which is not here ({error}). Install it with "
            f"`pip install -r {REQUIREMENTS}` or `pip install 'dbsa[quantised]'`."
        ) from error


def saved_as(config: Any) -> str:
    """How the weights are kept of a model with this configuration: one of `WEIGHTS`, or the name of another method of
    quantisation that the model was saved with ("gptq")."""
    told = _told(config)
    if told is None:
        return AS_SAVED
    found = (name for name, scheme in SCHEMES.items() if scheme.library == _method(told) and scheme.marks(told))
    return next(found, _method(told))


def refuse_shared_rounding(config: Any) -> None:
    """Raises `ModelError` where it depends on the other tokens of a forward how one is rounded."""
    told = _told(config)
    if told is None:
        return
    kind = str(told.get("quant_type"))
    if told.get("load_in_8bit") or told.get("_load_in_8bit") or ("DynamicActivation" in kind and "PerTensor" in kind):
        raise ModelError(
            f"Weights quantised by {_method(told)} in this way cannot be used: all tokens of a forward decide together "
            "how each is rounded, so that a block's keys would depend on what is encoded beside it. Load the model "
            f"that it was made of, with weights as one of {', '.join(WEIGHTS)}."
        )


def _told(config: Any) -> dict[str, Any] | None:
    """What a model's configuration says of how its weights were quantised."""
    found = getattr(config, "quantization_config", None)
    return found if found is None or isinstance(found, dict) else dict(found.to_dict())


def _method(told: dict[str, Any]) -> str:
    return str(getattr(told.get("quant_method"), "value", told.get("quant_method")))


def ready_rounded(model: torch.nn.Module) -> None:
    """Have bitsandbytes multiply in the model's dtype on every CPU: on one with bfloat16 instructions it would do so in
    bfloat16, whatever the model computes in.

    Raises `ModelError` where it restores weights wrongly: bitsandbytes 0.50.2 does on CPUs with AVX-512, in layers
    whose width is no multiple of the weights that share a scale.
    """
    checked = set()
    for module in model.modules():
        if getattr(module, _ONLY_BFLOAT16, False):
            setattr(module, _ONLY_BFLOAT16, False)
        weight = getattr(module, "weight", None)
        state = getattr(weight, "quant_state", None)
        if state is not None and state.shape not in checked:
            checked.add(state.shape)
            _check_restored(weight, state)


_ONLY_BFLOAT16 = "support_avx512bf16_for_cpu"


def _check_restored(weight: Any, state: Any) -> None:
    """A weight is the same, restored as a matrix and as one long row, which every kernel takes."""
    if not state.shape[-1] % state.blocksize:
        return
    from bitsandbytes.functional import dequantize_4bit

    row = copy.copy(state)
    row.shape = torch.Size((1, state.shape.numel()))
    found, wanted = (dequantize_4bit(weight.data, each).reshape(-1) for each in (state, row))
    if not torch.equal(found, wanted):
        raise ModelError(
            f"bitsandbytes restores 4-bit weights of {state.shape[-1]} inputs wrongly on this {weight.device}: "
            f"its kernel takes multiples of {state.blocksize} alone. Load the model with weights as int8 or model, or "
            "on another device."
        )


def plain_tensors(tensor: torch.Tensor) -> list[torch.Tensor]:
    """The plain tensors that hold a weight: itself, unless a library keeps it as a tensor of its own kind."""
    flatten = getattr(tensor, "__tensor_flatten__", None)
    if flatten is None:
        return [tensor]
    return [
        part for name in flatten()[0] for part in plain_tensors(getattr(tensor, name)) if isinstance(part, torch.Tensor)
    ]
