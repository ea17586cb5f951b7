"""What an answer shows of whether any label fits.

Knows nothing about how it is judged.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dbsa_core.errors import SettingsError
from dbsa_core.methods import Method
from dbsa_core.prediction import Prediction
from dbsa_core.setup import Setup

SIGNS = ("best", "outside", "nearness", "rival")
"""Of an answer: the log-probability of the most probable label that is not the one out of scope; the log-odds of all
that is no label; how much the row in scope that is most like the text is like it, from 0 to 1; and the log-odds against
that label of the one out of scope, or of the runner-up where there is none such."""
DIRECTIONS = np.array([1.0, -1.0, 1.0, -1.0])
"""[SIGNS]: 1 where more of it speaks for a label, -1 where it speaks against all."""
_LEAST = 1e-6
_OUTSIDE = 0.01
"""Nearer to 0 or 1, outside mass is the model's rounding."""
_RIVAL = 12.0


def embedder_of(method: Method) -> str | None:
    """By which sentence encoder nearness is told: the one whose vectors the method reads; None where it reads none, and
    words tell it."""
    return method.settings.embedder if "embedder" in method.uses else None


def signs_of(
    found: Prediction,
    setup: Setup,
    out_of_scope: str | None,
    embedder: str | None = None,
    near: float | None = None,
) -> NDArray[np.float64]:
    """float64 [SIGNS]; `setup` is what the method is fitted to, `near` the `nearness` of the query where it is known
    already. Raises `SettingsError` for greedy decoding."""
    shares = found.scores.probabilities
    if shares is None:
        raise SettingsError(
            "Greedy decoding knows no probabilities, and a reject option needs them; choose exact decoding."
        )
    labels, mass = found.labels, found.scores.label_mass
    out = labels.index(out_of_scope) if out_of_scope in labels else None
    ranked = [index for index in found.scores.ranked() if index != out]
    best = float(shares[ranked[0]]) if ranked else 0.0
    against = out if out is not None else (ranked[1] if len(ranked) > 1 else None)
    rival = float(shares[against]) if against is not None else 0.0
    outside = min(max(1.0 - mass, _OUTSIDE), 1.0 - _OUTSIDE)
    odds = math.log(max(rival, _LEAST**2) / max(best, _LEAST**2))
    return np.array(
        [
            math.log(max(best * mass, _LEAST)),
            math.log(outside / (1.0 - outside)),
            nearness(found.query, setup, out_of_scope, embedder) if near is None else near,
            min(max(odds, -_RIVAL), _RIVAL),
        ]
    )


def nearness(text: str, setup: Setup, out_of_scope: str | None, embedder: str | None = None) -> float:
    """How much the most similar row that may be read, and has a label in scope, is like the text, from 0 to 1: by the
    cosine of that encoder's vectors, or by BM25, as a share of the text's own score."""
    task = setup.task
    alike = task.row_index.likeness(text) if embedder is None else task.embeddings(embedder).cosines(text).copy()
    alike[list(setup.held_out)] = 0.0
    alike[task.rows_of(out_of_scope)] = 0.0
    return min(float(alike.max(initial=0.0)), 1.0)
