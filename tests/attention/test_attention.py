"""What holds for attention: the fast path is the reference, which is a loop written out, and a model is left alone."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest
import torch

from dbsa_core import once
from dbsa_core.attention import ALL, CAUSAL, LayerOptions, Sees, choose, reference_attention, sdpa, sdpa_attention
from dbsa_core.attention.reference import attention_scores, probabilities_of
from dbsa_core.attention.visibility import ROW_MULTIPLE, additive, causal_tail
from dbsa_core.data import Pool
from dbsa_core.methods import Setup, make_method
from dbsa_core.model.language_model import DenseStage, LanguageModel
from dbsa_core.settings import EncodeSettings
from dbsa_core.stage2.dense_prefill import prefill
from dbsa_core.stage2.prefix import Prefix
from dbsa_core.stage2.scoring import score_labels
from dbsa_core.stage2.trie import LabelTrie
from dbsa_core.task import Task
from tests.tiny import ByteTokenizer, stock_model, tiny_model

HEADS = [(4, 4), (4, 2), (6, 1)]
SIZES = [(7, 7), (1, 9), (5, 12), (3, 3)]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
SOFTCAP, SINKS = {"softcap": 3.0}, {"sinks": torch.linspace(-2, 2, 4)}


def tensors(heads: int, kv_heads: int, tokens: int, keys: int, dtype: torch.dtype = torch.float32) -> Any:
    generator = torch.Generator().manual_seed(tokens * 100 + keys)

    def random(count: int, length: int) -> torch.Tensor:
        return 2 * torch.randn(1, count, length, 8, generator=generator, dtype=torch.float64).to(dtype)

    return random(heads, tokens), random(kv_heads, keys), random(kv_heads, keys)


def sees(kind: str, tokens: int, keys: int) -> Sees:
    if kind == "none":
        return ALL
    allowed = causal_tail(tokens, keys)
    if kind == "sliding":
        allowed &= torch.arange(keys - tokens, keys)[:, None] - torch.arange(keys)[None] < 3
    if kind == "ragged":
        allowed &= torch.rand(tokens, keys, generator=torch.Generator().manual_seed(1)) < 0.5
        allowed |= torch.eye(tokens, keys, dtype=torch.bool)
    return Sees(allowed)


def by_loop(query: Any, key: Any, value: Any, seen: Sees, options: LayerOptions) -> torch.Tensor:
    """One score at a time, in Python's own floats."""
    allowed = seen.mask(query.shape[2], key.shape[2], query.device).tolist()
    output = torch.zeros_like(query, dtype=torch.float64)
    group = query.shape[1] // key.shape[1]
    for head in range(query.shape[1]):
        for token in range(query.shape[2]):
            scores = [
                options.scaling * float(query[0, head, token].double() @ k.double()) for k in key[0, head // group]
            ]
            if options.softcap:
                scores = [options.softcap * math.tanh(score / options.softcap) for score in scores]
            weights = [math.exp(s) if allowed[token][i] else 0.0 for i, s in enumerate(scores)]
            total = sum(weights) + (math.exp(float(options.sinks[head])) if options.sinks is not None else 0.0)
            for weight, row in zip(weights, value[0, head // group], strict=True):
                output[0, head, token] += weight / total * row.double()
    return output


def close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float = 1e-5) -> None:
    assert ours.shape == theirs.shape
    assert float((ours.double() - theirs.double()).abs().max()) <= tolerance * float(theirs.abs().max())


@pytest.mark.parametrize(
    "special", [{}, SOFTCAP, SINKS, {**SOFTCAP, **SINKS}], ids=["plain", "softcap", "sinks", "both"]
)
@pytest.mark.parametrize("kind", ["none", "causal", "sliding", "ragged"])
def test_the_reference_is_the_loop_written_out(special: dict[str, Any], kind: str) -> None:
    query, key, value = tensors(4, 2, 5, 9)
    options, seen = LayerOptions(scaling=0.3, **special), sees(kind, 5, 9)
    expected = by_loop(query, key, value, seen, options)
    close(reference_attention(query, key, value, seen, options).output, expected)
    if kind == "causal":
        close(reference_attention(query, key, value, CAUSAL, options).output, expected)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(("heads", "kv_heads"), HEADS)
@pytest.mark.parametrize(("tokens", "keys"), SIZES)
@pytest.mark.parametrize("kind", ["none", "causal", "sliding", "ragged"])
def test_sdpa_is_the_reference(
    dtype: torch.dtype, heads: int, kv_heads: int, tokens: int, keys: int, kind: str
) -> None:
    query, key, value = tensors(heads, kv_heads, tokens, keys, dtype)
    options, seen = LayerOptions(scaling=0.3), sees(kind, tokens, keys)
    ours = sdpa_attention(query, key, value, seen, options).output
    close(ours, reference_attention(query, key, value, seen, options).output, TOLERANCE[dtype])
    if tokens == keys and kind == "causal":
        close(sdpa_attention(query, key, value, CAUSAL, options).output, ours, TOLERANCE[dtype])


@pytest.mark.parametrize(("kind", "room", "rows"), [("causal", 3 * 20 * 50, 60), ("causal", 3 * 20 * 50 - 1, 20)])
def test_on_a_cpu_heads_of_a_key_head_are_rows_of_one_while_their_mask_is_small(
    kind: str, room: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdpa, "FOLDED_MASK", room)
    query, key, value = tensors(6, 2, 20, 50)
    options, seen = LayerOptions(scaling=0.3), sees(kind, 20, 50)
    expected = reference_attention(query, key, value, seen, options).output
    for _ in range(2):
        close(sdpa_attention(query, key, value, seen, options).output, expected)
    assert [mask.shape for mask in seen._additive.values()] == [(rows, 50)], "made once"


def test_in_bfloat16_both_are_near_the_float64_result() -> None:
    wide = tensors(4, 2, 20, 50, torch.float64)
    seen, options = sees("causal", 20, 50), LayerOptions(scaling=0.3)
    exact = reference_attention(*wide, seen, options).output
    for path in (sdpa_attention, reference_attention):
        found = path(*(part.bfloat16() for part in wide), seen, options).output
        assert found.dtype == torch.bfloat16
        assert float((found.double() - exact).square().mean().sqrt() / exact.square().mean().sqrt()) < 2e-2


def test_probabilities_sum_to_1_unless_a_sink_takes_its_part() -> None:
    query, key, _ = tensors(4, 2, 3, 6)
    plain, sunk = LayerOptions(0.3), LayerOptions(0.3, **SINKS)
    assert torch.allclose(probabilities_of(attention_scores(query, key, plain), plain).sum(-1), torch.ones(1, 4, 3))
    assert (probabilities_of(attention_scores(query, key, sunk), sunk).sum(-1) < 1).all()


def test_a_softcap_or_sinks_fall_back_to_the_reference_which_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "_said", set())
    with caplog.at_level(logging.INFO, logger="dbsa_core.attention"):
        assert choose(LayerOptions(0.3)) is sdpa_attention
        assert choose(LayerOptions(0.3, sliding_window=4)) is sdpa_attention
        assert caplog.records == []
        for special in (SOFTCAP, SINKS, SOFTCAP):
            assert choose(LayerOptions(0.3, **special)) is reference_attention
    assert ["reference implementation is used" in record.message for record in caplog.records] == [True]


def test_the_last_token_of_a_causal_tail_sees_every_key() -> None:
    for tokens, keys in SIZES:
        expected = [[key <= keys - tokens + token for key in range(keys)] for token in range(tokens)]
        assert causal_tail(tokens, keys).tolist() == expected


def test_a_mask_that_is_added_is_0_or_minus_infinity() -> None:
    mask = additive(torch.tensor([[True, False], [False, True]]), torch.bfloat16)
    assert mask.dtype == torch.bfloat16
    assert mask.tolist() == [[0.0, -math.inf], [-math.inf, 0.0]]
    assert mask.stride(0) % ROW_MULTIPLE == 0


def used(model: LanguageModel) -> None:
    """Encode a pool, read it, and classify densely too."""
    pool = Pool.of([(f"row {i} here", "xy"[i % 2]) for i in range(10)])
    setup = Setup.of(Task(model, pool), EncodeSettings(pool_tokens=300, block_size=2))
    for name in ("dbsa_fresh", "fixed_icl"):
        make_method(name).fit(setup).predict("row 3", attention=True)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("family", ["llama", "mistral", "gemma3", "smollm3", "phi3-longrope"])
def test_the_stock_models_logits_are_bit_equal_before_and_after(family: str, implementation: str) -> None:
    stock: Any = stock_model(family)
    stock.set_attn_implementation(implementation)
    ids, rotary = torch.arange(60)[None] * 3, stock.get_decoder().rotary_emb
    buffers = {name: buffer.clone() for name, buffer in stock.named_buffers()}
    with torch.no_grad():
        before = stock(ids).logits
    model = LanguageModel.of(stock, ByteTokenizer(), family)
    used(model)
    model.close()
    assert stock.get_decoder().rotary_emb is rotary
    assert stock.config._attn_implementation == implementation
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in stock.named_buffers())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    assert not any(getattr(module, kind) for module in stock.modules() for kind in hooks)
    with torch.no_grad():
        assert torch.equal(stock(ids).logits, before)


def test_a_model_with_sink_scores_is_captured_with_them() -> None:
    """GPT-OSS; without the sinks its logits would be others."""
    model = tiny_model("gpt_oss", num_local_experts=4, num_experts_per_tok=2, rope_parameters=None)
    tokens, positions = model.ids(range(40)), torch.arange(40)
    ours = model.run(tokens, positions, DenseStage(model.rope, positions), deferred=True, logits_rows=range(40))
    sinks = [layer.self_attn.sinks for layer in model.model.model.layers]
    with torch.no_grad():
        stock = model.model(tokens[None]).logits[0]
        for sink in sinks:
            sink.fill_(-1e4)
        without = model.model(tokens[None]).logits[0]
    assert ours is not None
    close(ours, stock)
    assert float((stock - without).abs().max()) > 1e-2 * float(stock.abs().max())


GPT_OSS: Any = {"num_local_experts": 4, "num_experts_per_tok": 2, "rope_parameters": None}


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2", "gemma3", "qwen2", "gpt_oss"])
def test_the_reported_attention_is_the_stock_models(family: str) -> None:
    model = tiny_model(family, **(GPT_OSS if family == "gpt_oss" else {}))
    ids, spans = [i * 7 % 250 for i in range(40)], ((0, 10), (10, 24), (24, 40))
    with torch.no_grad():
        stock = model.model(torch.tensor([ids]), output_attentions=True).attentions
    expected = torch.stack([torch.stack([part[0, :, -1, a:b].sum(-1) for a, b in spans], -1) for part in stock])
    nowhere = 1 - expected.sum(-1, keepdim=True)
    assert (float(nowhere.min()) > 1e-4) == (family == "gpt_oss")
    expected = torch.cat([expected, nowhere], dim=-1) if family == "gpt_oss" else expected
    trie = LabelTrie.of_ids(["a", "b"], [(1, 2), (3,)], 10)
    whole = score_labels(Prefix.empty(model), tuple(ids), trie, spans=spans).mass
    prefix = prefill(Prefix.empty(model), ids[:24])
    behind = score_labels(prefix, tuple(ids[24:]), trie, spans=spans).mass
    for found in (whole, behind):
        assert found is not None
        assert torch.allclose(found, expected, atol=1e-5)
