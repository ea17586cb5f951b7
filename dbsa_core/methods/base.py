"""The protocol of a method, and what methods share.

Knows nothing about any one method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from dbsa_core.data import Demonstration
from dbsa_core.errors import CapacityError, QueryError, SettingsError
from dbsa_core.model.memory import memory_told
from dbsa_core.prediction import Prediction
from dbsa_core.prompt import Ids
from dbsa_core.settings import QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.task import Task

CACHED_CONTEXT, WHOLE_PROMPT, QUERY_ALONE = "cached context", "demonstrations and query", "query alone"
"""Kinds of forwards, each cold once (`LanguageModel.first_of`)."""


Refusal = QueryError | CapacityError
"""Why there is no answer: the query cannot be asked, or memory does not hold it."""
MayRead = Literal["encoded", "all", "none"]
"""The rows that a method may read of a setup: those that are encoded (or planned to be), all of the file, or none."""


@dataclass(frozen=True)
class Cost:
    """What a method's answers take, before it is fitted."""

    once: int
    """Tokens that `fit` runs through the model, and keeps; the encoding of the setup's pool is not among them."""
    each: int
    """Tokens of demonstrations that run through the model with each query."""
    trains: int = 0
    """Rows that `fit` trains a classifier on; then not even the query runs through the model."""


class Method(Protocol):
    """`fit` once, then `predict` many times."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str:
        """What people call it."""
        ...

    @property
    def settings(self) -> QuerySettings: ...

    @property
    def may_read(self) -> MayRead:
        """Which rows it may read, as it is set now."""
        ...

    def cost(self, setup: Setup) -> Cost:
        """What it would take on that setup, of which nothing has to be encoded yet."""
        ...

    @property
    def setup(self) -> Setup | None:
        """What it is fitted to, with what was taught since; None before."""
        ...

    @property
    def reads_blocks(self) -> bool:
        """Whether it reads the setup's encoded pool, whose seconds then belong to its setup."""
        ...

    @property
    def uses(self) -> frozenset[str]:
        """Fields of its `QuerySettings` that its answers depend on, as they are set now."""
        ...

    def fit(self, setup: Setup) -> Method:
        """Do what is done once for all queries; returns itself."""
        ...

    def teach(self, text: str, label: str) -> Method:
        """Learn from one more demonstration, such as a correction, at once; returns itself.

        It is read beside the queries that it resembles, and a new label is a candidate; nothing that is encoded changes
        (see `Setup.teach`, which also names the errors). The text itself is answered as it was taught
        (`Prediction.taught`). Fitting the method again to an earlier setup forgets.
        """
        ...

    def predict(self, query: str, *, attention: bool = False) -> Prediction:
        """Classify; `attention` asks for `Prediction.attention` where the method has it."""
        ...

    def predict_many(self, queries: Iterable[str]) -> Iterator[Prediction | Refusal]:
        """Classify all, in order, as many at a time as go through the model well together; each answer is the one of
        `predict`. A query that cannot be answered has the error that `predict` would raise in its place.

        Queries are taken, and answers made, as they are asked for. The `seconds` of an answer are its share.
        """
        ...


def query_memory(task: Task, tokens: int, advice: str) -> AbstractContextManager[None]:
    """Within it, running out of memory over a query of `tokens` is a `CapacityError` that says what to do."""
    needs = f"over a query of {tokens:,} tokens, its context included; {advice}, or choose a smaller model."
    return memory_told(task.model.device, f"{needs} What was encoded is kept.")


def fitted(setup: Setup | None, name: str) -> Setup:
    if setup is None:
        raise SettingsError(f"The method {name} is not fitted; call fit(setup) before predict.")
    return setup


def answered_rows(
    method: Method, rows: Sequence[Demonstration], on_progress: Callable[[int, int], None] | None = None
) -> Iterator[tuple[Demonstration, Prediction]]:
    """Rows and the method's answers to their texts, but for those that fit no context; any other refusal is raised.
    `on_progress(rows answered, rows)`."""
    answers = method.predict_many([row.text for row in rows])
    for done, (row, found) in enumerate(zip(rows, answers, strict=True), 1):
        if isinstance(found, Prediction):
            yield row, found
        elif not isinstance(found, QueryError):
            raise found
        if on_progress:
            on_progress(done, len(rows))


def train_voters(setup: Setup, settings: QuerySettings) -> None:
    """Now, and not when the first query waits."""
    for name in settings.voters:
        setup.trained_classifier(name, settings.embedder)


def cost_of_rows(setup: Setup, rows: int) -> Cost:
    """What so many demonstrations take with each query, as long as those of the pool are on average."""
    return Cost(0, round(rows * sum(map(len, setup.blocks)) / max(1, len(setup.rows))))


def fit_rows(rows: list[int], setup: Setup, free: int, fixed: int) -> tuple[list[int], int]:
    """The nearest of `rows` (nearest last) that fit `free` positions beside `fixed` tokens, and how many were left
    out."""
    kept = list(rows)
    while kept and fixed + sum(len(setup.row_ids(row)) for row in kept) > free:
        kept.pop(0)
    return kept, len(rows) - len(kept)


def check_query_fits(query_ids: Ids, others: int, task: Task, positions: int) -> None:
    """`QueryError` where the query, its labels and `others` tokens exceed the model's positions."""
    needed = len(query_ids) + task.longest_label + others
    if needed > positions:
        raise QueryError(
            f"The query is {len(query_ids):,} tokens long; with {others:,} tokens that must stand before it and its "
            f"labels it needs {needed:,} positions, and {task.model.name} has {positions:,}. Shorten the query."
        )
