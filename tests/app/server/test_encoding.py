"""Encoding: a pool is never lost to one that is not complete, and a stopped one goes on where it stopped."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from app.server.asking import classify_text
from app.server.encoding import begin_encoding, drop_part, encoded_already, held_bytes, pool_state, use_part
from app.server.example import Example
from app.server.lanes import LANES
from app.server.session import Session
from app.server.workspace import Workspace
from app.tabs.header import header_view
from app.tabs.live import render_live
from app.tabs.offer import use_words
from dbsa_core import EncodedPool, EncodeSettings, encode
from dbsa_core.errors import CapacityError, DataError
from dbsa_core.files.tables import Table, read_table
from tests.app.pages import text_of
from tests.app.server.pools import ROWS, SOON, encoded, stopped_early, write_csv
from tests.stage1.test_running_out import Device


@pytest.fixture
def interrupted(workspace: Workspace, session: Session) -> Session:
    """A complete pool, and the beginning of another one with a smaller window."""
    encoded(workspace, session)
    session.settings = replace(session.settings, window=1)
    assert stopped_early(workspace, session).state == "stopped"
    return session


def check_equal(one: EncodedPool, other: EncodedPool) -> None:
    assert one.complete
    assert one.blocks == other.blocks
    for block in other.blocks:
        assert one.store.get(block.id).keys.sub(other.store.get(block.id).keys).abs().max() < 1e-4


def test_a_stopped_encoding_leaves_the_pool_before_it_in_force(workspace: Workspace, interrupted: Session) -> None:
    state = pool_state(workspace, interrupted)
    assert state.encoded is not None
    assert state.encoded.pool.complete
    assert state.kind == "changed"
    assert state.changed == ("the window (2 to 1)",)
    assert state.part is not None
    done = len(state.part.pool.blocks)
    assert 0 < done < state.part.pool.blocks_planned
    assert state.left == state.part.pool.blocks_planned - done
    assert classify_text(workspace, interrupted, "about water").setup.encoded is state.encoded.pool


def test_the_part_is_used_where_the_user_says_so(workspace: Workspace, interrupted: Session) -> None:
    part = interrupted.part
    assert part is not None
    use_part(workspace, interrupted)
    state = pool_state(workspace, interrupted)
    assert (state.kind, state.encoded, state.part) == ("partial", part, None)
    assert classify_text(workspace, interrupted, "about water").setup.encoded is part.pool
    with pytest.raises(DataError, match="no new blocks"):
        use_part(workspace, interrupted)


def test_the_old_pool_is_kept_where_the_user_says_so(workspace: Workspace, interrupted: Session) -> None:
    before = interrupted.encoded
    drop_part(workspace, interrupted)
    state = pool_state(workspace, interrupted)
    assert (state.kind, state.encoded, state.part, state.left) == ("changed", before, None, 0)


@pytest.mark.parametrize("beside_another", [False, True])
def test_encode_after_stop_makes_the_blocks_that_are_left(
    workspace: Workspace, session: Session, beside_another: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if beside_another:
        encoded(workspace, session)
        session.settings = replace(session.settings, window=1)
    stopped_early(workspace, session)
    left = pool_state(workspace, session).left
    assert left
    assert use_words(workspace, session) == f"Continue ({left} blocks left)"
    made: list[int] = []
    from app.server import steps

    def counted(*arguments: object) -> EncodedPool:
        made.append(len(arguments[3]))  # type: ignore[arg-type]
        return real(*arguments)  # type: ignore[arg-type]

    real = steps._encode_step
    monkeypatch.setattr(steps, "_encode_step", counted)
    job = begin_encoding(workspace, session)
    assert job.wait(SOON)
    assert (job.state, sum(made)) == ("done", left)
    assert session.encoded is not None
    assert session.part is None
    check_equal(session.encoded.pool, encode(workspace.task(session), workspace.plan(session)))
    assert pool_state(workspace, session).kind == "ready"


def test_while_it_goes_on_what_was_done_before_answers(workspace: Workspace, session: Session) -> None:
    stopped_early(workspace, session)
    before = workspace.ready(session)
    assert before is not None
    seen = []
    workspace.turnstile.give_way = lambda: seen.append(workspace.ready(session))  # type: ignore[method-assign]
    assert begin_encoding(workspace, session).wait(SOON)
    assert seen[0] is before
    assert all(found is not None for found in seen)
    assert session.encoded is not None
    assert session.encoded.pool.complete


def test_a_part_of_other_settings_is_not_gone_on_from(workspace: Workspace, session: Session) -> None:
    stopped_early(workspace, session)
    session.settings = replace(session.settings, window=0)
    state = pool_state(workspace, session)
    assert (state.kind, state.left) == ("changed", 0)
    encoded(workspace, session)
    assert session.encoded is not None
    check_equal(session.encoded.pool, encode(workspace.task(session), workspace.plan(session)))


def test_settings_changed_in_the_queue_do_not_matter_to_what_waits_there(
    workspace: Workspace, session: Session
) -> None:
    stopped_early(workspace, session)
    release = threading.Event()
    workspace.jobs.submit("somebody", "encode", lambda job: release.wait(SOON), LANES["encode"])
    plan, job = workspace.plan(session), begin_encoding(workspace, session)
    session.settings = replace(session.settings, window=0)
    release.set()
    assert job.wait(SOON)
    assert session.encoded is not None
    check_equal(session.encoded.pool, encode(workspace.task(session), plan))
    assert pool_state(workspace, session).changed == ("the window (2 to 0)",)


def test_an_error_keeps_what_was_done(workspace: Workspace, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.server import steps

    real, calls = steps._encode_step, []

    def full(*arguments: object) -> EncodedPool:
        calls.append(1)
        if len(calls) == 2:
            raise CapacityError("Memory is full.")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(steps, "_encode_step", full)
    job = begin_encoding(workspace, session)
    assert job.wait(SOON)
    assert (job.state, job.message) == ("failed", "Memory is full.")
    state = pool_state(workspace, session)
    assert (state.kind, state.failure) == ("partial", "Memory is full.")
    assert state.left
    shown = text_of(render_live(workspace, session)[2])
    assert "Memory is full." in shown
    assert "Queries read what is done." in shown


def test_memory_that_runs_out_within_a_step_keeps_what_was_done_in_it(
    workspace: Workspace, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        Device(patch, before=3)
        job = begin_encoding(workspace, session)
        assert job.wait(SOON)
    state = pool_state(workspace, session)
    assert state.encoded is not None
    assert (job.state, state.kind, len(state.encoded.pool.blocks)) == ("failed", "partial", 3)
    said = f"ran out at block 4; the {state.encoded.pool.tokens} tokens before it are kept. Choose"
    assert said in state.failure
    assert said in text_of(render_live(workspace, session)[2])
    job = begin_encoding(workspace, session)
    assert job.wait(SOON)
    assert (job.state, pool_state(workspace, session).kind) == ("done", "ready")


def test_with_nothing_changed_there_is_nothing_to_encode(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    with pytest.raises(DataError, match="Nothing has changed"):
        begin_encoding(workspace, session)
    button, _, progress, *_ = render_live(workspace, session)
    assert not button.interactive
    assert "nothing to encode" in progress
    session.settings = replace(session.settings, window=1)
    assert render_live(workspace, session)[0].interactive


def test_a_pool_of_other_data_is_kept_until_theirs_is_complete(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    encoded(workspace, session)
    first, table = session.encoded, session.table
    workspace.set_data(session, read_table(write_csv(tmp_path / "other.csv", ROWS[::-1])))
    session.settings = replace(session.settings, block_size=3)
    state = pool_state(workspace, session)
    assert state.of_other_data
    assert "nothing encoded" in header_view(workspace, session)
    assert "The pool of train.csv is kept" in text_of(render_live(workspace, session)[2])
    stopped_early(workspace, session)
    assert session.encoded is first
    assert session.part is not None
    assert workspace.ready(session) is None
    use_part(workspace, session)
    assert workspace.ready(session) is session.encoded
    assert table is None


def test_a_look_at_the_example_loses_nothing(workspace: Workspace, session: Session, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "example.csv", ROWS[::-1])
    workspace.example = Example(workspace, file=file, cache=tmp_path / "cache", tokens=1200)
    assert workspace.example.start().wait(SOON)
    encoded(workspace, session)
    mine, table = session.encoded, session.data.table if session.data else None
    assert table is not None
    workspace.use_example(session)
    state = pool_state(workspace, session)
    assert (state.kind, state.encoded) == ("ready", workspace.example.encoded)
    workspace.set_data(session, table)
    session.settings = EncodeSettings(pool_tokens=1500, block_size=4)
    state = pool_state(workspace, session)
    assert (state.kind, state.encoded) == ("ready", mine)


def test_every_view_says_the_same(workspace: Workspace, interrupted: Session) -> None:
    from app.tabs.answer import notice_of

    for act, header, notice in [
        (None, "changed since", "Use the"),
        (drop_part, "changed since", "the window (2 to 1)"),
    ]:
        if act is not None:
            act(workspace, interrupted)
        assert header in text_of(header_view(workspace, interrupted))
        assert notice in text_of(notice_of(workspace, interrupted))
    assert "the window (2 to 1)" in text_of(render_live(workspace, interrupted)[2])


def second_page(workspace: Workspace, session: Session, table: Table) -> Session:
    """Another session with the same file and settings, read anew."""
    other = workspace.session(None)
    workspace.set_data(other, table)
    other.settings = session.settings
    return other


def test_a_pool_is_shared_with_another_page_that_would_make_the_same(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    encoded(workspace, session)
    mine = session.encoded
    assert mine is not None
    other = second_page(workspace, session, read_table(write_csv(tmp_path / "again.csv", ROWS)))
    assert "are encoded already" in use_words(workspace, other)
    workspace.turnstile.give_way = lambda: pytest.fail("nothing is computed")  # type: ignore[method-assign]
    encoded(workspace, other)
    assert other.encoded is not None
    assert other.encoded.pool is mine.pool
    assert other.encoded.data.name == "again.csv"
    assert pool_state(workspace, other).kind == "ready"
    answers = [classify_text(workspace, each, "text about fire", compare=False) for each in (session, other)]
    first, second = (answer.prediction.scores.log_probs.tolist() for answer in answers)
    assert first == second
    assert held_bytes([session, other]) == mine.pool.num_bytes


def test_a_pool_that_is_other_or_unfinished_is_not_shared(workspace: Workspace, session: Session, table: Table) -> None:
    stopped_early(workspace, session)
    assert session.encoded is not None
    assert not session.encoded.pool.complete
    other = second_page(workspace, session, table)
    assert not encoded_already(workspace, other)
    encoded(workspace, session)
    assert encoded_already(workspace, other)
    other.settings = replace(session.settings, window=1)
    assert not encoded_already(workspace, other)
    encoded(workspace, other)
    assert other.encoded is not None
    assert other.encoded.pool.pattern.previous_blocks == 1
