"""A fitted reject option: a number for how well any label fits, and the threshold below which none does.

Knows nothing about how it was fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dbsa_core.errors import DataError, SettingsError
from dbsa_core.prediction import Prediction, Verdict
from dbsa_core.reject.signs import SIGNS, signs_of
from dbsa_core.setup import Setup


@dataclass(frozen=True)
class Point:
    """What a threshold does to the validation rows, by scores of options that were fitted without them."""

    threshold: float
    coverage: float
    """Share of the rows in scope that are answered with a label."""
    in_scope_accuracy: float
    """Share of them that are, and right."""
    oos_recall: float | None
    """Share refused of the rows that no label fits; None where there are none."""
    right_kept: float
    """What the threshold is chosen by: the share of right answers among rows that are to have one,"""
    rest_refused: float
    """and the share refused of all others."""

    @property
    def balanced(self) -> float:
        """Their mean."""
        return (self.right_kept + self.rest_refused) / 2

    @property
    def accuracy(self) -> float | None:
        """Of the rows in scope that are answered; None where none is."""
        return self.in_scope_accuracy / self.coverage if self.coverage else None


@dataclass(frozen=True)
class RejectOption:
    """A logistic regression of `SIGNS`, standardised, and its threshold."""

    out_of_scope: str | None
    """The label of texts that fit no other; None where there is none, and it tells right answers from wrong ones."""
    centres: tuple[float, ...]
    """[SIGNS]"""
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    threshold: float
    curve: tuple[Point, ...] = ()
    """From the least threshold, which refuses nothing, to the greatest."""
    rows: int = 0
    """Validation rows that it was fitted on."""
    rows_out_of_scope: int = 0
    """Of them, those that no label fits: of the label out of scope, or of labels that were left out for it."""
    seconds: float = 0.0
    """That fitting took, the answers to validation rows included."""
    embedder: str | None = None
    """By which sentence encoder nearness is told; None for words."""

    def score(self, signs: NDArray[np.float64]) -> float:
        """The in-scope score, from 0, no label fits, to 1, of float64 [SIGNS]."""
        from scipy.special import expit  # takes long to import, and is used here alone

        scaled = (signs - np.array(self.centres)) / np.array(self.scales)
        logit = self.bias + float(scaled @ np.array(self.weights))
        return float(expit(logit))

    def verdict(self, signs: NDArray[np.float64]) -> Verdict:
        """Whether any label fits."""
        return Verdict(self.score(signs), self.threshold, self.out_of_scope)

    def judge(self, found: Prediction, setup: Setup) -> Verdict:
        """The same of an answer by a method that is fitted to that setup."""
        return self.verdict(signs_of(found, setup, self.out_of_scope, self.embedder))

    def with_threshold(self, threshold: float) -> RejectOption:
        """The same with another threshold: from 0, which refuses nothing, to 1. Raises `SettingsError`."""
        if not 0 <= threshold <= 1:
            raise SettingsError(
                f"The threshold of the in-scope score is {threshold:g}; it must be from 0, which refuses nothing, to 1."
            )
        return replace(self, threshold=float(threshold))

    def at_cost(self, cost: float) -> RejectOption:
        """The same with the greatest threshold of its curve that costs no more than `cost` (0.01: a point) of the
        in-scope accuracy of an option that refuses nothing.

        Raises `SettingsError` for a cost that is not from 0 to 1, and for an option without a curve.
        """
        if not 0 <= cost <= 1:
            raise SettingsError(
                f"The in-scope accuracy that a reject option may cost is {cost:g}; it must be from 0, nothing, to 1 "
                "(0.01 is one point of a hundred)."
            )
        least = self._points[0].in_scope_accuracy - cost - 1e-9
        return self.with_threshold(max(each.threshold for each in self.curve if each.in_scope_accuracy >= least))

    def at_recall(self, recall: float) -> RejectOption:
        """The same with the least threshold of its curve that refuses so much (0.8: four of five) of the rows that no
        label fits, or the greatest one where none does.

        Raises `SettingsError` for a recall that is not from 0 to 1, and for an option without a curve or without such
        rows.
        """
        if not 0 <= recall <= 1:
            raise SettingsError(
                f"The share of texts out of scope that is to be refused is {recall:g}; it must be from 0, none, to 1, "
                "all."
            )
        known = [(each.threshold, each.oos_recall) for each in self._points if each.oos_recall is not None]
        if not known:
            raise SettingsError(
                "This reject option was fitted without a row that no label fits, so it cannot tell which threshold "
                "refuses how many. Give a threshold."
            )
        return self.with_threshold(next((least for least, share in known if share >= recall), known[-1][0]))

    @property
    def _points(self) -> tuple[Point, ...]:
        """Its curve, which is there."""
        if not self.curve:
            raise SettingsError("This reject option has no curve to choose a threshold from: give one, or fit it anew.")
        return self.curve

    @property
    def point(self) -> Point | None:
        """That of the curve which the threshold in force comes nearest to."""
        return min(self.curve, key=lambda point: abs(point.threshold - self.threshold), default=None)

    @property
    def sentence(self) -> str:
        """In words: on what it was fitted, and what its threshold does there."""
        kind = f'have the label "{self.out_of_scope}"' if self.out_of_scope else "have labels left out for it"
        fitted = (
            f"a reject option was fitted on {self.rows:,} rows of the file, {self.rows_out_of_scope:,} of which {kind}"
        )
        if (point := self.point) is None:
            return f"{fitted}."
        recall = "" if point.oos_recall is None else f" {point.oos_recall:.0%} of those and"
        return (
            f"{fitted}; below an in-scope score of {self.threshold:.2f} no label fits, which refuses{recall} "
            f"{1 - point.coverage:.0%} of the others; {point.in_scope_accuracy:.0%} of the others are answered right."
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values; what `from_json` takes."""
        return {**asdict(self), "signs": list(SIGNS)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> RejectOption:
        """Of what `as_json` gave; `DataError` for anything else."""
        try:
            fields = dict(plain)
            if tuple(fields.pop("signs")) != SIGNS:
                raise ValueError("it has other signs")
            curve = tuple(Point(**point) for point in fields.pop("curve"))
            for name in ("centres", "scales", "weights"):
                fields[name] = tuple(map(float, fields[name]))
                if len(fields[name]) != len(SIGNS):
                    raise ValueError(f"it needs {len(SIGNS)} {name}")
            return cls(**fields, curve=curve)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"A reject option of this version was expected ({error}); fit it anew.") from error
