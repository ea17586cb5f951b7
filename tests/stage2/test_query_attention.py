"""Where a query looked, by block and by row, is what stock eager attention gives under the dense mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dbsa_core import EncodeSettings, QuerySettings, Setup, Task, make_method
from dbsa_core.data import Pool
from dbsa_core.masks import dense_mask
from dbsa_core.methods import dbsa
from dbsa_core.methods.dbsa import Dbsa
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prediction import NOWHERE, START, QueryAttention
from tests.oracle import masked_attentions
from tests.tiny import tiny_model

PAIRS = [(f"{thing} {place}", ("fruit", "tool")[place % 2]) for place, thing in enumerate(["pear", "saw", "plum"] * 6)]
GPT_OSS: Any = {
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "rope_parameters": None,
    "sliding_window": 7,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
}
FAMILIES = ["llama", "mistral", "gemma2", "gemma3", "qwen2", "qwen3", "gpt_oss"]
QUERY = "plum 99"


def setup_of(family: str, *, bos: bool = True, **settings: Any) -> Setup:
    model = tiny_model(family, bos=bos, **(GPT_OSS if family == "gpt_oss" else {}))
    given = {"pool_tokens": 260, "block_size": 3, "window": 1} | settings
    return Setup.of(Task(model, Pool.of(PAIRS)), EncodeSettings(**given)).encode()


def oracle(setup: Setup, prompt: tuple[int, ...]) -> np.ndarray:
    """Of the last token: float32 [layers, heads, tokens], all blocks in the order of the pool before the prompt."""
    blocks = setup.encoded_pool().blocks
    lengths, ids = (
        [len(block) for block in blocks],
        [*(token for block in blocks for token in block.token_ids), *prompt],
    )
    allowed = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
    pool = sum(lengths)
    allowed[:pool, :pool] = dense_mask(lengths, setup.plan.pattern)
    model: LanguageModel = setup.task.model
    found: np.ndarray = masked_attentions(model.model, model.ids(ids), allowed)[:, :, -1].float().numpy()
    return found


def asked(setup: Setup, **settings: Any) -> tuple[QueryAttention, np.ndarray]:
    """By our method, every block read, and by the oracle."""
    method = make_method("dbsa_fresh", QuerySettings(ratio=1.0, fresh_demonstrations=2, **settings)).fit(setup)
    assert isinstance(method, Dbsa)
    found = method.predict(QUERY, attention=True).attention
    assert found is not None
    return found, oracle(setup, method.question(QUERY).prompt)


def by_row(setup: Setup, weights: np.ndarray, found: QueryAttention) -> np.ndarray:
    """The oracle's mass of each row, by a loop over tokens."""
    at, sums = 0, []
    before = len(setup.task.prompter.prefix_ids)
    for rows in found.rows:
        for row in rows:
            length = before if row == START else len(setup.row_ids(row))
            sums.append(weights[..., at : at + length].sum(-1))
            at += length
    return np.stack(sums, axis=-1)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_dense_oracles_by_block_and_by_row(family: str) -> None:
    setup = setup_of(family)
    found, weights = asked(setup)
    blocks = setup.encoded_pool().blocks
    names = [*(f"block {block.id}" for block in blocks), "similar example 1", "similar example 2", "query"]
    assert len(blocks) > 2
    assert list(found.spans) == ([*names, NOWHERE] if family == "gpt_oss" else names)
    assert found.mass.sum(-1) == pytest.approx(np.ones(found.mass.shape[:2]), abs=1e-5)
    assert [rows for rows in found.rows if START in rows] == [(START, *blocks[0].rows)]
    assert found.rows[1] == blocks[1].rows
    assert found.by_row is not None
    assert found.by_row == pytest.approx(by_row(setup, weights, found), abs=1e-5)
    ends = np.cumsum([len(block) for block in blocks])
    for place, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        assert found.mass[..., place] == pytest.approx(weights[..., start:end].sum(-1), abs=1e-5)
    tokens = weights.mean((0, 1))
    assert np.concatenate(found.by_token) == pytest.approx(tokens, abs=1e-6)
    assert len(tokens) == sum(map(len, found.by_token))
    for place, own in enumerate(found.by_token):
        assert own.sum() == pytest.approx(found.mass[..., place].mean(), abs=1e-5)
    if family == "gpt_oss":
        assert found.mass[..., -1] == pytest.approx(1 - weights.sum(-1), abs=1e-5)
        assert found.mass[..., -1].min() > 1e-4
    # A picked head of a layer with a window, which does not reach back to the first block.
    if family in ("mistral", "gemma2", "gemma3", "qwen2", "gpt_oss"):
        assert found.mass[0, 1, 0] == 0 == weights[0, 1, : ends[0]].sum()
    assert found.mass[1, 2, 0] > 0 or family == "mistral"


def test_rows_of_a_part_sum_to_it() -> None:
    found, _ = asked(setup_of("llama"))
    assert found.by_row is not None
    at = 0
    for place, rows in enumerate(found.rows):
        own = found.by_row[..., at : at + len(rows)]
        at += len(rows)
        assert not rows or own.sum(-1) == pytest.approx(found.mass[..., place], abs=1e-6)
    assert at == found.by_row.shape[-1]


def test_without_a_beginning_of_text_every_token_is_of_a_row() -> None:
    setup = setup_of("llama", bos=False)
    found, weights = asked(setup)
    assert not any(START in rows for rows in found.rows)
    assert found.by_row == pytest.approx(by_row(setup, weights, found), abs=1e-5)


def test_a_few_blocks_in_another_order_have_their_own_rows() -> None:
    setup = setup_of("llama")
    settings = QuerySettings(ratio=0.5, fresh_demonstrations=2, order="most_to_least")
    prediction = make_method("dbsa_fresh", settings).fit(setup).predict(QUERY, attention=True)
    found, chosen = prediction.attention, prediction.selection
    assert found is not None
    assert chosen is not None
    assert found.rows[1 : len(chosen.block_ids)] == tuple(setup.blocks[block].rows for block in chosen.block_ids[1:])
    assert found.rows[len(chosen.block_ids) :] == (*((row,) for row in prediction.demonstration_rows), ())


def test_of_too_many_rows_the_blocks_alone_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = setup_of("llama")
    whole, _ = asked(setup)
    monkeypatch.setattr(dbsa, "ROWS_APART", 5)
    found, _ = asked(setup)
    assert found.spans == whole.spans
    assert found.mass == pytest.approx(whole.mass, abs=1e-6)
    assert [len(rows) for rows in found.rows] == [0] * len(setup.blocks) + [1, 1, 0]
    assert found.by_row is not None
    assert found.by_row.shape[-1] == 2
