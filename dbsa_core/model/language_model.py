"""A causal language model of transformers, ready to hand out keys before RoPE.

Knows nothing about pools, blocks or labels: token ids and positions in, keys, values and logits out.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel

from dbsa_core.attention import LayerOptions, Visibility, attend
from dbsa_core.devices import placement, policy_for
from dbsa_core.errors import ModelError
from dbsa_core.interrupt import AllWrittenError, held
from dbsa_core.model import loading
from dbsa_core.model.hook import KEYWORD, Hook, Stage, attention_modules, no_mask
from dbsa_core.model.rope import Rope, StandIn, Tables, find_rope
from dbsa_core.model.tracing import trace_before_compiling
from dbsa_core.model.weights import AS_SAVED, plain_tensors, ready_rounded, refuse_shared_rounding, saved_as

TESTED_FAMILIES = frozenset(
    [
        *("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"),
        *("phi3", "olmo2", "smollm3", "granite", "glm4", "mixtral", "phi"),
    ]
)
"""Values of `config.model_type` for which the tests hold every law; every model is probed when it is loaded."""
PROBE_TOKENS = 24
PROBE_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 6e-2}
"""Largest |captured - stock| logit that the probe accepts, as a share of the largest |logit|."""


@dataclass(frozen=True)
class KVShape:
    """What one token leaves in the cache."""

    layers: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype

    @property
    def bytes_per_token(self) -> int:
        """Keys and values of all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.dtype.itemsize


@dataclass(eq=False)
class LanguageModel:
    """Make one by `LanguageModel.load` (a name, a folder, a GGUF file) or `LanguageModel.of` (objects at hand).

    `model` stays a stock model for everybody else, from other threads too; `close` takes the hook out of it again.
    """

    model: PreTrainedModel
    tokenizer: Any
    name: str
    rope: Rope
    shape: KVShape
    heads: int
    """Query heads of a layer."""
    max_positions: int
    signature: str
    """Hash of the configuration, of a sample of every weight and of the vocabulary's size."""
    movable: tuple[bool, ...]
    """For each layer, whether its keys may be kept rotated and be moved by rotating queries: its RoPE tables are the
    same at every length, and it has neither a sliding window nor a softcap nor sink scores."""
    windows: tuple[int | None, ...]
    """For each layer, its own sliding window: a token sees those at positions less than this before its own. None: all
    that the blocks let it see."""
    writes_scores: bool
    """Whether scores of attention are written out: a layer has a softcap or sink scores."""
    hook: Hook = field(repr=False)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _seen_kinds: set[str] = field(default_factory=set, repr=False)

    @classmethod
    def load(
        cls,
        source: str | Path | None = None,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | str | None = None,
        weights: str = AS_SAVED,
        cache_folder: Path | None = None,
    ) -> LanguageModel:
        """The embedded model (None), a hub id, a local folder or a GGUF file.

        The device is CUDA where there is one, else the CPU; the dtype bfloat16 on CUDA and float32 on the CPU. Weights
        of linear layers are kept as they were saved ("model"), or rounded when they are read: "int8" or "nf4", which is
        4 bits (`weights.SCHEMES`). Raises `ModelError` where nothing is found, where the family is one that the capture
        gets wrong, and where weights cannot be kept so.
        """
        device, dtype = placement(device, dtype)
        model, tokenizer, name = loading.load(source, loading.Placed(device, dtype, weights), cache_folder)
        return cls.of(model, tokenizer, name if weights == AS_SAVED else f"{name}, {weights} weights")

    @classmethod
    def of(cls, model: PreTrainedModel, tokenizer: Any, name: str | None = None) -> LanguageModel:
        """A model at hand; it is looked over by one short forward, and its capture is probed by two more.

        Raises `ModelError` for a family that cannot be used, whatever it is that fails in it.
        """
        model.eval()
        if policy_for(model.device).captures:
            trace_before_compiling()
        config = model.config.get_text_config()
        max_positions = int(getattr(config, "max_position_embeddings", None) or 2048)
        _check_rotary(model)
        refuse_shared_rounding(model.config)
        ready_rounded(model)
        signature = _signature(model, tokenizer)
        hook = Hook(model)
        try:
            survey = _survey(model, config, hook)
            rope = find_rope(
                hook.rotary, survey.attention_module, config, survey.rotates, survey.head_dim, max_positions
            )
            shape = KVShape(len(survey.rotates), survey.kv_heads, survey.head_dim, model.dtype)
            movable = tuple(plain and not rope.length_dependent for plain in survey.plain)
            name = name or config.model_type
            hook.number(survey.rotates)
            own = name, rope, shape, survey.heads, max_positions, signature, movable, survey.windows
            made = cls(model, tokenizer, *own, survey.writes_scores, hook)
            made.probe()
        except BaseException:
            hook.close()
            raise
        return made

    def close(self) -> None:
        """Leave `model` as it was found; nothing can be encoded or asked any more."""
        with self.lock:
            self.hook.close()

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def family(self) -> str:
        return str(self.model.config.get_text_config().model_type)

    @property
    def weights(self) -> str:
        """How the weights of linear layers are kept: "model", "int8", "nf4", or the method by which they were
        quantised before they were saved."""
        return saved_as(self.model.config)

    @property
    def moves_alike(self) -> bool:
        """Whether the keys of all layers may be moved, and by the same tables."""
        return all(self.movable) and len(set(self.rope.layer_types)) == 1

    def ids(self, token_ids: Sequence[int]) -> torch.Tensor:
        """Token ids as a tensor [tokens] on the model's device."""
        return torch.tensor(list(token_ids), dtype=torch.long, device=self.device)

    def run(
        self,
        token_ids: torch.Tensor,
        positions: torch.Tensor,
        stage: Stage,
        *,
        deferred: bool = False,
        rope_length: int | None = None,
        logits_rows: Sequence[int] | None = None,
    ) -> torch.Tensor | None:
        """One forward of `token_ids` [tokens] at `positions` [tokens], its attention being `stage`.

        `deferred` leaves queries and keys before RoPE to the stage; else they come rotated. What stands before these
        tokens is the stage's own affair; without logits it may raise `AllWrittenError` behind the last layer's keys and
        values. Returns float32 logits [len(logits_rows), vocabulary], or None where no rows
        are asked for.
        """
        tables = StandIn(self.rope, deferred, rope_length)
        arguments: dict[str, Any] = {
            "input_ids": token_ids[None],
            "position_ids": positions[None],
            "attention_mask": no_mask(self.device),
            "use_cache": False,
            KEYWORD: stage,
        }
        module: Any = self.model.get_decoder() if logits_rows is None else self.model
        with held(self.lock), self.hook.staged(tables), torch.inference_mode():
            if logits_rows is None:
                with suppress(AllWrittenError):
                    module(**arguments)
                return None
            rows = self.ids(logits_rows)
            logits: torch.Tensor = module(**arguments, logits_to_keep=rows).logits[0]
            return logits if logits.dtype == torch.float64 else logits.float()

    def first_of(self, kind: str) -> bool:
        """Whether no forward of this kind was reported before: the first one also warms the process up.

        Kinds are what methods call them; who reports one has just run it.
        """
        with held(self.lock):
            first = kind not in self._seen_kinds
            self._seen_kinds.add(kind)
            return first

    def probe(self) -> None:
        """Compare captured with stock logits on the model's own weights; `ModelError` where they differ.

        Random weights can hide a fault (HunYuan normalises after RoPE, which unit norm weights do not show), hence the
        real ones. Stock means eager: what SDPA lacks, some versions of transformers leave out with it (Gemma 2's
        softcap in 5.17).
        """
        config = self.model.config.get_text_config()
        generator = torch.Generator().manual_seed(0)
        token_ids = torch.randint(config.vocab_size, (PROBE_TOKENS,), generator=generator).to(self.device)
        with self.lock, self.hook.eager(), torch.inference_mode():
            stock = self.model(input_ids=token_ids[None], use_cache=False).logits[0].float()
        positions = torch.arange(PROBE_TOKENS, device=self.device)
        stage = DenseStage(self.rope, positions)
        try:
            ours = self.run(token_ids, positions, stage, deferred=True, logits_rows=range(PROBE_TOKENS))
        except CAPTURE_FAILURES as error:
            raise _unusable(self.family, error) from error
        assert ours is not None
        difference = float((ours.float() - stock).abs().max() / stock.abs().max().clamp_min(1e-30))
        if not difference <= PROBE_TOLERANCE[self.shape.dtype]:
            if self.weights != AS_SAVED:
                raise ModelError(
                    f"The model cannot be used with weights as {self.weights}: captured and stock logits differ by "
                    f"{difference:.1e} of the largest, so its answers would depend on the order in which numbers are "
                    "added up. Use weights of another kind, or as they were saved."
                )
            raise ModelError(
                f"The family {self.family!r} cannot be used: its keys before RoPE are not what its attention receives "
                f"(captured and stock logits differ by {difference:.1e} of the largest). Use a model of a tested "
                f"family: {', '.join(sorted(TESTED_FAMILIES))}."
            )


@dataclass
class DenseStage:
    """Plain causal attention over one forward's own tokens, rotating here what the stand-in deferred."""

    rope: Rope
    positions: torch.Tensor
    length: int | None = None

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: LayerOptions
    ) -> torch.Tensor:
        if self.rope.rotates[layer]:
            kind = self.rope.layer_types[layer]
            tables = self.rope.tables(self.positions, kind, self.length, dtype=query.dtype)
            query, key = self.rope.rotate(query, tables), self.rope.rotate(key, tables)
        return attend(query, [(key, value)], Visibility.causal(query.shape[2], key.shape[2]), options)


@dataclass
class _Survey:
    """What one short forward tells about a model's layers."""

    attention_module: type = object
    rotates: tuple[bool, ...] = ()
    plain: tuple[bool, ...] = ()
    """For each layer, whether it has neither a sliding window nor a softcap nor sink scores."""
    windows: tuple[int | None, ...] = ()
    """Of each layer."""
    writes_scores: bool = False
    heads: int = 0
    kv_heads: int = 0
    head_dim: int = 0


class _Layer(NamedTuple):
    """What one layer hands to its attention."""

    rotates: bool
    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    options: LayerOptions

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        return self.heads, self.kv_heads, self.key_dim, self.value_dim


@dataclass
class _SurveyStage:
    """Records each layer. Its stand-in returns cos = sin = 0, so that rotation leaves zeros and no rotation does
    not."""

    seen: dict[int, _Layer] = field(default_factory=dict)

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: LayerOptions
    ) -> torch.Tensor:
        rotated = bool((query.abs().amax(dim=(0, 1, 2)) == 0).any())
        self.seen[layer] = _Layer(rotated, query.shape[1], key.shape[1], key.shape[3], value.shape[3], options)
        return torch.zeros_like(query)


def _zero_tables(rotary: torch.nn.Module) -> Callable[..., Tables]:
    """cos = sin = 0 in the shape of the model's own tables."""

    def zeros(*args: Any, **named: Any) -> Tables:
        cos, sin = rotary(*args, **named)
        return torch.zeros_like(cos), torch.zeros_like(sin)

    return zeros


CAPTURE_FAILURES = (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError, AssertionError)
"""What a model's own code raises where its attention is not as the capture takes it."""


def _unusable(family: str, error: Exception) -> ModelError:
    return ModelError(
        f"The family {family!r} cannot be used: its attention does not go through transformers' attention interface as "
        f"others do ({type(error).__name__}: {error}). Use a model of a tested family: "
        f"{', '.join(sorted(TESTED_FAMILIES))}."
    )


def _check_rotary(model: PreTrainedModel) -> None:
    family = model.config.get_text_config().model_type
    if not hasattr(model.get_decoder(), "rotary_emb"):
        raise ModelError(
            f"The family {family!r} has no rotary position embedding at its decoder, which cached keys need in order "
            f"to move. Use a model of a tested family: {', '.join(sorted(TESTED_FAMILIES))}."
        )


def _survey(model: PreTrainedModel, config: Any, hook: Hook) -> _Survey:
    """One forward of three tokens; refuses models whose layers are not all plain attention of one shape."""
    family = config.model_type
    decoder: Any = model.get_decoder()
    stage = _SurveyStage()
    try:
        with hook.staged(_zero_tables(hook.rotary)), torch.inference_mode():
            token_ids = torch.arange(3, device=model.device)[None]
            mask = no_mask(model.device)
            decoder(input_ids=token_ids, attention_mask=mask, use_cache=False, **{KEYWORD: stage})
    except CAPTURE_FAILURES as error:
        raise _unusable(family, error) from error
    if not stage.seen:
        raise _unusable(family, RuntimeError("no layer called the function"))
    layers = [stage.seen.get(i) for i in range(config.num_hidden_layers)]
    types = tuple(getattr(config, "layer_types", None) or ())
    strange = sorted(set(types) - {"full_attention", "sliding_attention"})
    found = [seen for seen in layers if seen]
    windows = [seen.options.sliding_window if seen else None for seen in layers]
    unseen = [i for i, kind in enumerate(types) if kind == "sliding_attention" and windows[i] is None]
    if len(found) < len(layers) or len({seen.sizes for seen in found}) != 1 or strange or unseen:
        why = f"layers of kind {', '.join(strange)}" if strange else "layers whose keys and values we cannot read alike"
        raise ModelError(
            f"The family {family!r} cannot be used: it has {why}. Use a model of a tested family: "
            f"{', '.join(sorted(TESTED_FAMILIES))}."
        )
    first = found[0]
    if first.key_dim != first.value_dim:
        raise ModelError(f"The family {family!r} cannot be used: its keys and values differ in head_dim.")
    rotates, plain = tuple(seen.rotates for seen in found), tuple(seen.options.plain for seen in found)
    written = any(seen.options.softcap is not None or seen.options.sinks is not None for seen in found)
    sizes = first.heads, first.kv_heads, first.key_dim
    return _Survey(type(attention_modules(model)[0]), rotates, plain, tuple(windows), written, *sizes)


_NOT_OF_THE_MODEL = {"_name_or_path", "transformers_version"}
"""Parts of a configuration that say where and by what it was written."""


def _signature(model: PreTrainedModel, tokenizer: Any) -> str:
    config = {name: value for name, value in model.config.to_dict().items() if name not in _NOT_OF_THE_MODEL}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, weight in model.state_dict().items():
        for part in plain_tensors(weight):
            flat = part.reshape(-1)
            sample = flat[:: max(1, flat.numel() // 16)][:16].float().cpu().numpy()
            digest.update(name.encode() + sample.tobytes())
    digest.update(str(len(tokenizer) if hasattr(tokenizer, "__len__") else 0).encode())
    return digest.hexdigest()[:16]
