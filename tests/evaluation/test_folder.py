"""A folder in which an evaluation is kept: it goes on where it was stopped, and refuses other settings."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dbsa_core.data import Demonstration
from dbsa_core.errors import CapacityError, DataError, SettingsError
from dbsa_core.evaluation import RUN, Evaluation, EvaluationStopped, beaten_by_word_counts, evaluate, read_run
from dbsa_core.evaluation.folder import STEPS
from dbsa_core.methods import METHODS, Method, Refusal, Setup, make_method
from dbsa_core.prediction import Prediction
from dbsa_core.settings import QuerySettings
from tests.evaluation.test_running import ByList, rows
from tests.evaluation.test_running import setup as setup  # a fixture

TEST = rows(*((f"day {i} was {label}", label) for i, label in enumerate(["hot", "cold", "mild", "hot"] * 10)))
FILES = {RUN, STEPS, "results.json", "results.csv", "answers.csv", "report.md", "report.html"}


class Stops:
    """A method that is stopped behind so many answers, asked alone or together."""

    def __init__(self, method: Method, alone: int | None = None, together: int | None = None):
        self._method, self._alone, self._together = method, alone, together

    def __getattr__(self, name: str) -> Any:
        return getattr(self._method, name)

    def fit(self, setup: Setup) -> Any:
        self._method.fit(setup)
        return self

    def predict(self, query: str, *, attention: bool = False) -> Prediction:
        if self._alone is not None:
            self._alone -= 1
            if self._alone < 0:
                raise KeyboardInterrupt
        return self._method.predict(query)

    def predict_many(self, queries: Iterable[str]) -> Iterator[Prediction | Refusal]:
        for done, answer in enumerate(self._method.predict_many(queries)):
            if done == self._together:
                raise KeyboardInterrupt
            yield answer


def what_was_found(results: Sequence[Evaluation]) -> list[Any]:
    """All but times and probabilities."""
    return [
        (
            found.method,
            found.predicted,
            found.accuracy_estimate,
            found.macro_f1,
            found.kv_bytes,
            found.context_tokens,
            found.latency_n,
            found.throughput_n > 0,
        )
        for found in results
    ]


def three() -> list[Any]:
    return [make_method("dbsa"), make_method("tfidf"), make_method("nearest")]


@pytest.fixture(scope="module")
def whole(setup: Setup) -> list[Evaluation]:
    """A run that was never stopped."""
    return evaluate(three(), setup, TEST)


QUICK = [{"alone": 11}, {"together": 17}]
OTHERS = [{"alone": 0}, {"together": 0}, {"together": 39}]


@pytest.mark.slow
@pytest.mark.parametrize("where", [*QUICK, *(pytest.param(where, marks=pytest.mark.slow) for where in OTHERS)])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(
    setup: Setup, tmp_path: Path, whole: list[Evaluation], where: dict[str, int]
) -> None:
    first, second, third = three()
    with pytest.raises(EvaluationStopped):
        evaluate([first, Stops(second, **where), third], setup, TEST, folder=tmp_path)
    steps = len((tmp_path / STEPS).read_text().splitlines())
    found = evaluate(three(), setup, TEST, folder=tmp_path)
    assert what_was_found(found) == what_was_found(whole)
    for ours, theirs in zip(found, whole, strict=True):
        assert ours.probabilities == pytest.approx(theirs.probabilities, abs=1e-5)
    assert len((tmp_path / STEPS).read_text().splitlines()) == 3 * (1 + 30 + 40) >= steps, "no row was asked twice"
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_where_all_is_done_nothing_is_asked_or_fitted_again(setup: Setup, tmp_path: Path) -> None:
    first = evaluate([ByList()], setup, rows(("hot 1", "hot"), ("long 1", "hot")), folder=tmp_path)
    method = ByList()
    assert evaluate([method], setup, rows(("hot 1", "hot"), ("long 1", "hot")), folder=tmp_path) == first
    assert (method.fitted, method.asked, method.together) == ([], [], [])


def test_a_method_that_is_done_is_not_fitted_again(setup: Setup, tmp_path: Path) -> None:
    test = rows(("hot 1", "hot"))
    with pytest.raises(EvaluationStopped):
        evaluate([ByList("one"), Stops(ByList("two"), together=0)], setup, test, folder=tmp_path)
    one, two = ByList("one"), ByList("two")
    assert [found.method for found in evaluate([one, two], setup, test, folder=tmp_path)] == ["one", "two"]
    assert (len(one.fitted), len(two.fitted)) == (0, 1)


def test_a_line_that_was_cut_off_is_done_again(setup: Setup, tmp_path: Path) -> None:
    test = rows(("hot 1", "hot"), ("cold 1", "hot"))
    first = evaluate([ByList()], setup, test, folder=tmp_path)
    content = (tmp_path / STEPS).read_bytes()
    (tmp_path / STEPS).write_bytes(content[:-9])
    again = evaluate([ByList()], setup, test, folder=tmp_path)
    assert (again[0].predicted, again[0].probabilities) == (first[0].predicted, first[0].probabilities)
    assert len((tmp_path / STEPS).read_bytes().splitlines()) == len(content.splitlines())
    assert evaluate([ByList()], setup, test, folder=tmp_path) == again, "what was written then can be read"
    (tmp_path / STEPS).write_bytes(b"{]\n" + content)
    with pytest.raises(DataError, match=r"Line 1 of .* cannot be read"):
        evaluate([ByList()], setup, test, folder=tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ratio": 0.5}, "methods.by_list.ratio: 0.3 there, 0.5 now"),
        ({"test": rows(("hot 2", "hot"))}, "test.fingerprint"),
        ({"out_of_scope": "mild"}, "out_of_scope: None there, mild now"),
        ({"name": "other"}, "methods.by_list.ratio: 0.3 there, None now; methods.other.ratio: None there, 0.3 now"),
    ],
)
def test_a_folder_of_other_settings_is_refused_and_left_as_it_is(
    setup: Setup, tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    test = rows(("hot 1", "hot"))
    evaluate([ByList()], setup, test, folder=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    method = ByList(change.get("name", "by_list"), settings=QuerySettings(ratio=change.get("ratio", 0.3)))
    with pytest.raises(SettingsError, match="holds an evaluation of other settings") as refused:
        evaluate([method], setup, change.get("test", test), out_of_scope=change.get("out_of_scope"), folder=tmp_path)
    assert told in str(refused.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_other_rows_of_the_file_and_another_encoding_are_other_settings(setup: Setup, tmp_path: Path) -> None:
    test = rows(("hot 1", "hot"))
    evaluate([ByList()], setup, test, folder=tmp_path)
    for other, told in (
        (setup.teach("a new text", "hot"), "data.rows"),
        (Setup.of(setup.task, replace(setup.plan.settings, seed=7)), "encode.seed"),
    ):
        with pytest.raises(SettingsError, match=told):
            evaluate([ByList()], other, test, folder=tmp_path)


def test_what_is_no_folder_of_an_evaluation_is_said(setup: Setup, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(DataError, match="cannot be written to"):
        evaluate([ByList()], setup, rows(("hot 1", "hot")), folder=file)
    (tmp_path / RUN).write_text("{}")
    with pytest.raises(DataError, match=r"is not the run\.json of an evaluation"):
        evaluate([ByList()], setup, rows(("hot 1", "hot")), folder=tmp_path)
    with pytest.raises(DataError, match="give one that `evaluate` wrote"):
        read_run(tmp_path / "none")


def test_a_method_that_was_refused_stays_so(setup: Setup, tmp_path: Path) -> None:
    class Full(ByList):
        def fit(self, setup: Setup) -> ByList:
            raise CapacityError("No room for the pool.")

    told: list[str] = []
    test = rows(("hot 1", "hot"))
    for _ in range(2):
        (found,) = evaluate(
            [Full("full"), ByList()],
            setup,
            test,
            folder=tmp_path,
            on_refused=lambda name, error: told.append(f"{name}: {error}"),
        )
        assert found.method == "by_list"
    assert told == ["full: No room for the pool."] * 2


def test_the_files_say_what_was_found(setup: Setup, tmp_path: Path) -> None:
    test = [Demonstration("hot 1", "hot", 4), Demonstration("cold 1", "hot", 7), Demonstration("long 1", "cold", 9)]
    methods = [ByList("one"), ByList("two")]
    found = evaluate(methods, setup, test, folder=tmp_path, about={"who": "me"})
    run = read_run(tmp_path / RUN)
    assert (run["about"], run["settings"]["methods"]) == ({"who": "me"}, {"one": {"ratio": 0.3}, "two": {"ratio": 0.3}})
    as_json = json.loads((tmp_path / "results.json").read_text())
    for ours, theirs in zip(as_json["results"], found, strict=True):
        assert ours.items() >= theirs.as_json().items()
        assert ours["confusion"] == [
            {"label": "cold", "answer": "", "rows": 1},
            {"label": "hot", "answer": "cold", "rows": 1},
            {"label": "hot", "answer": "hot", "rows": 1},
        ]
        (one,) = ours["reliability"]
        assert one == {"count": 2, "probability": pytest.approx(0.8), "accuracy": 0.5}
    assert [(each["first"], each["second"], each["mcnemar_p"]) for each in as_json["comparisons"]] == [
        ("one", "two", 1)
    ]
    with (tmp_path / "answers.csv").open(newline="") as file:
        answers = list(csv.reader(file))
    assert answers[0] == ["row", "text", "label", "label_one", "probability_one", "label_two", "probability_two"]
    assert answers[1][:4] == ["4", "hot 1", "hot", "hot"]
    assert float(answers[1][4]) == pytest.approx(0.8)
    assert answers[3] == ["9", "long 1", "cold", "", "", "", ""]
    with (tmp_path / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["method"], float(row["accuracy"])) for row in table] == [("one", 1 / 3), ("two", 1 / 3)]
    words = (tmp_path / "report.md").read_text()
    assert "33.3% (0.0% to 100.0%)" in words or "33.3% (0.0% to 66.7%)" in words
    assert "no difference beyond noise" in words


def test_the_page_needs_nothing_else_and_holds_no_text_of_a_row(setup: Setup, tmp_path: Path) -> None:
    bad = "</script><b>hot"
    method = ByList(title="<i>By</i> a list")
    test = [Demonstration("hot 1", "hot", 1), Demonstration("hot 3", bad, 2)]
    evaluate([method], setup, test, folder=tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "draw(0, ...[" in page
    assert 'src="' not in page.replace(page[page.index("<script>") : page.index("</script></head>")], "")
    for text in ("hot 1", "hot 3", "</script><b>", "<i>By"):
        assert text not in page.replace(page[page.index("<script>") : page.index("</script></head>")], ""), text
    assert "&lt;/script&gt;&lt;b&gt;hot" in page


def test_a_word_count_model_that_is_better_is_not_passed_over() -> None:
    def found(name: str, right: int) -> Evaluation:
        predicted = ("a",) * right + ("b",) * (100 - right)
        return Evaluation(
            name, name, "all", 1.0, 1, 0.1, 0.1, 0, 1, 1.0, 0, 0, 0, ("a",) * 100, predicted, (0.5,) * 100
        )

    told = beaten_by_word_counts([found("dbsa", 80), found("nearest", 70), found("tfidf", 95)])
    assert told.startswith("A word-count model is more accurate on these rows (95.0% (")
    assert "1.0 s to train). A larger model may change that." in told
    assert beaten_by_word_counts([found("dbsa", 94), found("nearest", 70), found("tfidf", 95)]) == "", "within noise"
    assert beaten_by_word_counts([found("tfidf", 95)]) == ""
    assert beaten_by_word_counts([found("dbsa", 95), found("tfidf", 80)]) == ""


@pytest.mark.slow
def test_every_method_may_be_evaluated_and_gone_on_with(setup: Setup, tmp_path: Path) -> None:
    for _ in range(2):
        found = evaluate([make_method(name) for name in METHODS], setup, TEST[:4], folder=tmp_path)
        assert [each.method for each in found] == [*METHODS]
