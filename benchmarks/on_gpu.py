"""What is measured on a GPU is measured with: shapes of models, a clock, memory, and rows of a table.

Knows nothing about what is measured.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import CONFIG_MAPPING

from benchmarks.cpu import Sample
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.timing import now

BANDWIDTH, FLOPS = 3.0e12, 790e12
"""Bytes and operations a second, as measured on an H100."""
BLOCK_TOKENS = 1280
REPEATS = 15


def rope(theta: float, kind: str = "default", **more: Any) -> dict[str, Any]:
    return {"rope_type": kind, "rope_theta": theta, **more}


@dataclass(frozen=True)
class Shape:
    """A model's shape under its family's name."""

    family: str
    hidden: int
    mlp: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    rope: dict[str, Any]
    tied: bool = False

    def config(self) -> Any:
        return CONFIG_MAPPING[self.family](
            hidden_size=self.hidden,
            intermediate_size=self.mlp,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            vocab_size=self.vocabulary,
            rope_parameters=self.rope,
            tie_word_embeddings=self.tied,
            max_position_embeddings=131_072,
        )


_LLAMA3 = rope(
    5e5, "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192
)
SHAPES = {
    "llama-3.1-8b": Shape("llama", 4096, 14_336, 32, 32, 8, 128_256, _LLAMA3),
    "llama-2-7b": Shape("llama", 4096, 11_008, 32, 32, 32, 32_000, rope(1e4)),
    "qwen2.5-1.5b": Shape("qwen2", 1536, 8960, 28, 12, 2, 151_936, rope(1e6), tied=True),
    "smollm2-135m": Shape("llama", 576, 1536, 30, 9, 3, 49_152, rope(1e5), tied=True),
}
SMALL = {"hidden": 256, "mlp": 512, "layers": 3, "heads": 4, "kv_heads": 2, "vocabulary": 512}


def rms(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    return float(np.sqrt(np.mean((np.array(ours) - np.array(theirs)) ** 2)))


def timed(function: Callable[[], Any], repeats: int = REPEATS, warm: int = 3) -> Sample:
    """Milliseconds."""
    times = []
    for _ in range(warm + repeats):
        begun = now(torch.device("cuda"))
        function()
        times.append((now(torch.device("cuda")) - begun) * 1e3)
    return Sample.of(times[warm:])


def row(name: str, sample: Sample, unit: str, **bounds: float | None) -> dict[str, Any]:
    """`bounds`: target, stretch and floor."""
    told = ", ".join(f"{kind} {bound:.4g}" for kind, bound in bounds.items() if bound is not None)
    spread = "" if sample.iqr is None else f" (n {sample.n}, IQR {sample.iqr:.3g})"
    print(f"{name:32s} {sample.value:10.4f} {unit}{spread}   {told}", flush=True)
    found = {"name": name, "value": sample.value, "n": sample.n, "iqr": sample.iqr, "unit": unit}
    return {**found, **{kind: bounds.get(kind) for kind in ("target", "stretch", "floor")}}


def layer_weights(model: LanguageModel) -> int:
    """Of all layers."""
    return sum(p.numel() for name, p in model.model.named_parameters() if ".layers." in name)


def settled() -> int:
    """Bytes that PyTorch holds when all that is free is given back; the peak is counted from here."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_reserved()
