"""What holds for steps that are captured as graphs of kernels, on a GPU and in half precision: as near to float32 as
stock transformers is, whatever was asked before, and while other threads ask."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from dbsa_core.blocks import Block, BlockPattern
from dbsa_core.data import Pool
from dbsa_core.methods import Setup, make_method
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prompt import PromptTemplate
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.stage1.encoding import EncodedPool, encode_blocks
from dbsa_core.stage2.prefix import assemble
from dbsa_core.stage2.scoring import score_labels
from dbsa_core.stage2.step import Size
from dbsa_core.stage2.steps import captured, steps_of
from dbsa_core.stage2.trie import LabelTrie
from dbsa_core.task import Task
from tests.stage2.test_step import BLOCKS_HELD, QUERIES, TRIES, WHOLLY, random_ids
from tests.tiny import tiny_model

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore")]
"""PyTorch's compiler warns of its own parts."""

SIZE = Size(prompt=32, nodes=64, blocks=8)
WIDER = {"hidden_size": 64, "head_dim": 16}
ALLOWED = 1.5
"""Our RMS against float32, as a share of stock's own."""
FAR = 8
"""How many times that a single label's log-probability may be off, for each of its tokens."""
PROMPTS = [random_ids(n, n) for n in (6, 17, 32)]


def models(family: str, dtype: torch.dtype) -> tuple[LanguageModel, LanguageModel]:
    """One in half precision, and the same weights in float32."""
    half = tiny_model(family, device="cuda", dtype=dtype, **WIDER)
    exact = tiny_model(family, device="cuda", **WIDER)
    exact.model.load_state_dict(half.model.state_dict())
    return half, exact


def pool_of(model: LanguageModel) -> EncodedPool:
    """Every block sees all before it: what a plain forward sees."""
    everything = BlockPattern(1, 1, len(BLOCKS_HELD))
    return encode_blocks(model, Pool((), (), ""), BLOCKS_HELD, everything, PromptTemplate())


def stock_scores(model: LanguageModel, before: Sequence[int]) -> np.ndarray:
    """Of the labels of one token each in `TRIES[2]`, by one stock forward."""
    trie = TRIES[2]
    ids = torch.tensor([[*before, token, trie.terminator_id] for token in trie.tokens], device=model.device)
    with torch.inference_mode():
        log_probs = model.model(ids, use_cache=False).logits[:, -3:-1].double().log_softmax(-1)
    return log_probs.gather(2, ids[:, -2:, None]).sum((1, 2)).cpu().numpy()


def rms(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    return float(np.sqrt(np.mean((np.array(ours) - np.array(theirs)) ** 2)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    ("family", "compiled"),
    [*((family, False) for family in WHOLLY), ("llama", True), ("smollm3", True)],
    ids=lambda value: {True: "compiled", False: "captured"}.get(value, str(value)),
)
def test_a_captured_step_is_as_near_to_float32_as_stock_is(family: str, compiled: bool, dtype: torch.dtype) -> None:
    """Its output is poisoned before each query, and so is what no query names of the memory."""
    half, exact = models(family, dtype)
    pool, in_full = pool_of(half), pool_of(exact)
    pool.store.keys[:, pool.tokens :], pool.store.values[:, pool.tokens :] = torch.nan, torch.nan
    step = captured(half, pool.store, SIZE, compiled=compiled)
    output = step.run()

    def ask(chosen: Sequence[int], prompt: tuple[int, ...], trie: LabelTrie) -> np.ndarray:
        with torch.inference_mode():
            output.fill_(torch.nan)
        blocks = assemble(half, pool, chosen).blocks
        assert blocks is not None
        return trie.label_log_probs(step.answer(prompt, trie.whole, blocks))

    everything, pool_ids = range(len(BLOCKS_HELD)), [token for block in BLOCKS_HELD for token in block.token_ids]
    expected, stock = ([stock_scores(m, [*pool_ids, *prompt]) for prompt in PROMPTS] for m in (exact, half))
    allowed = ALLOWED * rms(stock, expected)
    assert rms([ask(everything, prompt, TRIES[2]) for prompt in PROMPTS], expected) < allowed
    for chosen, length, which in QUERIES:
        trie, prompt = TRIES[which], random_ids(length, length)
        ours = ask(chosen, prompt, trie)
        wanted = score_labels(assemble(exact, in_full, chosen), prompt, trie, spans=((0, 1),)).log_probs
        tokens = np.array([trie.depths[end] + 2 for end in trie.ends])
        assert (np.abs(ours - wanted) < FAR * allowed * tokens).all()
        assert wanted.max() - wanted[ours.argmax()] < FAR * allowed * tokens.max(), "another label only in a near tie"


def test_queries_of_other_threads_are_answered_throughout() -> None:
    """While steps of several sizes are captured and compiled, and after."""
    model = tiny_model("llama", device="cuda", dtype=torch.bfloat16, **WIDER)
    pool, stop = pool_of(model), threading.Event()
    queries = [(assemble(model, pool, chosen), random_ids(n, n), TRIES[which]) for chosen, n, which in QUERIES]
    expected = [score_labels(*query, spans=((0, 1),)).log_probs for query in queries]
    failures: list[str] = []
    answered = [0]

    def ask() -> None:
        while not stop.is_set():
            for query, wanted in zip(queries, expected, strict=True):
                try:
                    error = float(np.abs(score_labels(*query).log_probs - wanted).max())
                except Exception as failure:  # whatever it is, it must not happen
                    failures.append(f"{type(failure).__name__}: {failure}")
                    return
                answered[0] += 1
                if not error < 0.2 * max(1.0, float(np.abs(wanted).max()) / 10):
                    failures.append(f"{error} off {wanted}")

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for query in queries:
        score_labels(*query)
    steps_of(model).wait()
    before = answered[0]
    assert before > 0
    while answered[0] < before + 50 and all(thread.is_alive() for thread in threads):
        stop.wait(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert any(warm_up.compiled for warm_up in steps_of(model).warm_ups)
    assert not score_labels(*queries[0]).warming_up


@pytest.mark.parametrize("name", ["dbsa", "dbsa_fresh", "fixed_icl", "nearest", "zero_shot"])
def test_methods_answer_alike_before_and_after(name: str) -> None:
    pairs = [(f"{'apples' if i % 2 else 'pears'} number {i}", "xy"[i % 2]) for i in range(30)]
    model = tiny_model("llama", device="cuda", dtype=torch.bfloat16, **WIDER)
    setup = Setup.of(Task(model, Pool.of(pairs)), EncodeSettings(pool_tokens=400, block_size=3)).encode()
    settings = QuerySettings(ratio=0.5, fresh_demonstrations=2 if name == "dbsa_fresh" else 0)
    method = make_method(name, settings).fit(setup)
    slow = method.predict("apples number 3")
    steps_of(model).wait()
    quick = method.predict("apples number 3")
    assert (slow.cold, quick.cold) == (True, False)
    assert np.abs(slow.scores.log_probs - quick.scores.log_probs).max() < 0.1 * np.abs(slow.scores.log_probs).max()
    if method.reads_blocks:
        looked = method.predict("apples number 3", attention=True)
        assert looked.attention is not None, "the plain way, which tells where the query looked"


@pytest.mark.parametrize("what", [{"way": "best_first"}, {"decode": "greedy"}], ids=str)
def test_ways_of_several_passes_go_by_a_captured_step(what: dict[str, Any]) -> None:
    model = tiny_model("llama", device="cuda", dtype=torch.bfloat16, **WIDER)
    prefix, prompt, trie = assemble(model, pool_of(model), (0, 3, 1)), random_ids(9, 1), TRIES[0]
    slow = score_labels(prefix, prompt, trie, **what)
    steps_of(model).wait()
    quick = score_labels(prefix, prompt, trie, **what)
    assert (slow.warming_up, quick.warming_up) == (True, False)
    read = np.isfinite(slow.log_probs) & np.isfinite(quick.log_probs)
    assert read.any()
    assert np.abs(slow.log_probs - quick.log_probs)[read].max() < 0.1 * np.abs(slow.log_probs[read]).max()


def test_a_block_and_a_label_of_many_tokens_fit_too() -> None:
    model = tiny_model("llama", device="cuda", dtype=torch.bfloat16, max_position_embeddings=4096, **WIDER)
    blocks = tuple(Block(i, (i,), random_ids(n, i)) for i, n in enumerate((700, 1, 333)))
    pool = encode_blocks(model, Pool((), (), ""), blocks, BlockPattern(1, 1, 1), PromptTemplate())
    trie = LabelTrie.of_ids("ab", (tuple(range(40)), (7,)), 10)
    prefix, prompt = assemble(model, pool, (0, 2, 1)), random_ids(50, 9)
    plain = score_labels(prefix, prompt, trie, spans=((0, 1),)).log_probs
    score_labels(prefix, prompt, trie)
    steps_of(model).wait()
    ours = score_labels(prefix, prompt, trie)
    assert not ours.warming_up
    assert np.abs(ours.log_probs - plain).max() < 2e-2 * np.abs(plain).max()
