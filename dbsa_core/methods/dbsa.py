"""Dynamic block-sparse attention: blocks encoded once, a few of them read per query (arXiv 2503.08640).

Knows nothing about how blocks were encoded. With fresh demonstrations, which the paper does not have, the rows nearest
to the query stand right before it and are encoded with it; so do rows that were taught, until they fill a block. Nor
does the paper have votes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from dbsa_core.blocks import chosen_blocks
from dbsa_core.errors import DataError
from dbsa_core.methods.answering import Answers, Parts, Question
from dbsa_core.methods.base import (
    CACHED_CONTEXT,
    Cost,
    MayRead,
    check_query_fits,
    cost_of_rows,
    fit_rows,
    fitted,
    train_voters,
)
from dbsa_core.prediction import START, ContextPart, Selection
from dbsa_core.prompt import Ids
from dbsa_core.retrieve import Ranking, nearest_of
from dbsa_core.settings import QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.stage2.prefix import assemble, gathered_bytes
from dbsa_core.timing import Stopwatch

ROWS_APART = 4096
"""Rows of the blocks that are read, up to which it is told where in them a query looked."""
TAUGHT_AT_ONCE = QuerySettings().fresh_demonstrations
"""Rows that stand beside a query of the paper's method at most, of those that were taught and are in no block yet."""


@dataclass
class Dbsa(Answers):
    """`dbsa` with no fresh demonstrations, `dbsa_fresh` with some; another name and title where it stands beside
    both."""

    settings: QuerySettings = field(default_factory=QuerySettings)
    name: str = "dbsa"
    called: str = ""
    """What people call it, where that is not told by the settings."""
    reads_blocks: bool = True
    _setup: Setup | None = field(default=None, repr=False)

    @property
    def title(self) -> str:
        if self.called:
            return self.called
        return "DBSA + similar rows" if self.settings.fresh_demonstrations else "DBSA"

    @property
    def may_read(self) -> MayRead:
        return "all" if self.settings.fresh_demonstrations or self.settings.voters else "encoded"

    def cost(self, setup: Setup) -> Cost:
        """Its similar rows."""
        return cost_of_rows(setup, self.settings.fresh_demonstrations)

    @property
    def uses(self) -> frozenset[str]:
        """The seed only where something is drawn at random."""
        similar = bool(self.settings.fresh_demonstrations)
        fields = {"ratio", "order", "decode"} | ({"fresh_demonstrations"} if similar else set())
        return frozenset(fields | self.settings.of_retrieval(blocks=True, rows=similar) | self.settings.of_votes)

    def fit(self, setup: Setup) -> Dbsa:
        """Encode the pool where it is not (`setup.encode` does that once for several methods), and index its blocks and
        rows."""
        setup = setup.encode()
        if not setup.blocks:
            raise DataError("No block is encoded: encoding was stopped before the first one was done. Encode anew.")
        setup.block_retriever(self.settings)
        if self.settings.fresh_demonstrations:
            setup.task.row_retriever(self.settings)
        train_voters(setup, self.settings)
        self._setup = setup
        return self

    def teach(self, text: str, label: str) -> Dbsa:
        """See `Method.teach`. Once what was taught fills a block, it is encoded as one."""
        return self.fit(fitted(self._setup, self.name).teach(text, label).settled())

    def question(self, query: str) -> Question:
        """The chosen blocks, the fresh demonstrations and the query, to be scored in one go."""
        setup = fitted(self._setup, self.name)
        task, encoded = setup.task, setup.encoded_pool()
        watch = Stopwatch(task.model.device)
        text, query_ids = task.query(query)
        with watch.phase("retrieve"):
            selection, fresh, notes = self._select(setup, text, query_ids)
            votes = setup.votes(self.settings, text)
        before = [token for row in fresh for token in setup.row_ids(row)]
        tokens = sum(len(encoded.blocks[b]) for b in selection.block_ids)
        seconds = watch.finish()
        return Question(
            method=self.name,
            task=task,
            decode=self.settings.decode,
            text=text,
            prompt=(*before, *query_ids),
            example_tokens=len(before),
            prefix=lambda: assemble(task.model, encoded, selection.block_ids),
            pool=encoded,
            prefix_tokens=tokens,
            gathered_bytes=gathered_bytes(task.model, encoded, tokens),
            advice="choose a lower ratio or fewer similar examples",
            kind=CACHED_CONTEXT,
            retrieve_seconds=seconds["retrieve"],
            seconds=seconds["total"],
            selection=selection,
            rows=tuple(fresh),
            notes=tuple(notes),
            votes=votes,
        )

    def parts(self, question: Question) -> Parts:
        """Each block by its demonstrations, each fresh demonstration, and the query."""
        setup = fitted(self._setup, self.name)
        return lambda prefix: _parts(setup, prefix.block_spans, question)

    def _select(self, setup: Setup, text: str, query_ids: Ids) -> tuple[Selection, list[int], list[str]]:
        """Blocks and fresh rows that fit: the lowest-ranked blocks go first, then the farthest fresh rows."""
        task, encoded = setup.task, setup.encoded_pool()
        ranking = setup.block_retriever(self.settings).rank(text)
        count = chosen_blocks(self.settings.ratio, len(encoded.blocks), encoded.pattern)
        required = min(encoded.pattern.required_blocks, len(encoded.blocks))
        ranked = [*range(required), *(b for b in ranking.order if b >= required)][: max(count, required)]
        # Ranked once: whatever is dropped below, the rows stay as like the query as they are.
        alike = self._alike(setup, text)
        fresh = self._fresh(setup, alike, ranked)
        positions = encoded.rope_length or task.model.max_positions
        lengths = [len(block) for block in encoded.blocks]
        check_query_fits(query_ids, sum(lengths[:required]), task, positions)
        free = positions - len(query_ids) - task.longest_label
        dropped: list[int] = []
        while len(ranked) > required and sum(lengths[b] for b in ranked) + _tokens(setup, fresh) > free:
            dropped.append(ranked.pop())
            # A dropped block's own rows may now be among the nearest.
            fresh = self._fresh(setup, alike, ranked)
        kept, left_out = fit_rows(fresh, setup, free, sum(lengths[b] for b in ranked))
        notes = [_dropped_note(len(dropped), count, positions)] if dropped else []
        if left_out:
            notes.append(f"{left_out} similar examples did not fit the model's {positions:,} positions.")
        ordered = _ordered(ranked, required, self.settings.order)
        scores = {b: float(ranking.scores[b]) for b in range(len(encoded.blocks))}
        return Selection(tuple(ordered), scores, tuple(dropped)), kept, notes

    def _alike(self, setup: Setup, text: str) -> Ranking | None:
        """All rows, where some are read beside the query; those that were taught by words in common."""
        if self.settings.fresh_demonstrations:
            return setup.task.row_retriever(self.settings).rank(text)
        return setup.task.row_index.rank(text) if setup.loose else None

    def _fresh(self, setup: Setup, alike: Ranking | None, block_ids: Sequence[int]) -> list[int]:
        """Rows nearest to the query, nearest last, without those that stand in a chosen block. Where none are asked
        for, those that were taught and stand in no block at all."""
        if alike is None:
            return []
        if not self.settings.fresh_demonstrations:
            taught = np.zeros(len(alike.scores), bool)
            taught[list(setup.loose)] = True
            return list(alike.best(TAUGHT_AT_ONCE, taught & (alike.scores > 0)))[::-1]
        standing = {row for b in block_ids for row in setup.encoded_pool().blocks[b].rows}
        excluded = standing | setup.not_beside
        return list(reversed(nearest_of(alike, self.settings.fresh_demonstrations, exclude=excluded)))


def _tokens(setup: Setup, rows: Sequence[int]) -> int:
    return sum(len(setup.row_ids(row)) for row in rows)


def _dropped_note(dropped: int, count: int, positions: int) -> str:
    return (
        f"{dropped} of {count} blocks did not fit the model's {positions:,} positions; the lowest-ranked were left out."
    )


def _ordered(ranked: Sequence[int], required: int, order: str) -> list[int]:
    """`ranked` holds the sink blocks, then the others from best to worst; the sinks stay first."""
    sinks, others = list(ranked[:required]), list(ranked[required:])
    if order == "pool":
        return sinks + sorted(others)
    return sinks + (others if order == "most_to_least" else others[::-1])


def _parts(setup: Setup, block_spans: Sequence[tuple[int, int, int]], question: Question) -> list[ContextPart]:
    """Blocks, fresh demonstrations and the query; blocks whole where their rows are more than `ROWS_APART`."""
    blocks = setup.encoded_pool().blocks
    apart = sum(len(blocks[block].rows) for block, _, _ in block_spans) <= ROWS_APART
    parts = [_block_part(setup, block, start, end, apart) for block, start, end in block_spans]
    at = block_spans[-1][2] if block_spans else 0
    for number, row in enumerate(question.rows, start=1):
        end = at + len(setup.row_ids(row))
        parts.append(ContextPart(f"similar example {number}", at, (end,), (row,)))
        at = end
    return [*parts, ContextPart("query", at, (at + len(question.prompt) - question.example_tokens,), ())]


def _block_part(setup: Setup, block: int, start: int, end: int, apart: bool) -> ContextPart:
    rows = setup.encoded_pool().blocks[block].rows
    ends = list(accumulate((len(setup.row_ids(row)) for row in rows), initial=start))[1:]
    before = end - ends[-1]  # the tokenizer's own tokens stand before the pool's first row
    if not apart or before < 0:
        return ContextPart(f"block {block}", start, (end,), ())
    ends = [one + before for one in ends]
    first, own = ((start + before,), (START,)) if before else ((), ())
    return ContextPart(f"block {block}", start, (*first, *ends), (*own, *rows))
