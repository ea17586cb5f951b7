"""Behind the last layer's keys and values nothing of a forward is computed that was run for them alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from dbsa_core.blocks import Block, BlockPattern
from dbsa_core.data import Pool
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prompt import PromptTemplate
from dbsa_core.stage1.encoding import encode_blocks
from dbsa_core.stage1.working import working_of
from dbsa_core.stage2.dense_prefill import prefill
from dbsa_core.stage2.prefix import Prefix
from tests.stage2.test_step import random_ids
from tests.tiny import tiny_model


def blocks_encoded(model: LanguageModel) -> None:
    blocks = [Block(i, (i,), random_ids(20, i)) for i in range(3)]
    encode_blocks(model, Pool((), (), ""), blocks, BlockPattern(1), PromptTemplate(), chunk_tokens=20)


def densely_filled(model: LanguageModel) -> None:
    prefill(Prefix.empty(model), random_ids(60, 0), 20)


@pytest.mark.parametrize("family", ["llama", "gemma2", "smollm3", "phi3-longrope"])
@pytest.mark.parametrize("fill", [blocks_encoded, densely_filled])
def test_the_last_layer_is_run_for_its_keys_and_values_alone(fill: Any, family: str) -> None:
    model, ran = tiny_model(family), Counter[int]()
    working_of(model)
    layers: Any = model.model.get_decoder().layers
    handles = [
        layer.mlp.register_forward_hook(lambda *_, number=number: ran.update([number]))
        for number, layer in enumerate(layers)
    ]
    fill(model)
    assert ran == dict.fromkeys(range(len(layers) - 1), 3)
    for handle in handles:
        handle.remove()
    with torch.inference_mode():
        found = model.model(torch.arange(20)[None], output_hidden_states=True)
    assert len(found.hidden_states) == len(layers) + 1, "the model is stock behind it"
