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
