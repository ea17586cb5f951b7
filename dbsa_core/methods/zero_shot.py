"""Zero-shot: the query and the labels alone.

Knows nothing about demonstrations.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dbsa_core.methods.answering import Answers, Question
from dbsa_core.methods.base import Cost, MayRead, cost_of_rows, fitted
from dbsa_core.methods.dense import dense_question
from dbsa_core.settings import QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.stage2.dense_prefill import prefill_block
from dbsa_core.stage2.prefix import Prefix


@dataclass
class ZeroShot(Answers):
    """What the model knows by itself."""

    settings: QuerySettings = field(default_factory=QuerySettings)
    name: str = "zero_shot"
    title: str = "Zero-shot"
    may_read: MayRead = "none"
    reads_blocks: bool = False
    uses: frozenset[str] = frozenset({"decode"})
    _setup: Setup | None = field(default=None, repr=False)
    _nothing: Prefix | None = field(default=None, repr=False)
    """An empty prefix, the same for all queries, so that they may be captured."""

    def cost(self, setup: Setup) -> Cost:
        """Nothing."""
        return cost_of_rows(setup, 0)

    def fit(self, setup: Setup) -> ZeroShot:
        """Nothing is encoded."""
        self._nothing = prefill_block(setup.task.model, (), setup.plan.rope_length)
        self._setup = setup
        return self

    def teach(self, text: str, label: str) -> ZeroShot:
        """See `Method.teach`; only a new label changes what it answers."""
        return self.fit(fitted(self._setup, self.name).teach(text, label))

    def question(self, query: str) -> Question:
        """The query."""
        setup = fitted(self._setup, self.name)
        assert self._nothing is not None
        return dense_question(self.name, setup, self.settings, query, self._nothing, find=lambda _: [])
