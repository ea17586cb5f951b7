"""What scoring found about the candidate labels: exact log-probabilities, or intervals where some were left open.

Knows nothing about how it was found; numbers in, probabilities out. Votes of others (`dbsa_core.classifiers`) are added
to the model's log-probabilities, and the candidates' probabilities are of the sums: the model's own stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import torch

Way = Literal["one_pass", "best_first", "greedy", "classifier"]
"""The last is of methods that ask no language model."""


@dataclass(frozen=True)
class OpenLabels:
    """Labels that were not scored one by one, because they begin with tokens behind which nothing was asked."""

    labels: tuple[int, ...]
    """Their indices."""
    log_mass: float
    """Log-probability of the tokens that they begin with: together they have at most this much."""


@dataclass(frozen=True)
class LabelScores:
    """What scoring found; arrays are in the order of `labels`.

    With Z the probability of all finished labels and B that of what was left open, the candidates have together between
    Z and Z + B of the model's probability. So a finished label of probability p has between p / (Z + B) and p / Z among
    the candidates, and labels left open with mass b between 0 and b / (Z + b). Votes are factors of what each label has
    at most.
    """

    labels: tuple[str, ...]
    log_probs: np.ndarray
    """float64 [labels]: exact log-probability of label and terminator; -inf for labels that were left open."""
    way: Way
    best: int
    forwards: int
    tokens: int
    """Tokens that went through the model, prompt included."""
    open: tuple[OpenLabels, ...] = ()
    """Each label that is not finished stands in exactly one of these."""
    mass: torch.Tensor | None = None
    """[layers, heads, spans], if it was asked for."""
    token_mass: torch.Tensor | None = None
    """[tokens] of prefix and prompt, the mean of all heads, beside `mass`."""
    warming_up: bool = False
    """Whether a faster way for such queries was being prepared meanwhile."""
    votes: np.ndarray | None = None
    """float64 [labels]: what is added to each log-probability before `best` is chosen; None is nothing."""

    @property
    def label(self) -> str:
        return self.labels[self.best]

    @property
    def exact(self) -> bool:
        """Whether every label's probability is known."""
        return not self.open

    @property
    def unscored(self) -> list[int]:
        """Indices of the labels that were left open, in label order; with greedy decoding, all but the one walked."""
        return [int(index) for index in np.flatnonzero(~np.isfinite(self.log_probs))]

    @property
    def open_mass(self) -> float:
        """B: the labels that were left open have together at most this probability."""
        return float(sum(np.exp(part.log_mass) for part in self.open))

    @cached_property
    def intervals(self) -> np.ndarray | None:
        """float64 [2, labels]: least and greatest probability among the candidate labels; equal where `exact`.

        None for greedy decoding, which follows one label and learns nothing of the others' share.
        """
        if self.way == "greedy":
            return None
        finished, left = self._weights
        z, b = finished.sum(), sum(own.max() for own in left)
        low, high = finished / (z + b), finished / z
        for part, own in zip(self.open, left, strict=True):
            high[list(part.labels)] = own / (z + own)
        return np.stack([low, high])

    @cached_property
    def probabilities(self) -> np.ndarray | None:
        """float64 [labels], summing to 1: the softmax over the candidate labels where `exact`.

        Else half of what was left open is taken to be labels', in equal parts among those that begin alike; each value
        lies within its interval. None for greedy decoding.
        """
        if self.way == "greedy":
            return None
        finished, left = self._weights
        total = finished.sum() + sum(own.mean() for own in left) / 2
        values = finished / total
        for part, own in zip(self.open, left, strict=True):
            values[list(part.labels)] = own / 2 / len(part.labels) / total
        return np.asarray(values)

    @cached_property
    def _weights(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """What the finished labels weigh [labels], and the most that each label of each part left open may, both as
        multiples of the best one."""
        added = np.zeros(len(self.labels)) if self.votes is None else self.votes
        best = self.log_probs[self.best] + added[self.best]
        return np.exp(self.log_probs + added - best), [
            np.exp(part.log_mass + added[list(part.labels)] - best) for part in self.open
        ]

    @property
    def outside_mass(self) -> tuple[float, float]:
        """Least and greatest probability that the model gives to anything that is no candidate label."""
        finished = float(np.exp(self.log_probs).sum())
        return min(1.0, max(0.0, 1.0 - finished - self.open_mass)), min(1.0, max(0.0, 1.0 - finished))

    @property
    def label_mass(self) -> float:
        """The model's probability of all labels together; half of what was left open is taken to be labels'."""
        return 1.0 - sum(self.outside_mass) / 2

    def best_but(self, label: str | None) -> int:
        """Index of the most probable label other than that one, where there is another; None: of any."""
        if self.label != label or len(self.labels) == 1:
            return self.best
        return next(index for index in self.ranked() if index != self.best)

    def ranked(self) -> list[int]:
        """Label indices, most probable first; ties in label order."""
        estimate = np.exp(self.log_probs) if self.probabilities is None else self.probabilities
        sums = self.log_probs if self.votes is None else self.log_probs + self.votes
        # Probabilities first, since labels left open have no log-probability; it orders those that round to 0.
        return [int(i) for i in np.lexsort((np.arange(len(self.labels)), -sums, -estimate))]

    @cached_property
    def by_model(self) -> LabelScores:
        """The same without votes."""
        return self if self.votes is None else replace(self, votes=None, best=int(self.log_probs.argmax()))
