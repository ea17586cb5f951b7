"""The bundled example: its data at hand for every new session, and its blocks encoded in the background from the start.

Knows nothing about screens. The result is kept on disk, so that the second start has nothing to encode.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import dbsa_core as dbsa
from app.ask import recorded
from app.server.answered import Encoded
from app.server.data import Data
from app.server.jobs import Job
from app.server.lanes import LANES
from app.server.workspace import Workspace
from dbsa_core.data import build_pool
from dbsa_core.errors import Cancelled, DataError
from dbsa_core.example import example_file
from dbsa_core.files.tables import read_table
from dbsa_core.folders import default_cache_folder
from dbsa_core.settings import EncodeSettings

if TYPE_CHECKING:
    from dbsa_core import EncodedPool, Task
    from dbsa_core.planning import EncodingPlan

log = logging.getLogger(__name__)

FILE = example_file("train.csv")
NAME = "Support desk"
POOL_TOKENS = 4_000
OWNER = "app"
"""Owns the example's job; no session's id is so short."""
QUERIES = (
    "The app says my robot is offline since I changed the router.",
    "I forgot my password and the reset link never arrives.",
    "Where can I buy a new filter?",
    "What is the capital of France?",
)
"""The one whose answer is recorded; an easy one, one where methods differ, and one that no label fits."""


class Example:
    """Data and settings are there at once; task and blocks once `start` has come so far."""

    def __init__(
        self, workspace: Workspace, *, file: Path = FILE, cache: Path | None = None, tokens: int = POOL_TOKENS
    ):
        table = read_table(file)
        self.data = Data(table, "text", "label", build_pool(table, "text", "label"), NAME)
        self.settings = EncodeSettings(pool_tokens=tokens)
        self.recorded = recorded.read(QUERIES[0], self.data.pool.fingerprint)
        """An answer that is there before the model is; None for other data than those that were recorded."""
        self.task: Task | None = None
        self.encoded: Encoded | None = None
        self.job: Job | None = None
        self._workspace = workspace
        self._cache = cache

    @property
    def active(self) -> bool:
        """Whether blocks are on their way."""
        return self.job is not None and self.job.active

    def start(self, after: threading.Event | None = None) -> Job:
        """Load the default model and encode, in the background; not before `after` is set."""

        def work(job: Job) -> EncodedPool:
            while after is not None and not after.wait(0.05):
                if job.cancelled():
                    raise Cancelled("Stopped before anything was loaded.")
            return self._work(job)

        self.job = self._workspace.jobs.submit(OWNER, "example", work, LANES["encode"])
        return self.job

    def _work(self, job: Job) -> EncodedPool:
        workspace = self._workspace
        model = workspace.model(workspace.default_model)
        from app.server.steps import encode_in_steps  # with the model, and not before it: they load PyTorch
        from dbsa_core.speed import note_encoding

        self.task = dbsa.Task(model, self.data.pool)
        made = dbsa.plan(self.task, self.settings)
        if (kept := self._kept(made)) is not None:
            note_encoding(model, kept.tokens, kept.seconds, kept.area)
            self._publish(made, kept)
            return kept
        done = encode_in_steps(
            self.task,
            made,
            publish=lambda encoded, last: self._publish(made, encoded, settled=last),
            report=job.report,
            cancelled=job.cancelled,
            give_way=workspace.turnstile.give_way,
        )
        if done.complete:
            self._keep(done)
        return done

    def _publish(self, made: EncodingPlan, encoded: EncodedPool, *, settled: bool = True) -> None:
        assert self.task is not None
        self.encoded = Encoded(dbsa.Setup(self.task, made, encoded), self.data, self.settings, settled)
        self._workspace.announce()

    def _folder(self) -> Path:
        assert self.task is not None
        return (self._cache or default_cache_folder()) / "example" / self.task.model.signature

    def _kept(self, made: EncodingPlan) -> EncodedPool | None:
        from dbsa_core.saved import load_pool

        assert self.task is not None
        try:
            return load_pool(self._folder(), self.task, made)
        except (DataError, OSError) as error:
            log.warning("The example's kept blocks cannot be used and are made anew: %s", error)
            return None

    def _keep(self, encoded: EncodedPool) -> None:
        from dbsa_core.saved import save_pool

        try:
            save_pool(encoded, self._folder())
        except (DataError, OSError) as error:
            log.warning("The example's blocks could not be kept for the next start: %s", error)
