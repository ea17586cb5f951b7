"""What holds for the measured speed of encoding: probed as real encoding is done, and replaced by what was done."""

from __future__ import annotations

from typing import Any

import pytest

from dbsa_core import speed as speeds
from dbsa_core.blocks import BlockPattern, mask_area
from dbsa_core.data import Pool
from dbsa_core.devices import CPU
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.planning import plan
from dbsa_core.settings import EncodeSettings
from dbsa_core.setup import encode
from dbsa_core.speed import estimated_seconds, measured_speed, note_encoding
from dbsa_core.stage1 import encoding
from dbsa_core.stage1.encoding import encode_blocks
from dbsa_core.task import Task
from tests.tiny import tiny_model

POSITIONS = 4096


@pytest.fixture(autouse=True)
def _nothing_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speeds, "_readings", {})


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return tiny_model("llama", max_position_embeddings=POSITIONS)


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(tokens, tokens in one forward) of every encoding of the probe."""
    seen: list[tuple[int, int]] = []

    def counted(*args: Any, chunk_tokens: int, **options: Any) -> Any:
        seen.append((sum(map(len, args[2])), chunk_tokens))
        return encode_blocks(*args, chunk_tokens=chunk_tokens, **options)

    monkeypatch.setattr(speeds, "encode_blocks", counted)
    return seen


def test_the_probe_ends_with_as_many_tokens_as_encoding_puts_in_one_forward(
    model: LanguageModel, probes: list[tuple[int, int]]
) -> None:
    speed = measured_speed(model)
    assert speed > 0
    assert probes == [(128, 128), (128, 128), (CPU.encode_tokens, CPU.encode_tokens)]
    assert measured_speed(model) == speed
    assert len(probes) == 3, "once a model"
    measured_speed(tiny_model("llama", seed=2))
    assert len(probes) == 6, "another model"


def test_the_probe_is_short_where_a_model_is_slow(
    model: LanguageModel, probes: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speeds, "PROBE_SECONDS", 1e-9)
    measured_speed(model)
    assert [tokens for tokens, _ in probes] == [128, 128]


def test_the_probe_is_no_longer_than_what_is_to_be_encoded(model: LanguageModel, probes: list[tuple[int, int]]) -> None:
    measured_speed(model, 300)
    assert max(tokens for tokens, _ in probes) == 256
    done = len(probes)
    measured_speed(model, 500)
    assert len(probes) == done, "about as much as was tried"
    measured_speed(model, 10_000)
    assert max(tokens for tokens, _ in probes[done:]) == CPU.encode_tokens


def test_a_real_encoding_replaces_the_probe(model: LanguageModel) -> None:
    measured_speed(model)
    note_encoding(model, 5_000, 10.0)
    assert measured_speed(model) == 500
    note_encoding(model, 20, 10.0)
    assert measured_speed(model) == 500, "too little to tell"
    note_encoding(model, CPU.encode_tokens, 1.0)
    assert measured_speed(model) == CPU.encode_tokens, "the machine as it is now"
    note_encoding(model, 0, 0.0)
    assert measured_speed(model) == CPU.encode_tokens
    same = tiny_model("llama", max_position_embeddings=POSITIONS)
    assert measured_speed(same) == CPU.encode_tokens, "the same weights loaded again"


def test_less_attention_takes_less_by_its_share_of_the_work(model: LanguageModel) -> None:
    lengths, sparse = [100] * 30, BlockPattern(1, 1, 2)
    area = {window: mask_area(lengths, BlockPattern(1, 1, window)) for window in (0, 2, 1000)}
    note_encoding(model, 3000, 6.0, area[2])
    assert estimated_seconds(model, lengths, sparse) == pytest.approx(6.0)
    assert estimated_seconds(model, lengths * 2, BlockPattern(1, 1, 0)) < 12.0
    config = model.model.config
    weights = sum(parameter.numel() for layer in model.model.model.layers for parameter in layer.parameters())
    each = 2 * config.num_hidden_layers * config.num_attention_heads * model.shape.head_dim
    for window, seen in area.items():
        expected = 6.0 * (3000 * weights + each * seen) / (3000 * weights + each * area[2])
        assert estimated_seconds(model, lengths, BlockPattern(1, 1, window)) == pytest.approx(expected)
    assert estimated_seconds(model, lengths, BlockPattern(1, 1, 1000)) > 6.5
    assert estimated_seconds(model, [], sparse) == 0


def test_without_its_area_a_speed_is_taken_for_any_pattern(model: LanguageModel) -> None:
    note_encoding(model, 3000, 6.0)
    for window in (0, 1000):
        assert estimated_seconds(model, [100] * 30, BlockPattern(1, 1, window)) == pytest.approx(6.0)


def test_a_pool_has_the_area_that_was_computed(model: LanguageModel) -> None:
    task = Task(model, Pool.of([(f"thing number {i:03d}", f"kind {i % 5}") for i in range(60)]))
    made = plan(task, EncodeSettings(pool_tokens=2000, block_size=4))
    done = encode(task, made)
    assert done.area == mask_area([len(block) for block in made.blocks], made.pattern)
    reading = speeds._readings[speeds._key(model)]
    assert reading.seen == pytest.approx(done.area / done.tokens)


def test_of_experts_those_count_that_a_token_goes_through() -> None:
    mixtral = tiny_model("mixtral")
    config = mixtral.model.config
    names = [name for name, _ in mixtral.model.named_parameters() if ".experts." in name]
    assert names
    assert {speeds._share_used(mixtral, name) for name in names} == {
        config.num_experts_per_tok / config.num_local_experts
    }
    assert speeds._share_used(mixtral, "model.layers.0.self_attn.q_proj.weight") == 1


def test_the_next_plan_knows_how_fast_the_last_one_was(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(model, Pool.of([(f"thing number {i:03d}", f"kind {i % 5}") for i in range(60)]))
    made = plan(task, EncodeSettings(pool_tokens=2000))
    clock = iter(range(0, 10_000, 5))
    monkeypatch.setattr(encoding, "now", lambda device: float(next(clock)))
    encoded = encode(task, made)
    assert plan(task, EncodeSettings(pool_tokens=2000)).seconds == pytest.approx(encoded.seconds)
