"""Rows of the labelled file whose label may be wrong: where classifiers, the nearest rows, and a language model that
has not read the row all say otherwise.

Knows nothing about screens. Classifiers that are trained on other rows find the suspects (confident learning, Northcutt
et al. 2021, arXiv 1911.00068, which calls what is found label issues); the model is asked about these alone, for it
takes longest.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbsa_core.classifiers import CLASSIFIERS, votes_on_rows
from dbsa_core.data import Demonstration
from dbsa_core.devices import policy_for
from dbsa_core.interrupt import stop_if_cancelled
from dbsa_core.methods import make_method
from dbsa_core.methods.base import answered_rows
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prediction import Prediction
from dbsa_core.settings import QuerySettings
from dbsa_core.setup import Setup

FOLDS = 5
NEAREST = 8
"""Rows whose labels are counted; and at least so many does the model read beside a suspect."""
ROWS, ROWS_ON_CPU = 1000, 60
"""Suspects that the model is asked about at most, unless told otherwise; where forwards are slow, fewer."""
METHOD = "nearest"
"""What asks the model: nothing has to be encoded for it."""
TRAINING, LOOKING, ASKING = "Judging rows by the others", "Looking at the nearest rows", "Asking the model"

ISSUE_COLUMNS = (
    "row", "label", "suggested", "probability", "own_probability", "nearest_as_suggested", "nearest", "text",
)  # fmt: skip
"""What a table of issues holds of each; `LabelIssue.as_json` gives the values."""

OnProgress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is, and how much there is."""


@dataclass(frozen=True)
class Suspect:
    """A row whose label is disputed by classifiers that were trained on other rows."""

    row: int
    """Index among the task's rows."""
    label: str
    """Its own;"""
    likelier: str
    """and the one that the classifiers find most probable."""
    margin: float
    """Log-probability of that less that of its own, summed over the classifiers."""
    nearest: tuple[str, ...]
    """Labels of the nearest rows, the nearest first; none of them has its text."""

    @property
    def disputed_by_nearest(self) -> bool:
        """Whether another label is more frequent among the nearest rows than its own."""
        counted = Counter(self.nearest)
        return max(counted.values(), default=0) > counted[self.label]


@dataclass(frozen=True)
class LabelIssue:
    """A row whose label may be wrong."""

    demonstration: Demonstration
    """Its text, its label, and its number in the file."""
    suggested: str
    """What the model answers to its text, without having read it or any other suspect."""
    probability: float
    """Of that label, among all."""
    own_probability: float
    """Of the row's own."""
    nearest: tuple[str, ...]
    """Labels of the nearest rows, the nearest first; none of them has its text."""

    @property
    def nearest_as_suggested(self) -> int:
        """Of the nearest rows, those that have the suggested label."""
        return self.nearest.count(self.suggested)

    def as_json(self) -> dict[str, Any]:
        """One object of plain values, as a row of a table too; its row is the number in the file."""
        row = self.demonstration
        return {
            "row": row.row,
            "label": row.label,
            "suggested": self.suggested,
            "probability": round(self.probability, 6),
            "own_probability": round(self.own_probability, 6),
            "nearest_as_suggested": self.nearest_as_suggested,
            "nearest": len(self.nearest),
            "text": row.text,
        }


@dataclass(frozen=True)
class LabelIssues:
    """What was found, and how."""

    issues: tuple[LabelIssue, ...]
    """Those first whose label classifiers dispute most."""
    rows: int
    """Rows that were looked at;"""
    suspects: int
    """of these, ones whose label is disputed by classifiers and by the nearest rows;"""
    asked: int
    """of these, ones that the model was asked about."""
    seconds: float

    @property
    def sentence(self) -> str:
        """What came out."""
        if not self.suspects:
            return f"No label of {self.rows:,} rows is disputed by the other rows."
        which = "all of them" if self.asked == self.suspects else f"the {self.asked:,} most disputed"
        return (
            f"Of {self.rows:,} rows, {self.suspects:,} have a label that the other rows dispute; the model was asked "
            f"about {which}, and disputes {len(self.issues):,}."
        )


def find_label_issues(
    setup: Setup,
    settings: QuerySettings | None = None,
    *,
    rows: int | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
    on_found: Callable[[LabelIssue], None] | None = None,
) -> LabelIssues:
    """Rows of the setup's file whose label may be wrong. Nothing has to be encoded, and what is encoded is not read.

    A row is listed where classifiers of other rows give it another label, its nearest rows have another label more
    often than its own, and the model, reading similar rows that are no suspects, answers another one. Rows of the same
    text are no evidence for each other. Classifiers are those that vote in `settings`; where none does, the one of
    words, and that of vectors where rows are found by vectors. Rows are found, and votes counted, as `settings` have
    it. The model is asked about `rows` suspects at most (`ROWS`, or `ROWS_ON_CPU`), the most disputed ones, and about
    half the rows of a label at most.

    Left out are rows that were taught, are held out or outdated, and those of a label that has no other text. Work
    within `interruptible` can be stopped; `on_found` is told of each issue at once.
    """
    begun, told = perf_counter(), on_progress or _untold
    settings = asking(settings or QuerySettings())
    found = [each for each in find_suspects(setup, settings, seed=seed, on_progress=told) if each.disputed_by_nearest]
    asked = most_disputed(setup, found, rows or rows_to_ask(setup.task.model))
    issues = []
    for suspect, answer in ask_without(setup, settings, asked, on_progress=told):
        if answer.label != suspect.label:
            issues.append(_issue(setup, suspect, answer))
            if on_found is not None:
                on_found(issues[-1])
    return LabelIssues(tuple(issues), len(_usable(setup)), len(found), len(asked), perf_counter() - begun)


def rows_to_ask(model: LanguageModel) -> int:
    """`ROWS`, or `ROWS_ON_CPU`."""
    return ROWS_ON_CPU if policy_for(model.device).bounds_time else ROWS


def asking(settings: QuerySettings) -> QuerySettings:
    """The settings that suspects are found and asked about with: rows that tell something, and enough of them."""
    retriever = "bm25" if settings.row_retriever == "random" else settings.row_retriever
    beside = max(settings.fresh_demonstrations, NEAREST)
    return replace(settings, row_retriever=retriever, fresh_demonstrations=beside, decode="exact")


def classifiers_of(settings: QuerySettings) -> tuple[str, ...]:
    """Those that find suspects."""
    if settings.voters:
        return settings.voters
    return CLASSIFIERS if "embedder" in settings.of_retrieval(rows=True) else ("words",)


def find_suspects(
    setup: Setup, settings: QuerySettings, *, seed: int = 0, on_progress: OnProgress | None = None
) -> list[Suspect]:
    """Rows whose label classifiers dispute, the most disputed first, with their nearest rows, which may agree with
    them. `seed` parts the rows into `FOLDS`, each of which is judged by the others."""
    rows, told = _usable(setup), on_progress or _untold
    if not rows:
        return []
    labels, votes = setup.task.pool.labels, _votes(setup, settings, rows, _folds(setup, rows, seed), told)
    places = {label: place for place, label in enumerate(labels)}
    own = [setup.task.pool.demonstrations[row].label for row in rows]
    margins = votes.max(axis=1) - votes[np.arange(len(rows)), [places[label] for label in own]]
    disputed = [at for at in np.argsort(-margins, kind="stable").tolist() if margins[at] > 0]
    found = []
    for done, at in enumerate(disputed, 1):
        stop_if_cancelled()
        likelier, nearest = labels[int(votes[at].argmax())], _nearest(setup, settings, rows[at])
        found.append(Suspect(rows[at], own[at], likelier, float(margins[at]), nearest))
        told(LOOKING, done, len(disputed))
    return found


def _votes(
    setup: Setup, settings: QuerySettings, rows: Sequence[int], folds: NDArray[np.intp], told: OnProgress
) -> NDArray[np.float64]:
    """float64 [rows, labels]: what classifiers of the other folds vote on each of `rows`."""
    pool, embeddings = setup.task.pool, setup.task.embeddings(settings.embedder)
    labels = [demonstration.label for demonstration in pool.demonstrations]
    votes = np.zeros((len(rows), len(pool.labels)))
    for fold in range(FOLDS):
        judged, others = ([rows[at] for at in np.flatnonzero(mask).tolist()] for mask in (folds == fold, folds != fold))
        for name in classifiers_of(settings):
            stop_if_cancelled()
            told(TRAINING, fold, FOLDS)
            if judged and others:
                votes[folds == fold] += votes_on_rows(name, pool.texts, labels, judged, others, embeddings, pool.labels)
    return votes


def _folds(setup: Setup, rows: list[int], seed: int) -> NDArray[np.intp]:
    """Of each of `rows` the fold that it is in: all rows of a text in one, and each label spread over all."""
    demonstrations = setup.task.pool.demonstrations
    order = [*rows]
    random.Random(seed).shuffle(order)
    of_text: dict[str, int] = {}
    for at, row in enumerate(sorted(order, key=lambda row: demonstrations[row].label)):
        of_text.setdefault(demonstrations[row].text.casefold(), at % FOLDS)
    return np.array([of_text[demonstrations[row].text.casefold()] for row in rows], np.intp)


def _nearest(setup: Setup, settings: QuerySettings, row: int) -> tuple[str, ...]:
    """Labels of the rows that are nearest to a row, but for those of its text."""
    task = setup.task
    text = task.pool.demonstrations[row].text
    if "embedder" in settings.of_retrieval(rows=True):
        task.embeddings(settings.embedder).as_query(row)
    ranking = task.row_retriever(settings).rank(text)
    others = ranking.scores > 0
    others[[*setup.unread, *task.rows_equal_to(text)]] = False
    return tuple(task.pool.demonstrations[other].label for other in ranking.best(NEAREST, others))


def most_disputed(setup: Setup, suspects: Sequence[Suspect], count: int) -> list[Suspect]:
    """The first `count` of them, and of each label as many as leave it half of its rows."""
    left = Counter(setup.task.pool.demonstrations[row].label for row in _usable(setup))
    most = {label: there // 2 for label, there in left.items()}
    found: list[Suspect] = []
    for suspect in suspects:
        if len(found) < count and most[suspect.label] > 0:
            most[suspect.label] -= 1
            found.append(suspect)
    return found


def ask_without(
    setup: Setup, settings: QuerySettings, suspects: Sequence[Suspect], *, on_progress: OnProgress | None = None
) -> Iterator[tuple[Suspect, Prediction]]:
    """The model's answers to the texts of suspects, where none of them is read; without those that fit no context."""
    if not suspects:
        return
    demonstrations, told = setup.task.pool.demonstrations, on_progress or _untold
    asked = {demonstrations[suspect.row]: suspect for suspect in suspects}
    unread = {equal for each in asked for equal in setup.task.rows_equal_to(each.text)}
    told(ASKING, 0, len(asked))
    method = make_method(METHOD, settings).fit(setup.without(unread))
    for each, answer in answered_rows(method, list(asked), lambda done, total: told(ASKING, done, total)):
        stop_if_cancelled()
        yield asked[each], answer


def _issue(setup: Setup, suspect: Suspect, answer: Prediction) -> LabelIssue:
    row, shares = setup.task.pool.demonstrations[suspect.row], answer.probabilities
    return LabelIssue(row, answer.label, shares[answer.label], shares[row.label], suspect.nearest)


def _untold(what: str, done: int, total: int) -> None:
    """Nobody wants to know."""


def _usable(setup: Setup) -> list[int]:
    """Rows that are looked at."""
    demonstrations = setup.task.pool.demonstrations
    return [row for row, each in enumerate(demonstrations) if row not in setup.unread and not each.taught]
