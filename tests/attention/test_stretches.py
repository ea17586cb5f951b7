"""What holds for stretches of a memory that are read where they stand: together they are one softmax over all keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from dbsa_core.attention import (
    ALL,
    CAUSAL,
    LayerOptions,
    Part,
    Sees,
    Stretches,
    Visibility,
    attend,
    attend_behind,
    reference_attention,
    sdpa,
)
from dbsa_core.attention.stretches import as_rows, of_rows, stretches_attention
from dbsa_core.devices import CPU, Kernels
from dbsa_core.layer_memory import LayerMemory

HEADS, KV_HEADS, HEAD, MEMORY = 6, 2, 16, 90
OPTIONS = LayerOptions(scaling=0.3)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
SPANS = {
    "one": [(0, 90)],
    "in order": [(0, 20), (20, 33), (50, 90)],
    "in any order, ragged": [(70, 71), (3, 40), (50, 66), (41, 50)],
    "overlapping": [(10, 40), (10, 40), (20, 25)],
}
ALLOWED = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}
"""Relative RMS against float64."""


def made(spans: Sequence[tuple[int, int]], tokens: int, dtype: torch.dtype, device: str) -> tuple[torch.Tensor, ...]:
    """A query for each stretch, keys and values of the memory; numbers that no stretch names are NaN."""
    generator = torch.Generator().manual_seed(tokens)
    queries = torch.randn(len(spans), HEADS, tokens, HEAD, generator=generator)
    memory = torch.randn(2, MEMORY, KV_HEADS, HEAD, generator=generator)
    named = torch.zeros(MEMORY, dtype=torch.bool)
    for start, end in spans:
        named[start:end] = True
    memory[:, ~named] = torch.nan
    return tuple(tensor.to(device, dtype) for tensor in (queries, *memory))


def error(ours: torch.Tensor, exact: torch.Tensor) -> float:
    assert ours.shape == exact.shape
    return float((ours.double() - exact).square().mean().sqrt() / exact.square().mean().sqrt())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ALLOWED, ids=str)
@pytest.mark.parametrize("tokens", [1, 7, 140])
@pytest.mark.parametrize("name", SPANS)
def test_each_stretch_is_attended_by_its_own_query(name: str, tokens: int, dtype: torch.dtype, device: str) -> None:
    spans = SPANS[name]
    queries, keys, values = made(spans, tokens, dtype, device)
    stretches = Stretches(tuple(spans), queries.device)
    found = stretches_attention(queries, LayerMemory(keys, values), stretches, OPTIONS, sdpa.sdpa_attention)
    assert found.log_sum_exp is not None
    assert found.log_sum_exp.dtype == torch.float32
    for place, (start, end) in enumerate(spans):
        key, value = (memory[None, start:end].transpose(1, 2).double() for memory in (keys, values))
        exact = reference_attention(queries[place, None].double(), key, value, ALL, OPTIONS, log_sum_exp=True)
        assert exact.log_sum_exp is not None
        assert error(found.output[place, None], exact.output) < ALLOWED[dtype]
        assert float((found.log_sum_exp[place] - exact.log_sum_exp[0]).abs().max()) < ALLOWED[dtype]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ALLOWED, ids=str)
@pytest.mark.parametrize("name", SPANS)
def test_with_the_new_tokens_own_keys_it_is_one_softmax(name: str, dtype: torch.dtype, device: str) -> None:
    """The same query for every stretch: then it is attention over all keys side by side."""
    spans, tokens = SPANS[name], 9
    queries, keys, values = made(spans, tokens, dtype, device)
    query = queries[:1]
    own = torch.randn(2, 1, KV_HEADS, 12, HEAD, generator=torch.Generator().manual_seed(1)).to(device, dtype)
    tree = torch.ones(tokens, 9, dtype=torch.bool, device=query.device).tril()
    parts = [(own[0, :, :, :3], own[1, :, :, :3]), (own[0, :, :, 3:], own[1, :, :, 3:])]
    for sees in (CAUSAL, Sees(tree)):
        visibility = Visibility(range(93, 102), (Part(range(90, 93)), Part(range(93, 102), sees)))
        stretches = Stretches(tuple(spans), query.device)
        for_each = query.expand(len(spans), -1, -1, -1)
        ours = attend_behind(for_each, LayerMemory(keys, values), stretches, query, parts, visibility, OPTIONS)
        there = [tuple(memory[None, a:b].transpose(1, 2) for memory in (keys, values)) for a, b in spans]
        key, value = (torch.cat([pair[i] for pair in (*there, *parts)], dim=2).double() for i in (0, 1))
        mask = torch.cat([mask_of_all(tokens, key.shape[2] - 9, query.device), tree], dim=1)
        exact = reference_attention(query.double(), key, value, Sees(mask), OPTIONS).output
        assert ours.dtype == dtype
        assert error(ours, exact) < ALLOWED[dtype]


def mask_of_all(tokens: int, keys: int, device: torch.device) -> torch.Tensor:
    return torch.ones(tokens, keys, dtype=torch.bool, device=device)


def test_a_device_without_kernels_takes_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = SPANS["in order"]
    queries, keys, values = made(spans, 5, torch.float32, "cpu")
    stretches, parts = Stretches(tuple(spans), queries.device), [(keys[None, :5].transpose(1, 2),) * 2]
    visibility = Visibility(range(5), (Part(range(5), CAUSAL),))
    arguments = (queries, LayerMemory(keys, values), stretches, queries[:1], parts, visibility, OPTIONS)
    expected = attend_behind(*arguments)
    monkeypatch.setattr(sdpa, "policy_for", lambda device: replace(CPU, kernels=Kernels.NONE))
    assert error(attend_behind(*arguments), expected.double()) < 1e-5


def test_a_layer_with_a_window_has_no_stretches() -> None:
    spans = SPANS["one"]
    queries, keys, values = made(spans, 2, torch.float32, "cpu")
    own, stretches = [(keys[None, :2].transpose(1, 2),) * 2], Stretches(tuple(spans), queries.device)
    visibility = Visibility.causal(2, 2)
    assert attend(queries, own, visibility, OPTIONS).isfinite().all()
    with pytest.raises(AssertionError):
        attend_behind(
            queries, LayerMemory(keys, values), stretches, queries, own, visibility, LayerOptions(0.3, sliding_window=4)
        )


def test_rows_and_heads_are_each_others_inverse() -> None:
    queries, *_ = made([(0, 1)] * 3, 5, torch.float32, "cpu")
    rows = as_rows(queries, KV_HEADS)
    back, sums = of_rows(rows, rows[..., 0].transpose(0, 1).contiguous(), len(queries), HEADS)
    assert torch.equal(back, queries)
    assert torch.equal(sums, queries[..., 0])
