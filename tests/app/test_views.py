"""Views: what they say, and that no user text reaches the page as HTML."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from app import views
from app.server.workspace import Workspace
from app.tabs.page import header_view
from app.theme import CSS, make_theme
from dbsa_core.blocks import BlockPattern
from dbsa_core.data import Demonstration, Pool, Problem
from dbsa_core.files.tables import Table
from dbsa_core.methods import Setup, make_method
from dbsa_core.prediction import Prediction
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.stage1.encoding import Progress
from dbsa_core.stage2.label_scores import LabelScores, OpenLabels
from dbsa_core.stage2.step import Size
from dbsa_core.stage2.steps import WarmUp, steps_of
from dbsa_core.task import Task
from tests.tiny import tiny_model

SCRIPT, IMAGE = "<script>alert(1)</script>", "<img src=x onerror=alert(1)>"
QUERY = "my card is lost"
ROWS = [
    ("card lost", "lost_card"),
    ("my card late", "card_late"),
    (SCRIPT + " card", "refund"),
    ("card", IMAGE),
    ("refund it", "refund"),
    ("my cash", "refund"),
    ("my card is lost", "lost_card"),
    ("card here", "card_late"),
    ("where is it", "card_late"),
    ("no refund", "refund"),
]


class Tags(HTMLParser):
    """Which tags and attributes a page has."""

    def __init__(self, page: str):
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen += [tag, *(name for name, _ in attrs)]
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_harmless(page: str) -> None:
    assert SCRIPT not in page
    assert IMAGE not in page
    tags = Tags(page)
    assert not tags.open
    assert not {"script", "img", "iframe", "link"} & set(tags.seen)
    assert not [name for name in tags.seen if name.startswith("on")]


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", page)).strip()


@pytest.fixture(scope="module")
def setup() -> Setup:
    pool = Pool.of([Demonstration(text, label, row) for row, (text, label) in enumerate(ROWS, start=101)])
    return Setup.of(Task(tiny_model(), pool), EncodeSettings(block_size=2, pool_tokens=300)).encode()


@pytest.fixture(scope="module")
def prediction(setup: Setup) -> Prediction:
    settings = QuerySettings(ratio=0.6, fresh_demonstrations=3)
    found = make_method("dbsa_fresh", settings).fit(setup).predict(QUERY, attention=True)
    return replace(found, notes=(SCRIPT, IMAGE))


def table(**changes: object) -> Table:
    plain = Table(pd.DataFrame({"text": ["a"] * 9}), tuple(range(1, 10)), "csv", ",", "utf-8", (), "rows.csv")
    return replace(plain, **changes)


def prediction_of(log_probs: list[float], way: str = "one_pass", **changes: object) -> Prediction:
    values = np.array(log_probs)
    labels = tuple(f"label {index}" for index in range(len(values)))
    left = tuple(int(index) for index in np.flatnonzero(~np.isfinite(values)))
    open_labels = (OpenLabels(left, math.log(0.009)),) if left else ()
    scores = LabelScores(labels, values, way, int(values.argmax()), 1, 10, open_labels)
    seconds = {"retrieve": 0.01, "assemble": 0.02, "forward": 0.06, "total": 0.09}
    return replace(Prediction("dbsa", "q", scores, 1234, seconds, False), **changes)


# --- no user text is HTML ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("evil", [SCRIPT, IMAGE, '"><svg onload=alert(1)>'])
def test_data_views_escape(evil: str) -> None:
    problems = (Problem("kind", f"message {evil}", (1,), True),)
    pool = Pool.of([(evil, "a"), ("b", evil)], problems=problems)
    evil_table = table(source=evil, notes=(evil,), delimiter=evil, encoding=evil, format=evil)
    for page in (views.problems_view(pool), views.pool_summary(pool, evil_table)):
        check_harmless(page)
        assert evil not in page
        assert "&lt;" in page


@pytest.mark.parametrize("kind", ["error", "warning", "info"])
def test_message_escapes(kind: str) -> None:
    page = views.message_view(f"{SCRIPT} and {IMAGE}", kind)
    check_harmless(page)
    assert "&lt;script&gt;" in page


def test_plan_view_escapes(setup: Setup) -> None:
    page = views.plan_view(replace(setup.plan, limited_by=SCRIPT, notes=(IMAGE,)))
    check_harmless(page)
    assert "&lt;img" in page


@pytest.mark.parametrize(
    "view",
    [
        lambda setup, made: views.prediction_card(made, title=SCRIPT),
        lambda setup, made: views.latency_table([made, made], [SCRIPT, IMAGE]),
        lambda setup, made: views.blocks_html(setup, made, retriever_name="bm25", seed=42),
        lambda setup, made: views.fresh_html(setup, made),
    ],
)
def test_query_views_escape(view: Callable[[Setup, Prediction], str], setup: Setup, prediction: Prediction) -> None:
    check_harmless(view(setup, prediction))


def test_evil_rows_are_shown(setup: Setup, prediction: Prediction) -> None:
    assert prediction.selection is not None
    every_block = tuple(range(len(setup.blocks)))
    everything = replace(prediction, selection=replace(prediction.selection, block_ids=every_block))
    evil_row = next(row for row, (text, _) in enumerate(ROWS) if SCRIPT in text)
    assert next(row for row, (_, label) in enumerate(ROWS) if label == IMAGE) in setup.rows
    page = views.blocks_html(setup, everything, retriever_name="bm25", seed=42)
    check_harmless(page)
    assert "&lt;img src=x onerror=alert(1)&gt;</span>" in page
    page = views.fresh_html(setup, replace(prediction, demonstration_rows=(evil_row,)))
    check_harmless(page)
    assert '&lt;script&gt;alert(1)&lt;/script&gt; <mark class="dbsa-m' in page


# --- numbers in words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blocks", "ratio", "pattern", "words"),
    [
        (27, 0.3, BlockPattern(), "30 % of 27 blocks = 8 blocks, the sink included"),
        (27, 0.3, BlockPattern(sink_blocks=0), "30 % of 27 blocks = 8 blocks, the first block included"),
        (27, 0.3, BlockPattern(sink_blocks=2), "30 % of 27 blocks = 8 blocks, the 2 sinks included"),
        (27, 1.0, BlockPattern(), "100 % of 27 blocks = all 27 blocks"),
        (
            27,
            0.01,
            BlockPattern(),
            "1 % of 27 blocks is raised to 2 blocks, the fewest that are read: the sink and the best match",
        ),
        (1, 0.3, BlockPattern(), "30 % of 1 block = the only block"),
        (2, 0.3, BlockPattern(), "30 % of 2 blocks = all 2 blocks"),
        (1000, 0.125, BlockPattern(), "12.5 % of 1,000 blocks = 125 blocks, the sink included"),
        (0, 0.3, BlockPattern(), "No blocks yet: encode a pool first."),
    ],
)
def test_ratio_text(blocks: int, ratio: float, pattern: BlockPattern, words: str) -> None:
    assert views.ratio_text(blocks, ratio, pattern) == words


@pytest.mark.parametrize("ratio", [0.0, -1.0, 1.5, math.nan])
def test_ratio_text_says_what_is_accepted(ratio: float) -> None:
    assert "above 0 and at most 1" in views.ratio_text(27, ratio, BlockPattern())


def test_percent_never_rounds_to_none_or_all() -> None:
    shares = (0, 0.00001, 0.103, 0.9, 0.99999, 1)
    assert [views.percent(share) for share in shares] == ["0 %", "< 0.1 %", "10.3 %", "90.0 %", "> 99.9 %", "100 %"]


def test_duration() -> None:
    seconds = (0.2, 59.4, 59.6, 185, 7800)
    words = ["less than 1 s", "59 s", "1 min 00 s", "3 min 05 s", "2 h 10 min"]
    assert [views.duration(value) for value in seconds] == words


@pytest.mark.parametrize("sinks", [0, 1, 2])
@pytest.mark.parametrize("previous", [0, 1, 3])
@pytest.mark.parametrize("blocks", [1, 2, 7])
def test_density_counts_what_the_pattern_sees(sinks: int, previous: int, blocks: int) -> None:
    pattern = BlockPattern(1, sinks, previous)
    seen = sum(pattern.sees(row, column) for row in range(blocks) for column in range(blocks))
    pairs = blocks * (blocks + 1) // 2
    assert views.density_words(pattern, blocks) == f"{seen} of {pairs} block pairs, {views.percent(seen / pairs)}"


# --- data and encoding ------------------------------------------------------------------------------------------------


def test_problems() -> None:
    pool = Pool.of([("a", "x"), ("b", "y")])
    assert text_of(views.problems_view(pool)) == "No problems found in 2 rows."
    problems = (Problem("k", "Kept these.", (3,), False), Problem("d", "Left out these.", (4,), True))
    page = text_of(views.problems_view(replace(pool, problems=problems)))
    assert page == "left out Left out these. kept Kept these."


def test_pool_summary() -> None:
    labels = [f"label {index:02d}" for index in range(23)]
    pool = Pool.of([("four", label) for label in labels] + [("four", "label 05")] * 4)
    page = text_of(views.pool_summary(pool, table(row_numbers=tuple(range(1, 31)), delimiter=";", notes=("A note.",))))
    for part in (
        "rows.csv",
        "semicolon",
        "utf-8",
        "27 rows, 3 left out",
        "Labels 23",
        "median 4, 95 % up to 4",
        "A note.",
    ):
        assert part in page
    assert page.index("label 05 5") < page.index("label 00 1")
    assert "3 more labels: 3 rows together, 1 each." in page


def test_plan_view(setup: Setup) -> None:
    plan = setup.plan
    page = text_of(views.plan_view(plan))
    assert plan.sentence in page.replace("&#x27;", "'")
    assert views.density_words(plan.pattern, len(plan.blocks)) in page
    assert f"{views.percent(plan.density)} of full attention" in page.replace("&#x27;", "'")
    assert f"Tokens {plan.tokens:,}" in page
    assert "Limited by your budget" in page
    assert f"Blocks {len(plan.blocks)} × 2 demonstrations" in page


def test_progress() -> None:
    progress = Progress(12, 27, 400, 1000, 4.0)
    running = text_of(views.progress_view(progress, "running"))
    assert running == "Encoding: block 12 of 27 40.0 % · 400 of 1,000 tokens · 100 tokens/s · 6 s left"
    assert 'aria-valuenow="40"' in views.progress_view(progress, "running")
    assert text_of(views.progress_view(progress, "stopped")).startswith("Stopped after block 12 of 27;")
    assert text_of(views.progress_view(progress, "failed")).startswith("Encoding failed after block 12 of 27.")
    assert text_of(views.progress_view(None, "none")) == "Not encoded yet."
    assert text_of(views.progress_view(None, "running")) == "Encoding: starting"
    assert "Ready: 27 blocks" in views.progress_view(Progress(27, 27, 1000, 1000, 9.0), "ready")
    for state in ("none", "running", "stopped", "ready", "failed", "stale"):
        for known in (None, progress, Progress(0, 0, 0, 0, 0.0)):
            check_harmless(views.progress_view(known, state))


def test_message() -> None:
    assert views.message_view("") == ""
    assert 'role="alert"' in views.message_view("No file.")
    assert text_of(views.message_view("Stale.", "warning")) == "Warning Stale."
    assert "1 min 15 s" in views.comparison_note(75)


# --- predictions ------------------------------------------------------------------------------------------------------


def test_card_shows_the_best_labels_first() -> None:
    made = prediction_of(list(np.log([0.1, 0.5, 0.2, 0.05])), cold=True, equal_rows=(1, 2), notes=("A note.",))
    page = text_of(views.prediction_card(made, title="DBSA", top=3))
    assert page.startswith("DBSA first use, may be slower query equals 2 demonstrations label 1 ")
    assert "58.8 %, 35.3 points ahead of label 2" in page
    assert page.index("label 1 58.8 %") < page.index("label 2 23.5 %") < page.index("label 0 11.8 %")
    assert "label 3" not in page
    assert "1 more label below." in page
    assert "Softmax over the 4 candidate labels of their exact log-probabilities." in page
    assert "15.0 % of the model&#x27;s probability lies outside them." in page
    assert "1,234 tokens of context" in page
    assert page.endswith("A note.")


def test_card_shows_ranges_where_labels_were_left_open() -> None:
    made = prediction_of([math.log(0.6), -math.inf, math.log(0.3), -math.inf], "best_first")
    page = text_of(views.prediction_card(made, title="DBSA"))
    assert "66.0 % to 66.7 %, 33.2 points ahead of label 2" in page
    assert "label 1 at most 1.0 %" in page
    assert "4 candidate labels; 2 of them were not scored one by one" in page
    assert "9.1 % to 10.0 % of the model&#x27;s probability lies outside them." in page
    assert "May fit no label" not in page


def test_card_of_a_greedy_walk_has_no_probability() -> None:
    page = text_of(views.prediction_card(prediction_of([-math.inf, math.log(0.6)], "greedy"), title="DBSA"))
    assert "label 1 no probability: greedy decoding follows one label only" in page
    assert "The other 1 candidate label were" not in page
    assert "The other candidate label was not scored." in page
    assert "60" not in page


def test_card_says_once_that_no_label_may_fit() -> None:
    page = text_of(views.prediction_card(prediction_of(list(np.log([0.004, 0.002]))), title="DBSA"))
    assert page.count("May fit no label") == 1
    assert "99.4 % of the model&#x27;s probability lies outside them." in page


def test_latency_table() -> None:
    first = prediction_of([-1.0, -2.0])
    other = prediction_of([-1.0, -2.0], seconds={"forward": 1.0, "total": 1.0}, cold=True)
    page = text_of(views.latency_table([first, other], ["DBSA", "Retrieval ICL"]))
    assert "Phase DBSA Retrieval ICL Retrieve 0.010 s – Assemble 0.020 s – Forward 0.060 s 1.000 s" in page
    assert "DBSA takes 0.09 of Retrieval ICL&#x27;s time." in page
    assert "First use of Retrieval ICL" in page
    page = text_of(views.latency_table([other, first], ["Retrieval ICL", "DBSA"]))
    assert "Retrieval ICL takes 11.1 times as long as DBSA." in page
    assert "No timings yet." in views.latency_table([], [])


# --- what a query read ------------------------------------------------------------------------------------------------


def test_blocks_in_context_order(setup: Setup, prediction: Prediction) -> None:
    assert prediction.selection is not None
    page = views.blocks_html(setup, prediction, retriever_name="bm25", seed=42)
    numbers = [int(found) for found in re.findall(r"<strong>Block (\d+)</strong>", page)]
    assert numbers == [block + 1 for block in prediction.selection.block_ids]
    assert page.count("Shared first block (sink)") == 1
    assert page.count("attention ") == len(numbers)
    for block in prediction.selection.block_ids:
        assert f"score {prediction.selection.scores[block]:.2f}" in page
        for row in setup.blocks[block].rows:
            assert f"row {row + 101}<" in page


def test_best_matches_come_first_and_the_rest_folds(setup: Setup, prediction: Prediction) -> None:
    page = views.blocks_html(setup, prediction, retriever_name="bm25", seed=42, best=1)
    assert page.count("<details><summary>1 more demonstration</summary>") >= 1
    retriever = setup.block_retriever("bm25", 42)
    for section in page.split("<section")[1:]:
        block = int(re.findall(r"<strong>Block (\d+)", section)[0]) - 1
        weights = retriever.matched_words(QUERY, block)
        totals = [sum(weights.get(word, 0) for word in set(found)) for found in _marks_by_item(section)]
        assert totals == sorted(totals, reverse=True)


def _marks_by_item(section: str) -> list[list[str]]:
    return [re.findall(r'<mark class="dbsa-m[123]">([^<]+)</mark>', item) for item in section.split("<li>")[1:]]


def test_marked_words_are_those_of_the_query(setup: Setup, prediction: Prediction) -> None:
    page = views.blocks_html(setup, prediction, retriever_name="bm25", seed=42)
    body = page[page.index("<section") :]
    marks = re.findall(r'<mark class="dbsa-m([123])">([^<]+)</mark>', body)
    assert {word.lower() for _, word in marks} <= {"my", "card", "is", "lost"}
    assert "3" in {strength for strength, _ in marks}


def test_equal_rows_are_flagged(setup: Setup, prediction: Prediction) -> None:
    (equal,) = prediction.equal_rows
    page = views.fresh_html(setup, replace(prediction, demonstration_rows=(equal,)))
    assert "same text as the query" in page


def test_a_retriever_without_words_marks_nothing(setup: Setup, prediction: Prediction) -> None:
    page = views.blocks_html(setup, prediction, retriever_name="random", seed=1)
    assert "<mark" not in page
    assert "No word of these blocks" in page


def test_fresh_nearest_first(setup: Setup, prediction: Prediction) -> None:
    rows = prediction.demonstration_rows
    assert rows
    page = views.fresh_html(setup, prediction)
    found = [int(number) for number in re.findall(r"row (\d+)<", page)]
    assert found == [setup.task.pool.demonstrations[row].row for row in reversed(rows)]
    assert "No similar examples" in views.fresh_html(setup, replace(prediction, demonstration_rows=()))
    in_pool, outside = setup.rows[0], next(iter(set(range(len(ROWS))) - set(setup.rows)), None)
    assert "its block was not read" in views.fresh_html(
        setup, replace(prediction, demonstration_rows=(in_pool,), attention=None)
    )
    if outside is not None:
        assert "not in the encoded" in views.fresh_html(
            setup, replace(prediction, demonstration_rows=(outside,), attention=None)
        )


def test_a_method_without_blocks(setup: Setup, prediction: Prediction) -> None:
    page = views.blocks_html(setup, replace(prediction, selection=None), retriever_name="bm25", seed=42)
    assert text_of(page) == "This method reads no blocks."


# --- the theme --------------------------------------------------------------------------------------------------------


def test_nothing_is_fetched_for_the_look() -> None:
    made = make_theme()
    assert not made._stylesheets
    assert not made._font_css
    assert "url(" not in CSS
    assert "@import" not in CSS


def test_css_braces_and_variables_match() -> None:
    assert CSS.count("{") == CSS.count("}")
    light, dark = CSS.split(".dark {")[:2]
    names = set(re.findall(r"(--dbsa-[\w-]+):", light))
    assert names == set(re.findall(r"(--dbsa-[\w-]+):", dark.split("}")[0]))
    assert set(re.findall(r"var\((--dbsa-[\w-]+)\)", CSS)) <= names


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_contrast(mode: int) -> None:
    colours = dict(re.findall(r"--dbsa-([\w-]+): (#\w{6})", CSS.split(".dark {")[mode]))
    page = ("#ffffff", "#171c24")[mode]
    pairs = [(colours["muted"], page), (colours["chip-text"], colours["chip"])]
    pairs += [(colours[f"{kind}-text"], colours[kind]) for kind in ("error", "warning", "info")]
    pairs += [(colours["mark-text"], colours[mark]) for mark in ("m1", "m2")]
    pairs.append(("#171c24", colours["m3"]))
    for text, ground in pairs:
        high, low = sorted((_luminance(text), _luminance(ground)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def test_the_header_names_a_gpu_that_lies_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace()
    session = workspace.session(None)
    monkeypatch.setattr("app.tabs.page.unused_gpu", lambda: "")
    assert "Device" not in text_of(header_view(workspace, session))
    monkeypatch.setattr("app.tabs.page.unused_gpu", lambda: "GPU found, but idle")
    assert "GPU found, but idle" in text_of(header_view(workspace, session))


def test_the_header_tells_what_a_warm_up_took(monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace()
    session, model = workspace.session(None), tiny_model("llama")
    monkeypatch.setattr(workspace, "loaded", lambda source: model)
    assert "Warm-up" not in text_of(header_view(workspace, session))
    steps_of(model).warm_ups.append(WarmUp(Size(32, 64, 4), compiled=True, seconds=7.41))
    assert "Warm-up, once 7.4 s for 1 size of queries" in text_of(header_view(workspace, session))
