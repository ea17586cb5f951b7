"""How a dense prompt is cut: in parts of bounded size, and at once where a GPU has the memory for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dbsa_core.devices import CUDA
from dbsa_core.stage2 import dense_prefill
from dbsa_core.stage2.dense_prefill import PART_TOKENS, tokens_at_once
from tests.tiny import stock_model

PER_TOKEN = (3 * 48 + 8 * 32) * 2
"""Bytes that the tiny model's activations take in bfloat16."""


WHOLE_TOKENS = CUDA.whole_prompt_tokens


def prefix(device: str, length: int = 0) -> Any:
    model = SimpleNamespace(
        device=torch.device(device), model=stock_model("llama"), shape=SimpleNamespace(dtype=torch.bfloat16)
    )
    return SimpleNamespace(model=model, length=length)


@pytest.mark.parametrize(
    ("device", "before", "tokens", "free", "expected"),
    [
        ("cuda", 0, 10_000, 2 * 10_000 * PER_TOKEN, 10_000),
        ("cuda", 0, 10_000, 2 * 10_000 * PER_TOKEN - 2, PART_TOKENS),
        ("cuda", 1, 10_000, 10**12, PART_TOKENS),
        ("cuda", 0, WHOLE_TOKENS, 10**12, WHOLE_TOKENS),
        ("cuda", 0, WHOLE_TOKENS + 1, 10**12, PART_TOKENS),
        ("cpu", 0, 10_000, 10**12, PART_TOKENS),
    ],
)
def test_a_prompt_goes_at_once_on_a_gpu_with_memory_and_nothing_before_it(
    device: str, before: int, tokens: int, free: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense_prefill, "free_memory", lambda device: free)
    assert tokens_at_once(prefix(device, before), tokens) == expected
