"""What holds for the operators of a query step: kernels and plain twins compute what is written out here, and touch
nothing that is not told to be there."""

from __future__ import annotations

import pytest
import torch

from dbsa_core.attention import ALL, LayerOptions, Sees, reference_attention, traced
from dbsa_core.attention.stretches import as_rows, of_rows
from dbsa_core.attention.traced import biased_op, merged_rows_op, stretches_op, turned_rows_op

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
ALLOWED = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}
"""Relative RMS against float64."""
SHAPES = {"grouped": (6, 2, 16), "one key head": (4, 1, 64), "a key head each": (3, 3, 24)}
"""Query heads, key heads, numbers of a head."""
STRETCHES, USED, TOKENS, MEMORY = 5, 3, 21, 70
BEGINS, LENGTHS = (40, 0, 33, 0, 0), (30, 33, 7, 1, 1)

pytestmark = [
    pytest.mark.parametrize("device", DEVICES),
    pytest.mark.parametrize("dtype", ALLOWED, ids=str),
    pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES),
]
Shape = tuple[int, int, int]


def random(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def ints(device: str, *numbers: int) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.int32, device=device)


def error(ours: torch.Tensor, exact: torch.Tensor) -> float:
    assert ours.shape == exact.shape
    return float((ours.double() - exact.double()).square().mean().sqrt() / exact.double().square().mean().sqrt())


def test_queries_are_turned_for_each_stretch_that_is_read(shape: Shape, dtype: torch.dtype, device: str) -> None:
    heads, kv_heads, head_dim = shape
    # As a layer hands them over: views of [tokens, heads * head_dim].
    query, partner = (random(1, TOKENS, heads, head_dim, seed=s).to(device, dtype).transpose(1, 2) for s in range(2))
    cos, sin = (random(STRETCHES, TOKENS, head_dim, seed=s).to(device) for s in (3, 4))
    rows = turned_rows_op(query, partner, cos, sin, ints(device, USED), kv_heads)
    exact = query.double() * cos[:, None] + partner.double() * sin[:, None]
    used = slice(0, USED * TOKENS * heads // kv_heads)
    assert rows.shape == (STRETCHES * TOKENS * heads // kv_heads, kv_heads, head_dim)
    assert error(rows[used], as_rows(exact, kv_heads)[used]) < ALLOWED[dtype]


def test_stretches_and_own_keys_are_one_softmax(shape: Shape, dtype: torch.dtype, device: str) -> None:
    """All three in a row; the memory of what no stretch names, and of rows that are not used, is NaN."""
    heads, kv_heads, head_dim = shape
    queries = random(STRETCHES, heads, TOKENS, head_dim).to(device, dtype)
    memory = random(2, MEMORY, kv_heads, head_dim, seed=1).to(device, dtype)
    rows, each = as_rows(queries, kv_heads).contiguous(), TOKENS * heads // kv_heads
    rows[USED * each :] = torch.nan
    edges = ints(device, *(min(i, USED) * each for i in range(STRETCHES + 1)))
    told = edges, ints(device, *BEGINS, 0), ints(device, *LENGTHS), each, 64
    output, sums = stretches_op(rows, memory[0], memory[1], *told, 0.3)
    assert sums.dtype == torch.float32
    own = random(3, 1, heads, TOKENS, head_dim, seed=2).to(device, dtype)
    seen = torch.ones(TOKENS, TOKENS, dtype=torch.bool, device=device).tril()
    padded = torch.zeros(TOKENS, 24, dtype=dtype, device=device)[:, :TOKENS]  # rows begin at multiples of eight numbers
    new, new_sums = biased_op(own[0], own[1], own[2], padded.masked_fill_(~seen, -torch.inf), 0.3)
    output[USED * each :], sums[:, USED * each :] = torch.nan, torch.nan
    found = merged_rows_op(output, sums, new, new_sums, ints(device, USED))
    assert found.is_contiguous()
    exact = torch.zeros(heads, TOKENS, head_dim, dtype=torch.float64, device=device)
    total = torch.zeros(heads, TOKENS, dtype=torch.float64, device=device)
    for stretch in range(USED):
        part = slice(BEGINS[stretch], BEGINS[stretch] + LENGTHS[stretch])
        key, value = (memory[i, None, part].transpose(1, 2).double() for i in (0, 1))
        add(exact, total, queries[stretch, None], key, value, ALL)
    add(exact, total, own[0], own[1].double(), own[2].double(), Sees(seen))
    assert error(found[0].transpose(0, 1), exact / total[..., None]) < ALLOWED[dtype]


def add(
    exact: torch.Tensor,
    total: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    sees: Sees,
) -> None:
    """A part's values by their weights, and the weights."""
    found = reference_attention(query.double(), key, value, sees, LayerOptions(0.3), log_sum_exp=True)
    assert found.log_sum_exp is not None
    weight = found.log_sum_exp[0].exp()
    exact += found.output[0] * weight[..., None]
    total += weight


def test_no_stretch_at_all_leaves_the_own_part(shape: Shape, dtype: torch.dtype, device: str) -> None:
    heads, kv_heads, head_dim = shape
    output = torch.full(
        (STRETCHES * TOKENS * heads // kv_heads, kv_heads, head_dim), torch.nan, dtype=dtype, device=device
    )
    sums = torch.full(output.shape[1::-1], torch.nan, device=device)
    own, own_sums = random(1, heads, TOKENS, head_dim).to(device, dtype), random(1, heads, TOKENS, seed=1).to(device)
    found = merged_rows_op(output, sums, own, own_sums, ints(device, 0))
    assert torch.equal(found, own.transpose(1, 2))


def test_what_a_compiler_is_told_is_what_comes(shape: Shape, dtype: torch.dtype, device: str) -> None:
    """Sizes and types of results, without running."""
    heads, kv_heads, head_dim = shape
    query, tables = random(1, heads, TOKENS, head_dim).to(device, dtype), random(STRETCHES, TOKENS, head_dim).to(device)
    rows = as_rows(query.expand(STRETCHES, -1, -1, -1), kv_heads).contiguous()
    keys, each = random(MEMORY, kv_heads, head_dim).to(device, dtype), TOKENS * heads // kv_heads
    edges = ints(device, *(i * each for i in range(STRETCHES + 1)))
    sums, own_sums = torch.zeros(kv_heads, len(rows), device=device), torch.zeros(1, heads, TOKENS, device=device)
    bias = torch.zeros(TOKENS, 24, dtype=dtype, device=device)[:, :TOKENS]
    asked = {
        turned_rows_op: (query, query, tables, tables, ints(device, USED), kv_heads),
        stretches_op: (rows, keys, keys, edges, ints(device, *BEGINS, 0), ints(device, *LENGTHS), each, 64, 0.3),
        biased_op: (query, query, query, bias, 0.3),
        merged_rows_op: (rows, sums, query, own_sums, ints(device, USED)),
    }
    for operator, arguments in asked.items():
        torch.library.opcheck(operator, arguments, test_utils=("test_schema", "test_faketensor"))


def test_rows_and_heads_are_each_others_inverse(shape: Shape, dtype: torch.dtype, device: str) -> None:
    heads, kv_heads, head_dim = shape
    queries = random(STRETCHES, heads, TOKENS, head_dim).to(device, dtype)
    rows = as_rows(queries, kv_heads)
    back, sums = of_rows(rows, rows[..., 0].transpose(0, 1).contiguous(), STRETCHES, heads)
    assert torch.equal(back, queries)
    assert torch.equal(sums, queries[..., 0])


def test_a_gpu_has_kernels_of_our_own(shape: Shape, dtype: torch.dtype, device: str) -> None:
    assert traced.has_triton(torch.empty(1, dtype=dtype, device=device)) == (device == "cuda")
