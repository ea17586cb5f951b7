"""The way in which queries are answered: tuned in the background, taken up, taken away and brought."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.server.asking import ask_again
from app.server.encoding import begin_encoding
from app.server.session import Session
from app.server.troubles import messages
from app.server.tuning import (
    KIND,
    Asked,
    begin_tuning,
    choose_way,
    take_file,
    take_up_tuned,
    tuned_now,
    way_of,
    write_tuned,
)
from app.server.workspace import Workspace
from app.tabs.method import render, stand, tried_view
from dbsa_core.errors import CapacityError, DataError
from dbsa_core.files.tables import read_table
from dbsa_core.settings import QuerySettings, preset
from dbsa_core.tuning import TunedSettings, read_settings, running
from dbsa_core.tuning import tuned as found_by
from tests.app.pages import text_of
from tests.app.server.pools import SOON, encoded, write_csv
from tests.app.server.test_encode_tab import CONTROLS, Tab, tab

__all__ = ["tab"]


@pytest.fixture(autouse=True)
def _two_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is preferred, and the default: more of them are asked the same way."""
    readings = running.readings_of
    monkeypatch.setattr(running, "readings_of", lambda *given, **how: readings(*given, **how)[:2])
    for module in (running, found_by):
        monkeypatch.setattr(module, "LEAST_ROWS", 5)


def tuned(workspace: Workspace, session: Session) -> TunedSettings:
    job = begin_tuning(workspace, session)
    assert job.wait(SOON)
    assert (job.state, job.message) == ("done", "")
    found = tuned_now(session)
    assert found is not None
    return found.settings


def test_the_way_is_told_by_the_settings(session: Session) -> None:
    assert way_of(session) == "default"
    session.query_settings = replace(preset("paper-30k").query, seed=7)
    assert way_of(session) == "paper"
    session.query_settings = QuerySettings(ratio=0.4)
    assert way_of(session) == "own"


def test_a_way_is_chosen_and_encoder_and_seed_stay(workspace: Workspace, session: Session) -> None:
    session.query_settings = QuerySettings(0.5, 3, embedder="mine", seed=5)
    before = session.retuned
    choose_way(workspace, session, "paper")
    assert session.query_settings == QuerySettings(0.3, 0, embedder="mine", seed=5)
    choose_way(workspace, session, "default")
    assert session.query_settings == QuerySettings(embedder="mine", seed=5)
    assert session.retuned == before + 2
    choose_way(workspace, session, "own")
    assert session.query_settings == QuerySettings(embedder="mine", seed=5)


def test_it_is_tuned_for_the_file_and_taken_up(workspace: Workspace, session: Session) -> None:
    with pytest.raises(DataError, match="press Encode first, then tune"):
        choose_way(workspace, session, "tuned")
    encoded(workspace, session)
    session.query_settings, before = QuerySettings(seed=9), session.retuned
    found = tuned(workspace, session)
    assert session.query_settings == found.query
    assert (found.query.votes, found.query.seed) == ("words+vectors", 9)
    assert way_of(session) == "tuned"
    assert session.retuned == before + 1
    # What was tuned is there for another time, and asks nothing.
    choose_way(workspace, session, "default")
    assert way_of(session) == "default"
    job = workspace.job(session, KIND)
    choose_way(workspace, session, "tuned")
    assert workspace.job(session, KIND) is job
    assert way_of(session) == "tuned"
    # A duplicated page has it too; another model, or other data, do not.
    assert way_of(session.copy("another-session")) == "tuned"
    session.model_source = "another"
    assert tuned_now(session) is None
    assert way_of(session) == "own"


def test_it_is_of_its_data(workspace: Workspace, session: Session, tmp_path: Path) -> None:
    encoded(workspace, session)
    tuned(workspace, session)
    workspace.set_data(session, read_table(write_csv(tmp_path / "others.csv", [("a", "x"), ("b", "y")])))
    assert tuned_now(session) is None
    for refused in (lambda: take_up_tuned(session), lambda: write_tuned(workspace, session)):
        with pytest.raises(DataError, match="Nothing was tuned for this file"):
            refused()


def test_data_that_come_meanwhile_keep_their_settings(
    workspace: Workspace, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded(workspace, session)
    reached, release = held(monkeypatch)
    job = begin_tuning(workspace, session)
    assert reached.wait(SOON)
    workspace.set_data(session, read_table(write_csv(tmp_path / "others.csv", [("a", "x"), ("b", "y")])))
    release.set()
    assert job.wait(SOON)
    assert session.query_settings == QuerySettings()
    assert tuned_now(session) is None


def held(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Set once the first rows were asked, and to be set for tuning to go on."""
    reached, release, ask = threading.Event(), threading.Event(), running.Trial.ask

    def slowly(self: Any, count: int) -> None:
        ask(self, count)
        reached.set()
        assert release.wait(SOON)

    monkeypatch.setattr(running.Trial, "ask", slowly)
    return reached, release


def test_stop_chooses_by_what_was_asked(
    workspace: Workspace, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded(workspace, session)
    reached, release = held(monkeypatch)
    job = begin_tuning(workspace, session)
    assert reached.wait(SOON)
    way, said, again, stop, *_ = render(workspace, session)
    assert way == "tuned"
    assert "Tuning for this file" in text_of(said)
    assert (again.visible, stop.visible, stop.value) == (False, True, "Stop")
    workspace.stop(session, KIND)
    assert render(workspace, session)[3].value == "Stopping"
    release.set()
    assert job.wait(SOON)
    found = tuned_now(session)
    assert found is not None
    assert found.found is not None
    assert 0 < found.found.rows < 11
    assert "it was stopped" in text_of(render(workspace, session)[1])
    assert way_of(session) == "tuned"


def test_of_too_few_rows_none_is_asked_about(
    workspace: Workspace, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded(workspace, session)
    for module in (running, found_by):
        monkeypatch.setattr(module, "LEAST_ROWS", 100)
    tuned(workspace, session)
    way, said, *_, panel, tried, _ = render(workspace, session)
    assert (way, panel.visible, tried) == ("tuned", False, "")
    assert "Only 11 rows of the file could be asked about" in text_of(said)


def test_what_was_chosen_and_tried_is_shown(
    workspace: Workspace, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "once a pool is encoded" in text_of(render(workspace, session)[1])
    encoded(workspace, session)
    before = stand(workspace, session)
    assert "asks about up to 12 rows of the file" in text_of(render(workspace, session)[1])
    monkeypatch.setattr(found_by, "LEAST_ROWS", 13)
    assert "are too few to choose by" in text_of(render(workspace, session)[1])
    monkeypatch.setattr(found_by, "LEAST_ROWS", 5)
    tuned(workspace, session)
    assert stand(workspace, session) != before
    way, said, again, stop, make, _, panel, tried, _ = render(workspace, session)
    assert way == "tuned"
    assert "By 11 rows of the file that no method read" in text_of(said)
    assert (again.visible, stop.visible, make.visible, panel.visible) == (True, False, True, True)
    assert session.tuned is not None
    found = session.tuned.found
    assert found is not None
    assert tried == tried_view(found)
    assert tried.count("<tr") == len(found.candidates) + 1
    assert tried.count('class="dbsa-chosen"') == 1
    assert "chosen" in text_of(tried)
    assert "default" in text_of(tried)


def test_settings_are_taken_away_and_brought(workspace: Workspace, session: Session, tmp_path: Path) -> None:
    encoded(workspace, session)
    settings = tuned(workspace, session)
    path = write_tuned(workspace, session)
    assert path.name == "train-settings.json"
    assert read_settings(path) == settings
    choose_way(workspace, session, "default")
    session.tuned = None
    assert take_file(workspace, session, path) == []
    assert session.query_settings == settings.query
    assert way_of(session) == "tuned"
    assert "From a file of settings" in text_of(render(workspace, session)[1])
    assert not render(workspace, session)[6].visible
    # Of another file: it is taken, and said.
    replace(settings, data="other rows", model="another").write(tmp_path / "others.json")
    notes = take_file(workspace, session, tmp_path / "others.json")
    assert len(notes) == 2
    with pytest.raises(DataError, match="no JSON"):
        take_file(workspace, session, write_csv(tmp_path / "tickets.csv", []))


def test_settings_need_data_to_be_for(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="upload the labelled file first"):
        take_file(workspace, workspace.session("a-page-without-data"), tmp_path / "none.json")


def test_a_reject_option_that_helps_is_told_of_until_there_is_one(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    tuned(workspace, session)
    assert session.tuned is not None
    session.tuned = replace(session.tuned, settings=replace(session.tuned.settings, reject=True))
    assert "A reject option makes it better still" in text_of(render(workspace, session)[1])
    session.rejects = True
    assert "A reject option" not in text_of(render(workspace, session)[1])


def test_what_fails_is_said(workspace: Workspace, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded(workspace, session)

    def failing(self: Any, count: int) -> None:
        self.refused = CapacityError("no room")

    monkeypatch.setattr(running.Trial, "ask", failing)
    job = begin_tuning(workspace, session)
    assert job.wait(SOON)
    assert job.state == "failed"
    assert messages(workspace, session) == ["no room"]
    assert session.query_settings == QuerySettings()


def test_progress_is_told(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    seen: list[Asked] = []
    workspace.turnstile.give_way = lambda: None  # type: ignore[method-assign]
    job = begin_tuning(workspace, session)
    assert job.wait(SOON)
    seen.append(job.progress)
    assert (seen[-1].done, seen[-1].total) == (22, 22)


def test_answers_after_tuning_are_by_it(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    found = tuned(workspace, session)
    ask_again(workspace, session)
    assert begin_encoding is not None
    assert session.method_name() == "dbsa_fresh"
    assert session.query_settings == found.query


def test_the_controls_show_what_was_tuned(workspace: Workspace, session: Session, tab: Tab) -> None:
    encoded(workspace, session)
    tab.beat()
    tuned(workspace, session)
    written = tab.beat()
    assert written >= {*CONTROLS, "#method", "#tuned-said"}
    assert not tab.beat().intersection((*CONTROLS, "#method"))


def test_a_choice_that_is_being_made_is_left_alone(workspace: Workspace, session: Session, tab: Tab) -> None:
    encoded(workspace, session)
    written = tab.beat()
    assert "#tuned-said" in written
    assert "#method" not in written
