"""Stories of pools on disk: saved under a name, found by a server that begins anew, loaded with all that belongs to
them, and appended to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from app.server.appending import Appended, append_file
from app.server.asking import classify_text
from app.server.encoding import pool_state
from app.server.in_force import outdated
from app.server.jobs import Job
from app.server.keeping import delete_pool, kept_pools, load_pool_of, save_pool_as
from app.server.session import Session
from app.server.teaching import teach, write_file
from app.server.workspace import EMBEDDED, Workspace
from app.tabs.data import label_rows, render_data
from app.tabs.kept import appended_words, described
from dbsa_core import EncodeSettings, LanguageModel, PromptTemplate, QuerySettings
from dbsa_core.errors import DataError, SettingsError
from dbsa_core.files.tables import read_table
from tests.app.server.pools import ROWS, SOON, encoded, stopped_early, write_csv
from tests.stage1.test_running_out import Device
from tests.tiny import tiny_model

QUERY = "what about a brick"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pools"


@pytest.fixture
def workspace(workspace: Workspace, folder: Path) -> Workspace:
    workspace.pools = folder
    return workspace


@pytest.fixture
def restarted(model: LanguageModel, folder: Path) -> Iterator[Workspace]:
    """Another server over the same folder, with no model loaded yet."""
    again = Workspace(load=lambda source: model, pools=folder)
    yield again
    again.jobs.close()


def well(job: Job) -> Any:
    assert job.wait(SOON)
    assert job.state == "done", job.message
    return job.result


def failed(job: Job) -> str:
    assert job.wait(SOON)
    assert job.state == "failed"
    return job.message


def test_a_server_that_begins_anew_offers_what_was_saved_and_has_all_of_it(
    workspace: Workspace, session: Session, restarted: Workspace
) -> None:
    session.query_settings = QuerySettings(ratio=0.5, fresh_demonstrations=2)
    session.template = PromptTemplate("Frage:", "Antwort:")
    assert session.data is not None
    workspace.set_data(session, session.data.table, names={"fire": "Big Fire"})
    session.settings = EncodeSettings(pool_tokens=1500, block_size=4)
    encoded(workspace, session)
    teach(workspace, session, QUERY, "brick")
    before = classify_text(workspace, session, "about water", compare=False)
    done = well(save_pool_as(workspace, session, "  my  tickets "))
    assert [pool.name for pool in kept_pools(restarted)] == ["my tickets"]
    assert described(done).startswith("train.csv, ")
    assert "1 taught" in described(done)
    other = restarted.session(None)
    well(load_pool_of(restarted, other, "my tickets"))
    assert (other.settings, other.query_settings, other.template) == (
        session.settings,
        session.query_settings,
        session.template,
    )
    assert other.data is not None
    assert other.data.pool.fingerprint == session.data.pool.fingerprint
    assert label_rows(other.data) == label_rows(session.data)
    assert render_data(other)[2] == render_data(session)[2]
    assert other.data.table.frame.equals(session.data.table.frame)
    assert [(row.text, row.label) for row in other.taught] == [(QUERY, "brick")]
    state = pool_state(restarted, other)
    assert (state.kind, state.changed) == ("ready", ())
    after = classify_text(restarted, other, "about water", compare=False)
    assert after.prediction.probabilities == before.prediction.probabilities
    assert after.prediction.method == "dbsa_fresh"
    assert classify_text(restarted, other, QUERY, compare=False).prediction.label == "brick"
    assert outdated(restarted, other) == ""


def test_a_workbook_is_kept_as_one_and_goes_on_being_one(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (("text", "label"), *ROWS):
        book.active.append(row)
    book.save(tmp_path / "train.xlsx")
    workspace.set_data(session, read_table(tmp_path / "train.xlsx"))
    session.settings = EncodeSettings(pool_tokens=1500, block_size=4)
    encoded(workspace, session)
    well(save_pool_as(workspace, session, "book"))
    other = workspace.session(None)
    well(load_pool_of(workspace, other, "book"))
    assert session.data is not None
    assert other.data is not None
    assert other.data.table.workbook == session.data.table.workbook != None  # noqa: E711
    names = [name for name in vars(session.data.table) if name not in ("frame", "workbook")]
    assert [getattr(other.data.table, name) for name in names] == [getattr(session.data.table, name) for name in names]


def test_a_pool_is_replaced_only_by_who_saved_or_loaded_it(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    encoded(workspace, session)
    well(save_pool_as(workspace, session, "one"))
    well(save_pool_as(workspace, session, "one"))
    other = workspace.session(None)
    workspace.set_data(other, read_table(write_csv(tmp_path / "other.csv", ROWS[:20])))
    other.settings = EncodeSettings(pool_tokens=800, block_size=4)
    encoded(workspace, other)
    with pytest.raises(DataError, match='There is a saved pool "one" already'):
        save_pool_as(workspace, other, "one")
    well(save_pool_as(workspace, other, "two"))
    workspace.set_data(session, read_table(tmp_path / "other.csv"))
    with pytest.raises(DataError, match="Nothing is encoded for these data yet"):
        save_pool_as(workspace, session, "one")
    assert session.kept_as == ""
    well(load_pool_of(workspace, other, "one"))
    well(save_pool_as(workspace, other, "one"))
    assert [pool.name for pool in kept_pools(workspace)] == ["one", "two"]
    delete_pool(workspace, "two")
    assert [pool.name for pool in kept_pools(workspace)] == ["one"]
    for name in ("two", "three"):
        with pytest.raises(DataError, match=f'There is no saved pool "{name}" any more'):
            delete_pool(workspace, name)
        with pytest.raises(DataError, match=f'There is no saved pool "{name}" any more'):
            load_pool_of(workspace, session, name)


@pytest.mark.parametrize("name", ["../../etc", "a/b", "..", "C:\\x", "名前" * 20, "x" * 60, "ä.ö", "CON"])
def test_a_name_is_whatever_one_likes_and_leads_nowhere_else(
    workspace: Workspace, session: Session, folder: Path, name: str
) -> None:
    encoded(workspace, session)
    well(save_pool_as(workspace, session, name))
    assert [path.parent for path in folder.parent.rglob("about.json")] == [next(folder.iterdir())]
    well(load_pool_of(workspace, session, name))
    assert [pool.name for pool in kept_pools(workspace)] == [name]


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "a\x00b"])
def test_what_is_no_name_is_refused(workspace: Workspace, session: Session, name: str) -> None:
    encoded(workspace, session)
    with pytest.raises(SettingsError, match="A saved pool needs a name of 1 to 60 characters"):
        save_pool_as(workspace, session, name)


def test_a_server_that_is_open_to_others_keeps_nothing_by_itself(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    workspace.pools = None
    assert kept_pools(workspace) == []
    for act in (lambda: save_pool_as(workspace, session, "a"), lambda: load_pool_of(workspace, session, "a")):
        with pytest.raises(SettingsError, match="keeps no pools"):
            act()


def test_what_cannot_be_loaded_says_why_and_changes_nothing(
    workspace: Workspace, session: Session, folder: Path, restarted: Workspace
) -> None:
    encoded(workspace, session)
    well(save_pool_as(workspace, session, "one"))
    place = next(folder.iterdir())
    other = restarted.session(None)
    restarted.budget_bytes = 10
    assert "this server keeps at most 0 MB" in failed(load_pool_of(restarted, other, "one"))
    restarted.budget_bytes = workspace.budget_bytes
    restarted.models.load = lambda source: tiny_model(max_position_embeddings=4096, seed=3)
    assert "was encoded by" in failed(load_pool_of(restarted, other, "one"))
    (place / "rows.parquet").write_bytes(b"nothing")
    assert "is damaged" in failed(load_pool_of(workspace, other, "one"))
    assert (other.data, other.encoded, other.model_source) == (None, None, EMBEDDED)
    about = json.loads((place / "about.json").read_text("utf-8"))
    for written in (json.dumps({**about, "format": 9}), json.dumps({**about, "saved": "?"}), "{", "[]"):
        (place / "about.json").write_text(written, encoding="utf-8")
        assert kept_pools(workspace) == []


def test_a_full_disk_keeps_the_pool_from_before(
    workspace: Workspace, session: Session, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded(workspace, session)
    well(save_pool_as(workspace, session, "one"))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pandas.DataFrame.to_parquet", full)
    assert '"one" cannot be saved (No space left on device)' in failed(save_pool_as(workspace, session, "one"))
    assert len(list(folder.iterdir())) == 1
    monkeypatch.undo()
    well(load_pool_of(workspace, workspace.session(None), "one"))


# --- a second file ----------------------------------------------------------------------------------------------------

MORE = [(f"text number {i} about {word}", word) for i in range(20, 24) for word in ("fire", "brick")]


def second(path: Path, rows: list[tuple[str, str]] = MORE, header: str = "text,label") -> Path:
    path.write_text(header + "\n" + "".join(f'"{text}",{label}\n' for text, label in rows), encoding="utf-8")
    return path


def test_a_second_file_is_encoded_behind_the_first_and_nothing_anew(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    encoded(workspace, session)
    teach(workspace, session, QUERY, "water")
    first = session.encoded
    assert first is not None
    count = len(first.pool.blocks)
    before = classify_text(workspace, session, "about fire", compare=False)
    done: Appended = well(append_file(workspace, session, read_table(second(tmp_path / "more.csv"))))
    assert done == Appended("more.csv", len(MORE), len(MORE), 2, "")
    assert appended_words(done) == "8 new rows of more.csv: 8 of them encoded as 2 further blocks."
    now = session.encoded
    assert now is not None
    assert now.pool.blocks[:count] == first.pool.blocks
    assert now.pool.store is first.pool.store or now.pool.store.get(0).keys.equal(first.pool.store.get(0).keys)
    assert session.data is not None
    assert (session.data.name, len(session.data.pool)) == ("train.csv + more.csv", len(ROWS) + len(MORE))
    assert [row.row for row in session.data.pool.demonstrations[-2:]] == [len(ROWS) + 7, len(ROWS) + 8]
    assert [row.text for row in session.taught] == [QUERY]
    state = pool_state(workspace, session)
    assert (state.kind, state.changed) == ("ready", ())
    assert outdated(workspace, session) == "From train.csv; now train.csv + more.csv."
    after = classify_text(workspace, session, "text number 21 about brick", compare=False)
    assert set(after.prediction.labels) == {*before.prediction.labels, "brick"}
    assert after.prediction.equal_rows
    assert len(read_table(write_file(workspace, session)).frame) == len(ROWS) + len(MORE) + 1


def test_what_was_appended_is_saved_too(
    workspace: Workspace, session: Session, tmp_path: Path, restarted: Workspace
) -> None:
    encoded(workspace, session)
    for name in ("more.csv", "again.csv"):
        rows = [(f"{text} {name}", label) for text, label in MORE]
        well(append_file(workspace, session, read_table(second(tmp_path / name, rows))))
    well(save_pool_as(workspace, session, "both"))
    other = restarted.session(None)
    well(load_pool_of(restarted, other, "both"))
    assert pool_state(restarted, other).kind == "ready"
    answers = [
        classify_text(w, s, "about a brick", compare=False) for w, s in ((workspace, session), (restarted, other))
    ]
    assert answers[0].prediction.probabilities == answers[1].prediction.probabilities
    assert other.data is not None
    assert other.data.name == "train.csv + more.csv + again.csv"


def test_columns_of_other_names_and_labels_of_another_spelling_are_matched(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    encoded(workspace, session)
    rows = [(f"a longer text about some fire {i}", "FIRE" if i % 2 else "Water") for i in range(6)]
    well(append_file(workspace, session, read_table(second(tmp_path / "more.csv", rows, "utterance,intent"))))
    assert session.data is not None
    assert session.data.pool.labels == ("fire", "stone", "water")
    assert list(session.data.table.frame.columns) == ["text", "label"]


def test_rows_that_find_no_room_are_searched_all_the_same(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    encoded(workspace, session)
    assert session.encoded is not None
    workspace.budget_bytes = session.encoded.pool.tokens * session.encoded.setup.task.model.shape.bytes_per_token
    done: Appended = well(append_file(workspace, session, read_table(second(tmp_path / "more.csv"))))
    assert (done.rows, done.encoded, done.blocks) == (8, 0, 0)
    assert "8 are searched as similar rows only (this server keeps at most" in appended_words(done)
    workspace.budget_bytes = 10**9
    found = classify_text(workspace, session, MORE[1][0], compare=False)
    assert found.prediction.equal_rows
    long = [("word " * 400, "fire"), ("text about a short brick", "brick")]
    done = well(append_file(workspace, session, read_table(second(tmp_path / "long.csv", long))))
    assert (done.rows, done.encoded) == (2, 1)
    assert "longer than the" in done.why


def test_memory_that_runs_out_keeps_what_was_appended(
    workspace: Workspace, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded(workspace, session)
    assert session.encoded is not None
    before = len(session.encoded.pool.blocks)
    Device(monkeypatch, before=before + 1)
    done: Appended = well(append_file(workspace, session, read_table(second(tmp_path / "more.csv"))))
    assert (done.rows, done.blocks) == (8, 1)
    assert 0 < done.encoded < 8
    assert f"ran out at block {before + 2}" in appended_words(done)
    assert pool_state(workspace, session).kind == "ready"
    assert len(session.encoded.pool.blocks) == before + 1


def test_stopping_keeps_what_was_appended(workspace: Workspace, session: Session, tmp_path: Path) -> None:
    encoded(workspace, session)
    rows = [(f"text number {i} about brick", "brick") for i in range(100, 140)]

    def stop() -> None:
        job = workspace.job(session, "encode")
        if job is not None and job.progress is not None and len(job.progress.__dict__) and job.progress.blocks_done > 8:
            job.cancel()

    workspace.turnstile.give_way = stop  # type: ignore[method-assign]
    job = append_file(workspace, session, read_table(second(tmp_path / "more.csv", rows)))
    assert job.wait(SOON)
    assert job.state == "stopped"
    found = workspace.ready(session)
    assert found is not None
    assert found.pool.complete
    assert 0 < job.result.encoded <= 40
    assert session.data is not None
    assert len(session.data.pool) == len(ROWS) + 40


def test_a_second_file_that_cannot_be_appended_says_why(workspace: Workspace, session: Session, tmp_path: Path) -> None:
    more = read_table(second(tmp_path / "more.csv"))
    with pytest.raises(DataError, match="no complete pool to append to"):
        append_file(workspace, session, more)
    stopped_early(workspace, session)
    with pytest.raises(DataError, match="no complete pool to append to"):
        append_file(workspace, session, more)
    encoded(workspace, session)
    with pytest.raises(DataError, match="adds no row"):
        append_file(workspace, session, read_table(second(tmp_path / "same.csv", ROWS[:5])))
    variants = [(f"text {i}", label) for i in range(40) for label in ("stone\u200b", "wood")]
    assert session.data is not None
    before = session.data
    well(append_file(workspace, session, read_table(second(tmp_path / "variants.csv", variants))))
    assert session.data.pool.demonstrations[: len(ROWS)] == before.pool.demonstrations


def test_other_data_that_came_meanwhile_are_left_alone(workspace: Workspace, session: Session, tmp_path: Path) -> None:
    encoded(workspace, session)
    other = read_table(write_csv(tmp_path / "other.csv", ROWS[:20]))
    workspace.turnstile.give_way = lambda: workspace.set_data(session, other)  # type: ignore[method-assign,return-value]
    job = append_file(workspace, session, read_table(second(tmp_path / "more.csv")))
    assert "Other data are in use by now" in failed(job)
    assert session.data is not None
    assert session.data.name == "other.csv"
