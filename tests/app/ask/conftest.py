"""A prediction over a small pool with texts that are evil, and what is shown of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.ask.from_prediction import shown_answer, shown_method
from app.ask.shown import ShownAnswer, ShownMethod
from dbsa_core.methods import Setup, make_method
from dbsa_core.prediction import Prediction
from dbsa_core.settings import QuerySettings
from tests.app.pages import IMAGE, SCRIPT

QUERY = "my card is lost"
SETTINGS = QuerySettings(ratio=0.6, fresh_demonstrations=3)


@pytest.fixture(scope="session")
def prediction(setup: Setup) -> Prediction:
    found = make_method("dbsa_fresh", SETTINGS).fit(setup).predict(QUERY, attention=True)
    return replace(found, notes=(SCRIPT, IMAGE))


@pytest.fixture(scope="session")
def compared(setup: Setup) -> ShownMethod:
    found = make_method("retrieval_icl", SETTINGS).fit(setup).predict(QUERY)
    return shown_method(found, setup, SETTINGS, 0.5)


@pytest.fixture(scope="session")
def shown(setup: Setup, prediction: Prediction, compared: ShownMethod) -> ShownAnswer:
    return shown_answer(prediction, setup, SETTINGS, IMAGE, [compared])
