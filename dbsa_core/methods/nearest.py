"""The most similar rows alone: those of the whole file that are nearest to the query, encoded with it; no pool is read.

Knows nothing about caches. It is what can be answered before anything is encoded, and what DBSA's blocks add to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from dbsa_core.methods.answering import Answers, Question
from dbsa_core.methods.base import Cost, MayRead, cost_of_rows, fitted, train_voters
from dbsa_core.methods.dense import dense_question
from dbsa_core.settings import QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.stage2.dense_prefill import prefill_block
from dbsa_core.stage2.prefix import Prefix


@dataclass
class Nearest(Answers):
    """`fresh_demonstrations` rows of the file and the query, in one dense forward."""

    settings: QuerySettings = field(default_factory=QuerySettings)
    name: str = "nearest"
    title: str = "Similar rows alone"
    may_read: MayRead = "all"
    reads_blocks: bool = False
    _setup: Setup | None = field(default=None, repr=False)
    _nothing: Prefix | None = field(default=None, repr=False)
    """An empty prefix, the same for all queries, so that they may be captured."""

    @property
    def uses(self) -> frozenset[str]:
        return self.settings.of_retrieval(rows=True) | self.settings.of_votes | {"fresh_demonstrations", "decode"}

    def cost(self, setup: Setup) -> Cost:
        """Its rows."""
        return cost_of_rows(setup, self.settings.fresh_demonstrations)

    def fit(self, setup: Setup) -> Nearest:
        """Index the rows; nothing is encoded."""
        setup.task.row_retriever(self.settings)
        train_voters(setup, self.settings)
        self._nothing = prefill_block(setup.task.model, (), setup.plan.rope_length)
        self._setup = setup
        return self

    def teach(self, text: str, label: str) -> Nearest:
        """See `Method.teach`."""
        return self.fit(fitted(self._setup, self.name).teach(text, label))

    def question(self, query: str) -> Question:
        """The nearest rows, nearest last, and the query. Rows that the plan leaves out for their
        length are left out here too."""
        setup = fitted(self._setup, self.name)
        assert self._nothing is not None

        def find(text: str) -> list[int]:
            ranking = setup.task.row_retriever(self.settings).rank(text)
            read = np.ones(len(ranking.scores), bool)
            read[list(setup.not_beside)] = False
            return list(ranking.best(self.settings.fresh_demonstrations, read))[::-1]

        fewer, votes = "choose fewer similar examples", partial(setup.votes, self.settings)
        return dense_question(
            self.name, setup, self.settings, query, self._nothing, find=find, fewer=fewer, votes=votes
        )
