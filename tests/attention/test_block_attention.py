"""What holds for the attention of a chunk of blocks: kernel and plain twin compute what is written out here, write what
they are told to, and touch nothing else."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
import torch

from dbsa_core.attention.block_attention import block_attention_op, tile_tokens, tokens_of
from dbsa_core.devices import gpu_of
from dbsa_core.interrupt import AllWrittenError
from dbsa_core.layer_memory import LayerMemory, quantised

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
ALLOWED = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}
"""Relative RMS against float64."""
SHAPES = {
    "grouped": (6, 2, 16),
    "one key head": (4, 1, 64),
    "a key head each": (3, 3, 24),
    "wide": (4, 2, 128),
    "wider": (2, 1, 256),
}
"""Query heads, key heads, numbers of a head."""
BEFORE, OWN = (70, 5, 33), (40, 1, 150, 9)
"""Tokens of the blocks before the chunk, and of its own."""
SPARE, LAYERS, SCALING = 2, 3, 0.3
kept_as = pytest.mark.parametrize("int8", [False, True], ids=["as made", "int8"])

Shape = tuple[int, int, int]


def random(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def sights(first: int) -> list[tuple[list[int], list[int]]]:
    """For each block of the chunk what it sees far before itself, and the near run that ends with itself."""
    last = first + len(OWN)
    return [([0][: min(1, b)], [*range(max(1, b - 2), b), b] if b else [0]) for b in range(first, last)]


def case(
    shape: Shape, dtype: torch.dtype, device: str, *, far: bool = True, turned: bool = True, int8: bool = False
) -> dict[str, Any]:
    """As a layer hands queries and keys over: views of [tokens, heads * head_dim]. What nobody may read is NaN, of an
    int8 memory its scales."""
    heads, kv_heads, head_dim = shape
    lengths, tokens, first = (*BEFORE, *OWN), sum(OWN), len(BEFORE)
    begins = list(accumulate(lengths, initial=11))
    memory = torch.full((2, LAYERS, begins[-1] + 20, kv_heads, head_dim), torch.nan)
    memory[:, 1, begins[0] : begins[first]] = random(2, sum(BEFORE), kv_heads, head_dim, seed=5)
    of = {"query": heads, "key": kv_heads, "value": kv_heads}
    states = {name: random(1, tokens, n, head_dim, seed=i).transpose(1, 2) for i, (name, n) in enumerate(of.items())}
    in_bank = list(accumulate(lengths, initial=SPARE))
    copied = range(len(lengths) if int8 else first)
    before = torch.cat([torch.arange(SPARE), *(torch.arange(begins[b], begins[b + 1]) for b in copied)])

    def run(seen: list[int]) -> tuple[int, int, int]:
        values = in_bank if int8 else begins
        return (in_bank[seen[0]], values[seen[0]], sum(lengths[b] for b in seen)) if seen else (0, 0, 0)

    firsts = accumulate(OWN, initial=0)
    rows = [(at, n, *run(away), *run(near)) for at, n, (away, near) in zip(firsts, OWN, sights(first), strict=False)]
    keys, values = memory.to(device, dtype)
    cut = [(i, start) for i, n in enumerate(OWN) for start in range(0, n, tile_tokens(heads, kv_heads, keys))]
    scales: list[torch.Tensor] = []
    if int8:
        channels = random(LAYERS, kv_heads, head_dim, seed=7).exp().to(device)
        (keys, of_keys), (values, of_values) = quantised(keys, channels[:, None]), quantised(values)
        scales = [of_keys, of_values, channels]
    of_turns = (tokens, tokens, len(before), tokens if far else SPARE)
    angles = [random(n, head_dim, seed=20 + i) for i, n in enumerate(of_turns)]
    partner = torch.zeros(head_dim, head_dim)
    partner[torch.arange(head_dim // 2, head_dim), torch.arange(head_dim // 2)] = -1.0
    partner[torch.arange(head_dim // 2), torch.arange(head_dim // 2, head_dim)] = 1.0
    partner[:, -1] = 0.0  # of a number that RoPE leaves alone
    return {
        **{name: handed.to(device, dtype) for name, handed in states.items()},
        "keys": keys,
        "values": values,
        "scales": scales,
        "layer": torch.tensor(1),
        "begin": torch.tensor(begins[first]),
        "before": before.to(device),
        "turns": [part.to(device) for angle in angles for part in (angle.cos(), angle.sin())] if turned else [],
        "partner": partner.to(device, dtype),
        "blocks": torch.tensor([*rows, (0,) * 8], dtype=torch.int32, device=device),
        "tiles": torch.tensor([*cut, (len(OWN), 0)], dtype=torch.int32, device=device),
        "scaling": SCALING,
    }


def layer_of(given: dict[str, Any]) -> LayerMemory:
    return LayerMemory(given["keys"][1], given["values"][1], tuple(scale[1] for scale in given["scales"]))


def exact(given: dict[str, Any]) -> torch.Tensor:
    """float64 [tokens, heads, head_dim]: one softmax a token over all that it sees, of keys and values as they are
    afterwards."""
    query, key = (given[name][0].double().transpose(0, 1) for name in ("query", "key"))
    held, values = layer_of(given).read(given["before"], torch.float64)
    held, values = held.double(), (values if given["scales"] else given["values"][1]).double()
    pairs = [table.double()[:, None] for table in given["turns"]]

    def turned(which: int, states: torch.Tensor) -> torch.Tensor:
        if not pairs:
            return states
        return states * pairs[2 * which] + states @ given["partner"].double() * pairs[2 * which + 1]

    bank = turned(2, held) if given["scales"] else torch.cat([turned(2, held), turned(1, key)])
    near = turned(1, query)
    far = turned(3, query) if pairs and len(pairs[6]) == len(query) else near
    group, output = query.shape[1] // key.shape[1], torch.zeros_like(query)
    for first, count, *runs in given["blocks"].tolist():
        for token in range(count):
            scores, found = [], []
            for asked, (in_bank, in_memory, length), unseen in (
                (far, runs[:3], 0),
                (near, runs[3:], count - token - 1),
            ):
                seen = length - unseen
                part = bank[in_bank : in_bank + seen].repeat_interleave(group, 1)
                scores.append(torch.einsum("hd,khd->hk", asked[first + token], part))
                found.append(values[in_memory : in_memory + seen].repeat_interleave(group, 1))
            weights = (SCALING * torch.cat(scores, 1)).softmax(1)
            output[first + token] = torch.einsum("hk,khd->hd", weights, torch.cat(found))
    return output


def error(ours: torch.Tensor, wanted: torch.Tensor) -> float:
    assert ours.shape[1:] == wanted.shape
    return float((ours[0].double() - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())


def parametrized(function: Any) -> Any:
    for mark in (
        pytest.mark.parametrize("device", DEVICES),
        pytest.mark.parametrize("dtype", ALLOWED, ids=str),
        pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES),
    ):
        function = mark(function)
    return function


@parametrized
@pytest.mark.parametrize(
    ("far", "turned"), [(True, True), (False, True), (False, False)], ids=["apart", "alike", "without RoPE"]
)
@kept_as
def test_each_block_sees_its_two_runs(
    shape: Shape, dtype: torch.dtype, device: str, far: bool, turned: bool, int8: bool
) -> None:
    given = case(shape, dtype, device, far=far, turned=turned, int8=int8)
    found = block_attention_op(**given)
    assert found.dtype == dtype
    assert found.is_contiguous()
    assert error(found, exact(given)) < ALLOWED[dtype]


@parametrized
def test_keys_and_values_are_written_where_they_stay_and_nothing_else(
    shape: Shape, dtype: torch.dtype, device: str
) -> None:
    given = case(shape, dtype, device)
    before = {name: given[name].clone() for name in ("keys", "values")}
    block_attention_op(**given)
    own = slice(int(given["begin"]), int(given["begin"]) + sum(OWN))
    key, value = (given[name][0].transpose(0, 1) for name in ("key", "value"))
    cos, sin = (table.double()[:, None] for table in given["turns"][:2])
    kept = key.double() * cos + key.double() @ given["partner"].double() * sin
    assert error(given["keys"][1, own][None], kept) < ALLOWED[dtype]
    assert torch.equal(given["values"][1, own], value)
    for name, memory in before.items():
        given[name][1, own] = memory[1, own]
        assert torch.equal(given[name].nan_to_num(7.0), memory.nan_to_num(7.0))


@parametrized
def test_int8_is_written_where_it_stays_and_nothing_else(shape: Shape, dtype: torch.dtype, device: str) -> None:
    """Within half a step of what is written otherwise, by the factors that are there."""
    given, plain = (case(shape, dtype, device, int8=int8) for int8 in (True, False))
    names = ("keys", "values", "of keys", "of values", "channels")

    def memories() -> dict[str, torch.Tensor]:
        return dict(zip(names, (given["keys"], given["values"], *given["scales"]), strict=True))

    before = {name: memory.clone() for name, memory in memories().items()}
    block_attention_op(**given)
    block_attention_op(**plain)
    own = slice(int(given["begin"]), int(given["begin"]) + sum(OWN))
    found = layer_of(given).read(own, torch.float64)
    steps = [scale[own][..., None].double() for scale in layer_of(given).scales[:2]]
    channels = layer_of(given).scales[2].double()
    rounding = torch.finfo(dtype).eps
    for ours, theirs, step in zip(
        found, layer_of(plain).read(own, dtype), (steps[0] * channels, steps[1]), strict=True
    ):
        assert ((ours - theirs.double()).abs() <= 0.501 * step + rounding * theirs.abs()).all()
    for name, memory in memories().items():
        assert name == "channels" or not torch.equal(memory[1, own], before[name][1, own])
        if name != "channels":
            memory[1, own] = before[name][1, own]
        assert torch.equal(memory.nan_to_num(7.0), before[name].nan_to_num(7.0))


@pytest.mark.parametrize("device", DEVICES)
def test_the_first_block_gives_the_factors_of_keys(device: str) -> None:
    """From its tokens alone, whatever else is in the chunk; turning a pair of numbers leaves them as they are."""
    given = case(SHAPES["wide"], torch.float32, device, int8=True) | {"begin": torch.tensor(0)}
    given["key"][:, :, OWN[0] :] *= 100
    block_attention_op(**given)
    first = given["key"][0, :, : OWN[0]]
    expected = (first.square() + (first @ given["partner"]).square()).sqrt().amax(1)
    expected /= expected.amax(-1, keepdim=True)
    assert torch.allclose(given["scales"][2][1], expected.float(), rtol=1e-5)
    assert not torch.allclose(given["scales"][2][0], expected.float(), rtol=0.1)


@pytest.mark.parametrize("device", DEVICES)
def test_behind_the_last_layer_nothing_is_computed(device: str) -> None:
    given = case(SHAPES["grouped"], torch.float32, device) | {"layer": torch.tensor(LAYERS - 1)}
    with pytest.raises(AllWrittenError):
        block_attention_op(**given)
    own = slice(int(given["begin"]), int(given["begin"]) + sum(OWN))
    assert torch.equal(given["values"][LAYERS - 1, own], given["value"][0].transpose(0, 1))
    assert not given["keys"][LAYERS - 1, own].isnan().any()


@parametrized
@kept_as
def test_what_a_compiler_is_told_is_what_comes(shape: Shape, dtype: torch.dtype, device: str, int8: bool) -> None:
    """Sizes and types of results, and that nothing is changed but what it says."""
    given = case(shape, dtype, device, int8=int8)
    given["scales"] = [scale.nan_to_num(0.5) for scale in given["scales"]]
    given["keys"], given["values"] = given["keys"].nan_to_num(0.5), given["values"].nan_to_num(0.5)
    torch.library.opcheck(block_attention_op, (), given, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.gpu
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("by_tiles", [True, False])
def test_every_launch_computes_the_same(shape: Shape, by_tiles: bool) -> None:
    from dbsa_core.attention import block_kernels as kernels
    from dbsa_core.attention import launches

    heads, kv_heads, head_dim = shape
    given = case(shape, torch.bfloat16, "cuda", turned=False)
    wanted = block_attention_op(**given)
    query, key = (given[name][0].transpose(0, 1).contiguous() for name in ("query", "key"))
    bank = torch.cat([given["keys"][1][given["before"]], key])
    fit = launches.launches_that_fit(launches.width_of(head_dim), bank.device, kernels.LAUNCHES)
    assert len(fit) > 1
    for launch in fit:
        tokens = tokens_of(launch.rows, heads // kv_heads)
        cut = [(i, start) for i, n in enumerate(OWN) for start in range(0, n, tokens)]
        tiles = torch.tensor(cut, dtype=torch.int32, device="cuda")
        values, blocks = given["values"][1], given["blocks"]
        found = kernels.run_attention(query, query, bank, values, blocks, tiles, SCALING, launch, by_tiles)
        assert error(found, wanted[0].double()) < 4e-3, launch


@pytest.mark.gpu
@pytest.mark.parametrize("head_dim", [16, 64, 80, 128, 256])
def test_the_launch_for_a_head_fits_the_device(head_dim: int) -> None:
    from dbsa_core.attention import block_kernels as kernels
    from dbsa_core.attention import launches

    device = torch.device("cuda", 0)
    launch = kernels.launch_for(head_dim, device)
    assert launch.shared_bytes(launches.width_of(head_dim)) <= gpu_of(device).shared_bytes
