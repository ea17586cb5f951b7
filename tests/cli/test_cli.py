"""The command line as a user meets it: what it prints where, and how it refuses."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dbsa_core.cli.commands import main
from dbsa_core.cli.files import EXAMPLE
from dbsa_core.cli.output import Console, csv_line, header
from dbsa_core.errors import CapacityError
from dbsa_core.files.spreadsheet import restored
from dbsa_core.methods import METHODS
from dbsa_core.methods.fixed_icl import FixedIcl
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prediction import ANSWER_COLUMNS
from dbsa_core.stage1.progress import Progress
from dbsa_core.stage2.steps import Steps
from tests.cli.outcome import LABELS, Run, write_rows

CLASSIFY_KEYS = {
    "query", "method", "label", "probability", "probability_low", "probability_high", "probabilities", "outside_mass",
    "may_fit_no_label", "check", "block_ids", "fresh_rows", "context_tokens", "seconds",
}  # fmt: skip
EVALUATE_KEYS = {"method", "accuracy", "n", "setup_seconds", "latency_p50_seconds", "latency_p95_seconds"}

# --- classify ---------------------------------------------------------------------------------------------------------


def test_classify_prints_one_object_per_query_and_method_and_nothing_else(run: Run) -> None:
    outcome = run("classify", "--query", "bad light", "--query", "wäter", "--methods", ",".join(METHODS), "--json")
    assert outcome.code == 0, outcome.err
    assert [(o["query"], o["method"]) for o in outcome.objects] == [
        (query, method) for query in ("bad light", "wäter") for method in METHODS
    ]
    for found in outcome.objects:
        assert found.keys() >= CLASSIFY_KEYS
        assert found["label"] in LABELS
        assert set(found["probabilities"]) == set(LABELS)
        assert sum(found["probabilities"].values()) == pytest.approx(1)
        assert bool(found["block_ids"]) == found["method"].startswith("dbsa")
        assert found["seconds"].keys() >= {"retrieve", "assemble", "forward", "total"}
    assert "rows will be encoded" in outcome.err
    assert "tokens/s" in outcome.err


def test_classify_takes_dbsa_fresh_unless_told_otherwise(run: Run) -> None:
    assert [o["method"] for o in run("classify", "--query", "light", "--json").objects] == ["dbsa_fresh"]
    named = run("classify", "--query", "light", "--method", "zero_shot", "--method", "dbsa, zero_shot", "--json")
    assert [o["method"] for o in named.objects] == ["zero_shot", "dbsa"]


@pytest.mark.parametrize("options", [["--fresh", 0], ["--preset", "paper-30k"]])
def test_without_similar_examples_dbsa_fresh_is_dbsa(run: Run, options: list[object]) -> None:
    outcome = run("classify", "--query", "light", "--json", *options)
    assert [(o["method"], o["fresh_rows"]) for o in outcome.objects] == [("dbsa", [])]
    assert "dbsa_fresh equals dbsa" in outcome.err


def test_what_is_given_overrides_the_preset(run: Run) -> None:
    outcome = run("classify", "--query", "light", "--preset", "paper-30k", "--block-size", 2, "--fresh", 3, "--json")
    (found,) = outcome.objects
    assert found["method"] == "dbsa_fresh"
    assert 0 < len(found["fresh_rows"]) <= 3
    assert len(found["block_ids"]) > 1, "with the preset's 50 examples a block there is one block"


def test_classify_speaks_to_people_too(run: Run) -> None:
    outcome = run("classify", "--query", "bad light", "--method", "zero_shot")
    query, answer, warning = outcome.out.splitlines()
    assert query == "bad light"
    assert answer.split()[0] == "zero_shot"
    assert answer.split()[1] in LABELS
    assert "%" in answer
    assert re.fullmatch(r" +May fit no label: \d+\.\d% of the model's probability lies outside the labels\.", warning)


def test_greedy_decoding_gives_no_probability(run: Run) -> None:
    options = ("classify", "--query", "bad light", "--method", "zero_shot", "--decode", "greedy")
    assert "no probability over the labels: greedy decoding follows one label only" in run(*options).out
    (found,) = run(*options, "--json").objects
    assert [found[name] for name in ("probability", "probability_low", "probability_high")] == [None] * 3
    assert found["probabilities"] == {}


def test_classify_without_data_takes_the_bundled_example(run: Run) -> None:
    outcome = run("classify", "--query", "light", "--method", "zero_shot", "--json", data=None)
    assert len(outcome.objects[0]["probabilities"]) == 12
    assert "bundled example" in outcome.err


def test_libraries_that_print_do_not_disturb_the_json(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    load = LanguageModel.load

    def talkative(*arguments: Any, **options: Any) -> LanguageModel:
        print("hello from a library")
        return load(*arguments, **options)

    monkeypatch.setattr(LanguageModel, "load", talkative)
    outcome = run("classify", "--query", "light", "--method", "zero_shot", "--json")
    assert len(outcome.objects) == 1
    assert "hello from a library" in outcome.err


def test_a_gpu_that_lies_idle_is_named_unless_a_device_was_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbsa_core.cli.beginning.unused_gpu", lambda: "GPU found, but.")
    assert "GPU found, but." in run("encode").err
    assert "GPU found, but." not in run("encode", "--device", "cpu").err


@pytest.mark.parametrize("weights", ["int8", "nf4"])
def test_weights_of_fewer_bits(run: Run, weights: str) -> None:
    outcome = run("classify", "--query", "light", "--weights", weights, "--json")
    assert f", {weights} weights on cpu" in outcome.err
    assert len(outcome.objects) == 1


def test_weights_that_are_not_known_are_refused_with_those_that_are(run: Run) -> None:
    outcome = run("encode", "--weights", "int3")
    assert outcome.code == 2
    assert "accepted are model, int8, nf4" in outcome.err


# --- files of queries -------------------------------------------------------------------------------------------------


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    """Semicolons, umlauts, a cell of two lines, an empty cell, one that fits no context, and a column called label."""
    path = tmp_path / "Anfragen.csv"
    rows = ["Nr;label;text", "1;alt;Türlicht defekt, völlig", '2;;"first\nsecond"', "3;x;", f"4;y;{'lang ' * 600}"]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def test_a_file_of_queries_comes_back_with_its_own_columns_and_ours(run: Run, queries: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.csv"
    outcome = run("classify", "--queries", queries, "--out", out, "--method", "dbsa")
    assert outcome.code == 0, outcome.err
    assert outcome.out == ""
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["Nr", "label", "text", "label (dbsa)", *ANSWER_COLUMNS[1:]]
    assert ANSWER_COLUMNS[1:4] == ("probability", "probability_low", "probability_high")
    assert ANSWER_COLUMNS[-2:] == ("check", "problem")
    assert [(row["Nr"], row["label"]) for row in rows] == [("1", "alt"), ("2", ""), ("3", "x"), ("4", "y")]
    assert [row["text"] for row in rows[:2]] == ["Türlicht defekt, völlig", "first\nsecond"]
    for row in rows[:2]:
        assert row["label (dbsa)"] in {"lamp", "pump", "=door"}
        assert row["runner_up"] in {"lamp", "pump", "=door"}
        assert 0 <= float(row["margin"]) <= float(row["probability"]) <= 1
        assert row["probability_low"] == row["probability"] == row["probability_high"]
        assert row["problem"] == ""
    for row in rows[2:]:
        *numbers, check, problem = [row[name] for name in ("label (dbsa)", *ANSWER_COLUMNS[1:])]
        assert (set(numbers), check) == ({""}, "No answer")
        assert problem == "The cell is empty." or problem.startswith("The query is")
    assert "Row 4, dbsa: The query is" in outcome.err
    assert "1 without a text and 1 with a text that does not fit" in outcome.err


def test_a_file_of_queries_goes_to_standard_output_without_out(run: Run, queries: Path) -> None:
    outcome = run("classify", "--queries", queries, "--methods", "dbsa,zero_shot")
    first = outcome.table[0]
    assert len(outcome.table) == 4
    assert {"label_dbsa", "label_zero_shot", "runner_up_zero_shot", "Nr"} <= first.keys()
    assert first["text"] == "Türlicht defekt, völlig"


def test_a_file_of_queries_as_json_keeps_every_row(run: Run, queries: Path) -> None:
    outcome = run("classify", "--queries", queries, "--method", "dbsa", "--json")
    assert [o["row"] for o in outcome.objects] == [1, 2, 3, 4]
    assert all(o.keys() >= CLASSIFY_KEYS for o in outcome.objects)
    assert [o["label"] is None for o in outcome.objects] == [False, False, True, True]
    assert all(outcome.objects[0].keys() == o.keys() - {"problem"} for o in outcome.objects[1:])
    assert outcome.objects[0]["query"] == "Türlicht defekt, völlig"


def test_queries_use_the_text_column_where_they_have_it(run: Run, data: Path, tmp_path: Path) -> None:
    named = tmp_path / "two.csv"
    named.write_text("text,remark\nlight,a remark that is far longer than the text\n", encoding="utf-8")
    other = tmp_path / "other.csv"
    other.write_text("utterance\nlight\n", encoding="utf-8")
    for path in (named, other):
        outcome = run("classify", "--queries", path, "--text-column", "text", "--method", "zero_shot", "--json")
        assert [o["query"] for o in outcome.objects] == ["light"]
    assert 'has no column "text"' in outcome.err


def test_cells_of_ours_are_no_formulas_and_names_are_free() -> None:
    assert header(["text", "label"], ["dbsa"])[2:] == ["label (dbsa)", *ANSWER_COLUMNS[1:]]
    assert header(["label", "label (dbsa)"], ["dbsa"])[2] == "label (dbsa) (dbsa)"
    assert header(["a"], ["dbsa", "zero_shot"])[8:10] == ["check_dbsa", "problem_dbsa"]
    assert csv_line(["a\rb", 'c"d', "e"]) == '"a\rb","c""d",e'


def test_cells_leave_as_they_came_and_safe_for_spreadsheets_on_demand(run: Run, data: Path, tmp_path: Path) -> None:
    texts = ["=1+1", "+49 30 1234", "-1 again", "@home", "'=quoted", "plain", "it's"]
    queries = tmp_path / "queries.csv"
    queries.write_text("\n".join(["text", *texts]) + "\n", encoding="utf-8")
    plain = run("classify", "--queries", queries, "--method", "zero_shot").table
    assert [row["text"] for row in plain] == texts
    assert {row["label"] for row in plain} <= set(LABELS)
    out = tmp_path / "out.csv"
    run("classify", "--queries", queries, "--method", "zero_shot", "--out", out, "--spreadsheet-safe")
    with out.open(encoding="utf-8", newline="") as file:
        safe = list(csv.DictReader(file))
    assert not any(value.startswith(("=", "+", "-", "@")) for row in safe for value in row.values())
    for name in ("text", "label", "runner_up"):
        assert [restored(row[name]) for row in safe] == [row[name] for row in plain]


def test_how_a_file_is_read_can_be_said_for_each_file(run: Run, data: Path, tmp_path: Path) -> None:
    labelled = tmp_path / "labelled.txt"
    rows = [("the lämp is bad", "lamp"), ("the pümp leaks", "pump")] * 4
    labelled.write_bytes("".join(f"{i} {text}~{label}\n" for i, (text, label) in enumerate(rows)).encode("cp850"))
    queries = tmp_path / "queries.xlsx"
    frame = pd.DataFrame([["ein Licht"], ["eine Pumpe"]])
    with pd.ExcelWriter(queries) as book:
        pd.DataFrame({"x": [1]}).to_excel(book, sheet_name="notes", index=False)
        frame.to_excel(book, sheet_name="asked", index=False, header=False)
    outcome = run(
        "classify", "--data", labelled, "--encoding", "cp850", "--delimiter", "~", "--no-header", "--text-column",
        "column 1", "--label-column", "column 2", "--queries", queries, "--queries-sheet", "asked",
        "--queries-no-header", "--method", "zero_shot", "--json", data=None,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert [found["query"] for found in outcome.objects] == ["ein Licht", "eine Pumpe"]
    assert set(outcome.objects[0]["probabilities"]) == {"lamp", "pump"}
    assert "8 rows, 2 labels" in outcome.err
    assert run("encode", "--sheet", "one").code == 2
    assert "is no Excel workbook and has no sheets" in run("encode", "--sheet", "one").err


@pytest.mark.parametrize(
    ("lines", "header"),
    [
        (["Where is my parcel?", "I want my money back.", "Bye"], False), (["my lamp is broken", "b", "c"], False),
        (["text", "a", "b"], True), (["Message text", "a", "b"], True), (["Kundennachricht", "a", "b"], True),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_file_of_queries_may_have_no_header(run: Run, tmp_path: Path, lines: list[str], header: bool) -> None:
    queries = tmp_path / "queries.csv"
    queries.write_text("\n".join(lines) + "\n")
    outcome = run("classify", "--queries", queries, "--method", "zero_shot", "--json")
    assert [found["query"] for found in outcome.objects] == lines[header:]
    assert ("looks like a text" in outcome.err) == (not header)
    named = run("classify", "--queries", queries, "--method", "zero_shot", "--json", "--queries-no-header")
    assert [found["query"] for found in named.objects] == lines


@pytest.mark.parametrize("kind", ["json", "csv", "csv with a header"])
def test_coded_labels_get_their_names_from_a_file(run: Run, tmp_path: Path, kind: str) -> None:
    coded = write_rows(tmp_path / "coded.csv", [(f"the thing is bad {i}", str(i % 2)) for i in range(12)])
    names = tmp_path / f"names.{kind.split()[0]}"
    head = "code,name\n" if "header" in kind else ""
    names.write_text('{"0": "lamp", "1": "pump"}' if kind == "json" else f"{head}0,lamp\n1,pump\n")
    asked = ("classify", "--data", coded, "--query", "x", "--method", "zero_shot", "--json")
    outcome = run(*asked, "--label-names", names, data=None)
    assert set(outcome.objects[0]["probabilities"]) == {"lamp", "pump"}
    without = run(*asked, data=None)
    assert "by --label-names in the command line" in without.err
    (tmp_path / "bad.json").write_text("{")
    bad = run("encode", "--data", coded, "--label-names", tmp_path / "bad.json", data=None)
    assert (bad.code, "cannot be read as names of labels" in bad.err) == (2, True)


def test_test_labels_are_matched_where_only_their_spelling_differs(run: Run, data: Path, tmp_path: Path) -> None:
    test = write_rows(tmp_path / "test.csv", [("new light", "LAMP"), ("new water", "pump "), ("roof", "roof")])
    outcome = run("evaluate", "--test", test, "--method", "zero_shot", "--json")
    assert outcome.objects[0]["unseen_labels"] == ["roof"]
    assert '1 labels are spelled otherwise than in the labelled file and are taken for its own ("LAMP" as "lamp")' in (
        outcome.err
    )


# --- evaluate and encode ----------------------------------------------------------------------------------------------


def test_evaluate_prints_one_object_per_method(run: Run) -> None:
    outcome = run("evaluate", "--json")
    assert outcome.code == 0, outcome.err
    assert [o["method"] for o in outcome.objects] == list(METHODS)
    for found in outcome.objects:
        assert found.keys() >= EVALUATE_KEYS
        assert found["n"] == 8
        assert 0 <= found["accuracy"] <= 1
        assert found["unseen_labels"] == ["roof"]
    assert "1 test rows have labels that the labelled file lacks (roof)" in outcome.err
    assert "1 of the 8 test rows have a text that the labelled file has too" in outcome.err
    assert "16 of 16 queries" in outcome.err, "a sample one by one, here all of them, and then all together"


def test_limit_draws_test_rows_by_the_seed(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    predict = METHODS["zero_shot"].predict  # type: ignore[attr-defined]
    monkeypatch.setattr(METHODS["zero_shot"], "predict", lambda self, text: asked.append(text) or predict(self, text))
    outcome = run("evaluate", "--method", "zero_shot", "--limit", 3, "--seed", 5, "--json")
    assert outcome.objects[0]["n"] == 3
    assert "3 of the 8 test rows are drawn (seed 5)" in outcome.err
    assert "30 rows, 3 labels" in outcome.err
    with data.with_name("test.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    assert set(asked) == {texts[i] for i in random.Random(5).sample(range(8), 3)}


def test_evaluate_leaves_out_a_method_that_does_not_fit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise CapacityError("The pool is too long.")

    monkeypatch.setattr(FixedIcl, "fit", refuse)
    outcome = run("evaluate", "--methods", "fixed_icl,zero_shot", "--limit", 1, "--json")
    assert [o["method"] for o in outcome.objects] == ["zero_shot"]
    assert "fixed_icl is left out: The pool is too long." in outcome.err
    assert run("evaluate", "--method", "fixed_icl", "--limit", 1).code == 2


def test_evaluate_that_is_stopped_prints_what_every_method_has_answered(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    predict = METHODS["zero_shot"].predict  # type: ignore[attr-defined]

    def stopped_at_the_fourth(self: Any, text: str) -> Any:
        asked.append(text)
        if len(asked) == 5:
            raise KeyboardInterrupt
        return predict(self, text)

    monkeypatch.setattr(METHODS["zero_shot"], "predict", stopped_at_the_fourth)
    outcome = run("evaluate", "--methods", "dbsa,zero_shot", "--json")
    assert [(o["method"], o["n"]) for o in outcome.objects] == [("dbsa", 3), ("zero_shot", 3)]
    assert "Stopped after 3 of 8 test rows" in outcome.err
    assert outcome.code == 130


def test_encode_says_what_it_did(run: Run) -> None:
    outcome = run("encode", "--block-size", 3, "--json")
    (found,) = outcome.objects
    assert 0 < found["tokens"] <= 700
    assert found["blocks"] == -(-found["rows"] // 3)
    reserved = math.ceil(1.25 * found["tokens"])
    assert found["bytes"] == reserved * 2 * 2 * 2 * 8 * 4, "keys and values, 2 layers, 2 heads of 8, float32"
    assert 0 < found["density"] <= 1
    assert found["labels_covered"] == 3
    assert found["settings"]["block_size"] == 3
    text = run("encode", "--block-size", 3).out
    assert f"{found['rows']} rows in {found['blocks']} blocks of 3" in text


# --- what is refused --------------------------------------------------------------------------------------------------

MISTAKES: dict[str, tuple[list[object], str]] = {
    "no file": (["classify", "--query", "x", "--data", "none.csv"], "There is no file"),
    "ratio of 2": (["classify", "--query", "x", "--ratio", 2], "ratio is 2.0"),
    "ratio of nan": (["classify", "--query", "x", "--ratio", "nan"], "above 0 and at most 1"),
    "a ratio that is a word": (["classify", "--query", "x", "--ratio", "much"], "'much' is not a number"),
    "a window that is a word": (["encode", "--window", "1.5"], "'1.5' is not a whole number"),
    "unknown method": (["classify", "--query", "x", "--method", "dbsa,magic"], "no method 'magic'"),
    "empty method": (["evaluate", "--method", ","], "--method is empty"),
    "unknown column": (["encode", "--data", EXAMPLE, "--text-column", "txet"], 'Did you mean "text"?'),
    "empty query": (["classify", "--query", "  "], "The query is empty"),
    "no query": (["classify"], "Give --query TEXT"),
    "query and queries": (["classify", "--query", "x", "--queries", EXAMPLE], "not both"),
    "block size 0": (["encode", "--block-size", 0], "must be a whole number, 1 or more"),
    "limit 0": (["evaluate", "--limit", 0], "--limit is 0"),
    "unknown preset": (["encode", "--preset", "paper"], "no preset 'paper'"),
    "unknown pattern": (["encode", "--pattern", "star"], "no pattern 'star'; there are full, sink-previous-self"),
    "a pattern and another window": (["encode", "--pattern", "self", "--window", 3], "--pattern self and --window 3"),
    "unknown votes": (
        ["classify", "--query", "x", "--votes", "all"],
        "no votes 'all'; there are none, words, vectors, words+vectors",
    ),
    "a weight that is none": (["classify", "--query", "x", "--vote-weight=-1"], "weight of the votes is -1.0"),
    "unknown retriever": (["evaluate", "--retriever", "google"], "no retriever 'google'"),
    "unknown order": (["evaluate", "--order", "up"], "no order 'up'"),
    "unknown decoding": (["evaluate", "--decode", "beam"], "no decoding 'beam'"),
    "unknown positions": (["evaluate", "--positions", "global"], "'sequential' and 'local'"),
    "unknown prompt": (["encode", "--prompt", "poem"], "no prompt preset 'poem'"),
    "unknown option": (["encode", "--out", "pool.bin"], "unrecognized arguments: --out"),
    "no command": ([], "Give a command"),
    "unknown command": (["train"], "no command 'train'"),
    "out is no csv": (["classify", "--query", "x", "--out", "x.xlsx"], "ends in .csv"),
    "out in no folder": (["classify", "--query", "x", "--out", "none/x.csv"], "a folder that exists"),
    "out is read": (["classify", "--queries", EXAMPLE, "--out", EXAMPLE], "also read"),
    "no test file": (["evaluate", "--data", EXAMPLE.with_name("test.csv")], "give --test FILE"),
    "no model": (["encode", "--model", "/none/at/all"], "There is no folder"),
    "unknown dtype": (["encode", "--dtype", "int3"], "accepted are float32"),
    "unknown device": (["encode", "--device", "abacus"], "The device 'abacus' cannot be used"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_get_one_sentence_and_exit_code_2(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    options, sentence = MISTAKES[case]
    assert main([str(option) for option in options]) == 2
    out, err = capsys.readouterr()
    last = err.splitlines()[-1]
    assert out == ""
    assert last.startswith("dbsa: ")
    assert sentence in last
    assert "Traceback" not in err
    assert "usage:" not in err


def test_a_query_that_does_not_fit_is_refused(run: Run) -> None:
    outcome = run("classify", "--query", "word " * 600, "--json")
    assert (outcome.code, outcome.out) == (2, "")
    assert "Shorten the query" in outcome.err.splitlines()[-1]


# --- how it ends ------------------------------------------------------------------------------------------------------


def test_ctrl_c_ends_with_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LanguageModel, "load", stop)
    outcome = run("classify", "--query", "x")
    assert outcome.code == 130
    assert outcome.err.splitlines()[-1] == "dbsa: stopped."


def test_faults_of_ours_are_not_taken_for_success(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(LanguageModel, "load", fail)
    with pytest.raises(RuntimeError, match="a fault"):
        run("classify", "--query", "x")


def test_help_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["classify", "--help"])
    assert left.value.code == 0
    assert "--queries FILE" in capsys.readouterr().out


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_in_a_terminal_and_few_lines_elsewhere() -> None:
    terminal, log = _Terminal(), io.StringIO()
    for err in (terminal, log):
        console = Console(io.StringIO(), err)
        for done in range(1, 28):
            console.encoding(Progress(done, 27, done * 380, 27 * 380, float(done)))
    assert terminal.getvalue().count("\n") == 1
    assert "\r\x1b[Kblock 3 of 27, 380 tokens/s, 24 s left" in terminal.getvalue()
    assert log.getvalue().splitlines() == [
        "block 1 of 27, 380 tokens/s, 26 s left",
        "block 27 of 27, 380 tokens/s, 0 s left",
    ]


def test_json_is_json_on_an_output_that_is_not_utf_8() -> None:
    raw = io.BytesIO()
    console = Console(io.TextIOWrapper(raw, encoding="cp1252"), io.StringIO())
    console.json({"query": "Tür 標"})
    console.result("Tür 標")
    first, second = raw.getvalue().decode("cp1252").splitlines()
    assert json.loads(first) == {"query": "Tür 標"}
    assert second == "Tür \\u6a19"


# --- the real thing ---------------------------------------------------------------------------------------------------


def _process(*options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dbsa_core", *options],
        cwd=EXAMPLE.parents[2],
        env={**os.environ, "PYTHONPATH": str(EXAMPLE.parents[2]), "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


@pytest.mark.slow
def test_the_command_classifies_with_the_embedded_model_and_the_bundled_example() -> None:
    process = _process("classify", "--query", "My parcel has still not arrived", "--pool-tokens", "600", "--json")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    (found,) = [json.loads(line) for line in out.splitlines()]
    assert found.keys() >= CLASSIFY_KEYS
    assert len(found["probabilities"]) == 12
    assert "SmolLM2-135M-Instruct" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_an_output_that_nobody_reads_ends_quietly(model_folder: Path, data: Path) -> None:
    process = _process("classify", "--model", str(model_folder), "--data", str(data), "--query", "x", "--json")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    with contextlib.closing(process.stderr):  # type: ignore[type-var]
        err = process.stderr.read()  # type: ignore[union-attr]
    assert process.wait(timeout=60) == 141
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


@pytest.mark.parametrize("command", ["classify", "evaluate"])
def test_a_warm_up_is_told_at_the_end(run: Run, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU captures nothing by itself."""
    asked = ("--query", "bad light") if command == "classify" else ("--limit", "3")
    options = (*asked, "--method", "zero_shot")
    assert "Warm-up" not in run(command, *options).err
    monkeypatch.setattr(Steps, "warm_up", "7.4 s for 1 size of queries")
    assert run(command, *options).err.endswith("Warm-up, once in a process: 7.4 s for 1 size of queries.\n")
