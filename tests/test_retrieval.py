"""Every method by every retriever: what is read is what the retriever ranks first, alone or many at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from dbsa_core.blocks import chosen_blocks
from dbsa_core.data import Pool
from dbsa_core.methods import make_method
from dbsa_core.methods.retrieval_icl import matched_budget
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prediction import Prediction
from dbsa_core.retrieve import DEFAULT_EMBEDDER, RETRIEVERS, make_retriever
from dbsa_core.retrieve.corpus import Corpus
from dbsa_core.retrieve.embeddings import Embeddings
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.task import Task
from tests.asking import SIMILAR
from tests.letters import Letters
from tests.tiny import tiny_model

THINGS = ("apple", "brick", "cloud", "dance", "eagle", "flame", "grape", "house", "igloo", "jewel", "knife", "lemon")
LABELS = ("fruit", "sky_blue", "tool")
PAIRS = [(f"{thing} {colour} {i}", LABELS[i % 3]) for i, thing in enumerate(THINGS) for colour in ("red", "old", "big")]
QUERIES = ("eagles flaming", "an old igloo", "  jewel\tred ", "grapes", "", "an old igloo")
READING = {name: dict.fromkeys(("retriever", "row_retriever"), name) for name in RETRIEVERS}


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return tiny_model("llama", max_position_embeddings=2048)


@pytest.fixture(scope="module")
def letters() -> Iterator[Letters]:
    encoder = Letters()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("dbsa_core.retrieve.embeddings.load_embedder", lambda source, device: encoder)
        yield encoder


@pytest.fixture(scope="module")
def setup(model: LanguageModel, letters: Letters) -> Setup:
    """Some rows are not encoded."""
    settings = EncodeSettings(pool_tokens=500, block_size=3)
    found = Setup.of(Task(model, Pool.of(PAIRS)), settings).encode()
    assert 0 < len(found.rows) < len(PAIRS)
    return found


def corpora(setup: Setup) -> tuple[Corpus, Corpus]:
    """Of the rows and of the blocks, put together without the setup."""
    texts, vectors = [text for text, _ in PAIRS], Embeddings([text for text, _ in PAIRS])
    rows = Corpus(texts, [(row,) for row in range(len(PAIRS))], [(label,) for _, label in PAIRS], vectors)
    said = ["\n".join(f"{PAIRS[r][0]}\n{PAIRS[r][1].replace('_', ' ')}" for r in block.rows) for block in setup.blocks]
    labels = [{PAIRS[row][1] for row in block.rows} for block in setup.blocks]
    return rows, Corpus(said, [block.rows for block in setup.blocks], labels, vectors)


@pytest.mark.parametrize("retriever", RETRIEVERS)
def test_blocks_are_those_that_the_retriever_ranks_first(setup: Setup, retriever: str) -> None:
    settings = QuerySettings(ratio=0.4, fresh_demonstrations=0, retriever=retriever)
    method = make_method("dbsa", settings).fit(setup)
    ranked = make_retriever(retriever, corpora(setup)[1], seed=settings.seed)
    for query in ("eagles flaming", "an old igloo"):
        found = method.predict(query).selection
        assert found is not None
        ranking = ranked.rank(query)
        count = chosen_blocks(0.4, len(setup.blocks), setup.plan.pattern)
        expected = [0, *(block for block in ranking.order if block)][:count]
        assert found.block_ids == tuple(sorted(expected))
        np.testing.assert_allclose([found.scores[b] for b in range(len(setup.blocks))], ranking.scores, atol=1e-6)


@pytest.mark.parametrize("retriever", RETRIEVERS)
@pytest.mark.parametrize("name", SIMILAR)
def test_rows_are_those_that_the_retriever_ranks_first_the_nearest_last(
    setup: Setup, name: str, retriever: str
) -> None:
    settings = QuerySettings(ratio=0.3, fresh_demonstrations=4, row_retriever=retriever)
    query = "an old igloo"
    found = make_method(name, settings).fit(setup).predict(query)
    allowed = set(range(len(PAIRS)))
    if name in ("dbsa_fresh", "fixed_icl_fresh"):
        blocks = found.selection.block_ids if found.selection is not None else range(len(setup.blocks))
        allowed -= {row for block in blocks for row in setup.blocks[block].rows}
    if name == "retrieval_icl":
        allowed = set(setup.rows)
    count = matched_budget(setup, 0.3) if name.startswith("retrieval") else 4
    ranking = make_retriever(retriever, corpora(setup)[0], seed=settings.seed).rank(query)
    likely = [row for row in ranking.order if row in allowed and (ranking.scores[row] > 0 or "retr" in name)]
    assert list(found.demonstration_rows) == likely[:count][::-1]


@pytest.mark.parametrize("name", ["dbsa", *SIMILAR])
@pytest.mark.parametrize("retriever", ["dense", "hybrid", "hybrid+mmr"])
def test_many_queries_are_answered_as_one_by_one(setup: Setup, name: str, retriever: str, letters: Letters) -> None:
    method = make_method(name, QuerySettings(ratio=0.4, fresh_demonstrations=2, **READING[retriever])).fit(setup)
    setup.task.embeddings(DEFAULT_EMBEDDER).forget()
    letters.embedded.clear()
    before = letters.calls
    many = list(method.predict_many(QUERIES))
    calls = letters.calls
    assert calls == before + 1
    assert letters.embedded == ["eagles flaming", "an old igloo", "jewel red", "grapes"], "each once, in one go"
    for query, found in zip(QUERIES, many, strict=True):
        if not query:
            assert not isinstance(found, Prediction)
            continue
        assert isinstance(found, Prediction)
        alone = method.predict(query)
        assert (alone.selection, alone.demonstration_rows) == (found.selection, found.demonstration_rows)
        np.testing.assert_allclose(found.scores.log_probs, alone.scores.log_probs, atol=1e-4)
        assert 0 < found.seconds["retrieve"] < found.seconds["total"]
    assert letters.calls == calls, "they are remembered"


def test_queries_that_come_one_by_one_are_taken_one_by_one(setup: Setup, letters: Letters) -> None:
    method = make_method("nearest", QuerySettings(**READING["dense"])).fit(setup)
    taken: list[str] = []

    def coming() -> Sequence[str]:
        for query in ("eagles", "igloo"):
            taken.append(query)
            yield query  # type: ignore[misc]

    answers = method.predict_many(coming())
    assert taken == []
    assert [found.query for found in answers] == ["eagles", "igloo"]  # type: ignore[union-attr]


def test_one_encoder_serves_blocks_and_rows_and_rows_are_embedded_once(setup: Setup, letters: Letters) -> None:
    anew = Setup(Task(setup.task.model, setup.task.pool), setup.plan, setup.encoded)
    letters.embedded.clear()
    settings = QuerySettings(ratio=0.4, fresh_demonstrations=2, **READING["hybrid"])
    for name in ("dbsa_fresh", "nearest", "retrieval_icl"):
        make_method(name, settings).fit(anew).predict("an old igloo")
    assert letters.embedded == [*(text for text, _ in PAIRS), "an old igloo"]


def test_words_alone_load_no_encoder(setup: Setup, letters: Letters) -> None:
    anew, before = Setup(Task(setup.task.model, setup.task.pool), setup.plan, setup.encoded), letters.calls
    for name in ("dbsa_fresh", "retrieval_icl_file"):
        make_method(name).fit(anew).predict("an old igloo")
    assert letters.calls == before


@pytest.mark.parametrize("name", ["dbsa", "dbsa_fresh", "nearest", "retrieval_icl", "fixed_icl_fresh"])
def test_what_is_taught_is_read_beside_a_query_that_it_resembles(setup: Setup, name: str, letters: Letters) -> None:
    """By vectors too; and no row is embedded twice."""
    method = make_method(name, QuerySettings(ratio=0.4, fresh_demonstrations=3, **READING["dense"])).fit(setup)
    setup.task.embeddings(DEFAULT_EMBEDDER).forget()
    before = list(letters.embedded)
    method.teach("a zebra zigzags", "animal")
    found = method.predict("a zebra zigzags again")
    assert found.demonstration_rows[-1] == len(PAIRS)
    assert "animal" in found.labels
    new = letters.embedded[len(before) :]
    assert set(new) <= {"a zebra zigzags", "a zebra zigzags again"}
    assert len(new) == len(set(new))


def test_rows_that_are_held_out_are_read_by_no_retriever(setup: Setup) -> None:
    apart = [row for row in range(len(PAIRS)) if row not in setup.rows][:4]
    held = setup.without(apart)
    for retriever in ("bm25", "dense", "hybrid+labels", "random"):
        for name in SIMILAR:
            found = make_method(name, QuerySettings(fresh_demonstrations=30, **READING[retriever])).fit(held)
            assert not set(apart) & set(found.predict(PAIRS[apart[0]][0]).demonstration_rows)
