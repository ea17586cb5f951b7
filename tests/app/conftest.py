"""A small pool with texts that are evil, encoded by a tiny model."""

from __future__ import annotations

import pytest

from dbsa_core.data import Demonstration, Pool
from dbsa_core.methods import Setup
from dbsa_core.settings import EncodeSettings
from dbsa_core.task import Task
from tests.app.pages import ROWS
from tests.tiny import tiny_model


@pytest.fixture(scope="session")
def setup() -> Setup:
    pool = Pool.of([Demonstration(text, label, row) for row, (text, label) in enumerate(ROWS, start=101)])
    return Setup.of(Task(tiny_model(), pool), EncodeSettings(block_size=2, pool_tokens=300)).encode()
