"""Retrievers here read vectors that no model makes; what makes them is tested by itself."""

from __future__ import annotations

import pytest

from tests.letters import Letters


@pytest.fixture(autouse=True)
def letters(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Letters:
    encoder = Letters()
    if "real_encoder" not in request.keywords:
        monkeypatch.setattr("dbsa_core.retrieve.embeddings.load_embedder", lambda source, device: encoder)
    return encoder
