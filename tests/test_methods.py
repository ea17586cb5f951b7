"""Stories of methods: what each reads for a query, what goes first when not everything fits, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from dbsa_core.blocks import chosen_blocks
from dbsa_core.data import Demonstration, Pool
from dbsa_core.errors import CapacityError, DataError, QueryError, SettingsError
from dbsa_core.evaluation import evaluate
from dbsa_core.masks import dense_mask
from dbsa_core.methods import METHODS, make_method, retrieval_icl
from dbsa_core.methods.dbsa import Dbsa
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prediction import Prediction
from dbsa_core.prompt import Prompter, PromptTemplate
from dbsa_core.settings import SPARSITY_PATTERNS, EncodeSettings, QuerySettings
from dbsa_core.setup import Setup, append
from dbsa_core.stage2 import dense_prefill, prefix, tail
from dbsa_core.task import Task
from tests.asking import ASKING, DENSE, MATCHED, SIMILAR, WHOLE_POOL
from tests.oracle import masked_logits
from tests.tiny import tiny_model

THINGS = ("apple", "brick", "cloud", "dance", "eagle", "flame", "grape", "house", "igloo", "jewel", "knife", "lemon")
THINGS += ("mango", "night", "ocean", "piano")
LABELS = ("fruit", "sky_blue", "tool")
PAIRS = [(f"{thing} {colour} {i}", LABELS[i % 3]) for i, thing in enumerate(THINGS) for colour in ("red", "old", "big")]
WIDE, NARROW = 2048, 512


@pytest.fixture(scope="module")
def wide() -> LanguageModel:
    return tiny_model("llama", max_position_embeddings=WIDE)


@pytest.fixture(scope="module")
def narrow() -> LanguageModel:
    return tiny_model("llama", max_position_embeddings=NARROW)


def setup_of(model: LanguageModel, pairs: Any = PAIRS, **settings: Any) -> Setup:
    return Setup.of(Task(model, Pool.of(pairs)), EncodeSettings(**{"pool_tokens": 1600, "block_size": 4} | settings))


@pytest.fixture(scope="module")
def setup(wide: LanguageModel) -> Setup:
    return setup_of(wide).encode()


@pytest.fixture(scope="module")
def part(wide: LanguageModel) -> Setup:
    """Some rows are not encoded."""
    return setup_of(wide, pool_tokens=600).encode()


def answer(setup: Setup, name: str, query: str, **settings: Any) -> Prediction:
    return make_method(name, QuerySettings(**settings)).fit(setup).predict(query)


def block_of(setup: Setup, row: int) -> int:
    return next(block.id for block in setup.plan.blocks if row in block.rows)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_the_protocol(setup: Setup, name: str) -> None:
    method = make_method(name, QuerySettings(fresh_demonstrations=2))
    assert method.fit(setup) is method
    prediction = method.predict("  apple\tred ", attention=True)
    assert (method.name, prediction.method, prediction.query) == (name, name, "apple red")
    assert prediction.labels == setup.task.pool.labels == ("fruit", "sky_blue", "tool")
    assert prediction.label == prediction.labels[int(np.argmax(prediction.scores.log_probs))]
    assert list(prediction.probabilities)[:2] == [prediction.label, prediction.runner_up]
    assert sum(prediction.probabilities.values()) == pytest.approx(1)
    first, second, _ = prediction.probabilities.values()
    assert (prediction.probability, prediction.margin) == (first, pytest.approx(first - second))


@pytest.mark.parametrize("name", ASKING)
def test_the_context_holds_what_the_method_says_it_reads(setup: Setup, name: str) -> None:
    task, prediction = setup.task, answer(setup, name, "mango red", ratio=0.4, fresh_demonstrations=3)
    query = len(task.prompter.query("mango red"))
    added = sum(len(task.row_ids[row]) for row in prediction.demonstration_rows)
    chosen = prediction.selection.block_ids if prediction.selection else ()
    blocks = sum(len(setup.plan.blocks[b]) for b in chosen)
    before = setup.plan.tokens if name in WHOLE_POOL else blocks or 1  # without blocks the BOS stands alone
    assert prediction.context_tokens == before + added + query
    rows = {"dbsa_fresh": 3, "nearest": 3} | dict.fromkeys(MATCHED, len(chosen_for(setup, 0.4)) * 4)
    assert len(prediction.demonstration_rows) == rows.get(name, 0)
    assert bool(chosen) == name.startswith("dbsa")


def chosen_for(setup: Setup, ratio: float) -> range:
    return range(chosen_blocks(ratio, len(setup.plan.blocks), setup.plan.pattern))


@pytest.mark.parametrize("name", ASKING)
def test_a_method_reads_no_rows_but_those_that_it_says_it_may(part: Setup, name: str) -> None:
    setup = part
    method = make_method(name, QuerySettings(ratio=0.4, fresh_demonstrations=6)).fit(setup)
    found = method.predict("piano big 15 and mango")
    may: dict[str, set[int]] = {"encoded": set(setup.rows), "all": set(range(len(PAIRS))), "none": set()}
    blocks = found.selection.block_ids if found.selection else ()
    read = {*found.demonstration_rows, *(row for b in blocks for row in setup.blocks[b].rows)}
    assert read <= may[method.may_read]
    assert method.may_read != "all" or not read <= may["encoded"], "or it would say that it reads what is encoded"


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_costs_is_told_before_it_is_fitted(part: Setup, name: str) -> None:
    setup = part
    bare = Setup(setup.task, setup.plan)
    method = make_method(name, QuerySettings(ratio=0.4, fresh_demonstrations=6))
    cost = method.cost(bare)
    assert bare.encoded is None
    assert cost == method.cost(setup)
    found = method.fit(setup).predict("piano big 15 and mango")
    rows = sum(len(setup.row_ids(row)) for row in found.demonstration_rows)
    assert found.example_tokens == rows
    assert rows == pytest.approx(cost.each, rel=0.1)
    assert cost.once == (setup.plan.tokens if name in WHOLE_POOL else 0)


@pytest.mark.parametrize("name", ASKING)
def test_the_forward_is_parted_by_tokens_into_examples_and_the_query(part: Setup, name: str) -> None:
    found = answer(part, name, "apple")
    phases = found.phases
    assert sum(phases.values()) == pytest.approx(sum(found.seconds.values()) - found.seconds["total"])
    share = found.example_tokens / found.scores.tokens
    assert phases["examples"] == pytest.approx(share * found.seconds["forward"])
    assert (phases["examples"] > 0) == (name in SIMILAR)
    assert phases["query"] > 0


@pytest.mark.parametrize("name", METHODS)
def test_seconds_are_given_by_phase(setup: Setup, name: str) -> None:
    found = answer(setup, name, "apple")
    assert set(found.seconds) == {"retrieve", "assemble", "forward", "total"}
    assert 0 < found.seconds["forward"] <= found.seconds["total"]
    assert sum(found.seconds.values()) <= 2 * found.seconds["total"] + 1e-9
    assert (found.seconds["assemble"] > 0) == name.startswith("dbsa")


def test_the_first_forward_of_each_kind_is_cold_and_a_new_method_is_not() -> None:
    setup = setup_of(tiny_model("llama", max_position_embeddings=WIDE))
    kinds = {"dbsa": True, "dbsa_fresh": False, "fixed_icl": False, "retrieval_icl": True, "zero_shot": True}
    kinds |= {"retrieval_icl_file": False, "fixed_icl_fresh": False, "tfidf": False}
    kinds |= {"nearest": False}  # a prompt of demonstrations and query, like Retrieval ICL's
    for name, first in kinds.items():
        assert answer(setup, name, "apple").cold == first, name
        assert not answer(setup, name, "apple").cold, f"{name}, made and fitted anew"
    for name in kinds:
        assert not answer(setup_of(setup.task.model, block_size=3), name, "apple").cold, f"{name} on another pool"


def test_a_query_that_failed_warmed_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = setup_of(tiny_model("llama", max_position_embeddings=WIDE))
    with monkeypatch.context() as patch:
        patch.setattr(LanguageModel, "run", _out_of_memory)
        with pytest.raises(CapacityError):
            answer(setup, "zero_shot", "apple")
    assert answer(setup, "zero_shot", "apple").cold


def _out_of_memory(*_: Any, **__: Any) -> None:
    raise torch.cuda.OutOfMemoryError("no memory")


def test_retrieval_icls_own_preparation_is_timed(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    budget = retrieval_icl.matched_budget

    def slow_budget(*given: Any) -> int:
        clock[0] += 5
        return budget(*given)

    monkeypatch.setattr("dbsa_core.timing.now", lambda device: clock[0])
    monkeypatch.setattr(retrieval_icl, "matched_budget", slow_budget)
    found = answer(setup, "retrieval_icl", "apple")
    assert (found.seconds["retrieve"], found.seconds["total"]) == (5, 5)


def test_fixed_icl_never_copies_its_pool_for_a_query(wide: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    reserved: list[int] = []

    def counted(model: LanguageModel, tokens: Sequence[int]) -> Any:
        reserved.append(max(tokens))
        return prefix.reserve(model, tokens)

    monkeypatch.setattr(dense_prefill, "reserve", counted)
    monkeypatch.setattr(tail, "reserve", counted)
    setup = setup_of(wide, pool_tokens=400)
    method = make_method("fixed_icl").fit(setup)
    assert len(reserved) == 1, "the pool is written once"
    for length in (1, 100, 700):
        method.predict("x" * length)
    assert max(reserved[1:]) < reserved[0] + 700, "a query's own tokens alone"
    assert all(tokens < 100 for tokens in reserved[1:2])
    assert len(reserved) == 4


def test_a_method_that_is_not_fitted_or_not_there_is_refused() -> None:
    for name in METHODS:
        with pytest.raises(SettingsError, match=f"{name} is not fitted; call fit"):
            make_method(name).predict("apple")
    with pytest.raises(SettingsError, match="no method 'knn'; there are dbsa, dbsa_fresh, fixed_icl, fixed_icl_fresh"):
        make_method("knn")


@pytest.mark.parametrize("name", SPARSITY_PATTERNS)
def test_a_named_pattern_is_the_dense_forward_under_its_mask(wide: LanguageModel, name: str) -> None:
    """All blocks read in order, and the query behind them: as stock eager attention does under the pattern's mask."""
    settings = EncodeSettings(pool_tokens=900, block_size=4).with_sparsity_pattern(name)
    setup = Setup.of(Task(wide, Pool.of(PAIRS)), settings).encode()
    blocks = setup.encoded_pool().blocks
    assert len(blocks) > 6
    method = make_method("dbsa", QuerySettings(ratio=1.0)).fit(setup)
    assert isinstance(method, Dbsa)
    found, prompt = method.predict("grape green"), method.question("grape green").prompt
    lengths = [len(block) for block in blocks]
    pool, ids = sum(lengths), [token for block in blocks for token in block.token_ids]
    allowed = torch.ones(pool, pool, dtype=torch.bool).tril()
    assert (dense_mask(lengths, setup.plan.pattern) == allowed).all() == (name == "full")
    for label, score in zip(setup.task.pool.labels, found.scores.log_probs, strict=True):
        path = (*setup.task.prompter.label(label), setup.task.prompter.terminator_id)
        whole = [*ids, *prompt, *path]
        seen = torch.ones(len(whole), len(whole), dtype=torch.bool).tril()
        seen[:pool, :pool] = dense_mask(lengths, setup.plan.pattern)
        logits = masked_logits(wide.model, wide.ids(whole), seen).log_softmax(-1)
        first = len(whole) - len(path)
        own = sum(float(logits[first + at - 1, token]) for at, token in enumerate(path))
        assert score == pytest.approx(own, abs=2e-4)


@pytest.mark.parametrize("name", SPARSITY_PATTERNS)
def test_the_block_with_the_bos_is_in_every_selection(wide: LanguageModel, name: str) -> None:
    settings = EncodeSettings(pool_tokens=900, block_size=4).with_sparsity_pattern(name)
    setup = Setup.of(Task(wide, Pool.of(PAIRS)), settings).encode()
    for query in ("grape green", "knife red", "piano old"):
        found = make_method("dbsa", QuerySettings(ratio=0.25)).fit(setup).predict(query)
        assert found.selection is not None
        assert found.selection.block_ids[0] == 0
        assert 2 <= len(found.selection.block_ids) < len(setup.encoded_pool().blocks)


def test_dbsa_is_the_papers_without_fresh_rows_and_dbsa_fresh_has_8(setup: Setup) -> None:
    assert answer(setup, "dbsa", "red old big", fresh_demonstrations=5).demonstration_rows == ()
    assert len(answer(setup, "dbsa_fresh", "red old big", ratio=0.1).demonstration_rows) == 8
    assert len(answer(setup, "dbsa_fresh", "red old big", ratio=0.1, fresh_demonstrations=5).demonstration_rows) == 5


@pytest.mark.parametrize("ratio", [0.01, 0.125, 0.3, 0.55, 1.0])
def test_a_ratio_is_a_count_of_blocks_with_the_sink_in_it(setup: Setup, ratio: float) -> None:
    assert len(setup.plan.blocks) == 12
    chosen = answer(setup, "dbsa", "piano big", ratio=ratio).selection
    assert chosen is not None
    assert len(chosen.block_ids) == {0.01: 2, 0.125: 2, 0.3: 4, 0.55: 7, 1.0: 12}[ratio]
    assert chosen.block_ids[0] == 0
    assert len(set(chosen.block_ids)) == len(chosen.block_ids)
    assert sorted(chosen.scores) == list(range(12)), "every block has its score, chosen or not"


def test_blocks_that_share_the_querys_words_are_chosen_and_ordered_as_asked(setup: Setup) -> None:
    query = "eagle flame piano"
    wanted = {block_of(setup, row) for row, (text, _) in enumerate(PAIRS) if set(text.split()) & set(query.split())}
    ratio = (len(wanted | {0})) / 12
    orders = {}
    for order in ("pool", "least_to_most", "most_to_least"):
        chosen = answer(setup, "dbsa", query, ratio=ratio, order=order).selection
        assert chosen is not None
        assert set(chosen.block_ids) == wanted | {0}
        assert chosen.block_ids[0] == 0, "the sink stays first whatever the order"
        orders[order] = list(chosen.block_ids[1:])
    best_first = sorted(orders["pool"], key=lambda b: -chosen.scores[b])
    assert orders["pool"] == sorted(orders["pool"])
    assert orders["most_to_least"] == best_first == orders["least_to_most"][::-1]
    assert best_first != orders["pool"], "the query does not tell the orders apart"


def test_the_order_of_blocks_reaches_the_model(setup: Setup) -> None:
    query = "eagle flame piano"
    one = answer(setup, "dbsa", query, ratio=0.5, order="most_to_least").scores.log_probs
    other = answer(setup, "dbsa", query, ratio=0.5, order="least_to_most").scores.log_probs
    assert not np.allclose(one, other, rtol=1e-6)


OTHERWISE: dict[str, Any] = {
    "ratio": 0.8,
    "fresh_demonstrations": 3,
    "retriever": "random",
    "row_retriever": "random",
    "embedder": "none-of-that-name",
    "order": "most_to_least",
    "votes": "words",
    "vote_weight": 3.0,
    "decode": "greedy",
    "seed": 7,
}


@pytest.mark.parametrize(("retriever", "votes"), [("bm25", "none"), ("random", "none"), ("bm25", "words+vectors")])
@pytest.mark.parametrize("name", METHODS)
def test_an_answer_depends_on_the_settings_that_its_method_names(
    setup: Setup, part: Setup, name: str, retriever: str, votes: str
) -> None:
    settings = QuerySettings(
        ratio=0.4, fresh_demonstrations=2, retriever=retriever, row_retriever=retriever, votes=votes
    )
    made = part if name == "fixed_icl_fresh" else setup
    assert {field.name for field in fields(QuerySettings)} == set(OTHERWISE), "and these are all of them"
    before = make_method(name, settings).fit(made).predict("eagle flame piano")
    for field, value in OTHERWISE.items():
        if votes != "none" and field == "decode":
            continue  # refused
        other = replace(settings, **{field: "bm25" if value == getattr(settings, field) else value})
        method = make_method(name, settings)
        found = make_method(name, other).fit(made).predict("eagle flame piano")
        same = np.array_equal(found.scores.log_probs, before.scores.log_probs)
        same &= np.array_equal(found.scores.votes, before.scores.votes)
        assert same == (field not in method.uses), field


def test_random_blocks_depend_on_the_seed_and_not_on_words(setup: Setup) -> None:
    def blocks(query: str, seed: int) -> tuple[int, ...]:
        chosen = answer(setup, "dbsa", query, retriever="random", seed=seed, ratio=0.3).selection
        assert chosen is not None
        return chosen.block_ids

    assert blocks("apple", 1) == blocks("apple", 1)
    drawn = {blocks("apple", seed) for seed in range(4)}
    assert len(drawn) > 2
    assert {chosen[0] for chosen in drawn} == {0}
    fresh = answer(setup, "dbsa_fresh", "apple", retriever="random", ratio=0.1, fresh_demonstrations=1)
    assert "apple" in PAIRS[fresh.demonstration_rows[0]][0], "fresh demonstrations are the nearest nonetheless"


def test_fresh_rows_are_the_nearest_last_and_never_stand_in_a_chosen_block_too(wide: LanguageModel) -> None:
    setup = setup_of(wide, pool_tokens=500)
    assert 0 < len(setup.plan.rows) < len(PAIRS)
    rows = set()
    for thing in THINGS[::5]:
        found = answer(setup, "dbsa_fresh", f"{thing} {thing} old", ratio=0.3, fresh_demonstrations=4)
        rows |= set(found.demonstration_rows)
        assert found.selection is not None
        standing = {row for b in found.selection.block_ids for row in setup.plan.blocks[b].rows}
        assert not standing & set(found.demonstration_rows)
        order = [r for r in setup.task.row_index.rank(found.query).order if r not in standing]
        assert list(found.demonstration_rows) == order[:4][::-1]
    assert rows - set(setup.plan.rows), "rows that are not encoded stay searchable"


def test_test_rows_are_queries_only_in_every_method(wide: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes through the model is read back: of the test rows only the one that is asked stands in it."""
    test = [Demonstration(f"{thing} secret{i} red", LABELS[i % 3], i + 1) for i, thing in enumerate(THINGS[:2])]
    seen: list[str] = []
    run = LanguageModel.run

    def spy(self: Any, token_ids: torch.Tensor, *args: Any, **options: Any) -> Any:
        seen.append(bytes(t for t in token_ids.tolist() if t < 256).decode())
        return run(self, token_ids, *args, **options)

    setup = setup_of(wide)
    monkeypatch.setattr(LanguageModel, "run", spy)
    for name in ASKING:
        seen.clear()
        (_,) = evaluate([make_method(name)], setup, test)
        asked = [text for text in seen if "secret" in text]
        alone, together = asked[: len(test) + 1], asked[len(test) + 1 :]
        assert "".join(together).count("secret") == len(test), f"{name}: each once more, side by side"
        for text, row in zip([*alone, *["".join(together)] * len(test)], [test[0], *test, *test], strict=True):
            assert text.count(row.text) == 1
            assert text.count("secret") == (1 if text in alone else len(test))
            # The labels' trie follows the query in the same forward: the query's own label is not a whole line there.
            assert f"Text: {row.text}\nLabel:" in text
            assert f"Text: {row.text}\nLabel: " + row.label.replace("_", " ") + "\n==" not in text


@pytest.mark.parametrize("name", METHODS)
def test_a_row_equal_to_the_query_is_flagged_and_not_hidden(setup: Setup, name: str) -> None:
    text, _ = PAIRS[20]
    found = answer(setup, name, text.upper(), ratio=0.1, fresh_demonstrations=2)
    assert found.equal_rows == (20,)
    assert found.as_json()["equal_rows"] == [20]
    if name == "dbsa_fresh" and found.selection and block_of(setup, 20) not in found.selection.block_ids:
        assert found.demonstration_rows[-1] == 20
    assert answer(setup, name, text + " x").equal_rows == ()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("query", ["", "   ", "\n\t", "\x00\x07", "\u200b\ufeff"])
def test_a_query_with_nothing_in_it_is_refused(setup: Setup, name: str, query: str) -> None:
    with pytest.raises(QueryError, match="query is empty"):
        answer(setup, name, query)


@pytest.mark.parametrize("name", METHODS)
def test_control_characters_of_a_query_do_not_reach_the_model(setup: Setup, name: str) -> None:
    odd, plain = answer(setup, name, "\x00app\x07le\r\n red\u200b "), answer(setup, name, "apple red")
    assert odd.query == "apple red"
    assert np.array_equal(odd.scores.log_probs, plain.scores.log_probs)


@pytest.mark.parametrize("name", ASKING)
def test_a_query_that_is_too_long_is_refused_with_what_it_needs(narrow: LanguageModel, name: str) -> None:
    setup = setup_of(narrow, pool_tokens=200)
    with pytest.raises(QueryError, match=f"needs [0-9,]+ positions, and tiny-llama has {NARROW}. Shorten the query"):
        answer(setup, name, "x" * NARROW)
    longest = NARROW - setup.task.longest_label - len(setup.task.prompter.query("")) - 1
    if name in DENSE:  # they need nothing before the query but the BOS
        assert answer(setup, name, "x" * longest).demonstration_rows == ()
        with pytest.raises(QueryError):
            answer(setup, name, "x" * (longest + 1))


def test_the_lowest_ranked_blocks_go_first_and_the_prediction_says_so(narrow: LanguageModel) -> None:
    setup = setup_of(narrow, pool_tokens=480)
    query = "apple red old " + "z" * 150
    full = answer(setup, "dbsa", "apple red old", ratio=1.0).selection
    found = answer(setup, "dbsa", query, ratio=1.0)
    assert full is not None
    assert found.selection is not None
    assert full.dropped == ()
    blocks = range(len(setup.plan.blocks))
    ranked = sorted(blocks, key=lambda b: (b > 0, -found.selection.scores[b], b))
    dropped = found.selection.dropped
    assert 0 < len(dropped) < len(blocks) - 1
    assert dropped == tuple(ranked[::-1][: len(dropped)])
    assert found.selection.block_ids == tuple(sorted(ranked[: -len(dropped)]))
    needed = found.context_tokens + setup.task.longest_label
    assert needed <= NARROW < needed + len(setup.plan.blocks[dropped[-1]]), "no more is dropped than must be"
    assert found.notes == (
        f"{len(dropped)} of {len(blocks)} blocks did not fit the model's {NARROW} positions; the lowest-ranked were "
        "left out.",
    )


def test_fresh_rows_go_after_the_blocks_and_the_farthest_first(narrow: LanguageModel) -> None:
    setup = setup_of(narrow, pool_tokens=480)
    query = "apple red old " + "z" * 300
    found = answer(setup, "dbsa_fresh", query, ratio=1.0, fresh_demonstrations=12)
    assert found.selection is not None
    assert found.selection.block_ids == (0,), "only the sink is left"
    standing = set(setup.plan.blocks[0].rows)
    nearest = [row for row in setup.task.row_index.rank(query).order if row not in standing][:12]
    kept = found.demonstration_rows
    assert 0 < len(kept) < 12
    assert list(kept) == nearest[: len(kept)][::-1]
    assert found.context_tokens + setup.task.longest_label <= NARROW
    assert found.notes[-1] == f"{12 - len(kept)} similar examples did not fit the model's {NARROW} positions."


def test_no_similar_example_is_left_out_while_a_block_could_be(narrow: LanguageModel) -> None:
    """Rows of a block that is dropped may become similar examples, and make them longer than they were."""
    pairs = [*PAIRS[:12], *((f"apple {i} " + "word " * 5, "fruit") for i in range(8))]
    left_out = 0
    for seed in range(3):
        setup = setup_of(narrow, pairs, pool_tokens=500, block_size=2, seed=seed)
        for query in ("apple red " + "z" * 120, "apple word " + "y" * 260):
            found = answer(setup, "dbsa_fresh", query, ratio=1.0, fresh_demonstrations=6)
            assert found.selection is not None
            assert found.context_tokens + setup.task.longest_label <= NARROW
            if any("similar examples did not fit" in note for note in found.notes):
                left_out += 1
                assert found.selection.block_ids == (0,), (seed, query)
    assert left_out, "no case left a similar example out"


@pytest.mark.parametrize("name", ASKING)
@pytest.mark.parametrize("sink_blocks", [1, 2])
def test_the_longest_query_that_fits_is_answered_and_one_token_more_is_refused(
    narrow: LanguageModel, name: str, sink_blocks: int
) -> None:
    """What must stand before a query: the sink blocks of DBSA, the pool of Fixed ICL, the BOS of the others."""
    setup = setup_of(narrow, pool_tokens=300, block_size=2, sink_blocks=sink_blocks).encode()
    before = dict.fromkeys(DENSE, 1) | dict.fromkeys(WHOLE_POOL, setup.plan.tokens)
    sinks = sum(len(block) for block in setup.blocks[:sink_blocks])
    room = NARROW - before.get(name, sinks) - setup.task.longest_label - len("Text: \nLabel:")
    method = make_method(name, QuerySettings(ratio=1.0)).fit(setup)
    found = method.predict("x" * room)
    assert found.context_tokens + setup.task.longest_label == NARROW
    with pytest.raises(QueryError, match=rf"needs {NARROW + 1} positions, and tiny-llama has {NARROW}\."):
        method.predict("x" * (room + 1))


def test_fixed_icl_with_similar_rows_repeats_none_of_its_pool(part: Setup) -> None:
    found = answer(part, "fixed_icl_fresh", "eagle flame piano old", fresh_demonstrations=20)
    assert len(found.demonstration_rows) > 3
    assert not set(found.demonstration_rows) & set(part.rows)


def test_nearest_reads_rows_of_the_whole_file_and_nothing_is_encoded(wide: LanguageModel) -> None:
    setup = setup_of(wide, pool_tokens=150)
    found = answer(setup, "nearest", "apple red old")
    assert setup.encoded is None
    assert len(found.demonstration_rows) == 8, "unless told otherwise"
    assert set(found.demonstration_rows) - set(setup.rows), "rows that are not to be encoded, too"
    assert found.selection is None
    ranked = setup.task.row_index.rank("apple red old").order
    assert found.demonstration_rows == ranked[:8][::-1]
    assert len(answer(setup, "nearest", "qqq", fresh_demonstrations=5).demonstration_rows) == 5, "unlike any row"


def test_nearest_leaves_out_or_cuts_the_rows_that_the_plan_does(wide: LanguageModel) -> None:
    long = ("apple red old " + "apple " * 60, "tool")
    for long_rows in ("exclude", "truncate"):
        setup = setup_of(wide, [*PAIRS, long], pool_tokens=300, block_size=2, long_rows=long_rows)
        assert setup.plan.too_long == (len(PAIRS),)
        found = answer(setup, "nearest", "apple red old", fresh_demonstrations=3)
        assert (len(PAIRS) in found.demonstration_rows) == (long_rows == "truncate")
        tokens = sum(len(setup.row_ids(row)) for row in found.demonstration_rows)
        assert found.context_tokens == 1 + tokens + len(setup.task.prompter.query("apple red old"))


def test_fixed_icl_refuses_instead_of_dropping(narrow: LanguageModel) -> None:
    setup = setup_of(narrow, pool_tokens=900, positions="local")
    with pytest.raises(CapacityError, match=rf"whole pool of {setup.plan.tokens} tokens .* {NARROW} positions; choose"):
        make_method("fixed_icl").fit(setup)
    smaller = setup_of(narrow, pool_tokens=400)
    with pytest.raises(QueryError, match="Shorten the query"):
        answer(smaller, "fixed_icl", "x" * 120)
    assert answer(smaller, "fixed_icl", "x" * 40).context_tokens == smaller.plan.tokens + 40 + len("Text: \nLabel:")


def test_appending_grows_the_pool_and_leaves_old_blocks_the_same_tensors(wide: LanguageModel) -> None:
    setup = setup_of(wide, PAIRS[:16]).encode()
    before = setup.encoded_pool()
    old = {b.id: before.store.get(b.id) for b in before.blocks}
    copies = {b: (kv.keys.clone(), kv.values.clone()) for b, kv in old.items()}
    task = setup.task.extended([Demonstration(text, label, 90 + i) for i, (text, label) in enumerate(PAIRS[16:25])])
    grown = append(setup, range(16, 25), task=task)
    after = grown.encoded_pool()
    assert [block.rows for block in after.blocks[len(old) :]] == [(16, 17, 18, 19), (20, 21, 22, 23), (24,)]
    assert after.rows == (*before.rows, *range(16, 25))
    assert after.complete
    assert (len(before.blocks), len(after.pool)) == (len(old), 25)
    for b, kv in old.items():
        kept = after.store.get(b)
        assert torch.equal(kv.keys, copies[b][0]), "the old pool can still be read"
        assert torch.equal(kept.keys, copies[b][0])
        assert torch.equal(kept.values, copies[b][1])
    assert (grown.task, grown.plan, setup.encoded) == (task, setup.plan, before)
    found = answer(grown, "dbsa", "igloo old", ratio=0.3)  # row 24, the appended last block
    assert found.selection is not None
    assert len(after.blocks) - 1 in found.selection.block_ids


def test_only_new_rows_are_tokenized_where_a_task_grows(wide: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    task = setup_of(wide, PAIRS[:16]).task
    _ = task.row_index, task.rows_equal_to("x")
    seen: list[str] = []
    demonstrations = Prompter.demonstrations

    def spy(self: Prompter, texts: Any, labels: Any) -> Any:
        seen.extend(texts)
        return demonstrations(self, texts, labels)

    monkeypatch.setattr(Prompter, "demonstrations", spy)
    grown = task.extended([Demonstration(text, label, 90) for text, label in PAIRS[16:20]])
    assert seen == [text for text, _ in PAIRS[16:20]]
    assert len(task.row_ids) == len(task.pool) == 16
    afresh = Task(wide, grown.pool)
    assert grown.row_ids == afresh.row_ids
    assert grown.row_index.rank(PAIRS[18][0]).order == afresh.row_index.rank(PAIRS[18][0]).order
    assert grown.rows_equal_to(PAIRS[18][0]) == (18,)


def test_rows_are_ranked_once_however_many_blocks_are_dropped(
    narrow: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = setup_of(narrow, pool_tokens=480, block_size=2)
    method = make_method("dbsa_fresh", QuerySettings(ratio=1.0)).fit(setup)
    ranked: list[str] = []
    rank = type(setup.task.row_index).rank

    def spy(self: Any, query: str) -> Any:
        ranked.append(query)
        return rank(self, query)

    monkeypatch.setattr(type(setup.task.row_index), "rank", spy)
    found = method.predict("igloo old " + "z" * 150)
    assert found.selection is not None
    assert len(found.selection.dropped) > 1
    assert len(ranked) == 2, "blocks once, rows once"


def grown_task(setup: Setup, *rows: tuple[str, str]) -> Task:
    return setup.task.extended([Demonstration(text, label, 900 + i) for i, (text, label) in enumerate(rows)])


def test_rows_that_are_encoded_or_not_there_or_named_twice_are_not_appended(wide: LanguageModel) -> None:
    setup = setup_of(wide, PAIRS[:8])
    with pytest.raises(SettingsError, match=r"Nothing is encoded yet; call encode\(\)"):
        append(setup, [0])
    setup = setup.encode()
    with pytest.raises(DataError, match="2 of the rows to append are encoded already"):
        append(setup, [0, 1])
    with pytest.raises(DataError, match=r"1 of the rows to append are encoded already; name .* each once"):
        append(setup, [8, 8], task=grown_task(setup, PAIRS[8]))
    for row in (8, -1):
        with pytest.raises(DataError, match=rf"no row {row}; the task has the rows 0 to 7"):
            append(setup, [row])


def test_rows_of_another_file_model_or_prompt_are_not_appended(wide: LanguageModel) -> None:
    setup, pool = setup_of(wide, PAIRS[:8]).encode(), Pool.of(PAIRS[:12])
    with pytest.raises(DataError, match=r"not those of the encoded pool; make it by Task\.extended"):
        append(setup, [10], task=Task(wide, Pool.of(PAIRS[1:12])))
    with pytest.raises(DataError, match="encoded by another model"):
        append(setup, [8], task=Task(tiny_model("llama", seed=2, max_position_embeddings=WIDE), pool))
    with pytest.raises(DataError, match="encoded with another prompt"):
        append(setup, [8], task=Task(wide, pool, PromptTemplate(text_prefix="Question: ")))


def test_rows_too_long_for_the_plan_are_not_appended_unless_it_cuts_them(wide: LanguageModel) -> None:
    long = ("very " * 40 + "long", LABELS[0])
    setup = setup_of(wide, PAIRS[:16], pool_tokens=600).encode()
    assert setup.plan.longest_row < 200
    task = grown_task(setup, PAIRS[16], long)
    longest = setup.plan.longest_row
    with pytest.raises(DataError, match=rf"1 .* longer than the {longest} tokens .* \(row 17 has 2\d\d\)"):
        append(setup, [16, 17], task=task)
    cut = setup_of(wide, PAIRS[:16], pool_tokens=600, long_rows="truncate").encode()
    grown = append(cut, [16, 17], task=grown_task(cut, PAIRS[16], long))
    new = grown.encoded_pool().blocks[-1]
    assert new.token_ids == (*grown.row_ids(16), *grown.row_ids(17))
    assert len(grown.row_ids(17)) == cut.plan.longest_row < len(grown.task.row_ids[17])


def stopped(setup: Setup) -> Setup:
    asked: list[int] = []
    return Setup(setup.task, setup.plan).encode(cancelled=lambda: bool(asked.append(0)) or len(asked) > 1)


def test_stop_keeps_the_blocks_that_are_done(setup: Setup) -> None:
    part, whole = stopped(setup).encoded, setup.encoded_pool()
    assert part is not None
    done = len(part.blocks)
    assert 0 < done < len(whole.blocks) == part.blocks_planned
    assert not part.complete
    assert part.blocks == whole.blocks[:done]
    assert all(torch.equal(part.store.get(b).keys, whole.store.get(b).keys) for b in range(done))
    assert done not in part.store


def test_after_stop_every_method_reads_the_rows_that_are_encoded(setup: Setup) -> None:
    half = stopped(setup)
    assert half.encoded is not None
    query = len(half.task.prompter.query("apple"))
    chosen = answer(half, "dbsa", "apple", ratio=1.0)
    assert chosen.context_tokens == half.encoded.tokens + query
    assert set(answer(half, "retrieval_icl", "apple", ratio=1.0).demonstration_rows) == set(half.encoded.rows)
    assert answer(half, "fixed_icl", "apple").context_tokens == half.encoded.tokens + query


def test_stop_before_the_first_block_leaves_nothing_to_ask(wide: LanguageModel) -> None:
    setup = setup_of(wide).encode(cancelled=lambda: True)
    with pytest.raises(DataError, match=r"No block is encoded: .* Encode anew"):
        make_method("dbsa").fit(setup)


def test_attention_of_the_query_is_a_share_of_each_part_of_its_context(setup: Setup) -> None:
    method = make_method("dbsa_fresh", QuerySettings(ratio=0.3, fresh_demonstrations=2)).fit(setup)
    asked, plain = method.predict("apple red", attention=True), method.predict("apple red")
    assert plain.attention is None
    assert asked.attention is not None
    assert asked.selection is not None
    blocks = [f"block {b}" for b in asked.selection.block_ids]
    assert list(asked.attention.spans) == [*blocks, "similar example 1", "similar example 2", "query"]
    assert asked.attention.mass.shape == (4, 4, len(blocks) + 3)
    assert asked.attention.mass.sum(-1) == pytest.approx(np.ones((4, 4)), abs=1e-5)
    assert np.array_equal(asked.scores.log_probs, plain.scores.log_probs)


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["GPU", "CPU", "Python"])
@pytest.mark.parametrize(("name", "advice"), [
    ("dbsa", "choose a lower ratio or fewer similar"), ("dbsa_fresh", "choose a lower ratio or fewer similar"),
    ("fixed_icl", "choose fewer pool tokens"), ("retrieval_icl", "choose a lower ratio"),
    ("nearest", "choose fewer similar examples"), ("zero_shot", "shorten the query"),
])  # fmt: skip
def test_running_out_of_memory_over_a_query_says_what_to_do_and_keeps_the_pool(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, name: str, advice: str, error: Exception
) -> None:
    method = make_method(name).fit(setup)
    before = method.predict("apple red old")

    def fails(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(LanguageModel, "run", fails)
        with pytest.raises(CapacityError, match=rf"Memory of cpu ran out over a query of [\d,]+ tokens, .*; {advice}"):
            method.predict("apple red old")
    assert method.predict("apple red old").scores.log_probs == pytest.approx(before.scores.log_probs)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["GPU", "CPU", "Python"])
def test_running_out_of_memory_while_the_pool_is_encoded_says_how_far_it_came(
    wide: LanguageModel, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise error

    setup = setup_of(wide)
    monkeypatch.setattr(LanguageModel, "run", fails)
    with pytest.raises(CapacityError, match=r"Memory of cpu ran out at block 1, .*; choose a block size of at most"):
        setup.encode()
    with pytest.raises(CapacityError, match=r"Memory of cpu ran out over Fixed ICL's pool of [\d,]+ tokens"):
        make_method("fixed_icl").fit(setup)


def test_other_errors_are_not_taken_for_it(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(LanguageModel, "run", fails)
    with pytest.raises(RuntimeError, match="mat1"):
        make_method("dbsa").fit(setup).predict("apple")
