"""Rankings that avoid saying the same twice: next comes what is like the query and unlike what stands before it.

Knows nothing about how likeness is told. Which document comes next depends on those before it alone, so that the first
few are the same however many are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from dbsa_core.retrieve import Comparable, Ranking

CANDIDATES = 100
"""The first so many of a ranking are put into another order; the others stand behind them as they are."""
REPEATING = 0.3
"""How much it counts that a document repeats those before it, against 1 - 0.3 for its own score (which is divided by
the best one)."""

Repeats = Callable[[int], NDArray[np.float64]]
"""`[candidates]`, from 0 to 1: how much each repeats of those that were taken, now that the one at this place is taken
too."""


class _Reordered:
    """What is like the query comes first, less what it repeats. The scores are those of the ranking below, handed out
    in the new order, so that they still tell how far a place is from the best one."""

    def __init__(self, base: Comparable, way: str) -> None:
        self._base = base
        self.name = f"{base.name}+{way}"

    def rank(self, query: str) -> Ranking:
        """All documents."""
        found = self._base.rank(query)
        candidates = np.array(found.best(CANDIDATES, found.scores > 0), dtype=np.intp)
        if len(candidates) < 2:
            return found
        places = _next_by_next(found.scores[candidates], self._repeats(candidates))
        scores = found.scores.copy()
        scores[candidates[places]] = _apart(found.scores[candidates])
        scores.setflags(write=False)
        return Ranking(scores)

    def matched_words(self, query: str, document: int) -> dict[str, float]:
        return self._base.matched_words(query, document)

    def near_rows(self, query: str, document: int) -> dict[int, float]:
        """See `Retriever.near_rows`."""
        return self._base.near_rows(query, document)

    def _repeats(self, candidates: NDArray[np.intp]) -> Repeats:
        raise NotImplementedError


class MaximalMarginalRelevance(_Reordered):
    """A document repeats as much as it is like the one before it that is most like it (Carbonell and Goldstein, SIGIR
    1998)."""

    def __init__(self, base: Comparable) -> None:
        super().__init__(base, "mmr")

    def _repeats(self, candidates: NDArray[np.intp]) -> Repeats:
        alike = self._base.likenesses(candidates)
        most: NDArray[np.float64] = np.zeros(len(candidates))

        def repeats(taken: int) -> NDArray[np.float64]:
            np.maximum(most, alike[taken], out=most)
            return most

        return repeats


class LabelCoverage(_Reordered):
    """A document repeats as much as the share of its labels that those before it have."""

    def __init__(self, base: Comparable, labels: Sequence[Collection[str]]) -> None:
        super().__init__(base, "labels")
        ids = {label: place for place, label in enumerate(sorted({label for of in labels for label in of}))}
        self._labels = [np.array(sorted({ids[label] for label in of}), dtype=np.intp) for of in labels]
        self._number = len(ids)

    def _repeats(self, candidates: NDArray[np.intp]) -> Repeats:
        has = np.zeros((len(candidates), self._number))
        for place, document in enumerate(candidates):
            has[place, self._labels[document]] = 1.0
        each = np.maximum(has.sum(axis=1), 1.0)
        covered = np.zeros(self._number, bool)
        shared = np.zeros(len(candidates))

        def repeats(taken: int) -> NDArray[np.float64]:
            new = (has[taken] > 0) & ~covered
            covered[new] = True
            if new.any():
                np.add(shared, has[:, new].sum(axis=1), out=shared)
            part: NDArray[np.float64] = shared / each
            return part

        return repeats


def _next_by_next(scores: NDArray[np.float64], repeats: Repeats) -> NDArray[np.intp]:
    """Places of candidates, whose scores are falling, in the order in which they are taken."""
    worth = (1 - REPEATING) * scores / scores[0]
    taken = [0]
    left = np.ones(len(scores), bool)
    left[0] = False
    while left.any():
        value = np.where(left, worth - REPEATING * repeats(taken[-1]), -np.inf)
        taken.append(int(value.argmax()))
        left[taken[-1]] = False
    return np.array(taken, dtype=np.intp)


def _apart(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Falling scores with equal ones a last bit apart, and all of them above the last one, which documents that are no
    candidates may have too: nothing but the score says then which comes first."""
    found: NDArray[np.float64] = scores.copy()
    least = scores[-1]
    for place in reversed(range(len(found))):
        found[place] = least = max(found[place], np.nextafter(least, np.inf))
    return found
