"""What methods are fitted on: a task, a plan and an encoded pool, checked when they are put together.

Knows nothing about any method.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dbsa_core.blocks import Block, group
from dbsa_core.classifiers import LinearClassifier, train_classifier
from dbsa_core.data import Demonstration
from dbsa_core.errors import CapacityError, DataError, SettingsError
from dbsa_core.planning import EncodingPlan, plan
from dbsa_core.prompt import Ids
from dbsa_core.retrieve import DEFAULT_EMBEDDER, Retriever, make_retriever
from dbsa_core.retrieve.corpus import Corpus
from dbsa_core.settings import EncodeSettings, QuerySettings, RetrieverKey
from dbsa_core.speed import note_encoding
from dbsa_core.stage1.encoding import EncodedPool, append_blocks, encode_blocks
from dbsa_core.stage1.progress import OnProgress
from dbsa_core.task import Task

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Setup:
    """A task, the plan that names its encoded rows, and the encoded pool once it is there.

    All methods of one setup read the same rows, so that they are comparable. Nothing in it changes: `encode` and
    `append` return another one. Raises `DataError` where plan or encoded pool are of another model, prompt or data than
    the task.
    """

    task: Task
    plan: EncodingPlan
    encoded: EncodedPool | None = None
    held_out: frozenset[int] = frozenset()
    """Rows that no method reads or learns from, so that it can be asked about them; see `without`."""
    _retrievers: dict[RetrieverKey, Retriever] = field(default_factory=dict, init=False, repr=False)
    _classifiers: dict[tuple[str, str], LinearClassifier] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        _check_plan(self.task, self.plan)
        if self.encoded is not None:
            _check_encoded(self.task, self.plan, self.encoded)
        if inside := self.held_out.intersection(self.rows):
            raise DataError(f"{len(inside)} of the rows that are held out are in blocks; make it by Setup.without.")

    @classmethod
    def of(cls, task: Task, settings: EncodeSettings | None = None) -> Setup:
        """The task with a plan for it; nothing is encoded yet."""
        return cls(task, plan(task, settings))

    def encode(self, *, on_progress: OnProgress | None = None, cancelled: Callable[[], bool] = lambda: False) -> Setup:
        """The same with the pool encoded; itself where it is. `cancelled()` is asked between chunks of blocks, and what
        is done is kept."""
        if self.encoded is not None:
            return self
        return replace(self, encoded=encode(self.task, self.plan, on_progress=on_progress, cancelled=cancelled))

    def encoded_pool(self) -> EncodedPool:
        """The encoded pool; `SettingsError` where there is none yet."""
        if self.encoded is None:
            raise SettingsError("Nothing is encoded yet; call encode(), and use the setup that it returns.")
        return self.encoded

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Those that are encoded (after Stop fewer than planned, after appending more); before, the plan's."""
        return self.encoded.blocks if self.encoded is not None else self.plan.blocks

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of the pool that methods may use without looking at the rest of the file."""
        return tuple(row for block in self.blocks for row in block.rows)

    @cached_property
    def loose(self) -> tuple[int, ...]:
        """Rows that were taught and stand in no block yet, in their order; methods read them beside the query."""
        standing = set(self.rows)
        taught = (row for row, demonstration in enumerate(self.task.pool.demonstrations) if demonstration.taught)
        return tuple(row for row in taught if row not in standing and row not in self.not_beside)

    @cached_property
    def not_beside(self) -> frozenset[int]:
        """Rows that are never read beside a query: those that are too long, and `unread` ones."""
        later = range(self.plan.rows_total, len(self.task.pool))
        before = () if self.plan.cuts_long_rows else self.plan.too_long
        return self.unread.union(before, filter(self._too_long, later))

    @cached_property
    def unread(self) -> frozenset[int]:
        """Rows that nothing is learned from: those that are held out, and `outdated` ones."""
        return self.held_out | self.outdated

    @cached_property
    def outdated(self) -> frozenset[int]:
        """Rows whose text was taught with another label since."""
        return frozenset(self._corrected())

    def _too_long(self, row: int) -> bool:
        return not self.plan.cuts_long_rows and len(self.task.row_ids[row]) > self.plan.longest_row

    def _corrected(self) -> Iterator[int]:
        rows = self.task.pool.demonstrations
        for row, lesson in enumerate(rows):
            if lesson.taught:
                earlier = (other for other in self.task.rows_equal_to(lesson.text) if other < row)
                yield from (other for other in earlier if rows[other].label != lesson.label)

    def without(self, rows: Collection[int]) -> Setup:
        """The same with these rows held out too: no method reads them or learns from them. Where one of them is in a
        block, the pool is planned anew without them, as long as it was, and nothing is encoded yet."""
        held_out = self.held_out.union(rows)
        if held_out.isdisjoint(self.rows):
            return replace(self, held_out=held_out)
        settings = replace(self.plan.settings, pool_tokens=self.plan.tokens)
        return Setup(self.task, plan(self.task, settings, without=held_out), held_out=held_out)

    def extended(self, demonstrations: Sequence[Demonstration]) -> Setup:
        """The same with further rows behind the task's; see `Task.extended`. Nothing is encoded."""
        if not demonstrations:
            return self
        longer = replace(self, task=self.task.extended(demonstrations))
        longer._retrievers.update(self._retrievers)  # the blocks are the same
        longer._classifiers.update(self._classifiers)  # a few rows change little, and training takes seconds
        return longer

    def teach(self, text: str, label: str) -> Setup:
        """The same with one more demonstration, which is read beside a query from now on (`loose`) and needs no
        encoding. A new label is a candidate from now on; a known one may differ in case, spaces and underscores. What
        was taught last about a text holds: rows with the same text and another label are read in their blocks only.

        Raises `DataError` for an empty text or label, for a text that is too long to be read, and for a label that the
        model cannot tell apart from another.
        """
        longer = self.extended([self.task.lesson(text, label)])
        if longer._too_long(row := len(self.task.pool)):
            raise DataError(
                f"The text is {len(longer.task.row_ids[row]):,} tokens long, label included, and an example may take "
                f"{self.plan.longest_row:,} here; shorten it, or encode with long rows truncated."
            )
        return longer

    def settled(self, *, on_progress: OnProgress | None = None, cancelled: Callable[[], bool] = lambda: False) -> Setup:
        """The same with as many `loose` rows as fill whole blocks appended as such; itself where they fill none, where
        the pool is not complete, or where it would exceed the model's positions."""
        size, encoded = self.plan.pattern.demonstrations_per_block, self.encoded
        rows = self.loose[: len(self.loose) // size * size]
        if not rows or encoded is None or not encoded.complete:
            return self
        try:
            return append(self, rows, on_progress=on_progress, cancelled=cancelled)
        except CapacityError as error:
            log.warning("Rows that were taught stay beside the blocks: %s", error)
            return self

    def row_ids(self, row: int) -> Ids:
        """The ids of one row, the same in blocks and beside a query, in every method."""
        return self.plan.row_ids(self.task, row)

    def block_retriever(self, settings: QuerySettings) -> Retriever:
        """`settings.retriever` over the blocks, one document a block: its texts and labels, as in the paper; vectors
        are those of its rows' texts. Made once."""
        key = settings.retriever_key(settings.retriever)
        if key not in self._retrievers:
            embeddings = self.task.embeddings(key.embedder or DEFAULT_EMBEDDER)
            self._retrievers[key] = make_retriever(key.name, self._documents.by(embeddings), seed=settings.seed)
        return self._retrievers[key]

    def trained_classifier(self, name: str, embedder: str, *, anew: bool = False) -> LinearClassifier:
        """The classifier of that name (`dbsa_core.classifiers`), of all rows of the file but `unread` ones. Made once,
        and kept while further rows are taught; `anew`: now, of these rows too."""
        key = name, embedder if name == "vectors" else ""
        if anew or key not in self._classifiers:
            pool, embeddings = self.task.pool, self.task.embeddings(embedder)
            rows = [row for row in range(len(pool)) if row not in self.unread]
            labels = [demonstration.label for demonstration in pool.demonstrations]
            self._classifiers[key] = train_classifier(name, pool.texts, labels, rows, embeddings)
        return self._classifiers[key]

    def votes(self, settings: QuerySettings, text: str) -> NDArray[np.float64] | None:
        """float64 [labels]: the weighted votes of `settings.voters` on a text; None where none votes."""
        if not settings.voters:
            return None
        labels = self.task.pool.labels
        each = [self.trained_classifier(name, settings.embedder).votes(text, labels) for name in settings.voters]
        return np.asarray(settings.vote_weight * np.sum(each, axis=0))

    @cached_property
    def _documents(self) -> Corpus:
        rows, shown = self.task.pool.demonstrations, self.task.template.shown
        texts = ["\n".join(f"{rows[r].text}\n{shown(rows[r].label)}" for r in block.rows) for block in self.blocks]
        labels = [{rows[row].label for row in block.rows} for block in self.blocks]
        return Corpus(texts, [block.rows for block in self.blocks], labels, self.task.embeddings(DEFAULT_EMBEDDER))


def encode(
    task: Task,
    plan: EncodingPlan,
    *,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> EncodedPool:
    """Carry a plan out; `cancelled()` is asked between blocks, and what is done is kept."""
    encoded = encode_blocks(
        task.model,
        task.pool,
        plan.blocks,
        plan.pattern,
        task.template,
        rope_length=plan.rope_length,
        on_progress=on_progress,
        cancelled=cancelled,
        int8=plan.settings.int8,
    )
    note_encoding(task.model, encoded.tokens, encoded.seconds, encoded.area)
    return encoded


def append(
    setup: Setup,
    rows: Sequence[int],
    *,
    task: Task | None = None,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Setup:
    """Encode further rows as new blocks; no block that is encoded is read but those that new ones see.

    `rows` are indices of `task`: the setup's own (rows that were not drawn), or one that `Task.extended` made of it.
    Rows longer than the plan's longest are cut where the plan cuts them, else refused. Where memory runs out, the last
    rows are left out (`EncodedPool.out_of_memory`). Raises `DataError` for rows that cannot be appended.
    """
    encoded, grown = setup.encoded_pool(), task or setup.task
    if grown is not setup.task:
        _check_extended(setup.task, grown)
    _check_new(setup, grown, rows)
    ids = [setup.plan.row_ids(grown, row) for row in rows]
    blocks = group(rows, ids, encoded.pattern, first_block=len(encoded.blocks))
    done = append_blocks(grown.model, encoded, grown.pool, blocks, on_progress=on_progress, cancelled=cancelled)
    return replace(setup, task=grown, encoded=done.as_it_is if done.out_of_memory else done)


def _check_new(setup: Setup, task: Task, rows: Sequence[int]) -> None:
    times = Counter((*setup.encoded_pool().rows, *rows))
    if again := [row for row in set(rows) if times[row] > 1]:
        raise DataError(f"{len(again)} of the rows to append are encoded already; name rows that are not, each once.")
    if beyond := [row for row in rows if not 0 <= row < len(task.pool)]:
        raise DataError(f"There is no row {beyond[0]}; the task has the rows 0 to {len(task.pool) - 1}.")
    longest = setup.plan.longest_row
    if not setup.plan.cuts_long_rows and (long := [row for row in rows if len(task.row_ids[row]) > longest]):
        raise DataError(
            f"{len(long)} of the rows to append are longer than the {longest:,} tokens that a row may take here (row "
            f"{long[0]} has {len(task.row_ids[long[0]]):,}); leave them out, or encode anew with more pool tokens or "
            "with long rows truncated."
        )


def _check_extended(task: Task, grown: Task) -> None:
    if grown.model.signature != task.model.signature:
        raise DataError(
            f"The pool was encoded by another model ({task.model.name}) than the task's ({grown.model.name}); encode "
            "it anew before appending."
        )
    if grown.template != task.template:
        raise DataError(f"The pool was encoded with another prompt ({task.template}); make the task by Task.extended.")
    if grown.pool.demonstrations[: len(task.pool)] != task.pool.demonstrations:
        raise DataError("The task's first rows are not those of the encoded pool; make it by Task.extended.")


def _check_plan(task: Task, made: EncodingPlan) -> None:
    if made.model_signature != task.model.signature:
        raise DataError(f"The plan is another model's than the task's ({task.model.name}); make it by plan(task).")
    _check_blocks(task, made, made.blocks, "The plan is")


def _check_encoded(task: Task, made: EncodingPlan, encoded: EncodedPool) -> None:
    if encoded.model_signature != task.model.signature:
        raise DataError(
            f"The pool was encoded by another model than the task's ({task.model.name}); encode it anew for this task."
        )
    if encoded.template != task.template:
        raise DataError(
            f"The pool was encoded with another prompt ({encoded.template}) than the task's ({task.template}); encode "
            "it anew for this task."
        )
    shared = min(len(encoded.blocks), len(made.blocks))
    wanted = (made.pattern, made.rope_length, made.blocks[:shared], made.settings.int8)
    if (encoded.pattern, encoded.rope_length, encoded.blocks[:shared], encoded.int8) != wanted:
        raise DataError("The pool was encoded after another plan; encode it anew after this one.")
    _check_blocks(task, made, encoded.blocks[shared:], "The pool was encoded")
    if absent := [block.id for block in encoded.blocks if block.id not in encoded.store]:
        raise DataError(f"Block {absent[0]} of the pool is not in its store; encode it anew.")


def _check_blocks(task: Task, made: EncodingPlan, blocks: Sequence[Block], what: str) -> None:
    """`DataError` where a block's ids are not those of its rows in this task."""
    for block in blocks:
        rows = block.rows if all(0 <= row < len(task.pool) for row in block.rows) else ()
        prefix = task.prompter.prefix_ids if block.id == 0 else ()
        expected = (*prefix, *(token for row in rows for token in made.row_ids(task, row)))
        if expected != block.token_ids:
            raise DataError(
                f"{what} of other data than the task's: block {block.id} does not hold the tokens of its rows. Make "
                "plan and pool of the same task."
            )
