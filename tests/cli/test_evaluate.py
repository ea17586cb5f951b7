"""`evaluate` on the command line: its table, what it keeps in a folder, and how a run goes on or is repeated."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from dbsa_core.methods import METHODS
from tests.cli.outcome import LABELS, Run, write_rows

TWO = ("evaluate", "--methods", "dbsa,zero_shot")


@pytest.fixture
def with_other(tmp_path: Path) -> Path:
    """A file one of whose labels is for texts that fit no other one."""
    rows = [(f"the {word} is bad {i}", label) for i in range(8) for word, label in zip("abc", LABELS, strict=True)]
    rows += [(f"nothing of the kind {i}", "Out-of-scope") for i in range(6)]
    write_rows(tmp_path / "test.csv", [("the a is bad 9", "lamp"), ("no such kind", "Out-of-scope")])
    return write_rows(tmp_path / "train.csv", rows)


def test_evaluate_prints_a_table_with_intervals(run: Run) -> None:
    head, *lines = run(*TWO).out.splitlines()
    names = "method accuracy macro-F1 ECE n setup s p50 s p95 s IQR s queries/s"
    assert head.split() == names.split()
    assert [line.split()[0] for line in lines] == ["dbsa", "zero_shot"]
    for line in lines:
        _, value, low, to, high, *_ = line.split()
        assert to == "to"
        assert float(low.strip("(%")) <= float(value.strip("%")) <= float(high.strip("%)"))
        assert len(line) == len(head)


def test_a_label_that_is_out_of_scope_is_found_by_its_name_and_told_apart(run: Run, with_other: Path) -> None:
    outcome = run(*TWO, data=with_other)
    assert 'The label "Out-of-scope" is taken for texts that fit no other one' in outcome.err
    assert "in-scope accuracy" in outcome.out
    assert "out-of-scope recall" in outcome.out
    (found, _) = run(*TWO, "--json", data=with_other).objects
    assert found.keys() >= {"in_scope_accuracy", "in_scope_accuracy_low", "oos_recall", "oos_recall_high"}


def test_which_label_that_is_may_be_said(run: Run, with_other: Path) -> None:
    none = run(*TWO, "--no-out-of-scope", data=with_other)
    assert "out-of-scope recall" not in none.out
    assert "by its name" not in none.err
    other = run(*TWO, "--out-of-scope", "LAMP", "--json", data=with_other)
    assert "oos_recall" in other.objects[0]
    refused = run(*TWO, "--out-of-scope", "lampe", data=with_other)
    assert refused.code == 2
    assert "There is no label 'lampe' to be out of scope; give one of the 4 labels." in refused.err


def test_a_folder_holds_the_run_and_its_report(run: Run, tmp_path: Path) -> None:
    outcome = run(*TWO, "--out", tmp_path / "run", "--json")
    assert "report.html" in outcome.err
    there = {path.name for path in (tmp_path / "run").iterdir()}
    assert there == {
        "run.json",
        "steps.jsonl",
        "results.json",
        "results.csv",
        "answers.csv",
        "report.md",
        "report.html",
    }
    kept = json.loads((tmp_path / "run" / "results.json").read_text())["results"]
    for ours, printed in zip(kept, outcome.objects, strict=True):
        assert ours.items() >= printed.items()
    with (tmp_path / "run" / "answers.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 8


def test_a_run_that_was_stopped_goes_on_and_asks_nothing_twice(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    kind: Any = METHODS["zero_shot"]
    many = kind.predict_many

    def stopped_at_the_fourth(self: Any, texts: Any) -> Any:
        for place, answer in enumerate(many(self, texts)):
            if place == 3:
                raise KeyboardInterrupt
            yield answer

    def counted(self: Any, texts: Any) -> Any:
        asked.extend(texts)
        return many(self, texts)

    monkeypatch.setattr(kind, "predict_many", stopped_at_the_fourth)
    stopped = run(*TWO, "--out", tmp_path / "run")
    assert stopped.code == 130
    assert "the same command goes on with it" in stopped.err
    monkeypatch.setattr(kind, "predict_many", counted)
    went_on = run(*TWO, "--out", tmp_path / "run", "--json")
    assert len(asked) == 5
    assert [found["n"] for found in went_on.objects] == [8, 8]
    whole = run(*TWO, "--json").objects
    for found, once in zip(went_on.objects, whole, strict=True):
        assert {name: found[name] for name in ("accuracy", "macro_f1")} == {
            name: once[name] for name in ("accuracy", "macro_f1")
        }


def test_a_folder_of_other_settings_is_refused_by_name(run: Run, tmp_path: Path) -> None:
    run(*TWO, "--out", tmp_path / "run")
    refused = run(*TWO, "--out", tmp_path / "run", "--ratio", 0.9)
    assert refused.code == 2
    assert "holds an evaluation of other settings (methods.dbsa.ratio: 0.3 there, 0.9 now)" in refused.err


def test_run_json_repeats_a_run_and_what_is_given_goes_before(run: Run, tmp_path: Path) -> None:
    options = ("--methods", "dbsa,zero_shot", "--ratio", 0.6, "--block-size", 3, "--limit", 5, "--seed", 3)
    first = run("evaluate", *options, "--out", tmp_path / "run", "--json").objects
    again = run("evaluate", "--run", tmp_path / "run" / "run.json", "--json", data=None)
    assert again.code == 0, again.err
    timed = {name for name in first[0] if "seconds" in name or name == "queries_per_second"}
    for found, once in zip(again.objects, first, strict=True):
        assert {name: found[name] for name in found if name not in timed} == {
            name: once[name] for name in once if name not in timed
        }
    one = run("evaluate", "--run", tmp_path / "run" / "run.json", "--method", "zero_shot", "--json", data=None)
    assert [found["method"] for found in one.objects] == ["zero_shot"]
    refused = run("evaluate", "--run", tmp_path / "none.json")
    assert refused.code == 2
    assert "is not the run.json of an evaluation" in refused.err


def test_rows_of_the_labelled_file_stand_in_for_a_test_file(run: Run, tmp_path: Path) -> None:
    rows = [(f"the {word} is bad {i}", label) for i in range(12) for word, label in zip("abc", LABELS, strict=True)]
    data = write_rows(tmp_path / "train.csv", rows)
    out = ("--hold-out", 9, "--hold-out-seed", 4, "--out", tmp_path / "run")
    outcome = run(*TWO, *out, data=data)
    assert "9 rows of the labelled file are held out, and read by no method.\n" in outcome.err
    assert "0 of the 9 test rows have a text that the labelled file has too" in outcome.err
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert settings["data"]["held_out"] == settings["test"]["rows"] == 9
    assert "36 labelled rows with 3 labels, 9 of them held out" in (tmp_path / "run" / "report.md").read_text()
    answers = (tmp_path / "run" / "answers.csv").read_text().splitlines()[1:]
    assert len({line.split(",")[1] for line in answers} & {text for text, _ in rows}) == 9
    whole = run(*TWO, "--hold-out", 9, "--pool-tokens", 2_000, data=data)
    assert "read by no method. The pool is planned anew without them." in whole.err
    again = run(*TWO, *out, data=data)
    assert again.code == 0, "the same rows of the same file: it only reads"
    other = run(*TWO, "--hold-out", 9, "--out", tmp_path / "run", data=data)
    assert "test.fingerprint" in other.err, "another seed draws others"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--hold-out", 0), "--hold-out is 0; it must be 1 row or more"),
        (("--hold-out", 3, "--limit", 2), "--hold-out and --limit were given; test rows come from one place"),
        (("--hold-out", 3, "--test", "test.csv"), "--hold-out and --test were given"),
    ],
)
def test_a_hold_out_that_cannot_be_is_refused(run: Run, options: tuple[Any, ...], problem: str) -> None:
    refused = run(*TWO, *options)
    assert refused.code == 2
    assert problem in refused.err


def test_labels_of_a_test_file_that_are_codes_are_named_as_those_of_the_labelled_file(run: Run, tmp_path: Path) -> None:
    codes = dict(zip("012", LABELS, strict=True))
    rows = [(f"the {word} is bad {i}", code) for i in range(5) for word, code in zip("abc", codes, strict=True)]
    write_rows(tmp_path / "test.csv", [("the a is bad", "0"), ("the b is bad", "1")])
    (tmp_path / "names.json").write_text(json.dumps(codes))
    data = write_rows(tmp_path / "train.csv", rows)
    outcome = run(*TWO, "--label-names", tmp_path / "names.json", "--out", tmp_path / "run", data=data)
    assert "labels that the labelled file lacks" not in outcome.err
    answers = (tmp_path / "run" / "answers.csv").read_text().splitlines()[1:]
    assert [line.split(",")[2] for line in answers] == [LABELS[0], LABELS[1]]


@pytest.fixture
def refusable(tmp_path: Path) -> Path:
    """A file with enough rows of a label that is for texts that fit no other one; half of the test rows are so."""
    rows = [(f"the {word} is bad {i}", label) for i in range(12) for word, label in zip("abc", LABELS, strict=True)]
    rows += [(f"nothing of the kind {i}", "Out-of-scope") for i in range(24)]
    test = [(f"the b is bad {i}", LABELS[1]) for i in range(40, 46)]
    test += [(f"nothing of the kind {i}", "Out-of-scope") for i in range(40, 46)]
    write_rows(tmp_path / "test.csv", test)
    return write_rows(tmp_path / "train.csv", rows)


def test_each_method_is_shown_with_and_without_a_reject_option(run: Run, refusable: Path, tmp_path: Path) -> None:
    told = ("evaluate", "--methods", "tfidf,zero_shot", "--reject", "--out", tmp_path / "run")
    outcome = run(*told, data=refusable)
    assert outcome.code == 0, outcome.err
    head, *lines = outcome.out.splitlines()
    assert [line.split()[0] for line in lines] == ["tfidf", "tfidf+reject", "zero_shot", "zero_shot+reject"]
    assert "accuracy of those" in head
    assert len({len(line) for line in (head, *lines)}) == 1
    assert "validation row" in outcome.err
    plain, with_it, *_ = run(*told, "--json", data=refusable).objects
    assert with_it["oos_recall"] == 1.0
    assert with_it["coverage"] == 0.5
    assert 0 < with_it["threshold"] < 1
    assert "coverage" not in plain
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Coverage and accuracy: rows answered with a label" in page
    assert "with reject option" in (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    with (tmp_path / "run" / "answers.csv").open(newline="", encoding="utf-8") as file:
        answers = list(csv.DictReader(file))
    assert {row["label_tfidf+reject"] for row in answers[6:]} == {"Out-of-scope"}
    threshold = with_it["threshold"]
    assert all(
        (float(row["in_scope_score_tfidf+reject"]) < threshold) == (place > 5) for place, row in enumerate(answers)
    )


def test_a_method_that_can_have_no_reject_option_is_shown_without_and_says_so(run: Run, with_other: Path) -> None:
    outcome = run(*TWO, "--reject", "--out", with_other.parent / "run", data=with_other)
    assert outcome.code == 0
    for report in ("report.md", "report.html"):
        written = (with_other.parent / "run" / report).read_text(encoding="utf-8")
        assert "DBSA is shown without a reject option: " in written
    assert [line.split()[0] for line in outcome.out.splitlines()[1:]] == ["dbsa", "zero_shot"]
    assert "dbsa is shown without a reject option: " in outcome.err
    assert "a reject option is fitted on 5 or more of either kind" in outcome.err


def test_classify_says_that_no_label_fits(run: Run, refusable: Path) -> None:
    asked = ("classify", "--method", "tfidf", "--query", "the b is bad 99", "--query", "nothing of the kind 99")
    fits, none = run(*asked, "--reject", "--json", data=refusable).objects
    assert (fits["label"], none["label"]) == ("pump", "Out-of-scope")
    assert none["nearest_label"] in LABELS
    assert none["in_scope_score"] < none["in_scope_threshold"] < fits["in_scope_score"]
    outcome = run(*asked, "--reject", data=refusable)
    assert 'the label "Out-of-scope" is taken for texts that fit no other one' in outcome.err.replace("The", "the")
    assert "tfidf: a reject option was fitted on" in outcome.err
    assert "in-scope score 0." in outcome.out
    assert "nearest" in outcome.out
    chosen = run(*asked, "--reject-threshold", 1, "--json", data=refusable).objects
    assert [found["label"] for found in chosen] == ["Out-of-scope"] * 2
    outcome = run(*asked, "--reject-cost", 1, "--json", data=refusable)
    assert outcome.objects[1]["label"] == "Out-of-scope"
    assert outcome.objects[0]["in_scope_threshold"] > fits["in_scope_threshold"], "all may be lost"
    assert f"below an in-scope score of {outcome.objects[0]['in_scope_threshold']:.2f} no label fits" in outcome.err
    most = run(*asked, "--reject-recall", 1, "--json", data=refusable).objects
    assert most[1]["label"] == "Out-of-scope"
    none = run(*asked, "--reject-recall", 0, "--json", data=refusable).objects
    assert "Out-of-scope" not in [found["label"] for found in none]
    both = run(*asked, "--reject-cost", 0, "--reject-threshold", 0, data=refusable)
    assert both.code == 2
    assert "not allowed with" in both.err
    plain = run(*asked, "--json", data=refusable).objects
    assert [found["in_scope_score"] for found in plain] == [None, None]
    refused = run(*asked, "--reject-threshold", 2, data=refusable)
    assert refused.code == 2
    assert "The threshold of the in-scope score is 2; it must be from 0" in refused.err


def test_a_run_with_a_reject_option_goes_on_and_fits_nothing_twice(
    run: Run, refusable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = ("evaluate", "--methods", "tfidf,zero_shot", "--reject", "--out", tmp_path / "run", "--json")
    kind: Any = METHODS["zero_shot"]
    many = kind.predict_many

    def stopped(self: Any, texts: Any) -> Any:
        texts = list(texts)
        for place, answer in enumerate(many(self, texts)):
            if len(texts) == 12 and place == 5:
                raise KeyboardInterrupt
            yield answer

    monkeypatch.setattr(kind, "predict_many", stopped)
    assert run(*told, data=refusable).code == 130
    monkeypatch.setattr(kind, "predict_many", many)
    monkeypatch.setattr("dbsa_core.evaluation.running.RejectOptions", pytest.fail)
    found = run(*told, data=refusable)
    assert [each["method"] for each in found.objects] == ["tfidf", "tfidf+reject", "zero_shot", "zero_shot+reject"]
    assert {each["n"] for each in found.objects} == {12}
