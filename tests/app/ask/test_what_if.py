"""What if and History as HTML."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from app.ask.history import Line, history_view
from app.ask.shown import ShownLabel
from app.ask.what_if import controls_view, tried_view
from dbsa_core.settings import QuerySettings
from tests.app.ask.test_views import answer, method
from tests.app.pages import IMAGE, SCRIPT, check_harmless, text_of

LINE = Line("r1", "14:05", "where is it", "track_order", "73 %", 1.26, "Support desk; ratio 0.3")


def test_what_users_wrote_is_no_html() -> None:
    evil = answer(query=SCRIPT, method=method(label=IMAGE), stamp=(("Data", SCRIPT), ("Pool", IMAGE)))
    check_harmless(controls_view(SCRIPT, QuerySettings()))
    check_harmless(tried_view(evil, [(SCRIPT, IMAGE, answer(method=method(label=SCRIPT)))]))
    line = Line(SCRIPT, "14:05", IMAGE, SCRIPT, "", 1.0, IMAGE)
    check_harmless(history_view([line], [], "", [evil, evil]))
    check_harmless(history_view([line], [SCRIPT], SCRIPT, [evil, answer(stamp=(("Pool", SCRIPT),))]))


def test_the_controls_show_the_settings_that_were_tried_last() -> None:
    page = controls_view("where is it", QuerySettings(0.1, 4, order="least_to_most"))
    assert re.search(r'id="try-ratio" min="0.01" max="1" step="0.01" value="0.1"', page)
    assert re.search(r'id="try-similar" min="0" max="32" step="1" value="4"', page)
    assert re.findall(r'value="(\w+)" selected', page) == ["least_to_most"]
    assert 'max="40"' in controls_view("q", QuerySettings(fresh_demonstrations=40))


def test_a_trial_says_what_it_answered_and_what_was() -> None:
    was = answer(method=method(seconds={"total": 1.3}))
    now = answer(method=method("dbsa_fresh", 0.71, 0.2, seconds={"total": 0.6}), read=(0, 2, 6))
    page = tried_view(was, [("run1", "ratio 0.1", now)])
    assert text_of(page).startswith("ratio 0.1: label 0 71 %, 0.6 s (was 73 %, 1.3 s) · 3 of 29 blocks, 8 similar rows")
    assert "dbsa-other" not in page
    assert 'href="?run=run1"' in page
    assert 'value="run1">Use these settings' in page
    assert tried_view(was, []) == ""


def test_another_label_is_marked_and_the_old_one_named() -> None:
    best = (ShownLabel("refund", 0.4, 0.4, 0.4),)
    now = answer(method=method(label="refund", best=best, rows_anew=0, seconds={"total": 0.6}))
    page = tried_view(answer(), [("run1", "0 similar rows", now)])
    assert text_of(page).startswith("0 similar rows: refund 40 %, 0.6 s (was label 0 73 %, 0.7 s) · 9 of 29 blocks ")
    assert '<b class="dbsa-other">refund</b>' in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"best": ()}, "(was 0.7 s)"),
        ({"cold": True}, "(was 73 %, 0.7 s, warm-up included)"),
        ({"cold": True, "measured": (0.5, 0.4, 0.6)}, "(was 73 %, 0.5 s)"),
    ],
)
def test_what_was_is_said_as_it_is_known(changes: dict[str, object], words: str) -> None:
    was = answer(method=method(**changes))
    assert words in text_of(tried_view(was, [("r", "ratio 0.1", answer())]))


# --- history ----------------------------------------------------------------------------------------------------------


def test_a_line_for_every_query_says_what_is_pinned_and_on_the_screen() -> None:
    other = replace(LINE, run="r2", query="my refund", share="")
    page = history_view([LINE, other], ["r2"], "r1", [])
    assert text_of(page) == (
        "History 2 queries 14:05 where is it track_ order 73 % 1.3 s Pin 14:05 my refund track_ order 1.3 s Pinned"
    )
    assert re.findall(r'<li( aria-current="true")?>', page) == [' aria-current="true"', ""]
    assert re.findall(r'value="(\w+)" aria-pressed="(\w+)"', page) == [("r1", "false"), ("r2", "true")]
    assert history_view([], [], "", []) == ""


def test_long_texts_are_named_by_their_beginning() -> None:
    long = "my parcel\n is late " * 1000
    stamped = answer(query=long, stamp=(("Pool", "143 rows"),))
    pages = (history_view([replace(LINE, query=long)], ["r1"], "", [stamped]), controls_view(long, QuerySettings()))
    for page in pages:
        assert "my parcel is late my parcel is late" in page
        assert "…" in page
        assert len(page) < 4000


def table(page: str) -> dict[str, list[str]]:
    rows = re.findall(r'<tr><th scope="\w+">([^<]+)</th>(.*?)</tr>', page)
    return {name: re.findall(r"<t[dh][^>]*>([^<]*)<", cells) for name, cells in rows}


def test_pinned_queries_stand_side_by_side_and_what_is_alike_is_said_once() -> None:
    stamp = (("Asked", "2026-11-26 10:00:00+00:00"), ("Data", "Support desk"), ("Pool", "143 rows"))
    first = answer(stamp=(*stamp, ("Settings", "ratio 0.3")))
    second = answer(stamp=(*stamp, ("Settings", "ratio 0.1")), read=(0, 2, 3), method=method(label="refund"))
    page = history_view([LINE], ["r1"], "", [first, second])
    found = table(page)
    assert found["Text"] == ["q", "q"]
    assert found["Asked"] == ["2026-11-26 10:00"] * 2
    assert found["Label"] == ["label 0", "refund"]
    assert found["Blocks read"] == ["9 of 29 blocks", "3 of 29 blocks"]
    assert found["Of them in the first too"] == ["", "2"]
    assert found["Settings"] == ["ratio 0.3", "ratio 0.1"]
    assert "The same for all: Support desk; 143 rows." in page
    assert re.findall(r'dbsa-differs">([^<]+)', page) == ["refund", "ratio 0.1"]


def test_blocks_of_different_pools_are_not_compared_and_labels_of_other_texts_not_marked() -> None:
    first, second = answer(stamp=(("Pool", "143 rows"),)), answer(query="r", stamp=(("Pool", "90 rows"),))
    page = history_view([LINE], ["r1"], "", [first, replace(second, method=method(label="refund"))])
    found = table(page)
    assert "Of them in the first too" not in found
    assert found["Pool"] == ["143 rows", "90 rows"]
    assert re.findall(r'dbsa-differs">([^<]+)', page) == ["90 rows"]
    alone = table(history_view([LINE], ["r1"], "", [first]))
    assert alone["Pool"] == ["143 rows"]
