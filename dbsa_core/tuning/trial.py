"""One way of reading, asked about validation rows, and what classifiers' votes make of its answers.

Knows nothing about other ways. Votes are added to the label probabilities afterwards, so that they cost no forward;
where not every label was scored, what they would have had scored counts by its estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from dbsa_core.classifiers import voters_of
from dbsa_core.data import Demonstration
from dbsa_core.errors import CapacityError, QueryError
from dbsa_core.methods.dbsa import Dbsa
from dbsa_core.prediction import Prediction
from dbsa_core.settings import QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.tuning.settings_file import METHOD
from dbsa_core.validation import Validation
from dbsa_core.voting import likeliest_weight, log_shares

FOLDS = 5
TIMED = 9
"""Queries whose median is the latency."""
WARM_UP_SECONDS = 30.0
"""At most, until a first query that nothing is prepared for meanwhile."""

Votes = Mapping[str, NDArray[np.float64]]
"""By names as in `classifiers.VOTES`: [rows, labels]."""


def votes_on(drawn: Validation, embedder: str, names: Sequence[str]) -> Votes:
    """What those classifiers of the other rows vote on each validation row, without weight; zeros for "none"."""
    labels = drawn.setup.task.pool.labels
    single: dict[str, NDArray[np.float64]] = {}
    for name in {each for votes in names for each in voters_of(votes)}:
        trained = drawn.setup.trained_classifier(name, embedder)
        single[name] = np.array([trained.votes(row.text, labels) for row in drawn.demonstrations]).reshape(
            -1, len(labels)
        )
    nothing = np.zeros((len(drawn.demonstrations), len(labels)))
    return {votes: sum((single[each] for each in voters_of(votes)), nothing) for votes in names}


@dataclass(eq=False)
class Trial:
    """A way of reading, and its answers so far to the first of the rows."""

    settings: QuerySettings
    """Without votes."""
    drawn: Validation
    """Encoded."""
    votes: Votes
    answers: list[Prediction | None] = field(default_factory=list)
    """None for a row that fits no context."""
    seconds: float = 0.0
    """They took."""
    latency: float | None = None
    """Seconds of a query that is asked alone, the median; None where it was not measured."""
    refused: CapacityError | None = None
    """Why it cannot be used here."""
    _method: Dbsa | None = None

    @property
    def gold(self) -> NDArray[np.intp]:
        """[answers]: places of the rows' labels."""
        places = {label: place for place, label in enumerate(self.drawn.setup.task.pool.labels)}
        return np.array([places[row.label] for row in self._asked], np.intp)

    @property
    def _asked(self) -> Sequence[Demonstration]:
        return self.drawn.demonstrations[: len(self.answers)]

    def method(self) -> Dbsa:
        """Fitted."""
        if self._method is None:
            self._method = Dbsa(self.settings, name=METHOD).fit(self.drawn.setup)
        return self._method

    def ask(self, count: int) -> None:
        """About so many more rows. Where memory does not hold it, `refused` is set, and it cannot be used."""
        begun, there = perf_counter(), len(self.answers)
        texts = [row.text for row in self.drawn.demonstrations[there : there + count]]
        try:
            for found in self.method().predict_many(texts):
                if isinstance(found, CapacityError):
                    raise found
                self.answers.append(None if isinstance(found, QueryError) else found)
        except CapacityError as error:
            self.refused = error
        self.seconds += perf_counter() - begun

    def log_shares(self) -> NDArray[np.float64]:
        """[answers, labels]: of the probabilities, the model's alone."""
        labels = len(self.drawn.setup.task.pool.labels)
        found = np.zeros((len(self.answers), labels))
        for at, answer in enumerate(self.answers):
            if answer is not None:
                found[at] = log_shares(answer)
        return found

    def right(self, votes: str, weights: float | NDArray[np.float64] = 1.0) -> NDArray[np.bool_]:
        """[answers]: whether each is right with those votes, of one weight or of one for each."""
        answered = np.array([answer is not None for answer in self.answers], bool)
        each = np.broadcast_to(weights, len(answered))
        sums = self.log_shares() + each[:, None] * self.votes[votes][: len(answered)]
        return np.asarray((sums.argmax(axis=1) == self.gold) & answered)

    def fitted_weight(self, votes: str, seed: int) -> tuple[float, NDArray[np.bool_]]:
        """The votes' likeliest weight, and [answers] whether each is right with a weight that was fitted on others."""
        from sklearn.model_selection import KFold

        shares, gold, mine = self.log_shares(), self.gold, self.votes[votes][: len(self.answers)]
        weights = np.ones(len(gold))
        for rest, left_out in KFold(FOLDS, shuffle=True, random_state=seed).split(gold):
            weights[left_out] = likeliest_weight(shares[rest], mine[rest], gold[rest])
        return likeliest_weight(shares, mine, gold), self.right(votes, weights)

    def time(self, over: Callable[[], bool] = lambda: False) -> None:
        """Make `latency`: of what was measured while asking where queries went through the model one by one, or else of
        queries that are asked once more, until `over()` says that there is no time for another."""
        alone = [each.seconds["total"] for each in self.answers if each is not None and each.together == 1]
        if len(alone) >= TIMED:
            self.latency = median(alone[1:])
            return
        method, embeddings = self.method(), self.drawn.setup.task.embeddings(self.settings.embedder)
        texts = [row.text for row, answer in zip(self._asked, self.answers, strict=True) if answer is not None][:TIMED]
        begun, found = perf_counter(), []
        while texts and not over() and method.predict(texts[0]).cold and perf_counter() - begun < WARM_UP_SECONDS:
            pass
        for text in texts:
            if over():
                break
            embeddings.forget()
            found.append(method.predict(text).seconds["total"])
        self.latency = median(found) if found else None

    def with_votes(self, settings: QuerySettings) -> list[Prediction | None]:
        """The answers as they would be with the votes of `settings`."""
        votes = settings.vote_weight * self.votes[settings.votes]
        return [None if each is None else _voted(each, votes[at]) for at, each in enumerate(self.answers)]


def _voted(found: Prediction, votes: NDArray[np.float64]) -> Prediction:
    best = int((found.scores.log_probs + votes).argmax())
    return replace(found, scores=replace(found.scores, votes=votes, best=best))


def vote_seconds(setup: Setup, settings: QuerySettings, texts: Sequence[str]) -> float:
    """Of the votes on one text, the median; the text's vector is made for them where nothing else reads it."""
    if not settings.voters or not texts:
        return 0.0
    embeddings, found = setup.task.embeddings(settings.embedder), []
    for text in texts[:TIMED]:
        if "embedder" not in settings.of_retrieval(blocks=True, rows=bool(settings.fresh_demonstrations)):
            embeddings.forget()
        elif "vectors" in settings.voters:
            embeddings.ahead([text])
        begun = perf_counter()
        setup.votes(settings, text)
        found.append(perf_counter() - begun)
    return median(found)
