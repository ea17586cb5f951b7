"""Answers of the app may say that no label fits: fitted in the background, in force at once, and for nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.coverage_plot import coverage_figure
from app.server import rejecting
from app.server.asking import classify_text
from app.server.classifying import classified, classify_the_file
from app.server.comparing import compare_with
from app.server.rejecting import (
    allow,
    begin_fitting,
    choose_threshold,
    declare,
    fits_now,
    option_now,
    out_of_scope,
)
from app.server.session import Session
from app.server.teaching import teach
from app.server.what_if import trials, try_settings
from app.server.workspace import Workspace
from app.tabs.answer import milestone, render_views
from app.tabs.no_label import render_controls, render_curve
from dbsa_core import EncodeSettings
from dbsa_core.errors import DataError, SettingsError
from dbsa_core.files.tables import Table, read_table
from dbsa_core.prediction import REFUSED
from dbsa_core.reject import Point, RejectOption
from tests.app.pages import text_of
from tests.app.server.pools import ROWS, SOON, encoded, write_csv

OTHER = [(f"nothing of that kind {i}", "none") for i in range(14)]
QUERY = "text about water"


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return read_table(write_csv(tmp_path / "train.csv", [*ROWS, *OTHER]))


@pytest.fixture
def session(workspace: Workspace, table: Table) -> Session:
    session = workspace.session(None)
    workspace.set_data(session, table)
    session.settings = EncodeSettings(pool_tokens=1200, block_size=4)
    return session


@pytest.fixture
def by_similarity(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Fitting that takes no time: scores by the similarity alone; what it was asked for."""
    asked: list[dict[str, Any]] = []

    def fit(method: Any, setup: Any, **options: Any) -> RejectOption:
        asked.append({"method": method.name, "setup": setup, **options})
        options["on_progress"](1, 1)
        curve = (Point(0.0, 1.0, 0.5, 0.0, 0.5, 0.0), Point(0.5, 0.8, 0.68, 0.9, 0.68, 0.9))
        weights = ((0.0,) * 4, (1.0,) * 4, (0.0, 0.0, 10.0, 0.0))
        return RejectOption(options["out_of_scope"], *weights, -5.0, 0.5, curve, 20, 6)

    monkeypatch.setattr("dbsa_core.reject.fit_reject_option", fit)
    return asked


def fitted(workspace: Workspace, session: Session) -> RejectOption:
    job = begin_fitting(workspace, session)
    assert job.wait(SOON)
    assert (job.state, job.message) == ("done", "")
    return job.result


def ask(workspace: Workspace, session: Session, query: str = "xyzzy") -> Any:
    return classify_text(workspace, session, query, compare=False).prediction


def shown(workspace: Workspace, session: Session) -> str:
    return text_of(render_views(workspace, session)[1])


def test_the_label_of_such_texts_is_guessed_and_may_be_declared(workspace: Workspace, session: Session) -> None:
    assert out_of_scope(session) == "none"
    declare(workspace, session, "")
    assert out_of_scope(session) is None
    declare(workspace, session, "Water")
    assert out_of_scope(session) == "water"
    with pytest.raises(SettingsError, match="There is no label 'oos'"):
        declare(workspace, session, "oos")
    assert out_of_scope(session) == "water"
    declare(workspace, session, None)
    assert out_of_scope(session) == "none"
    assert out_of_scope(workspace.session(None)) is None


def test_a_real_option_is_fitted_with_progress_to_what_answers_queries(workspace: Workspace, session: Session) -> None:
    with pytest.raises(DataError, match="press Encode first, then fit"):
        begin_fitting(workspace, session)
    encoded(workspace, session)
    option = fitted(workspace, session)
    job = workspace.job(session, "reject")
    assert job is not None
    assert job.progress.done == job.progress.total == option.rows
    assert (option.out_of_scope, option.rows_out_of_scope) == ("none", 6)
    assert option_now(workspace, session) == option
    found = ask(workspace, session, QUERY)
    assert found.verdict is not None
    assert found.verdict.threshold == option.threshold


def test_the_last_answer_is_judged_at_once_and_asked_no_more(
    workspace: Workspace, session: Session, by_similarity: list[Any]
) -> None:
    before = ask(workspace, encoded(workspace, session))
    answer, then = session.answer, milestone(workspace, session)
    assert before.in_scope_score is None
    fitted(workspace, session)
    assert session.answer is not None
    assert answer is not None
    assert session.answer.id == answer.id
    found = session.answer.prediction
    assert (found.refused, found.label) == (True, "none")
    assert found.scores is before.scores
    assert milestone(workspace, session) != then, "a page shows it at its next beat"
    text = shown(workspace, session)
    assert f"None of the labels nearest: {found.nearest_label}" in text
    assert "in-scope score 0.01, below 0.50 · this file calls such texts none" in text
    run = workspace.runs.get(answer.id)
    assert run is not None
    assert run.method.nearest == found.nearest_label
    choose_threshold(workspace, session, 0.0)
    assert session.answer.prediction.label == found.nearest_label
    assert "in-scope score 0.01" in shown(workspace, session)
    allow(workspace, session, False)
    assert session.answer.prediction.verdict is None
    assert "in-scope score" not in shown(workspace, session)
    assert len(by_similarity) == 1


def test_without_such_a_label_the_answer_is_none_of_the_labels(
    workspace: Workspace, session: Session, by_similarity: list[Any]
) -> None:
    declare(workspace, encoded(workspace, session), "")
    fitted(workspace, session)
    assert by_similarity[0]["out_of_scope"] is None
    found = ask(workspace, session)
    assert found.label == REFUSED
    text = shown(workspace, session)
    assert text.count("None of the labels") == 1, "the answer, and no tag beside it"
    assert "this file calls" not in text


def test_it_is_in_force_for_what_it_was_fitted_to_alone(
    workspace: Workspace, session: Session, by_similarity: list[Any]
) -> None:
    fitted(workspace, encoded(workspace, session))
    assert ask(workspace, session).refused
    settings = session.query_settings
    session.query_settings = replace(settings, ratio=0.7)
    assert not fits_now(workspace, session)
    assert ask(workspace, session).verdict is None
    session.query_settings = replace(settings, decode="exact", seed=7)
    assert fits_now(workspace, session), "the method does not use the seed"
    declare(workspace, session, "fire")
    assert ask(workspace, session).verdict is None
    declare(workspace, session, None)
    assert ask(workspace, session).refused
    session.settings = replace(session.settings, window=1)
    encoded(workspace, session)
    assert ask(workspace, session).verdict is None, "another pool"
    assert text_of(render_controls(workspace, session)[4]).startswith("It was fitted to other settings")


def test_what_was_taught_is_read_when_it_is_fitted_and_changes_nothing_of_it(
    workspace: Workspace, session: Session, by_similarity: list[Any]
) -> None:
    teach(workspace, encoded(workspace, session), "plugh", "fire")
    fitted(workspace, session)
    assert by_similarity[0]["setup"].task.pool.demonstrations[-1].text == "plugh"
    teach(workspace, session, "xyzzy", "stone")
    found = ask(workspace, session)
    assert (found.label, found.check) == ("stone", "As you taught")
    assert not ask(workspace, session, "xyzzy plugh").refused, "both words are known by now"


def test_a_file_is_judged_too_and_says_by_what(
    workspace: Workspace, session: Session, by_similarity: list[Any], tmp_path: Path
) -> None:
    fitted(workspace, encoded(workspace, session))
    session.queries = read_table(write_csv(tmp_path / "mine.csv", [("xyzzy", "none"), (ROWS[1][0], "water")]))
    assert classify_the_file(workspace, session, "text").wait(SOON)
    found = classified(workspace, session)
    assert found is not None
    one, two = found.answers()
    assert (one.label, one.check, one.probability) == ("none", REFUSED, None)
    assert one.needs_a_look
    assert (one.in_scope_score or 0) < 0.5 < (two.in_scope_score or 0)
    assert found.used["reject"] == {"threshold": 0.5, "out_of_scope": "none", "rows": 20}
    lines = next(path for path in found.files if path.suffix == ".csv").read_text(encoding="utf-8").splitlines()
    assert "in_scope_score" in lines[0]
    about = json.loads(next(path for path in found.files if path.suffix == ".json").read_text(encoding="utf-8"))
    assert about["reject"]["threshold"] == 0.5


def test_other_methods_and_trials_are_not_judged(
    workspace: Workspace, session: Session, by_similarity: list[Any]
) -> None:
    fitted(workspace, encoded(workspace, session))
    assert ask(workspace, session).refused
    assert compare_with(workspace, session).wait(SOON)
    assert session.answer is not None
    (other,) = workspace.runs.of(session.answer).compared
    assert (other.score, other.nearest) == (None, "")
    try_settings(workspace, session, 0.6, 8, "pool")
    trial = workspace.runs.get(trials(session)[0].run)
    assert trial is not None
    assert trial.method.score is None
    choose_threshold(workspace, session, 0.0)
    kept = workspace.runs.of(session.answer)
    assert (len(kept.compared), kept.method.nearest) == (1, ""), "what it was compared with stays"


def test_fitting_can_be_stopped_and_leaves_what_was(
    workspace: Workspace, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded(workspace, session)
    give_way = workspace.turnstile.give_way

    def stop() -> None:
        if (job := workspace.job(session, "reject")) is not None and job.progress is not None:
            job.cancel()
        give_way()

    monkeypatch.setattr(workspace.turnstile, "give_way", stop)
    job = begin_fitting(workspace, session)
    assert job.wait(SOON)
    assert job.state == "stopped"
    assert job.progress.done < job.progress.total
    assert session.option is None
    assert ask(workspace, session).verdict is None


def test_too_few_rows_are_told(workspace: Workspace, session: Session, tmp_path: Path) -> None:
    workspace.set_data(session, read_table(write_csv(tmp_path / "few.csv", [*ROWS, *OTHER[:3]])))
    job = begin_fitting(workspace, encoded(workspace, session))
    assert job.wait(SOON)
    assert job.state == "failed"
    assert "a reject option is fitted on 5 or more of either kind" in text_of(render_controls(workspace, session)[4])


def test_the_tab_says_what_there_is_and_what_it_takes(
    workspace: Workspace, session: Session, by_similarity: list[Any]
) -> None:
    label, allowed, fit, stop, said, threshold = render_controls(workspace, session)
    curve = render_curve(workspace, session)
    assert (label.value, label.info, allowed) == ("none", "Guessed by its name.", False)
    assert [value for _, value in label.choices] == ["", "fire", "none", "stone", "water"]
    assert text_of(said) == "It is fitted once a pool is encoded."
    assert (threshold.visible, curve.visible) == (False, False)
    ask(workspace, encoded(workspace, session))
    said = text_of(render_controls(workspace, session)[4])
    assert said.startswith("Fitting asks about some 25 rows, ")
    declare(workspace, session, "")
    assert "A pool without some labels is encoded for it first" in text_of(render_controls(workspace, session)[4])
    declare(workspace, session, None)
    fitted(workspace, session)
    label, allowed, fit, stop, said, threshold = render_controls(workspace, session)
    curve = render_curve(workspace, session)
    assert allowed
    assert (fit.value, stop.interactive) == ("Fit again", False)
    words = "80 % of texts that a label fits are answered, 85 % of those right; 90 % of rows of none are refused."
    assert text_of(said) == f"Fitted on 20 rows. At 0.50, {words}"
    assert (threshold.visible, threshold.value, curve.visible) == (True, 0.5, True)


def test_the_curve_shows_coverage_and_marks_the_threshold() -> None:
    points = (
        Point(0.0, 1.0, 0.5, 0.0, 0.5, 0.0),
        Point(0.5, 0.8, 0.68, 0.9, 0.68, 0.9),
        Point(0.9, 0.0, 0.0, 1.0, 0.0, 1.0),
    )
    option = RejectOption("none", (0.0,) * 4, (1.0,) * 4, (0.0,) * 4, 0.0, 0.5, points, 20, 6)
    right, refused, chosen = coverage_figure(option).data
    assert (list(right.x), list(right.y)) == ([1.0, 0.8], [0.5, pytest.approx(0.85)])
    assert list(refused.y) == [0.0, 0.9]
    assert (list(chosen.x), list(chosen.y)) == ([0.8, 0.8], [pytest.approx(0.85), 0.9])
    alone = replace(option, out_of_scope=None, curve=tuple(replace(point, oos_recall=None) for point in points))
    assert [trace.name for trace in coverage_figure(alone).data] == ["of those, right", "threshold 0.50"]


def test_a_page_that_was_duplicated_judges_alike(
    workspace: Workspace, session: Session, by_similarity: list[Any]
) -> None:
    fitted(workspace, encoded(workspace, session))
    other = workspace.copy_session("another-page", session.id)
    assert ask(workspace, other).refused
    assert rejecting.option_now(workspace, other) == option_now(workspace, session)
