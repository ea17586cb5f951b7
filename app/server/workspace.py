"""What the server holds for its pages: models, loaded once and shared, and sessions with their data and encoded pools.

Knows nothing about Gradio. A page holds a session's id and nothing else; whoever knows the id owns the session.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

import dbsa_core as dbsa
from app.server.answered import Encoded
from app.server.data import Data
from app.server.exploring import Filter
from app.server.jobs import WORK, Job, JobRegistry, Turnstile
from app.server.lanes import LANES
from app.server.models import EMBEDDED, Models, load_model
from app.server.runs import Runs
from app.server.session import Session
from dbsa_core.errors import Cancelled, CapacityError, DataError
from dbsa_core.files.tables import Table, read_table
from dbsa_core.prompt import PromptTemplate

if TYPE_CHECKING:
    from dbsa_core import LanguageModel, Task
    from dbsa_core.planning import EncodingPlan

log = logging.getLogger(__name__)

MAX_SESSIONS = 200
MEMORY_SHARE = 0.4
"""Of the memory free at the start, the share that encoded pools of all sessions may fill by default."""
_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


class Workspace:
    """Sessions, models and jobs of one server."""

    def __init__(
        self,
        *,
        default_model: str = EMBEDDED,
        allowed_models: Collection[str] | None = None,
        budget_bytes: int | None = None,
        load: Callable[[str], LanguageModel] | None = None,
        pools: Path | None = None,
    ):
        """`allowed_models` None allows any source, else only the default's and these; `load` makes a model of one;
        `pools` is the folder of saved pools, None where none are kept."""
        self.models = Models(default_model, allowed_models, load or load_model)
        self.budget_bytes = budget_bytes or int(MEMORY_SHARE * psutil.virtual_memory().available)
        self.jobs = JobRegistry()
        self.turnstile = Turnstile()
        self.folder = Path(tempfile.mkdtemp(prefix="dbsa-app-"))
        """For files to take away; it goes with the workspace, at the latest when the process ends."""
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.pools = pools
        self.changed = threading.Condition()
        self.runs = Runs()
        self.example: Any = None
        """What `app.example` keeps here for every new session."""
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.RLock()

    # --- models ---

    @property
    def default_model(self) -> str:
        return self.models.default

    @property
    def allowed_models(self) -> tuple[str, ...] | None:
        """None: any."""
        return self.models.allowed

    def check_source(self, source: str) -> str:
        """See `Models.check`."""
        return self.models.check(source)

    def loaded(self, source: str) -> LanguageModel | None:
        """The model if it is there already."""
        return self.models.loaded(source)

    def model(self, source: str) -> LanguageModel:
        """The model of that source, see `Models.get`; one that was not there takes the place of those that no session
        has any more."""
        return self.models.get(source, self._drop_unwanted_models, self.announce)

    def _drop_unwanted_models(self) -> None:
        self.models.keep({session.model_source for session in self.sessions()})

    # --- sessions ---

    def session(self, session_id: str | None) -> Session:
        """The session of that id; an id that is new here (of a page from before a restart) begins a new session."""
        if session_id is None or not _SESSION_ID.fullmatch(session_id):
            session_id = secrets.token_urlsafe(24)
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None:
                self._drop_old_sessions()
                session = self._sessions[session_id] = Session(session_id, self.default_model)
            self._sessions.move_to_end(session_id)
        if session.data is None and self.example is not None:
            session.data, session.settings = self.example.data, self.example.settings
        return session

    def copy_session(self, session_id: str, of: str) -> Session:
        """A new session that begins as another one stands, where that is known: of a page that was duplicated."""
        with self._lock:
            origin = self._sessions.get(of)
            if origin is not None and session_id not in self._sessions and _SESSION_ID.fullmatch(session_id):
                self._drop_old_sessions()
                self._sessions[session_id] = origin.copy(session_id)
        return self.session(session_id)

    def sessions(self) -> list[Session]:
        """All of them, the one used least recently first."""
        with self._lock:
            return list(self._sessions.values())

    def _drop_old_sessions(self) -> None:
        busy = self.jobs.owners()
        idle = [id for id in self._sessions if id not in busy]
        for id in idle[: max(0, len(self._sessions) - MAX_SESSIONS + 1)]:
            gone = self._sessions.pop(id)
            kept = {run.id for session in self._sessions.values() for run in session.evaluations}
            for run in gone.evaluations:
                if run.id not in kept:
                    run.discard()

    def announce(self) -> None:
        """Wake whoever waits for something to become ready."""
        with self.changed:
            self.changed.notify_all()

    # --- data, task and plan ---

    def set_data(
        self,
        session: Session,
        table: Table,
        *columns: str | None,
        names: Mapping[str, str] = {},
        excluded: Collection[int] = (),
    ) -> Data:
        """Make the table the session's data; what was encoded stays usable, and stale, until it is encoded anew.

        `columns`: of the texts and of the labels, guessed where None. `names`: of some or all labels. `excluded`: rows
        to leave out, by their numbers in the file.
        """
        return self.put_data(session, Data.of(table, *columns, names=names, excluded=excluded))

    def put_data(self, session: Session, data: Data) -> Data:
        """Make these the session's data; where they come to what the bundled example is, that itself."""
        own, table = self.example.data if self.example is not None else None, data.table
        if own is not None and data.same_columns(own) and data.pool.fingerprint == own.pool.fingerprint:
            data = own
        with session.lock:
            before, taught = session.data, session.taught
            if before is None or before.table is not table:
                session.settings = replace(session.settings, pool_tokens=None, block_size=None)
                session.filter = Filter()
            session.data = data
            if before is not None and before.same_columns(data):
                session.set_taught(data.named_as(before, taught))
            else:
                session.kept_as = ""
            session.look_at("")
        return data

    def read_file(self, session: Session, path: str, **how: Any) -> None:
        """Read a file by `read_table`'s options, and make it the data; it waits where its columns cannot be guessed."""
        with session.lock:  # a page may ask twice at once
            session.table = read_table(path, **how)
            self.set_data(session, session.table)

    def use_example(self, session: Session) -> None:
        """Go back to the bundled example and its settings; what was encoded is kept for its own data."""
        if self.example is None:
            raise DataError("This server has no bundled example; upload a file.")
        with session.lock:
            session.data, session.settings = self.example.data, self.example.settings
            session.table, session.template, session.kept_as = None, PromptTemplate(), ""
            session.filter = Filter()
            session.look_at("")

    def task(self, session: Session) -> Task:
        """Model and pool, tokenized. Waits for a model that is being loaded."""
        if session.data is None:
            raise DataError("There are no data yet; upload a file on the Data tab, or use the bundled example.")
        model = self.model(session.model_source)
        key = (model, session.data.pool, session.template)
        example = self.example.task if self.example is not None else None
        if example is not None and (example.model, example.pool, example.template) == key:
            return example
        with session.lock:
            if session._task is None or session._task[0] != key:
                session._task = key, dbsa.Task(*key)
            return session._task[1]

    def embedding(self, session: Session) -> tuple[int, int] | None:
        """Rows of its data that have their vectors, and all, while these are being made."""
        found = session._task
        return found[1].embedding if found is not None else None

    def plan(self, session: Session) -> EncodingPlan:
        """What Encode would do now."""
        task, settings = self.task(session), session.settings
        with session.lock:
            if session._plan is None or session._plan[0] != (task, settings):
                with self.turnstile.person():
                    session._plan = (task, settings), dbsa.plan(task, settings)
            return session._plan[1]

    # --- what queries read ---

    def current(self, session: Session) -> Encoded | None:
        """What the session's queries read now: its own encoding, or as much of the example's as is done."""
        mine = session.encoded
        if self.example is None or session.data is not self.example.data or session.model_source != self.default_model:
            return mine
        of_it = mine is not None and session.has_data(mine.data.pool)
        found: Encoded | None = mine if of_it else self.example.encoded
        return found

    def ready(self, session: Session) -> Encoded | None:
        """The pool that queries read now: of the session's data, and not one whose first blocks are only being made."""
        found = self.current(session)
        return found if found is not None and found.settled and session.has_data(found.data.pool) else None

    def encoding(self, session: Session) -> Job | None:
        """The last encoding that concerns the session: its own, or the example's that it reads."""
        mine = self.job(session, "encode")
        if mine is not None or self.example is None or session.data is not self.example.data:
            return mine
        found: Job | None = self.example.job if session.encoded is None else None
        return found

    def being_encoded(self, session: Session) -> Job | None:
        """`encoding`, while it is queued or running."""
        job = self.encoding(session)
        return job if job is not None and job.active else None

    # --- jobs ---

    def job(self, session: Session, kind: str) -> Job | None:
        """The session's last job of a kind."""
        return self.jobs.get(session.id, session.jobs.get(kind, ""))

    def submit(self, session: Session, kind: str, work: Callable[[Job], Any], *, replaces: bool = False) -> Job:
        """Queue work of a kind. `CapacityError` where the session's last of that kind is active, unless it `replaces`
        that one."""
        with session.lock:
            before = self.job(session, kind)
            if before is not None and before.active and not replaces:
                raise CapacityError("That is running already; stop it first, or wait for its end.")
            job = self.jobs.submit(session.id, kind, work, LANES.get(kind, WORK))
            session.jobs[kind] = job.id
        return job

    def stop(self, session: Session, kind: str) -> bool:
        """Ask the session's job of a kind to stop; False where none was active."""
        return self.jobs.cancel(session.id, session.jobs.get(kind, ""))

    def busy(self, session: Session) -> bool:
        """Whether a page of this session has something to watch."""
        mine = (self.job(session, kind) for kind in session.jobs)
        active = any(job is not None and job.active for job in mine)
        return active or session.handled or (self.example is not None and self.example.active)

    def load_model_job(self, session: Session, source: str) -> Job:
        """Load a model in the background and make it the session's."""
        source = self.check_source(source)

        def work(job: Job) -> LanguageModel:
            found = self.model(source)
            if job.cancelled():
                self._drop_unwanted_models()
                raise Cancelled("Stopped.")
            session.model_source = source
            return found

        return self.submit(session, "model", work)
