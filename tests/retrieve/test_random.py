"""The random ranking: the same in every process, another for another seed or query, and even over the documents."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from dbsa_core.retrieve import Ranking, make_retriever, nearest_rows

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [f"row {i}" for i in range(30)]
PINNED = (5, 7, 4, 6, 2, 1, 0, 3)


def test_the_same_seed_and_query_give_the_same_ranking() -> None:
    first = make_retriever("random", DOCUMENTS, seed=7)
    again = make_retriever("random", DOCUMENTS, seed=7)
    first.rank("something else")
    assert first.rank("where is my card?").order == again.rank("where is my card?").order
    np.testing.assert_array_equal(first.rank("a").scores, again.rank("a").scores)


def test_the_ranking_is_this_one_for_good() -> None:
    assert make_retriever("random", DOCUMENTS[:8], seed=1).rank("where is my card?").order == PINNED


def test_processes_agree_whatever_their_hash_seed() -> None:
    query, names = "Where is row 7's Straße, or row 3?", ("random", "bm25", "bm25-stem")
    code = (
        "import json; from dbsa_core.retrieve import make_retriever\n"
        f"found = [make_retriever(name, {DOCUMENTS!r}, seed=5).rank({query!r}) for name in {names!r}]\n"
        "print(json.dumps([[list(r.order), r.scores.tolist()] for r in found]))"
    )
    here = [make_retriever(name, DOCUMENTS, seed=5).rank(query) for name in names]
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    there = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(there.stdout) == [[list(r.order), r.scores.tolist()] for r in here]


def test_another_seed_or_query_gives_another_ranking() -> None:
    order = make_retriever("random", DOCUMENTS, seed=0).rank("query").order
    assert order != make_retriever("random", DOCUMENTS, seed=1).rank("query").order
    assert order != make_retriever("random", DOCUMENTS, seed=0).rank("query?").order


def test_every_document_comes_first_about_equally_often() -> None:
    retriever = make_retriever("random", DOCUMENTS[:4])
    firsts = np.bincount([retriever.rank(str(query)).order[0] for query in range(2000)], minlength=4)
    assert firsts.min() > 400
    assert firsts.max() < 600


def test_order_follows_the_scores_and_all_are_above_zero() -> None:
    ranking = make_retriever("random", DOCUMENTS).rank("")
    assert sorted(ranking.order) == list(range(30))
    assert (np.diff(ranking.scores[list(ranking.order)]) <= 0).all()
    assert ranking.scores.min() > 0


def test_nearest_rows_fill_up_and_leave_out_the_excluded() -> None:
    retriever = make_retriever("random", DOCUMENTS)
    order = retriever.rank("query").order
    assert nearest_rows(retriever, "query", 5) == order[:5]
    assert nearest_rows(retriever, "query", 5, exclude=order[:2]) == order[2:7]
    assert len(nearest_rows(retriever, "query", 100)) == 30


def test_a_query_with_a_lone_surrogate_is_ranked() -> None:
    assert len(make_retriever("random", DOCUMENTS).rank("\ud83d").order) == 30
    assert make_retriever("bm25", DOCUMENTS).rank("\ud83d row").order[0] == 0


def test_the_best_are_the_first_of_the_order_whatever_is_left_out() -> None:
    """Of equal scores the lower index first, at the edge too."""
    generator = np.random.default_rng(0)
    for size in (1, 2, 7, 60):
        for levels in (1, 3, 1000):
            ranking = Ranking(generator.integers(-1, levels, size) / levels)
            assert sorted(ranking.order) == list(range(size))
            for among in (None, np.zeros(size, bool), generator.random(size) < 0.6):
                wanted = [i for i in ranking.order if among is None or among[i]]
                for count in (-1, 0, 1, 2, size // 2, size, size + 5):
                    assert ranking.best(count, among) == tuple(wanted[: max(count, 0)])
