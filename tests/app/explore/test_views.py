"""What the Data tab shows of a file: what it says, and that no user text reaches the page as HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from app.explore.labels import labels_view
from app.explore.lengths import lengths_view
from app.explore.problems import problems_view
from app.explore.summary import summary_view
from app.explore.table import said, table_view
from app.server.data import Data
from app.server.exploring import Filter, rows_of
from dbsa_core.data import Pool, Problem
from dbsa_core.files.tables import Table, read_table
from tests.app.pages import IMAGE, SCRIPT, check_harmless, text_of


def data_of(rows: list[tuple[str | None, str | None]], excluded: tuple[int, ...] = (), **names: str) -> Data:
    frame = pd.DataFrame(rows, columns=["text", "label"], dtype=object)
    table = Table(frame, tuple(range(1, len(rows) + 1)), "csv", ";", "utf-8", ("A note.",), "rows.csv")
    return Data.of(table, "text", "label", names=names, excluded=excluded)


def pages(data: Data, filter: Filter) -> dict[str, str]:
    rows = rows_of(data)
    chosen = rows.chosen(filter)
    return {
        "summary": summary_view(data, rows),
        "problems": problems_view(data.pool, data.excluded, filter),
        "lengths": lengths_view(rows, chosen),
        "labels": labels_view(data, rows, chosen),
        "table": table_view(data, rows, chosen),
    }


@pytest.mark.parametrize("evil", [SCRIPT, IMAGE, '"><svg onload=alert(1)>'])
def test_no_user_text_is_html(evil: str) -> None:
    frame = pd.DataFrame({f"t {evil}": [evil, f"{evil} b", "c"], f"l {evil}": ["a", evil, "a"], evil: [evil] * 3})
    table = Table(frame.astype(object), (1, 2, 3), evil, evil, evil, (evil,), evil)
    data = Data.of(table, f"t {evil}", f"l {evil}", names={"a": f"name {evil}"})
    data = replace(data, pool=replace(data.pool, problems=(Problem("kind", f"message {evil}", (1,), False),)))
    for filter in (Filter(), Filter("all", evil, 0, "kind", evil)):
        for name, page in pages(data, filter).items():
            check_harmless(page)
            assert evil not in page
            assert "&lt;" in page or name == "lengths"


def test_the_summary_says_how_it_was_read_and_what_each_column_is() -> None:
    rows = [(f"text {place}", f"label {place % 3}") for place in range(27)]
    data = data_of([*rows, ("text 3", "label 0"), ("", "label 0"), (None, "label 1")])
    page = text_of(pages(data, Filter())["summary"])
    for part in (
        "File rows.csv",
        "Delimiter semicolon",
        "Encoding utf-8",
        "Rows 27 rows, 3 left out",
        "Labels 3",
        "median 7, 95 % up to 7 characters",
        "label: 3 distinct values in 30 rows; it holds the labels",
        "text: 27 distinct values in 28 rows, 7 characters on average; it holds the texts",
        "A note.",
    ):
        assert part in page


def test_columns_that_are_not_used_are_explained(shared_data: Path) -> None:
    cells = {"text": ["a b", "c d", "e f", "g h"], "label": ["x", "y", "x", "y"], "id": list("1234")}
    cells |= {"none": [None] * 4, "sort": ["s", "t", "s", "s"], **{f"more {place}": ["z"] * 4 for place in range(9)}}
    table = Table(pd.DataFrame(cells, dtype=object), (1, 2, 3, 4), "csv", ",", "utf-8", (), "wide.csv")
    wide = replace(table, unusable_columns={"sort": "lists or objects: first in row 3"})
    page = text_of(pages(Data.of(wide, "text", "label", names={}), Filter())["summary"])
    assert "id: 4 distinct values in 4 rows; not used" in page
    assert "none: not used, empty" in page
    assert "sort: not used, lists or objects" in page
    assert "more 2: 1 distinct value in 4 rows; not used: one value only" in page
    assert "6 more columns not used" in page
    banking = read_table(shared_data / "banking77" / "train.csv")
    page = text_of(pages(Data.of(banking, names={}), Filter())["summary"])
    assert "label: 77 distinct values in 10,003 rows; it holds the labels" in page


def test_problems_lead_to_their_rows_and_out() -> None:
    pool = Pool.of([("a", "x"), ("b", "y")])
    assert text_of(problems_view(pool, (), Filter())) == "No problems found in 2 rows."
    problems = (
        Problem("k", "Kept these.", (3, 5), False),
        Problem("d", "Left out these.", (4,), True),
        Problem("ragged_rows", "Too long.", (9,), True),
        Problem("codes", "Codes.", (), False),
    )
    page = problems_view(replace(pool, problems=problems), (7, 8), Filter(problem="d"))
    assert text_of(page) == (
        "left out Left out by you: 2 rows (7, 8). Show them Take these 2 back left out Left out these. Show it "
        "left out Too long. kept Kept these. Show them Leave these 2 out note Codes."
    )
    assert re.findall(r'aria-pressed="(\w+)"', page) == ["false", "true", "false"]
    alone = text_of(problems_view(pool, (7,), Filter()))
    assert alone == "left out Left out by you: 1 row (7). Show it Take it back No problems found in 2 rows."


ROWS: list[tuple[str | None, str | None]] = [
    (f"word {place} " * (1 + place % 4), f"l{place % 30:02d}") for place in range(60)
]


def test_every_label_is_there_with_its_rows_and_the_names_that_it_has_in_the_file() -> None:
    data = data_of([*ROWS, ("one more", "l07")], l03="three", l05="three")
    page = pages(data, Filter(label="l07"))["labels"]
    names = re.findall('data-pick="([^"]+)"', page)
    assert len(names) == 29
    assert names[:3] == ["three", "l07", "l00"]
    assert "three 4 in the file: l03, l05 Undo" in text_of(page)
    assert re.search(r'aria-pressed="true"><span>l07', page)
    by_name = pages(data, Filter(by_name=True))["labels"]
    assert re.findall('data-pick="([^"]+)"', by_name) == sorted(names)
    some = text_of(pages(data, Filter(words="one more"))["labels"])
    assert "l07 1 of 3" in some
    assert "l00 0 of 2" in some


def test_ranges_of_lengths_say_their_rows() -> None:
    data = data_of(ROWS)
    page = pages(data, Filter(label="l00", length=10))["lengths"]
    said = re.findall(r'aria-label="([^"]+: [^"]+)"', page)
    assert said[0] == "0 to 4 characters: 0 rows"
    assert said[1] == "5 to 9 characters: 1 of 15 rows"
    assert said[-1] == "30 characters or more: 0 of 13 rows"
    assert re.findall(r'aria-pressed="true" aria-label="([^:]+)', page) == ["10 to 14 characters"]


def test_what_the_rows_have_in_common_is_said() -> None:
    data = data_of([*ROWS, ("", "l00")])
    rows = rows_of(data)
    for filter, words in (
        (Filter(), "60 rows in use"),
        (Filter("out"), "1 row left out"),
        (Filter("all"), "61 rows of the file"),
        (Filter(label="l01"), "2 of 60 rows in use: labelled l01"),
        (Filter("all", "l01", 10, "newlines", " word "),
         "0 of 61 rows of the file: labelled l01, 10 to 14 characters, had line breaks, with “word”"),
    ):  # fmt: skip
        assert said(rows, rows.chosen(filter)) == words


def test_a_page_of_rows_says_what_became_of_each() -> None:
    data = data_of([*ROWS, ("word 0 ", "l00"), ("", "l01")], excluded=(2,))
    page = text_of(pages(data, Filter("all"))["table"])
    assert page.startswith("62 rows of the file In use 59 Left out 3 Whole file 62 File&#x27;s order Longest first")
    assert "1 to 25 of 62 Next" in page
    assert "2 word 1 word 1 l01 left out by you" in page
    assert "Clear the filter" not in page
    out = text_of(pages(data, Filter("out", page=9))["table"])
    assert "61 word 0 l00 repeat 6" in out
    assert "62 l01 no text 0" in out
    narrowed = text_of(pages(data, Filter("all", label="l01"))["table"])
    assert "Clear the filter Leave 1 row out Take 1 row back" in narrowed
    assert "No row fits all of that." in pages(data, Filter(words="zebra"))["table"]


def test_a_problem_shows_all_of_its_rows_whatever_was_shown_before() -> None:
    data = data_of([*ROWS, ("word 0 ", "l00"), ("word 1 word 1", "l05")])
    before = Filter(label="l01", length=10, words="zebra", order="longest")
    for look in re.findall('data-look="([^"]+)"', problems_view(data.pool, (), before)):
        after = before.pressed(unescape(look))
        shown = rows_of(data).chosen(after).places
        assert len(shown) == len(rows_of(data).rows_of(after.problem)) > 0
        assert after.order == "longest"
