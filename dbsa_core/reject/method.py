"""A method that may answer that no label fits: any method with a reject option beside it.

Knows nothing about any one method.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from time import perf_counter

from dbsa_core.methods import MayRead, Method, Refusal, Setup
from dbsa_core.methods.base import Cost, fitted
from dbsa_core.prediction import Prediction
from dbsa_core.reject.option import RejectOption
from dbsa_core.scope import checked_out_of_scope
from dbsa_core.settings import QuerySettings


@dataclass
class Rejecting:
    """The method's own answers, each with a verdict on whether any label fits (`Prediction.verdict`)."""

    method: Method
    option: RejectOption

    @property
    def name(self) -> str:
        return self.method.name

    @property
    def title(self) -> str:
        return self.method.title

    @property
    def settings(self) -> QuerySettings:
        return self.method.settings

    @property
    def may_read(self) -> MayRead:
        return self.method.may_read

    @property
    def setup(self) -> Setup | None:
        return self.method.setup

    @property
    def reads_blocks(self) -> bool:
        return self.method.reads_blocks

    @property
    def uses(self) -> frozenset[str]:
        return self.method.uses

    def cost(self, setup: Setup) -> Cost:
        """The method's."""
        return self.method.cost(setup)

    def fit(self, setup: Setup) -> Rejecting:
        """Fit the method; the option stays as it is. `SettingsError` where its label is not one of the setup's."""
        if self.option.out_of_scope is not None:
            checked_out_of_scope(self.option.out_of_scope, setup.task.pool.labels)
        self.method.fit(setup)
        return self

    def teach(self, text: str, label: str) -> Rejecting:
        """See `Method.teach`."""
        self.method.teach(text, label)
        return self

    def predict(self, query: str, *, attention: bool = False) -> Prediction:
        """See `Method.predict`."""
        return self.judged(self.method.predict(query, attention=attention))

    def predict_many(self, queries: Iterable[str]) -> Iterator[Prediction | Refusal]:
        """See `Method.predict_many`."""
        fitted(self.setup, self.name)
        answers = self.method.predict_many(queries)
        return (self.judged(found) if isinstance(found, Prediction) else found for found in answers)

    def judged(self, found: Prediction) -> Prediction:
        """An answer of the method with its verdict; what that takes is part of its seconds."""
        begun = perf_counter()
        verdict = self.option.judge(found, fitted(self.setup, self.name))
        took = perf_counter() - begun
        seconds = {**found.seconds}
        for phase in ("retrieve", "total"):
            seconds[phase] = seconds.get(phase, 0.0) + took
        return replace(found, verdict=verdict, seconds=seconds)
