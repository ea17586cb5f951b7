"""Laws that hold for every supported family; stock eager transformers is the oracle, its weights all random."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from typing import Any

import pytest
import torch
from transformers import DynamicCache

from dbsa_core.attention import LayerOptions, causal, reference
from dbsa_core.blocks import Block, BlockPattern, starts
from dbsa_core.data import Pool
from dbsa_core.devices import CPU
from dbsa_core.errors import CapacityError
from dbsa_core.masks import dense_mask
from dbsa_core.model.language_model import DenseStage, LanguageModel
from dbsa_core.prompt import PromptTemplate
from dbsa_core.settings import SPARSITY_PATTERNS, EncodeSettings
from dbsa_core.stage1 import memory, packed
from dbsa_core.stage1.encoding import EncodedPool, append_blocks, encode_blocks
from dbsa_core.stage1.layers import Layers
from dbsa_core.stage2 import dense_prefill, scoring, tail
from dbsa_core.stage2.dense_prefill import prefill
from dbsa_core.stage2.prefix import Prefix, assemble
from dbsa_core.stage2.scoring import score_labels, score_together
from dbsa_core.stage2.trie import LabelTrie
from dbsa_core.store import KeyForm
from tests.oracle import dense_arguments, generated, named_cache, pinned_logits
from tests.tiny import FAMILIES, LENGTH_DEPENDENT, WINDOW, tiny_model

LENGTHS = (11, 9, 10, 8, 12, 5)
TOKENS = sum(LENGTHS)
PATTERN = BlockPattern(1, sink_blocks=1, previous_blocks=1)
NAMED = [EncodeSettings(block_size=1).with_sparsity_pattern(name).pattern(1) for name in SPARSITY_PATTERNS]
TOLERANCE = 1e-5
"""float32, as a share of the largest value compared."""
LABEL_IDS = ((1, 2), (1, 2, 3), (5,), (6, 7, 8, 9), (6, 7, 4), tuple(range(20, 60)))
LABELS = tuple("abcdef")
END = 10
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
ALL = [*FAMILIES, *LENGTH_DEPENDENT]
NEVER_IN_PLACE = {"mistral", "phi3", "mixtral", "gemma2", *LENGTH_DEPENDENT}
"""Each of their layers has a sliding window, a softcap, or tables that depend on the length."""
UNLIKE = ("llama", "qwen2", "gemma2", "glm4", "mixtral", "phi3-longrope")
"""One family for each of: keys read in place, and in every second layer; softcap; a part of each head rotated, in pairs
of neighbours; experts; tables that depend on the length."""
IN_PLACE_IN_TURN = {"qwen2", "gemma3"}
"""Every second layer has a sliding window."""


def ways_of(family: str) -> tuple[str, ...]:
    """Of encoding; "" keeps keys before RoPE."""
    if family in NEVER_IN_PLACE:
        return ("",)
    return ("", "in-place") if family in IN_PLACE_IN_TURN else ("", "in-place", "packed")


assert min(LENGTHS) < WINDOW < max(LENGTHS) < TOKENS


def random_ids(count: int, seed: int) -> tuple[int, ...]:
    return tuple(torch.randint(256, (count,), generator=torch.Generator().manual_seed(seed)).tolist())


QUERY = random_ids(6, 99)
BLOCKS = tuple(Block(i, (i,), random_ids(n, i)) for i, n in enumerate(LENGTHS))
POOL_IDS = tuple(token for block in BLOCKS for token in block.token_ids)
TRIE = LabelTrie.of_ids(LABELS, LABEL_IDS, END)

_models: dict[tuple[str, str], LanguageModel] = {}


def slow_but(family: str, quick: Collection[str]) -> tuple[pytest.MarkDecorator, ...]:
    return () if family in quick else (pytest.mark.slow,)


def by_family_and_way(metafunc: pytest.Metafunc) -> bool:
    """Every family, and every way of encoding its blocks: read in place too if the family has layers that may be, and
    encoded by one operator if all are. False for a test that encodes none."""
    if "in_place" not in metafunc.fixturenames:
        return False
    quick = UNLIKE if metafunc.definition.get_closest_marker("mostly_slow") else ALL
    each = [
        pytest.param(family, way, id="-".join(filter(None, (family, way))), marks=slow_but(family, quick))
        for family in ALL
        for way in ways_of(family)
    ]
    metafunc.parametrize(("model", "in_place"), each, indirect=True)
    return True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if not by_family_and_way(metafunc) and "model" in metafunc.fixturenames:
        metafunc.parametrize("model", ALL, indirect=True)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def in_place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether keys are kept rotated from their block's start, wherever a layer allows it."""
    monkeypatch.setattr(memory, "policy_for", lambda device: replace(CPU, reads_in_place=bool(request.param)))
    monkeypatch.setattr(packed, "has_kernel", lambda states: request.param == "packed")
    monkeypatch.setattr(scoring, "can_capture", lambda model: request.param == "packed")
    monkeypatch.setattr(Layers, "encoded", lambda layers: None)  # nothing is compiled here
    return bool(request.param)


@pytest.fixture
def model(request: pytest.FixtureRequest, device: str) -> LanguageModel:
    key = (request.param, device)
    if key not in _models:
        _models[key] = tiny_model(request.param, device=device)
    return _models[key]


def encoded(
    model: LanguageModel, blocks: Sequence[Block] = BLOCKS, pattern: BlockPattern = PATTERN, chunk_tokens: int = 20
) -> EncodedPool:
    length = model.rope.pinned_length(TOKENS + 60, model.max_positions)
    return encode_blocks(
        model, Pool((), (), ""), blocks, pattern, PromptTemplate(), rope_length=length, chunk_tokens=chunk_tokens
    )


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert ours.shape == theirs.shape
    difference = float((ours.double().cpu() - theirs.double().cpu()).abs().max())
    assert difference <= TOLERANCE * float(theirs.abs().max()), difference


def kept_as(model: LanguageModel, pool: EncodedPool, layer: int, block: int, key: torch.Tensor) -> torch.Tensor:
    """A block's keys before RoPE [kv_heads, tokens, head_dim] as the pool keeps them in that layer."""
    if pool.store.forms[layer] is KeyForm.BEFORE_ROPE or not model.rope.rotates[layer]:
        return key
    places = torch.arange(LENGTHS[block], device=key.device)
    return model.rope.rotate(key[None], model.rope.tables(places, model.rope.layer_types[layer]))[0]


def keys_and_values(prefix: Prefix, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of all its tokens, those of blocks that are read in place turned on to where they stand in the prefix."""
    blocks, rope = prefix.in_place(layer), prefix.model.rope
    if blocks is None:
        return prefix.keys[layer], prefix.values[layer]
    keys, values = [], []
    for span, first in zip(blocks.stretches.spans, blocks.firsts, strict=True):
        states = blocks.memory(layer).read(slice(*span), prefix.model.shape.dtype)
        key, value = (each.transpose(0, 1) for each in states)
        if rope.rotates[layer]:
            far = torch.full((key.shape[1],), first, device=key.device)
            key = rope.rotate(key[None], rope.moves(far, rope.layer_types[layer]))[0]
        keys.append(key)
        values.append(value)
    return torch.cat([*keys, prefix.keys[layer]], dim=1), torch.cat([*values, prefix.values[layer]], dim=1)


def query_mask(pattern: BlockPattern, new: int) -> torch.Tensor:
    """Pool rows block-sparse, the rows behind them causal over everything."""
    allowed = torch.ones(TOKENS + new, TOKENS + new, dtype=torch.bool).tril()
    allowed[:TOKENS, :TOKENS] = dense_mask(LENGTHS, pattern)
    return allowed


def oracle_log_probs(model: LanguageModel, before: Sequence[int], allowed_pool: torch.Tensor | None) -> list[float]:
    """Teacher forcing, one whole forward per label."""
    found = []
    for ids in LABEL_IDS:
        tokens = torch.tensor([*before, *QUERY, *ids, END], device=model.device)
        allowed = torch.ones(len(tokens), len(tokens), dtype=torch.bool).tril()
        if allowed_pool is not None:
            allowed[: len(before), : len(before)] = allowed_pool
        # A table that depends on the length of the forward is pinned by the pool; so is the oracle's, by padding.
        length = model.rope.pinned_length(TOKENS + 60, model.max_positions)
        logits = pinned_logits(model, tokens, allowed.to(model.device), length)
        log_probs = logits.double().log_softmax(-1)
        at = len(before) + len(QUERY) - 1
        found.append(sum(float(log_probs[at + i, t]) for i, t in enumerate((*ids, END))))
    return found


def test_captured_forward_is_the_stock_forward(model: LanguageModel) -> None:
    tokens = model.ids(POOL_IDS)
    positions = torch.arange(TOKENS, device=model.device)
    ours = model.run(tokens, positions, DenseStage(model.rope, positions), deferred=True, logits_rows=range(TOKENS))
    with torch.no_grad():
        stock = model.model(input_ids=tokens[None], use_cache=False).logits[0]
    assert ours is not None
    close(ours, stock)


def test_a_stage_that_fails_leaves_nothing_behind(model: LanguageModel) -> None:
    tokens = model.ids(POOL_IDS)[None]
    with torch.no_grad():
        before = model.model(input_ids=tokens, use_cache=False).logits
        with pytest.raises(ZeroDivisionError):
            model.run(model.ids((1, 2)), torch.arange(2, device=model.device), _Failing(), deferred=True)
        assert torch.equal(model.model(input_ids=tokens, use_cache=False).logits, before)


class _Failing:
    def attend(self, *_: Any) -> torch.Tensor:
        raise ZeroDivisionError


@pytest.mark.usefixtures("in_place")
def test_block_by_block_encoding_is_one_dense_masked_forward(model: LanguageModel) -> None:
    """Keys (rotated to their places) and values of every layer, against the cache of a stock eager forward."""
    pool = encoded(model)
    cache = DynamicCache()
    allowed = dense_mask(LENGTHS, PATTERN).to(model.device)
    with torch.no_grad():
        mask = dense_arguments(model.model, TOKENS, allowed)
        stock: Any = model.model
        stock(input_ids=model.ids(POOL_IDS)[None], attention_mask=mask, use_cache=True, **named_cache(stock, cache))
    prefix = assemble(model, pool, range(len(BLOCKS)))
    for layer in range(model.shape.layers):
        keys, values = keys_and_values(prefix, layer)
        close(keys, cache.layers[layer].keys[0])
        close(values, cache.layers[layer].values[0])


@pytest.mark.usefixtures("in_place")
def test_all_blocks_in_order_are_that_forward_continued_by_the_query(model: LanguageModel) -> None:
    prefix = assemble(model, encoded(model), range(len(BLOCKS)))
    ours = score_labels(prefix, QUERY, TRIE, way="one_pass").log_probs
    oracle = oracle_log_probs(model, POOL_IDS, dense_mask(LENGTHS, PATTERN))
    close(torch.tensor(ours), torch.tensor(oracle))


@pytest.mark.usefixtures("in_place")
@pytest.mark.parametrize("pattern", [BlockPattern(1, 2, 0), *NAMED], ids=str)
def test_other_patterns_too(model: LanguageModel, pattern: BlockPattern) -> None:
    prefix = assemble(model, encoded(model, pattern=pattern), range(len(BLOCKS)))
    ours = score_labels(prefix, QUERY, TRIE, way="one_pass").log_probs
    close(torch.tensor(ours), torch.tensor(oracle_log_probs(model, POOL_IDS, dense_mask(LENGTHS, pattern))))


class LocalLoop:
    """Stage 1 with local positions, written as a loop over tokens: each key is rotated anew for each reading block."""

    def __init__(self, model: LanguageModel, pattern: BlockPattern, length: int | None):
        self.rope, self.pattern, self.length = model.rope, pattern, length
        self.seen: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def _rotated(self, states: torch.Tensor, position: int, layer: int) -> torch.Tensor:
        if not self.rope.rotates[layer]:
            return states
        at = torch.tensor([position], device=states.device)
        cos, sin = self.rope.tables(at, self.rope.layer_types[layer], self.length, dtype=states.dtype)
        # phi's attention keeps the rest of a head from the function; glm4's function passes it through by itself.
        turned = cos.shape[-1] if not self.rope.whole_heads else states.shape[-1]
        own = states[None, ..., :turned]
        return torch.cat([self.rope.apply(own, own, cos, sin)[1][0], states[..., turned:]], dim=-1)

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: LayerOptions
    ) -> torch.Tensor:
        self.seen[layer] = key[0], value[0]
        output = torch.zeros_like(query)
        heads, kv_heads, first = query.shape[1], key.shape[1], starts(BLOCKS)
        for block in range(len(BLOCKS)):
            window = [t for b in self.pattern.window(block) for t in range(first[b], first[b + 1])]
            place = {token: position for position, token in enumerate(window)}
            rotated = torch.cat([self._rotated(key[0, :, t : t + 1], place[t], layer) for t in window], dim=1)
            for q in range(first[block], first[block + 1]):
                at = place[q]
                near = options.sliding_window or 10**9
                keys = [t for t in window if place[t] <= at and at - place[t] < near]
                seen = rotated[:, [place[t] for t in keys]]
                own = self._rotated(query[0, :, q : q + 1], at, layer)
                for head in range(heads):
                    kv = head // (heads // kv_heads)
                    scores = seen[kv] @ own[head, 0] * options.scaling
                    if options.softcap:
                        scores = torch.tanh(scores / options.softcap) * options.softcap
                    output[0, head, q] = scores.softmax(0) @ value[0, kv, keys]
        return output


@lru_cache(maxsize=1)
def looped(model: LanguageModel, pattern: BlockPattern, length: int | None) -> LocalLoop:
    """Kept for the other form of keys, which it knows nothing of."""
    loop = LocalLoop(model, pattern, length)
    model.run(model.ids(POOL_IDS), torch.arange(TOKENS, device=model.device), loop, deferred=True)
    return loop


@pytest.mark.usefixtures("in_place")
def test_local_encoding_is_a_slow_loop_that_rotates_keys_for_each_reader(model: LanguageModel) -> None:
    pattern = BlockPattern(1, 1, 1, "local")
    pool = encoded(model, pattern=pattern)
    loop = looped(model, pattern, pool.rope_length)
    for layer in range(model.shape.layers):
        for block, first in enumerate(starts(BLOCKS)[:-1]):
            keys, values = (seen[:, first : first + LENGTHS[block]] for seen in loop.seen[layer])
            kv = pool.store.get(block)
            close(kv.keys[layer], kept_as(model, pool, layer, block, keys))
            close(kv.values[layer], values)


@pytest.mark.usefixtures("in_place")
def test_local_is_sequential_where_every_window_is_contiguous(model: LanguageModel) -> None:
    everything = len(BLOCKS)
    local = encoded(model, pattern=BlockPattern(1, 1, everything, "local"))
    sequential = encoded(model, pattern=BlockPattern(1, 1, everything, "sequential"))
    for block in range(everything):
        close(local.store.get(block).keys, sequential.store.get(block).keys)
        close(local.store.get(block).values, sequential.store.get(block).values)


@pytest.mark.usefixtures("in_place")
@pytest.mark.parametrize("positions", ["sequential", "local"])
def test_appending_at_a_block_boundary_is_encoding_at_once(model: LanguageModel, positions: Any) -> None:
    pattern = BlockPattern(1, 1, 1, positions)
    at_once, before = encoded(model, pattern=pattern), encoded(model, BLOCKS[:4], pattern)
    old = [before.store.get(b).keys.clone() for b in range(4)]
    appended = append_blocks(model, before, Pool((), (), ""), BLOCKS[4:], chunk_tokens=20)
    assert [block.id for block in appended.blocks] == list(range(len(BLOCKS)))
    assert all(torch.equal(appended.store.get(b).keys, old[b]) for b in range(4)), "an old block was touched"
    for block in range(len(BLOCKS)):
        close(appended.store.get(block).keys, at_once.store.get(block).keys)
        close(appended.store.get(block).values, at_once.store.get(block).values)


@pytest.mark.usefixtures("in_place")
def test_encoding_does_not_depend_on_how_blocks_are_chunked(model: LanguageModel) -> None:
    one, all_at_once = encoded(model, chunk_tokens=1), encoded(model, chunk_tokens=10_000)
    for block in range(len(BLOCKS)):
        close(one.store.get(block).keys, all_at_once.store.get(block).keys)
        close(one.store.get(block).values, all_at_once.store.get(block).values)


@pytest.mark.usefixtures("in_place")
def test_moving_a_block_leaves_its_stored_keys_alone(model: LanguageModel) -> None:
    pool = encoded(model)
    before = [pool.store.get(b).keys.clone() for b in range(len(BLOCKS))]
    score_labels(assemble(model, pool, (0, 5, 2)), QUERY, TRIE)
    score_labels(assemble(model, pool, (0, 2, 5)), QUERY, TRIE)
    assert all(torch.equal(pool.store.get(b).keys, kept) for b, kept in enumerate(before))


@pytest.mark.usefixtures("in_place")
@pytest.mark.parametrize("chosen", [(0, 4, 1), ()])
def test_the_three_ways_of_scoring_agree(model: LanguageModel, chosen: tuple[int, ...]) -> None:
    """Tree pass = teacher forcing label by label (each label alone behind the same prefix) = best-first where
    proven."""
    length = model.rope.pinned_length(TOKENS + 60, model.max_positions)
    prefix = assemble(model, encoded(model), chosen) if chosen else Prefix.empty(model, length)
    tree = score_labels(prefix, QUERY, TRIE, way="one_pass")
    tries = [LabelTrie.of_ids("x", [ids], END) for ids in LABEL_IDS]
    alone = [score_labels(prefix, QUERY, trie, way="one_pass").log_probs[0] for trie in tries]
    close(torch.tensor(tree.log_probs), torch.tensor(alone))
    best_first = score_labels(prefix, QUERY, TRIE, way="best_first")
    assert best_first.ranked()[:2] == tree.ranked()[:2]
    known = torch.tensor(best_first.log_probs).isfinite()
    close(torch.tensor(best_first.log_probs)[known], torch.tensor(tree.log_probs)[known])
    left = float(torch.tensor(tree.log_probs)[~known].exp().sum())
    assert left <= best_first.open_mass + 1e-9


@pytest.mark.mostly_slow
@pytest.mark.usefixtures("in_place")
def test_queries_together_are_each_alone(model: LanguageModel) -> None:
    """By every way and in any grouping: of other blocks in any order, of none, of the same ones; of prompts of one
    token and of many."""
    pool, length = encoded(model), model.rope.pinned_length(TOKENS + 60, model.max_positions)
    chosen = ((0, 2, 5), (0,), (0, 4, 1), (0, 2, 5), (0, 1, 2, 3, 4, 5))
    queries = [
        (assemble(model, pool, each), random_ids(n, n)) for each, n in zip(chosen, (6, 1, 30, 6, 17), strict=True)
    ]
    nothing = [(Prefix.empty(model, length), random_ids(count, count)) for count in (3, 20)]
    ways: tuple[tuple[dict[str, Any], Any], ...] = (
        ({"way": "one_pass"}, (queries, queries[2:3], [queries[0], queries[0]], nothing)),
        ({"way": "best_first"}, (queries[2:4],)),
        ({"decode": "greedy"}, (queries[:2],)),
    )
    for how, groups in ways:
        alone = {query: score_labels(*query, TRIE, **how) for query in {*chain(*groups)}}
        together = [score_together(group, TRIE, **how) for group in groups]
        for ours, query in zip(chain(*together), chain(*groups), strict=True):
            theirs = alone[query]
            assert (ours.label, ours.way, ours.unscored) == (theirs.label, theirs.way, theirs.unscored)
            known = torch.tensor(theirs.log_probs).isfinite()
            close(torch.tensor(ours.log_probs)[known], torch.tensor(theirs.log_probs)[known])
            assert [left.labels for left in ours.open] == [left.labels for left in theirs.open]


def test_an_empty_prefix_is_a_plain_prompt(model: LanguageModel) -> None:
    """Zero-shot and Retrieval ICL: dense causal, teacher-forced by whole stock forwards."""
    length = model.rope.pinned_length(TOKENS + 60, model.max_positions)
    prefix = Prefix.empty(model, length)
    ours = score_labels(prefix, (*POOL_IDS, *QUERY), TRIE, way="one_pass").log_probs
    close(torch.tensor(ours), torch.tensor(oracle_log_probs(model, POOL_IDS, None)))


@pytest.mark.parametrize("before", [0, 3])
def test_a_long_prompt_in_parts_is_the_prompt_at_once(
    model: LanguageModel, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dense prompts behind `before` blocks: in forwards of seven tokens, and in tiles of sixteen queries."""
    length = model.rope.pinned_length(TOKENS + 60, model.max_positions)
    prefix = Prefix.empty(model, length)
    cut = starts(BLOCKS)[before]
    prefix = prefill(prefix, POOL_IDS[:cut]) if before else prefix
    kept = [key.clone() for key in prefix.keys]
    prompt, spans = (*POOL_IDS[cut:], *QUERY), ((0, 20), (20, TOKENS + len(QUERY)))
    at_once = score_labels(prefix, prompt, TRIE, spans=spans)
    close(torch.tensor(at_once.log_probs), torch.tensor(oracle_log_probs(model, POOL_IDS, None)))
    for part, masked in ((7, 3), (10, 512), (10_000, 3)):
        with monkeypatch.context() as patch:
            patch.setattr(causal, "TILE_SCORES", 1)
            patch.setattr(reference, "TILE_SCORES", 40)
            patch.setattr(dense_prefill, "PART_TOKENS", part)
            patch.setattr(dense_prefill, "policy_for", lambda device, part=part: replace(CPU, whole_prompt_tokens=part))
            patch.setattr(tail, "MASKED_PROMPT", masked)
            in_parts = score_labels(prefix, prompt, TRIE, spans=spans)
        close(torch.tensor(in_parts.log_probs), torch.tensor(at_once.log_probs))
        assert in_parts.mass is not None
        assert at_once.mass is not None
        close(in_parts.mass, at_once.mass)
        assert in_parts.tokens == at_once.tokens
        assert all(torch.equal(*pair) for pair in zip(prefix.keys, kept, strict=True))


@pytest.mark.usefixtures("in_place")
def test_a_window_over_everything_is_fixed_icl(model: LanguageModel) -> None:
    everything = BlockPattern(1, 1, len(BLOCKS))
    pool = encoded(model, pattern=everything)
    dbsa = score_labels(assemble(model, pool, range(len(BLOCKS))), QUERY, TRIE, way="one_pass")
    fixed = prefill(Prefix.empty(model, pool.rope_length), POOL_IDS, part_tokens=25)
    close(torch.tensor(dbsa.log_probs), torch.tensor(score_labels(fixed, QUERY, TRIE, way="one_pass").log_probs))


@pytest.mark.usefixtures("in_place")
def test_a_prompt_in_parts_behind_blocks_is_the_prompt_at_once(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a query with many similar examples is; also where its last token looked."""
    prefix, prompt = assemble(model, encoded(model), (0, 4, 1)), (*random_ids(25, 7), *QUERY)
    spans = ((0, LENGTHS[0]), (LENGTHS[0], prefix.length), (prefix.length, prefix.length + len(prompt)))
    at_once = score_labels(prefix, prompt, TRIE, spans=spans)
    behind = prefill(prefill(prefix, prompt[:5]), prompt[5:12])
    close(torch.tensor(score_labels(behind, prompt[12:], TRIE).log_probs), torch.tensor(at_once.log_probs))
    monkeypatch.setattr(dense_prefill, "PART_TOKENS", 7)
    in_parts = score_labels(prefix, prompt, TRIE, spans=spans)
    close(torch.tensor(in_parts.log_probs), torch.tensor(at_once.log_probs))
    assert in_parts.mass is not None
    assert at_once.mass is not None
    close(in_parts.mass, at_once.mass)
    close(at_once.mass.sum(-1), torch.ones(at_once.mass.shape[:-1]))


def test_greedy_is_generate_with_the_same_trie(model: LanguageModel) -> None:
    length = model.rope.pinned_length(TOKENS + 60, model.max_positions)
    if length is not None and length > (model.rope.switch_length or 0):
        pytest.skip("generate lets such tables change with the length; the walk pins them")
    paths = {(*ids, END): label for ids, label in zip(LABEL_IDS, LABELS, strict=True)}
    for seed in range(2):
        prompt = (*POOL_IDS, *random_ids(6, 1000 + seed))
        ours = score_labels(Prefix.empty(model, length), prompt, TRIE, decode="greedy")
        assert ours.label == paths[generated(model, prompt, paths)]


@pytest.mark.usefixtures("in_place")
def test_forms_of_keys_are_chosen_by_layer(model: LanguageModel, in_place: bool, request: Any) -> None:
    family = request.node.callspec.params["model"]
    forms = encoded(model).store.forms
    rotated = [form is KeyForm.FROM_BLOCK_START for form in forms]
    assert (
        rotated == ([False, True] * 2 if family in IN_PLACE_IN_TURN else [True] * 4) if in_place else not any(rotated)
    )
    prefix = assemble(model, encoded(model), (0, 2))
    assert [key.shape[1] for key in prefix.keys] == [0 if turned else prefix.length for turned in rotated]


@pytest.mark.parametrize("family", FAMILIES)
def test_rotated_states_are_turned_on_by_distances(family: str) -> None:
    """Where tables are the same at every length; YaRN's factor comes in once."""
    model, generator = tiny_model(family), torch.Generator().manual_seed(0)
    rope, states = model.rope, torch.randn(1, 2, 9, model.shape.head_dim, generator=generator)
    near, far = torch.arange(9), torch.tensor([0, 50, 3] * 3)
    for kind in set(rope.layer_types):
        turned = rope.rotate(rope.rotate(states, rope.tables(near, kind)), rope.moves(far, kind))
        close(turned, rope.rotate(states, rope.tables(near + far, kind)))


@pytest.fixture(params=list(LENGTH_DEPENDENT))
def length_dependent(request: pytest.FixtureRequest) -> LanguageModel:
    return tiny_model(request.param)


def test_no_pool_grows_beyond_the_length_that_its_tables_hold_for(length_dependent: LanguageModel) -> None:
    """Beyond it the tables are another length's: old keys would be rotated by one set and new ones by the other."""
    model, nothing = length_dependent, Pool((), (), "")
    held = sum(LENGTHS[:4])
    before = encode_blocks(model, nothing, BLOCKS[:4], PATTERN, PromptTemplate(), rope_length=held)
    with pytest.raises(CapacityError, match=rf"The pool has {TOKENS} tokens, and the RoPE tables .* {held} positions"):
        append_blocks(model, before, nothing, BLOCKS[4:])
    assert len(before.blocks) == 4
    with pytest.raises(CapacityError, match=f"hold for {held - 1} positions"):
        encode_blocks(model, nothing, BLOCKS[:4], PATTERN, PromptTemplate(), rope_length=held - 1)


def test_local_positions_hold_each_window_to_that_length_and_not_the_pool(length_dependent: LanguageModel) -> None:
    model, nothing, local = length_dependent, Pool((), (), ""), replace(PATTERN, positions="local")
    widest = max(sum(LENGTHS[w] for w in local.window(block)) for block in range(len(BLOCKS)))
    assert widest < TOKENS
    done = encode_blocks(model, nothing, BLOCKS, local, PromptTemplate(), rope_length=widest)
    assert len(done.blocks) == len(BLOCKS)
    with pytest.raises(CapacityError, match=rf"what it sees are {widest} tokens long, and the RoPE tables"):
        encode_blocks(model, nothing, BLOCKS, local, PromptTemplate(), rope_length=widest - 1)


def test_tables_of_one_length_are_refused_for_positions_beyond_it(length_dependent: LanguageModel) -> None:
    rope = length_dependent.rope
    tables = rope.tables(torch.tensor([0, 39]), None, 40)
    assert tables[0].shape[1] == 2
    with pytest.raises(CapacityError, match="Position 40 lies beyond the 40"):
        rope.tables(torch.tensor([0, 40]), None, 40)
    assert tiny_model("llama").rope.tables(torch.tensor([0, 400]), None, 40)[0].shape[1] == 2, "static tables have none"
