"""Fitting a reject option to a method, on rows of the labelled file that the method does not read.

Knows nothing about any one method.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from dbsa_core.data import Demonstration
from dbsa_core.errors import DataError
from dbsa_core.methods import Method, Setup
from dbsa_core.methods.base import answered_rows
from dbsa_core.prediction import Prediction
from dbsa_core.reject.option import Point, RejectOption
from dbsa_core.reject.signs import DIRECTIONS, SIGNS, embedder_of, signs_of
from dbsa_core.scope import checked_out_of_scope
from dbsa_core.stage1.progress import OnProgress
from dbsa_core.validation import Validation, draw_unseen, draw_validation

LEAST = 5
"""Rows that a label fits, and as many that none does, are needed at least."""
INVERSE_REGULARISATION = 0.1
FOLDS, REPEATS = 5, 5
SIGNIFICANT = 0.01
"""Where scores tell the kinds apart no better than by this chance, nothing is refused."""
POINTS = 100
"""Of a curve, about."""


@dataclass(frozen=True, eq=False)
class Sample:
    """What a method answered to validation rows, as arrays [rows]."""

    signs: NDArray[np.float64]
    """[rows, SIGNS]"""
    right: NDArray[np.bool_]
    """Whether the most probable label but the one out of scope is the row's."""
    in_scope: NDArray[np.bool_]
    """Whether the row's label is one that the method could answer, and not the one out of scope."""

    def fits(self, out_of_scope: str | None) -> NDArray[np.bool_]:
        """Whether a label is to be answered: to all rows in scope where some are not by their label; else where it
        would be right."""
        return self.right if out_of_scope is None else self.in_scope


def draw_for_option(setup: Setup, out_of_scope: str | None, *, rows: int | None = None, seed: int = 0) -> Validation:
    """The rows that a reject option is fitted on: with those of the label out of scope; where there is none such, with
    rows of labels that are left out for it (`draw_unseen`)."""
    if out_of_scope is None:
        return draw_unseen(setup, rows=rows, seed=seed)
    return draw_validation(setup, rows=rows, out_of_scope=out_of_scope, seed=seed)


def fit_reject_option(
    method: Method,
    setup: Setup,
    *,
    out_of_scope: str | None = None,
    rows: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_encoding: OnProgress | None = None,
) -> RejectOption:
    """Ask a copy of the method, fitted to a setup without them, about rows of the file (`draw_for_option`, about
    `rows`), and fit to its answers whether a label fits.

    With a label `out_of_scope`, its rows are those that no label fits. Without, rows of labels that are left out, and
    those that are answered wrong, are told from right answers. Both kinds weigh the same. The threshold is the least
    whose balanced accuracy (`Point.balanced`, by scores of options that were fitted without the row) is within a
    standard error of the best: it refuses no more than helps beyond noise, and nothing where the scores tell nothing.
    `on_progress(rows answered, rows)`; `on_encoding` of a pool without the rows, where one is needed.

    Raises `SettingsError` for a label that there is not, and for greedy decoding; `DataError` where there are too few
    rows of either kind.
    """
    options = RejectOptions(setup, out_of_scope, rows)
    return options.fit(method, on_progress=on_progress, on_encoding=on_encoding)


@dataclass
class RejectOptions:
    """Options for several methods of one setup, fitted on the same rows, which are encoded without once."""

    setup: Setup
    out_of_scope: str | None = None
    rows: int | None = None
    _drawn: Validation | None = field(default=None, repr=False)

    def fit(
        self,
        method: Method,
        *,
        on_progress: Callable[[int, int], None] | None = None,
        on_encoding: OnProgress | None = None,
    ) -> RejectOption:
        """See `fit_reject_option`."""
        label = self.out_of_scope
        if label is not None:
            label = checked_out_of_scope(label, self.setup.task.pool.labels)
        drawn = self._drawn = self._drawn or draw_for_option(self.setup, label, rows=self.rows)
        if label is not None:
            refused = sum(row.label == label for row in drawn.demonstrations)
            _check_count(len(drawn.demonstrations) - refused, refused, label)
        seconds = 0.0
        if method.reads_blocks:
            drawn = self._drawn = drawn.encode(on_encoding)
            encoded = drawn.setup.encoded_pool()
            seconds = encoded.seconds if encoded is not self.setup.encoded else 0.0
        begun = perf_counter()
        answered = answered_rows(copy.copy(method).fit(drawn.setup), drawn.demonstrations, on_progress)
        embedder = embedder_of(method)
        sample = sample_of(answered, drawn.setup, label, embedder)
        fits = sample.fits(label)
        _check_count(int(fits.sum()), int((~fits).sum()), label)
        option = option_of(sample, label, seconds=seconds + perf_counter() - begun)
        return replace(option, embedder=embedder)


def sample_of(
    answered: Iterable[tuple[Demonstration, Prediction]],
    setup: Setup,
    out_of_scope: str | None,
    embedder: str | None = None,
    near: Mapping[str, float] | None = None,
) -> Sample:
    """What rows were answered by a method that is fitted to that setup, which does not read them; `near` is the
    `nearness` of each text where it is known already."""
    known = {*setup.task.pool.labels} - {out_of_scope}
    signs, right, in_scope = [], [], []
    for row, found in answered:
        signs.append(signs_of(found, setup, out_of_scope, embedder, near[row.text] if near is not None else None))
        right.append(found.labels[found.scores.best_but(out_of_scope)] == row.label)
        in_scope.append(row.label in known)
    return Sample(np.array(signs).reshape(-1, len(SIGNS)), np.array(right, bool), np.array(in_scope, bool))


def _check_count(fits: int, refused: int, out_of_scope: str | None) -> None:
    """`DataError` where there are too few of either kind."""
    if min(refused, fits) >= LEAST:
        return
    if out_of_scope is None:
        kinds = (
            f"Of {fits + refused:,} validation rows, {fits:,} were answered right, and {refused:,} were to be refused"
        )
        todo = "give more rows, or name a label that is out of scope"
    else:
        kinds = f"{fits:,} validation rows have a label that fits, and {refused:,} the label {out_of_scope!r}"
        todo = f"give more rows (half of those of {out_of_scope!r} are held out for it), or take no label for that one"
    raise DataError(f"{kinds}; a reject option is fitted on {LEAST} or more of either kind. For one, {todo}.")


def option_of(sample: Sample, out_of_scope: str | None, *, seconds: float = 0.0) -> RejectOption:
    """The option that is fitted to those answers."""
    return option_and_kept(sample, out_of_scope, seconds=seconds)[0]


def option_and_kept(
    sample: Sample, out_of_scope: str | None, *, seconds: float = 0.0
) -> tuple[RejectOption, NDArray[np.bool_]]:
    """`option_of`, and [rows]: whether each is answered with a label, by options that were fitted without it and the
    threshold of that one."""
    (centres, scales), fits = _standard(sample), sample.fits(out_of_scope)
    scaled = (sample.signs - centres) / scales
    weights, bias = fit_logistic(scaled, fits)
    scores = _cross_fitted(scaled, fits)
    points = [_point(threshold, scores >= threshold, sample, fits) for threshold in _thresholds(scores)]
    chosen = _chosen(points, fits) if _tells(scores, fits) else points[0]
    option = RejectOption(
        out_of_scope=out_of_scope,
        centres=tuple(map(float, centres)),
        scales=tuple(map(float, scales)),
        weights=tuple(map(float, weights)),
        bias=bias,
        threshold=chosen.threshold,
        curve=tuple(_thinned(points, chosen)),
        rows=len(fits),
        rows_out_of_scope=int((~sample.in_scope).sum()),
        seconds=seconds,
    )
    return option, np.asarray(scores >= chosen.threshold)


def _standard(sample: Sample) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[SIGNS]: means of the signs, and their spread."""
    scales = sample.signs.std(0)
    return sample.signs.mean(0), np.where(scales > 0, scales, 1.0)


def fit_logistic(scaled: NDArray[np.float64], fits: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """Weights [SIGNS] and bias of the logistic regression of `scaled` [rows, SIGNS] on `fits` [rows], both kinds
    weighing the same, with a penalty on the weights, none of which has another sign than `DIRECTIONS` says."""
    from scipy.optimize import minimize
    from scipy.special import expit

    each = np.where(fits, 0.5 / fits.sum(), 0.5 / (~fits).sum()) * len(fits) * INVERSE_REGULARISATION
    columns, targets = scaled * DIRECTIONS, np.where(fits, 1.0, -1.0)

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, bias = values[:-1], values[-1]
        margins = targets * (columns @ weights + bias)
        slopes = -each * targets * expit(-margins)
        total = float(each @ np.logaddexp(0.0, -margins)) + float(weights @ weights) / 2
        return total, np.append(columns.T @ slopes + weights, slopes.sum())

    start = np.zeros(columns.shape[1] + 1)
    bounds = [(0.0, None)] * columns.shape[1] + [(None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12, "gtol": 1e-8})
    return found.x[:-1] * DIRECTIONS, float(found.x[-1])


def _cross_fitted(scaled: NDArray[np.float64], fits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[rows]: each row's score by options that were fitted without it, the mean of several."""
    from scipy.special import expit
    from sklearn.model_selection import StratifiedKFold

    folds = min(FOLDS, int(fits.sum()), int((~fits).sum()))
    scores = np.zeros(len(fits))
    for repeat in range(REPEATS):
        for rest, left_out in StratifiedKFold(folds, shuffle=True, random_state=repeat).split(scaled, fits):
            weights, bias = fit_logistic(scaled[rest], fits[rest])
            scores[left_out] += expit(scaled[left_out] @ weights + bias)
    return scores / REPEATS


def _thresholds(scores: NDArray[np.float64]) -> Iterator[float]:
    """0, and one between every two scores that differ."""
    there = np.unique(scores)
    yield 0.0
    yield from ((there[1:] + there[:-1]) / 2).tolist()


def _point(threshold: float, answered: NDArray[np.bool_], sample: Sample, fits: NDArray[np.bool_]) -> Point:
    inside, kept = sample.in_scope, answered & sample.right
    return Point(
        threshold=threshold,
        coverage=float(answered[inside].mean()),
        in_scope_accuracy=float(kept[inside].mean()),
        oos_recall=None if inside.all() else float((~answered)[~inside].mean()),
        right_kept=float(kept[fits].mean()),
        rest_refused=float((~answered)[~fits].mean()),
    )


def _tells(scores: NDArray[np.float64], fits: NDArray[np.bool_]) -> bool:
    """Whether the scores of rows that are to be answered are greater than others' beyond chance (Mann and Whitney
    1947): the best of many thresholds seems to help even where they are not."""
    from scipy.stats import mannwhitneyu

    return bool(mannwhitneyu(scores[fits], scores[~fits], alternative="greater").pvalue < SIGNIFICANT)


def _chosen(points: Sequence[Point], fits: NDArray[np.bool_]) -> Point:
    """The least threshold within a standard error of the best one's balanced accuracy."""
    best = max(points, key=lambda point: point.balanced)
    kept, refused, count = best.right_kept, best.rest_refused, int(fits.sum())
    variance = kept * (1 - kept) / count + refused * (1 - refused) / (len(fits) - count)
    least = best.balanced - float(np.sqrt(variance)) / 2
    return next(point for point in points if point.balanced >= least)


def _thinned(points: Sequence[Point], chosen: Point) -> list[Point]:
    """About `POINTS` of them, first, last and the chosen one among them."""
    at = {int(place) for place in np.linspace(0, len(points) - 1, min(POINTS, len(points)))}
    return [point for place, point in enumerate(points) if place in at or point is chosen]
