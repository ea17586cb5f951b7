"""The laws again, through the front door: what `make_method` answers for a file's rows is what stock eager transformers
says of the prompt written out in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from dbsa_core.data import Pool
from dbsa_core.masks import dense_mask
from dbsa_core.methods import make_method
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prediction import Prediction
from dbsa_core.prompt import PromptTemplate
from dbsa_core.retrieve import make_retriever
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.task import Task
from tests.asking import ASKING, MATCHED
from tests.oracle import generated, pinned_logits
from tests.tiny import FAMILIES, LENGTH_DEPENDENT, tiny_model

TOLERANCE = 1e-5
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
COLOURS, THINGS = ("red", "old", "big", "wet"), ("apple", "brick", "cloud", "dance", "eagle")
LABELS = ("up", "upper", "low")
ROWS = [
    (f"{colour} {thing}", LABELS[(i + j) % 3]) for i, colour in enumerate(COLOURS) for j, thing in enumerate(THINGS)
]
TEMPLATE = PromptTemplate("T", "L", "\n=\n")
QUERY = "big red cloud"
BOS, END = 256, ord("\n")


@dataclass(frozen=True)
class Case:
    """A model with some of the rows encoded."""

    setup: Setup

    @property
    def model(self) -> LanguageModel:
        return self.setup.task.model

    def answer(self, name: str, **settings: Any) -> Prediction:
        return make_method(name, QuerySettings(**settings)).fit(self.setup).predict(QUERY)

    def by_likeness(self) -> list[int]:
        """Rows of the file, the most similar to the query last."""
        return list(reversed(make_retriever("bm25", [text for text, _ in ROWS]).rank(QUERY).order))

    def oracle(self, parts: Sequence[Sequence[int]], allowed_before: torch.Tensor | None = None) -> np.ndarray:
        """Log-probability of each label behind `parts`; attention is causal, but for a first part that is given."""
        before, found = [token for part in parts for token in part], []
        for label in self.setup.task.pool.labels:
            ids = [*bytes_of(f" {label}"), END]
            tokens = torch.tensor([*before, *ids])
            allowed = torch.ones(len(tokens), len(tokens), dtype=torch.bool).tril()
            if allowed_before is not None:
                allowed[: len(allowed_before), : len(allowed_before)] = allowed_before
            device, length = self.model.device, self.setup.plan.rope_length
            logits = pinned_logits(self.model, tokens.to(device), allowed.to(device), length)
            log_probs = logits[len(before) - 1 : -1].double().log_softmax(-1).cpu()
            found.append(float(log_probs[torch.arange(len(ids)), torch.tensor(ids)].sum()))
        return np.array(found)

    def blocks(self, chosen: Sequence[int] | None = None) -> tuple[list[list[int]], list[int]]:
        """Ids of the rows of blocks in order, the BOS at the beginning, and the tokens of each block."""
        blocks = self.setup.blocks
        ids = [[token for row in blocks[b].rows for token in row_ids(row)] for b in chosen or range(len(blocks))]
        ids[0] = [BOS, *ids[0]]
        return ids, [len(part) for part in ids]


def bytes_of(text: str) -> list[int]:
    return list(text.encode())


def row_ids(row: int) -> list[int]:
    text, label = ROWS[row]
    return bytes_of(f"T {text}\nL {label}\n=\n")


QUERY_IDS = bytes_of(f"T {QUERY}\nL")

_cases: dict[Any, Case] = {}


def case_of(family: str, device: str, **settings: Any) -> Case:
    key = (family, device, tuple(sorted(settings.items())))
    if key not in _cases:
        task = Task(tiny_model(family, device=device), Pool.of(ROWS), TEMPLATE)
        given = EncodeSettings(**{"pool_tokens": 200, "block_size": 2, "window": 1} | settings)
        _cases[key] = Case(Setup.of(task, given).encode())
    return _cases[key]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[*FAMILIES, *LENGTH_DEPENDENT])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def case(family: str, device: str) -> Case:
    found = case_of(family, device)
    assert 6 <= len(found.setup.rows) < len(ROWS), "some rows are encoded, and some are not"
    assert len(found.setup.blocks) >= 3
    return found


def check(found: Prediction, expected: np.ndarray) -> None:
    assert np.abs(found.scores.log_probs - expected).max() <= TOLERANCE * np.abs(expected).max()
    assert found.label == found.labels[int(expected.argmax())]
    shares = np.exp(expected - np.logaddexp.reduce(expected))
    assert [found.probabilities[label] for label in found.labels] == pytest.approx(shares, abs=1e-4)
    outside = 1 - float(np.exp(expected).sum())
    assert found.scores.outside_mass == pytest.approx((outside, outside), abs=1e-5)


def test_dbsa_over_all_blocks_is_one_forward_under_the_block_mask(case: Case) -> None:
    ids, lengths = case.blocks()
    found = case.answer("dbsa", ratio=1.0)
    assert found.selection is not None
    assert found.selection.block_ids == tuple(range(len(ids)))
    check(found, case.oracle([*ids, QUERY_IDS], dense_mask(lengths, case.setup.plan.pattern)))


def test_dbsa_over_blocks_that_see_nothing_else_is_one_forward_of_the_chosen_ones(family: str, device: str) -> None:
    """The first block and the best ones, moved together: wherever a block was encoded, its keys are those of its new
    place."""
    case = case_of(family, device, window=0, sink_blocks=0, positions="sequential")
    found = case.answer("dbsa", ratio=0.6)
    assert found.selection is not None
    chosen = found.selection.block_ids
    documents = ["\n".join(f"{ROWS[r][0]}\n{ROWS[r][1]}" for r in block.rows) for block in case.setup.blocks]
    ranked = [b for b in make_retriever("bm25", documents).rank(QUERY).order if b != 0]
    assert chosen == tuple(sorted((0, *ranked[: len(chosen) - 1])))
    assert len(chosen) == int(0.6 * len(documents) + 0.5) < len(documents)
    ids, lengths = case.blocks(chosen)
    block = torch.repeat_interleave(torch.arange(len(ids)), torch.tensor(lengths))
    allowed = (block[:, None] == block[None]).tril()
    check(found, case.oracle([*ids, QUERY_IDS], allowed))


def test_fresh_demonstrations_stand_before_the_query_nearest_last(case: Case) -> None:
    ids, lengths = case.blocks()
    encoded = set(case.setup.rows)
    fresh = [row for row in case.by_likeness() if row not in encoded][-2:]
    found = case.answer("dbsa_fresh", ratio=1.0, fresh_demonstrations=2)
    assert list(found.demonstration_rows) == fresh
    mask = dense_mask(lengths, case.setup.plan.pattern)
    check(found, case.oracle([*ids, *map(row_ids, fresh), QUERY_IDS], mask))


def test_fixed_icl_is_one_dense_forward_of_the_whole_pool(case: Case) -> None:
    ids, _ = case.blocks()
    check(case.answer("fixed_icl"), case.oracle([*ids, QUERY_IDS]))


def test_fixed_icl_with_similar_rows_reads_those_that_are_not_in_the_pool_nearest_last(case: Case) -> None:
    ids, _ = case.blocks()
    rows = [row for row in case.by_likeness() if row not in set(case.setup.rows)][-3:]
    found = case.answer("fixed_icl_fresh", fresh_demonstrations=3)
    assert list(found.demonstration_rows) == rows
    check(found, case.oracle([*ids, *map(row_ids, rows), QUERY_IDS]))


@pytest.mark.parametrize("ratio", [0.3, 1.0])
@pytest.mark.parametrize("name", MATCHED)
def test_retrieval_icl_is_one_dense_forward_of_the_nearest_rows_nearest_last(
    case: Case, name: str, ratio: float
) -> None:
    encoded, found = set(case.setup.rows), case.answer(name, ratio=ratio)
    blocks = max(2, int(ratio * len(case.setup.blocks) + 0.5))
    may_read = encoded if name == "retrieval_icl" else range(len(ROWS))
    rows = [row for row in case.by_likeness() if row in may_read][-min(2 * blocks, len(encoded)) :]
    assert list(found.demonstration_rows) == rows
    check(found, case.oracle([[BOS], *map(row_ids, rows), QUERY_IDS]))


@pytest.mark.parametrize("name", MATCHED)
def test_greedy_retrieval_icl_answers_as_generate_does_along_the_labels(case: Case, name: str) -> None:
    length = case.setup.plan.rope_length
    if length is not None and length > (case.model.rope.switch_length or 0):
        pytest.skip("generate lets such tables change with the length; the plan pins them")
    found = case.answer(name, decode="greedy")
    prompt = [BOS, *(token for row in found.demonstration_rows for token in row_ids(row)), *QUERY_IDS]
    paths = {(*bytes_of(f" {label}"), END): label for label in case.setup.task.pool.labels}
    assert found.label == paths[generated(case.model, prompt, paths)]


def test_nearest_is_one_dense_forward_of_the_files_nearest_rows_encoded_or_not(case: Case) -> None:
    rows, found = case.by_likeness()[-7:], case.answer("nearest", fresh_demonstrations=7)
    assert set(rows) - set(case.setup.rows), "some of them are not encoded"
    assert list(found.demonstration_rows) == rows
    check(found, case.oracle([[BOS], *map(row_ids, rows), QUERY_IDS]))


def test_zero_shot_is_one_dense_forward_of_the_query(case: Case) -> None:
    """Shorter than where longrope's tables switch: they are those of the pool's length all the same."""
    check(case.answer("zero_shot"), case.oracle([[BOS], QUERY_IDS]))


@pytest.mark.parametrize("name", ASKING)
def test_what_was_taught_is_read_at_once_and_its_label_is_a_candidate(case: Case, name: str) -> None:
    """By every method, behind blocks that were encoded before the label was known."""
    taught = Case(case.setup.teach(f"{QUERY} twice", "new one"))
    assert taught.setup.encoded is case.setup.encoded
    lesson = bytes_of(f"T {QUERY} twice\nL new one\n=\n")
    method = make_method(name, QuerySettings(ratio=1.0, fresh_demonstrations=1)).fit(case.setup)
    found = method.teach(f" {QUERY}\ttwice ", "new one").predict(QUERY)
    assert found.labels == ("low", "new one", "up", "upper")
    ids, lengths = case.blocks()
    prompt, mask = [*ids, lesson, QUERY_IDS], None
    if name.startswith("dbsa"):
        mask = dense_mask(lengths, case.setup.plan.pattern)
    elif name == "nearest":
        prompt = [[BOS], lesson, QUERY_IDS]
    elif name == "zero_shot":
        prompt = [[BOS], QUERY_IDS]
    elif name in MATCHED:
        texts = [*(text for text, _ in ROWS), f"{QUERY} twice"]
        order = reversed(make_retriever("bm25", texts).rank(QUERY).order)
        may_read = set(case.setup.rows) if name == "retrieval_icl" else range(len(ROWS))
        rows = [row for row in order if row in may_read][-len(case.setup.rows) + 1 :]  # one makes room
        prompt = [[BOS], *map(row_ids, rows), lesson, QUERY_IDS]
    if name != "zero_shot":
        assert found.demonstration_rows[-1] == len(ROWS)
    check(found, taught.oracle(prompt, mask))


def test_a_pool_shorter_than_where_tables_switch_has_those_of_its_queries(device: str) -> None:
    """One row alone would have longrope's short tables, and the row with a query and a label the long ones."""
    case = case_of("phi3-longrope", device, pool_tokens=25, block_size=1)
    ids, _ = case.blocks()
    assert sum(map(len, ids)) < (case.model.rope.switch_length or 0) < case.setup.plan.rope_length  # type: ignore[operator]
    for name in ("dbsa", "fixed_icl"):
        check(case.answer(name, ratio=1.0), case.oracle([*ids, QUERY_IDS]))


@pytest.mark.parametrize("name", ["retrieval_icl", "nearest"])
def test_a_short_dense_prompt_has_the_tables_of_the_pools_length(device: str, name: str) -> None:
    """Two rows are fewer tokens than those where longrope's tables switch."""
    pairs = [(text, "xy"[i % 2]) for i, text in enumerate("abcdefgh")]
    task = Task(tiny_model("phi3-longrope", device=device), Pool.of(pairs), TEMPLATE)
    case = Case(Setup.of(task, EncodeSettings(pool_tokens=90, block_size=1, window=1)))
    few = QuerySettings(ratio=0.01, fresh_demonstrations=2)
    found = make_method(name, few).fit(case.setup).predict("z")
    rows = [bytes_of(f"T {pairs[row][0]}\nL {pairs[row][1]}\n=\n") for row in found.demonstration_rows]
    prompt = [[BOS], *rows, bytes_of("T z\nL")]
    assert len(rows) == 2
    assert sum(map(len, prompt)) + len(" x\n") < (case.model.rope.switch_length or 0) < case.setup.plan.tokens
    check(found, case.oracle(prompt))


def test_the_tables_of_this_file_do_switch() -> None:
    """Else the laws above would hold for a plan that pins no length."""
    case = case_of("phi3-longrope", "cpu")
    switch = case.model.rope.switch_length
    assert switch is not None
    assert len(QUERY_IDS) + 1 < switch < case.setup.plan.tokens
    assert case.setup.plan.rope_length == case.model.max_positions
    tokens = torch.tensor([BOS, *QUERY_IDS])
    allowed = torch.ones(len(tokens), len(tokens), dtype=torch.bool).tril()
    short, long = (pinned_logits(case.model, tokens, allowed, length) for length in (None, 512))
    assert float((short - long).abs().max()) > 1e-2
