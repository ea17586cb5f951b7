"""A hooked model is a stock model for whoever brings no stage: bit for bit, in every family, and after `close` too."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
import torch

from dbsa_core.errors import Cancelled, ModelError
from dbsa_core.interrupt import interruptible
from dbsa_core.model.hook import HookedRotary
from dbsa_core.model.language_model import PROBE_TOLERANCE, DenseStage, LanguageModel
from tests.tiny import FAMILIES, LENGTH_DEPENDENT, ByteTokenizer, stock_model

IDS = torch.arange(2 * 20).view(2, 20) * 5 % 250 + 1
PADDED = torch.ones(2, 20, dtype=torch.long).index_fill(1, torch.arange(3), 0)


def pair(family: str, implementation: str = "sdpa") -> tuple[Any, LanguageModel]:
    """An untouched model and a hooked copy of it."""
    stock: Any = stock_model(family)
    if implementation != "eager":
        try:
            stock.set_attn_implementation(implementation)
        except ValueError as error:  # Gemma 2 has a softcap, which SDPA lacks
            pytest.skip(str(error)[:60])
    return stock, LanguageModel.of(copy.deepcopy(stock), ByteTokenizer(), family)


def staged_forward(model: LanguageModel) -> None:
    positions = torch.arange(20)
    model.run(IDS[0], positions, DenseStage(model.rope, positions), deferred=True, logits_rows=[19])


def everything(model: Any) -> list[torch.Tensor]:
    """Logits, caches and tokens by every way in which a mask is made: none, padding, a cache, four dimensions."""
    model.eval()
    with torch.no_grad():
        plain = model(IDS, use_cache=True)
        cache = next(value for name, value in plain.items() if name in ("cache", "past_key_values"))
        found = [plain.logits, *(part for layer in cache.layers for part in (layer.keys, layer.values))]
        found.append(model(IDS, attention_mask=PADDED).logits)
        found.append(model(IDS, attention_mask=torch.ones(2, 1, 20, 20, dtype=torch.bool).tril()).logits)
        found.append(model(inputs_embeds=model.get_input_embeddings()(IDS)).logits)
        options = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0, "return_dict_in_generate": True}
        written = model.generate(IDS, attention_mask=PADDED, output_scores=True, **options)
        return [*found, written.sequences, *written.scores]


def equal(ours: list[torch.Tensor], stock: list[torch.Tensor]) -> bool:
    return len(ours) == len(stock) and all(map(torch.equal, ours, stock))


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("family", [*FAMILIES, *LENGTH_DEPENDENT])
def test_a_hooked_model_is_the_stock_model_without_a_stage(family: str, implementation: str) -> None:
    stock, model = pair(family, implementation)
    expected = everything(stock)
    assert equal(everything(model.model), expected)
    staged_forward(model)
    assert equal(everything(model.model), expected)
    model.close()
    assert equal(everything(model.model), expected)
    assert model.model.config._attn_implementation == stock.config._attn_implementation
    assert list(dict(model.model.named_buffers())) == list(dict(stock.named_buffers()))
    assert not any(isinstance(module, HookedRotary) for module in model.model.modules())


def test_a_softcap_holds_where_stock_sdpa_leaves_it_out() -> None:
    """As transformers 5.17 loads Gemma 2; later ones refuse SDPA for it."""
    stock: Any = stock_model("gemma2")
    with torch.no_grad():
        expected = stock(IDS[:1]).logits[0]
    for config in {id(c): c for m in stock.modules() if (c := getattr(m, "config", None))}.values():
        config._attn_implementation = "sdpa"
    try:
        with torch.no_grad():
            without = stock(IDS[:1]).logits[0]
    except ValueError:
        pytest.skip("this transformers refuses SDPA for it")
    assert float((without - expected).abs().max()) > 1e-4 * float(expected.abs().max())
    model = LanguageModel.of(stock, ByteTokenizer(), "gemma2")
    positions = torch.arange(20)
    ours = model.run(IDS[0], positions, DenseStage(model.rope, positions), deferred=True, logits_rows=range(20))
    assert ours is not None
    assert float((ours - expected).abs().max()) < 1e-5 * float(expected.abs().max())
    with torch.no_grad():
        assert torch.equal(stock(IDS[:1]).logits[0], without), "the user's own forwards stay as they were"


def test_large_scores_in_half_precision_are_no_reason_to_refuse_a_model() -> None:
    """As those of Qwen2.5, whose keys and queries have large biases: rounded scores would differ from exact ones by far
    more than the probe allows."""
    stock, generator = stock_model("qwen2", dtype=torch.bfloat16), torch.Generator().manual_seed(1)
    for module in stock.modules():
        for name, size in (("k_proj", 100), ("q_proj", 10)):
            if hasattr(module, name):
                bias = getattr(module, name).bias.data
                bias += (size * torch.randn(bias.shape, generator=generator)).bfloat16()
    model, ids = LanguageModel.of(stock, ByteTokenizer(), "large"), torch.arange(24)
    found = model.run(ids, ids, DenseStage(model.rope, ids), deferred=True, logits_rows=range(24))
    stock.set_attn_implementation("eager")
    with torch.inference_mode():
        rounded = stock(input_ids=ids[None], use_cache=False).logits[0].float()
    assert found is not None
    assert float((found - rounded).abs().max() / rounded.abs().max()) > PROBE_TOLERANCE[torch.bfloat16]


def test_training_passes_through_the_hook_as_without_it() -> None:
    stock, model = pair("llama")
    gradients = []
    for each in (stock, model.model):
        each(IDS, labels=IDS).loss.backward()
        gradients.append([weight.grad for weight in each.parameters()])
    assert equal(*gradients)


class _WithinAStage:
    """Runs a stock forward of the same model in another thread while a staged one is in the middle of a layer."""

    def __init__(self, model: LanguageModel):
        self.model, self.found = model, []

    def attend(self, layer: int, query: torch.Tensor, *_: Any) -> torch.Tensor:
        thread = threading.Thread(target=lambda: self.found.extend(everything(self.model.model)))
        if not layer:
            thread.start()
            thread.join()
        return query


@pytest.mark.parametrize("family", ["llama", "gemma3", "llama-dynamic"])
def test_another_thread_meets_a_stock_model_in_the_middle_of_a_staged_forward(family: str) -> None:
    stock, model = pair(family)
    stage = _WithinAStage(model)
    model.run(IDS[0], torch.arange(20), stage, deferred=True)
    assert equal(stage.found, everything(stock))


def test_a_copy_and_a_saved_folder_of_a_hooked_model_are_stock(tmp_path: Any) -> None:
    stock, model = pair("llama")
    copied = copy.deepcopy(model.model)
    model.close()
    assert equal(everything(copied), everything(stock))
    again = LanguageModel.of(copied, ByteTokenizer())
    copied.save_pretrained(tmp_path)
    assert "dbsa" not in (tmp_path / "config.json").read_text()
    staged_forward(again)


def test_two_hooks_on_one_model_do_not_disturb_each_other() -> None:
    stock, first = pair("llama")
    second = LanguageModel.of(first.model, ByteTokenizer())
    second.close()
    staged_forward(first)
    third = LanguageModel.of(first.model, ByteTokenizer())
    first.close()
    staged_forward(third)
    third.close()
    assert first.model.config._attn_implementation == "sdpa"
    assert equal(everything(first.model), everything(stock))


def test_another_implementation_chosen_later_is_what_stock_forwards_use() -> None:
    stock, model = pair("llama", "sdpa")
    staged_forward(model)
    for each in (stock, model.model):
        each.set_attn_implementation("eager")
    staged_forward(model)
    assert equal(everything(model.model), everything(stock))
    with torch.no_grad():
        weights = [each(IDS, output_attentions=True).attentions for each in (stock, model.model)]
    assert len(weights[0]) == 4
    assert equal(*map(list, weights))
    model.close()
    assert model.model.config._attn_implementation == "eager"


def test_another_implementation_chosen_last_outlives_the_hook() -> None:
    _, model = pair("llama", "sdpa")
    model.model.set_attn_implementation("eager")
    model.close()
    assert model.model.config._attn_implementation == "eager"


def test_a_closed_model_says_so_and_one_of_another_implementation_is_refused() -> None:
    stock, model = pair("llama")
    model.close()
    model.close()
    with pytest.raises(ModelError, match=r"was closed; load it anew"):
        staged_forward(model)
    stock.set_attn_implementation("flex_attention")
    with pytest.raises(ModelError, match="attention implementation 'flex_attention'; load it with one of"):
        LanguageModel.of(stock, ByteTokenizer())


def test_a_forward_is_stopped_at_the_next_layer() -> None:
    _, model = pair("llama")
    asked = []
    with interruptible(lambda: len(asked) > 2 or asked.append(None)), pytest.raises(Cancelled):  # type: ignore[func-returns-value]
        staged_forward(model)
    assert len(asked) == 3
    staged_forward(model)
