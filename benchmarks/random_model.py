"""Models of any shape with random weights, and prompts for them: latency and memory depend on neither.

Knows nothing about what is measured.
"""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from dbsa_core.model.language_model import LanguageModel


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A real tokenizer whose tokens are single bytes."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def random_model(config: Any, dtype: torch.dtype, device: str = "cuda") -> LanguageModel:
    """A model of this configuration, the same weights each time."""
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa").eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:  # the usual start is so small that every logit is nearly the same
                weight.normal_(std=weight.shape[-1] ** -0.5)
    return LanguageModel.of(model, byte_tokenizer(), config.model_type)


def random_ids(vocabulary: int, tokens: int, seed: int) -> tuple[int, ...]:
    """Token ids, the same each time for a seed."""
    return tuple(torch.randint(vocabulary, (tokens,), generator=torch.Generator().manual_seed(seed)).tolist())
