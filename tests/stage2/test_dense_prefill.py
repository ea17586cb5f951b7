"""How a dense prompt is cut: in parts of bounded size, and at once where a GPU has the memory for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dbsa_core.model.memory import free_memory
from dbsa_core.stage2 import dense_prefill
from dbsa_core.stage2.dense_prefill import PART_TOKENS, WHOLE_TOKENS, tokens_at_once
from tests.tiny import stock_model

PER_TOKEN = (3 * 48 + 8 * 32) * 2
"""Bytes that the tiny model's activations take in bfloat16."""


def context(device: str, length: int = 0) -> Any:
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
    assert tokens_at_once(context(device, before), tokens) == expected


def test_memory_that_pytorch_keeps_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 700)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 400)
    assert free_memory(torch.device("cuda")) == 1300
