"""Means and differences of the accuracy table, and their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.accuracy_draws import drawn_rows
from benchmarks.accuracy_table import Table, methods_section, readme_accuracy

SETS = ("trec", "banking77", "clinc150")
ASKED = 400


def row(name: str, method: str, seed: int, right: np.ndarray[Any, Any], **more: Any) -> dict[str, Any]:
    shares = {"in_scope_accuracy": None, "oos_recall": None} | more
    return {
        "dataset": name, "method": method, "seed": seed, "accuracy": float(right.mean()), "may_read": "encoded",
        "test_rows": 1000, "right_each": "".join(map(str, right.astype(int))), "seen_each": "01" * (ASKED // 2),
        "latency_p50_seconds": 0.02 if method.startswith("dbsa") else 0.2, **shares,
    }  # fmt: skip


def rows_of(method: str, share: float, *, seeds: int = 3, by_row: bool = False, draw: int = 0) -> list[dict[str, Any]]:
    """Right about rows by chance; `by_row`: alike with every seed."""
    rng, found = np.random.default_rng(draw), []
    for name in SETS:
        always = rng.random(1000) < share
        for seed in range(seeds):
            right = always[drawn_rows(1000, seed, ASKED)] if by_row else rng.random(ASKED) < share
            found.append(row(name, method, seed, right))
    return found


def table(*rows: list[dict[str, Any]]) -> Table:
    return Table({"rows": [each for some in rows for each in some], "config": {"rows": ASKED}})


def test_rows_are_drawn_with_the_seed() -> None:
    assert drawn_rows(1000, 1, 50) == drawn_rows(1000, 1, 50) != drawn_rows(1000, 2, 50)
    assert drawn_rows(30, 1, 50) == list(range(30))


def test_a_mean_is_of_the_sets_and_its_interval_that_of_independent_rows() -> None:
    found = table(rows_of("dbsa", 0.8, seeds=1))
    mean = found.mean("dbsa")
    shares = [each["accuracy"] for each in found.rows]
    assert mean.value == pytest.approx(np.mean(shares))
    spread = np.sqrt(sum(share * (1 - share) / ASKED for share in shares)) / len(SETS)
    assert (mean.low, mean.high) == pytest.approx((mean.value - 1.96 * spread, mean.value + 1.96 * spread), abs=0.002)


def test_a_row_that_several_seeds_drew_says_no_more_than_once() -> None:
    """Where each seed finds the same, three of them are no more than the rows that they drew."""
    mean = table(rows_of("dbsa", 0.8, by_row=True)).mean("dbsa")
    rows = len({at for seed in range(3) for at in drawn_rows(1000, seed, ASKED)})
    spread = np.sqrt(0.8 * 0.2 / rows / len(SETS))
    assert (mean.high - mean.low) / 2 == pytest.approx(1.96 * spread, rel=0.15)
    assert (mean.high - mean.low) / 2 > 1.15 * 1.96 * np.sqrt(0.8 * 0.2 / (3 * ASKED) / len(SETS))


def test_a_difference_is_of_the_same_rows() -> None:
    ours = rows_of("dbsa", 0.8)
    worse = []
    for each in ours:
        right = np.array([*map(int, each["right_each"])])
        right[np.flatnonzero(right)[::40]] = 0  # 2 % of them, each time others
        worse.append(row(each["dataset"], "nearest", each["seed"], right))
    found = table(ours, worse).difference("dbsa", "nearest")
    assert found.value == pytest.approx(0.02, abs=0.003)
    assert found.low > 0.012, "far less than two means that are told apart by their own intervals"
    same = table(ours, [each | {"method": "nearest"} for each in ours]).difference("dbsa", "nearest")
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_where_word_counts_are_better_the_table_says_so() -> None:
    def told(*shares: float) -> str:
        rows = []
        for at, share in enumerate(shares):
            rows += [each for each in rows_of("tfidf", share, draw=at) if each["dataset"] == SETS[at]]
        found = {"rows": rows_of("dbsa_tuned", 0.8, draw=7) + rows}
        about = {"model": "m", "pool_tokens": 1, "rows": ASKED}
        page = methods_section({**found, "config": about, "device": "d", "dtype": "t", "versions": {"python": "3"}})
        return " ".join(next(part for part in "\n".join(page).split("\n\n") if "word-count model" in part).split())

    assert told(0.6, 0.5, 0.8).endswith("It is below beyond chance on none.")
    worse = told(0.6, 0.95, 0.8)
    assert worse.endswith("It is **below** beyond chance on Banking-77.")
    assert "TREC +" in worse
    assert "Banking-77 -" in worse


def test_texts_of_the_training_file_can_be_left_out() -> None:
    right = np.arange(ASKED) % 2 == 1  # only those that stand there
    found = table([row(name, "dbsa", 0, right) for name in SETS])
    assert found.mean("dbsa").value == 0.5
    assert found.mean("dbsa", unseen=True).value == 0


def test_a_method_without_an_option_on_a_set_stands_in_for_itself() -> None:
    refusing = [row("clinc150", "nearest+reject", seed, np.ones(ASKED), oos_recall=1.0, in_scope_accuracy=1.0)
                for seed in range(3)]  # fmt: skip
    found = table(rows_of("nearest", 0.5), refusing)
    assert set(found.methods()) == {"nearest", "nearest+reject"}
    assert found.mean("nearest+reject").value == pytest.approx((2 * 0.5 + 1) / 3, abs=0.03)


def test_what_was_not_measured_everywhere_is_not_shown() -> None:
    partly = [each for each in rows_of("tfidf", 0.7) if (each["dataset"], each["seed"]) != ("trec", 2)]
    assert table(rows_of("dbsa", 0.8), partly).methods() == ["dbsa"]


def test_only_seeds_with_which_every_set_was_measured_are_shown() -> None:
    """It is measured in pieces, seed by seed."""
    begun = [
        each for each in rows_of("dbsa", 0.8) if each["seed"] < 2 and (each["seed"], each["dataset"]) != (1, "trec")
    ]
    found = table(begun)
    assert found.seeds == [0]
    assert found.mean("dbsa").value == pytest.approx(np.mean([each["accuracy"] for each in begun if not each["seed"]]))


def test_the_section_claims_no_more_than_the_intervals() -> None:
    about = {"device": "a GPU", "dtype": "bfloat16", "versions": {"torch": "2"}}
    config = {"model": "a model", "pool_tokens": 1000, "rows": ASKED}
    rows = [*rows_of("dbsa_tuned", 0.93), *rows_of("dbsa", 0.8, draw=1), *rows_of("fixed_icl", 0.82, draw=2),
            *rows_of("tfidf", 0.93, draw=9), *rows_of("retrieval_icl_file", 0.85, draw=4)]  # fmt: skip
    lines = methods_section({**about, "config": config, "rows": rows})
    said = {line.split("`")[1]: line for line in lines if line.startswith("| `") and line.endswith(("yes |", "no |"))}
    assert said["fixed_icl"].endswith("| yes |")
    assert said["tfidf"].endswith("| no |")
    assert "dbsa" not in said
    assert any("takes 0.10 of the time of `retrieval_icl_file`" in line for line in lines)
    assert any("97." in line and "of the best of Fixed" in line for line in lines)


def test_the_readme_shows_each_method_at_its_better_and_what_is_refused_at_a_chosen_recall() -> None:
    config = {"model": "a model", "pool_tokens": 1000, "rows": ASKED}
    rows = [*rows_of("dbsa_tuned", 0.93), *rows_of("tfidf", 0.7, draw=1), *rows_of("tfidf+reject", 0.9, draw=2),
            *rows_of("dbsa", 0.8, draw=3), *rows_of("dbsa_fresh", 0.85, draw=4)]  # fmt: skip
    for each in rows:
        if (each["dataset"], each["method"]) == ("clinc150", "dbsa_tuned"):
            each |= {"oos_recall": 0.9, "in_scope_accuracy": 0.94}
            each["at_recall"] = {"accuracy": 0.93, "oos_recall": 0.81, "in_scope_accuracy": 0.97}
    found = {"device": "a GPU", "config": config, "rows": rows}
    said = readme_accuracy(found, found)
    (word_counts,) = [line for line in said.split("\n") if line.startswith("| TF-IDF")]
    assert word_counts.startswith(
        f"| TF-IDF + logistic regression, no language model | {table(rows).mean('tfidf+reject').value:.3f}"
    )
    told = said.replace("\n", " ")
    assert "Clinic-150 has texts that no label fits: tuned DBSA refuses 0.90 of them and answers 0.940" in told
    assert "it refuses 0.81, and 0.970 of the others are right" in told
