"""What queries read, and what was answered: of the last query, of those before it, and with other settings.

Knows nothing about sessions. Nothing in it is changed in place.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from app.server.data import Data
from dbsa_core.data import Demonstration
from dbsa_core.prediction import Prediction
from dbsa_core.prompt import PromptTemplate
from dbsa_core.settings import EncodeSettings, QuerySettings

if TYPE_CHECKING:
    from dbsa_core import EncodedPool, Setup


@dataclass(frozen=True, eq=False)
class Encoded:
    """What queries read, and what it was made of."""

    setup: Setup
    data: Data
    settings: EncodeSettings
    settled: bool = True
    """Whether queries may read it: not while its first blocks are only being made."""

    @property
    def pool(self) -> EncodedPool:
        return self.setup.encoded_pool()

    @property
    def template(self) -> PromptTemplate:
        return self.setup.task.template


@dataclass(frozen=True, eq=False)
class Answer:
    """The last query: its prediction with the setup that it read."""

    prediction: Prediction
    setup: Setup
    base: Setup
    """The same without what was taught; itself where nothing was."""
    settings: QuerySettings
    name: str
    """Of the data."""
    tokens_per_second: float
    """The fastest that this machine is known to be with the model."""
    uses: frozenset[str] = frozenset()
    """Fields of the settings that it depends on."""
    asked: datetime = field(default_factory=lambda: datetime.now().astimezone())
    id: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    """Of the run; whoever knows it may look at it."""
    instead_of: str = ""
    """Id of the provisional answer to the same query that it takes the place of."""

    @property
    def query_tokens(self) -> int:
        """Of the query, and of the labels behind it, as they went through the model."""
        return self.prediction.scores.tokens - self.prediction.example_tokens

    @property
    def provisional(self) -> bool:
        """Whether there was no pool to read."""
        return self.setup.encoded is None

    @property
    def taught(self) -> tuple[Demonstration, ...]:
        """The rows that were taught by then."""
        return self.setup.task.pool.demonstrations[len(self.base.task.pool) :]


@dataclass(frozen=True)
class Trial:
    """The last query answered with other settings."""

    of: str
    """Id of the answer that it stands beside."""
    run: str
    """Id of its own run."""
    settings: QuerySettings


@dataclass(frozen=True)
class Past:
    """A query that was asked, in one line."""

    run: str
    query: str
    label: str
    probability: float | None
    method: str
    seconds: float
    settings: QuerySettings
    data: str
    asked: datetime

    @classmethod
    def of(cls, answer: Answer) -> Past:
        found = answer.prediction
        numbers = found.probability, found.method, found.seconds["total"]
        return cls(answer.id, found.query, found.label, *numbers, answer.settings, answer.name, answer.asked)
