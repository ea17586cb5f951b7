"""Stories of loading: what is found and kept as it is, and what is refused with a sentence that says why."""

from __future__ import annotations

import builtins
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from dbsa_core.data import Pool
from dbsa_core.errors import ModelError
from dbsa_core.methods import Setup, make_method
from dbsa_core.model import rope as rope_module
from dbsa_core.model.language_model import TESTED_FAMILIES, LanguageModel
from dbsa_core.settings import EncodeSettings
from dbsa_core.task import Task
from tests.tiny import stock_model, tiny_model


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A real one, of bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `save_pretrained` makes it; copy it before changing it."""
    folder = tmp_path_factory.mktemp("models") / "my-llama"
    stock_model("llama").save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / saved.name))


def load(source: str | Path, **options: Any) -> LanguageModel:
    return LanguageModel.load(source, device="cpu", **options)


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_saved_folder_is_loaded_as_it_was_saved(saved: Path) -> None:
    model, stock = load(saved), stock_model("llama")
    assert (model.name, model.family, model.max_positions) == ("my-llama", "llama", 512)
    assert (model.shape.layers, model.shape.kv_heads, model.shape.head_dim) == (4, 2, 8)
    assert model.shape.dtype == torch.float32
    assert model.shape.bytes_per_token == 2 * 4 * 2 * 8 * 4
    ids = torch.arange(9)[None]
    with torch.no_grad():
        assert torch.allclose(model.model(ids).logits, stock(ids).logits, atol=1e-5)
    assert load(saved, dtype="bfloat16").shape.bytes_per_token == 2 * 4 * 2 * 8 * 2


def test_a_loaded_folder_classifies(saved: Path) -> None:
    pool = Pool.of([(f"row {i}", "xy"[i % 2]) for i in range(12)])
    setup = Setup.of(Task(load(saved), pool), EncodeSettings(pool_tokens=200, block_size=2))
    found = make_method("dbsa_fresh").fit(setup).predict("row 3")
    assert found.label in ("x", "y")
    assert found.equal_rows == (3,)


def test_a_signature_is_the_same_over_loads_and_another_for_other_weights(saved: Path, folder: Path) -> None:
    signature = load(saved).signature
    assert re.fullmatch("[0-9a-f]{16}", signature)
    assert load(saved).signature == signature
    stock_model("llama", seed=2).save_pretrained(folder)
    assert load(folder).signature != signature


def test_a_signature_does_not_depend_on_where_the_model_lies(saved: Path, folder: Path) -> None:
    assert load(folder).signature == load(saved).signature


def test_signatures_differ_by_weights_by_configuration_and_by_type() -> None:
    changed = stock_model("llama")
    with torch.no_grad():
        changed.model.layers[3].mlp.down_proj.weight *= 1.01
    models = [
        tiny_model("llama"),
        tiny_model("llama", seed=2),
        LanguageModel.of(changed, tiny_model("llama").tokenizer),
        tiny_model("llama", rms_norm_eps=1e-3),
        tiny_model("llama-yarn"),
        tiny_model("llama", dtype=torch.bfloat16),
        tiny_model("mistral"),
    ]
    assert len({model.signature for model in models}) == len(models)
    assert tiny_model("llama").signature == models[0].signature


@pytest.mark.parametrize("family", ["hunyuan_v1_dense", "hunyuan_v1_moe"])
def test_a_family_that_normalises_keys_after_rope_is_refused(family: str) -> None:
    why = f"family '{family}' cannot be used: its keys before RoPE are not what its attention receives"
    with pytest.raises(
        ModelError, match=rf"{why} \(captured and stock logits differ by .*\)\. Use a model of a tested"
    ):
        tiny_model(family)


def test_a_refused_model_is_left_as_it_was() -> None:
    stock: Any = stock_model("hunyuan_v1_dense")
    rotary, ids = stock.model.rotary_emb, torch.arange(5)[None]
    with torch.no_grad():
        before = stock(ids).logits
        with pytest.raises(ModelError):
            LanguageModel.of(stock, None)
        assert stock.model.rotary_emb is rotary
        assert torch.equal(stock(ids).logits, before)


@pytest.mark.parametrize("family", ["gpt2", "bloom"])
def test_a_family_without_rope_is_refused(family: str) -> None:
    with pytest.raises(ModelError, match=f"family '{family}' has no rotary position embedding .*tested family: gemma,"):
        tiny_model(family)


@pytest.mark.parametrize("family", ["phi", "persimmon"])
def test_partial_rotary_is_supported_where_the_attention_itself_parts_the_head(family: str) -> None:
    model = tiny_model(family, partial_rotary_factor=0.5)
    assert model.rope.whole_heads is False
    states = torch.randn(1, 2, 5, 8)
    rotated = model.rope.rotate(states, model.rope.tables(torch.arange(5)))
    assert torch.equal(rotated[..., 4:], states[..., 4:])
    assert not torch.equal(rotated[:, :, 1:, :4], states[:, :, 1:, :4])
    assert tiny_model("glm4").rope.whole_heads


@pytest.mark.parametrize("family", ["stablelm", "nemotron"])
def test_a_family_with_an_attention_of_its_own_is_refused_by_name(family: str) -> None:
    with pytest.raises(ModelError, match=f"family '{family}' cannot be used: its attention does not go through"):
        tiny_model(family)


def test_whatever_fails_while_a_model_is_captured_is_told_by_the_familys_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("The size of tensor a (8) must match the size of tensor b (4)")

    monkeypatch.setattr("dbsa_core.model.rope.Rope.rotate", fails)
    with pytest.raises(ModelError, match=r"family 'llama' cannot be used: .*The size of tensor a"):
        tiny_model("llama")


@pytest.mark.parametrize("family", ["llama", "gemma3", "phi3-longrope"])
def test_listed_families_are_probed_too(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list says what the tests hold; a model file that came with another version may still be another one."""
    assert tiny_model(family).family in TESTED_FAMILIES
    rotate = rope_module.Rope.rotate
    monkeypatch.setattr(rope_module.Rope, "rotate", lambda self, states, tables: rotate(self, states, tables) * 1.01)
    with pytest.raises(ModelError, match="keys before RoPE are not what its attention receives"):
        tiny_model(family)


def test_an_untested_family_that_the_capture_gets_right_is_accepted() -> None:
    assert "olmo" not in TESTED_FAMILIES
    assert tiny_model("olmo").family == "olmo"


def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path) -> None:
    for missing in (tmp_path / "nowhere", "./nowhere", "a/b/c"):
        with pytest.raises(ModelError, match=r"There is no folder at .*nowhere|There is no folder at a/b/c"):
            load(missing)
    with pytest.raises(ModelError, match=r"no GGUF file at .*nowhere\.gguf; give the path of a file that exists"):
        load(tmp_path / "nowhere.gguf")


def test_a_folder_without_a_model_or_with_several_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ModelError, match=r"holds no config\.json and no GGUF file; give a folder made by save_pretrai"):
        load(tmp_path)
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(ModelError, match="holds 2 GGUF files, name one of them"):
        load(tmp_path)


def test_a_hub_id_that_is_not_at_hand_offline_is_refused() -> None:
    with pytest.raises(ModelError, match=r"org/no-such-model could not be loaded .*a hub id needs a network or its"):
        load("org/no-such-model")


def whole_gguf(path: Path) -> bytes:
    from gguf import GGUFWriter

    writer = GGUFWriter(str(path), "llama")
    writer.add_block_count(2)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"token{i}" for i in range(300)])
    writer.add_tensor("token_embd.weight", torch.ones(300, 32).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


@pytest.mark.parametrize("damage", ["cut in the words", "cut in the weights", "no GGUF", "empty"])
def test_a_broken_gguf_is_refused_and_leaves_nothing_behind(tmp_path: Path, damage: str) -> None:
    path, cache = tmp_path / "broken.gguf", tmp_path / "cache"
    whole = whole_gguf(path)
    ways = {
        "cut in the words": whole[:2000],
        "cut in the weights": whole[:-9000],
        "no GGUF": b"PK\3\4" * 99,
        "empty": b"",
    }
    path.write_bytes(ways[damage])
    for _ in range(2):
        with pytest.raises(ModelError, match=r"GGUF file broken\.gguf could not be read .*is it whole"):
            load(path, cache_folder=cache)
    assert [found for found in cache.rglob("*") if found.name != "models"] == []


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_folder_with_a_broken_file_is_refused(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="my-llama could not be loaded"):
        load(folder)


def test_weights_in_a_pickle_are_never_read(folder: Path) -> None:
    torch.save(stock_model("llama").state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"could not be loaded .* with safetensors weights"):
        load(folder)


@pytest.mark.parametrize("tokenizer_too", [False, True])
def test_a_models_own_code_is_not_run_and_nobody_is_asked_whether_it_should(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tokenizer_too: bool
) -> None:
    trace, asked = folder / "it-ran", []
    own = {"AutoConfig": "mine.MineConfig", "AutoModelForCausalLM": "mine.Mine"}
    change_config(folder, model_type="mine", architectures=["Mine"], auto_map=own)
    code = f"from transformers import LlamaConfig as MineConfig, LlamaForCausalLM as Mine\nopen({str(trace)!r}, 'w')"
    (folder / "mine.py").write_text(code + ".close()\n")
    if tokenizer_too:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps({"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": ["mine.Mine", None]}}))
    monkeypatch.setattr(builtins, "input", lambda question="": asked.append(question) or "y")
    with pytest.raises(ModelError, match=r"brings code of its own, which is never run here"):
        load(folder)
    assert not trace.exists(), "the model's code was run"
    assert asked == []


def test_a_family_that_transformers_does_not_know_is_named_as_such(folder: Path) -> None:
    change_config(folder, model_type="martian", architectures=["MartianForCausalLM"])
    with pytest.raises(ModelError, match="of a family that the installed transformers does not know"):
        load(folder)
