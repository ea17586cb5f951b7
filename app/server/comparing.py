"""Comparing: the last query answered by other methods, one after the other, in the background; and timing them anew.

Knows nothing about Gradio. The answer never waits for any of it, and a newer query ends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.server.answered import Answer
from app.server.encoding import check_room, make_room
from app.server.fitted import fitted_method
from app.server.jobs import Job
from app.server.lanes import LANES
from app.server.session import Session
from app.server.workspace import Workspace
from dbsa_core.errors import Cancelled, DataError, DBSAError
from dbsa_core.interrupt import interruptible

if TYPE_CHECKING:
    from dbsa_core.methods import Method

FIRST = "retrieval_icl"
AT_MOST = 3
"""Methods beside the answer's."""
AT_ONCE_SECONDS = 10.0
"""A comparison of at most this estimate runs by itself, where nobody said otherwise."""
SHOW_FIRST_SECONDS = 0.3
"""How long a comparison leaves the processor to the answer, which is on its way to the screen."""
MORE = 5
"""Runs of each method when they are measured."""


@dataclass(frozen=True)
class Stand:
    """How far a comparison is."""

    running: str = ""
    """Name of the method that is answering."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why a method gives no answer, by name."""


@dataclass(frozen=True)
class Rounds:
    """How far measuring is."""

    done: int
    total: int = MORE


@dataclass(frozen=True)
class Estimate:
    """What an answer of a method would take, in seconds."""

    once: float
    """Before its first answer."""
    each: float
    trains: int = 0
    """Rows that a classifier is trained on before, for a time that is not known; 0 where that is done."""

    @property
    def total(self) -> float:
        return self.once + self.each


def offered(session: Session) -> list[Method]:
    """Every registered method but the answer's, not fitted; the paper's strongest baseline comes first."""
    import dbsa_core as dbsa
    from dbsa_core.methods import METHODS

    answer = session.answer
    in_force = answer.prediction.method if answer is not None else session.method_name()
    settings = answer.settings if answer is not None else session.query_settings
    names = sorted((name for name in METHODS if name != in_force), key=lambda name: name != FIRST)
    return [dbsa.make_method(name, settings) for name in names]


def chosen(session: Session) -> list[Method]:
    """Those to compare with."""
    return [method for method in offered(session) if method.name in session.compared][:AT_MOST]


def choose(workspace: Workspace, session: Session, names: Iterable[str], alone: bool) -> None:
    """Compare with these, by itself after every answer or only when asked; what is missing begins in the first case."""
    known = [method.name for method in offered(session)]
    wanted = [name for name in names if name in known]
    if len(wanted) > AT_MOST:
        raise DataError(f"{len(wanted)} methods were chosen to compare with; at most {AT_MOST} are compared at once.")
    session.compared, session.compares_alone = tuple(wanted), alone
    if workspace.stop(session, "compare") or alone:
        begin_where_missing(workspace, session)


def runs_alone(workspace: Workspace, session: Session) -> bool:
    """Whether a comparison begins by itself: as it was ticked, else where it is a matter of seconds."""
    if session.compares_alone is not None or session.answer is None:
        return session.compares_alone is not False
    answer = session.answer
    return sum(estimate(session, answer, method).total for method in missing(workspace, session)) <= AT_ONCE_SECONDS


def estimate(session: Session, answer: Answer, method: Method) -> Estimate:
    """Of a method over what the answer read, by the fastest speed that is known."""
    cost = method.cost(answer.setup)
    fitted = session._methods.get(method.name)
    there = fitted is not None and fitted[0] == (answer.setup, answer.settings)
    if cost.trains:
        return Estimate(0.0, 0.0, 0 if there else cost.trains)
    once = 0 if there else cost.once
    each = cost.each + answer.query_tokens
    return Estimate(once / answer.tokens_per_second, each / answer.tokens_per_second)


def missing(workspace: Workspace, session: Session) -> list[Method]:
    """Those of the chosen methods that have not answered the last query yet."""
    there = _answered(workspace, session)
    return [method for method in chosen(session) if method.name not in there]


def _answered(workspace: Workspace, session: Session) -> set[str]:
    """Names of the methods that the last answer was compared with."""
    answer = session.answer
    return {other.method for other in workspace.runs.of(answer).compared} if answer is not None else set()


def may_compare(workspace: Workspace, session: Session) -> bool:
    """Whether the last answer has a pool that others can be compared on, and nothing is being encoded."""
    answer = session.answer
    return answer is not None and not answer.provisional and workspace.being_encoded(session) is None


def begin_where_missing(workspace: Workspace, session: Session) -> None:
    """Compare with what is missing, where that may be."""
    if may_compare(workspace, session) and missing(workspace, session):
        compare_with(workspace, session)


def interrupt(workspace: Workspace, session: Session) -> Job | None:
    """Stop comparing until `go_on`; the job that comes to its end."""
    job = workspace.job(session, "compare")
    session.compare_waits = workspace.stop(session, "compare") or session.compare_waits
    return job


def go_on(workspace: Workspace, session: Session) -> None:
    """Begin anew what `interrupt` stopped, if anything."""
    if session.compare_waits:
        session.compare_waits = False
        begin_where_missing(workspace, session)


def give_up(workspace: Workspace, session: Session) -> None:
    """Stop comparing, for good."""
    session.compare_waits = False
    workspace.stop(session, "compare")


def compare_with(workspace: Workspace, session: Session) -> Job:
    """Answer the last query by the chosen methods that have not yet, in the background."""
    answer = session.answer
    if answer is None or answer.provisional:
        raise DataError("There is nothing to compare yet; ask something once a pool is encoded.")
    wanted = missing(workspace, session)

    def work(job: Job) -> Stand:
        refused: dict[str, str] = {}
        job.report(Stand())
        _wait_for_the_machine(workspace, job)
        for method in wanted:
            job.report(Stand(method.name, dict(refused)))
            try:
                _check_room(workspace, session, method, answer)
                with interruptible(job.cancelled):
                    fitted, seconds = fitted_method(session, method.name, answer.setup, answer.settings)
                    found = fitted.predict(answer.prediction.query)
                make_room(workspace, session)
                workspace.runs.compare(answer, found, seconds)
            except Cancelled:
                raise
            except DBSAError as error:
                refused[method.name] = str(error)
        return Stand("", refused)

    return workspace.submit(session, "compare", work, replaces=True)


def measure(workspace: Workspace, session: Session) -> Job:
    """Answer the last query by its method and by those that it is compared with a few times more, in turn, so that
    whatever else the machine does hits all alike; in the background."""
    answer, there = session.answer, _answered(workspace, session)
    if answer is None or not there:
        raise DataError("There is nothing to measure yet; ask something, and compare it.")
    names = [answer.prediction.method, *(method.name for method in chosen(session) if method.name in there)]

    def work(job: Job) -> None:
        job.report(Rounds(0))
        _wait_for_the_machine(workspace, job)
        seconds: dict[str, list[float]] = {name: [] for name in names}
        methods = {name: fitted_method(session, name, answer.setup, answer.settings)[0] for name in names}
        for turn in range(MORE):
            for name, method in methods.items():
                workspace.turnstile.give_way()
                with interruptible(job.cancelled):
                    found = method.predict(answer.prediction.query)
                    if found.cold:
                        found = method.predict(answer.prediction.query)
                seconds[name].append(found.seconds["total"])
            job.report(Rounds(turn + 1))
        workspace.runs.measured(answer, seconds)

    return workspace.submit(session, "measure", work, replaces=True)


def _check_room(workspace: Workspace, session: Session, method: Method, answer: Answer) -> None:
    """`CapacityError` where what a method keeps does not fit beside the session's pools."""
    needed = method.cost(answer.setup).once * answer.setup.task.model.shape.bytes_per_token
    check_room(workspace, session, needed, method.title, "encode fewer pool tokens to compare with it")


def _wait_for_the_machine(workspace: Workspace, job: Job) -> None:
    """Beside an encoding, its steps would count as a method's time."""
    while job.asked_to_stop_within(SHOW_FIRST_SECONDS) or workspace.jobs.active(LANES["encode"]):
        if job.cancelled():
            raise Cancelled("Another query came.")
    workspace.turnstile.give_way()
