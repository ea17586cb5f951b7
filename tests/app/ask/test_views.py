"""The Ask page's HTML: what it says, that its pictures are the pattern's, and that no user text is HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.ask.cards import OFFERED_LABELS, answer_view, notice_view
from app.ask.comparison import Choice, Comparing, Waiting, break_even
from app.ask.heads import CSS as HEADS
from app.ask.heads import Columns
from app.ask.linked import CSS as LINKED
from app.ask.linked import HINT, about
from app.ask.lists import LISTED, below_view
from app.ask.phases import phases_view
from app.ask.pictures import attention_bars, attention_sentence, bar_sentence
from app.ask.shown import ShownAnswer, ShownAttention, ShownLabel, ShownMethod, ShownPart, ShownPool, ShownRow
from app.ask.style import CSS as STYLE
from app.theme import CSS as THEME
from dbsa_core.data import TAUGHT
from dbsa_core.prediction import AS_TAUGHT, NEED_A_LOOK, NO_LABEL, UNSURE
from tests.app.pages import IMAGE, SCRIPT, check_harmless, text_of

TITLES = {"dbsa": "DBSA", "dbsa_fresh": "DBSA + similar rows", "retrieval_icl": "Retrieval ICL"}


def method(name: str = "dbsa_fresh", *shares: float, **changes: Any) -> ShownMethod:
    best = tuple(ShownLabel(f"label {i}", share, share, share) for i, share in enumerate(shares or (0.73, 0.15, 0.08)))
    seconds = {"retrieve": 0.01, "assemble": 0.06, "examples": 0.42, "query": 0.21, "total": 0.7}
    made = ShownMethod(
        method=name,
        title=TITLES[name],
        may_read="all" if name == "dbsa_fresh" else "encoded",
        label="label 0",
        labels=12,
        best=best,
        check="",
        equal_rows=(),
        meaning="Softmax over all.",
        notes=(),
        seconds=seconds,
        fit_seconds=0.0,
        context_tokens=1234,
        rows_anew=8,
        cold=False,
    )
    return replace(made, **changes)


def other(seconds: float = 2.3, **changes: Any) -> ShownMethod:
    return method("retrieval_icl", 0.48, 0.3, seconds={"examples": seconds, "total": seconds}, rows_anew=45, **changes)


POOL = ShownPool("Support desk", 600, 143, 29, 29, 5, 1, 2, 0.233, 9.0)


def answer(**changes: Any) -> ShownAnswer:
    made = ShownAnswer("q", POOL, method(), (0, 2, 6, 10, 11, 20, 23, 25, 28), (), None, (other(),))
    return replace(made, **changes)


# --- no user text is HTML ---------------------------------------------------------------------------------------------


def test_every_view_escapes(shown: ShownAnswer) -> None:
    for page in (answer_view(shown), below_view(shown), phases_view(shown)):
        check_harmless(page)
    without = replace(shown, compared=())
    waits = Comparing((Choice("x", IMAGE, SCRIPT, True),), waiting=(Waiting("x", IMAGE, SCRIPT, SCRIPT),))
    check_harmless(answer_view(without, waits))
    check_harmless(notice_view(SCRIPT, ("retry", IMAGE), strong=SCRIPT))
    assert "&lt;script&gt;" in below_view(shown)


# --- the columns ------------------------------------------------------------------------------------------------------


def test_the_answer_says_label_probability_and_the_next() -> None:
    page = text_of(answer_view(answer()))
    assert page.startswith("600 examples, 143 of them encoded once. This answer re-read only 8 of them.")
    assert "DBSA + similar rows label 0 73 % · next: label 1 15 % label 0 73 % label 1 15 % label 2 8 %" in page
    assert "9 more labels below." in page
    assert "9 of 29 blocks, 23 % of full attention when encoded" in page


@pytest.mark.parametrize(("sinks", "window"), [(1, 2), (1, 0), (0, 0), (2, 1)])
def test_the_legend_names_what_is_in_the_picture(sinks: int, window: int) -> None:
    page = answer_view(answer(pool=replace(POOL, sinks=sinks, window=window)))
    assert ('class="dbsa-key dbsa-previous"' in page) == (window > 0)
    assert ('class="dbsa-key dbsa-sink"' in page) == (sinks > 0)
    assert 'class="dbsa-key dbsa-itself"' in page


@pytest.mark.parametrize(
    ("changes", "headline"),
    [
        (
            {"method": method("dbsa", rows_anew=0)},
            "600 examples, 143 of them encoded once. This answer re-read none of",
        ),
        ({"pool": replace(POOL, encoded=600)}, "600 examples, encoded once. This answer re-read only 8 of them."),
        ({"read": ()}, "600 examples searched. This answer read 8 of them and nothing else."),
    ],
)
def test_the_headline_has_the_answers_numbers(changes: dict[str, Any], headline: str) -> None:
    assert text_of(answer_view(answer(**changes))).startswith(headline)


def test_at_most_one_tag() -> None:
    for check in ("", UNSURE, NO_LABEL, AS_TAUGHT):
        page = answer_view(answer(method=method(check=check), compared=()))
        assert re.findall(r'dbsa-tag( dbsa-out)?">([^<]+)', page) == (
            [(" dbsa-out" if check in NEED_A_LOOK else "", check)] if check else []
        )


def test_an_interval_is_shown_where_it_is_a_point_wide() -> None:
    narrow, wide = ShownLabel("a", 0.664, 0.660, 0.667), ShownLabel("b", 0.3, 0.29, 0.32)
    page = text_of(answer_view(answer(method=method("dbsa", best=(narrow, wide)))))
    assert "66 % · next: b 29 % to 32 %" in page


def test_a_long_label_is_smaller_and_may_break_behind_underscores() -> None:
    page = answer_view(answer(method=method(label="transfer_not_received_by_recipient"), compared=()))
    assert '<p class="dbsa-label dbsa-long">transfer_<wbr>not_<wbr>received_<wbr>by_<wbr>recipient' in page
    assert "dbsa-long" not in answer_view(answer())
    check_harmless(page)


def test_what_will_be_encoded_is_not_said_to_be_read() -> None:
    planned = replace(POOL, blocks=0, encoded=0)
    page = text_of(answer_view(answer(read=(), pool=planned, compared=())))
    assert "What will be encoded" in page
    assert page.endswith("29 blocks, at 23 % of full attention")
    part = text_of(answer_view(answer(read=(), pool=replace(POOL, blocks=12), compared=())))
    assert "12 of 29 blocks, at 23 % of full attention" in part


def test_greedy_decoding_has_no_bars() -> None:
    page = text_of(answer_view(answer(method=method("dbsa", best=()), compared=())))
    assert "label 0 no probability: greedy decoding follows one label only" in page
    assert "more label" not in page


def test_rows_of_the_same_text_and_notes_are_told() -> None:
    page = text_of(answer_view(answer(method=method(equal_rows=(3, 5, 7, 1200), notes=("A note.",)))))
    assert "This text stands in the file: rows 3, 5, 7 and 1 more." in page
    assert "A note." in page
    assert "file: row 3." in text_of(answer_view(answer(method=method(equal_rows=(3,)))))


def test_an_answer_as_it_was_taught_says_what_the_model_says_by_itself() -> None:
    page = text_of(answer_view(answer(method=method("dbsa", 0.5, 0.4, label="label 1", check=AS_TAUGHT), compared=())))
    assert "label 1 As you taught the model by itself: label 0 50 %" in page
    assert "Unsure" not in page
    page = text_of(answer_view(answer(method=method("dbsa", 0.5, 0.4, check=AS_TAUGHT, equal_rows=(TAUGHT,)))))
    assert "label 0 As you taught the model agrees: 50 %" in page
    assert "stands in the file" not in page


def test_a_correction_is_offered_where_labels_are_and_keeps_to_so_many() -> None:
    assert "Wrong?" not in answer_view(answer())
    page = answer_view(answer(query=SCRIPT), labels=[IMAGE, *map(str, range(500))])
    assert page.count("<option") == OFFERED_LABELS
    check_harmless(page)


def test_the_comparison_says_what_each_read() -> None:
    page = text_of(answer_view(answer()))
    assert "Compared with: Retrieval ICL label 0 48 %" in page
    assert "DBSA + similar rows 0.7 s Retrieval ICL 2.3 s" in page
    assert "3.3 times as fast. 0.7 s against 2.3 s: 9 of 29 blocks came from memory, only 8 similar rows and" in page
    assert "Retrieval ICL encoded 45 rows. May read the 143 encoded rows." in page
    assert "9 more labels below. May read all 600 rows." in page


@pytest.mark.parametrize(
    ("changes", "said", "unsaid"),
    [
        ({"compared": (other(0.35),)}, "2.0 times as slow.", "fast"),
        ({"compared": (other(0.71),)}, "0.7 s against 0.7 s", "times as"),
        ({"compared": (other(cold=True),)}, "First run, warm-up included", "times as"),
        ({"method": method(cold=True)}, "First run, warm-up included", "times as"),
        ({"method": method("dbsa", rows_anew=0)}, "only your text was encoded.", "similar rows and"),
        ({"compared": (other(cold=True, measured=(2.0, 2.2, 2.1)),)}, "3.0 times as fast.", "warm-up"),
        ({"compared": (other(fit_seconds=6.1),)}, "Before its first answer Retrieval ICL took 6.1 s, once.", "slow"),
    ],
)
def test_no_speed_is_claimed_of_a_warm_up(changes: dict[str, Any], said: str, unsaid: str) -> None:
    page = text_of(answer_view(answer(**changes)))
    assert said in page
    assert unsaid not in page


def test_bars_are_on_one_scale_and_parted_into_phases() -> None:
    times = answer_view(answer()).split("dbsa-times")[1].split("</section>")[0]
    widths = [
        (kind, float(width)) for kind, width in re.findall(r"dbsa-fill dbsa-(\w+)\" style=\"width:([\d.]+)%", times)
    ]
    mine, others = widths[:3], widths[3:]
    assert [kind for kind, _ in mine] == ["before", "anew", "rest"]
    whole = 100 * 0.7 / 2.3
    assert [width for _, width in mine] == pytest.approx([0.1 * whole, 0.6 * whole, 0.3 * whole], abs=0.01)
    assert others == [("before", 0), ("anew", 100), ("rest", 0)]


def choices(*names: str, chosen: int = 1) -> tuple[Choice, ...]:
    return tuple(Choice(name, name, "about 4 s", place < chosen) for place, name in enumerate(names))


def test_each_method_has_a_column_which_fills_when_it_has_answered() -> None:
    waits = (
        Waiting("fixed_icl", "Fixed ICL", "Fixed ICL takes about 40 s.", "Run comparison"),
        Waiting("x", "X", "Soon."),
    )
    comparing = Comparing(choices("retrieval_icl", "fixed_icl", "x", chosen=3), waiting=waits)
    page = answer_view(answer(), comparing)
    assert 'data-columns="5"' in page
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles == [
        "DBSA + similar rows",
        "Compared with: Retrieval ICL",
        "Compared with: Fixed ICL",
        "Compared with: X",
    ]
    assert '<button type="button" class="dbsa-run" data-event="select">Run comparison</button>' in page
    assert page.count("dbsa-run") == 1
    assert page.count("Measure 5 more") == 1
    assert page.count("9 of 29 blocks came from memory") == 1
    assert "Compared with:" not in answer_view(answer(), Comparing(choices("retrieval_icl", chosen=0)))
    ids = re.findall(r'<section id="([^"]+)"', page)
    assert len(ids) == len(set(ids)) == 5
    page = answer_view(answer(compared=()), Comparing(choices("fixed_icl", "x", chosen=2), waiting=waits))
    assert re.findall(r'<section id="(comparison[^"]*)"', page) == ["comparison", "comparison-x"]


def test_what_there_is_to_compare_with_can_be_ticked_up_to_three() -> None:
    page = answer_view(answer(), Comparing(choices(*"abcd", chosen=3), alone=False))
    boxes = re.findall(r'<input type="checkbox" name="method" value="(\w)" [^>]*?( checked| disabled)?>', page)
    assert boxes == [("a", " checked"), ("b", " checked"), ("c", " checked"), ("d", " disabled")]
    assert 'id="compare-alone" data-change="option_select">' in page
    assert 'id="compare-alone" data-change="option_select" checked>' in answer_view(answer(), Comparing(choices("a")))
    assert "Compare with" not in answer_view(answer()), "a run is read-only"
    check_harmless(answer_view(answer(), Comparing((Choice(SCRIPT, IMAGE, SCRIPT, True),))))


def test_further_runs_show_median_number_and_range() -> None:
    timed = answer(method=method(measured=(0.5, 0.9, 0.6)), compared=(other(measured=(2.0, 1.5, 3.0)),))
    page = text_of(answer_view(timed))
    assert "DBSA + similar rows 0.6 s Retrieval ICL 2.0 s" in page
    assert "Medians of 3 runs in turn: DBSA + similar rows 0.5 s to 0.9 s; Retrieval ICL 1.5 s to 3.0 s." in page
    assert "Median of further runs 0.600 s 2.000 s" in text_of(phases_view(timed))
    under_way = answer_view(answer(), Comparing(choices("retrieval_icl"), measuring="Measuring: 2 of 5."))
    assert "Measuring: 2 of 5. Stop" in text_of(under_way)
    assert "Measure 5 more" not in under_way


def test_a_notice_names_its_buttons() -> None:
    page = notice_view(", measured.", ("retry", "Classify it here"), strong="Recorded example")
    assert text_of(page) == "Recorded example , measured. Classify it here"
    assert '<button type="button" data-event="retry">' in page
    assert notice_view("") == ""


def test_details_have_phases_definition_and_break_even() -> None:
    page = text_of(phases_view(answer()))
    assert (
        "Phase DBSA + similar rows Retrieval ICL Retrieve 0.010 s – Assemble 0.060 s – "
        "Encode examples anew 0.420 s 2.300 s Your text and the labels 0.210 s – Total 0.700 s 2.300 s" in page
    )
    assert "Tokens of context 1,234 1,234 Rows encoded with the query 8 45" in page
    assert "What is this number? Softmax over all." in text_of(answer_view(answer()))
    assert break_even(answer()) == (
        "Encoding 29 blocks took 9 s, once. By these times it has paid for itself after 6 queries."
    )
    assert break_even(answer(compared=())) == "Encoding 29 blocks took 9 s, once."
    assert "paid" not in break_even(answer(compared=(other(cold=True),)))
    assert "does not pay for itself" in break_even(answer(compared=(other(0.3),)))
    assert break_even(answer(pool=replace(POOL, seconds=0.0))) == ""


# --- what was read ----------------------------------------------------------------------------------------------------


def test_the_list_counts_and_folds(shown: ShownAnswer) -> None:
    page = below_view(shown)
    text = text_of(page)
    counted = f"{len(shown.read)} blocks, 3 similar rows"
    orders = "Sorted by attention score order in the pool"
    assert text.startswith(f"{HINT} Let go {counted} {orders} matching words marked")
    assert page.count(">+1 row</button>") == sum(len(part.rows) == 2 for part in shown.parts)
    assert page.count('class="dbsa-share"') == len(shown.parts)
    assert "Where the query looked" in text
    alone = replace(shown, read=(), attention=None, parts=shown.parts[-2:])
    assert "Where the query looked" not in below_view(alone)
    assert "same text as the query" in below_view(
        replace(shown, parts=(replace(shown.parts[0], rows=(replace(shown.parts[0].rows[0], same=True),)),))
    )


def entries(page: str) -> list[dict[str, str]]:
    """What the entries of the list say about themselves."""
    heads = re.findall(r'<article class="dbsa-entry" ([^>]*)>', page)
    return [dict(re.findall(r'data-([\w-]+)="([^"]*)"', head)) for head in heads]


def part(key: str, score: float | None = None, share: float | None = None) -> ShownPart:
    return ShownPart(key, key.capitalize(), "why", score, share, (ShownRow((("text", 0),), (("label", 0),), 7, False),))


def test_entries_know_their_places_in_each_order() -> None:
    parts = (part("block 30", 2.0, 0.3), part("similar 2", None, 0.2), part("block 4", 5.0, 0.15), part("block 1", 0.0))
    found = {each["part"]: each for each in entries(below_view(answer(parts=parts)))}
    assert [found[name]["by-attention"] for name in ("block-30", "similar-2", "block-4", "block-1")] == list("0123")
    assert sorted(found, key=lambda name: int(found[name]["by-score"])) == [
        "similar-2", "block-4", "block-30", "block-1"
    ]  # fmt: skip
    assert sorted(found, key=lambda name: int(found[name]["by-pool"])) == [
        "block-1", "block-4", "block-30", "similar-2"
    ]  # fmt: skip
    page = below_view(answer(parts=tuple(replace(each, share=None) for each in parts)))
    assert re.findall(r'<option value="(\w+)"', page) == ["score", "pool"]
    assert "by-attention" not in entries(page)[0]
    assert "Sorted by" not in below_view(answer(parts=(part("similar 2"), part("similar 1")), read=()))


def test_only_so_many_have_entries_and_the_others_share_is_told() -> None:
    parts = tuple(part(f"block {number}", 1.0, 0.0004) for number in range(1, 2001))
    page = below_view(answer(parts=parts, read=tuple(range(2000)), attention=attention(3)))
    assert len(entries(page)) == LISTED
    assert len(page) < 120_000
    assert "1,900 more parts of the context stand in the pictures alone. They got 76.0 % of the" in text_of(page)


def test_similar_rows_and_the_best_blocks_have_entries_where_no_attention_is_known() -> None:
    blocks = [part(f"block {number}", float(number)) for number in range(1, 151)]
    similar = [part(f"similar {number}") for number in range(3, 0, -1)]
    found = entries(below_view(answer(parts=(*blocks, *similar), read=tuple(range(150)))))
    assert [each["part"] for each in found[:-3]] == [f"block-{number}" for number in range(54, 151)]
    assert [each["part"] for each in found[-3:]] == ["similar-3", "similar-2", "similar-1"]


def test_what_is_chosen_stays_for_one_query_over_one_pool() -> None:
    made = about(answer())
    assert about(answer(method=method("dbsa"), read=(0, 3))) == made
    assert about(answer(query="another")) != made
    assert about(answer(pool=replace(POOL, name="other.csv"))) != made


# --- pictures ---------------------------------------------------------------------------------------------------------


def attention(blocks: int = 3, similar: int = 2) -> ShownAttention:
    names = [*(f"block {1 + 4 * i}" for i in range(blocks)), *(f"similar {i}" for i in range(similar, 0, -1)), "query"]
    mass = np.random.default_rng(0).random((4, 3, len(names))).astype(np.float32)
    return ShownAttention(tuple(names), mass / mass.sum(-1, keepdims=True))


def answer_of(found: ShownAttention) -> ShownAnswer:
    return answer(attention=found)


@pytest.mark.parametrize("blocks", [1, 3, 40])
def test_bars_have_all_of_the_attention(blocks: int) -> None:
    answer = answer_of(attention(blocks))
    page = attention_bars(answer, Columns(answer))
    values = [float(value) for value in re.findall(r'dbsa-over">([\d.]+)', page)]
    assert sum(values) == pytest.approx(100, abs=0.06 * len(values))
    names = re.findall(r'dbsa-under">([^<]+)', page)
    parts = " ".join(re.findall(r'data-part="([^"]+)"', page)).split()
    assert sorted(parts) == sorted(name.replace(" ", "-") for name in attention(blocks).names)
    assert names[0] == "first"
    assert names[-2:] == ["similar", "query"]
    assert len(names) <= 16
    assert ("27 more" in names) == (blocks == 40)


def test_the_sentence_names_the_retrieved_block_with_most() -> None:
    made = attention()
    mean = made.mass.mean(axis=(0, 1))
    best = 1 + int(mean[1:3].argmax())
    layer, head = divmod(int(made.mass[:, :, best].argmax()), 3)
    number = 1 + 4 * best
    assert attention_sentence(made, 1) == (
        f"Block {number} got {100 * mean[best]:.1f} % of the attention; the head that looked at it most, "
        f"head {head + 1} of layer {layer + 1}, gave it {100 * made.mass[layer, head, best]:.1f} %."
    )
    assert "there is no block" in attention_sentence(attention(1), 1)
    of_note = bar_sentence(made, ["similar 2"], "2nd nearest")
    assert of_note.startswith("Similar row 2 (2nd nearest) got ")
    both = 100 * float(mean[[made.names.index("similar 1"), made.names.index("similar 2")]].sum())
    assert (
        bar_sentence(made, ["similar 1", "similar 2"]) == f"2 similar rows got {both:.1f} % of the attention together."
    )


def test_the_style_uses_colours_that_there_are() -> None:
    names, css = set(re.findall(r"(--dbsa-[\w-]+):", THEME)), STYLE + LINKED + HEADS
    assert set(re.findall(r"var\((--dbsa-[\w-]+)\)", css)) <= names
    assert css.count("{") == css.count("}")
    assert "url(" not in css
