"""Stories in a browser: a file's rows are looked at by label, length, problem and words, left out, and labels named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.app.serving import GRADIO_ON_PANDAS_3, SOON
from tests.app.test_browser import ask, open_tab, upload

pytestmark = [pytest.mark.browser, *GRADIO_ON_PANDAS_3]
TOPICS = [f"topic {place:02d}" for place in range(30)]
LINES = [(f"a question {place} " + "about it " * (place % 5), TOPICS[place % 30]) for place in range(90)]
LINES += [LINES[4], (LINES[7][0], "topic 29"), ("", "topic 01"), ("something long " * 20, "code")]


@pytest.fixture
def tickets(page: Page, tmp_path: Path) -> Page:
    """The Data tab with a file of 94 rows, of which a repeat and an empty one are left out."""
    file = tmp_path / "tickets.csv"
    file.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in LINES), encoding="utf-8")
    open_tab(page, "Data")
    upload(page, "#data-file", file)
    expect(said(page)).to_have_text("92 rows in use", timeout=SOON)
    return page


def said(page: Page):
    return page.locator("#explored")


def label(page: Page, name: str):
    return page.locator(f"#data-labels li:has([data-pick={json.dumps(name)}])")


def rows(page: Page):
    return page.locator("#data-rows tbody tr")


def problem(page: Page, words: str):
    return page.locator("#data-problems li").filter(has_text=words)


def test_columns_are_explained_and_every_row_can_be_turned_to(tickets: Page) -> None:
    summary = tickets.locator("#data-summary")
    expect(summary).to_contain_text("label: 31 distinct values in 94 rows; it holds the labels")
    expect(summary).to_contain_text("text: 91 distinct values in 93 rows")
    expect(rows(tickets)).to_have_count(25)
    for numbers in ("26 to 50 of 92", "51 to 75 of 92", "76 to 92 of 92"):
        tickets.locator("#data-rows").get_by_role("button", name="Next").click()
        expect(tickets.locator("#data-rows")).to_contain_text(numbers)
    expect(rows(tickets)).to_have_count(17)
    expect(rows(tickets).last.locator("th")).to_have_text("94")
    tickets.get_by_role("button", name="Longest first").click()
    expect(rows(tickets).first.locator("th")).to_have_text("94")


def test_a_label_shows_its_rows_and_the_lengths_of_them(tickets: Page) -> None:
    expect(tickets.locator("#data-labels li")).to_have_count(31)
    button = label(tickets, "topic 17").get_by_role("button")
    button.click()
    expect(said(tickets)).to_have_text("3 of 92 rows in use: labelled topic 17")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(rows(tickets).locator("th")).to_have_text(["18", "48", "78"])
    some = tickets.locator("#data-lengths").get_by_role("button", name="of").first
    expect(some).to_be_visible()
    button.click()
    expect(said(tickets)).to_have_text("92 rows in use")


def test_a_list_that_was_scrolled_stays_where_it_was(tickets: Page) -> None:
    listed = tickets.locator("#data-labels ul")
    listed.evaluate("one => { one.style.maxHeight = '12rem'; }")
    tickets.add_style_tag(content="#data-labels ul { max-height: 12rem !important; }")
    button = label(tickets, "topic 26").get_by_role("button")
    button.scroll_into_view_if_needed()
    before = listed.evaluate("one => one.scrollTop")
    assert before > 0
    button.click()
    expect(said(tickets)).to_have_text("3 of 92 rows in use: labelled topic 26")
    expect(button).to_be_focused()
    assert listed.evaluate("one => one.scrollTop") == before


def test_a_length_shows_its_rows_and_words_narrow_them_down(tickets: Page) -> None:
    bins = tickets.locator("#data-lengths button")
    bins.last.click()
    expect(said(tickets)).to_contain_text("characters or more")
    expect(rows(tickets).locator("th").last).to_have_text("94")
    bins.last.click()
    tickets.get_by_label("Search the texts").fill("QUESTION 8")
    expect(said(tickets)).to_have_text("11 of 92 rows in use: with “QUESTION 8”")
    label(tickets, "topic 08").get_by_role("button").click()
    expect(said(tickets)).to_have_text("1 of 92 rows in use: labelled topic 08, with “QUESTION 8”")
    expect(label(tickets, "topic 20")).to_contain_text("1 of 3")
    tickets.get_by_role("button", name="Clear the filter").click()
    expect(said(tickets)).to_have_text("92 rows in use")
    expect(tickets.get_by_label("Search the texts")).to_have_value("")


def test_a_problem_shows_its_rows_with_their_numbers_and_one_click_leaves_them_out(tickets: Page) -> None:
    label(tickets, "topic 17").get_by_role("button").click()
    problem(tickets, "more than one label").get_by_role("button", name="Show").click()
    expect(said(tickets)).to_have_text("2 of 94 rows of the file: text with several labels")
    expect(rows(tickets).locator("th")).to_have_text(["8", "92"])
    problem(tickets, "more than one label").get_by_role("button", name="Leave these 2 out").click()
    expect(problem(tickets, "Left out by you: 2 rows (8, 92)")).to_be_visible(timeout=SOON)
    expect(problem(tickets, "more than one label")).to_have_count(0)
    expect(tickets.locator("#header")).to_contain_text("90 rows")
    problem(tickets, "as repeats").get_by_role("button", name="Show").click()
    expect(rows(tickets).locator("th")).to_have_text(["91"])
    expect(rows(tickets)).to_contain_text("repeat")
    problem(tickets, "Left out by you").get_by_role("button", name="Take these 2 back").click()
    expect(problem(tickets, "more than one label")).to_be_visible(timeout=SOON)
    expect(tickets.locator("#header")).to_contain_text("92 rows")


def test_a_row_goes_and_comes_back_by_the_keyboard_and_a_reload_keeps_it(tickets: Page) -> None:
    label(tickets, "topic 17").get_by_role("button").click()
    expect(said(tickets)).to_contain_text("labelled topic 17")
    rows(tickets).nth(1).get_by_role("button").focus()
    tickets.keyboard.press("Enter")
    expect(said(tickets)).to_have_text("2 of 91 rows in use: labelled topic 17", timeout=SOON)
    expect(rows(tickets).nth(1).get_by_role("button")).to_be_focused()
    tickets.reload()
    open_tab(tickets, "Data")
    expect(said(tickets)).to_have_text("2 of 91 rows in use: labelled topic 17", timeout=SOON)
    tickets.get_by_role("button", name="Left out 3").click()
    expect(rows(tickets)).to_contain_text(["left out by you"])
    tickets.get_by_role("button", name="Take back: row 48").click()
    expect(tickets.get_by_role("button", name="In use 92")).to_be_visible(timeout=SOON)


def test_a_code_gets_a_name_and_its_own_back(tickets: Page) -> None:
    label(tickets, "code").get_by_role("checkbox").check()
    field = tickets.get_by_label("Name of the ticked labels")
    expect(field).to_have_value("code")
    field.fill("Complaint")
    tickets.keyboard.press("Enter")
    expect(label(tickets, "Complaint")).to_contain_text("in the file: code", timeout=SOON)
    label(tickets, "Complaint").get_by_role("button", name="Complaint").click()
    expect(rows(tickets)).to_contain_text(["Complaint"])
    label(tickets, "Complaint").get_by_role("button", name="Undo").click()
    expect(label(tickets, "code")).to_be_visible(timeout=SOON)


def test_ticked_labels_become_one_and_queries_answer_by_it(tickets: Page) -> None:
    for name in ("topic 03", "topic 04", "topic 05"):
        label(tickets, name).get_by_role("checkbox").check()
    tickets.get_by_label("Name of the ticked labels").fill("Printer")
    label(tickets, "topic 05").get_by_role("button").click()
    expect(said(tickets)).to_contain_text("labelled topic 05")
    tickets.get_by_role("button", name="Merge 3 labels").click()
    merged = label(tickets, "Printer")
    expect(merged).to_contain_text("in the file: topic 03, topic 04, topic 05", timeout=SOON)
    expect(tickets.locator("#data-labels li")).to_have_count(29)
    expect(said(tickets)).to_have_text("9 of 92 rows in use: labelled Printer")
    expect(merged.get_by_role("button", name="Printer")).to_have_attribute("aria-pressed", "true")
    open_tab(tickets, "Ask")
    ask(tickets, LINES[3][0])
    expect(tickets.locator("#dbsa-answer .dbsa-label")).to_have_text("Printer", timeout=SOON)


def test_a_name_that_cannot_be_given_says_why_and_changes_nothing(tickets: Page) -> None:
    label(tickets, "code").get_by_role("checkbox").check()
    tickets.get_by_label("Name of the ticked labels").fill("topic_01")
    tickets.get_by_role("button", name="Rename").click()
    expect(tickets.locator("#messages")).to_contain_text("become the same", timeout=SOON)
    expect(label(tickets, "code")).to_be_visible()


def test_arrow_keys_go_along_the_labels(tickets: Page) -> None:
    first = tickets.locator("#data-labels .dbsa-of").first
    first.focus()
    for _ in range(2):
        tickets.keyboard.press("ArrowDown")
    tickets.keyboard.press("Enter")
    third = tickets.locator("#data-labels .dbsa-of").nth(2)
    expect(third).to_have_attribute("aria-pressed", "true")
    expect(third).to_be_focused()
    tickets.keyboard.press("Shift+Tab")
    tickets.keyboard.press("Space")
    expect(tickets.get_by_role("button", name="Rename")).to_be_enabled()


def test_the_rows_that_are_shown_are_taken_away(tickets: Page) -> None:
    label(tickets, "topic 17").get_by_role("button").click()
    expect(said(tickets)).to_contain_text("labelled topic 17")
    tickets.locator("#make-rows").click()
    with tickets.expect_download() as download:
        tickets.locator("#rows-file a").first.click()
    path = download.value.path()
    assert path.read_text(encoding="utf-8-sig").count("topic 17") == 3
    label(tickets, "topic 17").get_by_role("button").click()
    expect(tickets.locator("#rows-file")).to_be_hidden()
