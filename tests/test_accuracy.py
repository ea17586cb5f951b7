"""The script of the whole table: what it measures, how it goes on, and that test rows settle nothing."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import accuracy
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.reject import RejectOption, RejectOptions
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.tuning import TunedSettings
from tests.tiny import tiny_model
from tests.tuning.test_running import PAIRS

NONE = [(f"{text} indeed", "oos") for text, _ in PAIRS[::6]]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return tiny_model()


def write(path: Path, pairs: list[tuple[str, str]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *pairs])


@pytest.fixture
def measure(tmp_path: Path, model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the script, and gives its rows."""
    write(tmp_path / "trec" / "train.csv", PAIRS)
    write(tmp_path / "trec" / "test.csv", [(f"{text} again", label) for text, label in PAIRS[::9]] + PAIRS[:4])
    write(tmp_path / "clinc150" / "train.csv", PAIRS + NONE)
    write(tmp_path / "clinc150" / "test.csv", [(f"{text} again", label) for text, label in PAIRS[::18] + NONE[:4]])
    monkeypatch.setattr(LanguageModel, "load", staticmethod(lambda *given, **how: model))

    def run(*told: str) -> list[dict[str, Any]]:
        given = ["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--rows", "12", "--pool-tokens", "300"]
        monkeypatch.setattr(sys, "argv", ["accuracy.py", *given, *told])
        accuracy.main()
        found: list[dict[str, Any]] = json.loads((tmp_path / "out" / "accuracy-cpu.json").read_text())["rows"]
        return found

    return run


def test_it_goes_on_with_what_is_not_measured(measure: Any) -> None:
    first = measure("--sets", "trec", "--seeds", "0", "--methods", "dbsa,tfidf")
    assert [(row["method"], row["seed"], row["n"]) for row in first] == [("dbsa", 0, 12), ("tfidf", 0, 12)]
    assert measure("--sets", "trec", "--seeds", "0,1", "--methods", "tfidf", "--minutes", "-1") == first
    more = measure("--sets", "trec", "--seeds", "0,1", "--methods", "tfidf")
    assert more[:2] == first
    assert [(row["method"], row["seed"]) for row in more[2:]] == [("tfidf", 1)]
    wanted = {
        "dataset", "method", "seed", "n", "accuracy", "accuracy_low", "accuracy_high", "in_scope_accuracy",
        "oos_recall", "macro_f1", "setup_seconds", "latency_p50_seconds", "latency_p95_seconds",
    }  # fmt: skip
    for row in more:
        assert wanted <= set(row)
        assert len(row["right_each"]) == len(row["seen_each"]) == row["n"]
        assert row["right_each"].count("1") / row["n"] == row["accuracy"]
    whole = [text for text, _ in PAIRS]
    drawn = accuracy.drawn_rows(24, 0, 12)
    seen = "".join("01"[at >= 20 and PAIRS[at - 20][0] in whole] for at in drawn)
    assert first[0]["seen_each"] == seen


def test_the_tuned_settings_are_frozen_before_any_test_row(measure: Any, tmp_path: Path) -> None:
    rows = measure("--sets", "trec", "--seeds", "0,1", "--methods", accuracy.METHOD)
    assert [row["method"] for row in rows] == [accuracy.METHOD] * 2
    path = tmp_path / "out" / "tuned-cpu" / "trec.json"
    frozen = path.read_bytes()
    write(
        tmp_path / "trec" / "test.csv",
        [(f"{text} anew", ["tool", "fruit"][at % 2]) for at, (text, _) in enumerate(PAIRS[:20])],
    )
    path.unlink()
    (tmp_path / "out" / "accuracy-cpu.json").unlink()
    measure("--sets", "trec", "--seeds", "0,1", "--methods", accuracy.METHOD)
    before, after = json.loads(frozen), json.loads(path.read_bytes())
    assert [before[name] for name in ("query", "encode", "reject")] == [
        after[name] for name in ("query", "encode", "reject")
    ]


@pytest.mark.parametrize("reject", [True, False])
def test_the_frozen_choice_is_with_its_reject_option(measure: Any, tmp_path: Path, reject: bool) -> None:
    settings = TunedSettings(QuerySettings(), EncodeSettings(pool_tokens=300), reject=reject, out_of_scope="oos")
    (tmp_path / "kept").mkdir()
    settings.write(tmp_path / "kept" / "clinc150.json")
    told = ("--sets", "clinc150", "--seeds", "0", "--methods", f"{accuracy.METHOD},nearest")
    rows = measure(*told, "--settings", str(tmp_path / "kept"))
    plain, refusing = (accuracy.METHOD + "-reject", accuracy.METHOD) if reject else (
        accuracy.METHOD, accuracy.METHOD + "+reject")  # fmt: skip
    assert {row["method"] for row in rows} == {plain, refusing, "nearest", "nearest+reject"}
    by_name = {row["method"]: row for row in rows}
    assert "threshold" in by_name[refusing]
    assert "threshold" not in by_name[plain]
    assert all(row["oos_recall"] is not None for row in rows)
    assert {row["method"] for row in rows if "at_cost" in row} == {refusing, "nearest+reject"}


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 1.0])
def test_another_threshold_is_judged_by_the_same_answers(
    measure: Any, monkeypatch: pytest.MonkeyPatch, part: float
) -> None:
    """As if the option had been fitted with it."""

    def chosen(option: RejectOption, cost: float = 0.0) -> RejectOption:
        return option.with_threshold(option.curve[int(part * (len(option.curve) - 1))].threshold)

    monkeypatch.setattr(RejectOption, "at_cost", chosen)
    monkeypatch.setattr(RejectOption, "at_recall", chosen)
    fitted = RejectOptions.fit
    monkeypatch.setattr(RejectOptions, "fit", lambda self, *given, **how: chosen(fitted(self, *given, **how)))
    found = measure("--sets", "clinc150", "--seeds", "0", "--methods", "nearest")[1]
    names = ("accuracy", "in_scope_accuracy", "oos_recall")
    assert found["at_cost"] == found["at_recall"]
    assert found["at_cost"] == {"threshold": found["threshold"]} | {name: found[name] for name in names}
    assert part > 0 or found["oos_recall"] == 0
    assert part < 1 or found["oos_recall"] > 0
