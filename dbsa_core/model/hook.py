"""The one hook into transformers, installed once per model: forwards that bring a stage attend by it, others as stock.

Knows nothing about blocks or queries: each call hands queries, keys and values to the `Stage` that came along as a
keyword argument of the forward. Nothing of transformers is replaced: under a name of its own an attention function is
registered that passes on what brings no stage, with the mask function of the implementation that the model came with.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, Protocol

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from dbsa_core.attention import LayerOptions
from dbsa_core.errors import ModelError
from dbsa_core.interrupt import stop_if_cancelled
from dbsa_core.model.rope import Tables

KEYWORD = "dbsa_stage"
PREFIX = "dbsa_"
STOCK = ("eager", "sdpa")
"""Implementations that a model may have been loaded with."""
WIDE = "eager in float32"
"""The one within `Hook.eager`."""

MakesTables = Callable[..., Tables]
"""Called as a decoder's `rotary_emb` is: hidden states, position ids, and a layer type where the family has several."""

_tables: ContextVar[MakesTables | None] = ContextVar("dbsa_tables", default=None)
"""Of the staged forward that this thread is in."""


class Stage(Protocol):
    """What attention means in one forward."""

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: LayerOptions
    ) -> torch.Tensor:
        """Queries [1, heads, tokens, head_dim], keys and values [1, kv_heads, keys, head_dim]; returns the query's
        shape."""
        ...


NUMBER, ROTATES = "dbsa_number", "dbsa_rotates"
"""Attributes of every attention module: its layer's number, as an integer tensor [] on the host, and whether it
rotates."""


class ModuleStage:
    """A stage of compiled layers. It is handed the attention module itself, on which it finds what belongs to the
    layer: told by number, every layer would be compiled by itself."""

    def attend_in(
        self, module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """Queries and the rest as `Stage.attend`; returns [1, tokens, heads, head_dim]."""
        raise NotImplementedError


class HookedRotary(nn.Module):
    """In the place of a decoder's `rotary_emb`: its own tables, but within a staged forward those of the stage."""

    def __init__(self, stock: nn.Module):
        super().__init__()
        self.stock = stock

    def forward(self, *args: Any, **kwargs: Any) -> Tables:
        made: Tables = (_tables.get() or self.stock)(*args, **kwargs)
        return made

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("stock"), name)


class Hook:
    """Makes a model whose decoder has a `rotary_emb` ready for stages; `close` leaves it as it was found.

    Raises `ModelError` for a model that was loaded with an implementation of attention that is not among `STOCK`.
    """

    def __init__(self, model: PreTrainedModel):
        decoder: Any = model.get_decoder()
        self._model, self._decoder = model, decoder
        self._rotates: tuple[bool, ...] = ()
        self._configs = list({id(c): c for m in decoder.modules() if (c := getattr(m, "config", None))}.values())
        rotary = decoder.rotary_emb
        self.rotary: nn.Module = rotary.stock if isinstance(rotary, HookedRotary) else rotary
        """The model's own."""
        self._owner = False
        """Whether it was this hook that went in; a model that is hooked already is left to the one that did."""
        self.closed = False
        self._install()

    def _install(self) -> None:
        stock = [_stock_name(config._attn_implementation) for config in self._configs]
        if strange := sorted(set(stock) - set(STOCK)):
            raise ModelError(
                f"The model was loaded with the attention implementation {strange[0]!r}; load it with one of "
                f"{', '.join(STOCK)}. Attention over blocks is chosen by itself."
            )
        for config, name in zip(self._configs, stock, strict=True):
            config._attn_implementation = _registered(name)
        if not isinstance(self._decoder.rotary_emb, HookedRotary):
            self._decoder.rotary_emb, self._owner = HookedRotary(self.rotary), True
        if self._rotates:
            self.number(self._rotates)

    def _in_place(self) -> bool:
        hooked = isinstance(self._decoder.rotary_emb, HookedRotary)
        return hooked and all(config._attn_implementation.startswith(PREFIX) for config in self._configs)

    @contextmanager
    def staged(self, tables: MakesTables) -> Iterator[None]:
        """Within it, the model's rotary tables are those of `tables`, for this thread; pass KEYWORD and `no_mask`."""
        if self.closed:
            raise ModelError("This model was closed; load it anew to use it.")
        if not self._in_place():  # its user chose another implementation, or closed another hook
            self._install()
        token = _tables.set(tables)
        try:
            yield
        finally:
            _tables.reset(token)

    @contextmanager
    def eager(self) -> Iterator[None]:
        """Within it, forwards without a stage attend as the family's own file writes it out, in float32 or wider: half
        precision would round scores, which in Qwen2 are large enough for that to change what is attended to."""
        chosen = [config._attn_implementation for config in self._configs]
        try:
            for config in self._configs:
                config._attn_implementation = _registered(WIDE)
            yield
        finally:
            for config, name in zip(self._configs, chosen, strict=True):
                config._attn_implementation = name

    def number(self, rotates: Sequence[bool]) -> None:
        """Give attention modules the attributes that a `ModuleStage` finds on them; `rotates` by layer."""
        self._rotates = tuple(rotates)
        for layer, module in attention_modules(self._model).items():
            module.__dict__[NUMBER] = torch.tensor(layer)
            module.__dict__[ROTATES] = rotates[layer]

    def close(self) -> None:
        """Leave the model as it was found; a second call does nothing."""
        if not self.closed and self._owner:
            self._decoder.rotary_emb = self.rotary
            for config in self._configs:
                config._attn_implementation = _stock_name(config._attn_implementation)
            for module in attention_modules(self._model).values():
                for name in (NUMBER, ROTATES):
                    module.__dict__.pop(name, None)
        self.closed = True


def _stock_name(implementation: str | None) -> str:
    return (implementation or "eager").removeprefix(PREFIX)


@cache
def _registered(stock: str) -> str:
    """The name under which stages attend, and forwards without one as `stock` does."""

    def attention(module: nn.Module, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
        stage: Stage | ModuleStage | None = options.pop(KEYWORD, None)
        if isinstance(stage, ModuleStage):
            return stage.attend_in(module, query, key, value, _scaling(query, options)), None
        if stage is None:
            return _stock_attention(module, stock)(module, query, key, value, attention_mask, **options)
        return _staged_attention(module, stage, query, key, value, options), None

    AttentionInterface.register(PREFIX + stock, attention)
    AttentionMaskInterface.register(PREFIX + stock, AttentionMaskInterface()["eager" if stock == WIDE else stock])
    return PREFIX + stock


def _stock_attention(module: nn.Module, stock: str) -> Callable[..., Any]:
    if stock not in ("eager", WIDE):
        return AttentionInterface()[stock]  # type: ignore[no-any-return]
    own: Callable[..., Any] = sys.modules[type(module).__module__].eager_attention_forward  # each model file has one
    return own if stock == "eager" else _widened(own)


def _widened(attention: Callable[..., Any]) -> Callable[..., Any]:
    """The same computed in float32 or wider, and rounded once."""

    def widened(
        module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, **options: Any
    ) -> Any:
        wide = torch.promote_types(query.dtype, torch.float32)
        mask = mask.to(wide) if torch.is_tensor(mask) and mask.is_floating_point() else mask
        output, *rest = attention(module, *(states.to(wide) for states in (query, key, value)), mask, **options)
        return (output.to(query.dtype), *rest)

    return widened


def _scaling(query: torch.Tensor, options: dict[str, Any]) -> float:
    """The layer's own factor on the scores, or the usual one."""
    given: float | None = options.get("scaling")
    return query.shape[-1] ** -0.5 if given is None else given


def _staged_attention(
    module: nn.Module,
    stage: Stage,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    options: dict[str, Any],
) -> torch.Tensor:
    stop_if_cancelled()
    asked = LayerOptions(
        scaling=_scaling(query, options),
        sliding_window=options.get("sliding_window"),
        softcap=options.get("softcap"),
        sinks=options.get("s_aux"),
    )
    layer: Any = module.layer_idx
    return stage.attend(layer, query, key, value, asked).transpose(1, 2).contiguous()


def attention_modules(model: PreTrainedModel) -> dict[int, nn.Module]:
    """The module that calls attention in each layer, by the layer's number."""
    found: dict[int, nn.Module] = {}
    for module in model.get_decoder().modules():
        layer: Any = getattr(module, "layer_idx", None)
        if layer is not None and "ttention" in type(module).__name__:
            found.setdefault(int(layer), module)
    return found


def no_mask(device: torch.device) -> torch.Tensor:
    """The mask to give a staged forward: transformers hands a mask of four dimensions on as it is, and makes none."""
    return torch.zeros(1, 1, 1, 1, device=device)
