"""The bundled example: its size and balance, and that its texts are neither copies of each other nor from templates."""

import csv
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "example"
PARTS = ("train", "test")
N_CLASSES = 12

Rows = list[tuple[str, str]]


def _read(part: str) -> Rows:
    with (FOLDER / f"{part}.csv").open(encoding="utf-8", newline="") as handle:
        header, *rows = csv.reader(handle, strict=True)
    assert header == ["text", "label"]
    assert all(len(row) == 2 for row in rows), "a row without exactly two fields"
    return [(text, label) for text, label in rows]


@pytest.fixture(scope="module")
def parts() -> dict[str, Rows]:
    return {part: _read(part) for part in PARTS}


def _words(text: str) -> list[str]:
    """Lower-cased words; an apostrophe of either shape stays inside its word."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))


def _jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def _ngrams(words: list[str], n: int) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def test_the_helpers_see_what_they_are_for() -> None:
    assert _words("It's 4% — I CAN’T!") == ["it's", "4", "i", "can't"]
    assert _jaccard({"a", "b", "c"}, {"b", "c", "d"}) == pytest.approx(0.5)
    assert _ngrams(["a", "b", "c"], 2) == {("a", "b"), ("b", "c")}
    assert _ngrams(["a"], 2) == set()


def test_counts(parts: dict[str, Rows]) -> None:
    assert len(parts["train"]) >= 590
    assert len(parts["test"]) >= 115


def test_every_class_is_well_filled_in_both_parts(parts: dict[str, Rows]) -> None:
    train = Counter(label for _, label in parts["train"])
    test = Counter(label for _, label in parts["test"])
    assert len(train) == N_CLASSES
    assert set(test) == set(train)
    assert min(train.values()) >= 40, train
    assert min(test.values()) >= 8, test


def test_labels_are_lower_case_words_with_underscores(parts: dict[str, Rows]) -> None:
    labels = {label for rows in parts.values() for _, label in rows}
    assert [label for label in labels if not re.fullmatch(r"[a-z]+(?:_[a-z]+)*", label)] == []


def test_the_readme_names_every_class_and_the_counts(parts: dict[str, Rows]) -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", readme, flags=re.MULTILINE)
    assert sorted(listed) == sorted({label for _, label in parts["train"]})
    for part, rows in parts.items():
        found = re.search(rf"`{part}\.csv`(?: has)? (\d+)", readme)
        assert found is not None
        assert int(found[1]) == len(rows)


@pytest.mark.parametrize("part", PARTS)
def test_texts_are_clean_and_of_a_message_s_length(parts: dict[str, Rows], part: str) -> None:
    texts = [text for text, _ in parts[part]]
    assert [text for text in texts if not text.isprintable()] == []
    assert [text for text in texts if text != text.strip() or "  " in text] == []
    assert [text for text in texts if not 3 <= len(text.split()) <= 60] == []


@pytest.mark.parametrize("part", PARTS)
def test_rows_are_shuffled(parts: dict[str, Rows], part: str) -> None:
    labels = [label for _, label in parts[part]]
    # In a random order about one neighbour pair in twelve shares its label; sorted by class nearly all would.
    same = sum(one == other for one, other in pairwise(labels))
    assert same < len(labels) / 5


def test_no_duplicates_within_or_across_the_parts(parts: dict[str, Rows]) -> None:
    counts = Counter(" ".join(_words(text)) for rows in parts.values() for text, _ in rows)
    assert [text for text, count in counts.items() if count > 1] == []


def test_no_near_duplicates_between_the_parts(parts: dict[str, Rows]) -> None:
    train = [(text, set(_words(text))) for text, _ in parts["train"]]
    test = [(text, set(_words(text))) for text, _ in parts["test"]]
    close = [(one, other) for one, a in test for other, b in train if _jaccard(a, b) >= 0.6]
    assert close == []


def test_no_near_duplicates_within_train(parts: dict[str, Rows]) -> None:
    train = [(text, set(_words(text))) for text, _ in parts["train"]]
    close = [(one, other) for i, (one, a) in enumerate(train) for other, b in train[i + 1 :] if _jaccard(a, b) >= 0.75]
    assert close == []


def test_no_opening_is_reused(parts: dict[str, Rows]) -> None:
    openings = Counter(tuple(_words(text)[:4]) for text, _ in parts["train"])
    assert {opening: count for opening, count in openings.items() if count > 4} == {}


def test_no_five_words_in_a_row_are_reused(parts: dict[str, Rows]) -> None:
    grams = Counter(gram for text, _ in parts["train"] for gram in _ngrams(_words(text), 5))
    assert {gram: count for gram, count in grams.items() if count > 4} == {}
