"""Zero-shot: the query and the labels alone.

Knows nothing about demonstrations.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dbsa_core.methods.base import fitted
from dbsa_core.methods.dense import answer_densely
from dbsa_core.prediction import Prediction
from dbsa_core.settings import QuerySettings
from dbsa_core.setup import Setup


@dataclass
class ZeroShot:
    """What the model knows by itself."""

    settings: QuerySettings = field(default_factory=QuerySettings)
    name: str = "zero_shot"
    reads_blocks: bool = False
    _setup: Setup | None = field(default=None, repr=False)

    def fit(self, setup: Setup) -> ZeroShot:
        """Nothing is encoded."""
        self._setup = setup
        return self

    def predict(self, query: str, *, attention: bool = False) -> Prediction:
        """Score the labels behind the query."""
        setup = fitted(self._setup, self.name)
        return answer_densely(self.name, setup, self.settings, query, find=lambda _: [])
