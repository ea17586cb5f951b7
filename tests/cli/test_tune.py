"""The command that chooses settings, and the option that takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dbsa_core.settings import QuerySettings
from dbsa_core.tuning import METHOD, TunedSettings, read_settings, running
from dbsa_core.tuning import tuned as found_by
from tests.cli.outcome import Run, write_rows
from tests.tuning.test_running import PAIRS


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training file, and a test file beside it."""
    folder = tmp_path_factory.mktemp("rows")
    write_rows(folder / "test.csv", [(f"{text} again", label) for text, label in PAIRS[::30]])
    return write_rows(folder / "train.csv", PAIRS[::2])


def written(path: Path, rows: Path, run: Run, **changes: Any) -> TunedSettings:
    """Settings for those rows as tuning writes them, but for what is changed."""
    run("tune", "--rows", "1", "--out", path, data=rows)
    plain = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(plain | changes), encoding="utf-8")
    return read_settings(path)


@pytest.fixture
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows to choose by: the files here are small."""
    for module in (running, found_by):
        monkeypatch.setattr(module, "LEAST_ROWS", 5)


@pytest.mark.usefixtures("few_are_enough")
def test_it_prints_what_was_tried_and_writes_what_was_chosen(run: Run, rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "settings.json"
    outcome = run("tune", "--rows", "12", "--out", out, data=rows)
    assert outcome.code == 0, outcome.err
    head, *lines = outcome.out.splitlines()
    assert head.split() == ["accuracy", "n", "p50", "s"]
    assert lines[-1].startswith("By 12 rows of the file that no method read")
    (chosen,) = [line for line in lines if "chosen" in line]
    found = read_settings(out)
    assert ("preferred" in chosen) == (found.query.votes == "words+vectors")
    assert any("default" in line for line in lines)
    assert lines[-2].startswith("a classifier of")
    assert f"The settings are {out}" in outcome.err
    assert found.encode.pool_tokens == 700
    assert found.evidence["rows"] == 12
    assert "72 of 72" in outcome.err


def test_of_too_few_rows_none_is_asked_about(run: Run, rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "settings.json"
    outcome = run("tune", "--rows", "12", "--out", out, data=rows)
    (said,) = outcome.out.splitlines()
    assert said.startswith("Only 12 rows of the file could be asked about, too few to choose by")
    assert read_settings(out).query.votes == "words+vectors"
    assert read_settings(out).evidence["rows"] == 0


def test_json_is_the_file(run: Run, rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "settings.json"
    outcome = run("tune", "--rows", "4", "--json", "--out", out, data=rows)
    assert outcome.objects == [json.loads(out.read_text(encoding="utf-8"))]


@pytest.mark.usefixtures("few_are_enough")
def test_no_test_row_matters(run: Run, rows: Path, tmp_path: Path) -> None:
    """Settings are the same whatever stands in the test file, and so are answers to it, whatever its labels."""

    def tuned(name: str, test: list[tuple[str, str]]) -> tuple[dict[str, Any], list[str]]:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "train.csv").write_bytes(rows.read_bytes())
        write_rows(folder / "test.csv", test)
        out, data = folder / "settings.json", folder / "train.csv"
        run("tune", "--rows", "8", "--out", out, data=data)
        run("evaluate", "--settings", out, "--method", METHOD, "--out", folder / "run", data=data)
        table = (folder / "run" / "answers.csv").read_text(encoding="utf-8").splitlines()
        column = table[0].split(",").index(f"label_{METHOD}")
        plain = json.loads(out.read_text(encoding="utf-8"))
        return {name: plain[name] for name in ("query", "encode", "reject")}, [
            row.split(",")[column] for row in table[1:]
        ]

    texts = [f"{text} again" for text, _ in PAIRS[::30]]
    right = tuned("right", list(zip(texts, [label for _, label in PAIRS[::30]], strict=True)))
    wrong = tuned("wrong", [(text, "tool") for text in texts])
    assert right == wrong
    assert len(right[1]) == len(texts)


def test_settings_are_taken(run: Run, rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "settings.json"
    voting = TunedSettings(QuerySettings(votes="words", vote_weight=100.0), read_encode(out, rows, run))
    voting.write(out)
    (answer,) = run("classify", "--settings", out, "--query", "plum and pear", "--json", data=rows).objects
    assert (answer["method"], answer["label"]) == (METHOD, "fruit")
    # What options say is of the others.
    both = run(
        "classify", "--settings", out, "--method", f"{METHOD},dbsa_fresh", "--fresh", "2", "--query", "plum and pear",
        "--json", data=rows,
    ).objects  # fmt: skip
    assert [each["method"] for each in both] == [METHOD, "dbsa_fresh"]
    assert [len(each["fresh_rows"]) for each in both] == [8, 2]
    assert both[0]["probabilities"] == pytest.approx(answer["probabilities"])
    results = run("evaluate", "--settings", out, "--json", data=rows).objects
    assert [each["method"] for each in results][:2] == [METHOD, "dbsa"]
    assert results[0]["accuracy"] == 1.0


def read_encode(out: Path, rows: Path, run: Run) -> Any:
    return written(out, rows, run).encode


def test_encoding_is_as_it_was_unless_options_say_otherwise(run: Run, rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "settings.json"
    plain = written(out, rows, run).as_json()
    written(out, rows, run, encode=plain["encode"] | {"block_size": 5})
    sizes = [run("encode", "--settings", out, "--json", *more, data=rows).objects[0]["settings"]["block_size"]
             for more in ([], ["--block-size", "4"])]  # fmt: skip
    assert sizes == [5, 4]


def test_a_reject_option_is_fitted_where_it_was_chosen(run: Run, tmp_path: Path) -> None:
    rows = [*PAIRS[::3], *((f"zz{i} yy{i}", "nothing") for i in range(24))]
    data, out = write_rows(tmp_path / "train.csv", rows), tmp_path / "settings.json"
    written(out, data, run, reject=True, out_of_scope="nothing")
    outcome = run("classify", "--settings", out, "--query", "plum and pear", "--json", data=data)
    (answer,) = outcome.objects
    assert answer["in_scope_score"] is not None
    assert f"{METHOD}: a reject option was fitted on" in outcome.err
    plain = run("classify", "--settings", out, "--no-out-of-scope", "--query", "x", "--json", data=data)
    assert "have labels left out for it" in plain.err


def test_settings_for_something_else_are_told_of(run: Run, rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "settings.json"
    written(out, rows, run, model="another", data="other rows")
    outcome = run("classify", "--settings", out, "--query", "x", data=rows)
    assert "tuned with the model another" in outcome.err
    assert "tuned for other rows" in outcome.err


def test_a_run_with_settings_is_repeated(run: Run, rows: Path, tmp_path: Path) -> None:
    out, folder = tmp_path / "settings.json", tmp_path / "run"
    written(out, rows, run)
    options = ("--method", f"{METHOD},zero_shot", "--json")
    first = run("evaluate", "--settings", out, "--out", folder, *options, data=rows).objects
    again = run("evaluate", "--run", folder / "run.json", "--json", data=rows).objects
    assert [each["method"] for each in again] == [METHOD, "zero_shot"]
    assert [each["accuracy"] for each in again] == [each["accuracy"] for each in first]


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        ("tune", ["--rows", "0"], "--rows is 0; it must be 1 row or more"),
        ("tune", ["--budget", "0"], "--budget is 0; it must be more than 0 seconds"),
        ("tune", ["--out", "settings.csv"], "give a name that ends in .json"),
        ("tune", ["--settings", "settings.json"], "unrecognized arguments: --settings settings.json"),
        ("classify", ["--method", METHOD], "is what `tune` chose; give --settings FILE.json"),
        ("classify", ["--settings", "none.json"], "cannot be read"),
    ],
)
def test_mistakes_get_one_sentence(run: Run, rows: Path, command: str, options: list[str], said: str) -> None:
    outcome = run(command, *options, *(["--query", "x"] if command == "classify" else []), data=rows)
    assert outcome.code == 2
    assert said in outcome.err


def test_settings_and_a_preset_are_not_both_given(run: Run, rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "settings.json"
    written(out, rows, run)
    outcome = run("classify", "--settings", out, "--preset", "paper-30k", "--query", "x", data=rows)
    assert outcome.code == 2
    assert "--settings and --preset paper-30k were given; give one of them" in outcome.err
