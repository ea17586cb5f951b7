"""What went wrong stands until it is mended or dismissed."""

from __future__ import annotations

from app.server.jobs import Job
from app.server.session import Session
from app.server.troubles import FILE, MODEL, SETTINGS, dismiss, messages, note
from app.server.workspace import Workspace
from dbsa_core.errors import CapacityError
from tests.app.server.pools import SOON


def test_one_message_a_cause_and_the_newest_last(workspace: Workspace, session: Session) -> None:
    note(session, FILE, "It is empty.")
    note(session, SETTINGS, "Too small.")
    note(session, FILE, "It has no labels.")
    assert messages(workspace, session) == ["Too small.", "It has no labels."]
    note(session, SETTINGS, "")
    assert messages(workspace, session) == ["It has no labels."]
    dismiss(session)
    assert messages(workspace, session) == []


def test_a_job_that_failed_is_told_once(workspace: Workspace, session: Session) -> None:
    def fail(job: Job) -> None:
        raise CapacityError("Memory is full.")

    def work(job: Job) -> None: ...

    assert workspace.submit(session, "encode", fail).wait(SOON)
    assert messages(workspace, session) == ["Memory is full."]
    dismiss(session)
    assert messages(workspace, session) == [], "it was read"
    assert workspace.submit(session, "encode", fail).wait(SOON)
    assert messages(workspace, session) == ["Memory is full."], "and this is another"
    assert workspace.submit(session, "model", work).wait(SOON)
    note(session, MODEL, "")
    assert messages(workspace, session) == ["Memory is full."]


def test_what_is_only_compared_is_told_where_it_would_stand(workspace: Workspace, session: Session) -> None:
    def fail(job: Job) -> None:
        raise CapacityError("Memory is full.")

    assert workspace.submit(session, "compare", fail).wait(SOON)
    assert messages(workspace, session) == []
