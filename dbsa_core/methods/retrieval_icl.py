"""Retrieval ICL: the demonstrations most similar to the query, densely encoded anew for every query.

Knows nothing about caches. Its budget is DBSA's: as many demonstrations as DBSA's chosen blocks hold, of the same pool,
or of the whole file.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dbsa_core.blocks import chosen_blocks
from dbsa_core.methods.answering import Answers, Question
from dbsa_core.methods.base import Cost, MayRead, cost_of_rows, fitted
from dbsa_core.methods.dense import dense_question
from dbsa_core.settings import QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.stage2.prefix import Prefix


def matched_budget(setup: Setup, ratio: float) -> int:
    """Demonstrations that DBSA reads at this ratio, its blocks being full."""
    count = chosen_blocks(ratio, len(setup.blocks), setup.plan.pattern)
    return min(len(setup.rows), count * setup.plan.pattern.demonstrations_per_block)


@dataclass
class RetrievalIcl(Answers):
    """The paper's strongest baseline in accuracy, and the slowest per query."""

    settings: QuerySettings = field(default_factory=QuerySettings)
    name: str = "retrieval_icl"
    whole_file: bool = False
    """Whether rows that are not encoded are read too."""
    reads_blocks: bool = False
    _setup: Setup | None = field(default=None, repr=False)
    _nothing: Prefix | None = field(default=None, repr=False)
    """An empty prefix, the same for all queries."""

    @property
    def title(self) -> str:
        return "Retrieval ICL, whole file" if self.whole_file else "Retrieval ICL"

    @property
    def may_read(self) -> MayRead:
        return "all" if self.whole_file else "encoded"

    @property
    def uses(self) -> frozenset[str]:
        return self.settings.of_retrieval(rows=True) | {"ratio", "decode"}

    def cost(self, setup: Setup) -> Cost:
        """Its rows."""
        return cost_of_rows(setup, matched_budget(setup, self.settings.ratio))

    def fit(self, setup: Setup) -> RetrievalIcl:
        """Index the rows; nothing is encoded."""
        setup.task.row_retriever(self.settings)
        self._nothing = Prefix.empty(setup.task.model, setup.plan.rope_length)
        self._setup = setup
        return self

    def teach(self, text: str, label: str) -> RetrievalIcl:
        """See `Method.teach`."""
        return self.fit(fitted(self._setup, self.name).teach(text, label))

    def question(self, query: str) -> Question:
        """The nearest demonstrations of the pool and of what was taught since, or of the whole file, nearest last, and
        the query."""
        setup = fitted(self._setup, self.name)

        def find(text: str) -> list[int]:
            ranking = setup.task.row_retriever(self.settings).rank(text)
            drawn = np.full(len(ranking.scores), self.whole_file)
            drawn[[*setup.rows, *setup.loose]] = True
            drawn[list(setup.not_beside)] = False
            return list(ranking.best(matched_budget(setup, self.settings.ratio), drawn))[::-1]

        assert self._nothing is not None
        return dense_question(self.name, setup, self.settings, query, self._nothing, find=find)
