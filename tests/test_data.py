"""What holds for demonstrations and pools: nothing is lost unsaid, and one order of labels everywhere."""

import json
import re
import time
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dbsa_core.data import (
    Demonstration,
    Pool,
    Problem,
    build_pool,
    choose_columns,
    clean_text,
    guess_columns,
    match_labels,
    read_queries,
)
from dbsa_core.errors import DataError
from dbsa_core.files.tables import Table, read_table

SHARED = Path(__file__).resolve().parents[2] / "shared/data"


def table_of(columns: dict[str, Sequence[str | None]], **fields: object) -> Table:
    frame = pd.DataFrame(columns, dtype=object)
    values = {
        "row_numbers": tuple(range(1, len(frame) + 1)),
        "format": "csv", "delimiter": ",", "encoding": "utf-8", "notes": (), "source": "data.csv",
    }  # fmt: skip
    return Table(frame, **(values | fields))  # type: ignore[arg-type]


def labelled(*pairs: tuple[str | None, str | None]) -> Table:
    return table_of({"text": [text for text, _ in pairs], "label": [label for _, label in pairs]})


def kinds(pool: Pool) -> dict[str, Problem]:
    return {problem.kind: problem for problem in pool.problems}


def build(*pairs: tuple[str | None, str | None], **options: object) -> Pool:
    return build_pool(labelled(*pairs), "text", "label", **options)  # type: ignore[arg-type]


PLAIN = [("where is my card", "card"), ("send money", "transfer"), ("lost card", "card"), ("wire it", "transfer")]


# --- laws of a pool ---------------------------------------------------------------------------------------------------


def test_a_pool_keeps_file_order_and_sorts_its_labels() -> None:
    pool = Pool.of([("b", "z"), ("a", "y"), ("c", "z")])
    assert pool.texts == ("b", "a", "c")
    assert pool.labels == ("y", "z")
    assert [demonstration.row for demonstration in pool.demonstrations] == [1, 2, 3]
    assert len(pool) == 3


def test_a_built_pool_equals_one_of_its_pairs() -> None:
    assert build(*PLAIN) == Pool.of(PLAIN)


def test_the_fingerprint_hangs_on_texts_labels_and_order_alone() -> None:
    pool = Pool.of(PLAIN)
    assert pool.fingerprint == Pool.of([Demonstration(text, label, 90) for text, label in PLAIN]).fingerprint
    others = [
        Pool.of(PLAIN[::-1]),
        Pool.of(PLAIN[:-1]),
        Pool.of([*PLAIN[:-1], ("wire it", "card")]),
        Pool.of(PLAIN, labels=["card", "transfer", "oos"]),
    ]
    assert len({pool.fingerprint, *(other.fingerprint for other in others)}) == 5
    assert Pool.of([("a b", "c")]).fingerprint != Pool.of([("a", "b c")]).fingerprint


def test_the_fingerprint_is_the_same_in_every_process_and_version() -> None:
    written_down = "1d2b3b7c730eadd3c64401a6a50a60786dd55dd093715f2a9ade6b91be0fe110"
    assert Pool.of([("ä", "x"), ("b", "y"), ("c", "z")]).fingerprint == written_down


def test_a_pool_refuses_what_is_no_pair_or_lacks_a_label() -> None:
    with pytest.raises(DataError, match="Item 2 is"):
        Pool.of([("a", "x"), ("b", None)])  # type: ignore[list-item]
    with pytest.raises(DataError, match='labels "y" occur in the demonstrations but not among'):
        Pool.of([("a", "x"), ("b", "y")], labels=["x"])


@pytest.mark.parametrize(
    "text", [" a\n\tb ", "e\u0301", "\ufeffa\x00\u200bb", "a\u2028b", "\x85", "a \x00\n b", "\u200b a", "\r\n"]
)
def test_cleaning_is_final_and_leaves_one_line(text: str) -> None:
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned
    assert cleaned == cleaned.strip()
    assert len(cleaned.splitlines()) <= 1
    assert unicodedata.is_normalized("NFC", cleaned)


def test_joined_emoji_stay_joined() -> None:
    assert clean_text("\U0001f469\u200d\U0001f680") == "\U0001f469\u200d\U0001f680"


# --- stories: which columns -------------------------------------------------------------------------------------------


def repeated(*values: str) -> list[str]:
    return [values[i % len(values)] for i in range(24)]


SENTENCES = [f"this is the sentence with number {i}" for i in range(24)]
IDS = [f"id-{i:04}" for i in range(24)]


@pytest.mark.parametrize(
    ("columns", "text", "label"),
    [
        ({"text": SENTENCES, "label": repeated("a1b", "c2d")}, "text", "label"),
        ({"id": IDS, "intent": repeated("card", "cash"), "utterance": SENTENCES}, "utterance", "intent"),
        ({"foo": repeated("card", "cash"), "bar": SENTENCES}, "bar", "foo"),
        ({"label": repeated("0", "1"), "label_text": repeated("spam", "ham"), "text": SENTENCES}, "text", "label_text"),
        ({"text": SENTENCES, "fine_label": repeated(*"abcdef"), "coarse_label": repeated("loc", "num")}, "text",
         "coarse_label"),
        ({"text": SENTENCES, "split": repeated("train", "test"), "topic": repeated("x1", "y1", "z1")}, "text", "topic"),
        ({"type": IDS, "kind": repeated("card", "cash"), "words": SENTENCES}, "words", "kind"),
        ({"url": [f"https://example.org/a/long/path/to/page/{i}" for i in range(24)], "title": SENTENCES,
          "Category": repeated("news", "sport")}, "title", "Category"),
        ({"文本": ["你好吗" + str(i) for i in range(24)], "标签": repeated("好", "坏")}, "文本", "标签"),
    ],
)  # fmt: skip
def test_columns_are_guessed_by_name_and_content(columns: dict[str, list[str]], text: str, label: str) -> None:
    guess = guess_columns(table_of(columns))
    assert (guess.text, guess.label) == (text, label)
    assert f'"{label}"' in guess.reason


@pytest.mark.parametrize(
    "columns",
    [
        {"text": SENTENCES, "type": IDS},
        {"text": SENTENCES},
        {"label": repeated("a", "b")},
        {"number": [str(i / 7) for i in range(24)], "label": repeated("a", "b")},
        {"text": SENTENCES, "split": repeated("train", "test")},
        {"text": [None, None], "label": [None, None]},
    ],
)
def test_where_nothing_can_be_guessed_the_columns_are_listed(columns: dict[str, list[str]]) -> None:
    with pytest.raises(DataError, match="Name the text and the label column") as caught:
        guess_columns(table_of(columns))
    for name, values in columns.items():
        assert f'"{name}" ({values[0] or "no values"}' in str(caught.value)


def test_one_named_column_leaves_the_other_to_be_guessed() -> None:
    table = table_of({"text": SENTENCES, "label": repeated("a", "b"), "topic": repeated("x1", "y1", "z1")})
    assert build_pool(table, label_column="topic").labels == ("x1", "y1", "z1")
    assert build_pool(table, text_column="text").labels == ("a", "b")


def test_a_missing_column_is_named_with_a_close_one() -> None:
    with pytest.raises(DataError, match=r'no column "Lable". Did you mean "label"\? Its columns are "text", "label"'):
        build_pool(labelled(*PLAIN), "text", "Lable")
    with pytest.raises(DataError, match=r'no column "zzz"\. Its columns'):
        read_queries(labelled(*PLAIN), "zzz")


def test_text_and_label_have_to_be_two_columns() -> None:
    with pytest.raises(DataError, match='column "text" was given for both'):
        build_pool(labelled(*PLAIN), "text", "text")


def test_columns_of_lists_are_refused_as_texts_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"text": "a", "label": ["x"], "more": {}}, {"text": "b", "label": ["y", "z"]}]))
    for columns in (("text", "label"), (None, None), ("text", None)):
        with pytest.raises(DataError, match=r'column "label" of .* holds lists of several values \(first in row 2\)'):
            build_pool(read_table(path), *columns)
    with pytest.raises(DataError, match=r"lists or objects \(first in row 1\)"):
        read_queries(read_table(path), "more")


def test_a_label_in_a_list_of_one_is_that_label(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    labels: list[object] = [["x"], ["y"], {"choices": ["x"]}, [], ["y"]]
    path.write_text("\n".join(json.dumps({"text": f"text {i}", "label": label}) for i, label in enumerate(labels)))
    table = read_table(path)
    pool = build_pool(table)
    assert [d.label for d in pool.demonstrations] == ["x", "y", "x", "y"]
    assert 'Lists of one value in "label" were taken as that value.' in table.notes
    assert kinds(pool)["empty_label"].rows == (4,)


def test_queries_come_one_per_row_with_empty_ones_in_place() -> None:
    assert read_queries(table_of({"anything": ["a\nb", None, " ", "c"]})) == ["a b", "", "", "c"]
    assert read_queries(table_of({"id": IDS, "question": SENTENCES})) == SENTENCES
    with pytest.raises(DataError, match="The text column of"):
        read_queries(table_of({"a": ["1", "2"], "b": ["3", "4"]}))


# --- stories: which rows ----------------------------------------------------------------------------------------------


def test_a_clean_file_has_no_problems() -> None:
    assert build(*PLAIN).problems == ()


def test_empty_rows_are_left_out_with_their_numbers() -> None:
    pool = build(*PLAIN, ("", "card"), (" \u200b", "card"), (None, "card"), ("words", None), ("more", " "))
    assert pool.texts == tuple(text for text, _ in PLAIN)
    assert kinds(pool)["empty_text"].rows == (5, 6, 7)
    assert kinds(pool)["empty_label"].rows == (8, 9)
    assert "3 rows (5, 6, 7)" in kinds(pool)["empty_text"].message
    assert kinds(pool)["empty_text"].excluded
    assert kinds(pool)["empty_label"].excluded


def test_row_numbers_are_those_of_the_file_not_of_the_pool(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\na b,spam\nbad,x,y\n,ham\nc d,ham\na b,spam\ne f,ham\n")
    pool = build_pool(read_table(path), "text", "label")
    assert [(demonstration.text, demonstration.row) for demonstration in pool.demonstrations] == [
        ("a b", 1), ("c d", 4), ("e f", 6),
    ]  # fmt: skip
    found = {kind: (problem.rows, problem.excluded) for kind, problem in kinds(pool).items()}
    assert found == {
        "ragged_rows": ((2,), True), "empty_text": ((3,), True), "duplicate": ((5,), True),
        "single_example_label": ((1,), False),
    }  # fmt: skip


def test_repeats_are_kept_once_unless_wanted() -> None:
    pairs = [*PLAIN, PLAIN[0], ("  where is my card\n", "card ")]
    pool = build(*pairs)
    assert len(pool) == 4
    assert (kinds(pool)["duplicate"].rows, kinds(pool)["duplicate"].excluded) == ((5, 6), True)
    pool = build(*pairs, drop_duplicates=False)
    assert len(pool) == 6
    assert (kinds(pool)["duplicate"].rows, kinds(pool)["duplicate"].excluded) == ((5, 6), False)


def test_one_text_with_two_labels_is_kept_and_reported() -> None:
    pool = build(*PLAIN, ("send money", "card"))
    assert len(pool) == 5
    assert (kinds(pool)["conflicting_labels"].rows, kinds(pool)["conflicting_labels"].excluded) == ((2, 5), False)


def test_line_breaks_and_control_characters_are_smoothed_and_reported() -> None:
    pool = build(*PLAIN, ("two \n lines\tand a tab", "card"), ("be\x07ll\x00", "card"), ("cafe\u0301", "card"))
    assert pool.texts[4:] == ("two lines and a tab", "bell", "café")
    assert (kinds(pool)["newlines"].rows, kinds(pool)["control_characters"].rows) == ((5,), (6,))
    assert not kinds(pool)["newlines"].excluded


def test_excluded_rows_are_gone_with_labels_of_their_own() -> None:
    pool = build(*PLAIN, ("typo", "crad"), exclude_rows=[5, 1, 99])
    assert [demonstration.row for demonstration in pool.demonstrations] == [2, 3, 4]
    assert pool.labels == ("card", "transfer")


def test_a_label_without_a_text_is_no_candidate_and_that_is_said() -> None:
    pool = build(*PLAIN, ("", "oos"), ("", "oos"), ("", "card"))
    assert pool.labels == ("card", "transfer")
    problem = kinds(pool)["label_without_text"]
    assert (problem.rows, problem.excluded) == ((len(PLAIN) + 1, len(PLAIN) + 2), False)
    assert problem.message.startswith('"oos" is no candidate, for it has no row with a text: 2 rows')
    assert "label_without_text" not in kinds(build(*PLAIN, ("", "card")))


def test_na_is_a_label_like_any_other() -> None:
    assert build(("a", "NA"), ("b", "null"), ("c", "None"), ("d", "nan")).labels == ("NA", "None", "nan", "null")


# --- stories: which labels --------------------------------------------------------------------------------------------


def test_labels_that_differ_by_case_are_reported_and_by_white_space_joined() -> None:
    pool = build(*PLAIN, ("x", "Card"), ("y", " card "))
    assert pool.labels == ("Card", "card", "transfer")
    problem = kinds(pool)["label_variants"]
    assert (problem.rows, problem.excluded) == ((1, 3, 5, 6), False)
    assert '"Card", "card"' in problem.message


def test_labels_that_only_underscores_keep_apart_are_refused() -> None:
    with pytest.raises(DataError, match='labels "lost card" and "lost_card" become the same'):
        build(("a", "lost_card"), ("b", "lost card"))


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match='All 2 labelled rows have one class, "x"'):
        build(("a", "x"), ("b", "x"), ("", "y"))


def test_a_file_without_a_labelled_row_is_refused() -> None:
    with pytest.raises(DataError, match="No row of"):
        build(("a", None), (None, "x"))


@pytest.mark.parametrize("codes", [("0", "1"), ("c17", "c3"), ("LABEL_0", "LABEL_1"), ("A", "B"), ("1.0", "2.0")])
def test_coded_labels_are_reported_and_names_taken(codes: tuple[str, str]) -> None:
    pairs = [("a", codes[0]), ("b", codes[1]), ("c", codes[0]), ("d", codes[1])]
    problem = kinds(build(*pairs))["coded_labels"]
    assert "tell the model nothing" in problem.message
    assert not problem.excluded
    named = build(*pairs, label_names={codes[0]: "ham", codes[1]: "spam"})
    assert named.labels == ("ham", "spam")
    assert [demonstration.label for demonstration in named.demonstrations] == ["ham", "spam", "ham", "spam"]
    assert named.problems == ()


def test_words_are_not_taken_for_codes() -> None:
    assert "coded_labels" not in kinds(build(("a", "LOC"), ("b", "NUM"), ("c", "LOC"), ("d", "NUM")))
    assert "coded_labels" not in kinds(build(("a", "好"), ("b", "坏"), ("c", "好"), ("d", "坏")))


def test_label_names_have_to_cover_every_label() -> None:
    with pytest.raises(DataError, match='lack 2 of the 3 labels of the file: "1", "2"'):
        build(("a", "0"), ("b", "1"), ("c", "2"), label_names={"0": "ham"})
    with pytest.raises(DataError, match='label names of "1" are empty'):
        build(("a", "0"), ("b", "1"), label_names={"0": "ham", "1": " "})


def test_names_given_twice_merge_labels_and_say_so() -> None:
    names = {"0": "ham", "1": "spam", "2": "spam"}
    pool = build(("a", "0"), ("b", "1"), ("c", "2"), ("d", "0"), label_names=names)
    assert pool.labels == ("ham", "spam")
    assert '"spam" to "1", "2"' in kinds(pool)["merged_labels"].message


def test_many_decimal_numbers_are_a_regression_and_few_are_classes() -> None:
    with pytest.raises(DataError, match="that is a regression"):
        build(*((f"t{i}", str(i / 7)) for i in range(1, 40)))
    with pytest.raises(DataError, match="that is a regression"):
        build(("a", "0.37"), ("b", "0.9"), ("c", "0.12"))
    pool = build(*((f"t{i}", ("0.5", "1.5")[i % 2]) for i in range(20)))
    assert "decimal numbers" in kinds(pool)["float_labels"].message


def test_lists_written_as_text_are_refused_and_bracketed_names_taken() -> None:
    with pytest.raises(DataError, match="are lists of several values or objects, first in row 1"):
        build(("a", "['x', 'y']"), ("b", "['x']"), ("c", '{"k": 1}'))
    pool = build(("a", "['x']"), ("b", '["it\'s late"]'), ("c", '{"choices": ["x", "y"]}'), ("d", "plain"), ("e", "x"))
    assert [d.label for d in pool.demonstrations] == ["x", "it's late", "plain", "x"]
    assert kinds(pool)["list_label"].rows == (3,)
    assert kinds(pool)["list_label"].excluded
    assert build(("a", "[greeting]"), ("b", "[bye]")).labels == ("[bye]", "[greeting]")


SHAPELESS = ["\u200e", "\u200f", "\u061c", "\xad", "\u2063", "\u180e", "️", "ㅤ", "\U000e0041", "\u200d", "͏"]


@pytest.mark.parametrize("mark", SHAPELESS, ids=ascii)
def test_marks_without_a_shape_split_no_class(mark: str) -> None:
    pool = build(("a", "damaged"), ("b", f"damaged{mark}"), ("c", f"damaged {mark}"), ("d", "lost"))
    assert pool.labels == ("damaged", "lost")
    inside = build(("a", "damaged"), ("b", f"dam{mark}aged"), ("d", "lost"))
    assert inside.labels == (("damaged", "lost") if mark != "\u200d" else ("damaged", "dam\u200daged", "lost"))


def test_a_label_of_one_spelling_stays_as_it_is() -> None:
    """Emoji, Persian words with joiners, two spaces, decimals: what is the same everywhere is nobody's fault."""
    labels = ("\u2764\ufe0f", "\u0645\u06cc\u200c\u0634\u0648\u062f", "order  status", "1.0", "True", "-1", "=a", "@x")
    pool = build(*((f"text {i}", label) for i, label in enumerate(labels)))
    assert set(pool.labels) == set(labels)
    assert "joined_labels" not in kinds(pool)


@pytest.mark.parametrize(
    ("spellings", "joined"),
    [
        (["order  status", "order status"], "order status"), (["order\u00a0status", "order status"], "order status"),
        (["1.0", "1"], "1"), (["-1.00", "-1"], "-1"), (["True", "true", "TRUE"], "true"),
        (["a\u00a0 b", "a  b", "a  b"], "a  b"), (["2.0", "2.00", "2.0"], "2.0"),
    ],
    ids=ascii,
)  # fmt: skip
def test_spellings_that_a_reader_cannot_tell_apart_are_joined_with_a_note(spellings: list[str], joined: str) -> None:
    pool = build(*((f"text {i}", label) for i, label in enumerate([*spellings, "other"])))
    assert pool.labels == tuple(sorted((joined, "other")))
    problem = kinds(pool)["joined_labels"]
    assert problem.rows == tuple(i for i, label in enumerate(spellings, 1) if label != joined)
    assert "white space or number format only were joined" in problem.message
    assert not problem.excluded


def test_labels_that_differ_by_case_stay_apart() -> None:
    assert build(("a", "Spam"), ("b", "spam")).labels == ("Spam", "spam")


def test_labels_of_another_file_are_matched_where_exactly_one_fits() -> None:
    known = ("order_status", "Spam", "spam", "1", "refund")
    given = ["Order status", "ORDER  STATUS", "SPAM", "1.0", "refund", "unknown", "refund\u200e"]
    labels, matched = match_labels(given, known)
    assert labels == ["order_status", "order_status", "SPAM", "1", "refund", "unknown", "refund"]
    assert set(matched) == {"Order status", "ORDER  STATUS", "1.0", "refund\u200e"}


NAMED: dict[str, tuple[dict[str, list[str]], tuple[str, str]]] = {
    "unique labels": ({"text": SENTENCES, "label": [f"kind {i}" for i in range(len(SENTENCES))]}, ("text", "label")),
    "long labels": (
        {"label": ["about a parcel that has not come " * 4, "about one that is broken " * 5] * (len(SENTENCES) // 2),
         "text": SENTENCES[: len(SENTENCES) // 2 * 2]},
        ("text", "label"),
    ),
    "annotated utterances": (
        {"intent": ["a", "b"] * 10, "utt": [f"wake me at {i}" for i in range(20)],
         "annot_utt": [f"wake me at [time : {i} o'clock]" for i in range(20)]},
        ("utt", "intent"),
    ),
    "a question asked again and again": (
        {"intent": ["a", "b"] * 10, "question": ["How would you ask the assistant to set an alarm for you?"] * 20,
         "answer_normalised": [f"please wake me up at {i} tomorrow" for i in range(20)],
         "answer": [f"Please wake me up at {i}" for i in range(20)]},
        ("answer", "intent"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMED)
def test_columns_are_known_by_their_names_where_statistics_mislead(case: str) -> None:
    columns, expected = NAMED[case]
    assert choose_columns(table_of(columns), None, None) == expected


def test_why_no_column_can_be_the_labels_is_said_for_each() -> None:
    count = 40
    columns: dict[str, Any] = {
        "id": [str(i) for i in range(count)], "note": [f"a text about {i}" for i in range(count)],
        "lang": ["en"] * count, "price": [f"{i % 7}.5" for i in range(count)], "gone": [None] * count,
        "remark": ["a long remark " * 9, "another one " * 9] * (count // 2),
        "seldom": [f"v{i // 2}" if i < 30 else f"w{i}" for i in range(count)],
    }  # fmt: skip
    with pytest.raises(DataError) as caught:
        choose_columns(table_of(columns), None, None)
    said = str(caught.value)
    for name, why in {
        "id": "unique values", "note": "unique values", "lang": "one value only", "price": "numbers",
        "remark": "too long for labels", "seldom": "values seldom repeat", "gone": "no values; empty",
    }.items():  # fmt: skip
        assert re.search(rf'"{name}" \([^)]*{why}', said), (name, said)


def test_where_one_column_is_named_only_the_other_is_guessed() -> None:
    columns = {"id": IDS, "words": SENTENCES, "kind": [f"x{i}" for i in range(len(SENTENCES))]}
    with pytest.raises(DataError, match="The label column"):
        choose_columns(table_of(columns), None, None)
    assert choose_columns(table_of(columns), None, "kind") == ("words", "kind")


def test_too_many_labels_are_refused_with_their_count() -> None:
    with pytest.raises(DataError, match="has 2,001 different labels; accepted are up to 2,000"):
        build(*((f"text {i}", f"label of {i} x") for i in range(2_001)))
    assert len(build(*((f"text {i}", f"label of {i} x") for i in range(2_000))).labels) == 2_000


# --- speed and real data ----------------------------------------------------------------------------------------------


def test_fifteen_thousand_rows_take_no_time_to_notice() -> None:
    table = labelled(*((f"a question with the number {i}?", f"intent_{i % 150}_x") for i in range(15_000)))
    start = time.perf_counter()
    assert len(build_pool(table, "text", "label")) == 15_000
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("name", "rows", "labels"),
    [("trec", 5452, 6), ("trec_fine", 5452, 50), ("banking77", 10003, 77), ("clinc150", 15100, 151), ("nlu", 9960, 64)],
)
def test_the_evaluation_sets_become_pools(name: str, rows: int, labels: int) -> None:
    if not SHARED.is_dir():
        pytest.skip("the evaluation data is not here")
    pool = build_pool(read_table(SHARED / name / "train.csv"))
    repeats = kinds(pool)["duplicate"].rows if "duplicate" in kinds(pool) else ()
    assert len(pool) + len(repeats) == rows
    assert len(pool.labels) == labels
    assert pool.labels == tuple(sorted(pool.labels))
