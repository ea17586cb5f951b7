"""A model whose layers are compiled, beside the model itself, which stays as it is for everybody else.

Knows nothing about stages. The twin is made of shallow copies: the modules on the way to the layers are copied, all
else and every weight is shared.
"""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import nn
from transformers import PreTrainedModel

from dbsa_core.errors import ModelError
from dbsa_core.model.language_model import LanguageModel

_Module = TypeVar("_Module", bound=nn.Module)
RECOMPILE_LIMIT = 64
"""How often layers may be compiled anew in one process, for other models and types; beyond, they run as they are."""
ONE_AT_A_TIME = threading.RLock()
"""Held by whoever compiles layers or captures a graph: the compiler waits for the whole device, which no graph may be
captured meanwhile."""
_twins: weakref.WeakKeyDictionary[LanguageModel, PreTrainedModel] = weakref.WeakKeyDictionary()


def twin_of(model: LanguageModel) -> PreTrainedModel:
    """The one compiled twin of a model; run it within `recompiling` until it is compiled."""
    with ONE_AT_A_TIME:
        if model not in _twins:
            _twins[model] = compiled_twin(model.model)
        return _twins[model]


@contextmanager
def recompiling() -> Iterator[None]:
    """Within it, layers are compiled as often as it takes, and sizes that are equal by chance count as different
    ones."""
    from torch import _dynamo  # takes a second, which only those who compile should pay
    from torch.fx.experimental import _config

    shapes: Any = _config
    with ONE_AT_A_TIME, _dynamo.config.patch(recompile_limit=RECOMPILE_LIMIT), shapes.patch(use_duck_shape=False):
        yield


def compiled_twin(model: PreTrainedModel) -> PreTrainedModel:
    """The same model with `layers` that compile when they are first run, once for all layers that are alike and all
    numbers of tokens.

    Raises `ModelError` where the decoder keeps no list of its layers.
    """
    decoder: nn.Module = model.get_decoder()
    name = next(name for name, module in model.named_modules() if module is decoder)
    twin = _copied(model)
    place: nn.Module = twin
    for part in name.split(".") if name else ():
        place._modules[part] = _copied(getattr(place, part))
        place = getattr(place, part)
    layers = next((n for n, child in decoder.named_children() if _holds_attention(child)), None)
    if layers is None:
        raise ModelError(f"The decoder of {model.config.model_type!r} keeps no list of layers that could be compiled.")
    place._modules[layers] = nn.ModuleList(_compiled(layer) for layer in getattr(decoder, layers))
    return twin


def _holds_attention(child: nn.Module) -> bool:
    return isinstance(child, nn.ModuleList) and any(hasattr(m, "layer_idx") for m in child.modules())


def _compiled(layer: nn.Module) -> nn.Module:
    made = _copied(layer)
    made.compile(dynamic=True)
    return made


def _copied(module: _Module) -> _Module:
    made = copy.copy(module)
    made._modules = dict(module._modules)
    return made
