"""A workspace over a tiny model, and a session of it with a small file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.server.session import Session
from app.server.workspace import EMBEDDED, Workspace
from dbsa_core import EncodeSettings, LanguageModel
from dbsa_core.files.tables import Table, read_table
from tests.app.server.pools import ROWS, write_csv
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return tiny_model(max_position_embeddings=4096)


@pytest.fixture
def workspace(model: LanguageModel) -> Iterator[Workspace]:
    workspace = Workspace(load=lambda source: model)
    workspace.model(EMBEDDED)
    yield workspace
    workspace.jobs.close()


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return read_table(write_csv(tmp_path / "train.csv", ROWS))


@pytest.fixture
def session(workspace: Workspace, table: Table) -> Session:
    session = workspace.session(None)
    workspace.set_data(session, table)
    session.settings = EncodeSettings(pool_tokens=1500, block_size=4)
    return session
