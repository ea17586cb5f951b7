"""What holds for plans: the smallest limit is the budget, labels come first, and what is promised in words is true."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from dbsa_core import planning
from dbsa_core.blocks import BlockPattern
from dbsa_core.data import Pool
from dbsa_core.errors import CapacityError, DataError
from dbsa_core.methods import Setup, make_method
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.planning import limits, plan, under_pattern
from dbsa_core.settings import SPARSITY_PATTERNS, EncodeSettings, QuerySettings
from dbsa_core.setup import encode
from dbsa_core.task import Task
from tests.tiny import tiny_model

POSITIONS = 512
PER_TOKEN = 2 * 4 * 2 * 8 * 4
"""Bytes that a token of the tiny model leaves: keys and values, 4 layers, 2 heads of 8, float32."""
PLENTY = 10**12
WORDS = ["red", "old", "big", "new", "wet", "dry", "hot", "raw"]
PAIRS = [(f"{WORDS[i % 8]} thing number {i:03d}", f"kind {i % 5}") for i in range(100)]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def task(model: LanguageModel) -> Task:
    return Task(model, Pool.of(PAIRS))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets what the machine is said to have: free bytes, and tokens a second."""

    def say(memory: int = PLENTY, speed: float = 1e9) -> None:
        monkeypatch.setattr(planning, "free_memory", lambda device: memory)
        monkeypatch.setattr(planning, "tokens_in_memory", lambda model, free, int8: int(free / PER_TOKEN / 1.25))
        monkeypatch.setattr(planning, "measured_speed", lambda model, tokens=None: speed)
        monkeypatch.setattr(planning, "estimated_seconds", lambda model, lengths, pattern: sum(lengths) / speed)

    say()
    return say


def file_tokens(task: Task) -> int:
    return 1 + sum(len(f"Text: {d.text}\nLabel: {d.label}\n==\n") for d in task.pool.demonstrations)


def test_the_limits_are_the_file_the_context_the_memory_and_30_seconds(task: Task, machine: Any) -> None:
    machine(memory=7_000_000, speed=55.5)
    found = {limit.reason: limit.tokens for limit in limits(task, EncodeSettings())}
    assert found == {
        "the file": file_tokens(task),
        "the model's context": POSITIONS * 3 // 4,
        "free memory": int(0.4 * 7_000_000 / PER_TOKEN / 1.25),
        "about 30 s of encoding on this CPU": 1665,
    }
    assert "the model's context" not in {limit.reason for limit in limits(task, EncodeSettings(positions="local"))}


def test_at_most_1024_positions_are_kept_for_a_query_by_default(machine: Any) -> None:
    large = Task(tiny_model("llama", max_position_embeddings=8192), Pool.of(PAIRS))
    assert {limit.tokens for limit in limits(large, EncodeSettings()) if "context" in limit.reason} == {8192 - 1024}


@pytest.mark.parametrize(
    ("rows", "memory", "speed", "positions", "reason", "tokens"),
    [
        (6, PLENTY, 1e9, "sequential", "the file", 1 + 6 * 44),
        (100, PLENTY, 1e9, "sequential", "the model's context", 384),
        (100, 200 * PER_TOKEN, 1e9, "sequential", "free memory", 64),
        (100, PLENTY, 8.0, "sequential", "about 30 s of encoding on this CPU", 240),
        (100, PLENTY, 1e9, "local", "the file", 1 + 100 * 44),
        (100, 800 * PER_TOKEN, 8.0, "local", "about 30 s of encoding on this CPU", 240),
    ],
)
def test_the_smallest_limit_is_the_default_budget(
    model: LanguageModel, machine: Any, rows: int, memory: int, speed: float, positions: Any, reason: str, tokens: int
) -> None:
    machine(memory, speed)
    found = plan(Task(model, Pool.of(PAIRS[:rows])), EncodeSettings(positions=positions))
    assert (found.limited_by, found.notes) == (reason, ())
    assert tokens - 44 < found.tokens <= tokens, "as many rows as fit, and no more"
    assert found.seconds == pytest.approx(found.tokens / speed)
    assert found.num_bytes == math.ceil(1.25 * found.tokens) * PER_TOKEN, "with room for a quarter more"
    assert found.kept_bytes == found.tokens * PER_TOKEN <= found.peak_bytes


@pytest.mark.parametrize(("budget", "rows"), [(1 + 6 * 44, 6), (6 * 44, 5), (1 + 44, 1)])
def test_the_bos_counts_in_the_budget(task: Task, machine: Any, budget: int, rows: int) -> None:
    made = plan(task, EncodeSettings(pool_tokens=budget))
    assert (len(made.rows), made.tokens) == (rows, 1 + 44 * rows)


def test_a_budget_of_the_users_replaces_all_limits_but_the_hard_ones(task: Task, machine: Any) -> None:
    machine(speed=1.0)
    assert plan(task, EncodeSettings(pool_tokens=500)).limited_by == "your budget"
    assert plan(task, EncodeSettings(pool_tokens=500)).tokens > 450
    over = plan(task, EncodeSettings(pool_tokens=4000))
    assert (over.limited_by, over.tokens <= POSITIONS) == ("the model's context", True)
    assert over.notes == (
        "4,000 pool tokens were asked for; the model's context holds 512. Local positions lift this limit.",
    )
    machine(memory=375 * PER_TOKEN)
    short = plan(task, EncodeSettings(pool_tokens=4000))
    assert (short.limited_by, short.tokens <= 300) == ("free memory", True)
    assert short.notes == ("4,000 pool tokens were asked for; free memory holds 300.",)


@pytest.mark.parametrize(
    ("rows", "total", "seconds", "peak", "sentence"),
    [
        (32, 11874, 30.4, 370_000_000, "32 of 11,874 rows will be encoded (about 30 s, 370 MB), covering 40 of 40 "
         "labels; the other rows stay searchable as similar examples."),
        (32, 32, 0.2, 1_400_000, "All 32 rows will be encoded (about 1 s, 1 MB), covering 40 of 40 labels."),
        (32, 33, 119.0, 9_999_000_000, "32 of 33 rows will be encoded (about 119 s, 9,999 MB), covering 40 of 40 "
         "labels; the other rows stay searchable as similar examples."),
        (32, 32, 150.0, 12_000_000_000, "All 32 rows will be encoded (about 2 min, 12 GB), covering 40 of 40 labels."),
    ],
)  # fmt: skip
def test_the_plan_in_words(
    task: Task, machine: Any, rows: int, total: int, seconds: float, peak: int, sentence: str
) -> None:
    made = plan(task, EncodeSettings(pool_tokens=44 * rows + 1, positions="local"))
    assert len(made.rows) == rows
    said = replace(
        made, rows_total=total, estimate=lambda: seconds, peak=lambda: peak, labels_covered=40, labels_total=40
    )
    assert said.sentence == sentence


def test_what_is_promised_is_what_is_encoded(task: Task, machine: Any) -> None:
    made = plan(task, EncodeSettings(pool_tokens=480, block_size=2))
    pool = encode(task, made)
    assert pool.blocks == made.blocks
    assert pool.rows == made.rows
    assert pool.num_bytes == made.num_bytes
    assert pool.complete
    assert made.tokens == sum(len(task.row_ids[row]) for row in made.rows) + 1
    assert 0 < made.density < 1


@pytest.mark.parametrize("seed", range(4))
def test_every_label_comes_first(model: LanguageModel, machine: Any, seed: int) -> None:
    """95 rows of one label and one row each of five others: a budget of six rows covers all six."""
    pool = Pool.of(RARE, [*{label for _, label in RARE}, "kind 9"])
    made = plan(Task(model, pool), EncodeSettings(pool_tokens=1 + 6 * 44, seed=seed))
    assert {pool.demonstrations[row].label for row in made.rows} == {f"kind {i}" for i in range(6)}
    assert (made.labels_covered, made.labels_total, made.rows_total) == (6, 7, 95)
    assert plan(Task(model, pool), EncodeSettings(pool_tokens=100, seed=seed)).labels_covered == 2


RARE = [(f"common thing {i:03d}", "kind 0") for i in range(95)]
RARE[7::20] = [(f"rare thing in {i:03d}", f"kind {i}") for i in range(1, 6)]


def test_time_gives_way_to_labels(model: LanguageModel, machine: Any) -> None:
    """Thirty seconds hold two rows; six rows are one of every label."""
    machine(speed=100 / 30)
    made = plan(Task(model, Pool.of(RARE)), EncodeSettings())
    assert (made.labels_covered, len(made.rows), made.limited_by) == (6, 6, "one row of every label")
    assert made.tokens <= 1 + 6 * 44
    assert made.seconds == pytest.approx(made.tokens * 30 / 100)
    assert made.sentence.startswith("6 of 95 rows will be encoded")
    enough = plan(Task(model, Pool.of(RARE)), EncodeSettings(pool_tokens=100))
    assert (enough.labels_covered, enough.limited_by) == (2, "your budget"), "a budget of the user's is kept"


def test_labels_get_no_more_than_positions_and_memory_allow(model: LanguageModel, machine: Any) -> None:
    machine(memory=625 * PER_TOKEN, speed=100 / 30)
    made = plan(Task(model, Pool.of(RARE)), EncodeSettings())
    assert (made.limited_by, made.labels_covered) == ("free memory", 4)
    machine(speed=100 / 30)
    many = Task(model, Pool.of([(f"thing {i:03d}", f"kind {i:02d}") for i in range(90)]))
    made = plan(many, EncodeSettings())
    assert made.limited_by == "the model's context"
    assert 384 - 44 < made.tokens <= 384
    all_of_them = plan(many, EncodeSettings(positions="local"))
    assert (all_of_them.labels_covered, all_of_them.limited_by) == (90, "the file")


def test_a_label_of_long_rows_is_covered_by_a_larger_budget(machine: Any) -> None:
    """A row may take an eighth of the budget, so that one of 120 tokens asks for 960."""
    wide = tiny_model("llama", max_position_embeddings=4096)
    pairs = [*PAIRS[:60], *((f"{'very ' * 17}long {i:02d}", "long") for i in range(8))]
    task = Task(wide, Pool.of(pairs))
    machine(speed=300 / 30)
    made = plan(task, EncodeSettings())
    assert (made.labels_covered, made.limited_by) == (6, "one row of every label")
    longest = max(len(task.row_ids[row]) for row in made.rows)
    assert longest == len(task.row_ids[-1])
    assert 8 * longest - 50 < made.tokens <= 8 * longest


@pytest.mark.parametrize(
    ("limited_by", "covered", "too_long", "said"),
    [
        ("your budget", 4, 0, "2 of 6 labels are left out of the blocks, and stay candidates: your budget has no room "
         "for a row of each. 2 of 95"),
        ("the file", 4, 2, "2 of 6 labels are left out of the blocks, and stay candidates: they have no row that is "
         "short enough for a block. 2 of 95"),
        ("free memory", 2, 1, "4 of 6 labels are left out of the blocks, and stay candidates: free memory has no room "
         "for a row of each, and 1 of them have no row that is short enough for a block. 2 of 95"),
        ("your budget", 6, 0, "2 of 95"),
    ],
)  # fmt: skip
def test_labels_that_are_left_out_are_said_first(
    model: LanguageModel, machine: Any, limited_by: str, covered: int, too_long: int, said: str
) -> None:
    made = plan(Task(model, Pool.of(RARE)), EncodeSettings(pool_tokens=100))
    assert made.sentence.startswith("4 of 6 labels are left out of the blocks, and stay candidates: your budget has")
    made = replace(made, limited_by=limited_by, labels_covered=covered, labels_too_long=too_long)
    assert made.sentence.startswith(said)


def test_labels_without_a_short_row_are_counted(model: LanguageModel, machine: Any) -> None:
    pairs = [*PAIRS[:20], ("very " * 30 + "long one", "long"), ("quite " * 40 + "long two", "kind 1")]
    made = plan(Task(model, Pool.of(pairs)), EncodeSettings(pool_tokens=500))
    assert (made.labels_total - made.labels_covered, made.labels_too_long) == (1, 1)
    cut = plan(Task(model, Pool.of(pairs)), EncodeSettings(pool_tokens=500, long_rows="truncate"))
    assert (cut.labels_total - cut.labels_covered, cut.labels_too_long) == (0, 0)


def test_rows_are_drawn_and_shuffled_by_the_seed(task: Task, machine: Any) -> None:
    drawn = {seed: plan(task, EncodeSettings(pool_tokens=400, seed=seed)).rows for seed in (1, 1, 2, 3)}
    assert plan(task, EncodeSettings(pool_tokens=400, seed=1)).rows == drawn[1]
    assert len({frozenset(rows) for rows in drawn.values()}) == 3
    assert all(list(rows) != sorted(rows) for rows in drawn.values())


LONG_ROWS = [*PAIRS[:20], ("very " * 30 + "long one", "kind 1"), ("quite " * 40 + "long two", "kind 2")]


def test_long_rows_are_left_out_and_counted(model: LanguageModel, machine: Any) -> None:
    made = plan(Task(model, Pool.of(LONG_ROWS)), EncodeSettings(pool_tokens=500, block_size=2))
    assert made.too_long == (20, 21)
    assert not {20, 21} & set(made.rows)
    (note,) = made.notes
    assert note.startswith("2 rows are longer than 64 tokens, too long for a block, and are left out")


def test_long_rows_that_are_said_to_stay_searchable_are_found(model: LanguageModel, machine: Any) -> None:
    setup = Setup.of(Task(model, Pool.of(LONG_ROWS)), EncodeSettings(pool_tokens=150, block_size=1))
    found = make_method("dbsa_fresh", QuerySettings(ratio=0.1)).fit(setup).predict("very long one")
    said = any("searchable" in note for note in setup.plan.notes)
    assert (20 in found.demonstration_rows) == said


def test_long_rows_are_cut_with_their_labels_whole_where_that_is_asked_for(model: LanguageModel, machine: Any) -> None:
    task = Task(model, Pool.of(LONG_ROWS[18:]))
    made = plan(task, EncodeSettings(pool_tokens=500, block_size=1, long_rows="truncate"))
    assert sorted(made.rows) == [0, 1, 2, 3]
    cut = {block.rows[0]: bytes(t for t in block.token_ids if t < 256).decode() for block in made.blocks}
    assert cut[2] == ("Text: " + "very " * 40)[: 64 - len("\nLabel: kind 1\n==\n")] + "\nLabel: kind 1\n==\n"
    assert cut[0] == f"Text: {PAIRS[18][0]}\nLabel: kind 3\n==\n"
    assert made.too_long == (2, 3)
    assert made.notes[0] == "2 rows are longer than 64 tokens, too long for a block, and are cut to 64 tokens."


def test_a_row_that_is_cut_is_as_short_in_every_method(model: LanguageModel, machine: Any) -> None:
    settings = EncodeSettings(pool_tokens=500, block_size=1, long_rows="truncate")
    setup = Setup.of(Task(model, Pool.of(LONG_ROWS[18:])), settings)
    tokens = {
        name: make_method(name, QuerySettings(ratio=1.0)).fit(setup).predict("thing").context_tokens
        for name in ("dbsa", "fixed_icl", "retrieval_icl")
    }
    assert tokens == dict.fromkeys(tokens, setup.plan.tokens + len("Text: thing\nLabel:"))


def test_a_row_that_is_cut_is_cut_beside_a_query_too(model: LanguageModel, machine: Any) -> None:
    """It stands in no block here, and is nearest: in the prompt it ends as it would in a block."""
    settings = EncodeSettings(pool_tokens=100, block_size=1, long_rows="truncate")
    setup = Setup.of(Task(model, Pool.of(LONG_ROWS)), settings)
    assert 20 not in setup.rows
    found = make_method("dbsa_fresh", QuerySettings(ratio=0.1, fresh_demonstrations=1)).fit(setup).predict("very long")
    assert found.demonstration_rows == (20,)
    assert found.selection is not None
    read = sum(len(setup.blocks[b]) for b in found.selection.block_ids)
    assert found.context_tokens == read + setup.plan.longest_row + len("Text: very long\nLabel:")


def test_what_cannot_be_met_is_refused_with_a_sentence(model: LanguageModel, task: Task, machine: Any) -> None:
    with pytest.raises(CapacityError, match=r"Not one row fits a budget of 30 tokens \(the shortest has 44"):
        plan(task, EncodeSettings(pool_tokens=30))
    long_label = Task(model, Pool.of([("x " * 60, "y" * 70), ("z", "w")]))
    with pytest.raises(DataError, match="label of row 1 alone does not fit 64 tokens"):
        plan(long_label, EncodeSettings(pool_tokens=300, long_rows="truncate"))
    machine(memory=10)
    with pytest.raises(CapacityError, match="Not one row fits a budget of 0 tokens"):
        plan(task, EncodeSettings())
    machine()
    wide = plan(task, EncodeSettings(positions="local", block_size=10, window=2))
    with pytest.raises(CapacityError, match=r"what it sees are 881 tokens long, .* 512 positions; choose a sm"):
        encode(task, wide)


def test_one_block_is_said_to_be_dense(task: Task, machine: Any) -> None:
    made = plan(task, EncodeSettings(pool_tokens=300, block_size=50))
    assert len(made.blocks) == 1
    assert made.density == 1
    assert made.notes == ("The block size of 50 is more than the 6 rows: there is one block, and nothing is sparse.",)


@pytest.mark.parametrize("positions", ["sequential", "local"])
@pytest.mark.parametrize("pool_tokens", [None, 250, 512, 3000])
@pytest.mark.parametrize("sinks", [0, 2])
def test_blocks_fresh_rows_query_and_labels_always_fit(
    task: Task, machine: Any, positions: Any, pool_tokens: int | None, sinks: int
) -> None:
    """The farthest place that any forward uses is looked at, not what the prediction says."""
    setup = Setup.of(
        task, EncodeSettings(pool_tokens=pool_tokens, positions=positions, sink_blocks=sinks, window=1, block_size=2)
    )
    farthest: list[int] = []
    run = LanguageModel.run

    def spy(self: Any, token_ids: Any, positions: torch.Tensor, *args: Any, **options: Any) -> Any:
        farthest.append(int(positions.max()))
        return run(self, token_ids, positions, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LanguageModel, "run", spy)
        for name, length in (("dbsa", 5), ("dbsa_fresh", 200), ("retrieval_icl", 300)):
            make_method(name, QuerySettings(ratio=1.0)).fit(setup).predict(f"thing {'z' * length}")
    assert max(farthest) < POSITIONS
    assert max(farthest) > POSITIONS / 2, "nothing here comes near the last position"


def test_a_plan_under_another_pattern_is_of_the_same_blocks(task: Task) -> None:
    made = plan(task, EncodeSettings(pool_tokens=300, block_size=2))
    plans = {name: under_pattern(task, made, name) for name in SPARSITY_PATTERNS}
    assert plans["sink-previous-self"].encodes_as(made)
    for name, other in plans.items():
        assert other.blocks == made.blocks
        assert other.settings == made.settings.with_sparsity_pattern(name)
        assert other.pattern == other.settings.pattern(len(made.rows))
        again = plan(task, other.settings)
        assert again.encodes_as(other)
        assert (again.density, again.peak_bytes) == (other.density, other.peak_bytes)
    order = [plans[name] for name in ("self", "sink-self", "sink-previous-self", "full")]
    assert [each.density for each in order] == sorted(each.density for each in order)
    assert [each.seconds for each in order] == sorted(each.seconds for each in order)
    assert plans["full"].density == 1
    assert plans["full"].seconds > plans["self"].seconds


def test_the_speed_is_not_measured_before_somebody_asks_how_long_it_takes(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def seconds(model: LanguageModel, lengths: Sequence[int], pattern: BlockPattern) -> float:
        asked.append((sum(lengths), pattern))
        return 10.0

    monkeypatch.setattr(planning, "estimated_seconds", seconds)
    made = plan(task, EncodeSettings(pool_tokens=100))
    assert not asked
    assert [made.seconds, made.seconds] == [10.0] * 2
    assert asked == [(made.tokens, made.pattern)]
