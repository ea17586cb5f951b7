"""Laws of models whose weights are rounded to 8 or 4 bits, for every supported family.

The oracle is the stock eager forward of the very same rounded model: rounding weights is a library's affair, and what
is held here is that nothing depends on how tokens go through them. What a library cannot round is refused.
"""

from __future__ import annotations

import builtins
import copy
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from dbsa_core.data import Pool
from dbsa_core.errors import DBSAError, ModelError
from dbsa_core.masks import dense_mask
from dbsa_core.methods import Setup, make_method
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.model.weights import SCHEMES, WEIGHTS, configuration, plain_tensors
from dbsa_core.saved import load_setup, save_setup
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.stage2.prefix import assemble
from dbsa_core.stage2.scoring import score_labels, score_together
from dbsa_core.task import Task
from tests.model.test_language_model import byte_tokenizer
from tests.oracle import pinned_logits
from tests.test_laws import (
    ALL,
    BLOCKS,
    LENGTHS,
    PATTERN,
    POOL_IDS,
    QUERY,
    TRIE,
    UNLIKE,
    close,
    encoded,
    oracle_log_probs,
    slow_but,
    ways_of,
)
from tests.test_laws import device as device  # a fixture
from tests.test_laws import in_place as in_place  # a fixture
from tests.tiny import WIDE, ByteTokenizer, stock_model

pytestmark = pytest.mark.filterwarnings("ignore:inner dimension")  # of bitsandbytes, of so narrow layers on a GPU
EVERYWHERE = ("int8", "nf4")
"""Schemes that need no GPU."""
_folders: dict[str, Path] = {}
_models: dict[tuple[str, str, str], LanguageModel] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every family as int8 in its fastest way of encoding; as nf4 in every way. Most are slow tests."""
    if "in_place" not in metafunc.fixturenames:
        return
    each = [
        pytest.param(
            (family, weights), way, id="-".join(filter(None, (family, weights, way))), marks=slow_but(family, quick)
        )
        for family in ALL
        for weights, quick in (("int8", UNLIKE), ("nf4", ()))
        for way in ways_of(family)
        if way == ways_of(family)[-1] or weights == "nf4"
    ]
    metafunc.parametrize(("model", "in_place"), each, indirect=True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_in(tmp_path_factory.mktemp("models") / "my-llama", **WIDE)


def saved_in(folder: Path, **changes: Any) -> Path:
    stock_model("llama", **changes).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(params=EVERYWHERE)
def weights(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(request: pytest.FixtureRequest, device: str, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    family, weights = request.param
    if family not in _folders:
        _folders[family] = tmp_path_factory.mktemp(family)
        stock_model(family, **WIDE).save_pretrained(_folders[family])
    key = (family, device, weights)
    if key not in _models:
        _models[key] = rounded(_folders[family], device, weights)
    return _models[key]


def rounded(folder: Path, device: str, weights: str, dtype: torch.dtype = torch.float32) -> LanguageModel:
    """With eager attention, which the oracle is."""
    asked = configuration(weights, dtype)
    options: Any = {"dtype": dtype, "attn_implementation": "eager", "device_map": {"": device}}
    model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=asked, **options)
    return LanguageModel.of(model, ByteTokenizer())


@pytest.mark.usefixtures("in_place")
def test_all_blocks_are_the_dense_forward_of_the_same_weights(model: LanguageModel) -> None:
    """Every way of asking, alone and with others."""
    assert model.weights in EVERYWHERE
    prefix = assemble(model, encoded(model), range(len(BLOCKS)))
    wanted = torch.tensor(oracle_log_probs(model, POOL_IDS, dense_mask(LENGTHS, PATTERN)))
    alone = score_labels(prefix, QUERY, TRIE, way="one_pass").log_probs
    together = score_together([(prefix, QUERY)] * 2, TRIE, way="one_pass")
    for found in (alone, *(one.log_probs for one in together)):
        close(torch.tensor(found), wanted)


@pytest.mark.usefixtures("in_place")
def test_a_method_answers_so(model: LanguageModel) -> None:
    """Through settings, plan and fit, all blocks read; one query and several."""
    task = Task(model, Pool.of([(f"thing {i}", "hot" if i % 2 else "cold") for i in range(9)]))
    setup = Setup.of(task, EncodeSettings(pool_tokens=150, block_size=2)).encode()
    pool = setup.encoded_pool()
    before, query = [token for block in pool.blocks for token in block.token_ids], task.query("thing 4")[1]
    lengths, wanted = [len(block) for block in pool.blocks], []
    for label in task.pool.labels:
        ids = [*task.prompter.label(label), task.prompter.terminator_id]
        tokens = [*before, *query, *ids]
        allowed = torch.ones(len(tokens), len(tokens), dtype=torch.bool).tril()
        allowed[: len(before), : len(before)] = dense_mask(lengths, pool.pattern)
        logits = pinned_logits(model, model.ids(tokens), allowed.to(model.device), pool.rope_length)
        log_probs = logits.double().log_softmax(-1)
        at = len(before) + len(query) - 1
        wanted.append(sum(float(log_probs[at + i, token]) for i, token in enumerate(ids)))
    method = make_method("dbsa", QuerySettings(ratio=1.0, fresh_demonstrations=0)).fit(setup)
    for answer in (method.predict("thing 4"), *method.predict_many(["thing 4"] * 2)):
        close(torch.tensor(answer.scores.log_probs), torch.tensor(wanted))


def test_linear_layers_are_rounded_and_nothing_else(saved: Path, weights: str) -> None:
    model = LanguageModel.load(saved, device="cpu", weights=weights).model
    plain = stock_model("llama", **WIDE)
    bits = {"int8": 8, "nf4": 4}[weights]
    linear = [name for name, module in plain.named_modules() if isinstance(module, torch.nn.Linear)]
    for name in linear:
        stored, *_ = plain_tensors(model.get_submodule(name).weight)
        whole = plain.get_submodule(name).weight
        assert stored.nbytes * 8 == (32 if name == "lm_head" else bits) * whole.numel()
    others = {name: weight for name, weight in plain.named_parameters() if name.removesuffix(".weight") not in linear}
    for name, weight in others.items():
        assert torch.equal(model.get_parameter(name), weight)


def test_a_cpu_with_bfloat16_multiplies_in_the_models_dtype(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else answers there would be those of bfloat16."""
    from bitsandbytes.nn import modules

    here = LanguageModel.load(saved, device="cpu", weights="nf4").model
    for such in (True, False):
        monkeypatch.setattr(modules, "has_avx512bf16", lambda such=such: such)
        there = LanguageModel.load(saved, device="cpu", weights="nf4").model
        ids = torch.arange(5)[None]
        with torch.inference_mode():
            assert torch.equal(there(input_ids=ids).logits, here(input_ids=ids).logits)


def test_weights_that_are_restored_wrongly_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As bitsandbytes does on some CPUs: the first width by which rows are found is not that of the scales."""
    from bitsandbytes import functional

    narrow = saved_in(tmp_path / "narrow", hidden_size=32)
    restored = functional.dequantize_4bit
    monkeypatch.setattr(functional, "dequantize_4bit", lambda data, state: right_of(data, state, restored))
    assert LanguageModel.load(narrow, device="cpu", weights="nf4").weights == "nf4"

    def wrong(data: torch.Tensor, state: Any) -> torch.Tensor:
        found = right_of(data, state, restored)
        return found if len(found) == 1 else found.flip(0)

    monkeypatch.setattr(functional, "dequantize_4bit", wrong)
    with pytest.raises(ModelError, match=r"of 32 inputs wrongly on this cpu.*multiples of 64 alone.*int8 or model"):
        LanguageModel.load(narrow, device="cpu", weights="nf4")


def right_of(data: torch.Tensor, state: Any, restored: Any) -> torch.Tensor:
    """By one long row, which every kernel takes."""
    row = copy.copy(state)
    row.shape = torch.Size((1, state.shape.numel()))
    found: torch.Tensor = restored(data, row)
    return found.reshape(state.shape)


@pytest.mark.parametrize("bound", [{"int8": 0.01, "nf4": 0.15}])
def test_rounded_weights_are_near_those_that_were_saved(saved: Path, weights: str, bound: dict[str, float]) -> None:
    """By what an identity puts out of a layer, which is its weight."""
    model = LanguageModel.load(saved, device="cpu", weights=weights).model
    for name in ("model.layers.0.self_attn.q_proj", "model.layers.3.mlp.down_proj"):
        whole = stock_model("llama", **WIDE).get_submodule(name).weight.detach()
        with torch.no_grad():
            found = model.get_submodule(name)(torch.eye(whole.shape[1])).T
        assert 0 < float((found - whole).norm() / whole.norm()) < bound[weights]


def test_rounded_models_have_a_name_and_a_signature_of_their_own(saved: Path) -> None:
    models = {weights: LanguageModel.load(saved, device="cpu", weights=weights) for weights in ("model", *EVERYWHERE)}
    assert len({model.signature for model in models.values()}) == 3
    assert {weights: model.name for weights, model in models.items()} == {
        "model": "my-llama",
        "int8": "my-llama, int8 weights",
        "nf4": "my-llama, nf4 weights",
    }
    for weights, model in models.items():
        assert LanguageModel.load(saved, device="cpu", weights=weights).signature == model.signature


def test_a_pool_of_other_weights_is_refused(saved: Path, tmp_path: Path) -> None:
    pool = Pool.of([(f"row {i}", "xy"[i % 2]) for i in range(12)])
    settings = EncodeSettings(pool_tokens=200, block_size=2)
    whole, eight = (LanguageModel.load(saved, device="cpu", weights=weights) for weights in ("model", "int8"))
    save_setup(Setup.of(Task(whole, pool), settings).encode(), tmp_path / "pool")
    with pytest.raises(DBSAError, match="my-llama, int8 weights is given here"):
        load_setup(tmp_path / "pool", eight)


@pytest.mark.parametrize("other", ["int8", "nf4"])
def test_a_model_that_was_saved_rounded_is_loaded_as_it_is(
    saved: Path, weights: str, other: str, tmp_path: Path
) -> None:
    first = LanguageModel.load(saved, device="cpu", weights=weights)
    first.close()
    first.model.save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    model = LanguageModel.load(tmp_path, device="cpu")
    assert model.weights == weights
    ids = torch.arange(9)[None]
    with torch.no_grad():
        assert torch.equal(model.model(ids).logits, first.model(ids).logits)
    with pytest.raises(ModelError, match=f"were saved as {weights} already; leave out the {other} "):
        LanguageModel.load(tmp_path, device="cpu", weights=other)


def test_rounding_by_what_stands_beside_a_token_is_refused(saved: Path) -> None:
    eight = BitsAndBytesConfig(load_in_8bit=True)
    model = AutoModelForCausalLM.from_pretrained(saved, quantization_config=eight, device_map={"": "cpu"})
    with pytest.raises(ModelError, match=r"bitsandbytes in this way .* all tokens of a forward decide together"):
        LanguageModel.of(model, ByteTokenizer())


@pytest.mark.parametrize(("granularity", "shared"), [("PerTensor", True), ("PerRow", False)])
def test_one_scale_for_all_activations_is_refused(saved: Path, granularity: str, shared: bool) -> None:
    model = stock_model("llama")
    kind = {"default": {"_type": "Int8DynamicActivationInt8WeightConfig", "_data": {"granularity": granularity}}}
    model.config.quantization_config = {"quant_method": "torchao", "quant_type": kind}
    with pytest.raises(ModelError, match="all tokens of a forward decide") if shared else nullcontext():
        LanguageModel.of(model, ByteTokenizer())


def test_unknown_kinds_are_named_with_those_that_are_known(saved: Path) -> None:
    with pytest.raises(ModelError, match="'int2' are not known; accepted are model, int8, nf4"):
        LanguageModel.load(saved, device="cpu", weights="int2")
    assert ("model", *SCHEMES) == WEIGHTS


def test_a_missing_library_is_named_with_how_to_get_it(
    saved: Path, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, imported = SCHEMES[weights].library, builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == library:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModelError, match=rf"{library}, which is not here .*requirements-quantised.txt"):
        LanguageModel.load(saved, device="cpu", weights=weights)


def test_widths_that_cannot_be_multiplied_so_are_named(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("needs a multiple of 16")

    loaded = AutoModelForCausalLM.from_pretrained

    def broken(*arguments: Any, **options: Any) -> Any:
        model = loaded(*arguments, **options)
        model.forward = fails
        return model

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", broken)
    with pytest.raises(ModelError, match=r"weights as int8 \(RuntimeError: needs a multiple of 16\)"):
        LanguageModel.load(saved, device="cpu", weights="int8")


def test_rounded_weights_go_to_their_device_one_by_one(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a model fits whose whole weights would not."""
    asked, loaded = [], AutoModelForCausalLM.from_pretrained

    def recorded(*arguments: Any, **options: Any) -> Any:
        asked.append(options.get("device_map"))
        return loaded(*arguments, **options)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", recorded)
    for weights in WEIGHTS:
        LanguageModel.load(saved, device="cpu", weights=weights)
    there = {"": torch.device("cpu")}
    assert asked == [None, there, there]


@pytest.mark.parametrize("kept", ["gptq", "awq"])
def test_another_method_is_named_as_the_model_names_it(saved: Path, kept: str, tmp_path: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    told = {"quant_method": kept, "bits": 4, "group_size": 128}
    (tmp_path / "config.json").write_text(json.dumps({**config, "quantization_config": told}))
    byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=f"were saved as {kept} already; leave out the nf4 "):
        LanguageModel.load(tmp_path, device="cpu", weights="nf4")


@pytest.mark.gpu
@pytest.mark.parametrize("weights", EVERYWHERE)
@pytest.mark.parametrize("family", ["llama", "qwen2", "olmo2"])
def test_in_half_precision_on_a_gpu_captured_is_stock(weights: str, family: str, tmp_path: Path) -> None:
    """By the relative difference of two orders of adding up."""
    wide = {"hidden_size": 128, "head_dim": 32, "intermediate_size": 256}
    stock_model(family, **wide).save_pretrained(tmp_path)
    model = rounded(tmp_path, "cuda", weights, torch.bfloat16)
    assert model.weights == weights
    ours = score_labels(assemble(model, encoded(model), range(len(BLOCKS))), QUERY, TRIE, way="one_pass").log_probs
    theirs = oracle_log_probs(model, POOL_IDS, dense_mask(LENGTHS, PATTERN))
    assert np.allclose(ours, theirs, rtol=0.02)
