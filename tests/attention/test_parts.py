"""What holds for attention by parts: it is the attention over all keys at once, under one mask counted out."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
import torch

from dbsa_core import once
from dbsa_core.attention import (
    ALL,
    CAUSAL,
    LayerOptions,
    Part,
    Partial,
    Sees,
    Visibility,
    attend,
    causal,
    choose,
    merge,
    reference,
    reference_attention,
    sdpa,
    sdpa_attention,
)
from dbsa_core.attention.reference import attention_scores
from dbsa_core.devices import CPU, Kernels

TOLERANCE = 1e-5
HEAD = 16
SPECIAL: dict[str, dict[str, Any]] = {
    "plain": {},
    "softcap": {"softcap": 3.0},
    "sinks": {"sinks": torch.linspace(-2, 2, 4)},
}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
HALF = [torch.bfloat16, torch.float16]


def tensors(tokens: int, keys: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1000 * tokens + keys + seed)

    def random(heads: int, length: int) -> torch.Tensor:
        return 2 * torch.randn(1, heads, length, HEAD, generator=generator)

    return random(4, tokens), random(2, keys), random(2, keys)


def tree(nodes: int, known: int) -> Sees:
    """The last nodes of a random tree of `known`: each sees its ancestors and itself."""
    allowed, rng = torch.eye(known, dtype=torch.bool), torch.Generator().manual_seed(known)
    for node in range(1, known):
        parent = int(torch.randint(-1, node, (1,), generator=rng))
        if parent >= 0:
            allowed[node] |= allowed[parent]
    return Sees(allowed[-nodes:])


PREFIX, PROMPT, NODES = 40, 9, 6
GAPS = (*range(11), *range(30, 45))
"""Positions of a window of stage 1: a sink block, then a previous block and the block itself."""
NODE_POSITIONS = (49, 50, 49, 51, 50, 50)
CASES = {
    "prefix and prompt": Visibility(range(PREFIX, 49), (Part(range(PREFIX)), Part(range(PREFIX, 49), CAUSAL))),
    "prefix and prompt with its labels": Visibility(
        (*range(PREFIX, 49), *NODE_POSITIONS),
        (Part(range(PREFIX)), Part((*range(PREFIX, 49), *NODE_POSITIONS), tree(15, 15))),
    ),
    "labels behind prefix and prompt": Visibility(
        NODE_POSITIONS, (Part(range(PREFIX)), Part(range(PREFIX, 49)), Part(NODE_POSITIONS, tree(NODES, NODES)))
    ),
    "further labels": Visibility(
        NODE_POSITIONS[4:], (Part(range(PREFIX)), Part(range(PREFIX, 49)), Part(NODE_POSITIONS, tree(2, NODES)))
    ),
    "a prompt alone": Visibility.causal(30, 30),
    "a prompt behind earlier ones": Visibility.causal(8, 30),
    "one token behind earlier ones": Visibility.causal(1, 30),
    "a block behind a sink block": Visibility(GAPS[-9:], (Part(GAPS, CAUSAL),)),
    "labels alone": Visibility(NODE_POSITIONS, (Part(NODE_POSITIONS, tree(NODES, NODES)),)),
}


def case(name: str) -> Visibility:
    """Without the masks that an earlier test left."""
    found = CASES[name]
    return Visibility(found.positions, found.parts)


def whole(query: Any, keys: Any, visibility: Visibility, options: LayerOptions) -> torch.Tensor:
    """All parts side by side under one mask, counted out pair by pair in Python."""
    columns: list[list[bool]] = []
    for part in visibility.parts:
        seen = part.sees.mask(query.shape[2], len(part.positions), torch.device("cpu"))
        for place, position in enumerate(part.positions):
            near = [q - position < (options.sliding_window or 10**9) for q in visibility.positions]
            columns.append([bool(s) and n for s, n in zip(seen[:, place], near, strict=True)])
    mask = torch.tensor(columns, device=query.device).T
    key, value = (torch.cat([held[i] for held in keys], dim=2) for i in (0, 1))
    return reference_attention(query, key, value, Sees(mask), options).output


def given(visibility: Visibility) -> tuple[torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]:
    query = tensors(len(visibility.positions), 1)[0]
    return query, [tensors(1, len(part.positions), seed)[1:] for seed, part in enumerate(visibility.parts)]


def moved(device: str, visibility: Visibility, query: Any, keys: Any, dtype: torch.dtype) -> Any:
    """All of it on a device and of a type."""
    put = tuple(
        replace(part, sees=Sees(part.sees.allowed.to(device))) if part.sees.allowed is not None else part
        for part in visibility.parts
    )
    held = [tuple(tensor.to(device, dtype) for tensor in pair) for pair in keys]
    return Visibility(visibility.positions, put), query.to(device, dtype), held


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) <= TOLERANCE * float(theirs.abs().max())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("window", [None, 1, 4, 12, 35, 1000])
@pytest.mark.parametrize("name", CASES)
def test_parts_together_are_one_softmax_over_all_keys(name: str, window: int | None, special: str, device: str) -> None:
    """Twice, for the second layer takes the masks of the first."""
    visibility, query, keys = moved(device, case(name), *given(case(name)), torch.float32)
    extra = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in SPECIAL[special].items()}
    options = LayerOptions(scaling=0.3, sliding_window=window, **extra)
    for _ in range(2):
        close(attend(query, keys, visibility, options), whole(query, keys, visibility, options))


@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("window", [None, 12])
@pytest.mark.parametrize("name", CASES)
def test_neither_small_tiles_nor_a_device_without_kernels_change_it(
    name: str, window: int | None, special: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(causal, "TILE_SCORES", 1)
    monkeypatch.setattr(reference, "TILE_SCORES", 60)
    monkeypatch.setattr(sdpa, "policy_for", lambda device: replace(CPU, kernels=Kernels.NONE))
    visibility, options = case(name), LayerOptions(scaling=0.3, sliding_window=window, **SPECIAL[special])
    query, keys = given(visibility)
    ours = attend(query, keys, visibility, options)
    monkeypatch.undo()
    close(ours, whole(query, keys, visibility, options))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("window", [None, 12])
@pytest.mark.parametrize("name", CASES)
def test_in_half_precision_it_is_near_the_float64_result(
    name: str, window: int | None, dtype: torch.dtype, device: str
) -> None:
    """Relative RMS, against the float64 result of the same numbers."""
    visibility, query, keys = moved(device, case(name), *given(case(name)), dtype)
    options = LayerOptions(scaling=0.3, sliding_window=window)
    ours = attend(query, keys, visibility, options)
    assert ours.dtype == dtype
    exact = whole(query.double(), [tuple(t.double() for t in pair) for pair in keys], visibility, options)
    assert float((ours.double() - exact).square().mean().sqrt() / exact.square().mean().sqrt()) < 2e-2


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, *HALF], ids=str)
@pytest.mark.parametrize("heads", [(4, 2), (6, 6), (5, 1)])
@pytest.mark.parametrize(("tokens", "keys"), [(7, 7), (1, 9), (33, 70), (130, 130)])
@pytest.mark.parametrize("kind", ["all", "causal", "masked"])
def test_the_kernels_log_sum_exp_is_that_of_the_scores(
    kind: str, tokens: int, keys: int, heads: tuple[int, int], dtype: torch.dtype, device: str
) -> None:
    """Keys are views into a longer memory, as they are in a cache; the output is the kernel's without log-sum-exp."""
    if kind == "causal" and tokens != keys:
        pytest.skip("a square alone")
    generator = torch.Generator().manual_seed(tokens)
    query = torch.randn(1, tokens, heads[0], HEAD, generator=generator).to(device, dtype).transpose(1, 2)
    memory = torch.randn(2, 1, heads[1], keys + 5, HEAD, generator=generator).to(device, dtype)
    key, value = memory[0, :, :, 3 : keys + 3], memory[1, :, :, 3 : keys + 3]
    masked = torch.rand(tokens, keys, generator=generator).to(device) < 0.5
    masked[:, 0] = True
    seen, options = {"all": ALL, "causal": CAUSAL, "masked": Sees(masked)}[kind], LayerOptions(scaling=0.3)
    attention = choose(options, query)
    assert attention is sdpa_attention
    found = attention(query, key, value, seen, options, log_sum_exp=True)
    scores = attention_scores(query.float(), key.float(), options)
    expected = scores.masked_fill(~seen.mask(tokens, keys, query.device), -torch.inf).logsumexp(-1)
    assert found.log_sum_exp is not None
    assert found.log_sum_exp.dtype == torch.float32
    exact = reference_attention(query.double(), key.double(), value.double(), seen, options).output
    error = float((found.output.double() - exact).square().mean().sqrt() / exact.square().mean().sqrt())
    if dtype == torch.float32:
        close(found.log_sum_exp, expected)
        assert error < TOLERANCE
    else:
        assert float((found.log_sum_exp - expected).abs().max()) < 2e-2
        assert error < 2e-2


def test_the_reference_returns_a_log_sum_exp_too_a_sink_included() -> None:
    query, key, value = tensors(5, 12)
    for special in SPECIAL.values():
        options = LayerOptions(scaling=0.3, **special)
        found = reference_attention(query, key, value, ALL, options, log_sum_exp=True).log_sum_exp
        total = attention_scores(query, key, options).exp().sum(-1)
        if options.sinks is not None:
            total += options.sinks.exp()[:, None]
        assert found is not None
        close(found, total.log())


def test_a_part_with_next_to_no_weight_does_not_spoil_the_others() -> None:
    """Scores of a thousand: e to the power of them is beyond every float."""
    first, second = torch.ones(1, 1, 2, 4), torch.full((1, 1, 2, 4), 3.0)
    far = torch.tensor([[[1000.0, -1000.0]]])
    merged = merge([Partial(first, far), Partial(second, torch.zeros(1, 1, 2)), Partial(second, far - 1000)])
    assert merged.isfinite().all()
    assert merged[0, 0, 0].tolist() == [1.0] * 4
    assert merged[0, 0, 1].tolist() == [3.0] * 4


def test_what_is_seen_whole_is_never_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the prefix, the only mask is that of the new tokens among themselves."""
    masks: list[tuple[int, ...]] = []
    made = Sees.additive

    def counted(self: Sees, dtype: torch.dtype) -> torch.Tensor | None:
        found = made(self, dtype)
        if found is not None:
            masks.append(tuple(found.shape))
        return found

    monkeypatch.setattr(Sees, "additive", counted)
    visibility = case("prefix and prompt with its labels")
    query, keys = given(visibility)
    attend(query, keys, visibility, LayerOptions(scaling=0.3))
    assert masks == [(15, 15)]


def test_a_window_hides_by_position_and_not_by_place() -> None:
    visibility = Visibility((30, 31), (Part((0, 1, 7, 8, 9)), Part((30, 31), CAUSAL)))
    assert not visibility.hidden_by(None)
    assert not visibility.hidden_by(32)
    assert visibility.hidden_by(31)
    _, seen = visibility.within(24, torch.device("cpu"))
    assert seen.allowed is not None
    assert seen.allowed.tolist() == [
        [False, False, True, True, True, True, False],
        [False, False, False, True, True, True, True],
    ]


def test_a_layer_with_a_window_reads_no_key_out_of_its_reach() -> None:
    """Of a long prefix the last keys alone; whatever stands before them may be anything."""
    visibility = case("prefix and prompt with its labels")
    query, keys = given(visibility)
    keys[0][0][:, :, : PREFIX - 5], keys[0][1][:, :, : PREFIX - 5] = torch.nan, torch.nan
    assert attend(query, keys, visibility, LayerOptions(scaling=0.3, sliding_window=6)).isfinite().all()


def test_a_type_that_no_kernel_returns_a_log_sum_exp_for_goes_to_the_reference_which_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "_said", set())
    monkeypatch.setattr(sdpa, "policy_for", lambda device: replace(CPU, kernels=Kernels.CUDA))
    options, query = LayerOptions(0.3), tensors(3, 3)[0]
    with caplog.at_level(logging.INFO, logger="dbsa_core.attention"):
        assert choose(options, query) is sdpa_attention
        assert choose(options, query.double()) is reference_attention
        assert choose(options, query[..., :12]) is reference_attention
        assert choose(options, query.double()) is reference_attention
        assert choose(options) is sdpa_attention, "over all keys at once SDPA serves"
    assert ["No kernel returns a log-sum-exp for" in record.message for record in caplog.records] == [True, True]
