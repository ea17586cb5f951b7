"""Encoding a session's data: what stands, what would be encoded, and which pool answers afterwards.

Knows nothing about screens. A pool that answers gives way to one that is complete, or to a part that the user chose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import dbsa_core as dbsa
from app.server.answered import Encoded
from app.server.data import Data
from app.server.fitted import kept_bytes
from app.server.jobs import Job
from app.server.session import Session, changed_settings
from app.server.workspace import Workspace
from dbsa_core.errors import CapacityError, DataError, DBSAError
from dbsa_core.stage1.progress import Progress

if TYPE_CHECKING:
    from dbsa_core import EncodedPool, Task
    from dbsa_core.planning import EncodingPlan
    from dbsa_core.settings import EncodeSettings

QUERYABLE_TOKENS = 1_000
"""From here on, blocks of a first encoding are read while the others are made: less finds next to nothing to read."""


@dataclass(frozen=True, eq=False)
class PoolState:
    """Where a session's pool stands: the one place from which every part of the page takes it."""

    encoded: Encoded | None
    """What queries read, unless the data are others by now."""
    changed: tuple[str, ...] = ()
    """How data, model and settings differ from those of `encoded`, in words."""
    of_other_data: bool = False
    """Whether `encoded` cannot answer, for it was made of other data."""
    job: Job | None = None
    """The last encoding, under way or ended."""
    part: Encoded | None = None
    """What a stopped encoding had done, beside the pool that was there before it."""
    left: int = 0
    """Blocks that Encode would add to those of a stopped encoding; 0 where it would begin anew."""
    evicted: bool = False
    """Whether the pool was dropped to make room for others."""

    @property
    def active(self) -> bool:
        """Whether blocks are being made, or wait for their turn."""
        return self.job is not None and self.job.active

    @property
    def progress(self) -> Progress | None:
        found = self.job.progress if self.job is not None else None
        return found if isinstance(found, Progress) else None

    @property
    def kind(self) -> Literal["none", "encoding", "changed", "partial", "ready"]:
        if self.active:
            return "encoding"
        if self.encoded is None:
            return "none"
        if self.changed:
            return "changed"
        return "ready" if self.encoded.pool.complete else "partial"

    @property
    def failure(self) -> str:
        """Why the last encoding failed; "" where it did not."""
        return self.job.message if self.job is not None and self.job.state == "failed" else ""


def pool_state(workspace: Workspace, session: Session) -> PoolState:
    """Where the session's pool stands now."""
    encoded, job = workspace.current(session), workspace.encoding(session)
    other = encoded is not None and session.data is not None and not session.has_data(encoded.data.pool)
    state = PoolState(encoded, _changed(workspace, session, encoded), other, job, evicted=session.evicted)
    return state if state.active else replace(state, part=session.part, left=_left(workspace, session))


def _changed(workspace: Workspace, session: Session, encoded: Encoded | None) -> tuple[str, ...]:
    if encoded is None or session.data is None:
        return ()
    reasons = []
    if not session.has_data(encoded.data.pool):
        reasons.append(f"the data (encoded: {encoded.data.name}; now: {session.data.name})")
    model = workspace.loaded(session.model_source)
    if model is not encoded.setup.task.model:
        reasons.append(f"the model (encoded by {encoded.setup.task.model.name})")
    if session.template != encoded.template:
        reasons.append("the words around texts and labels")
    if reasons or session.settings == encoded.settings:
        return tuple(reasons)
    try:
        now = workspace.plan(session)
    except DBSAError:
        return ("the settings",)
    return tuple(changed_settings(encoded.setup.plan, now, encoded.settings, session.settings))


def _left(workspace: Workspace, session: Session) -> int:
    """Blocks that Encode would add to a stopped encoding's."""
    pools = [found for found in (session.part, session.encoded) if found is not None and not found.pool.complete]
    if not pools or session.data is None or workspace.loaded(session.model_source) is None:
        return 0
    try:
        begun = _begun(session, workspace.task(session), workspace.plan(session))
    except DBSAError:
        return 0
    return begun.pool.blocks_planned - len(begun.pool.blocks) if begun is not None else 0


def _begun(session: Session, task: Task, made: EncodingPlan) -> Encoded | None:
    """A stopped encoding of exactly that plan."""
    pools = (found for found in (session.part, session.encoded) if found is not None and not found.pool.complete)
    return next((found for found in pools if _carries_out(found, task, made)), None)


def _carries_out(found: Encoded, task: Task, made: EncodingPlan) -> bool:
    its, plan = found.setup.task, found.setup.plan
    same_words = (its.pool.fingerprint, its.template) == (task.pool.fingerprint, task.template)
    return its.model is task.model and same_words and plan.encodes_as(made)


def _shared(workspace: Workspace, task: Task, made: EncodingPlan) -> EncodedPool | None:
    """A complete pool of exactly that plan which the server holds already, for another page or as the example's."""
    example = workspace.example.encoded if workspace.example is not None else None
    held = (example, *(session.encoded for session in reversed(workspace.sessions())))
    pools = (found for found in held if found is not None and found.settled and found.pool.complete)
    return next((found.pool for found in pools if _carries_out(found, task, made)), None)


def encoded_already(workspace: Workspace, session: Session) -> bool:
    """Whether the server holds what Encode would make, so that nothing has to be computed."""
    return _shared(workspace, workspace.task(session), workspace.plan(session)) is not None


def begin_encoding(workspace: Workspace, session: Session) -> Job:
    """Encode after the session's plan; where that was stopped before, only the blocks that are left.

    Where the model is on its way, data and settings are taken as they are once it is there. A pool that was there
    before answers queries until the new one is complete; a first one is read as it grows. Raises `DataError` where
    there is nothing to encode, and `CapacityError` for a pool larger than this server keeps. What the server holds
    already of the same rows, model and plan is shared.
    """
    waits = session.data is not None and workspace.loaded(session.model_source) is None
    if not waits and pool_state(workspace, session).kind == "ready":
        raise DataError("Nothing has changed since these blocks were encoded, so there is nothing to encode.")
    prepared = None if waits else _prepared(workspace, session)

    def work(job: Job) -> EncodedPool:
        workspace.model(session.model_source)
        from app.server.steps import encode_in_steps  # with the model, and not before it: it loads PyTorch

        task, made, data, settings = prepared or _prepared(workspace, session)
        begun = _begun(session, task, made)
        grows = workspace.current(session) in (None, begun)

        def publish(pool: EncodedPool, last: bool) -> None:
            if not last and (not grows or pool.tokens < QUERYABLE_TOKENS):
                return
            found = Encoded(dbsa.Setup(task, made, pool), data, settings, settled=last or begun is not None)
            if grows or pool.complete:
                put_in_force(session, found)
            else:
                session.part = found
            make_room(workspace, session)
            workspace.announce()

        if (there := _shared(workspace, task, made)) is not None:
            job.report(there.progress(made.tokens))
            publish(there, True)
            return there
        return encode_in_steps(
            task,
            made,
            begun=begun.pool if begun is not None else None,
            publish=publish,
            report=job.report,
            cancelled=job.cancelled,
            give_way=workspace.turnstile.give_way,
        )

    return workspace.submit(session, "encode", work)


def use_part(workspace: Workspace, session: Session) -> None:
    """Have queries read what a stopped encoding had done, instead of the pool before it."""
    with session.lock:
        if session.part is None:
            raise DataError("There are no new blocks to use.")
        put_in_force(session, session.part)
    workspace.announce()


def drop_part(workspace: Workspace, session: Session) -> None:
    """Keep the pool that queries read, and forget what a stopped encoding had done."""
    session.part = None
    workspace.announce()


def put_in_force(session: Session, found: Encoded) -> None:
    """Have the session's queries read that."""
    with session.lock:
        session.encoded, session.part = found, None
        session._methods, session.evicted = {}, False
        session.settled, session._lessons, session._drawn = None, None, None


def _prepared(workspace: Workspace, session: Session) -> tuple[Task, EncodingPlan, Data, EncodeSettings]:
    """What is to be encoded now; `CapacityError` where this server does not keep pools of that size."""
    with session.lock:
        task, made, data, settings = workspace.task(session), workspace.plan(session), session.data, session.settings
    assert data is not None
    if made.num_bytes > workspace.budget_bytes:
        raise CapacityError(
            f"The plan needs {made.num_bytes / 1e6:,.0f} MB, and this server keeps at most "
            f"{workspace.budget_bytes / 1e6:,.0f} MB of encoded pools; choose fewer pool tokens."
        )
    return task, made, data, settings


def make_room(workspace: Workspace, keep: Session) -> None:
    """Drop the encoded pools of the sessions that were used least recently, until the budget holds."""
    held = [session for session in workspace.sessions() if _pools(session)]
    for session in [session for session in held if session is not keep]:
        if held_bytes(held) <= workspace.budget_bytes:
            break
        held.remove(session)
        with session.lock:
            answer = session.answer
            session.encoded, session.part, session.answer, session._methods = None, None, None, {}
            session.settled, session._lessons, session._drawn = None, None, None
            session.evicted = True
            if answer is not None and not session.viewing:
                session.look_at(answer.id)  # its page goes on showing it


def check_room(workspace: Workspace, session: Session, needed: int, who: str, todo: str) -> None:
    """`CapacityError` where so many bytes do not fit beside the session's pools: who keeps them, and what to do."""
    if needed and needed + held_bytes([session]) > workspace.budget_bytes:
        raise CapacityError(
            f"{who} keeps {needed / 1e6:,.0f} MB of its own, which is more than this server has left of "
            f"{workspace.budget_bytes / 1e6:,.0f} MB; {todo}."
        )


def held_bytes(sessions: Sequence[Session]) -> int:
    """Of their pools; those that go on from one another, or are of several sessions, share their memory."""
    pools = [pool for session in sessions for pool in _pools(session)]
    return sum({id(pool.store): pool.num_bytes for pool in pools}.values()) + sum(map(kept_bytes, sessions))


def _pools(session: Session) -> list[EncodedPool]:
    """All that the session has had encoded."""
    found = [found.setup for found in (session.encoded, session.part, session.settled) if found is not None]
    return [setup.encoded_pool() for setup in found]
