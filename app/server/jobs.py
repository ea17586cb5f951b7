"""Long work that outlives a page: jobs, who owns them, and the lanes in which they run.

Knows nothing about models or screens. A page only asks how its jobs are; closing it stops nothing.
"""

from __future__ import annotations

import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from dbsa_core import background
from dbsa_core.errors import Cancelled, CapacityError, DBSAError

log = logging.getLogger(__name__)

State = Literal["queued", "running", "done", "stopped", "failed"]
KEPT_SECONDS = 6 * 3600.0
"""A finished job is forgotten this long after its end."""
MAX_WAITING = 32
"""Jobs that may wait; one more is refused with a message."""


def unexpected(error: BaseException, doing: str) -> str:
    """Log a fault of ours and return what the user is told, with the id under which it stands in the log."""
    fault = secrets.token_hex(3)
    log.error("Fault %s while %s", fault, doing, exc_info=error)
    return f"Something went wrong here (id {fault}); nothing that was computed is lost."


@dataclass(frozen=True)
class Lane:
    """Jobs of one lane wait for each other and for nobody else."""

    name: str
    workers: int = 1
    """How many of its jobs run at once."""
    abandons: bool = False
    """Whether a job that was asked to stop is over at once: its work comes to its end unheard."""


WORK = Lane("work")


@dataclass(eq=False)
class Job:
    """One piece of long work. The worker writes it, anybody may read it."""

    id: str
    owner: str
    kind: str
    lane: Lane = WORK
    state: State = "queued"
    progress: Any = None
    """What the work reported last; a value of the work's own kind."""
    result: Any = None
    message: str = ""
    """Why it failed or stopped, for the user."""
    error: type[DBSAError] = DBSAError
    """Of what kind it failed; not the error itself, whose traceback holds all that the work held."""
    ended: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _cancel: threading.Event = field(default_factory=threading.Event, repr=False)
    _finished: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def active(self) -> bool:
        """Queued or running."""
        return self.state in ("queued", "running")

    @property
    def stopping(self) -> bool:
        """Asked to stop and not yet at its end."""
        return self.active and self._cancel.is_set()

    def cancelled(self) -> bool:
        """Whether it was asked to stop; the work looks here between its steps."""
        return self._cancel.is_set()

    def asked_to_stop_within(self, seconds: float) -> bool:
        """Wait so long, or until it is asked to stop: whether it was."""
        return self._cancel.wait(seconds)

    def cancel(self) -> None:
        self._cancel.set()

    def report(self, progress: Any) -> None:
        self.progress = progress

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it came to its end within `seconds`."""
        return self._finished.wait(seconds)

    def outcome(self) -> Any:
        """Its result, once it is done. Raises the error that it failed with, and `Cancelled` where it was stopped."""
        self.wait()
        if self.state == "stopped":
            raise Cancelled("Stopped.")
        if self.state == "failed":
            raise self.error(self.message)
        return self.result

    def finish(self, state: State, message: str = "", result: Any = None, error: type[DBSAError] = DBSAError) -> None:
        """Come to the end; what comes after the first one is not heard."""
        with self._lock:
            if self._finished.is_set():
                return
            self.message, self.result, self.error, self.ended = message, result, error, time.monotonic()
            self.state = state
            self._finished.set()


Work = Callable[[Job], Any]


class JobRegistry:
    """Jobs by id, run one after the other in each lane.

    Work that sees `job.cancelled()` returns what it has, or raises `Cancelled`.
    """

    def __init__(self, *, kept_seconds: float = KEPT_SECONDS, max_waiting: int = MAX_WAITING):
        self._kept_seconds, self._max_waiting = kept_seconds, max_waiting
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._waiting: dict[Lane, queue.SimpleQueue[tuple[Job, Work] | None]] = {}
        self._workers: dict[Lane, list[threading.Thread]] = {}

    def submit(self, owner: str, kind: str, work: Work, lane: Lane = WORK) -> Job:
        """Queue `work(job)`; what it returns becomes `job.result`. Raises `CapacityError` where too many wait."""
        job = Job(secrets.token_urlsafe(12), owner, kind, lane)
        with self._lock:
            self._forget_old()
            waiting = sum(other.state == "queued" for other in self._jobs.values())
            if waiting >= self._max_waiting:
                raise CapacityError(f"{waiting} jobs are waiting already; try again when some of them are done.")
            self._jobs[job.id] = job
            workers = self._workers.setdefault(lane, [])
            waits = self._waiting.setdefault(lane, queue.SimpleQueue())
            if len(workers) < min(lane.workers, len(self._active(lane))):
                workers.append(background.start(f"dbsa-{lane.name}", lambda: self._run(waits), self._stop))
        waits.put((job, work))
        return job

    def get(self, owner: str, job_id: str) -> Job | None:
        """The job, or None where it is unknown, forgotten, or somebody else's: the three look alike."""
        with self._lock:
            job = self._jobs.get(job_id)
        return job if job is not None and job.owner == owner else None

    def cancel(self, owner: str, job_id: str) -> bool:
        """Ask a job to stop; False where there is none of this owner's that could."""
        job = self.get(owner, job_id)
        if job is None or not job.active:
            return False
        job.cancel()
        return True

    def ahead(self, job: Job) -> int:
        """How many jobs of its lane stand before one that waits; where several run at once, also before one that runs,
        for they share the processor."""
        if not job.active or (job.state == "running" and job.lane.workers == 1):
            return 0
        with self._lock:
            order = self._active(job.lane)
        return order.index(job) if job in order else 0

    def active(self, lane: Lane) -> list[Job]:
        """The jobs of a lane that are queued or running, in their order."""
        with self._lock:
            return self._active(lane)

    def owners(self) -> frozenset[str]:
        """Who has a job that is queued or running."""
        with self._lock:
            return frozenset(job.owner for job in self._jobs.values() if job.active)

    def close(self, seconds: float = 5.0) -> None:
        """Ask every job to stop and wait for the workers' end."""
        self._stop()
        until = time.monotonic() + seconds
        for worker in [worker for workers in self._workers.values() for worker in workers]:
            worker.join(max(0.0, until - time.monotonic()))

    def _active(self, lane: Lane) -> list[Job]:
        return [job for job in self._jobs.values() if job.lane == lane and job.active]

    def _stop(self) -> None:
        with self._lock:
            jobs = list(self._jobs.values())
            waiting = [(waits, len(self._workers[lane])) for lane, waits in self._waiting.items()]
        for job in jobs:
            job.cancel()
        for waits, workers in waiting:
            for _ in range(workers):
                waits.put(None)

    def _forget_old(self) -> None:
        oldest = time.monotonic() - self._kept_seconds
        for job in [job for job in self._jobs.values() if job.ended is not None and job.ended < oldest]:
            del self._jobs[job.id]

    def _run(self, waits: queue.SimpleQueue[tuple[Job, Work] | None]) -> None:
        while (item := waits.get()) is not None:
            (_carry_out_or_abandon if item[0].lane.abandons else _carry_out)(*item)
            # The closure of a finished job may hold a whole encoded pool.
            del item


def _carry_out(job: Job, work: Work) -> None:
    if job.cancelled():
        job.finish("stopped")
        return
    job.state = "running"
    try:
        result = work(job)
    except Cancelled as stop:
        job.finish("stopped", str(stop))
    except DBSAError as error:
        job.finish("failed", str(error), error=type(error))
    except Exception as error:
        job.finish("failed", unexpected(error, f"running a job of kind {job.kind}"))
    else:
        job.finish("stopped" if job.cancelled() else "done", result=result)


def _carry_out_or_abandon(job: Job, work: Work) -> None:
    """Carry it out in a thread of its own, and leave that alone once the job is to stop."""
    background.start(f"dbsa-{job.kind}", lambda: _carry_out(job, work), job.cancel)
    while not job.wait(0.05):
        if job.cancelled():
            job.finish("stopped", "Stopped.")


class Turnstile:
    """Lets people's queries go before background work: the work waits here between its steps."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._people = 0

    @contextmanager
    def person(self) -> Iterator[None]:
        """While somebody waits for an answer."""
        with self._changed:
            self._people += 1
        try:
            yield
        finally:
            with self._changed:
                self._people -= 1
                self._changed.notify_all()

    def give_way(self) -> None:
        """Return once nobody waits."""
        with self._changed:
            self._changed.wait_for(lambda: self._people == 0)
