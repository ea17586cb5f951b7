"""A source names a model and how its weights are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dbsa_core as dbsa
from app.server import models
from app.server.models import AS_SAVED, EMBEDDED, ROUNDED, load_model, parted, source_of
from app.tabs.model import WEIGHTS as OFFERED
from dbsa_core.model.weights import WEIGHTS


def test_the_page_offers_what_the_library_has() -> None:
    assert (AS_SAVED, *ROUNDED) == WEIGHTS
    assert tuple(value for _, value in OFFERED) == WEIGHTS


@pytest.mark.parametrize("place", ["org/name", "/models/a@b/model.gguf", "embedded", "me@home"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_source_is_a_place_and_its_weights(place: str, weights: str) -> None:
    assert parted(source_of(f" {place} ", weights)) == (place, weights)


def test_a_place_that_says_how_weights_are_kept_is_left_as_it_is() -> None:
    assert source_of("org/name@nf4", "int8") == "org/name@nf4"


def test_a_model_is_loaded_with_the_weights_of_its_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(dbsa.LanguageModel, "load", lambda place, **options: asked.append((place, options)))
    monkeypatch.setattr(models, "embedded_gguf", lambda fetch: tmp_path)
    for source in ("org/name@nf4", "org/name", EMBEDDED, f"{EMBEDDED}@int8"):
        load_model(source)
    kinds = ["nf4", "model", "model", "int8"]
    assert [place for place, _ in asked] == ["org/name", "org/name", EMBEDDED, EMBEDDED]
    assert [options["weights"] for _, options in asked] == kinds
