"""Methods are evaluated behind the page: on a test file or held-out rows, in sight while it runs, stopped and gone on
with, compared with other runs, and written down as programs that do the same."""

from __future__ import annotations

import contextlib
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.evaluation.answers import answers_view
from app.evaluation.beside import parts, runs_view
from app.evaluation.cut import Cut
from app.evaluation.matrices import matrices_view, shown_labels
from app.evaluation.results import results_view
from app.server import evaluating
from app.server.drawing import drawn, notes, set_test_file
from app.server.evaluated import FILES, Evaluated, Stage, Wanted
from app.server.evaluating import begin_evaluation, estimate, methods_of, remove, shown_run, to_go_on
from app.server.rejecting import declare
from app.server.session import Session
from app.server.teaching import teach
from app.server.workspace import Workspace
from app.tabs.awaited import milestone, progress_view, said_of
from app.tabs.evaluate import FILE, HELD_OUT, offered_now, render_found, render_live, take_wanted
from dbsa_core import EncodeSettings, LanguageModel
from dbsa_core.cli.commands import main
from dbsa_core.errors import CapacityError, DataError
from dbsa_core.evaluation import Evaluation
from dbsa_core.files.tables import read_table
from tests.app.pages import IMAGE, SCRIPT, check_harmless, text_of
from tests.app.server.pools import ROWS, SOON, encoded, write_csv

TEST = [("text number 3 about fire", "fire"), ("some water", "water"), ("a stone", "stone"), ("of nothing", "air")]
TWO = ("dbsa", "tfidf")


@pytest.fixture
def ready(workspace: Workspace, session: Session) -> Session:
    """A pool that holds few of the rows."""
    session.settings = EncodeSettings(pool_tokens=300, block_size=2)
    session.wanted = replace(session.wanted, methods=TWO, hold_out=9)
    return encoded(workspace, session)


def evaluated(workspace: Workspace, session: Session) -> Evaluated:
    job = begin_evaluation(workspace, session)
    assert job.wait(SOON)
    assert (job.state, job.message) == ("done", "")
    return job.result


def with_file(session: Session, tmp_path: Path, rows: list[tuple[str, str]] = TEST) -> None:
    set_test_file(session, read_table(write_csv(tmp_path / "test.csv", rows)))


# --- rows -------------------------------------------------------------------------------------------------------------


def test_rows_of_the_data_are_held_out_and_their_seed_draws_them(workspace: Workspace, ready: Session) -> None:
    base = workspace.ready(ready).setup  # type: ignore[union-attr]
    found = drawn(ready, base)
    assert len(found.rows) == 9
    assert not found.anew, "the pool holds none of them"
    texts = {base.task.pool.demonstrations[row].text for row in found.setup.held_out}
    assert texts == {row.text for row in found.rows}
    assert drawn(ready, base) is found
    ready.wanted = replace(ready.wanted, seed=1)
    assert drawn(ready, base).rows != found.rows
    ready.wanted = replace(ready.wanted, hold_out=500)
    assert len(drawn(ready, base).rows) <= len(ROWS) // 3
    ready.wanted = replace(ready.wanted, hold_out=0)
    with pytest.raises(DataError, match="0 rows were to be held out; give 1 or more"):
        drawn(ready, base)


def test_where_all_rows_are_encoded_a_pool_is_encoded_without_those_held_out(
    workspace: Workspace, session: Session
) -> None:
    session.settings = EncodeSettings(pool_tokens=5000, block_size=4)
    session.wanted = replace(session.wanted, methods=("dbsa",), hold_out=6)
    encoded(workspace, session)
    before = workspace.ready(session)
    found = drawn(session, before.setup)  # type: ignore[union-attr]
    assert found.anew
    assert "A pool is encoded without them first." in said_of(workspace, session)[0]
    run = evaluated(workspace, session)
    assert run.settings["encoded"]["rows"] <= len(ROWS) - 6
    assert workspace.ready(session) is before, "queries go on reading the pool that was there"


def test_a_test_file_is_read_and_what_is_odd_about_it_is_said(
    workspace: Workspace, ready: Session, tmp_path: Path
) -> None:
    base = workspace.ready(ready).setup  # type: ignore[union-attr]
    ready.wanted = replace(ready.wanted, of_file=True)
    with pytest.raises(DataError, match="There is no test file yet; upload one, or hold out rows"):
        drawn(ready, base)
    with_file(ready, tmp_path, [*TEST, ("", "fire")])
    found = drawn(ready, base)
    assert [row.text for row in found.rows] == [text for text, _ in TEST]
    assert found.in_data == {0}
    said = " ".join(notes(ready, found))
    assert "4 rows of test.csv: texts “text”, labels “label”." in said
    assert "Left out for an empty text or label: 1 row (5)." in said
    assert "1 row with labels that are not in the data: it counts as wrong." in said
    assert "The texts of 1 row stand in the data as well" in said


# --- running ----------------------------------------------------------------------------------------------------------


def test_methods_are_measured_and_the_files_can_be_taken_away(workspace: Workspace, ready: Session) -> None:
    run = evaluated(workspace, ready)
    assert [found.method for found in run.results] == [*TWO]
    assert [found.n for found in run.results] == [9, 9]
    assert run.whole
    assert run._so_far is None, "it holds model and pool"
    assert [path.name for path in run.files] == [*FILES]
    assert workspace.folder in run.folder.parents
    assert run.test == "9 rows held out (seed 0)"
    words = text_of(results_view(run))
    assert "Run 1: 9 of 9 test rows, 9 rows held out (seed 0); data: train.csv" in words
    assert "95 % up to" in words
    assert "Which is better" in words
    view, *_, away, files, code, _, _, _ = render_found(ready, Cut(), False)
    assert view == results_view(run)
    assert away.visible
    assert len(files.value) == len(FILES)
    assert "draw_validation(setup, rows=9, seed=0)" in code


def test_by_default_what_answers_queries_is_measured_beside_the_classifier_of_words(
    workspace: Workspace, ready: Session
) -> None:
    ready.wanted = replace(ready.wanted, methods=None)
    assert [method.name for method in methods_of(ready)] == ["dbsa_fresh", "tfidf"]
    ready.query_settings = replace(ready.query_settings, fresh_demonstrations=0)
    assert [method.name for method in methods_of(ready)] == ["dbsa", "tfidf"]


def test_nothing_to_evaluate_with_or_no_room_is_said(workspace: Workspace, session: Session) -> None:
    with pytest.raises(DataError, match="Nothing is encoded yet"):
        begin_evaluation(workspace, session)
    assert "press Encode on the Encode tab" in said_of(workspace, session)[0]
    session.settings = EncodeSettings(pool_tokens=300, block_size=2)
    encoded(workspace, session)
    session.wanted = replace(session.wanted, methods=())
    with pytest.raises(DataError, match="No method is chosen"):
        begin_evaluation(workspace, session)
    assert "Choose at least one method." in said_of(workspace, session)[0]
    session.wanted = replace(session.wanted, methods=("fixed_icl",))
    workspace.budget_bytes = 1
    with pytest.raises(CapacityError, match="which is more than this server has left of 0 MB"):
        begin_evaluation(workspace, session)
    assert session.evaluations == ()


class Halting:
    """Has an evaluation stop once so many queries are done."""

    def __init__(self, workspace: Workspace, session: Session, at: int):
        self.texts: list[str] = []
        self.seen: list[tuple[str, int, int, list[int]]] = []
        tell = Evaluated.report

        def report(run: Evaluated, name: str, done: int, total: int) -> None:
            tell(run, name, done, total)
            self.seen.append((name, done, run.answered, [*run.places]))
            if done == 3:
                page = answers_view(run, Cut("", "", "all"))
                self.texts = re.findall('<td class="dbsa-text">([^<]*)', page)
            if done == at:
                workspace.stop(session, "evaluate")

        self.report = report


def test_it_is_in_sight_while_it_runs_and_goes_on_where_it_was_stopped(
    workspace: Workspace, ready: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbsa_core.evaluation.running.SAMPLE", 3)
    halting, report = Halting(workspace, ready, at=9), Evaluated.report
    monkeypatch.setattr(Evaluated, "report", halting.report)
    job = begin_evaluation(workspace, ready)
    assert job.wait(SOON)
    run = job.progress
    assert job.state == "stopped"
    asking = [(done, answered, places) for name, done, answered, places in halting.seen if name == "Asking"]
    assert asking[:3] == [(1, 1, [0]), (2, 2, [0, 4]), (3, 3, [0, 4, 8])], "the sample"
    assert halting.texts == [run.rows[place].text for place in (0, 4, 8)], "beside their answers"
    assert asking[3:7] == [(4, 3, [0, 4, 8]), (5, 3, [0, 4, 8]), (6, 3, [0, 1, 2]), (7, 4, [0, 1, 2, 3])], "then all"
    assert (run.answered, run.whole) == (7, False), "it is asked whether it goes on after each row"
    answers = (run.folder / "answers.csv").read_text().splitlines()[1:]
    assert [line.split(",")[1] for line in answers] == [row.text for row in run.rows[:7]]
    assert {path.name for path in run.files} == {*FILES}
    assert "7 of 9 test rows" in text_of(results_view(run))
    assert "Stopped after 7 of 9 rows" in progress_view(workspace, ready)
    found = drawn(ready, workspace.ready(ready).setup)  # type: ignore[union-attr]
    assert to_go_on(ready, found) is run
    assert render_live(workspace, ready)[1].value == "Continue (2 rows left)"
    ready.wanted = replace(ready.wanted, methods=("dbsa",))
    assert to_go_on(ready, found) is None, "it was of others"
    ready.wanted = replace(ready.wanted, methods=TWO)
    monkeypatch.setattr(Evaluated, "report", report)
    assert evaluated(workspace, ready) is run
    assert (run.answered, run.whole, len(ready.evaluations)) == (9, True, 1)
    assert "Done: 9 rows asked." in progress_view(workspace, ready)
    steps = [json.loads(line) for line in (run.folder / "steps.jsonl").read_text().splitlines()]
    assert sum("asked" in step for step in steps) == 2 * (3 + 9), "nothing was asked twice"


def test_it_is_stopped_within_a_forward_and_what_fails_keeps_what_was_answered(
    workspace: Workspace, ready: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(run: Evaluated, name: str, done: int, total: int) -> None:
        if done == 12:
            raise ValueError("a fault")
        run.stage = Stage(name, done, total)

    monkeypatch.setattr(Evaluated, "report", fails)
    job = begin_evaluation(workspace, ready)
    assert job.wait(SOON)
    assert job.state == "failed"
    assert "nothing that was computed is lost" in job.message
    run = shown_run(ready)
    assert run is not None
    assert (run.answered, run.whole) == (9, False), "each was asked alone before"
    assert render_live(workspace, ready)[1].value == "Continue"
    assert f"It was not evaluated: {job.message}" in text_of(progress_view(workspace, ready))


def test_while_it_runs_no_second_one_begins_and_it_cannot_be_removed(
    workspace: Workspace, ready: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []

    def meanwhile(run: Evaluated, name: str, done: int, total: int) -> None:
        if not refused:
            with pytest.raises(CapacityError) as second:
                begin_evaluation(workspace, ready)
            with pytest.raises(DataError) as gone:
                remove(ready, run.id)
            refused.extend((str(second.value), str(gone.value)))
            assert shown_run(ready) is run

    monkeypatch.setattr(Evaluated, "report", meanwhile)
    evaluated(workspace, ready)
    assert refused == [
        "That is running already; stop it first, or wait for its end.",
        "Run 1 is not over; stop it first.",
    ]


def test_one_that_is_stopped_before_its_turn_stands_in_nobodys_way(
    workspace: Workspace, ready: Session, model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = workspace.copy_session("a-visitor", ready.id)
    waits: list[Any] = []

    def queue_other(run: Evaluated, name: str, done: int, total: int) -> None:
        if not waits:
            waits.append(begin_evaluation(workspace, other))
            assert "Waiting for 1 other evaluation." in progress_view(workspace, other)
            with monkeypatch.context() as first:
                first.setattr(workspace.jobs, "ahead", lambda job: 0)
                assert "Starting." in progress_view(workspace, other), "queued, and nobody before it"
            workspace.stop(other, "evaluate")

    monkeypatch.setattr(Evaluated, "report", queue_other)
    evaluated(workspace, ready)
    assert waits[0].wait(SOON)
    assert waits[0].state == "stopped"
    monkeypatch.undo()
    run = evaluated(workspace, other)
    assert (run.whole, len(other.evaluations)) == (True, 1), "it went on with the one that never began"


def test_each_method_is_shown_with_a_reject_option_too_or_why_not(
    workspace: Workspace, ready: Session, tmp_path: Path
) -> None:
    ready.wanted = replace(ready.wanted, methods=("tfidf",), reject=True)
    run = evaluated(workspace, ready)
    assert [found.method for found in run.results] == ["tfidf"]
    assert "TF-IDF + logistic regression is shown without a reject option: " in text_of(results_view(run))
    more = [(f"some {word} of kind {i}", word) for i in range(30) for word in ("fire", "water", "stone", "air")]
    workspace.set_data(ready, read_table(write_csv(tmp_path / "more.csv", more)))
    encoded(workspace, ready)
    run = evaluated(workspace, ready)
    assert [found.method for found in run.results] == ["tfidf", "tfidf+reject"]
    words = text_of(results_view(run))
    assert "Of those, right" in words
    assert "is shown without" not in words


def test_about_how_long_it_takes_is_said(workspace: Workspace, ready: Session) -> None:
    found = drawn(ready, workspace.ready(ready).setup)  # type: ignore[union-attr]
    one, both = (estimate(ready, found, methods_of(ready)[:last]) for last in (1, 2))
    assert one is not None
    assert one == both > 0, "training a classifier of words takes next to nothing"
    ready.wanted = replace(ready.wanted, reject=True)
    with_option = estimate(ready, found, methods_of(ready))
    assert with_option is not None
    assert with_option > one
    assert "2 methods are each asked about 9 rows, about" in said_of(workspace, ready)[0]


def test_what_is_shown_changes_with_all_that_it_depends_on(workspace: Workspace, ready: Session) -> None:
    seen = [milestone(workspace, ready)]

    def changed() -> bool:
        seen.append(milestone(workspace, ready))
        return seen[-1] != seen[-2]

    assert not changed()
    ready.wanted = replace(ready.wanted, seed=4)
    assert changed()
    ready.query_settings = replace(ready.query_settings, ratio=0.9)
    assert changed()
    teach(workspace, ready, "a brick", "stone")
    assert changed()
    declare(workspace, ready, "stone")
    assert changed()
    evaluated(workspace, ready)
    assert changed()


# --- views ------------------------------------------------------------------------------------------------------------


def test_cells_lead_to_the_rows_that_they_count(workspace: Workspace, ready: Session, tmp_path: Path) -> None:
    with_file(ready, tmp_path)
    ready.wanted = replace(ready.wanted, methods=TWO)
    run = evaluated(workspace, ready)
    for found in run.results:
        for (gold, answer), rows in found.confusion().items():
            at = Cut(run.id, found.method, "cell", gold, answer).rows(run)
            assert len(at) == rows
            assert all((run.rows[place].label, found.predicted[place]) == (gold, answer) for place in at)
        assert len(Cut("", found.method, "wrong").rows(run)) == sum(not hit for hit in found.right)
    one, other = run.results
    only = Cut(run.id, one.method, "only", other=other.method).rows(run)
    assert only == [at for at in range(4) if one.right[at] and not other.right[at]]
    assert Cut(run.id, one.method, "label", gold="air").rows(run) == [3]
    assert len(Cut(run.id, one.method, "all").rows(run)) == 4
    words = text_of(answers_view(run, Cut(run.id, one.method, "label", gold="air")))
    assert "1 row: right label air" in words
    assert "of nothing" in words
    assert "4 of 4" not in words
    whole = text_of(answers_view(run, Cut(run.id, one.method, "all")))
    assert "stands in the data" in whole
    assert "Without rows of the data" in text_of(results_view(run))
    matrix = matrices_view(run, Cut("", one.method).settled(run))
    assert f"Wrong by {one.title} {len(Cut('', one.method).rows(run))}" in whole
    assert "air answered as" in matrix
    labels = {label for pair in one.confusion() for label in pair}
    assert shown_labels(one) == (sorted(labels), len(labels))


@pytest.mark.parametrize("written", ["", "[]", '{"show": "none"}', '{"page": -1}', '{"gold": 3}', '{"rows": 1}'])
def test_a_cut_that_cannot_be_read_is_the_first_page_of_wrong_rows(written: str) -> None:
    assert Cut.of(written) == Cut()
    assert Cut.of(Cut("a", "b", "cell", "c", "d", page=2).written) == Cut("a", "b", "cell", "c", "d", page=2)


def made(number: int, predicted: tuple[str, ...], **settings: Any) -> Evaluated:
    """A run of one method over texts that are evil."""
    from dbsa_core.data import Demonstration

    gold = (IMAGE, "refund", "refund")
    rows = tuple(Demonstration(SCRIPT, label, row) for row, label in enumerate(gold, 1))
    plain = {"model": {"name": SCRIPT}, "test": {"fingerprint": "abc"}, "methods": {"tfidf": {}}, **settings}
    run = Evaluated(number, SCRIPT, IMAGE, plain, rows, frozenset({0}), Path("/nowhere"), {"Python": SCRIPT})
    result = Evaluation(
        method="tfidf", title=IMAGE, may_read="all", setup_seconds=1.0, latency_n=3, latency_p50_seconds=0.01,
        latency_p95_seconds=0.02, latency_iqr_seconds=0.001, throughput_n=3, queries_per_second=3.0,
        context_tokens=1.0, example_tokens=0.0, kv_bytes=0, gold=gold, predicted=predicted,
        probabilities=(0.5, None, 0.9),
    )  # fmt: skip
    run.begin()
    run.end([result, replace(result, method="dbsa", title=SCRIPT, predicted=gold)])
    return run


def test_texts_and_labels_of_a_user_are_no_html() -> None:
    run = made(1, (SCRIPT, "", "refund"))
    run.refused["fixed_icl"] = SCRIPT
    for show in ("all", "wrong", "cell", "label", "answer", "only"):
        cut = Cut(run.id, "tfidf", show, IMAGE, SCRIPT, "dbsa")  # type: ignore[arg-type]
        check_harmless(answers_view(run, cut))
        check_harmless(matrices_view(run, cut))
    check_harmless(results_view(run))
    check_harmless(runs_view([run, made(2, (SCRIPT, "", ""))], run.id, False))
    assert "no answer" in matrices_view(run, Cut(run.id, "tfidf"))


def test_a_cell_is_of_one_label_and_one_answer() -> None:
    run = made(1, ("x", "x", "refund"))
    assert Cut(run.id, "tfidf", "cell", "refund", "refund").rows(run) == [2]
    assert Cut(run.id, "tfidf", "cell", "refund", "x").rows(run) == [1]
    assert Cut(run.id, "tfidf", "label", "refund").rows(run) == [1, 2]
    assert Cut(run.id, "tfidf", "answer", answer="x").rows(run) == [0, 1]
    assert Cut(run.id, "dbsa", "only", other="tfidf").rows(run) == [0, 1]
    assert Cut(run.id, "dbsa", "only", other="gone").rows(run) == []


def test_runs_stand_side_by_side_with_what_differs() -> None:
    first, second = made(1, ("x", "x", "refund"), seed=1), made(2, (IMAGE, "refund", "refund"), seed=1, reject=True)
    assert "From the second run on" in runs_view([first], "", False)
    lines = {line.name: line for part in parts([first, second]).values() for line in part}
    assert lines[f"{IMAGE}: accuracy"].values == ("33.3 %", "100 %")
    assert "+66.7 % against run 1, p = 0.5" in lines[f"{IMAGE}: accuracy"].below[1]
    assert lines["With a reject option"].values == ("", "yes")
    assert not lines["Model"].differs
    page, differing = (text_of(runs_view([first, second], second.id, only)) for only in (False, True))
    assert "Fingerprint of the test rows" in page
    assert "Fingerprint of the test rows" not in differing
    assert "With a reject option" in differing
    assert "Shown above" in page
    other = made(3, ("x", "x", "x"), test={"fingerprint": "other"})
    (line, *_) = parts([first, other])["Results"]
    assert "against" not in line.below[1], "they were asked other rows"


def test_of_many_labels_those_that_were_mistaken_most_are_shown_and_the_others_counted() -> None:
    from dbsa_core.data import Demonstration

    labels = [f"label {i:02}" for i in range(40)]
    rows = tuple(Demonstration(f"text {i}", label, i) for i, label in enumerate(labels))
    run = Evaluated(1, "a", "b", {}, rows, frozenset(), Path("/nowhere"), {})
    template = made(1, ("x", "x", "x")).results[0]
    wrong = tuple(labels[(i + 1) % 40] if i >= 10 else label for i, label in enumerate(labels))
    run.end([replace(template, gold=tuple(labels), predicted=wrong, probabilities=(None,) * 40)])
    words = text_of(matrices_view(run, Cut().settled(run)))
    assert "24 of 40 labels: those that were mistaken most often; " in words
    shown = {f"label {i:02}" for i in range(40) if f"label {i:02}" in words}
    rest = sum(not {gold, answer} <= shown for gold, answer in zip(labels, wrong, strict=True) if gold != answer)
    assert f"; {rest} further mistakes with others stand among the rows below." in words
    few = tuple(labels[1] if i == 0 else label for i, label in enumerate(labels))
    assert shown_labels(replace(run.results[0], predicted=few)) == (labels[:2], 40)
    assert len(shown_labels(replace(run.results[0], predicted=tuple(labels)))[0]) == 24


# --- kept, and done again ---------------------------------------------------------------------------------------------


def test_a_run_is_removed_with_its_folder_and_the_oldest_goes_first(
    workspace: Workspace, ready: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluating, "AT_MOST", 2)
    ready.wanted = replace(ready.wanted, methods=("tfidf",))
    first, second = evaluated(workspace, ready), evaluated(workspace, ready)
    assert [run.number for run in ready.evaluations] == [1, 2]
    third = evaluated(workspace, ready)
    assert [*ready.evaluations] == [second, third]
    assert not first.folder.exists()
    remove(ready, second.id)
    remove(ready, "unknown")
    assert ([*ready.evaluations], second.folder.exists()) == ([third], False)
    assert shown_run(ready, "unknown") is third
    assert [run.number for run in workspace.copy_session("a-visitor", ready.id).evaluations] == [3]


@pytest.fixture
def one_model(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a program loads is the tests' model."""
    monkeypatch.setattr(LanguageModel, "load", classmethod(lambda cls, name, **options: model))


@pytest.mark.parametrize("of_file", [False, True])
def test_the_program_that_is_shown_finds_the_same(
    workspace: Workspace, ready: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_model: None,
    of_file: bool,
) -> None:  # fmt: skip
    if of_file:
        with_file(ready, tmp_path)
    teach(workspace, ready, 'a "brick" is\nheavy', "stone")
    ready.query_settings = replace(ready.query_settings, ratio=0.5, order="least_to_most")
    declare(workspace, ready, "stone")
    run = evaluated(workspace, ready)
    monkeypatch.chdir(tmp_path)
    program = run.code["Python"]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(program, "program", "exec"), {})
    settings = json.loads((tmp_path / "evaluation" / "run.json").read_text())["settings"]
    assert settings == run.settings
    results = json.loads((tmp_path / "evaluation" / "results.json").read_text())["results"]
    assert [found["confusion"] for found in results] == [
        found["confusion"] for found in json.loads((run.folder / "results.json").read_text())["results"]
    ]
    assert said.getvalue().splitlines()[0] == f"{run.results[0].title} {run.results[0].accuracy_estimate}"
    assert (
        "# The endpoints do not take further rows, retrievers, votes, order, decoding or seed; use Python."
        in run.code["curl"]
    )


@pytest.mark.parametrize("of_file", [False, True])
def test_the_settings_that_are_taken_away_repeat_it_on_the_command_line(
    workspace: Workspace, ready: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_model: None,
    of_file: bool,
) -> None:  # fmt: skip
    if of_file:
        with_file(ready, tmp_path)
    run = evaluated(workspace, ready)
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "--run", str(run.folder / "run.json"), "--out", "again", "--json"]) == 0
    assert json.loads((tmp_path / "again" / "run.json").read_text())["settings"] == run.settings


def test_what_stands_on_the_page_is_taken_once_methods_are_offered(workspace: Workspace, ready: Session) -> None:
    ready.wanted = Wanted()
    take_wanted(ready, " dbsa_fresh", HELD_OUT, 12, 3, [], False)
    assert ready.wanted == Wanted(hold_out=12, seed=3), "no method could be chosen yet"
    offered = offered_now(workspace, ready)
    take_wanted(ready, offered, FILE, None, None, ["tfidf", "dbsa_fresh"], True)
    assert ready.wanted == Wanted(True, 12, 3, None, True), "these are chosen by themselves"
    take_wanted(ready, offered, HELD_OUT, 12, 3, ["tfidf", "dbsa"], False)
    assert ready.wanted.methods == ("dbsa", "tfidf")
    take_wanted(ready, offered, HELD_OUT, 12, 3, [], False)
    assert ready.wanted.methods == ()


def test_what_is_shown_of_a_run_is_of_one_moment(workspace: Workspace, ready: Session) -> None:
    run = made(1, ("x", "x", "refund"))
    whole = run.results
    run.begin()
    run.watch(lambda: [replace(whole[0], gold=whole[0].gold[:1], predicted=("x",), probabilities=(None,))])
    now = run.as_it_is()
    run.end(whole)
    assert (now.answered, run.answered, now.id) == (1, 3, run.id)
    assert "1 of 3 test rows" in text_of(results_view(now))


def test_folders_go_with_the_last_session_that_has_their_runs(
    workspace: Workspace, ready: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.server.workspace.MAX_SESSIONS", 2)
    run = evaluated(workspace, ready)
    workspace.copy_session("a-visitor-1", ready.id)
    workspace.session("a-visitor-2")
    assert ready not in workspace.sessions()
    assert run.folder.exists(), "a copy has it"
    workspace.session("a-visitor-3")
    workspace.session("a-visitor-4")
    assert not run.folder.exists()
