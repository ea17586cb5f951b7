"""Jobs: their states, who may see them, stopping, and people before background work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from app.server.jobs import Job, JobRegistry, Lane, Turnstile
from dbsa_core.errors import Cancelled, CapacityError, DataError

SOON = 10.0


@pytest.fixture
def registry() -> Iterator[JobRegistry]:
    registry = JobRegistry(max_waiting=3)
    yield registry
    registry.close()


def ended(job: Job) -> Job:
    assert job.wait(SOON)
    return job


def test_a_job_reports_and_returns(registry: JobRegistry) -> None:
    def work(job: Job) -> str:
        job.report(0.5)
        return "result"

    job = ended(registry.submit("me", "encode", work))
    assert (job.state, job.progress, job.result, job.active) == ("done", 0.5, "result", False)


def test_only_its_owner_sees_or_stops_a_job(registry: JobRegistry) -> None:
    release = threading.Event()
    job = registry.submit("me", "encode", lambda job: release.wait(SOON))
    assert registry.get("you", job.id) is None
    assert registry.cancel("you", job.id) is False
    assert not job.cancelled()
    assert registry.get("me", job.id) is job
    release.set()
    ended(job)


def test_jobs_run_one_after_the_other_in_order(registry: JobRegistry) -> None:
    release, order = threading.Event(), []
    started = threading.Event()
    first = registry.submit("me", "a", lambda job: (started.set(), release.wait(SOON), order.append("first")))
    assert started.wait(SOON)
    second = registry.submit("me", "b", lambda job: order.append("second"))
    third = registry.submit("you", "c", lambda job: order.append("third"))
    assert second.state == "queued"
    assert registry.ahead(third) == 2
    assert registry.owners() == {"me", "you"}
    release.set()
    ended(third)
    assert first.state == "done"
    assert order == ["first", "second", "third"]
    assert registry.owners() == frozenset()


def test_a_stopped_job_keeps_what_it_returned(registry: JobRegistry) -> None:
    started = threading.Event()

    def work(job: Job) -> str:
        started.set()
        assert job._cancel.wait(SOON)
        return "a part"

    job = registry.submit("me", "encode", work)
    assert started.wait(SOON)
    assert registry.cancel("me", job.id) is True
    assert ended(job).state == "stopped"
    assert job.result == "a part"
    assert registry.cancel("me", job.id) is False


def test_a_queued_job_that_is_stopped_never_starts(registry: JobRegistry) -> None:
    release = threading.Event()
    registry.submit("me", "a", lambda job: release.wait(SOON))
    queued = registry.submit("me", "b", lambda job: pytest.fail("started"))
    queued.cancel()
    assert queued.stopping
    release.set()
    assert ended(queued).state == "stopped"


@pytest.mark.parametrize(("error", "state"), [(DataError("No rows."), "failed"), (Cancelled("Stopped."), "stopped")])
def test_our_errors_keep_their_message(registry: JobRegistry, error: Exception, state: str) -> None:
    def work(job: Job) -> None:
        raise error

    job = ended(registry.submit("me", "a", work))
    assert (job.state, job.message) == (state, str(error))


def test_other_errors_are_logged_and_get_an_id(registry: JobRegistry, caplog: pytest.LogCaptureFixture) -> None:
    def work(job: Job) -> None:
        raise ZeroDivisionError("secret detail")

    with caplog.at_level(logging.ERROR):
        job = ended(registry.submit("me", "a", work))
    fault = job.message.split("(id ")[1].split(")")[0]
    assert "secret" not in job.message
    assert "nothing that was computed is lost" in job.message
    assert any(fault in record.getMessage() for record in caplog.records)
    assert ended(registry.submit("me", "b", lambda job: 1)).state == "done", "the worker lives on"


def test_a_full_queue_is_refused_with_a_message(registry: JobRegistry) -> None:
    release, started = threading.Event(), threading.Event()
    registry.submit("me", "a", lambda job: (started.set(), release.wait(SOON)))
    assert started.wait(SOON)
    for _ in range(3):
        registry.submit("me", "a", lambda job: None)
    with pytest.raises(CapacityError, match="3 jobs are waiting already"):
        registry.submit("me", "a", lambda job: None)
    release.set()


def test_old_jobs_are_forgotten() -> None:
    registry = JobRegistry(kept_seconds=-1)
    old = ended(registry.submit("me", "a", lambda job: 1))
    new = ended(registry.submit("me", "a", lambda job: 2))
    assert registry.get("me", old.id) is None
    assert registry.get("me", new.id) is new
    registry.close()


def test_closing_stops_what_runs() -> None:
    registry = JobRegistry()
    job = registry.submit("me", "a", lambda job: job._cancel.wait(SOON))
    registry.close()
    assert job.state == "stopped"


def test_lanes_do_not_wait_for_each_other(registry: JobRegistry) -> None:
    release, started = threading.Event(), threading.Event()
    slow = registry.submit("me", "a", lambda job: (started.set(), release.wait(SOON)), Lane("slow"))
    assert started.wait(SOON)
    behind = registry.submit("me", "a", lambda job: 1, Lane("slow"))
    assert ended(registry.submit("me", "b", lambda job: 1, Lane("quick"))).state == "done"
    assert slow.state == "running"
    assert registry.ahead(behind) == 1
    assert registry.active(Lane("slow")) == [slow, behind]
    release.set()
    ended(behind)


def test_a_wide_lane_runs_several_at_once(registry: JobRegistry) -> None:
    wide, both = Lane("wide", workers=2), threading.Barrier(2)
    jobs = [registry.submit("me", "a", lambda job: both.wait(SOON), wide) for _ in range(2)]
    for job in jobs:
        assert ended(job).state == "done"
    third = registry.submit("me", "a", lambda job: 3, wide)
    assert ended(third).result == 3


def test_what_cannot_be_stopped_is_left_alone_and_its_result_is_not_heard(registry: JobRegistry) -> None:
    lane, release, over = Lane("loads", abandons=True), threading.Event(), threading.Event()

    def stuck(job: Job) -> str:
        assert release.wait(SOON)
        over.set()
        return "too late"

    job = registry.submit("me", "model", stuck, lane)
    after = registry.submit("me", "model", lambda job: "next", lane)
    while job.state != "running":
        pass
    job.cancel()
    assert ended(job).state == "stopped"
    assert ended(after).result == "next"
    release.set()
    assert over.wait(SOON)
    assert (job.state, job.result) == ("stopped", None)


def test_background_work_waits_for_people() -> None:
    turnstile, passed = Turnstile(), threading.Event()
    worker = threading.Thread(target=lambda: (turnstile.give_way(), passed.set()))
    with turnstile.person(), turnstile.person():
        worker.start()
        assert not passed.wait(0.05)
    assert passed.wait(SOON)
    worker.join()
