"""Which rows of the data are looked at, and how many of each label and length, against plain loops."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from app.server.data import Data
from app.server.exploring import BINS, BY_HAND, EXCLUDED, LEFT_OUT, USED, Filter, Press, Rows, edges, rows_of
from dbsa_core.data import Pool
from dbsa_core.files.tables import read_table

LINES = [
    ("Where is my card?", "card"),
    ("Where is my card?", "card"),
    ("my cash is gone and nobody answers me", "cash"),
    ("", "cash"),
    ("my CARD is lost", "card"),
    ("no money", ""),
    ("a card that is neither here nor there, and that nobody has seen since a week ago", "lost"),
    ("my card is lost", "lost"),
    ("hello", "cash"),
    ("Where is my card?", "lost"),
]


@pytest.fixture
def data(tmp_path: Path) -> Data:
    file = tmp_path / "cards.csv"
    file.write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in LINES), encoding="utf-8")
    return Data.of(read_table(file), names={"cash": "money"}, excluded=[9])


def test_every_row_of_the_file_is_there_with_what_became_of_it(data: Data) -> None:
    rows = rows_of(data)
    assert rows_of(data) is rows
    assert rows.numbers.tolist() == list(range(1, 11))
    states = {1: LEFT_OUT, 3: LEFT_OUT, 5: LEFT_OUT, 8: EXCLUDED}
    assert rows.state.tolist() == [states.get(place, USED) for place in range(10)]
    assert rows.own_labels == ["card", "card", "money", "money", "card", "", "lost", "lost", "money", "lost"]
    assert rows.texts == [text for text, _ in LINES]
    assert dict(zip(rows.labels, rows.counts.tolist(), strict=True)) == {"card": 2, "lost": 3, "money": 1}
    assert rows.kinds_of(1) == ["conflicting_labels"]
    assert rows.kinds_of(2) == ["duplicate"]
    assert rows.kinds_of(9) == []
    assert rows.rows_of(BY_HAND) == {9}
    assert rows.rows_of("nothing of the kind") == frozenset()


def shown(rows: Rows, filter: Filter, *, label: bool = True, length: bool = True) -> list[int]:
    """The slow twin of `Rows.chosen`."""
    found = []
    for place, (text, own) in enumerate(zip(rows.texts, rows.own_labels, strict=True)):
        used, row = rows.state[place] == USED, int(rows.numbers[place])
        if filter.show != "all" and used != (filter.show == "used"):
            continue
        if label and filter.label and own != filter.label:
            continue
        if length and filter.length >= 0:
            low = max(edge for edge in rows.edges if edge <= filter.length)
            above = [edge for edge in rows.edges if edge > filter.length]
            if len(text) < low or (above and len(text) >= above[0]):
                continue
        if filter.problem and row not in rows.rows_of(filter.problem):
            continue
        if filter.words.strip().lower() not in text.lower():
            continue
        found.append(place)
    return sorted(found, key=lambda place: -len(rows.texts[place])) if filter.order == "longest" else found


def test_what_a_filter_shows_is_what_a_plain_loop_finds(data: Data) -> None:
    rows, some = rows_of(data), 0
    values = product(
        ("used", "out", "all"),
        ("", "card", "lost", "money"),
        (-1, 0, int(rows.edges[1]), int(rows.edges[-1])),
        ("", "duplicate", "conflicting_labels", BY_HAND),
        ("", " CARD ", "zebra"),
        ("file", "longest"),
    )
    for show, label, length, problem, words, order in values:
        filter = Filter(show, label, length, problem, words, order)  # type: ignore[arg-type]
        found = rows.chosen(filter)
        assert found.places.tolist() == shown(rows, filter), filter
        some += len(found.places) > 0
        by_label = Counter(rows.own_labels[place] for place in shown(rows, filter, label=False))
        assert found.by_label.tolist() == [by_label[label] for label in rows.labels]
        lengths = [len(rows.texts[place]) for place in shown(rows, filter, length=False)]
        at = [max(edge for edge in rows.edges.tolist() if edge <= length) for length in lengths]
        assert found.by_length.tolist() == [at.count(edge) for edge in rows.edges.tolist()]
        assert found.total == len(shown(rows, Filter(filter.show)))
        assert found.length_totals.sum() == found.total
    assert some > 50


def test_every_number_beside_a_label_or_a_length_is_that_of_the_rows_that_a_press_shows(data: Data) -> None:
    rows = rows_of(data)
    for filter in (Filter(), Filter("all", words="card"), Filter("all", problem="conflicting_labels")):
        found = rows.chosen(filter)
        for label, number in zip(rows.labels, found.by_label, strict=True):
            assert len(rows.chosen(filter.pressed(Press({"label": label}).written)).places) == number
        for least, number in zip(rows.edges.tolist(), found.by_length, strict=True):
            assert len(rows.chosen(filter.pressed(Press({"length": least}).written)).places) == number


def test_a_press_adds_a_condition_and_the_same_press_takes_it_away() -> None:
    label, length = Press({"label": "card"}).written, Press({"length": 20}).written
    both = Filter(page=3).pressed(label).pressed(length)
    assert both == Filter(label="card", length=20)
    assert both.narrows
    assert both.pressed(label) == Filter(length=20)
    assert both.wide == Filter()
    rows = Press({"problem": "duplicate", "show": "all"}).written
    assert both.pressed(rows) == Filter("all", "card", 20, "duplicate")
    assert both.pressed(rows).pressed(rows) == both
    last = Press({"order": "longest"}).written
    assert Filter().pressed(last).pressed(last) == Filter(order="longest")
    assert Filter().pressed(Filter().to(page=4).written).page == 4


@pytest.mark.parametrize(
    "written",
    ["", "{", "[1]", '{"page": -1}', '{"page": true}', '{"show": "none"}', '{"label": 3}', '{"nothing": 1}',
     '{"length": "long"}', '{"by_name": 1}'],
)  # fmt: skip
def test_what_no_button_says_changes_nothing(written: str) -> None:
    assert Filter(label="card", page=2).pressed(written) == Filter(label="card", page=2)


@pytest.mark.parametrize("lengths", [[], [0], [3] * 9, [1, 2], list(range(500)), [40] * 99 + [9000], [7, 100_000]])
def test_ranges_of_lengths_are_round_few_and_hold_every_row(lengths: list[int]) -> None:
    found = edges(lengths)
    assert found[0] == 0
    assert len(found) <= BINS
    step = int(found[1]) if len(found) > 1 else 1
    assert str(step).rstrip("0") in ("1", "2", "5")
    assert found.tolist() == [step * place for place in range(len(found))]
    assert sum(length >= found[-1] + step for length in lengths) <= max(1, len(lengths) // 20)
    assert not lengths or found[-1] <= max(1, *lengths)


def test_a_filter_for_a_label_that_is_gone_shows_no_row(data: Data) -> None:
    assert len(rows_of(data).chosen(Filter(label="nothing")).places) == 0
    without = replace(data, pool=Pool.of(data.pool.demonstrations[:2]), excluded=(7, 8, 9, 10))
    assert "lost" not in rows_of(without).labels
    assert rows_of(without).chosen(Filter("all", label="lost")).places.tolist() == [6, 7, 9]
    assert json.loads(Press({"label": "ä"}).written) == {"label": "ä"}


def test_columns_are_explained(data: Data) -> None:
    labels, texts = rows_of(data).columns
    assert (labels.name, labels.use, labels.distinct, labels.filled) == ("label", "labels", 3, 9)
    assert (texts.name, texts.use, texts.distinct, texts.filled) == ("text", "texts", 7, 9)
