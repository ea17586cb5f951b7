"""The workspace: sessions apart, encoding that can be stopped and asked, staleness, budgets and allowed models."""

from __future__ import annotations

import gc
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from app.server.asking import classify_text
from app.server.encoding import begin_encoding, pool_state
from app.server.example import Example
from app.server.session import Session
from app.server.workspace import EMBEDDED, Workspace
from app.tabs.data import label_rows, render_data
from app.tabs.offer import use_data, use_words
from dbsa_core import EncodeSettings, LanguageModel, PromptTemplate, QuerySettings, make_method
from dbsa_core.errors import Cancelled, CapacityError, DataError, ModelError, SettingsError
from dbsa_core.files.tables import Table, read_table
from dbsa_core.interrupt import interruptible
from dbsa_core.settings import SETTING_PRESETS
from tests.app.server.pools import ROWS, SOON, encoded, held_halfway, stopped_early, write_csv


def test_sessions_are_apart_and_found_again(workspace: Workspace, session: Session) -> None:
    assert workspace.session(session.id) is session
    other = workspace.session(None)
    assert other.id != session.id
    assert len(other.id) >= 32
    assert other.data is None
    assert workspace.job(other, "encode") is None


def test_an_id_that_is_no_id_is_replaced(workspace: Workspace) -> None:
    assert workspace.session("../../etc").id != "../../etc"
    assert workspace.session("a" * 1000).id != "a" * 1000
    assert workspace.session("kept-over-a-restart").id == "kept-over-a-restart"


def test_stop_keeps_what_is_done_and_it_can_be_asked(workspace: Workspace, session: Session) -> None:
    job = stopped_early(workspace, session)
    assert job.state == "stopped"
    pool = session.encoded.pool if session.encoded else None
    assert pool is not None
    assert 0 < len(pool.blocks) < pool.blocks_planned
    assert classify_text(workspace, session, "text about stone").prediction.label in pool.pool.labels


def test_a_running_encoding_can_be_asked_and_refuses_a_second(workspace: Workspace, session: Session) -> None:
    session.settings = EncodeSettings(pool_tokens=1500, block_size=4)
    reached, release = held_halfway(workspace, session)
    job = begin_encoding(workspace, session)
    assert reached.wait(SOON)
    with pytest.raises(CapacityError, match="running already"):
        begin_encoding(workspace, session)
    part = workspace.current(session)
    assert part is not None
    assert not part.pool.complete
    release.set()
    assert job.wait(SOON)
    assert session.encoded is not None
    assert session.encoded.pool.complete


def test_steps_give_the_same_pool_as_one_encoding(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    from dbsa_core import encode

    assert session.encoded is not None
    whole = encode(workspace.task(session), workspace.plan(session))
    mine = session.encoded.pool
    assert mine.blocks == whole.blocks
    for block in whole.blocks:
        assert mine.store.get(block.id).keys.sub(whole.store.get(block.id).keys).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"block_size": 5}, "the block size (4 to 5)"),
        ({"window": 1}, "the window (2 to 1)"),
        ({"sink_blocks": 0}, "the shared first block (1 to 0)"),
        ({"pool_tokens": 700}, "pool tokens"),
        ({"positions": "local"}, "positions (sequential to local)"),
        ({"seed": 7}, "the seed (42 to 7)"),
        ({"pool_precision": "int8"}, "how keys and values are kept (model to int8)"),
    ],
)
def test_a_changed_setting_makes_the_pool_stale_by_name(
    workspace: Workspace, session: Session, change: dict[str, object], named: str
) -> None:
    encoded(workspace, session)
    assert pool_state(workspace, session).changed == ()
    session.settings = replace(session.settings, **change)
    assert any(named in reason for reason in pool_state(workspace, session).changed)
    assert classify_text(workspace, session, "still answers").prediction.label
    session.settings = EncodeSettings(pool_tokens=1500, block_size=4)
    assert pool_state(workspace, session).changed == ()


def test_data_and_words_make_it_stale_and_the_ratio_does_not(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    encoded(workspace, session)
    session.query_settings = QuerySettings(ratio=0.9, fresh_demonstrations=2)
    assert pool_state(workspace, session).changed == ()
    session.template = PromptTemplate("Question:")
    assert pool_state(workspace, session).changed == ("the words around texts and labels",)
    session.template = PromptTemplate()
    workspace.set_data(session, read_table(write_csv(tmp_path / "other.csv", ROWS[:20])))
    assert pool_state(workspace, session).changed == ("the data (encoded: train.csv; now: other.csv)",)


def test_a_bad_file_leaves_the_data_alone(workspace: Workspace, session: Session, tmp_path: Path) -> None:
    before = session.data
    one_class = read_table(write_csv(tmp_path / "one.csv", [(f"text {i}", "same") for i in range(9)]))
    with pytest.raises(DataError, match="one class"):
        workspace.set_data(session, one_class, "text", "label")
    assert session.data is before


def test_files_of_one_session_are_read_one_after_another(
    workspace: Workspace, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both or neither of `table` and `data` are of a file: a page asks twice at once when a dropdown says so twice.
    both, together = threading.Barrier(2), []

    def read(path: str) -> Table:
        with suppress(threading.BrokenBarrierError):
            together.append(both.wait(timeout=0.3))
        return read_table(path)

    monkeypatch.setattr("app.server.workspace.read_table", read)
    file = str(write_csv(tmp_path / "mine.csv", ROWS[:24]))
    threads = [threading.Thread(target=workspace.read_file, args=(session, file)) for _ in range(2)]
    for thread in threads:
        thread.start()
    shown = render_data(session)[0].value
    for thread in threads:
        thread.join(SOON)
    assert together == []
    assert shown == "text"
    assert session.data is not None
    assert session.table is session.data.table


def test_where_one_column_is_named_the_other_is_guessed(workspace: Workspace, session: Session, tmp_path: Path) -> None:
    lines = "".join(f"{i},{text},kind {i}\n" for i, (text, _) in enumerate(ROWS))
    (tmp_path / "a.csv").write_text(f"nr,words,sort\n{lines}")
    table = read_table(tmp_path / "a.csv")
    with pytest.raises(DataError, match="label column"):
        workspace.set_data(session, table)
    data = workspace.set_data(session, table, None, "sort")
    assert (data.text_column, data.label_column) == ("words", "sort")


def test_labels_get_names_and_the_pool_goes_stale(workspace: Workspace, session: Session, table: Table) -> None:
    encoded(workspace, session)
    assert session.data is not None
    assert label_rows(session.data) == [["fire", "fire"], ["stone", "stone"], ["water", "water"]]
    data = workspace.set_data(session, table, "text", "label", names={"fire": "heat", "water": "stone"})
    assert data.pool.labels == ("heat", "stone")
    assert label_rows(data) == [["fire", "heat"], ["stone", "stone"], ["water", "stone"]]
    assert "the data" in pool_state(workspace, session).changed[0]
    again = workspace.set_data(session, table, "text", "label")
    assert again.pool.labels == ("fire", "stone", "water")


def test_the_pool_used_least_recently_makes_room(model: LanguageModel, table: Table) -> None:
    one = 2000 * model.shape.bytes_per_token
    workspace = Workspace(load=lambda source: model, budget_bytes=one)
    sessions = []
    for seed in range(2):
        session = workspace.session(None)
        workspace.set_data(session, table)
        session.settings = EncodeSettings(pool_tokens=1500, block_size=4, seed=seed)
        sessions.append(encoded(workspace, session))
    first, second = sessions
    assert first.encoded is None
    assert first.evicted
    assert second.encoded is not None
    with pytest.raises(DataError, match="dropped to make room"):
        classify_text(workspace, first, "hello", wait=True)
    workspace.budget_bytes, second.encoded = 10, None
    with pytest.raises(CapacityError, match="choose fewer pool tokens"):
        begin_encoding(workspace, second)
    workspace.jobs.close()


def test_a_restricted_server_loads_only_what_is_allowed(model: LanguageModel) -> None:
    workspace = Workspace(allowed_models=["org/other"], load=lambda source: model)
    assert workspace.check_source("SmolLM2-135M-Instruct") == EMBEDDED
    assert workspace.check_source(" org/other ") == "org/other"
    with pytest.raises(ModelError, match="--allow-model"):
        workspace.load_model_job(workspace.session(None), "/etc")
    with pytest.raises(ModelError, match="--allow-model"):
        workspace.check_source("org/other@nf4")


def test_the_embedded_models_name_stands_for_it_with_any_weights(model: LanguageModel) -> None:
    workspace = Workspace(load=lambda source: model)
    assert workspace.check_source("SmolLM2-135M-Instruct@nf4") == f"{EMBEDDED}@nf4"


def test_a_model_that_fails_to_load_leaves_the_session_alone(table: Table, model: LanguageModel) -> None:
    def load(source: str) -> LanguageModel:
        if source != EMBEDDED:
            raise ModelError(f"There is no model {source}.")
        return model

    workspace = Workspace(load=load)
    session = workspace.session(None)
    workspace.set_data(session, table)
    job = workspace.load_model_job(session, "org/missing")
    assert job.wait(SOON)
    assert (job.state, job.message) == ("failed", "There is no model org/missing.")
    assert session.model_source == EMBEDDED
    workspace.jobs.close()


def test_a_model_that_never_comes_holds_nobody_up(table: Table, model: LanguageModel) -> None:
    release = threading.Event()

    def load(source: str) -> LanguageModel:
        if source == "org/mistyped":
            assert release.wait(SOON)
            raise ModelError("There is none.")
        return model

    workspace = Workspace(load=load)
    mine, other = workspace.session(None), workspace.session(None)
    for session in (mine, other):
        workspace.set_data(session, table)
        session.settings = EncodeSettings(pool_tokens=1500, block_size=4)
    stuck = workspace.load_model_job(mine, "org/mistyped")
    encoded(workspace, other)
    assert classify_text(workspace, other, "about water").prediction.label
    assert classify_text(workspace, mine, "about water").prediction.label, "the model before it answers"
    waiting = workspace.load_model_job(other, "org/other")
    assert workspace.jobs.ahead(waiting) == 1
    assert workspace.stop(mine, "model")
    assert stuck.wait(SOON)
    assert waiting.wait(SOON)
    assert (stuck.state, waiting.state) == ("stopped", "done")
    assert (mine.model_source, other.model_source) == (EMBEDDED, "org/other")
    release.set()
    workspace.jobs.close()


def test_a_model_that_comes_after_all_is_dropped(model: LanguageModel) -> None:
    release, loaded = threading.Event(), threading.Event()

    def load(source: str) -> LanguageModel:
        assert release.wait(SOON)
        loaded.set()
        return model

    workspace = Workspace(load=load)
    session = workspace.session(None)
    job = workspace.load_model_job(session, "org/slow")
    while job.state != "running":
        pass
    assert workspace.stop(session, "model")
    assert job.wait(SOON)
    release.set()
    assert loaded.wait(SOON)
    again = workspace.load_model_job(session, EMBEDDED)
    assert again.wait(SOON)
    assert workspace.loaded("org/slow") is None
    assert session.model_source == EMBEDDED
    workspace.jobs.close()


def test_a_forward_can_be_stopped_in_the_middle(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    assert session.encoded is not None
    calls = iter([False, False, True])
    method = make_method("retrieval_icl").fit(session.encoded.setup)
    with interruptible(lambda: next(calls)), pytest.raises(Cancelled):
        method.predict("text about water")
    assert method.predict("text about water").label


def test_the_example_is_kept_on_disk(model: LanguageModel, tmp_path: Path) -> None:
    train = write_csv(tmp_path / "train.csv", ROWS)
    made = []
    for _ in range(2):
        workspace = Workspace(load=lambda source: model)
        example = Example(workspace, file=train, cache=tmp_path / "cache", tokens=1200)
        workspace.example = example
        job = example.start()
        assert job.wait(SOON)
        assert (job.state, job.message) == ("done", "")
        session = workspace.session(None)
        made.append((job.progress, classify_text(workspace, session, "about water", compare=False).prediction.label))
        assert pool_state(workspace, session).changed == ()
        workspace.jobs.close()
    assert made[0][0] is not None
    assert made[1][0] is None, "the second start encodes nothing"
    assert made[0][1] == made[1][1]


def test_settings_are_all_taken_or_none(session: Session) -> None:
    from app.tabs.controls import apply_controls

    before = (session.settings, session.query_settings, session.template)
    rest = ("bm25", "hybrid", "words", 2, "pool", "sequential", "exclude", "int8", 42, "Text:", "Label:")
    for values in [(0, 2, True, 0.3, 8), (5, 2, True, 0, 8), (5, None, True, 0.3, 8), (5, -1, True, 0.3, 8)]:
        with pytest.raises(SettingsError):
            apply_controls(session, *values, *rest)
        assert (session.settings, session.query_settings, session.template) == before
    apply_controls(session, None, 1, False, 0.5, 0, *rest)
    assert session.settings == replace(before[0], block_size=None, window=1, sink_blocks=0, pool_precision="int8")
    assert session.query_settings == QuerySettings(
        ratio=0.5, fresh_demonstrations=0, row_retriever="hybrid", votes="words", vote_weight=2
    )


def test_a_pool_is_kept_as_int8_where_that_is_chosen(workspace: Workspace, session: Session) -> None:
    """Step by step as any, and answered from."""
    pools = []
    for settings in (session.settings, replace(session.settings, pool_precision="int8")):
        session.settings = settings
        encoded(workspace, session)
        assert session.encoded is not None
        pools.append(session.encoded.pool)
    whole, small = pools
    assert (whole.int8, small.int8) == (False, True)
    assert small.tokens == whole.tokens
    assert small.num_bytes < 0.6 * whole.num_bytes
    assert classify_text(workspace, session, "what about int8").prediction.label


def test_presets_and_the_slider_agree_with_the_plan(workspace: Workspace, session: Session) -> None:
    from app.tabs.controls import budget_range
    from app.tabs.encode import preset_of

    for name, found in SETTING_PRESETS.items():
        session.settings, session.query_settings = found.encode, found.query
        found, plan = budget_range(workspace, session), workspace.plan(session)
        assert found is not None
        least, most, value = found
        assert preset_of(session) == name
        assert least <= plan.tokens <= value <= most
        session.settings = replace(session.settings, pool_tokens=most)
        assert not any("were asked for" in note for note in workspace.plan(session).notes)


def test_a_press_before_the_model_is_there_encodes_once_it_is(model: LanguageModel, table: Table) -> None:
    """Nobody waits for the model but the job."""
    release = threading.Event()

    def load(source: str) -> LanguageModel:
        assert release.wait(SOON)
        return model

    workspace = Workspace(load=load)
    session = workspace.session(None)
    workspace.set_data(session, table)
    session.settings = EncodeSettings(pool_tokens=1500, block_size=4)
    assert use_words(workspace, session) == "Use these 36 rows: encode some of them and ask"
    use_data(workspace, session)
    job = workspace.job(session, "encode")
    assert job is not None
    assert use_words(workspace, session) == "Ask about these 36 rows"
    use_data(workspace, session)
    assert workspace.job(session, "encode") is job, "pressed twice"
    release.set()
    assert job.wait(SOON)
    assert (job.state, job.message) == ("done", "")
    assert session.encoded is not None
    assert session.encoded.settings == session.settings
    use_data(workspace, session)
    assert workspace.job(session, "encode") is job, "it is encoded"
    session.settings = EncodeSettings(pool_tokens=1500, block_size=3)
    rows = len(workspace.plan(session).rows)
    assert use_words(workspace, session) == f"Use these 36 rows: encode {rows} now (about 1 s) and ask"
    use_data(workspace, session)
    again = workspace.job(session, "encode")
    assert again is not job
    assert again is not None
    assert again.wait(SOON)
    workspace.jobs.close()


def test_what_cannot_be_encoded_is_said_when_it_is_pressed(workspace: Workspace, session: Session) -> None:
    session.settings = EncodeSettings(pool_tokens=3)
    assert use_words(workspace, session) == "Use these 36 rows and ask"
    with pytest.raises(CapacityError, match="Not one row fits"):
        use_data(workspace, session)
    assert use_words(workspace, workspace.session(None)) == ""


def test_the_folder_for_files_goes_with_the_workspace(model: LanguageModel) -> None:
    workspace = Workspace(load=lambda source: model)
    folder = workspace.folder
    (folder / "file.csv").write_text("a", encoding="utf-8")
    workspace.jobs.close()
    del workspace
    gc.collect()
    assert not folder.exists()
