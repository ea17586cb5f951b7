"""What holds for causal attention in tiles: it is the attention under one whole mask, and no mask is large."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dbsa_core.attention import (
    CAUSAL,
    LayerOptions,
    Sees,
    causal,
    causal_attention,
    choose,
    reference_attention,
    sdpa,
    visibility,
)
from dbsa_core.attention.sdpa import knows_causal, sdpa_attention

TOLERANCE = 1e-5
SPECIAL: dict[str, dict[str, Any]] = {"plain": {}, "softcap": {"softcap": 3.0}, "sinks": {"sinks": torch.ones(4)}}


def tensors(tokens: int, keys: int, dtype: torch.dtype = torch.float32, device: str = "cpu", size: int = 8) -> Any:
    generator = torch.Generator().manual_seed(tokens * 1000 + keys)

    def random(count: int, length: int) -> torch.Tensor:
        return torch.randn(1, count, length, size, generator=generator).to(device, dtype)

    return random(4, tokens), random(2, keys), random(2, keys)


def whole(query: Any, key: Any, value: Any, options: LayerOptions) -> torch.Tensor:
    """One mask [tokens, keys], counted out position by position."""
    tokens, keys = query.shape[2], key.shape[2]
    own = range(keys - tokens, keys)
    seen = [[k <= q and q - k < (options.sliding_window or keys) for k in range(keys)] for q in own]
    return reference_attention(query, key, value, Sees(torch.tensor(seen, device=query.device)), options).output


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().max()) <= TOLERANCE * float(theirs.abs().max())


@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("window", [None, 1, 5, 128, 299, 300, 1000])
@pytest.mark.parametrize(("tokens", "keys"), [(300, 300), (40, 300), (1, 300), (299, 300), (7, 7)])
@pytest.mark.parametrize("scores", [2**25, 2**13, 1])
def test_tiles_together_are_the_attention_under_one_mask(
    special: str, window: int | None, tokens: int, keys: int, scores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(causal, "TILE_SCORES", scores)
    if scores > 1:
        monkeypatch.setattr(causal, "APART_TOKENS", 32)
    options = LayerOptions(scaling=0.3, sliding_window=window, **SPECIAL[special])
    given, masks = tensors(tokens, keys), {}
    for _ in range(2):
        close(causal_attention(choose(options), *given, options, masks), whole(*given, options))
    assert len(masks) <= causal.MASKS_KEPT


@pytest.mark.parametrize("special", ["plain", "softcap"])
@pytest.mark.parametrize("window", [None, 16, 200])
@pytest.mark.parametrize(("tokens", "keys"), [(2000, 2000), (500, 2000), (600, 2000)])
def test_no_mask_has_more_scores_than_a_tile(
    special: str, window: int | None, tokens: int, keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    additive = visibility.additive

    def counted(allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        sizes.append(allowed.numel())
        found: torch.Tensor = additive(allowed, dtype)
        return found

    bound = 2**18
    monkeypatch.setattr(causal, "TILE_SCORES", bound)
    monkeypatch.setattr(sdpa, "FOLDED_MASK", bound)
    monkeypatch.setattr(visibility, "additive", counted)
    options = LayerOptions(scaling=0.3, sliding_window=window, **SPECIAL[special])
    causal_attention(choose(options), *tensors(tokens, keys), options, {})
    heads = 1 if special == "plain" else 4
    assert all(size * heads <= bound for size in sizes)
    if special == "plain" and window is None and tokens >= causal.APART_TOKENS:
        assert sizes == [], "what stands before is seen whole, and a square needs no mask at all"


def test_inner_tiles_of_a_window_share_one_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    additive = visibility.additive
    monkeypatch.setattr(visibility, "additive", lambda *given: made.append(given[0].shape) or additive(*given))
    options, masks = LayerOptions(scaling=0.3, sliding_window=256), {}
    for _ in range(3):
        causal_attention(choose(options), *tensors(4096, 4096), options, masks)
    assert len(made) <= 3, "the first, the inner ones, and a last one that is not full"


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("window", [None, 100, 1000])
@pytest.mark.parametrize(("tokens", "keys"), [(600, 600), (70, 600), (1, 600), (599, 600)])
def test_on_a_gpu_too(dtype: torch.dtype, window: int | None, tokens: int, keys: int) -> None:
    """Half precision by relative RMS, against the float32 result of the same numbers."""
    options = LayerOptions(scaling=0.3, sliding_window=window)
    given = tensors(tokens, keys, dtype, "cuda", size=64)
    ours = causal_attention(choose(options), *given, options, {})
    theirs = whole(*(part.float() for part in given), options)
    assert ours.dtype == dtype
    error = float((ours.float() - theirs).square().mean().sqrt() / theirs.square().mean().sqrt())
    assert error < (1e-5 if dtype == torch.float32 else 2e-2)


@pytest.mark.gpu
def test_a_gpu_in_half_precision_needs_no_mask_behind_a_context() -> None:
    query, key, value = tensors(70, 600, torch.bfloat16, "cuda", size=64)
    assert knows_causal(query, 600)
    assert not knows_causal(query.float(), 600)
    options = LayerOptions(scaling=0.3)
    found = sdpa_attention(query, key, value, CAUSAL, options).output
    theirs = whole(query.float(), key.float(), value.float(), options)
    assert float((found.float() - theirs).square().mean().sqrt() / theirs.square().mean().sqrt()) < 2e-2
