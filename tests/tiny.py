"""Tiny random models of every supported family, and a byte tokenizer: real architectures without a download."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel

from dbsa_core.model.language_model import LanguageModel

WINDOW = 7
"""Sliding windows are smaller than a block and than the pool."""
MAX_POSITIONS = 512

_BASE: dict[str, Any] = {
    "vocab_size": 260,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": MAX_POSITIONS,
    "pad_token_id": 0,
    "bos_token_id": 256,
    "eos_token_id": 257,
}
WIDE: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 8}
"""For 4-bit weights: every width is a multiple of those that share a scale."""
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
_YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
_LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0, 1.5, 2.0, 2.5],
    "long_factor": [2.0, 4.0, 6.0, 8.0],
    "original_max_position_embeddings": 40,
}
_DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
_MIXED = ["sliding_attention", "full_attention"] * 2

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama-llama3": ("llama", {"rope_parameters": _LLAMA3}),
    "llama-yarn": ("llama", {"rope_parameters": _YARN}),
    "mistral": ("mistral", {"sliding_window": WINDOW}),
    "qwen2": ("qwen2", {"use_sliding_window": True, "sliding_window": WINDOW, "layer_types": _MIXED}),
    "qwen3": ("qwen3", {}),
    "gemma": ("gemma", {}),
    "gemma2": ("gemma2", {"query_pre_attn_scalar": 8, "sliding_window": WINDOW, "layer_types": _MIXED}),
    "gemma3": ("gemma3_text", {"query_pre_attn_scalar": 8, "sliding_window": WINDOW, "layer_types": _MIXED}),
    "phi3": ("phi3", {"sliding_window": WINDOW}),
    "olmo2": ("olmo2", {}),
    "smollm3": ("smollm3", {"no_rope_layers": [1, 1, 0, 1]}),
    "granite": ("granite", {"logits_scaling": 2.0, "residual_multiplier": 0.5, "embedding_multiplier": 3.0}),
    "glm4": ("glm4", {}),
    "phi": ("phi", {"partial_rotary_factor": 0.5}),
    "mixtral": ("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": WINDOW}),
}
LENGTH_DEPENDENT = {
    "phi3-longrope": ("phi3", {"rope_parameters": _LONGROPE, "original_max_position_embeddings": 40}),
    "llama-dynamic": ("llama", {"rope_parameters": _DYNAMIC}),
}


class ByteTokenizer:
    """UTF-8 bytes as ids; adds a BOS as Llama's tokenizer does, unless told not to."""

    def __init__(self, bos: bool = True):
        self.bos_token_id = 256 if bos else None
        self.eos_token_id = 257

    def __call__(self, texts: str | list[str], add_special_tokens: bool = True) -> dict[str, Any]:
        if isinstance(texts, str):
            return {"input_ids": self._encode(texts, add_special_tokens)}
        return {"input_ids": [self._encode(text, add_special_tokens) for text in texts]}

    def _encode(self, text: str, special: bool) -> list[int]:
        return ([256] if special and self.bos_token_id is not None else []) + list(text.encode())

    def decode(self, ids: Sequence[int], **options: bool) -> str:
        return bytes(one for one in ids if one < 256).decode(errors="replace")

    def __len__(self) -> int:
        return 260


def randomise(model: PreTrainedModel, seed: int = 1) -> None:
    """Norm weights and biases too: ones and zeros hide faults."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64).to(weight.dtype)
            if "norm" in name or name.endswith("bias"):
                weight.add_(noise, alpha=0.3)
            else:
                weight.copy_(noise * (weight.shape[-1] ** -0.5 if weight.ndim > 1 else 0.3))


def stock_model(
    family: str, dtype: torch.dtype = torch.float32, device: str = "cpu", seed: int = 1, **changes: Any
) -> PreTrainedModel:
    kind, special = {**FAMILIES, **LENGTH_DEPENDENT}.get(family, (family, {}))
    config = CONFIG_MAPPING[kind](**{**_BASE, **special, **changes})
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=dtype).eval()
    randomise(model, seed)
    return model.to(device)


def tiny_model(family: str = "llama", *, bos: bool = True, **options: Any) -> LanguageModel:
    return LanguageModel.of(stock_model(family, **options), ByteTokenizer(bos), f"tiny-{family}")
