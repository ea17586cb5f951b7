"""The protocol of a method, and what it is set up with.

Knows nothing about any one method.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from dbsa_core.errors import QueryError, SettingsError
from dbsa_core.memory import memory_told
from dbsa_core.plan import EncodingPlan, encode, plan
from dbsa_core.prediction import Prediction
from dbsa_core.prompt import Ids
from dbsa_core.retrieve import Retriever, make_retriever
from dbsa_core.task import Task

if TYPE_CHECKING:
    from dbsa_core.encode import EncodedPool, OnProgress
    from dbsa_core.settings import EncodeSettings

CACHED_CONTEXT, WHOLE_PROMPT, QUERY_ALONE = "cached context", "demonstrations and query", "query alone"
"""Kinds of forwards, each cold once (`LanguageModel.first_of`)."""


@dataclass
class Setup:
    """What methods are fitted on: a task, the plan that names its encoded rows, and the encoded pool once it is there.

    All methods of one setup read the same rows, so that they are comparable.
    """

    task: Task
    plan: EncodingPlan
    encoded: EncodedPool | None = None
    on_progress: OnProgress | None = None
    cancelled: Callable[[], bool] = field(default=lambda: False)
    _retrievers: dict[tuple[str, int, int], Retriever] = field(default_factory=dict)

    @classmethod
    def of(cls, task: Task, settings: EncodeSettings | None = None) -> Setup:
        return cls(task, plan(task, settings))

    def encoded_pool(self) -> EncodedPool:
        """The encoded pool; encodes it at first use."""
        if self.encoded is None:
            self.encoded = encode(self.task, self.plan, on_progress=self.on_progress, cancelled=self.cancelled)
        return self.encoded

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of the pool that methods may use without looking at the rest of the file."""
        return self.encoded.rows if self.encoded is not None else self.plan.rows

    def row_ids(self, row: int) -> Ids:
        """The ids of one row, the same in blocks and beside a query, in every method."""
        return self.plan.row_ids(self.task, row)

    def block_retriever(self, name: str, seed: int) -> Retriever:
        """The retriever over the encoded blocks, one document a block: its texts and labels, as in the paper."""
        blocks = self.encoded_pool().blocks
        key = (name, seed, len(blocks))
        if key not in self._retrievers:
            demonstrations = self.task.pool.demonstrations
            shown = self.task.template.shown
            documents = [
                "\n".join(f"{demonstrations[r].text}\n{shown(demonstrations[r].label)}" for r in block.rows)
                for block in blocks
            ]
            self._retrievers[key] = make_retriever(name, documents, seed=seed)
        return self._retrievers[key]


class Method(Protocol):
    """`fit` once, then `predict` many times."""

    @property
    def name(self) -> str: ...

    @property
    def reads_blocks(self) -> bool:
        """Whether it reads the setup's encoded pool, whose seconds then belong to its setup."""
        ...

    def fit(self, setup: Setup) -> Method:
        """Do what is done once for all queries; returns itself."""
        ...

    def predict(self, query: str, *, attention: bool = False) -> Prediction:
        """Classify; `attention` asks for `Prediction.attention` where the method has it."""
        ...


def query_memory(task: Task, tokens: int, advice: str) -> AbstractContextManager[None]:
    """Within it, running out of memory over a query of `tokens` is a `CapacityError` that says what to do."""
    needs = f"over a query of {tokens:,} tokens, its context included; {advice}, or choose a smaller model."
    return memory_told(task.model.device, f"{needs} What was encoded is kept.")


def fitted(setup: Setup | None, name: str) -> Setup:
    if setup is None:
        raise SettingsError(f"The method {name} is not fitted; call fit(setup) before predict.")
    return setup


def fit_rows(rows: list[int], setup: Setup, free: int, fixed: int) -> tuple[list[int], int]:
    """The nearest of `rows` (nearest last) that fit `free` positions beside `fixed` tokens, and how many were
    left out."""
    kept = list(rows)
    while kept and fixed + sum(len(setup.row_ids(row)) for row in kept) > free:
        kept.pop(0)
    return kept, len(rows) - len(kept)


def check_query_fits(query_ids: Ids, others: int, task: Task, positions: int) -> None:
    """`QueryError` where the query, its labels and `others` tokens exceed the model's positions."""
    needed = len(query_ids) + task.longest_label + others
    if needed > positions:
        raise QueryError(
            f"The query is {len(query_ids):,} tokens long; with {others:,} tokens that must stand "
            "before it and its labels "
            f"it needs {needed:,} positions, and {task.model.name} has {positions:,}. Shorten the query."
        )
