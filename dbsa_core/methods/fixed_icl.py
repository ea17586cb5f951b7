"""Fixed ICL: the whole pool with dense attention, cached once, read by every query.

Knows nothing about blocks. With fresh demonstrations, the rows of the whole file that are nearest to the query stand
right before it: a large cached context and a few similar examples (arXiv 2507.16217).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dbsa_core.errors import CapacityError
from dbsa_core.methods.answering import Answers, Question
from dbsa_core.methods.base import CACHED_CONTEXT, Cost, MayRead, check_query_fits, cost_of_rows, fit_rows, fitted
from dbsa_core.model.memory import memory_told
from dbsa_core.retrieve import nearest_rows
from dbsa_core.settings import QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.stage2.dense_prefill import prefill_block
from dbsa_core.stage2.prefix import Prefix
from dbsa_core.timing import Stopwatch


@dataclass
class FixedIcl(Answers):
    """`fixed_icl` with no fresh demonstrations, `fixed_icl_fresh` with some: the upper end in accuracy of plain
    many-shot ICL, and in setup cost."""

    settings: QuerySettings = field(default_factory=QuerySettings)
    name: str = "fixed_icl"
    reads_blocks: bool = False
    _setup: Setup | None = field(default=None, repr=False)
    _prefix: Prefix | None = field(default=None, repr=False)

    @property
    def title(self) -> str:
        return "Fixed ICL + similar rows" if self.settings.fresh_demonstrations else "Fixed ICL"

    @property
    def may_read(self) -> MayRead:
        return "all" if self.settings.fresh_demonstrations else "encoded"

    @property
    def uses(self) -> frozenset[str]:
        if not self.settings.fresh_demonstrations:
            return frozenset({"decode"})
        return self.settings.of_retrieval(rows=True) | {"decode", "fresh_demonstrations"}

    def cost(self, setup: Setup) -> Cost:
        """The whole pool, once, and its similar rows."""
        others = len(setup.task.pool) - len(setup.rows)
        similar = cost_of_rows(setup, min(self.settings.fresh_demonstrations, others))
        return Cost(sum(len(block) for block in setup.blocks), similar.each)

    def fit(self, setup: Setup) -> FixedIcl:
        """Encode the same rows as DBSA's, in the same order, densely; refuses where they do not fit."""
        task = setup.task
        token_ids = [token for block in setup.blocks for token in block.token_ids]
        positions = setup.plan.rope_length or task.model.max_positions
        if len(token_ids) + task.longest_label + 1 > positions:
            raise CapacityError(
                f"Fixed ICL needs the whole pool of {len(token_ids):,} tokens and a query in the model's {positions:,} "
                "positions; choose fewer pool tokens."
            )
        needs = f"over Fixed ICL's pool of {len(token_ids):,} tokens; choose fewer pool tokens or a smaller model."
        with memory_told(task.model.device, needs):
            self._prefix = prefill_block(task.model, token_ids, setup.plan.rope_length)
        if self.settings.fresh_demonstrations:
            task.row_retriever(self.settings)
        self._setup = setup
        return self

    def teach(self, text: str, label: str) -> FixedIcl:
        """See `Method.teach`; what is cached stays, and what was taught is read behind it: all of it, or with fresh
        demonstrations what is among them."""
        self._setup = fitted(self._setup, self.name).teach(text, label)
        return self

    def question(self, query: str) -> Question:
        """The cached pool, the rows that were taught since or the fresh demonstrations, and the query."""
        setup, prefix = fitted(self._setup, self.name), self._prefix
        assert prefix is not None
        task = setup.task
        watch = Stopwatch(task.model.device)
        text, query_ids = task.query(query)
        with watch.phase("retrieve"):
            found = self._behind(setup, text)
        positions = setup.plan.rope_length or task.model.max_positions
        check_query_fits(query_ids, prefix.length, task, positions)
        free = positions - len(query_ids) - task.longest_label
        rows, left_out = fit_rows(found, setup, free, prefix.length)
        before = [token for row in rows for token in setup.row_ids(row)]
        note = f"{left_out} of {len(found)} rows behind the pool did not fit the model's {positions:,} positions."
        seconds = watch.finish()
        return Question(
            method=self.name,
            task=task,
            decode=self.settings.decode,
            text=text,
            prompt=(*before, *query_ids),
            example_tokens=len(before),
            prefix=lambda: prefix,
            pool=prefix,
            prefix_tokens=prefix.length,
            advice="choose fewer pool tokens",
            kind=CACHED_CONTEXT,
            retrieve_seconds=seconds["retrieve"],
            seconds=seconds["total"],
            rows=tuple(rows),
            notes=(note,) if left_out else (),
        )

    def _behind(self, setup: Setup, text: str) -> list[int]:
        """Rows that stand between the pool and the query, nearest last."""
        if not self.settings.fresh_demonstrations:
            return [*setup.loose]
        excluded = setup.not_beside.union(setup.rows)
        count = self.settings.fresh_demonstrations
        return list(nearest_rows(setup.task.row_retriever(self.settings), text, count, exclude=excluded))[::-1]
