"""Fixed ICL: the whole pool with dense attention, cached once, read by every query.

Knows nothing about blocks or retrieval.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dbsa_core.errors import CapacityError
from dbsa_core.methods.answering import Answers, Question
from dbsa_core.methods.base import CACHED_CONTEXT, Cost, MayRead, check_query_fits, fit_rows, fitted
from dbsa_core.model.memory import memory_told
from dbsa_core.settings import QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.stage2.dense_prefill import prefill_block
from dbsa_core.stage2.prefix import Prefix
from dbsa_core.timing import Stopwatch


@dataclass
class FixedIcl(Answers):
    """The upper end in accuracy of plain many-shot ICL, and in setup cost."""

    settings: QuerySettings = field(default_factory=QuerySettings)
    name: str = "fixed_icl"
    title: str = "Fixed ICL"
    may_read: MayRead = "encoded"
    reads_blocks: bool = False
    uses: frozenset[str] = frozenset({"decode"})
    _setup: Setup | None = field(default=None, repr=False)
    _prefix: Prefix | None = field(default=None, repr=False)

    def cost(self, setup: Setup) -> Cost:
        """The whole pool, once."""
        return Cost(sum(len(block) for block in setup.blocks), 0)

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
        self._setup = setup
        return self

    def teach(self, text: str, label: str) -> FixedIcl:
        """See `Method.teach`; what is cached stays, and what was taught is read behind it, all of it."""
        self._setup = fitted(self._setup, self.name).teach(text, label)
        return self

    def question(self, query: str) -> Question:
        """The cached pool, the rows that were taught since, and the query."""
        setup, prefix = fitted(self._setup, self.name), self._prefix
        assert prefix is not None
        task = setup.task
        watch = Stopwatch(task.model.device)
        text, query_ids = task.query(query)
        positions = setup.plan.rope_length or task.model.max_positions
        check_query_fits(query_ids, prefix.length, task, positions)
        free = positions - len(query_ids) - task.longest_label
        rows, left_out = fit_rows([*setup.loose], setup, free, prefix.length)
        before = [token for row in rows for token in setup.row_ids(row)]
        note = f"{left_out} rows that were taught did not fit the model's {positions:,} positions."
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
            retrieve_seconds=0.0,
            seconds=watch.finish()["total"],
            rows=tuple(rows),
            notes=(note,) if left_out else (),
        )
