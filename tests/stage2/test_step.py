"""What holds for a query as one forward of a fixed size: it is the query, whatever was asked of the step before."""

from __future__ import annotations

import gc
import re
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from dbsa_core.blocks import Block, BlockPattern
from dbsa_core.data import Pool
from dbsa_core.devices import CPU
from dbsa_core.methods import Setup, make_method
from dbsa_core.model.hook import attention_modules
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prompt import PromptTemplate
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.stage1 import memory
from dbsa_core.stage1.encoding import EncodedPool, append_blocks, encode_blocks
from dbsa_core.stage2 import in_place as in_place_module
from dbsa_core.stage2 import steps, walks
from dbsa_core.stage2.dense_prefill import prefill, prefill_block
from dbsa_core.stage2.prefix import Prefix, assemble
from dbsa_core.stage2.query_batch import Asked, QueryBatch
from dbsa_core.stage2.scoring import score_labels
from dbsa_core.stage2.step import MEMORY, QueryStep, Size
from dbsa_core.stage2.steps import BLOCKS, NODES, PROMPTS, Steps, size_for, steps_of
from dbsa_core.stage2.trie import LabelTrie
from dbsa_core.task import Task
from tests.tiny import FAMILIES, tiny_model

LENGTHS = (11, 9, 10, 8, 12, 5)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
WHOLLY = [name for name in FAMILIES if name not in ("mistral", "phi3", "mixtral", "gemma2", "qwen2", "gemma3")]
"""Families whose layers all read in place."""
LABEL_IDS = ((1, 2), (1, 2, 3), (5,), (6, 7, 8, 9), (6, 7, 4), tuple(range(20, 60)))
TRIES = (
    LabelTrie.of_ids("abcdef", LABEL_IDS, 10),
    LabelTrie.of_ids("xy", ((3,), (4, 4)), 11),
    LabelTrie.of_ids([str(i) for i in range(64)], [(i,) for i in range(64)], 10),
)
SIZE = Size(prompt=32, nodes=64, blocks=8)


@pytest.fixture(autouse=True)
def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "policy_for", lambda device: replace(CPU, reads_in_place=True))


def random_ids(count: int, seed: int) -> tuple[int, ...]:
    return tuple(torch.randint(256, (count,), generator=torch.Generator().manual_seed(seed)).tolist())


BLOCKS_HELD = tuple(Block(i, (i,), random_ids(n, i)) for i, n in enumerate(LENGTHS))
QUERIES = (((0, 1, 2, 3, 4, 5), 6, 0), ((0, 4, 1), 32, 2), ((5,), 1, 1), ((0, 5, 2, 3), 31, 0), ((3, 3), 9, 1))
"""Blocks, tokens of the prompt, and which trie; in this order, so that each finds what the one before left."""


def pool_of(model: LanguageModel, blocks: tuple[Block, ...] = BLOCKS_HELD) -> EncodedPool:
    return encode_blocks(model, Pool((), (), ""), blocks, BlockPattern(1, 1, 1), PromptTemplate())


def asked(step: QueryStep, prefix: Prefix, prompt: tuple[int, ...], trie: LabelTrie) -> np.ndarray:
    assert prefix.blocks is not None
    return trie.label_log_probs(step.answer(prompt, trie.whole, prefix.blocks))


def plain(prefix: Prefix, prompt: tuple[int, ...], trie: LabelTrie) -> np.ndarray:
    """By the tail: a step does not tell where the query looked."""
    return score_labels(prefix, prompt, trie, way="one_pass", spans=((0, 1),)).log_probs


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", WHOLLY)
def test_a_step_answers_every_query_as_the_plain_way_does(family: str, device: str) -> None:
    """Blocks in any order and as often as you like, prompts from one token to all the room, other labels each time."""
    model = tiny_model(family, device=device)
    assert all(model.movable)
    pool = pool_of(model)
    step = QueryStep(model, pool.store, SIZE)
    for chosen, length, which in QUERIES:
        prefix, prompt, trie = assemble(model, pool, chosen), random_ids(length, length), TRIES[which]
        ours, theirs = asked(step, prefix, prompt, trie), plain(prefix, prompt, trie)
        assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", WHOLLY)
@pytest.mark.parametrize("tokens", [0, 1, 40])
def test_a_dense_prefix_is_a_block_too(tokens: int, family: str, device: str) -> None:
    """Fixed ICL's pool, and the nothing that zero-shot reads."""
    model, ids = tiny_model(family, device=device), random_ids(tokens, 7)
    dense, block = prefill(Prefix.empty(model), ids), prefill_block(model, ids)
    assert block.blocks is not None
    assert block.blocks.arena.capacity == tokens
    assert (block.length, block.blocks_end, len(block.keys[0][0])) == (tokens, tokens, 0)
    step = QueryStep(model, block.blocks.arena, SIZE)
    for length, trie in ((6, TRIES[0]), (32, TRIES[2]), (1, TRIES[1])):
        wanted = plain(dense, random_ids(length, length), trie)
        for ours in (
            asked(step, block, random_ids(length, length), trie),
            plain(block, random_ids(length, length), trie),
        ):
            assert np.abs(ours - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_a_dense_prefix_is_gathered_where_a_layer_needs_that() -> None:
    assert prefill_block(tiny_model("gemma3"), random_ids(9, 0)).blocks is None


def test_a_step_leaves_no_trace_in_the_model_even_where_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama")
    pool = pool_of(model)
    step, prefix = QueryStep(model, pool.store, SIZE), assemble(model, pool, (0, 2))
    before = {name: vars(module).copy() for name, module in model.model.named_modules()}
    asked(step, prefix, random_ids(5, 0), TRIES[0])

    def fails(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(in_place_module, "query_attention_op", fails)
    with pytest.raises(ZeroDivisionError):
        asked(step, prefix, random_ids(5, 0), TRIES[0])
    assert {name: vars(module) for name, module in model.model.named_modules()} == before
    assert not any(hasattr(module, MEMORY[0]) for module in attention_modules(model.model).values())


def test_a_batch_is_answered_while_a_step_is_captured() -> None:
    """Of another pool, by another thread: neither sees what is the other's."""
    model = tiny_model("llama")
    pool = pool_of(model)
    other = pool_of(model, tuple(replace(block, token_ids=random_ids(len(block), 90)) for block in BLOCKS_HELD))
    prefixes = [assemble(model, pool, chosen) for chosen in ((0, 2), (0, 4, 1))]
    asked = [Asked(random_ids(5, i), TRIES[0].whole, one.blocks) for i, one in enumerate(prefixes) if one.blocks]
    alone = [QueryBatch(model, [one]).answer()[0] for one in asked]
    with QueryStep(model, other.store, SIZE)._attached(other.store):
        for ours, theirs in zip(QueryBatch(model, asked).answer(), alone, strict=True):
            assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()
        assert all(hasattr(module, MEMORY[0]) for module in attention_modules(model.model).values())


def test_a_step_keeps_neither_the_pool_nor_the_model() -> None:
    model = tiny_model("llama")
    pool = pool_of(model)
    step, gone = QueryStep(model, pool.store, SIZE), (weakref.ref(pool.store), weakref.ref(model))
    asked(step, assemble(model, pool, (0, 2)), random_ids(5, 0), TRIES[0])
    del pool, model
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


# Which step answers, and how steps come to be. A CPU captures nothing: its step is the forward itself.


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[LanguageModel]:
    monkeypatch.setattr(steps, "policy_for", lambda device: replace(CPU, captures=True))
    monkeypatch.setattr(steps, "has_kernel", lambda query: True)
    made = tiny_model("llama")
    steps_of(made).compiles = False
    yield made
    steps_of(made).wait()


def sizes(model: LanguageModel) -> list[tuple[int, int, int]]:
    return [(w.size.prompt, w.size.nodes, w.size.blocks) for w in steps_of(model).warm_ups]


def test_rooms_hold_what_they_are_for() -> None:
    assert size_for(30, 18, 7) == Size(32, 32, 8)
    assert size_for(32, 32, 8) == Size(32, 32, 8)
    assert size_for(33, 33, 9) == Size(64, 64, 12)
    assert size_for(PROMPTS[-1], NODES[-1], BLOCKS[-1]) is not None
    for too_many in ((PROMPTS[-1] + 1, 1, 1), (1, NODES[-1] + 1, 1), (1, 1, BLOCKS[-1] + 1)):
        assert size_for(*too_many) is None
    assert all(prompt % 8 == 0 for prompt in (*PROMPTS, *NODES)), "kernels take rows that begin at multiples of eight"


def test_the_first_query_of_a_size_is_answered_the_plain_way_and_the_next_by_its_step(model: LanguageModel) -> None:
    pool, prompt = pool_of(model), random_ids(9, 1)
    prefix = assemble(model, pool, (0, 3, 1))
    first = score_labels(prefix, prompt, TRIES[0])
    assert first.warming_up
    steps_of(model).wait()
    assert sizes(model) == [(32, 64, 4)]
    second = score_labels(prefix, prompt, TRIES[0])
    assert not second.warming_up
    assert np.abs(first.log_probs - second.log_probs).max() <= 1e-5 * np.abs(first.log_probs).max()
    assert (first.label, first.way, first.forwards, first.tokens) == (
        (second.label, second.way, second.forwards, second.tokens)
    )


def test_a_warm_up_is_told_while_it_goes_on_and_after(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    made, capture, go = steps_of(model), steps.captured, threading.Event()

    def waits(*given: Any, **how: Any) -> QueryStep:
        assert go.wait(20)
        return capture(*given, **how)

    monkeypatch.setattr(steps, "captured", waits)
    assert made.warm_up == ""
    score_labels(assemble(model, pool_of(model), (0, 3, 1)), random_ids(9, 1), TRIES[0])
    assert made.warm_up == "0.0 s for 0 sizes of queries, going on"
    go.set()
    made.wait()
    assert re.fullmatch(r"\d+\.\d s for 1 size of queries", made.warm_up)


def test_other_queries_that_fit_need_no_new_step(model: LanguageModel) -> None:
    pool = pool_of(model)
    score_labels(assemble(model, pool, (0, 3, 1, 2)), random_ids(32, 0), TRIES[0])
    steps_of(model).wait()
    for chosen, prompt in (((0,), 1), ((4, 2), 30), ((5, 4, 3, 2), 32)):
        assert not score_labels(assemble(model, pool, chosen), random_ids(prompt, 0), TRIES[0]).warming_up
    assert len(sizes(model)) == 1


def test_a_query_with_much_less_is_answered_by_a_large_step_until_its_own_is_there(model: LanguageModel) -> None:
    pool = pool_of(model)
    prefix = assemble(model, pool, (0, 3))
    score_labels(prefix, random_ids(300, 0), TRIES[2])
    steps_of(model).wait()
    found = steps_of(model).find(prefix, random_ids(10, 0), len(TRIES[1]))
    assert found.step is not None
    assert found.step.size.prompt == 320
    steps_of(model).wait()
    found = steps_of(model).find(prefix, random_ids(10, 0), len(TRIES[1]))
    assert found.step is not None
    assert (found.step.size.prompt, found.warming_up) == (32, False)


@pytest.mark.parametrize(
    "what",
    [
        {"spans": ((0, 3),)},
        {"prefilled": 3},
        {"empty": True},
    ],
    ids=str,
)
def test_what_no_step_does_goes_the_plain_way(model: LanguageModel, what: dict[str, Any]) -> None:
    prefix = Prefix.empty(model) if "empty" in what else assemble(model, pool_of(model), (0, 1))
    if "prefilled" in what:
        prefix = prefill(prefix, random_ids(what["prefilled"], 3))
    options = {name: value for name, value in what.items() if name not in ("empty", "prefilled")}
    assert not score_labels(prefix, random_ids(5, 0), TRIES[0], **options).warming_up
    steps_of(model).wait()
    assert sizes(model) == []


@pytest.mark.parametrize("roomy", [True, False], ids=["roomy", "narrow"])
@pytest.mark.parametrize("what", [{"way": "best_first"}, {"decode": "greedy"}], ids=str)
@pytest.mark.parametrize("trie", TRIES, ids=lambda trie: f"{len(trie)} nodes")
def test_ways_of_several_passes_go_by_one_step(
    model: LanguageModel, trie: LabelTrie, what: dict[str, Any], roomy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little each pass has room for; what they leave open is the same too."""
    widest, asked, answer = max(map(len, trie.children)) + 1, [], QueryStep.answer

    def spy(step: QueryStep, prompt: Any, nodes: Any, blocks: Any) -> np.ndarray:
        asked.append(len(nodes.asked))
        return answer(step, prompt, nodes, blocks)

    if not roomy:
        monkeypatch.setattr(walks, "ASKED", widest)
    monkeypatch.setattr(QueryStep, "answer", spy)
    prefix, prompt = assemble(model, pool_of(model), (0, 3, 1)), random_ids(9, 1)
    slow = score_labels(prefix, prompt, trie, **what)
    assert slow.warming_up
    steps_of(model).wait()
    quick = score_labels(prefix, prompt, trie, **what)
    assert not quick.warming_up
    assert (quick.label, quick.way, quick.forwards) == (slow.label, slow.way, len(asked))
    assert np.allclose(quick.log_probs, slow.log_probs, rtol=1e-5)
    assert [left.labels for left in quick.open] == [left.labels for left in slow.open]
    assert np.allclose([left.log_mass for left in quick.open], [left.log_mass for left in slow.open], rtol=1e-5)
    assert len(sizes(model)) == 1
    assert max(asked) <= widest or roomy


def test_a_node_with_more_children_than_a_step_reads_goes_the_plain_way(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walks, "ASKED", 64)
    prefix = assemble(model, pool_of(model), (0, 3, 1))
    assert not score_labels(prefix, random_ids(9, 1), TRIES[2], way="best_first").warming_up


def test_a_prompt_that_no_step_has_room_for_goes_the_plain_way(model: LanguageModel) -> None:
    prefix = assemble(model, pool_of(model), (0, 1))
    assert steps_of(model).find(prefix, random_ids(PROMPTS[-1] + 1, 0), len(TRIES[0])) == steps.Found()


@pytest.mark.parametrize("family", ["gemma3", "mistral", "llama-dynamic"])
def test_families_with_layers_that_gather_go_the_plain_way(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "policy_for", lambda device: replace(CPU, captures=True))
    monkeypatch.setattr(steps, "has_kernel", lambda query: True)
    model = tiny_model(family)
    length = model.rope.pinned_length(100, model.max_positions)
    pool = encode_blocks(
        model, Pool((), (), ""), BLOCKS_HELD, BlockPattern(1, 1, 1), PromptTemplate(), rope_length=length
    )
    assert not score_labels(assemble(model, pool, (0, 1)), random_ids(5, 0), TRIES[0]).warming_up


def test_a_pool_that_outgrows_its_memory_gets_steps_of_its_own(model: LanguageModel) -> None:
    """They read the memory where it stood; an append inside of it needs no new ones."""
    pool, prompt = pool_of(model), random_ids(9, 1)
    score_labels(assemble(model, pool, (0, 3)), prompt, TRIES[0])
    steps_of(model).wait()
    inside = append_blocks(model, pool, Pool((), (), ""), [Block(6, (6,), random_ids(10, 6))])
    assert inside.store is pool.store
    assert not score_labels(assemble(model, inside, (0, 6)), prompt, TRIES[0]).warming_up
    beyond = append_blocks(model, inside, Pool((), (), ""), [Block(7, (7,), random_ids(60, 7))])
    assert beyond.store is not pool.store
    prefix = assemble(model, beyond, (0, 7))
    assert score_labels(prefix, prompt, TRIES[0]).warming_up
    steps_of(model).wait()
    ours, theirs = score_labels(prefix, prompt, TRIES[0]).log_probs, plain(prefix, prompt, TRIES[0])
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


def test_steps_go_with_their_pool_and_the_longest_unused_first(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "KEPT_PER_POOL", 2)
    pool, made = pool_of(model), steps_of(model)
    prefix = assemble(model, pool, (0, 3))
    for prompt in (10, 60, 90):
        made.find(prefix, random_ids(prompt, 0), len(TRIES[1]))
        made.wait()
        made.find(prefix, random_ids(10, 0), len(TRIES[1]))  # used again and again
        made.wait()
    held = [size.prompt for size in made._ready[pool.store]]
    assert sorted(held) == [32, 96]
    del pool, prefix
    gc.collect()
    assert len(made._ready) == 0


def test_what_cannot_be_captured_is_told_once_and_never_tried_again(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[Size] = []

    def fails(model: LanguageModel, arena: Any, size: Size, *, compiled: bool) -> Any:
        tried.append(size)
        raise RuntimeError("no room")

    monkeypatch.setattr(steps, "captured", fails)
    prefix = assemble(model, pool_of(model), (0, 3))
    for _ in range(3):
        score_labels(prefix, random_ids(5, 0), TRIES[0])
        steps_of(model).wait()
    assert len(tried) == 1
    assert caplog.text.count("answered the plain way: RuntimeError: no room") == 1
    assert not score_labels(prefix, random_ids(5, 0), TRIES[0]).warming_up


def test_where_layers_cannot_be_compiled_the_captured_step_stays(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    capture = steps.captured

    def fails(*given: Any, compiled: bool) -> QueryStep:
        if compiled:
            raise ImportError("no compiler")
        return capture(*given)

    monkeypatch.setattr(steps, "captured", fails)
    steps_of(model).compiles = True
    prefix = assemble(model, pool_of(model), (0, 3))
    for prompt in (5, 60):
        score_labels(prefix, random_ids(prompt, 0), TRIES[0])
        steps_of(model).wait()
        assert steps_of(model).find(prefix, random_ids(prompt, 0), len(TRIES[0])).step is not None
    assert caplog.text.count("Layers are not compiled: ImportError: no compiler") == 1
    assert [warm_up.compiled for warm_up in steps_of(model).warm_ups] == [False, False]


def test_methods_answer_by_steps_and_tell_when_they_are_not_there_yet(model: LanguageModel) -> None:
    pairs = [(f"text number {i}", "xy"[i % 2]) for i in range(12)]
    setup = Setup.of(Task(model, Pool.of(pairs)), EncodeSettings(pool_tokens=400, block_size=2)).encode()
    for name in ("dbsa", "dbsa_fresh", "fixed_icl", "zero_shot"):
        method = make_method(name, QuerySettings(ratio=0.5, fresh_demonstrations=2 if name == "dbsa_fresh" else 0))
        method.fit(setup)
        slow = method.predict("text number 3")
        assert slow.cold
        steps_of(model).wait()
        quick = method.predict("text number 3")
        assert not quick.cold
        assert quick.label == slow.label
        assert np.allclose(quick.scores.log_probs, slow.scores.log_probs, rtol=1e-5)
    assert len(sizes(model)) == 4


def test_a_closed_model_is_not_answered_for(model: LanguageModel) -> None:
    prefix = assemble(model, pool_of(model), (0, 3))
    score_labels(prefix, random_ids(5, 0), TRIES[0])
    steps_of(model).wait()
    model.close()
    assert steps_of(model).find(prefix, random_ids(5, 0), len(TRIES[0])) == steps.Found()


def test_a_models_steps_are_its_own(model: LanguageModel) -> None:
    assert steps_of(model) is steps_of(model)
    assert isinstance(steps_of(model), Steps)
    assert steps_of(tiny_model("llama")) is not steps_of(model)
