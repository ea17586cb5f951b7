"""Ranking by vectors, hybrid and diverse ranking: each against a slow twin that goes document by document."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from dbsa_core.retrieve import Ranking, make_retriever
from dbsa_core.retrieve.corpus import Corpus
from dbsa_core.retrieve.dense import NEAREST
from dbsa_core.retrieve.diverse import CANDIDATES, REPEATING
from dbsa_core.retrieve.embeddings import Embeddings
from dbsa_core.retrieve.hybrid import SMOOTHING
from tests.letters import Letters

WORDS = ("card", "rate", "exchange", "declined", "arrived", "payment", "twice", "abroad", "refund", "account", "top")
QUERIES = ("card declined abroad", "refund twice", "exchange rate", "nothing of it", "card")


def texts_of(seed: int, number: int) -> list[str]:
    generator = random.Random(seed)
    return [" ".join(generator.choices(WORDS, k=generator.randint(1, 5))) for _ in range(number)]


def blocks_of(seed: int, sizes: Sequence[int]) -> Corpus:
    """Blocks of so many rows; the last row of the file is in none."""
    texts = texts_of(seed, sum(sizes) + 1)
    order = random.Random(seed).sample(range(sum(sizes)), sum(sizes))
    ends = np.cumsum(sizes)
    rows = [tuple(order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
    labels = [{f"label {row % 5}" for row in of} for of in rows]
    return Corpus(["\n".join(texts[row] for row in of) for of in rows], rows, labels, Embeddings(texts))


def slow_dense(corpus: Corpus, query: str) -> list[float]:
    """Row by row and block by block."""
    encoder = Letters()
    asked = encoder.embed([query])[0].astype(float)
    scores = []
    for of in corpus.rows:
        near = sorted((float(encoder.embed([corpus.embeddings._texts[row]])[0] @ asked) for row in of), reverse=True)
        scores.append(max(0.0, sum(near[:NEAREST]) / len(near[:NEAREST])))
    return scores


def places(scores: Sequence[float]) -> dict[int, int]:
    """From 1, of documents that have anything in common with the query."""
    ranked = sorted((d for d, score in enumerate(scores) if score > 0), key=lambda d: (-scores[d], d))
    return {document: place for place, document in enumerate(ranked, start=1)}


def slow_greedy(base: Ranking, likeness: np.ndarray | None, labels: Sequence[set[str]]) -> list[int]:
    """One document after the other, each compared with all those before it."""
    left = [document for document in base.order if base.scores[document] > 0][:CANDIDATES]
    best, taken = base.scores[left[0]], [left.pop(0)]
    while left:

        def worth(document: int) -> float:
            if likeness is not None:
                repeats = max(likeness[document, other] for other in taken)
            else:
                covered = set().union(*(labels[other] for other in taken))
                repeats = len(labels[document] & covered) / len(labels[document])
            return (1 - REPEATING) * base.scores[document] / best - REPEATING * repeats

        taken.append(max(left, key=lambda document: (round(worth(document), 12), -left.index(document))))
        left.remove(taken[-1])
    return taken


class TestDense:
    @pytest.mark.parametrize("sizes", [[1] * 9, [4] * 6, [2, 5, 1, 3]])
    @pytest.mark.parametrize("query", QUERIES)
    def test_scores_equal_the_slow_twin(self, sizes: list[int], query: str) -> None:
        corpus = blocks_of(3, sizes)
        found = make_retriever("dense", corpus).rank(query)
        np.testing.assert_allclose(found.scores, slow_dense(corpus, query), atol=1e-6)

    def test_rows_in_their_order_equal_the_slow_twin(self) -> None:
        corpus = Corpus.of(texts_of(5, 30))
        for query in QUERIES:
            np.testing.assert_allclose(
                make_retriever("dense", corpus).rank(query).scores, slow_dense(corpus, query), atol=1e-6
            )

    def test_a_text_is_nearest_to_itself_and_what_is_opposite_has_nothing_in_common(self) -> None:
        texts = texts_of(6, 40)
        retriever = make_retriever("dense", texts)
        for row, text in enumerate(texts):
            scores = retriever.rank(text).scores
            assert scores[row] == pytest.approx(1.0) == scores.max()
        assert retriever.rank(QUERIES[3]).scores.min() == 0.0

    def test_what_is_near_in_a_block_is_told_row_by_row(self) -> None:
        corpus = blocks_of(3, [3, 3])
        near = make_retriever("dense", corpus).near_rows("card abroad", 1)
        assert set(near) == set(corpus.rows[1])
        encoder = Letters()
        for row, cosine in near.items():
            expected = encoder.embed([corpus.embeddings._texts[row]])[0] @ encoder.embed(["card abroad"])[0]
            assert cosine == pytest.approx(float(expected), abs=1e-6)

    def test_words_play_no_part(self) -> None:
        assert make_retriever("dense", texts_of(1, 5)).matched_words("card", 0) == {}
        assert make_retriever("bm25", texts_of(1, 5)).near_rows("card", 0) == {}


class TestHybrid:
    @pytest.mark.parametrize("query", QUERIES)
    @pytest.mark.parametrize("sizes", [[1] * 25, [3] * 8])
    def test_it_is_the_sum_of_reciprocal_places(self, sizes: list[int], query: str) -> None:
        corpus = blocks_of(8, sizes)
        both = [places(make_retriever(name, corpus).rank(query).scores.tolist()) for name in ("bm25", "dense")]
        expected = [
            sum(1 / (SMOOTHING + of[document]) for of in both if document in of) for document in range(len(sizes))
        ]
        np.testing.assert_allclose(make_retriever("hybrid", corpus).rank(query).scores, expected, rtol=1e-12)

    def test_it_explains_itself_by_both(self) -> None:
        corpus = blocks_of(8, [3] * 8)
        hybrid = make_retriever("hybrid", corpus)
        assert hybrid.near_rows("card", 2) == make_retriever("dense", corpus).near_rows("card", 2)
        for document in range(8):
            assert hybrid.matched_words("card", document) == corpus.words.matched_words("card", document)


class TestDiverse:
    @pytest.mark.parametrize("query", QUERIES[:3])
    @pytest.mark.parametrize("base", ["bm25", "bm25-stem", "dense", "hybrid"])
    @pytest.mark.parametrize("sizes", [[1] * 40, [3] * 12])
    def test_the_order_is_that_of_a_slow_greedy_choice(self, base: str, sizes: list[int], query: str) -> None:
        corpus = blocks_of(11, sizes)
        plain = make_retriever(base, corpus)
        ranking = plain.rank(query)
        likeness = plain.likenesses(np.arange(len(sizes)))  # type: ignore[attr-defined]
        by_likeness, by_labels = (make_retriever(f"{base}+{way}", corpus).rank(query) for way in ("mmr", "labels"))
        expected = slow_greedy(ranking, likeness, [])
        assert list(by_likeness.order[: len(expected)]) == expected
        expected = slow_greedy(ranking, None, [set(of) for of in corpus.labels])
        assert list(by_labels.order[: len(expected)]) == expected

    @pytest.mark.parametrize("way", ["mmr", "labels"])
    def test_nothing_is_lost_and_candidates_stay_before_the_others(self, way: str) -> None:
        texts = texts_of(2, CANDIDATES + 150)
        corpus = Corpus(texts, [(r,) for r in range(len(texts))], [("a", "b")[r % 2] for r in range(len(texts))],
                        Embeddings(texts))  # fmt: skip
        for query in ("card", "refund refund account"):
            plain, found = (make_retriever(name, corpus).rank(query) for name in ("bm25", f"bm25+{way}"))
            alike = int((plain.scores > 0).sum())
            assert ((found.scores > 0) == (plain.scores > 0)).all()
            first = set(plain.order[: min(alike, CANDIDATES)])
            assert set(found.order[: len(first)]) == first
            assert found.order[len(first) : alike] == plain.order[len(first) : alike]
            assert found.order[0] == plain.order[0]
            np.testing.assert_allclose(np.sort(found.scores), np.sort(plain.scores), rtol=1e-9)

    def test_few_come_first_whatever_is_asked_for(self) -> None:
        found = make_retriever("dense+mmr", texts_of(2, 60)).rank("card abroad")
        assert found.best(3) == found.best(20)[:3] == found.order[:3]

    def test_the_same_row_again_comes_after_another_one(self) -> None:
        texts = ["card declined abroad", "card declined abroad", "payment card declined", "rate"]
        assert make_retriever("bm25", texts).rank("card declined").order[:3] == (0, 1, 2)
        assert make_retriever("bm25+mmr", texts).rank("card declined").order[:3] == (0, 2, 1)

    def test_another_label_comes_before_the_same_one_again(self) -> None:
        texts = ["card declined now", "card declined now please", "card declined now and then"]
        corpus = Corpus(texts, [(0,), (1,), (2,)], [("a",), ("a",), ("b",)], Embeddings(texts))
        assert make_retriever("bm25", corpus).rank("card declined now").order == (0, 1, 2)
        assert make_retriever("bm25+labels", corpus).rank("card declined now").order == (0, 2, 1)

    @pytest.mark.parametrize("way", ["mmr", "labels"])
    @pytest.mark.parametrize("texts", [["card"], ["rate"], ["rate", "top"], ["card", "rate"]])
    def test_with_nothing_to_choose_from_it_is_the_ranking_itself(self, way: str, texts: list[str]) -> None:
        plain, found = (make_retriever(name, texts).rank("card") for name in ("bm25", f"bm25+{way}"))
        np.testing.assert_array_equal(plain.scores, found.scores)

    @pytest.mark.parametrize("base", ["bm25", "bm25-stem", "dense", "hybrid"])
    def test_likeness_is_1_to_itself_and_the_same_both_ways(self, base: str) -> None:
        corpus = blocks_of(4, [2] * 10)
        found = make_retriever(base, corpus).likenesses(np.array([7, 0, 3]))  # type: ignore[attr-defined]
        np.testing.assert_allclose(np.diag(found), 1.0, atol=1e-6)
        np.testing.assert_allclose(found, found.T, atol=1e-6)
        assert ((found >= 0) & (found <= 1)).all()
