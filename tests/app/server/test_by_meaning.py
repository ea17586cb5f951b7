"""Rows that are found by their meaning: made ready once, in sight, and told on the page."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.ask.from_prediction import shown_answer
from app.ask.lists import below_view
from app.server.asking import begin_query, classify_text
from app.server.session import Session
from app.server.workspace import Workspace
from app.tabs.controls import apply_controls, retriever_name
from app.tabs.header import header_view
from dbsa_core.errors import ModelError
from dbsa_core.retrieve import RETRIEVERS, embeddings
from dbsa_core.settings import QuerySettings
from tests.app.pages import text_of
from tests.app.server.pools import SOON, encoded
from tests.letters import Letters

QUERY = "text about water"


class Held(Letters):
    """Waits before its second part of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        if len(self.embedded) > 10:
            assert self.go_on.wait(SOON)
        return super().embed(texts)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Held:
    encoder = Held()
    monkeypatch.setenv("DBSA_CACHE", str(tmp_path))
    monkeypatch.setattr(embeddings, "WORTH_KEEPING", 4)
    monkeypatch.setattr(embeddings, "_AT_ONCE", 10)
    monkeypatch.setattr("dbsa_core.retrieve.embeddings.load_embedder", lambda source, device: encoder)
    return encoder


def test_the_page_says_how_far_rows_are_read_and_then_tells_their_cosines(
    workspace: Workspace, session: Session, held: Held
) -> None:
    encoded(workspace, session)
    session.query_settings = QuerySettings(row_retriever="hybrid")
    job = begin_query(workspace, session, QUERY, compare=False)
    until = threading.Event()
    for _ in range(200):
        if "reading rows by meaning: 10 of 36" in text_of(header_view(workspace, session)):
            break
        until.wait(0.05)
    else:
        pytest.fail(text_of(header_view(workspace, session)))
    held.go_on.set()
    answer = job.outcome()
    assert "by meaning" not in text_of(header_view(workspace, session))
    shown = shown_answer(answer.prediction, answer.setup, answer.settings, "train.csv")
    similar = [part for part in shown.parts if part.name == "Similar row"]
    near = [part.rows[0].near for part in similar]
    assert all(one is not None and -1 <= one <= 1 for one in near)
    assert f"cosine {near[0]:.2f}" in text_of(below_view(shown))
    assert "nearest by meaning first" not in text_of(below_view(shown)), "rows in blocks go by words here"
    session.query_settings = replace(session.query_settings, retriever="dense")
    answer = classify_text(workspace, session, QUERY, compare=False)
    shown = shown_answer(answer.prediction, answer.setup, answer.settings, "train.csv")
    assert "nearest by meaning first" in text_of(below_view(shown))
    for part in shown.parts:
        order = [row.near for row in part.rows]
        assert order == sorted(order, reverse=True)  # type: ignore[type-var]
    assert held.embedded.count(answer.setup.task.pool.texts[0]) == 1


@pytest.mark.parametrize(
    ("retriever", "places"),
    [
        ("dense", ["nearest", "2nd nearest"]),
        ("bm25+labels", ["1st chosen", "2nd chosen"]),
        ("random", ["drawn at random"]),
    ],
)
def test_a_similar_row_is_called_what_it_is(
    workspace: Workspace, session: Session, held: Held, retriever: str, places: list[str]
) -> None:
    held.go_on.set()
    encoded(workspace, session)
    session.query_settings = QuerySettings(row_retriever=retriever)
    answer = classify_text(workspace, session, QUERY, compare=False)
    shown = shown_answer(answer.prediction, answer.setup, answer.settings, "train.csv")
    said = {part.note.split(",")[0] for part in shown.parts if part.name == "Similar row"}
    assert set(places) <= said


def test_what_is_not_installed_is_refused_when_it_is_chosen(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    before = session.query_settings
    rest = (1, "pool", "sequential", "exclude", "model", 42, "Text:", "Label:")
    for names in (("hybrid", "bm25", "none"), ("bm25", "dense+mmr", "none"), ("bm25", "bm25", "words+vectors")):
        with pytest.raises(ModelError, match=r"pip install -r requirements-dense.txt"):
            apply_controls(session, None, 2, True, 0.3, 8, *names, *rest)
        assert session.query_settings == before


def test_each_retriever_has_a_name_of_its_own() -> None:
    names = [retriever_name(name) for name in RETRIEVERS]
    assert len(set(names)) == len(RETRIEVERS)
    assert retriever_name("hybrid+mmr") == "Hybrid, by words and meaning, unlike each other (MMR)"
