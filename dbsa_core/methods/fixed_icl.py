"""Fixed ICL: the whole pool with dense attention, cached once, read by every query.

Knows nothing about blocks or retrieval.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dbsa_core.errors import CapacityError
from dbsa_core.methods.base import CACHED_CONTEXT, Cost, MayRead, check_query_fits, fit_rows, fitted, query_memory
from dbsa_core.model.memory import memory_told
from dbsa_core.prediction import Prediction
from dbsa_core.settings import QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.stage2.dense_prefill import prefill_block
from dbsa_core.stage2.prefix import Prefix
from dbsa_core.stage2.scoring import score_labels
from dbsa_core.timing import Stopwatch


@dataclass
class FixedIcl:
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

    def predict(self, query: str, *, attention: bool = False) -> Prediction:
        """Classify behind the cached pool, and the rows that were taught since."""
        setup = fitted(self._setup, self.name)
        assert self._prefix is not None
        task = setup.task
        watch = Stopwatch(task.model.device)
        text, query_ids = task.query(query)
        positions = setup.plan.rope_length or task.model.max_positions
        check_query_fits(query_ids, self._prefix.length, task, positions)
        free = positions - len(query_ids) - task.longest_label
        rows, left_out = fit_rows([*setup.loose], setup, free, self._prefix.length)
        prompt = (*(token for row in rows for token in setup.row_ids(row)), *query_ids)
        tokens = self._prefix.length + len(prompt)
        with query_memory(task, tokens, "choose fewer pool tokens"), watch.phase("forward"):
            scores = score_labels(self._prefix, prompt, task.trie, decode=self.settings.decode)
        note = f"{left_out} rows that were taught did not fit the model's {positions:,} positions."
        return Prediction(
            method=self.name,
            query=text,
            scores=scores,
            context_tokens=tokens,
            example_tokens=len(prompt) - len(query_ids),
            seconds=watch.finish(),
            cold=task.model.first_of(CACHED_CONTEXT) or scores.warming_up,
            demonstration_rows=tuple(rows),
            equal_rows=task.rows_equal_to(text),
            taught=task.taught_label(text),
            notes=(note,) if left_out else (),
        )
