"""The recorded answer belongs to the example as it is, and is small; another is refused, and said to be."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from app.ask import recorded
from app.ask.cards import answer_view
from app.ask.from_prediction import shown_answer, shown_method
from app.ask.lists import below_view
from app.server.example import NAME, QUERIES, Example
from app.server.workspace import Workspace
from dbsa_core import QuerySettings, make_method
from tests.app.pages import check_harmless


@pytest.fixture
def example() -> Example:
    return Example(Workspace())


def test_the_recorded_answer_is_of_the_bundled_example(example: Example) -> None:
    found = example.recorded
    assert found is not None, "run tools/record_example.py"
    answer = found.answer
    assert recorded.FILE.stat().st_size <= 100_000
    assert (answer.query, answer.pool.name, answer.pool.rows) == (QUERIES[0], NAME, len(example.data.pool))
    assert answer.pool.complete
    assert answer.pool.window == example.settings.window
    assert (answer.method.method, answer.method.cold) == ("dbsa_fresh", False)
    (other,) = answer.compared
    assert (other.method, other.cold) == ("retrieval_icl", False)
    assert len(answer.method.measured) == len(other.measured) >= 5
    demonstrations = {one.row: one for one in example.data.pool.demonstrations}
    for row in (row for part in answer.parts for row in part.rows):
        assert "".join(text for text, _ in row.text) == demonstrations[row.number].text
        assert "".join(text for text, _ in row.label) == demonstrations[row.number].label
    for page in (answer_view(answer), below_view(answer)):
        check_harmless(page)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"form": "another"}, "written by another version"),
        ({"data": "another"}, "of other data"),
        ({"answer": None}, "cannot be read"),
    ],
)
def test_another_file_is_refused_and_that_is_said(
    example: Example, tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict[str, object], why: str
) -> None:
    file, fingerprint = tmp_path / "answer.json", example.data.pool.fingerprint
    plain = json.loads(recorded.FILE.read_text(encoding="utf-8"))
    file.write_text(json.dumps(plain), encoding="utf-8")
    assert recorded.read(QUERIES[0], fingerprint, file) is not None
    with caplog.at_level(logging.WARNING):
        assert recorded.read("another query", fingerprint, file) is None
        assert "of another query" in caplog.text
        file.write_text(json.dumps(plain | change), encoding="utf-8")
        assert recorded.read(QUERIES[0], fingerprint, file) is None
        assert why in caplog.text
        file.write_text("{", encoding="utf-8")
        assert recorded.read(QUERIES[0], fingerprint, file) is None


@pytest.mark.slow
def test_the_embedded_model_answers_as_recorded() -> None:
    workspace = Workspace()
    example = Example(workspace)
    assert example.start().wait(300)
    assert example.recorded is not None
    assert example.encoded is not None
    setup, settings = example.encoded.setup, QuerySettings()
    then = example.recorded.answer
    made = [make_method(name, settings).fit(setup).predict(then.query) for name in ("dbsa_fresh", "retrieval_icl")]
    now = shown_answer(made[0], setup, settings, NAME, [shown_method(made[1], setup, settings)])
    assert now.read == then.read
    assert (now.pool.blocks, now.pool.encoded) == (then.pool.blocks, then.pool.encoded)
    for mine, recorded_one in ((now.method, then.method), (now.compared[0], then.compared[0])):
        assert mine.label == recorded_one.label
        assert mine.context_tokens == recorded_one.context_tokens
        shares = {label.name: label.probability for label in mine.best}
        for label in recorded_one.best[:2]:
            assert shares[label.name] == pytest.approx(label.probability, abs=0.02)
    workspace.jobs.close()
