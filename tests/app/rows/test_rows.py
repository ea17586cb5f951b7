"""The rows of a classified file on the page: which are shown, in which order, and that no user text is HTML."""

from __future__ import annotations

import html
import re

import pandas as pd
import pytest

from app.rows.look import ROWS_A_PAGE, Look
from app.rows.summary import SHOWN_LABELS, summary_view
from app.rows.table import OWN_COLUMNS, rows_view
from app.server.batch import Classified, RowAnswer, Rows
from dbsa_core.data import Demonstration, Pool
from dbsa_core.files.tables import Table
from dbsa_core.prediction import AS_TAUGHT, NO_LABEL, NO_TEXT, UNSURE
from tests.app.pages import IMAGE, SCRIPT, check_harmless, text_of

LABELS = ("refund", "delivery", IMAGE)


def answer(label: str, probability: float = 0.9, check: str | None = None, *, in_data: bool = False) -> RowAnswer:
    return RowAnswer(label, probability, probability, probability, 0.5, "delivery", None, check, None, in_data)


def classified(
    answers: list[RowAnswer], *, gold: list[str] | None = None, total: int = 0, columns: int = 1
) -> Classified:
    total = total or len(answers)
    texts = [f"text {number}" for number in range(1, total + 1)]
    frame = pd.DataFrame({f"own {place}": ["x"] * total for place in range(columns - 1)} | {"text": texts})
    table = Table(frame, tuple(range(1, total + 1)), "csv", ",", "utf-8", (), "q.csv")
    pool = Pool.of([Demonstration(f"row {i}", label, i + 1) for i, label in enumerate(LABELS)])
    found = Classified(Rows(table, "text", texts, "gold" if gold else None, gold or []), pool, {})
    for row in answers:
        found.add(row, 1.0)
    return found


def shown(page: str) -> list[str]:
    return re.findall(r'<th scope="row">(\d+)</th>', page)


MIXED = [
    answer("refund", 0.9),
    answer("delivery", 0.4, UNSURE),
    RowAnswer.none(NO_TEXT),
    answer("refund", 0.7, NO_LABEL),
    answer("refund", 0.6),
    answer("refund", 0.3, UNSURE),
    answer("delivery", 0.1, AS_TAUGHT),
]


@pytest.mark.parametrize(
    ("look", "rows"),
    [
        (Look(), "1234567"),
        (Look(worst_first=True), "3462517"),
        (Look("look"), "2346"),
        (Look("look", worst_first=True), "3462"),
        (Look("label", "delivery"), "27"),
        (Look("label", "none of them"), ""),
    ],
)
def test_what_needs_a_look_comes_first_on_demand(look: Look, rows: str) -> None:
    assert "".join(shown(rows_view(classified(MIXED), look, LABELS))) == rows
    assert Look.of(look.written) == look


@pytest.mark.parametrize(
    "written", ["", "[]", '{"show": "others"}', '{"page": -1}', '{"page": "1"}', '{"what": 1}', "{"]
)
def test_a_look_that_says_nothing_is_the_first_page_of_all(written: str) -> None:
    assert Look.of(written) == Look()


def test_pages_follow_each_other_and_end() -> None:
    found = classified([answer("refund")] * (2 * ROWS_A_PAGE + 3))
    looks = [Look(page=page) for page in range(4)]
    pages = [shown(rows_view(found, look, LABELS)) for look in looks]
    assert [len(page) for page in pages] == [ROWS_A_PAGE, ROWS_A_PAGE, 3, 3]
    assert [int(row) for page in pages[:3] for row in page] == list(range(1, 2 * ROWS_A_PAGE + 4))
    last = rows_view(found, looks[2], LABELS)
    assert "51 to 53 of 53" in text_of(last)
    assert re.search(r"disabled>Next", last)
    leads = [Look.of(html.unescape(found)) for found in re.findall(r'data-look="([^"]+)"', last)]
    assert looks[1] in leads
    assert looks[3] not in leads


def test_nothing_is_shown_before_the_first_row_is_done() -> None:
    assert rows_view(classified([], total=3), Look(), LABELS) == ""
    assert summary_view(classified([], total=3)) == ""


def test_a_label_opens_a_form_for_another_and_a_row_without_text_has_none() -> None:
    found = classified(MIXED)
    found.rows.texts[2] = ""  # type: ignore[index]
    page = rows_view(found, Look(), LABELS)
    assert re.findall(r'data-about="(\d+)"', page) == ["0", "1", "3", "4", "5", "6"]
    assert 'aria-label="Right label of row 4"' in page
    assert "No answer The cell is empty." in text_of(page)


def test_a_wrong_answer_says_what_is_right() -> None:
    page = rows_view(classified([answer("refund"), answer("refund")], gold=["refund", "delivery"]), Look(), LABELS)
    assert page.count("dbsa-wrong") == text_of(page).count("right: delivery") == 1


def test_a_few_of_many_columns_are_shown_and_the_text_is_one_of_them() -> None:
    page = rows_view(classified([answer("refund")], columns=OWN_COLUMNS + 3), Look(), LABELS)
    assert re.findall(r'class="dbsa-(?:text|other)">([^<]+)</th>', page) == [
        *(f"own {place}" for place in range(OWN_COLUMNS - 1)),
        "text",
    ]


def test_user_text_is_no_html() -> None:
    found = classified([answer(IMAGE), answer(SCRIPT, 0.4, UNSURE)], gold=[SCRIPT, IMAGE])
    found.rows.table.frame["text"] = [SCRIPT, IMAGE]
    check_harmless(rows_view(found, Look("label", IMAGE), [IMAGE, SCRIPT]))
    check_harmless(rows_view(found, Look(), [IMAGE, SCRIPT]))
    check_harmless(summary_view(found))


def test_the_summary_counts_what_needs_a_look_and_every_label() -> None:
    page = text_of(summary_view(classified(MIXED, total=9)))
    assert page.startswith(
        "4 of 7 rows so far need a look 2 Unsure · 1 No answer · 1 May fit no label · 1 As you taught"
    )
    assert "refund 4 2 delivery 2 1" in page
    assert "Accuracy" not in page
    assert text_of(summary_view(classified(MIXED))).startswith("4 of 7 rows need a look")
    assert text_of(summary_view(classified(MIXED[:2]))).startswith("1 of 2 rows needs a look")


def test_the_accuracy_has_its_interval_and_says_which_rows_the_data_hold() -> None:
    answers = [answer("refund")] * 8 + [answer("delivery", in_data=True)] * 2
    gold = ["refund"] * 7 + ["delivery"] * 2 + ["brick"]
    page = html.unescape(text_of(summary_view(classified(answers, gold=gold))))
    assert "Accuracy 80 % (95 % interval 49 % to 94 %) on 10 labelled rows" in page
    assert "The texts of 2 rows stand in the data as well; without them 88 % (95 % interval 53 % to 98 %) on 8" in page
    assert 'No label of the data is "brick". Its rows count as wrong.' in page
    assert "refund 8 0 7 of 7" in page


def test_a_label_without_rows_leads_nowhere_and_many_are_folded() -> None:
    page = summary_view(classified([answer("refund")], gold=["delivery"]))
    assert len(re.findall("data-look", page)) == 1
    many = [answer(f"label {number}") for number in range(SHOWN_LABELS + 3)]
    assert "3 more labels" in text_of(summary_view(classified(many)))
