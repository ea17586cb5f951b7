"""Stories in a browser, with the embedded model: upload, encode, ask, reload, Stop, bad input, and nothing leaves."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import openpyxl
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from app.server.example import Example
from app.server.workspace import Workspace
from dbsa_core.cli.files import EXAMPLE
from dbsa_core.files.tables import read_table
from dbsa_core.methods import METHODS
from tests.app.serving import GRADIO_ON_PANDAS_3, NEVER_COMES, SOON, served

pytestmark = [pytest.mark.browser, *GRADIO_ON_PANDAS_3]
ENCODED = 240_000
"""Milliseconds; a busy machine encodes 50 tokens a second."""
INJECTED = "<img src=x onerror=\"document.title='pwned'\">"


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def upload(page: Page, field: str, path: Path) -> None:
    page.locator(f"{field} input[type=file]").set_input_files(path)


def choose(page: Page, dropdown: str, option: str) -> None:
    page.locator(f"{dropdown} input").click()
    page.get_by_role("option", name=option, exact=True).click()


def ask(page: Page, text: str) -> None:
    page.locator("#query textarea").fill(text)
    page.locator("#classify").click()


def enter(page: Page, field: str, number: str) -> None:
    """Type a number and leave its field, which is when it is taken."""
    box = page.locator(f"{field} input[type=number]")
    box.fill(number)
    box.press("Tab")


def use_trec(page: Page, shared_data: Path, tokens: int) -> None:
    """TREC as the data, and a budget of so many tokens."""
    open_tab(page, "Data")
    upload(page, "#data-file", shared_data / "trec" / "train.csv")
    expect(page.locator("#data-labels")).to_contain_text("ENTY", timeout=SOON)
    open_tab(page, "Encode")
    expect(page.locator("#plan")).to_contain_text("rows will be encoded", timeout=ENCODED)
    enter(page, "#pool-tokens", str(tokens))
    expect(page.locator("#plan")).to_contain_text("your budget", timeout=ENCODED)


OFFLINE = "The app says my robot is offline since I changed the router."
FILTER = "Where can I buy a new filter?"
WHOLE = re.compile("against .*: 9 of 29 blocks came from memory")


def try_example(page: Page, text: str) -> None:
    """Click one of the examples, and wait for the answer of this machine and what it is compared with."""
    page.get_by_role("button", name=text).click()
    expect(page.locator("#notice")).to_be_hidden(timeout=ENCODED)
    expect(page.locator("#comparison .dbsa-say")).to_contain_text(WHOLE, timeout=ENCODED)


def bottoms(page: Page) -> list[float]:
    """Where the three columns of an answer end, in pixels from the top of the page."""
    found: list[float] = page.locator(".dbsa-three .dbsa-panel").evaluate_all(
        "columns => columns.map(one => one.getBoundingClientRect().bottom)"
    )
    return found


def test_a_finished_answer_is_there_at_first_sight(page: Page) -> None:
    notice = page.locator("#notice")
    expect(notice).to_contain_text("Recorded example, measured on")
    expect(page.locator("#query textarea")).to_have_value(OFFLINE)
    expect(page.locator("#dbsa-answer .dbsa-label")).to_have_text("wifi_connection")
    expect(page.locator("#comparison")).to_contain_text("times as fast")
    expect(page.locator("#mask svg")).to_be_visible()
    expect(page.locator("#blocks .dbsa-entry").first).to_contain_text("shared first block")
    expect(page.locator("#blocks mark").first).to_be_visible()
    expect(page.locator("#attention .dbsa-columns li").first).to_contain_text("first")
    expect(page.locator("#details")).to_be_hidden()
    expect(notice.get_by_role("button", name="Use your own file")).to_be_visible()
    notice.get_by_role("button", name="Use your own file").click()
    expect(page.locator("#data-file")).to_be_visible()


def test_the_recorded_answer_gives_way_to_this_machines(page: Page) -> None:
    try_example(page, "Classify it here")
    expect(page.locator("#dbsa-answer .dbsa-label")).to_have_text("wifi_connection")
    page.reload()
    expect(page.locator("#query textarea")).to_have_value(OFFLINE)
    expect(page.locator("#comparison .dbsa-say")).to_contain_text(WHOLE, timeout=SOON)
    expect(page.locator("#notice")).to_be_hidden()


def test_the_three_columns_end_on_the_first_screen(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    assert len(bottoms(page)) == 3
    assert max(bottoms(page)) <= 800, "with the recorded example's notice"
    try_example(page, FILTER)
    assert max(bottoms(page)) <= 800
    heights = page.locator(".dbsa-three .dbsa-panel").evaluate_all("all => all.map(one => one.offsetHeight)")
    assert max(heights) <= 320
    overflowing = "all => all.filter(one => one.scrollHeight > one.clientHeight + 1).length"
    assert page.locator(".dbsa-three .dbsa-panel").evaluate_all(overflowing) == 0, "nothing is hidden in a column"


def test_on_a_narrow_screen_all_but_the_answer_is_folded(page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    page.reload()
    expect(page.locator("#dbsa-answer .dbsa-label")).to_be_visible()
    expect(page.locator("#comparison")).to_be_visible()
    for folded in ("#mask svg", "#blocks", "#attention"):
        expect(page.locator(folded)).to_be_hidden()
    page.locator("#mask summary").click()
    expect(page.locator("#mask svg")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    open_tab(page, "Data")
    page.reload()
    expect(page.locator("#data-file")).to_be_visible()
    expect(page.locator("#header")).to_contain_text("600 rows", timeout=SOON)
    open_tab(page, "Ask")
    page.wait_for_function(
        "(box => box.scrollHeight <= box.clientHeight + 1)(document.querySelector('#query textarea'))"
    )
    assert page.locator("#query textarea").evaluate("box => box.clientHeight") > 60, "both lines of the question"


def test_an_example_stands_in_the_box_before_it_is_answered(page: Page) -> None:
    page.route("**/queue/join*", lambda route: None)  # no event reaches the server
    page.get_by_role("button", name=FILTER).click()
    expect(page.locator("#query textarea")).to_have_value(FILTER)
    page.get_by_role("button", name="Type your own").click()
    expect(page.locator("#query textarea")).to_have_value("")
    expect(page.locator("#query textarea")).to_be_focused()
    page.unroute("**/queue/join*")


def test_while_a_query_runs_the_old_answer_says_what_it_is_for(page: Page) -> None:
    page.route("**/queue/join*", lambda route: None)  # no event reaches the server
    said, below = page.locator(".dbsa-for"), page.locator(".dbsa-three")
    expect(said).to_be_hidden()
    before = below.bounding_box()
    ask(page, "Another text")
    expect(said).to_be_visible()
    expect(said).to_contain_text(f"for: {OFFLINE}")
    expect(said.get_by_role("button", name="Stop")).to_be_visible()
    assert below.bounding_box() == before, "nothing moves"
    page.unroute("**/queue/join*")


def test_a_long_query_can_be_stopped(page: Page) -> None:
    try_example(page, FILTER)
    ask(page, "robot " * 3_000)
    page.locator(".dbsa-for").get_by_role("button", name="Stop").click()
    expect(page.locator(".dbsa-for")).to_be_hidden()
    expect(page.locator("#messages")).to_be_hidden()
    expect(page.locator("#dbsa-answer .dbsa-label")).to_have_text("replacement_parts")
    try_example(page, FILTER)


def test_a_model_that_does_not_come_can_be_given_up_and_holds_nobody_up(page: Page) -> None:
    open_tab(page, "Encode")
    expect(page.locator("#plan")).to_contain_text("rows will be encoded", timeout=ENCODED)
    page.locator("#another-model button").first.click()
    page.locator("#model-place textarea, #model-place input").fill(NEVER_COMES)
    page.locator("#load-model").click()
    note = page.locator("#model-note")
    expect(note).to_contain_text("Loading the model; the one before it answers", timeout=SOON)
    open_tab(page, "Ask")
    page.get_by_role("button", name=FILTER).click()
    expect(page.locator("#dbsa-answer .dbsa-label")).to_have_text("replacement_parts", timeout=SOON)
    open_tab(page, "Encode")
    page.locator("#cancel-model").click()
    expect(note).to_contain_text("Loading was stopped; SmolLM2-135M-Instruct answers.", timeout=SOON)
    expect(page.locator("#cancel-model")).to_be_hidden()
    expect(page.locator("#header")).to_contain_text("SmolLM2-135M-Instruct")


def test_an_answer_says_when_a_setting_that_it_used_is_another(page: Page) -> None:
    try_example(page, FILTER)
    answer = page.locator("#answer")
    open_tab(page, "Encode")
    expect(page.locator("#plan")).to_contain_text("rows will be encoded", timeout=ENCODED)
    enter(page, "#ratio", "0.1")
    expect(page.locator("#ratio-note")).to_contain_text("10 % of 29 blocks", timeout=SOON)
    open_tab(page, "Ask")
    expect(answer).to_contain_text("From ratio 0.3; now 0.1.", timeout=SOON)
    for panel in ("#answer", "#read"):
        expect(page.locator(f"{panel} .dbsa-outdated")).to_be_visible()
    answer.get_by_role("button", name="Ask again").click()
    expect(page.locator("#mask")).to_contain_text("3 of 29 blocks", timeout=ENCODED)
    expect(page.locator(".dbsa-outdated")).to_have_count(0)


def test_what_if_asks_again_at_each_move_and_changes_nothing_until_it_is_taken_up(page: Page) -> None:
    expect(page.locator("#what-if")).to_be_hidden()
    try_example(page, FILTER)
    own = page.url
    page.locator("#what-if").get_by_role("button", name="What if").click()
    slider = page.locator("#try-ratio")
    box = slider.bounding_box()
    assert box is not None
    across, down = (lambda share: box["x"] + share * box["width"]), box["y"] + box["height"] / 2
    page.mouse.move(across(0.3), down)
    page.mouse.down()
    page.mouse.move(across(0.2), down, steps=5)
    page.mouse.move(across(0.11), down, steps=5)
    ratio = slider.input_value()
    expect(page.locator("output[for=try-ratio]")).to_have_text(ratio)
    expect(page.locator("#tried li")).to_have_count(0)
    page.mouse.up()
    line = page.locator("#tried li").first
    said = (
        rf"ratio {ratio}: replacement_parts \d+ %, [\d.]+ m?s \(was \d+ %, [\d.]+ m?s(, warm-up included)?\) · 3 of 29"
    )
    expect(line).to_contain_text(re.compile(said), timeout=ENCODED)
    for _ in range(8):  # the newest move counts
        page.locator("#try-similar").press("ArrowLeft")
    expect(line).to_contain_text(f"ratio {ratio}, 0 similar rows: ", timeout=ENCODED)
    page.locator("#try-order").select_option("Best match last")
    expect(line).to_contain_text(f"ratio {ratio}, 0 similar rows, best match last: ", timeout=ENCODED)
    expect(page.locator("#mask")).to_contain_text("9 of 29 blocks")
    expect(page.locator("#comparison .dbsa-say")).to_contain_text(WHOLE, timeout=ENCODED)
    expect(page).to_have_url(own)
    line.get_by_role("link", name="Look at it").click()
    expect(page.locator("#notice")).to_contain_text("read-only")
    expect(page.locator("#mask")).to_contain_text("3 of 29 blocks")
    page.go_back()
    expect(page.locator("#mask")).to_contain_text("9 of 29 blocks")
    expect(page).to_have_url(own)
    page.locator("#tried li").last.get_by_role("button", name="Use these settings").click()
    expect(page.locator("#mask")).to_contain_text("3 of 29 blocks", timeout=ENCODED)
    expect(page.locator("#dbsa-answer h2")).to_have_text("DBSA + similar rows")
    expect(page.locator(".dbsa-outdated")).to_have_count(0)
    expect(page.locator("#tried li")).to_have_count(0)
    open_tab(page, "Encode")
    expect(page.locator("#ratio input[type=number]")).to_have_value(ratio, timeout=SOON)


def test_queries_stand_in_the_history_and_pinned_ones_side_by_side(page: Page) -> None:
    expect(page.locator("#history summary")).to_have_count(0)
    try_example(page, FILTER)
    ask(page, "I forgot my password")
    history = page.locator("#history")
    expect(history.locator("summary")).to_have_text("History2 queries", timeout=ENCODED)
    history.locator("summary").click()
    expect(history.locator("li a")).to_have_text(["I forgot my password", FILTER])
    history.get_by_role("button", name=f"Pin: {FILTER}").click()
    expect(history.locator("thead th")).to_have_text(["Text", FILTER, "I forgot my password"])
    expect(history).to_contain_text("The same for all: Support desk, 600 rows; SmolLM2-135M-Instruct")
    expect(history.get_by_role("row", name="Label").locator("td")).to_have_text(["replacement_parts", "reset_password"])
    history.get_by_role("link", name=FILTER).click()
    expect(page.locator("#notice")).to_contain_text("read-only")
    expect(page.locator("#dbsa-answer .dbsa-label")).to_have_text("replacement_parts")
    expect(history.locator("thead th")).to_have_text(["Text", FILTER])
    page.reload()
    expect(history.locator("summary")).to_have_text("History2 queries", timeout=SOON)
    history.locator("summary").click()
    history.get_by_role("button", name=f"Pinned: {FILTER}").click()
    expect(history.locator("table")).to_have_count(0)


def test_an_example_that_no_label_fits_says_so(page: Page) -> None:
    page.get_by_role("button", name="What is the capital of France?").click()
    expect(page.locator("#dbsa-answer")).to_contain_text("May fit no label", timeout=ENCODED)


def test_answers_may_say_that_no_label_fits(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbsa_core.validation.ROWS_ON_CPU", 16)
    open_tab(page, "Encode")
    page.locator("#no-label").get_by_text("Texts that fit no label").click()
    expect(page.locator("#reject-said")).to_contain_text(
        "A pool without some labels is encoded for it", timeout=ENCODED
    )
    page.locator("#may-refuse input").check()
    expect(page.locator("#reject-said")).to_contain_text("Fitted on", timeout=ENCODED)
    expect(page.locator("#coverage-plot .js-plotly-plot")).to_be_visible()
    enter(page, "#threshold", "1")
    expect(page.locator("#reject-said")).to_contain_text("At 1.00")
    open_tab(page, "Ask")
    ask(page, "How tall is a giraffe?")
    label = page.locator("#dbsa-answer .dbsa-label")
    expect(label).to_contain_text("None of the labels nearest:", timeout=ENCODED)
    expect(page.locator("#dbsa-answer .dbsa-next")).to_contain_text("below 1.00")
    open_tab(page, "Encode")
    enter(page, "#threshold", "0")
    expect(page.locator("#reject-said")).to_contain_text("At 0.00, 100 % of texts that a label fits are answered")
    open_tab(page, "Ask")
    expect(label).not_to_contain_text("None of the labels")
    expect(page.locator("#dbsa-answer .dbsa-next")).to_contain_text("in-scope score")
    page.reload()
    open_tab(page, "Encode")
    page.locator("#no-label").get_by_text("Texts that fit no label").click()
    expect(page.locator("#may-refuse input")).to_be_checked()
    expect(page.locator("#reject-said")).to_contain_text("Fitted on")


def test_details_are_behind_one_button(page: Page) -> None:
    try_example(page, FILTER)
    expect(page.locator("#latency")).to_be_hidden()
    assert not page.evaluate("performance.getEntriesByType('resource').some(one => one.name.includes('PlotlyPlot'))")
    page.locator("#details").get_by_role("button", name="Details").click()
    expect(page.locator("#latency th")).to_contain_text(["Phase", "DBSA + similar rows", "Retrieval ICL"])
    page.get_by_text("What is this number?").click()
    expect(page.locator(".dbsa-meaning")).to_contain_text("Softmax over the 12 candidate labels")
    expect(page.locator("#whole-mask .dbsa-cells .dbsa-itself")).to_be_visible(timeout=SOON)
    assert not page.evaluate("performance.getEntriesByType('resource').some(one => one.name.includes('PlotlyPlot'))")


def test_own_data_are_asked_after_one_press(page: Page, tmp_path: Path) -> None:
    """Rows alone answer at once, the pool answers the same question by itself when it is there."""
    words = {"billing": "invoice charge card", "delivery": "parcel courier late", "account": "password login mail"}
    rows = [f"{' '.join(w.split()[i % 3 :])} number {i},{label}" for i in range(20) for label, w in words.items()]
    (tmp_path / "tickets.csv").write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    open_tab(page, "Data")
    upload(page, "#data-file", tmp_path / "tickets.csv")
    use = page.locator("#use-data")
    expect(use).to_have_text(re.compile(r"Use these 60 rows: encode \d+ now \(about \d+ s\) and ask"), timeout=ENCODED)
    open_tab(page, "Ask")
    notice = page.locator("#notice")
    expect(notice).to_contain_text("Nothing is encoded: the most similar rows alone answer")
    expect(notice.get_by_role("button")).to_have_text(re.compile("^Use these 60 rows: encode "))
    page.locator("#query textarea").fill("where is my parcel")
    page.locator("#query textarea").press("Enter")
    heading = page.locator("#dbsa-answer h2")
    expect(heading).to_have_text("Similar rows alone", timeout=ENCODED)
    expect(page.locator("#comparison")).to_contain_text("The comparison comes when the pool is encoded")
    expect(page.locator("#messages")).to_be_hidden()
    open_tab(page, "Data")
    use.click()
    expect(page.locator("#query textarea")).to_be_visible()
    expect(heading).to_have_text("DBSA + similar rows", timeout=ENCODED)
    expect(page.locator("#query textarea")).to_have_value("where is my parcel")
    expect(page.locator("#header")).to_contain_text("encoded, ready")
    expect(notice).to_be_hidden()
    open_tab(page, "Data")
    expect(use).to_have_text("Ask about these 60 rows", timeout=SOON)


def test_upload_encode_reload_and_ask(page: Page, shared_data: Path) -> None:
    use_trec(page, shared_data, 1500)
    expect(page.locator("#header")).to_contain_text("nothing encoded")
    page.locator("#encode").click()
    progress = page.locator("#encode-progress")
    expect(progress).to_contain_text("Encoding: block", timeout=ENCODED)
    expect(page.locator("#encode")).to_be_disabled()
    page.reload()
    expect(page.locator("#header")).to_contain_text("train.csv", timeout=SOON)
    expect(progress).to_contain_text("Ready", timeout=ENCODED)
    expect(page.locator("#header")).to_contain_text("encoded, ready", timeout=SOON)
    open_tab(page, "Ask")
    ask(page, "Who wrote Hamlet ?")
    expect(page.locator("#dbsa-answer .dbsa-label")).to_have_text(
        re.compile("ABBR|DESC|ENTY|HUM|LOC|NUM"), timeout=SOON
    )
    expect(page.locator("#dbsa-answer h2")).to_have_text("DBSA + similar rows", timeout=SOON)


def test_stop_keeps_the_blocks_that_are_done(page: Page, shared_data: Path) -> None:
    use_trec(page, shared_data, 4000)
    page.locator("#encode").click()
    expect(page.locator("#encode-progress")).to_contain_text(re.compile("Encoding: block [1-9]"), timeout=ENCODED)
    page.locator("#stop-encode").click()
    expect(page.locator("#encode-progress")).to_contain_text("Stopped after block", timeout=ENCODED)
    open_tab(page, "Ask")
    notice = page.locator("#notice")
    expect(notice).to_contain_text(re.compile(r"stopped after \d+ of \d+ blocks. Queries read what is done."))
    notice.get_by_role("button", name=LEFT).click()
    expect(page.locator("#header")).to_contain_text("encoded, ready", timeout=ENCODED)
    expect(notice).to_be_hidden(timeout=SOON)
    open_tab(page, "Encode")
    expect(page.locator("#encode")).to_be_disabled()
    expect(page.locator("#encode-progress")).to_contain_text(
        "Nothing has changed since, so there is nothing to encode."
    )


LEFT = re.compile(r"Continue \(\d+ blocks? left\)")


def test_stop_while_encoding_anew_leaves_the_old_pool_answering(page: Page) -> None:
    expect(page.locator("#header")).to_contain_text("encoded, ready", timeout=ENCODED)
    open_tab(page, "Encode")
    expect(page.locator("#plan")).to_contain_text("rows will be encoded", timeout=ENCODED)
    window = page.locator("#window input")
    window.fill("1")
    window.press("Tab")
    changed = "Changed since this pool was encoded: the window (2 to 1)."
    expect(page.locator("#encode-progress")).to_contain_text(changed, timeout=SOON)
    page.locator("#encode").click()
    expect(page.locator("#encode-progress")).to_contain_text(re.compile("Encoding: block [1-9]"), timeout=ENCODED)
    page.locator("#stop-encode").click()
    expect(page.locator("#encode-progress")).to_contain_text("Until you choose, the pool from before answers.")
    expect(page.locator("#encode")).to_have_text(LEFT)
    open_tab(page, "Ask")
    expect(page.locator("#header")).to_contain_text("143 encoded, changed since")
    page.get_by_role("button", name=FILTER).click()
    expect(page.locator("#mask")).to_contain_text("of 29 blocks", timeout=ENCODED)
    page.locator("#notice").get_by_role("button", name="Keep the old pool").click()
    expect(page.locator("#notice")).to_contain_text(changed)
    open_tab(page, "Encode")
    expect(page.locator("#use-part")).to_be_hidden()
    window.fill("2")
    window.press("Tab")
    expect(page.locator("#header")).to_contain_text("143 encoded, ready", timeout=SOON)


def test_a_bad_file_shows_our_message_and_loses_nothing(page: Page, tmp_path: Path) -> None:
    bad = tmp_path / "picture.csv"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2000))
    open_tab(page, "Data")
    upload(page, "#data-file", bad)
    strip = page.locator("#messages")
    expect(strip).to_contain_text("picture.csv", timeout=SOON)
    expect(strip).to_contain_text("Accepted are CSV")
    expect(page.locator("#header")).to_contain_text("Support desk")
    strip.get_by_role("button", name="Dismiss").click()
    expect(strip).to_be_hidden()


def test_bad_settings_and_queries_show_our_message(page: Page) -> None:
    open_tab(page, "Encode")
    expect(page.locator("#plan")).to_contain_text("rows will be encoded", timeout=ENCODED)
    page.locator("#block-size input").fill("0")
    page.locator("#block-size input").press("Tab")
    strip = page.locator("#messages")
    expect(strip).to_contain_text("Block size (examples per block) is 0", timeout=SOON)
    expect(page.locator("#block-size input")).to_have_value("")
    open_tab(page, "Data")
    open_tab(page, "Encode")
    expect(strip).to_be_visible()
    page.locator("#block-size input").fill("10")
    page.locator("#block-size input").press("Enter")
    expect(strip).to_be_hidden(timeout=SOON)
    expect(page.locator("#plan")).to_contain_text("10 demonstrations", timeout=SOON)
    expect(page.locator("#encode-progress")).to_contain_text("the block size (5 to 10)", timeout=ENCODED)
    open_tab(page, "Ask")
    ask(page, "   ")
    expect(strip).to_contain_text("The query is empty", timeout=ENCODED)


def test_tabbing_through_the_settings_raises_nothing(page: Page) -> None:
    open_tab(page, "Encode")
    expect(page.locator("#plan")).to_contain_text("rows will be encoded", timeout=ENCODED)
    plan = page.locator("#plan .dbsa-plan").inner_text()  # without Gradio's own words of progress
    page.locator("#preset input").focus()
    for _ in range(40):
        page.keyboard.press("Tab")
    for number, value in (("#window", "2"), ("#ratio", "0.3"), ("#pool-tokens", "4000")):
        field = page.locator(f"{number} input[type=number]")
        field.fill("")
        field.press("Tab")
        expect(field).to_have_value(value, timeout=SOON)
    assert page.locator("#plan .dbsa-plan").inner_text() == plan
    expect(page.locator(".toast-wrap .error")).to_have_count(0)
    expect(page.locator("#messages")).to_be_hidden()


def test_what_users_write_stays_text(page: Page, tmp_path: Path) -> None:
    rows = "".join(f"{INJECTED} number {i},{label}\n" for i in range(9) for label in ("<b>bold</b>", "plain"))
    file = tmp_path / "x<img src=x onerror=alert(1)>.csv"
    file.write_text(f"{INJECTED.replace(',', '')},label\n{rows}", encoding="utf-8")
    open_tab(page, "Data")
    upload(page, "#data-file", file)
    expect(page.locator("#data-rows")).to_contain_text("<img src=x onerror", timeout=SOON)
    expect(page.locator("#data-labels")).to_contain_text("<b>bold</b>")
    open_tab(page, "Encode")
    expect(page.locator("#plan")).to_contain_text("rows will be encoded", timeout=ENCODED)
    page.locator("#encode").click()
    expect(page.locator("#header")).to_contain_text("encoded, ready", timeout=ENCODED)
    open_tab(page, "Ask")
    ask(page, f"{INJECTED} router")
    expect(page.locator("#dbsa-answer h2")).to_have_text("DBSA + similar rows", timeout=ENCODED)
    expect(page.locator("#blocks")).to_contain_text("<img src=x onerror")
    assert page.locator("img[src=x]").count() == 0
    assert page.title() != "pwned"


def test_a_workbook_without_names_is_read_as_the_user_says(page: Page, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["day", "notes"])
    book.active.append(["1", "nothing"])
    rows = book.create_sheet("rows")
    for i in range(9):
        rows.append([f"my lamp is broken {i}", "1"])
        rows.append([f"where is my parcel {i}", "2"])
    book.save(tmp_path / "a.xlsx")
    open_tab(page, "Data")
    upload(page, "#data-file", tmp_path / "a.xlsx")
    expect(page.locator("#messages")).to_be_visible(timeout=SOON)
    page.locator("#data-reading button").first.click()
    choose(page, "#data-sheet", "rows")
    choose(page, "#data-first-line", "A row like the others")
    expect(page.locator("#data-summary")).to_contain_text("18 rows", timeout=SOON)
    expect(page.locator("#text-column input")).to_have_value(re.compile("column 1"))
    expect(page.locator("#data-problems")).to_contain_text("are codes")
    page.locator("#label-names-panel button").first.click()
    page.locator("#label-names [role=gridcell]:visible").nth(1).dblclick()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("damaged")
    page.keyboard.press("Enter")
    page.locator("#use-label-names").click()
    expect(page.locator("#data-labels")).to_contain_text("damaged", timeout=SOON)


def test_a_file_is_classified_and_handed_back(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "queries.csv"
    file.write_text("id,text\n1,my robot is offline\n2,where is my parcel\n", encoding="utf-8")
    open_tab(page, "Classify a file")
    upload(page, "#queries-file", file)
    expect(page.locator("#file-progress")).to_contain_text("2 rows of queries.csv", timeout=SOON)
    page.locator("#classify-file").click()
    expect(page.locator("#file-progress")).to_contain_text("Done: 2 of 2 rows", timeout=ENCODED)
    expect(page.locator("#file-answers")).to_contain_text("where is my parcel")
    with page.expect_download() as download:
        page.locator("#file-result a[download]").first.click()
    lines = download.value.path().read_text(encoding="utf-8-sig").splitlines()
    assert (
        lines[0]
        == "id,text,label,probability,probability_low,probability_high,margin,runner_up,in_scope_score,check,problem"
    )
    assert len(lines) == 3


def classify_workbook(page: Page, path: Path, rows: list[tuple[str, str]]) -> None:
    """Have a workbook of texts and teams classified."""
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in [("Nr", "What they wrote", "Team"), *((1000 + nr, *row) for nr, row in enumerate(rows))]:
        book.active.append(row)
    book.save(path)
    open_tab(page, "Classify a file")
    upload(page, "#queries-file", path)
    expect(page.locator("#file-progress")).to_contain_text(f"{len(rows)} rows of {path.name}", timeout=SOON)
    page.locator("#classify-file").click()


def test_a_workbook_is_answered_row_by_row_measured_and_comes_back_as_one(page: Page, tmp_path: Path) -> None:
    texts = ["where is my parcel", "the robot is offline", "I want my money back", "my password does not work"] * 3
    labels = ["track_order", "wifi_connection", "refund_status", "reset_password"] * 3
    rows = [(f"{text}, part {nr}", label) for nr, (text, label) in enumerate(zip(texts, labels, strict=True))]
    classify_workbook(page, tmp_path / "tickets.xlsx", [*rows, ("", "refund_status")])
    expect(page.locator("#gold-column input")).to_have_value(re.compile("Team"))
    expect(page.locator("#file-progress")).to_contain_text(re.compile(r"Row \d+ of 13"), timeout=ENCODED)
    shown = page.locator("#file-answers tbody tr")
    expect(shown.first).to_contain_text("where is my parcel, part 0")
    expect(page.locator("#file-progress")).to_contain_text("Done: 13 of 13 rows", timeout=ENCODED)
    expect(shown).to_have_count(13)
    expect(shown.last).to_contain_text("No answer")
    expect(shown.last).to_contain_text("The cell is empty.")
    summary = page.locator("#file-summary")
    expect(summary).to_contain_text(re.compile(r"Accuracy \d+ % \(95 % interval \d+ % to \d+ %\) on 13 labelled rows"))
    need = int(re.findall(r"(\d+) of 13 rows need", summary.inner_text())[0])
    page.get_by_role("button", name=f"Need a look {need}").click()
    expect(shown).to_have_count(need)
    page.get_by_role("button", name="All 13").click()
    page.get_by_role("button", name="Least certain first").click()
    expect(shown.first).to_contain_text("No answer")
    label = summary.locator("tbody tr").first
    name, count = label.locator("button").inner_text(), label.locator("td").first.inner_text()
    label.locator("button").click()
    expect(page.locator("#file-answers [aria-pressed=true]").first).to_have_text(f"{name} {count}")
    expect(shown).to_have_count(int(count))
    expect(shown.first).to_contain_text(name)
    with page.expect_download() as download:
        page.locator("#file-result a[download]").first.click()
    book = openpyxl.load_workbook(BytesIO(download.value.path().read_bytes()))
    sheet = book.worksheets[0]
    assert [cell.value for cell in sheet[1]][:5] == ["Nr", "What they wrote", "Team", "label", "probability"]
    assert sheet["A2"].value == 1000
    assert book.sheetnames[1:] == ["DBSA", "DBSA by label"]


def test_a_label_that_is_corrected_in_the_table_is_taught(page: Page, tmp_path: Path) -> None:
    classify_workbook(page, tmp_path / "tickets.xlsx", [("the robot sings at night", ""), ("where is my parcel", "")])
    expect(page.locator("#file-progress")).to_contain_text("Done: 2 of 2 rows", timeout=ENCODED)
    first = page.locator("#file-answers tbody tr").first
    first.locator("summary").click()
    first.locator("input").fill("singing")
    first.locator("input").press("Enter")
    expect(first.locator("summary")).to_have_text("singing", timeout=SOON)
    expect(first).to_contain_text("As you taught")
    expect(page.locator("#file-summary")).to_contain_text("singing")
    with page.expect_download() as download:
        page.locator("#file-result a[download]").first.click()
    sheet = openpyxl.load_workbook(BytesIO(download.value.path().read_bytes())).worksheets[0]
    assert (sheet["D2"].value, sheet["K2"].value) == ("singing", "As you taught")
    open_tab(page, "Data")
    expect(page.locator("#taught")).to_contain_text("the robot sings at night")
    open_tab(page, "Ask")
    ask(page, "the robot sings at night")
    expect(page.locator("#dbsa-answer .dbsa-label")).to_contain_text("singing", timeout=ENCODED)


def test_the_address_says_where_one_is_and_back_goes_there(page: Page, url: str) -> None:
    open_tab(page, "Data")
    expect(page).to_have_url(f"{url}?tab=data")
    open_tab(page, "Encode")
    page.go_back()
    expect(page.locator("#data-file")).to_be_visible()
    expect(page).to_have_url(f"{url}?tab=data")
    page.reload()
    expect(page.locator("#data-file")).to_be_visible()
    page.go_back()
    expect(page.locator("#query")).to_be_visible()
    expect(page).to_have_url(url)
    answer = page.locator("#dbsa-answer .dbsa-label")
    try_example(page, FILTER)
    expect(answer).to_have_text("replacement_parts")
    expect(page).to_have_url(RUN)
    first = page.url
    ask(page, "I forgot my password")
    expect(answer).to_contain_text("reset_password", timeout=ENCODED)
    expect(page).not_to_have_url(first)
    assert "password" not in page.url
    last, notice = page.url, page.locator("#notice")
    page.go_back()
    expect(answer).to_have_text("replacement_parts")
    expect(page.locator("#query textarea")).to_have_value(FILTER)
    expect(notice).to_contain_text("over Support desk, 600 rows, by SmolLM2-135M-Instruct: read-only")
    page.reload()
    expect(notice).to_contain_text("read-only")
    expect(page).to_have_url(first)
    page.go_forward()
    expect(answer).to_contain_text("reset_password")
    expect(notice).to_be_hidden()
    expect(page).to_have_url(last)
    open_tab(page, "Data")
    page.reload()
    expect(page.locator("#data-file")).to_be_visible()
    open_tab(page, "Ask")
    expect(answer).to_contain_text("reset_password")
    expect(notice).to_be_hidden()


RUN = re.compile(r"/\?run=[\w-]{12}$")


def test_a_link_opens_a_run_for_others_to_read(page: Page, browser: Browser, url: str) -> None:
    try_example(page, FILTER)
    expect(page).to_have_url(RUN)
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    other = context.new_page()
    other.goto(page.url)
    notice = other.locator("#notice")
    expect(notice).to_contain_text("read-only", timeout=SOON)
    expect(other.locator("#query textarea")).to_have_value(FILTER)
    expect(other.locator("#comparison .dbsa-say")).to_contain_text(WHOLE)
    assert max(bottoms(other)) <= 800
    other.locator("#details").get_by_role("button", name="Details").click()
    expect(other.locator("#latency")).to_contain_text("What this answer used")
    notice.get_by_role("button", name="Ask something of your own").click()
    expect(notice).to_contain_text("Recorded example")
    expect(other.locator("#query textarea")).to_be_focused()
    expect(other).to_have_url(url)
    other.goto(f"{url}?run=nobody-has-it")
    expect(notice).to_contain_text("This run is gone", timeout=SOON)
    expect(other.locator("#dbsa-answer")).to_have_count(0)
    ask(other, "Where is my parcel?")
    expect(other.locator("#dbsa-answer .dbsa-label")).to_be_visible(timeout=ENCODED)
    expect(notice).to_be_hidden()
    expect(other).to_have_url(RUN)
    context.close()


def test_two_tabs_are_two_sessions_that_share_a_pool(page: Page, url: str, shared_data: Path) -> None:
    use_trec(page, shared_data, 1500)
    page.locator("#encode").click()
    expect(page.locator("#header")).to_contain_text("encoded, ready", timeout=ENCODED)
    other = page.context.new_page()
    other.set_default_timeout(SOON)
    other.goto(url)
    expect(other.locator("#header")).to_contain_text("Support desk, 600 rows", timeout=SOON)
    use_trec(other, shared_data, 1500)
    expect(other.locator("#header")).to_contain_text("nothing encoded")
    open_tab(other, "Data")
    use = other.locator("#use-data")
    expect(use).to_have_text(
        re.compile(r"Use these [\d,]+ rows, of which \d+ are encoded already, and ask"), timeout=SOON
    )
    use.click()
    expect(other.locator("#header")).to_contain_text("encoded, ready", timeout=SOON)
    open_tab(other, "Encode")
    enter(other, "#ratio", "0.5")
    expect(other.locator("#ratio-note")).to_contain_text("50 % of", timeout=SOON)
    page.reload()
    expect(page.locator("#ratio input[type=number]")).to_have_value("0.3", timeout=SOON)
    other.close()


def test_a_duplicated_tab_goes_on_as_a_copy(page: Page) -> None:
    try_example(page, FILTER)
    expect(page).to_have_url(RUN)
    with page.context.expect_page() as opened:
        page.evaluate("() => { window.open(location.href); }")  # the new tab gets all that this one keeps
    other, answer = opened.value, "#dbsa-answer .dbsa-label"
    expect(other.locator(answer)).to_have_text("replacement_parts", timeout=SOON)
    expect(other.locator("#notice")).to_be_hidden()
    ask(other, "I forgot my password")
    expect(other.locator(answer)).to_contain_text("reset_password", timeout=ENCODED)
    page.reload()
    expect(page.locator("#query textarea")).to_have_value(FILTER, timeout=SOON)
    expect(page.locator(answer)).to_have_text("replacement_parts")
    kept = "sessionStorage.getItem('dbsa-session')"
    assert page.evaluate(kept) != other.evaluate(kept)
    other.close()


def test_another_browser_sees_nothing_of_it(page: Page, browser: Browser, url: str, shared_data: Path) -> None:
    open_tab(page, "Data")
    upload(page, "#data-file", shared_data / "trec" / "train.csv")
    expect(page.locator("#header")).to_contain_text("train.csv", timeout=SOON)
    other = browser.new_page()
    other.goto(url)
    expect(other.locator("#header")).to_contain_text("Support desk", timeout=SOON)
    other.close()


def test_models_are_offered_by_what_they_take_here(page: Page) -> None:
    open_tab(page, "Encode")
    own = page.locator("#model-0")
    expect(own).to_contain_text("in use", timeout=ENCODED)
    expect(own).to_be_disabled()
    expect(page.locator("#model-1")).to_have_text(re.compile(r"Qwen2.5-0.5B-Instruct\s+.*memory 2.0 GB"))
    expect(page.locator("#model-place")).to_be_hidden()
    page.locator("#another-model button").first.click()
    place = page.locator("#model-place textarea, #model-place input")
    expect(page.locator("#load-model")).to_be_visible()
    place.click()
    place.press_sequentially("no/such/folder.gguf", delay=20)
    expect(place).to_have_value("no/such/folder.gguf")
    place.press("Enter")
    expect(page.locator("#model-note")).to_contain_text("The model was not loaded", timeout=ENCODED)
    expect(page.locator("#header")).to_contain_text("SmolLM2-135M-Instruct, CPU")


def test_a_page_that_came_to_rest_too_early_goes_on(page: Page) -> None:
    """As when the end of its pulse is carried out after the beginning that a press brought."""
    beats: list[str] = []
    page.on("request", lambda request: beats.append(request.url) if request.method == "POST" else None)
    expect(page.locator("#header")).to_contain_text("encoded, ready", timeout=ENCODED)
    page.wait_for_timeout(4_000)
    beats.clear()
    page.wait_for_timeout(2_500)
    assert beats == [], "it rests"
    page.locator("#calm textarea, #calm input").evaluate(
        "box => { box.value = '-1 0'; box.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    page.wait_for_timeout(2_500)
    assert beats, "it asked again"
    page.wait_for_timeout(2_000)
    beats.clear()
    page.wait_for_timeout(2_500)
    assert beats == [], "and rests again"


def test_a_model_may_be_loaded_with_weights_of_fewer_bits(page: Page) -> None:
    open_tab(page, "Encode")
    expect(page.locator("#model-0")).to_contain_text("in use", timeout=ENCODED)
    page.locator("#another-model button").first.click()
    page.locator("#model-place textarea, #model-place input").fill("embedded")
    page.locator("#model-weights input").click()
    page.get_by_role("option", name="4 bits (nf4)").click()
    page.locator("#load-model").click()
    expect(page.locator("#header")).to_contain_text("SmolLM2-135M-Instruct, nf4 weights", timeout=ENCODED)
    expect(page.locator("#model-note")).to_contain_text("nf4 weights is loaded")


# --- corrections ------------------------------------------------------------------------------------------------------

PASSWORD = "Where can I change my password? The settings page only offers language and colours."
ALIKE = "Where do I change my password? I find only language and colours in the settings."


def answered(page: Page, text: str, label: str = "") -> None:
    """Ask, and wait for the answer to that very text; `label` is what it is to be."""
    ask(page, text)
    expect(page.locator(f".dbsa-teach[data-about={json.dumps(text)}]")).to_be_attached(timeout=SOON)
    expect(page.locator("#dbsa-answer .dbsa-label")).to_contain_text(label)


def teach(page: Page, label: str, spelled: str = "") -> None:
    """Correct the answer that is shown."""
    page.get_by_text("Wrong? Choose the right label").click()
    page.locator("#right-label").fill(spelled or label)
    page.locator("#right-label").press("Enter")
    expect(page.locator("#dbsa-answer .dbsa-label")).to_have_text(f"{label} As you taught", timeout=SOON)


def test_a_wrong_answer_and_one_correction_answer_a_paraphrase_rightly(page: Page) -> None:
    answered(page, ALIKE, "update_payment_card")
    answered(page, PASSWORD, "update_payment_card")
    teach(page, "reset_password", "Reset Password")
    expect(page.locator("#dbsa-answer")).to_contain_text("Uses 1 row that you taught.")
    expect(page.locator("#header")).to_contain_text("600 rows + 1 taught")
    expect(page.locator("#header")).to_contain_text("143 encoded, ready")
    answered(page, ALIKE, "reset_password")
    expect(page.locator("#dbsa-answer .dbsa-label")).not_to_contain_text("As you taught")
    expect(page.locator("#dbsa-answer")).to_contain_text("Uses 1 row that you taught.")
    expect(page.locator("#read")).to_contain_text("taught by you")


def test_a_new_label_is_learnt_from_two_rows(page: Page) -> None:
    for text in ("Your courier was rude to my mother at the door.", "The courier was rude and threw the box over."):
        answered(page, text)
        expect(page.locator("#right-label")).to_have_value("")
        teach(page, "complaint_about_courier")
    expect(page.locator("#header")).to_contain_text("143 encoded, ready")
    answered(page, "A rude courier left my box in the rain.", "complaint_about_courier")
    expect(page.locator("#dbsa-answer")).to_contain_text("Uses 2 rows that you taught.")


def test_what_is_typed_stays_while_the_comparison_comes(page: Page) -> None:
    answered(page, FILTER)
    expect(page.locator("#comparison")).to_contain_text("Stop comparison")
    page.get_by_text("Wrong? Choose the right label").click()
    page.locator("#right-label").press_sequentially("replace")
    expect(page.locator("#comparison .dbsa-say")).to_contain_text("against", timeout=SOON)
    page.locator("#right-label").press_sequentially("ment")
    expect(page.locator("#right-label")).to_have_value("replacement")


def test_what_is_selected_stays_so_while_the_comparison_comes(page: Page) -> None:
    answered(page, FILTER)
    expect(page.locator("#comparison")).to_contain_text("Stop comparison")
    page.get_by_text("Wrong? Choose the right label").click()
    page.locator("#right-label").press_sequentially("refund")
    page.locator("#right-label").select_text()
    expect(page.locator("#comparison .dbsa-say")).to_contain_text("against", timeout=SOON)
    page.keyboard.type("replacement")
    expect(page.locator("#right-label")).to_have_value("replacement")


def test_rows_that_were_taught_are_listed_downloaded_and_removed(page: Page, tmp_path: Path) -> None:
    answered(page, FILTER)
    teach(page, "replacement_parts")
    page.reload()
    expect(page.locator("#dbsa-answer .dbsa-label")).to_have_text("replacement_parts As you taught")
    open_tab(page, "Data")
    expect(page.locator("#taught")).to_contain_text(FILTER)
    page.locator("#make-file").click()
    with page.expect_download() as fetched:
        page.locator("#file-taught a[download]").click()
    fetched.value.save_as(tmp_path / "again.csv")
    lines = (tmp_path / "again.csv").read_text("utf-8-sig").splitlines()
    assert len(lines) == 1 + 600 + 1
    assert lines[-1] == f"{FILTER},replacement_parts"
    page.locator("#taught").get_by_role("button", name="Remove").click()
    expect(page.locator("#taught")).to_be_hidden()
    expect(page.locator("#header")).not_to_contain_text("taught")
    open_tab(page, "Ask")
    expect(page.locator("#answer")).to_contain_text("From 1 row that you taught; now 0.")
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator("#answer")).not_to_contain_text("taught", timeout=SOON)


# --- comparisons ------------------------------------------------------------------------------------------------------


def test_methods_are_chosen_to_compare_with_and_fill_their_columns(page: Page) -> None:
    answered(page, FILTER)
    expect(page.locator("#comparison .dbsa-say")).to_contain_text("against", timeout=SOON)
    page.get_by_text("Compare with", exact=True).click()
    panel = page.locator(".dbsa-choose")
    expect(panel).to_contain_text("Fixed ICL about ")
    expect(panel).to_contain_text("of it once; may read the 143 encoded rows")
    page.locator("#compare-zero_shot").check()
    expect(page.locator("#comparison-zero_shot .dbsa-say")).to_contain_text("Zero-shot read no row.", timeout=SOON)
    expect(page.locator("#compare-zero_shot")).to_be_checked()
    expect(panel).to_have_attribute("open", "")
    page.locator("#compare-fixed_icl").check()
    fixed = page.locator("#comparison-fixed_icl .dbsa-say")
    expect(fixed).to_contain_text("Before its first answer Fixed ICL took", timeout=ENCODED)
    expect(page.locator("#compare-nearest")).to_be_disabled()
    bottoms = page.locator(".dbsa-three > .dbsa-panel").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().bottom)"
    )
    assert len(bottoms) == 5
    assert max(bottoms) < 800
    page.reload()
    expect(page.locator("#comparison-fixed_icl")).to_be_visible()


def test_a_comparison_without_its_tick_waits_for_a_press(page: Page) -> None:
    answered(page, FILTER)
    page.get_by_text("Compare with", exact=True).click()
    page.locator("#compare-alone").uncheck()
    page.get_by_text("Compare with", exact=True).click()
    answered(page, OFFLINE)
    say = page.locator("#comparison .dbsa-say")
    expect(say).to_contain_text(re.compile(r"Retrieval ICL takes about \d+ s\."))
    page.reload()
    expect(say).to_contain_text("Retrieval ICL takes about")
    page.get_by_role("button", name="Run comparison").click()
    expect(say).to_contain_text(WHOLE, timeout=SOON)


def test_measuring_again_shows_medians_and_claims_a_speed(page: Page) -> None:
    answered(page, FILTER)
    expect(page.locator("#comparison .dbsa-say")).to_contain_text("against", timeout=SOON)
    page.get_by_role("button", name="Measure 5 more").click()
    expect(page.locator("#comparison")).to_contain_text(re.compile("Measuring: [1-4] of 5 runs of each"), timeout=SOON)
    expect(page.locator("#comparison")).to_contain_text("Medians of 5 runs in turn", timeout=ENCODED)
    expect(page.locator("#comparison .dbsa-say strong")).to_contain_text("times as")


LAMPS = [
    (f"my lamp {what} {i}", label)
    for i in range(8)
    for what, label in (("is broken", "damaged"), ("came late", "late"))
]


def test_a_pool_is_saved_appended_to_and_offered_by_a_server_that_begins_anew(
    page: Page, browser: Browser, pools: Path, tmp_path: Path
) -> None:
    for name, rows in (("lamps.csv", LAMPS), ("more.csv", [(f"do you sell bulbs {i}", "bulbs") for i in range(6)])):
        text = "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows)
        (tmp_path / name).write_text(text, encoding="utf-8")
    open_tab(page, "Data")
    upload(page, "#data-file", tmp_path / "lamps.csv")
    expect(page.locator("#use-data")).to_contain_text("16 rows", timeout=SOON)
    page.locator("#use-data").click()
    expect(page.locator("#header")).to_contain_text("16 encoded, ready", timeout=ENCODED)
    open_tab(page, "Encode")
    page.locator("#kept button").first.click()
    upload(page, "#append-file", tmp_path / "more.csv")
    expect(page.locator("#kept-said")).to_contain_text("6 new rows of more.csv: 6 of them encoded", timeout=ENCODED)
    expect(page.locator("#header")).to_contain_text("lamps.csv + more.csv, 22 rows", timeout=SOON)
    expect(page.locator("#encode-progress")).to_contain_text("were appended")
    page.locator("#pool-name textarea").fill("Lamps and bulbs")
    page.locator("#save-pool").click()
    expect(page.locator("#kept-said")).to_contain_text('Saved as "Lamps and bulbs"', timeout=SOON)
    again = Workspace(pools=pools)
    again.example = Example(again)
    with served(again) as url:
        other = browser.new_context().new_page()
        other.goto(url)
        other.get_by_role("button", name='Open "Lamps and bulbs"').click()
        expect(other.locator("#header")).to_contain_text("22 encoded, ready", timeout=ENCODED)
        expect(other.locator("#answer")).to_contain_text("22 of 22 rows of lamps.csv + more.csv are encoded.")
        ask(other, "do you sell bulbs 3")
        expect(other.locator("#dbsa-answer .dbsa-bars")).to_contain_text("bulbs", timeout=ENCODED)
        expect(other.locator("#dbsa-answer")).to_contain_text("This text stands in the file: row 20.")
        open_tab(other, "Data")
        expect(other.locator("#data-summary")).to_contain_text("22 rows", timeout=SOON)
        other.context.close()


def test_a_saved_pool_is_loaded_and_deleted(page: Page) -> None:
    expect(page.locator("#header")).to_contain_text("143 encoded, ready", timeout=ENCODED)
    open_tab(page, "Encode")
    page.locator("#kept button").first.click()
    expect(page.locator("#pool-name textarea")).to_have_value("Support desk")
    page.locator("#pool-name textarea").fill("Support, as it came")
    page.locator("#save-pool").click()
    expect(page.locator("#kept-said")).to_contain_text("143 of 600 rows encoded", timeout=SOON)
    enter(page, "#block-size", "9")
    expect(page.locator("#header")).to_contain_text("changed since", timeout=SOON)
    page.locator("#load-pool").click()
    expect(page.locator("#kept-said")).to_contain_text("nothing had to be encoded", timeout=SOON)
    expect(page.locator("#header")).to_contain_text("143 encoded, ready")
    expect(page.locator("#block-size input")).to_have_value("")
    page.locator("#delete-pool").click()
    page.get_by_role("button", name='Delete "Support, as it came" from the disk').click()
    expect(page.locator("#kept-said")).to_contain_text("was deleted", timeout=SOON)
    expect(page.locator("#saved-pools input")).not_to_have_value(re.compile("Support, as it came"))


def evaluate(page: Page, rows: int, *methods: str) -> None:
    """Have so many rows of the data held out and asked about, by these methods."""
    enter(page, "#hold-out", str(rows))
    boxes = page.locator("#evaluated-methods input[type=checkbox]")
    expect(boxes).to_have_count(len(METHODS))
    for nr in range(9):
        wanted = boxes.nth(nr).locator("xpath=..").inner_text().strip() in methods
        boxes.nth(nr).set_checked(wanted)
    expect(page.locator("#evaluation-said")).to_contain_text(f"{rows} rows held out", timeout=SOON)
    many = f"{len(methods)} methods are each" if len(methods) > 1 else "1 method is"
    expect(page.locator("#evaluation-said")).to_contain_text(f"{many} asked about {rows} rows", timeout=SOON)
    page.locator("#evaluate").click()
    expect(page.locator("#evaluation-progress")).to_contain_text(f"Done: {rows} rows asked.", timeout=ENCODED)
    expect(page.locator("#evaluation-results")).to_contain_text(f"{rows} of {rows} test rows")


def test_similar_rows_are_found_by_meaning_where_that_is_chosen(page: Page) -> None:
    expect(page.locator("#header")).to_contain_text("143 encoded, ready", timeout=ENCODED)
    open_tab(page, "Encode")
    page.get_by_role("button", name="Further settings").click()
    page.locator("#row-retriever input").click()
    page.get_by_role("option", name="Hybrid, by words and meaning", exact=True).click()
    expect(page.locator("#row-retriever input")).to_have_value("Hybrid, by words and meaning")
    expect(page.locator("#header")).to_contain_text("143 encoded, ready")
    open_tab(page, "Ask")
    ask(page, "The little thing forgets its way home.")
    expect(page.locator("#blocks")).to_contain_text(re.compile(r"cosine 0\.\d\d"), timeout=ENCODED)


def test_a_classifier_of_the_rows_votes_where_that_is_chosen(page: Page) -> None:
    """The page says where it decided, and what the model alone would answer."""
    expect(page.locator("#header")).to_contain_text("143 encoded, ready", timeout=ENCODED)
    open_tab(page, "Encode")
    page.get_by_role("button", name="Further settings").click()
    page.locator("#votes input").click()
    page.get_by_role("option", name="Of words (TF-IDF)", exact=True).click()
    expect(page.locator("#votes input")).to_have_value("Of words (TF-IDF)")
    expect(page.locator("#header")).to_contain_text("143 encoded, ready")
    open_tab(page, "Ask")
    ask(page, "Is there any promo code for the Pottle Max at the moment?")
    answer = page.locator("#answer")
    said = 'The votes of classifiers decided: the model alone would answer "refund_status".'
    expect(answer).to_contain_text(said, timeout=ENCODED)
    expect(answer).to_contain_text("discount_code")


def test_labels_that_may_be_wrong_are_listed_with_their_rows(page: Page, tmp_path: Path) -> None:
    """And what is suggested can be taught."""
    expect(page.locator("#header")).to_contain_text("143 encoded, ready", timeout=ENCODED)
    table = read_table(EXAMPLE)
    frame = table.frame[table.frame["label"].isin(["refund_status", "wifi_connection", "battery_drains"])].copy()
    places = [5, 20, 50]
    rows = {place + 1: frame["text"].iloc[place] for place in places}
    right = {place + 1: frame["label"].iloc[place] for place in places}
    frame.iloc[places, frame.columns.get_loc("label")] = [
        "battery_drains" if label != "battery_drains" else "refund_status" for label in right.values()
    ]
    frame.to_csv(tmp_path / "tickets.csv", index=False)
    open_tab(page, "Data")
    expect(page.locator("#issues-said")).to_contain_text("It is asked about 60 rows at most")
    page.locator("#data-file input[type=file]").set_input_files(tmp_path / "tickets.csv")
    expect(page.locator("#data-summary")).to_contain_text("tickets.csv")
    page.locator("#find-issues").click()
    said, listed = page.locator("#issues-said"), page.locator("#label-issues tbody tr")
    expect(said).to_contain_text("the model was asked about", timeout=ENCODED)
    for row, text in rows.items():
        expect(listed.filter(has_text=text)).to_contain_text(re.compile(f"^{row}.*{right[row]}"))
    first = listed.filter(has_text=rows[6])
    first.get_by_role("button", name=f"Teach {right[6]} for row 6").click()
    expect(first).to_contain_text(f"taught: {right[6]}", timeout=SOON)
    expect(page.locator("#taught")).to_contain_text(rows[6])
    expect(listed.get_by_role("button")).to_have_count(listed.count() - 1)
    page.locator("#make-issues").click()
    with page.expect_download() as download:
        page.locator("#issues-file a[download]").first.click()
    with download.value.path().open(encoding="utf-8-sig", newline="") as file:
        found = {int(row["row"]): row for row in csv.DictReader(file)}
    assert {row: found[row]["suggested"] for row in rows} == right
    assert found[6]["text"] == rows[6]


def test_the_best_way_for_a_file_is_tuned_taken_up_taken_away_and_brought(page: Page, tmp_path: Path) -> None:
    """Stopped early, since a model on a CPU takes its time; what was asked by then is used."""
    open_tab(page, "Data")
    two = tmp_path / "two.csv"
    two.write_text("text,label\nwhere is it,a\nhow is it,b\n", encoding="utf-8")
    page.locator("#data-file input[type=file]").set_input_files(two)
    expect(page.locator("#data-summary")).to_contain_text("two.csv")
    open_tab(page, "Encode")
    said, method = page.locator("#tuned-said"), page.locator("#method")
    best, paper = method.get_by_label("Best for this file (tuned)"), method.get_by_label("As in the paper")
    best.click()
    expect(page.locator("#messages")).to_contain_text("press Encode first, then tune", timeout=SOON)
    expect(method.get_by_label("Default", exact=True)).to_be_checked()
    open_tab(page, "Data")
    page.get_by_role("button", name="Use the bundled example").click()
    open_tab(page, "Encode")
    expect(said).to_contain_text("asks about up to 80 rows of the file", timeout=ENCODED)
    best.click()
    expect(said).to_contain_text(re.compile(r"[1-9]\d* of 480 answers"), timeout=ENCODED)
    page.locator("#stop-tuning").click()
    expect(said).to_contain_text("rows of the file could be asked about, too few to choose by", timeout=ENCODED)
    expect(best).to_be_checked()
    votes = page.get_by_label("Votes beside the model")
    page.get_by_role("button", name="Further settings").click()
    expect(votes).to_have_value("Of words and of meaning")
    page.get_by_role("button", name="What was tried").click()
    expect(page.locator("#tried tbody tr").first).to_contain_text("similar rows")
    page.locator("#make-settings").click()
    with page.expect_download() as download:
        page.locator("#settings-made a[download]").first.click()
    kept = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert kept["query"]["votes"] == "words+vectors"
    paper.click()
    expect(votes).to_have_value("None")
    expect(page.locator("#fresh input[type=number]")).to_have_value("0")
    # From a file, for a page that never tuned.
    again = tmp_path / "settings.json"
    download.value.save_as(again)
    with page.expect_file_chooser() as chooser:
        page.locator("#settings-file").click()
    chooser.value.set_files(again)
    expect(said).to_contain_text("From a file of settings")
    expect(best).to_be_checked()
    expect(votes).to_have_value("Of words and of meaning")


@contextmanager
def slowly_answered(page: Page, seconds: float = 0.5) -> Iterator[None]:
    """Whatever the page asks for meanwhile is that late."""
    late = "(...given) => new Promise(resolve => setTimeout(resolve, ms)).then(() => window.asked(...given))"
    page.evaluate(f"ms => {{ window.asked = window.fetch; window.fetch = {late}; }}", 1000 * seconds)
    yield
    page.evaluate("window.fetch = window.asked")


def test_methods_are_evaluated_on_held_out_rows_and_each_number_leads_to_its_rows(page: Page, tmp_path: Path) -> None:
    expect(page.locator("#header")).to_contain_text("143 encoded, ready", timeout=ENCODED)
    open_tab(page, "Evaluate")
    evaluate(page, 24, "Zero-shot", "TF-IDF + logistic regression")
    results, rows = page.locator("#evaluation-results"), page.locator("#evaluation-answers tbody tr")
    expect(results).to_contain_text("A word-count model is more accurate on these rows")
    expect(results).to_contain_text("A larger model may change that.")
    wrong = results.locator("tbody tr", has_text="zero_shot").locator("button")
    count = int(wrong.inner_text())
    wrong.click()
    expect(rows).to_have_count(count)
    expect(page.locator("#tested-which")).to_have_text(f"{count} rows: answered wrongly by Zero-shot")
    matrices = page.locator("#evaluation-matrices")
    with slowly_answered(page):
        matrices.get_by_role("button", name="Zero-shot", exact=True).click()
        miss = matrices.locator("section").first.locator("td.dbsa-miss button").first
        said, number = miss.get_attribute("title") or "", int(miss.inner_text())
        miss.focus()
        miss.press("Enter")  # while what the press before it leads to is not there yet
        expect(miss).to_have_attribute("aria-pressed", "true")
        expect(miss).to_be_focused()
    expect(rows).to_have_count(number)
    gold, answer = re.fullmatch(r"\d+ rows? (.*) answered as (.*)", said).groups()  # type: ignore[union-attr]
    expect(page.locator("#tested-which")).to_contain_text(f"right label {gold}, answered as {answer} by Zero-shot")
    for text in rows.all_inner_texts():
        assert gold in text
        assert answer in text
    differ = matrices.locator("section").nth(1).locator("td.dbsa-hit button").last
    number = int(differ.inner_text())
    differ.click()
    expect(rows).to_have_count(number)
    expect(page.locator("#tested-which")).to_contain_text("answered rightly by TF-IDF")
    page.locator("#evaluation-away button").first.click()
    expect(page.locator("#evaluation-programs")).to_contain_text("draw_validation(setup, rows=24, seed=0)")
    expect(page.locator("#evaluation-programs")).to_contain_text('call evaluate \'["zero_shot,tfidf", 0.3, 8, 24')
    with page.expect_download() as download:
        page.locator("#evaluation-files a[download]", has_text="").first.click()
    report = download.value.path().read_text(encoding="utf-8")
    assert "24 of 24 test rows" in report
    page.reload()
    open_tab(page, "Evaluate")
    expect(results).to_contain_text("24 of 24 test rows", timeout=SOON)
    expect(page.locator("#hold-out input")).to_have_value("24")


def test_an_evaluation_is_stopped_gone_on_with_and_compared_with_another(page: Page) -> None:
    expect(page.locator("#header")).to_contain_text("143 encoded, ready", timeout=ENCODED)
    open_tab(page, "Evaluate")
    progress, start, runs = (
        page.locator(f"#{name}") for name in ("evaluation-progress", "evaluate", "evaluation-runs")
    )
    expect(runs).to_contain_text("From the second run on")
    enter(page, "#hold-out", "8")
    expect(page.locator("#evaluation-said")).to_contain_text("2 methods are each asked about 8 rows", timeout=SOON)
    start.click()
    expect(progress).to_contain_text(re.compile(r"Asking: [3-9] of 16"), timeout=ENCODED)
    expect(page.locator("#evaluation-results .dbsa-scroll").first.locator("tbody tr")).to_have_count(2)
    page.locator("#stop-evaluation").click()
    expect(progress).to_contain_text(re.compile(r"Stopped after \d of 8 rows; what is below is of those"), timeout=SOON)
    expect(start).to_contain_text("Continue")
    start.click()
    expect(progress).to_contain_text("Done: 8 rows asked.", timeout=ENCODED)
    expect(start).to_have_text("Evaluate")
    expect(runs).to_contain_text("From the second run on")
    evaluate(page, 9, "TF-IDF + logistic regression", "Zero-shot")
    expect(runs.locator("thead")).to_contain_text("Run 2", timeout=SOON)
    expect(runs).to_contain_text("Block size")
    page.locator("#diff-only input").check()
    expect(runs).not_to_contain_text("Block size", timeout=SOON)
    expect(runs.locator("tr", has_text="Test rows from")).to_contain_text("9 rows held out")
    runs.get_by_role("button", name="Show above").click()
    expect(page.locator("#evaluation-results")).to_contain_text("Run 1: 8 of 8 test rows")
    runs.get_by_role("button", name="Remove run 1").click()
    expect(runs).to_contain_text("From the second run on", timeout=SOON)
    expect(page.locator("#evaluation-results")).to_contain_text("Run 2: 9 of 9 test rows")


def test_a_test_file_is_evaluated_and_what_is_odd_about_it_is_said(page: Page, tmp_path: Path) -> None:
    expect(page.locator("#header")).to_contain_text("143 encoded, ready", timeout=ENCODED)
    good = tmp_path / "good.csv"
    rows = [
        ("where is my parcel", "Track order"),
        *[("where is it", "track_order")] * 9,
        (INJECTED, "nobody"),
        ("x", ""),
    ]
    with good.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("What", "Team"), *rows])
    open_tab(page, "Evaluate")
    page.get_by_label("A test file").check()
    expect(page.locator("#evaluation-said")).to_contain_text("There is no test file yet", timeout=SOON)
    expect(page.locator("#evaluate")).to_be_disabled()
    upload(page, "#test-file", good)
    said = page.locator("#evaluation-said")
    expect(said).to_contain_text("11 rows of good.csv: texts “What”, labels “Team”.", timeout=SOON)
    expect(said).to_contain_text("Left out for an empty text or label: 1 row (12).")
    expect(said).to_contain_text("1 row with labels that are not in the data: it counts as wrong.")
    page.locator("#evaluated-methods").get_by_role("checkbox", name="DBSA + similar rows", exact=True).uncheck()
    expect(said).to_contain_text("1 method is asked about 11 rows", timeout=SOON)
    page.locator("#evaluate").click()
    expect(page.locator("#evaluation-results")).to_contain_text("11 of 11 test rows, good.csv", timeout=ENCODED)
    page.locator("#evaluation-answers").get_by_role("button", name="All 11").click()
    expect(page.locator("#evaluation-answers tbody tr")).to_have_count(11)
    assert page.title() != "pwned"


RULES = {"rules": {"label-content-name-mismatch": {"enabled": True}}}
"""One that axe-core has, and does not apply by itself."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_tab_has_a_serious_or_moderate_fault_for_who_cannot_see_it(page: Page, url: str, scheme: str) -> None:
    page.goto(f"{url}?__theme={scheme}")
    expect(page.locator("#header")).to_contain_text("143 encoded, ready", timeout=ENCODED)
    try_example(page, FILTER)
    page.locator("#what-if").get_by_role("button", name="What if").click()
    page.locator("#try-similar").press("ArrowLeft")
    expect(page.locator("#tried li")).to_be_visible(timeout=ENCODED)
    page.locator("#history summary").click()
    page.locator("#history li button").click()
    expect(page.locator("#history table")).to_be_visible()
    page.locator('#blocks [data-part="block-1"] [data-link]').first.click()
    page.locator('#blocks [data-part="block-1"] .dbsa-inside summary').click()
    expect(page.locator('#blocks [data-part="block-1"] .dbsa-tokens > span').first).to_be_visible()
    page.locator("#details").get_by_role("button", name="Details").click()
    expect(page.locator("#whole-mask .dbsa-cells .dbsa-itself")).to_be_visible(timeout=SOON)
    page.locator("#away").get_by_role("button", name="Take it away").click()
    page.locator("#away-texts").click()
    expect(page.locator("#away-files a[download]")).to_have_count(4, timeout=SOON)
    axe, found = Axe(), []
    for opened in ("Use it from a program", "classify(query, ratio=0.3, similar_examples=8)"):
        page.get_by_text(opened).click()
    for tab, there in (
        ("Ask", "#answer"),
        ("Data", "#data-summary"),
        ("Encode", "#plan"),
        ("Classify a file", "#queries-file"),
        ("Evaluate", "#evaluate"),
    ):
        open_tab(page, tab)
        expect(page.locator(there)).to_be_visible(timeout=SOON)
        if tab == "Encode":
            page.locator("#kept button").first.click()
            expect(page.locator("#plan-mask .dbsa-cells .dbsa-itself")).to_be_visible(timeout=SOON)
        if tab == "Evaluate":
            evaluate(page, 6, "Zero-shot", "TF-IDF + logistic regression")
            evaluate(page, 7, "TF-IDF + logistic regression")
            for opened in ("#evaluation-away button", "#evaluation-matrices td button"):
                page.locator(opened).first.click()
            expect(page.locator("#evaluation-runs thead")).to_contain_text("Run 2")
        if there in ("#data-summary", "#plan", "#queries-file"):
            expect(page.locator(".upload-container:visible, .upload-container button:visible").first).to_be_visible()
        # The page amends what it shows; the place for a file to append stands on Encode.
        page.wait_for_function(
            "[...document.querySelectorAll('button.upload-container')].every(one =>"
            " one.getAttribute('aria-label').includes('Drop'))"
        )
        faults = axe.run(page, options=RULES).response["violations"]
        found += [(tab, fault["id"], fault["nodes"][0]["html"]) for fault in faults if fault["impact"] != "minor"]
    assert found == []


def test_arrow_keys_go_from_tab_to_tab_and_figures_say_what_they_show(page: Page) -> None:
    page.get_by_role("tab", name="Ask", exact=True).focus()
    for key, name in (
        ("ArrowRight", "Data"),
        ("ArrowRight", "Encode"),
        ("End", "Evaluate"),
        ("ArrowRight", "Ask"),
    ):
        page.keyboard.press(key)
        expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute("aria-selected", "true")
        expect(page.get_by_role("tab", name=name, exact=True)).to_be_focused()
    open_tab(page, "Encode")
    expect(page.get_by_role("figure", name="Which block sees which")).to_be_visible(timeout=ENCODED)
    slider = page.get_by_role("slider", name="Block of the mask, of 29")
    slider.focus()
    page.keyboard.press("End")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^Block 29\. .* saw blocks 1, 27, 28 and itself\.$"))


def test_on_a_narrow_screen_the_link_for_programs_is_there(page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    expect(page.get_by_text("Use it from a program")).to_be_visible()


def test_what_a_program_may_ask_for_stands_on_the_page_with_its_own_address(page: Page, url: str) -> None:
    refused: list[str] = []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
    page.get_by_text("Use it from a program").click()
    programs = page.locator("#programs")
    expect(programs.get_by_text(f'Client("{url}")')).to_be_visible()
    programs.get_by_text("classify(query, ratio=0.3, similar_examples=8)").click()
    expect(programs.get_by_text("share of the blocks that is read, above 0 and at most 1")).to_be_visible()
    programs.get_by_role("button", name="Copy the curl code").click()
    expect(programs.get_by_role("button", name="Copy the curl code")).to_have_text(re.compile("Copied|Selected"))
    assert refused == []
