"""What one browser tab's work consists of: its data, its settings, what is encoded for it, and its last answer.

Knows nothing about servers or screens; `workspace` fills these in.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.server.answered import Answer, Encoded, Past, Trial
from app.server.data import Data
from app.server.evaluated import Wanted
from app.server.exploring import Filter
from dbsa_core.data import Demonstration, Pool
from dbsa_core.files.tables import Table
from dbsa_core.prompt import PromptTemplate
from dbsa_core.settings import FULL_WINDOW, EncodeSettings, QuerySettings

if TYPE_CHECKING:
    from app.server.drawing import Drawn
    from app.server.evaluated import Evaluated
    from app.server.rejecting import Fitted
    from app.server.teaching import Settled
    from app.server.tuning import TunedFor
    from dbsa_core import Setup, Task
    from dbsa_core.methods import Method
    from dbsa_core.planning import EncodingPlan


NEAREST = "nearest"
"""The method that answers while there is no pool."""


@dataclass(eq=False)
class Session:
    """One browser tab's work. Everything in it may be replaced; nothing in it is changed in place."""

    id: str
    model_source: str
    data: Data | None = None
    table: Table | None = None
    """The file that was uploaded last, which becomes `data` once its columns are known."""
    filter: Filter = field(default_factory=Filter)
    """Which rows of its data its page shows."""
    settings: EncodeSettings = field(default_factory=EncodeSettings)
    query_settings: QuerySettings = field(default_factory=QuerySettings)
    template: PromptTemplate = field(default_factory=PromptTemplate)
    retuned: int = 0
    """How often query settings were taken from what was tried or tuned, and not set on Encode."""
    tuned: TunedFor | None = None
    """What was tuned last; see `app.server.tuning`."""
    encoded: Encoded | None = None
    part: Encoded | None = None
    """What an encoding had done when it was stopped, while a pool from before answers; the user chooses."""
    evicted: bool = False
    """Whether its encoded pool was dropped to make room."""
    lessons: Mapping[str, tuple[Demonstration, ...]] = field(default_factory=dict)
    """Rows that were taught, by the fingerprint of the pool of a file; see `taught`."""
    settled: Settled | None = None
    """Those of them that were encoded."""
    answer: Answer | None = None
    asked_again: str = ""
    """Id of the last provisional answer that the pool was asked for anew."""
    viewing: str = ""
    """Id of the run that its page shows, where that is not `answer`."""
    looked: float = field(default_factory=time.time)
    """When its page turned to that run, or to `answer`; seconds since the epoch."""
    trials: tuple[Trial, ...] = ()
    """What the last answers would have been with other settings; see `app.server.what_if`."""
    tried_at: float = 0.0
    """When a page sent the newest of them, in its milliseconds."""
    stopped: float = -math.inf
    """What a page asked until then is stopped, in its milliseconds."""
    history: tuple[Past, ...] = ()
    """The last queries, the newest first; see `app.server.history`."""
    pinned: tuple[str, ...] = ()
    """Ids of those runs of the history that are to be compared."""
    compared: tuple[str, ...] = ("retrieval_icl",)
    """Names of the methods to compare with."""
    compare_waits: bool = False
    """Whether a comparison was interrupted, to go on once what is being tried has answered."""
    compares_alone: bool | None = None
    """Whether a comparison begins by itself; None where nobody said."""
    declared: str | None = None
    """The label of texts that fit no other, "" for none; None where nobody said. See `app.server.rejecting`."""
    rejects: bool = False
    """Whether answers may say that no label fits."""
    option: Fitted | None = None
    """What decides that."""
    threshold: float | None = None
    """The in-scope score below which no label fits, where somebody chose another than was fitted."""
    kept_as: str = ""
    """The name under which its pool was saved or loaded last."""
    queries: Table | None = None
    """The file to classify."""
    tested: Table | None = None
    """The test file that was uploaded last."""
    wanted: Wanted = field(default_factory=Wanted)
    """What is to be evaluated."""
    evaluations: tuple[Evaluated, ...] = ()
    """Those that were begun, the newest last; see `app.server.evaluating`."""
    jobs: dict[str, str] = field(default_factory=dict)
    """Id of the last job of each kind."""
    messages: dict[str, str] = field(default_factory=dict)
    """What went wrong and is not mended, by its cause; see `app.server.troubles`."""
    failures_noted: set[str] = field(default_factory=set)
    """Ids of failed jobs that are among them, or were."""
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    asked_for: int = 0
    """How much its page has asked for so far."""
    _handled: set[object] = field(default_factory=set, repr=False)
    _drawn: tuple[Any, Drawn] | None = None
    """Test rows, and what they were drawn from."""
    _task: tuple[Any, Task] | None = None
    _plan: tuple[Any, EncodingPlan] | None = None
    _methods: dict[str, tuple[tuple[Setup, QuerySettings], Method, float]] = field(default_factory=dict)
    """Fitted methods by name, each with what it was fitted to and the seconds of that; all of one encoded pool."""
    _lessons: tuple[Any, Setup] | None = None
    """What queries read with all that was taught, and what it was made of; see `app.server.teaching`."""

    def look_at(self, run: str) -> None:
        """Have its page show the run of that id; its own last answer where that is it, and for ""."""
        answer = self.answer
        own = answer is not None and run in (answer.id, answer.instead_of)
        self.viewing, self.looked = "" if own else run, time.time()

    @property
    def on_screen(self) -> str:
        """Id of the run that its page shows; "" for none."""
        return self.viewing or (self.answer.id if self.answer is not None else "")

    def copy(self, id: str) -> Session:
        """A session of another id with the same data, settings, pool and answer; nothing is under way in it."""
        with self.lock:
            encoded = self.encoded
            return Session(
                id,
                self.model_source,
                data=self.data,
                table=self.table,
                filter=self.filter,
                settings=self.settings,
                query_settings=self.query_settings,
                template=self.template,
                tuned=self.tuned,
                # While its first blocks are made, they are made for this session.
                encoded=encoded if encoded is not None and encoded.settled else None,
                part=self.part,
                answer=self.answer,
                queries=self.queries,
                kept_as=self.kept_as,
                lessons=self.lessons,
                trials=self.trials,
                history=self.history,
                pinned=self.pinned,
                compared=self.compared,
                compares_alone=self.compares_alone,
                declared=self.declared,
                rejects=self.rejects,
                option=self.option,
                threshold=self.threshold,
                tested=self.tested,
                wanted=self.wanted,
                evaluations=tuple(run for run in self.evaluations if run.ended is not None),
            )

    def has_data(self, pool: Pool) -> bool:
        """Whether its data are those of that pool."""
        return self.data is not None and self.data.pool.fingerprint == pool.fingerprint

    @property
    def taught(self) -> tuple[Demonstration, ...]:
        """Rows that were taught beside those of its data, in their order."""
        return self.lessons.get(self.data.pool.fingerprint, ()) if self.data is not None else ()

    def with_taught(self, labels: Sequence[str]) -> list[str]:
        """Those labels, and behind them the ones of what was taught."""
        return list(dict.fromkeys([*labels, *(lesson.label for lesson in self.taught)]))

    def set_taught(self, lessons: Sequence[Demonstration]) -> None:
        """Make these all that was taught beside its data."""
        if self.data is not None:
            self.lessons = {**self.lessons, self.data.pool.fingerprint: tuple(lessons)}

    @contextmanager
    def handling(self) -> Iterator[None]:
        """While something that its page asked for is being done."""
        this = object()
        with self.lock:
            self.asked_for += 1
        self._handled.add(this)
        try:
            yield
        finally:
            self._handled.discard(this)

    @property
    def handled(self) -> bool:
        """Whether something that its page asked for is being done."""
        return bool(self._handled)

    def method_name(self) -> str:
        """DBSA's name in the registry with the settings in force."""
        return dbsa_name(self.query_settings)


def dbsa_name(settings: QuerySettings) -> str:
    """DBSA's name in the registry with these settings: the paper's, or ours with similar examples."""
    return "dbsa_fresh" if settings.fresh_demonstrations else "dbsa"


def changed_settings(
    then: EncodingPlan, now: EncodingPlan, settings_then: EncodeSettings, settings_now: EncodeSettings
) -> list[str]:
    """What differs between two plans, in words; empty where they encode the same blocks in the same way."""
    if now.encodes_as(then):
        return []
    pairs = {
        "the block size": (then.pattern.demonstrations_per_block, now.pattern.demonstrations_per_block),
        "the window": tuple(_window(plan.pattern.previous_blocks) for plan in (then, now)),
        "the shared first block": (then.pattern.sink_blocks, now.pattern.sink_blocks),
        "positions": (then.pattern.positions, now.pattern.positions),
        "pool tokens": (then.tokens, now.tokens),
        "the seed": (settings_then.seed, settings_now.seed),
        "long rows": (settings_then.long_rows, settings_now.long_rows),
        "how keys and values are kept": (settings_then.pool_precision, settings_now.pool_precision),
    }
    changed = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return [f"{name} ({_shown(before)} to {_shown(after)})" for name, (before, after) in changed.items()]


def _window(blocks: int) -> int | str:
    return "all blocks" if blocks >= FULL_WINDOW else blocks


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
