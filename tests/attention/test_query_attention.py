"""What holds for the attention of a query step: kernel and plain twin compute what is written out here, and touch
nothing that is not told to be there."""

from __future__ import annotations

from itertools import accumulate, product
from typing import Any

import pytest
import torch

from dbsa_core.attention.query_attention import has_kernel, query_attention_op
from dbsa_core.devices import gpu_of
from dbsa_core.layer_memory import LayerMemory, quantised

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
ALLOWED = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}
"""Relative RMS against float64."""
SHAPES = {"grouped": (6, 2, 16), "one key head": (4, 1, 64), "a key head each": (3, 3, 24), "wide": (2, 1, 256)}
"""Query heads, key heads, numbers of a head."""
TOKENS, MEMORY, SCALING = 21, 190, 0.3
BEGINS, LENGTHS = (140, 0, 33, 0, 7), (50, 129, 7, 1, 64)
"""Shorter than a tile of keys, of several tiles, and of whole tiles; they overlap."""

Shape = tuple[int, int, int]
kept_as = pytest.mark.parametrize("int8", [False, True], ids=["as made", "int8"])
each_case = [
    pytest.mark.parametrize("device", DEVICES),
    pytest.mark.parametrize("dtype", ALLOWED, ids=str),
    pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES),
]


def random(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def case(
    shape: Shape, dtype: torch.dtype, device: str, used: int, tokens: int = TOKENS, *, int8: bool = False
) -> dict[str, Any]:
    """Queries and keys as a layer hands them over: views of [tokens, heads * head_dim]. What is not used is NaN, of an
    int8 memory its scales."""
    heads, kv_heads, head_dim = shape
    query, partner = (random(1, tokens, heads, head_dim, seed=s).to(device).transpose(1, 2) for s in (1, 2))
    key, value = (random(1, tokens, kv_heads, head_dim, seed=s).to(device, dtype).transpose(1, 2) for s in (3, 4))
    memory = random(2, MEMORY, kv_heads, head_dim, seed=5).to(device, dtype)
    named = [range(a, a + n) for a, n in zip(BEGINS[:used], LENGTHS[:used], strict=True)]
    memory[:, [i for i in range(MEMORY) if not any(i in one for one in named)]] = torch.nan
    angles = random(len(BEGINS), head_dim, seed=6).to(device)
    angles[used:] = torch.nan
    seen = torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril()
    seen[tokens // 2 :, 1 : tokens // 3] = False
    whole = {"begins": [BEGINS], "lengths": [LENGTHS], "count": [used], "edges": [0, tokens]}
    ints = {name: torch.tensor(numbers, dtype=torch.int32, device=device) for name, numbers in whole.items()}
    tables = {"cos": angles.cos()[None], "sin": angles.sin()[None]}
    given = {"query": query, "partner": partner, "key": key, "value": value, "seen": seen[None]}
    kept: dict[str, Any] = {"keys": memory[0], "values": memory[1], "scales": ()}
    if int8:
        channels = random(kv_heads, head_dim, seed=7).exp().to(device)
        (keys, of_keys), (values, of_values) = quantised(memory[0] * channels, channels), quantised(memory[1])
        kept = {"keys": keys, "values": values, "scales": (of_keys, of_values, channels)}
    return {**given, **kept, **tables, **ints, "scaling": SCALING}


def exact(given: dict[str, Any]) -> torch.Tensor:
    """float64: all keys side by side, one softmax."""
    query, partner, key, value = (given[name][0].double() for name in ("query", "partner", "key", "value"))
    group = query.shape[0] // key.shape[0]
    scores = [(query @ key.repeat_interleave(group, 0).mT).masked_fill(~given["seen"][0], -torch.inf)]
    held = [value.repeat_interleave(group, 0)]
    for stretch in range(int(given["count"])):
        part = slice(BEGINS[stretch], BEGINS[stretch] + LENGTHS[stretch])
        memory = LayerMemory(given["keys"], given["values"], given["scales"])
        keys, values = (
            states.double().transpose(0, 1).repeat_interleave(group, 0) for states in memory.read(part, torch.float64)
        )
        turned = query * given["cos"][0, stretch].double() + partner * given["sin"][0, stretch].double()
        scores.append(turned @ keys.mT)
        held.append(values)
    return (SCALING * torch.cat(scores, -1)).softmax(-1) @ torch.cat(held, 1)


def error(ours: torch.Tensor, wanted: torch.Tensor) -> float:
    """Relative RMS of [1, tokens, heads, head_dim] against [heads, tokens, head_dim]."""
    ours = ours[0].transpose(0, 1).double()
    assert ours.shape == wanted.shape
    return float((ours - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())


def parametrized(function: Any) -> Any:
    for mark in each_case:
        function = mark(function)
    return function


@parametrized
@kept_as
@pytest.mark.parametrize("used", [0, 1, 3, 5])
def test_stretches_and_own_keys_are_one_softmax(
    shape: Shape, dtype: torch.dtype, device: str, used: int, int8: bool
) -> None:
    given = case(shape, dtype, device, used, int8=int8)
    found = query_attention_op(**given)
    assert found.dtype == dtype
    assert found.is_contiguous()
    assert error(found, exact(given)) < ALLOWED[dtype]


@parametrized
@kept_as
def test_what_a_compiler_is_told_is_what_comes(shape: Shape, dtype: torch.dtype, device: str, int8: bool) -> None:
    """Sizes and types of results, without running."""
    given = case(shape, dtype, device, 3, int8=int8)
    torch.library.opcheck(query_attention_op, (), given, test_utils=("test_schema", "test_faketensor"))


@parametrized
def test_a_gpu_has_a_kernel_for_half_precision(shape: Shape, dtype: torch.dtype, device: str) -> None:
    keys = torch.empty(1, shape[2], dtype=dtype, device=device)
    assert has_kernel(keys) == (device == "cuda" and dtype is not torch.float32)
    assert not has_kernel(torch.empty(1, 512, dtype=dtype, device=device)), "wider than any kernel takes"


def side_by_side(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """One call for several queries of one memory: what a query does not have is NaN, or what must not be read."""
    most, device = max(one["seen"].shape[1] for one in cases), cases[0]["key"].device
    sizes = [one["key"].shape[2] for one in cases]
    seen = torch.ones(len(cases), most, most, dtype=torch.bool, device=device)
    for place, one in enumerate(cases):
        seen[place, : sizes[place], : sizes[place]] = one["seen"][0]
    states = {name: torch.cat([one[name] for one in cases], dim=2) for name in ("query", "partner", "key", "value")}
    rows = {name: torch.cat([one[name] for one in cases]) for name in ("cos", "sin", "begins", "lengths", "count")}
    edges = torch.tensor([0, *accumulate(sizes)], dtype=torch.int32, device=device)
    used_most = max(cases, key=lambda one: int(one["count"]))
    held = {name: used_most[name] for name in ("keys", "values", "scales")}
    return {**states, **rows, **held, "edges": edges, "seen": seen, "scaling": SCALING}


@parametrized
@kept_as
def test_each_of_several_queries_is_by_itself(shape: Shape, dtype: torch.dtype, device: str, int8: bool) -> None:
    """Of other lengths, of one token, with no stretch and with all."""
    sizes = ((3, 21), (0, 1), (5, 40), (1, 7))
    cases = [case(shape, dtype, device, used, tokens, int8=int8) for used, tokens in sizes]
    found, at = query_attention_op(**side_by_side(cases)), 0
    for one in cases:
        tokens = one["key"].shape[2]
        assert error(found[:, at : at + tokens], exact(one)) < ALLOWED[dtype]
        at += tokens
    assert at == found.shape[1]


@parametrized
@pytest.mark.parametrize("queries", [1, 3])
def test_a_memory_may_hold_nothing_at_all(shape: Shape, dtype: torch.dtype, device: str, queries: int) -> None:
    """Of methods that read no blocks: there is no tile to be copied."""
    cases = [case(shape, dtype, device, 0, tokens) for tokens in (21, 5, 9)[:queries]]
    given = side_by_side(cases)
    given |= {name: given[name][:0] for name in ("keys", "values")}
    found, at = query_attention_op(**given), 0
    for one in cases:
        tokens = one["key"].shape[2]
        assert error(found[:, at : at + tokens], exact(one)) < ALLOWED[dtype]
        at += tokens


@pytest.mark.gpu
@kept_as
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("splits", [1, 3])
def test_every_launch_serves_several_queries(shape: Shape, splits: int, int8: bool) -> None:
    from dbsa_core.attention import launches
    from dbsa_core.attention import query_kernels as kernels

    sizes = ((3, 130), (0, 1), (5, 40))
    cases = [case(shape, torch.bfloat16, "cuda", used, tokens, int8=int8) for used, tokens in sizes]
    device, width = torch.device("cuda", 0), launches.width_of(shape[2])
    ways = [(launch, False) for launch in launches.launches_that_fit(width, device, kernels.LAUNCHES)]
    if launches.copies_tiles(shape[2], device):
        ways += [(launch, True) for launch in launches.launches_that_fit(width, device, kernels.BATCH_LAUNCHES)]
    for launch, by_tiles in ways:
        how: dict[str, Any] = {"launch": launch, "splits": splits, "by_tiles": by_tiles}
        found, at = kernels.run_attention(**side_by_side(cases), **how), 0
        for one in cases:
            tokens = one["key"].shape[2]
            assert error(found[:, at : at + tokens], exact(one)) < ALLOWED[torch.bfloat16], launch
            at += tokens


@pytest.mark.gpu
@kept_as
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("tokens", [1, TOKENS, 130])
def test_every_launch_and_any_number_of_splits_compute_the_same(shape: Shape, tokens: int, int8: bool) -> None:
    """Also more splits than there are tiles: some have nothing to do."""
    from dbsa_core.attention import launches
    from dbsa_core.attention import query_kernels as kernels

    given = case(shape, torch.bfloat16, "cuda", 5, tokens, int8=int8)
    wanted = exact(given)
    fit = launches.launches_that_fit(max(16, shape[2]), torch.device("cuda", 0), kernels.LAUNCHES)
    for launch, splits in product(fit, (1, 2, 7, 40)):
        found = kernels.run_attention(**given, launch=launch, splits=splits)
        assert error(found, wanted) < ALLOWED[torch.bfloat16], (launch, splits)


@pytest.mark.gpu
def test_the_whole_device_is_busy_until_the_end() -> None:
    from dbsa_core.attention.query_kernels import splits_for

    for programs in (1, 6, 16, 64, 88, 192, 500):
        splits = splits_for(programs, 132)
        waves = -(-programs * splits // 132)
        assert programs * splits / (132 * waves) > 0.75
    assert splits_for(132, 132) == 1
    assert splits_for(5000, 132) == 1


@pytest.mark.gpu
def test_a_launch_fits_the_device() -> None:
    from dbsa_core.attention.launches import copies_tiles
    from dbsa_core.attention.query_kernels import LAUNCHES, batch_launch_for, launch_for

    device = torch.device("cuda", 0)
    limit = gpu_of(device).shared_bytes
    for rows, width in product((1, 64, 65, 4000), (16, 64, 128, 256)):
        assert launch_for(rows, width, device).shared_bytes(width) <= limit
    assert launch_for(64, 128, device).rows <= 64
    assert launch_for(4000, 64, device) == LAUNCHES[0]
    for rows, width in product((1, 64, 192, 4000), (16, 64, 128, 256)):
        assert batch_launch_for(rows, width, device).shared_bytes(width) <= limit
    if copies_tiles(128, device):
        # Three whole tiles of 64 rows beat two of 128, one of them half empty.
        assert [batch_launch_for(rows, 128, device).rows for rows in (60, 192, 256, 4000)] == [64, 64, 128, 128]
