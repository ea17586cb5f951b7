"""Models for this machine: what each takes, what does not fit and why, and the words of the buttons."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
import transformers

from app.server import catalogue
from app.server.asking import classify_text
from app.server.catalogue import KNOWN, offers
from app.server.session import Session
from app.server.workspace import EMBEDDED, Workspace
from app.tabs.model import model_buttons, model_note, offer_words
from dbsa_core import LanguageModel, speed
from tests.app.server.pools import SOON, encoded
from tests.tiny import tiny_model

PLENTY = 10**12


@pytest.fixture(scope="module")
def loaded() -> LanguageModel:
    return tiny_model("llama", seed=11)


@pytest.fixture(autouse=True)
def nothing_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_download", lambda known: 0 if known.source == EMBEDDED else 2 * known.parameters)


def test_each_model_has_its_price_scaled_by_its_parameters(
    loaded: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [offer.seconds for offer in offers(loaded, PLENTY)] == [None] * 4, "no speed is known, and none is tried"
    monkeypatch.setattr(speed, "known_speed", lambda model: 1000.0)
    found = offers(loaded, PLENTY, query_tokens=500)
    own = sum(weight.numel() for weight in loaded.model.parameters())
    assert [offer.seconds for offer in found] == [pytest.approx(0.5 * known.parameters / own) for known in KNOWN]
    assert [offer.memory_bytes for offer in found] == [4 * known.parameters for known in KNOWN], "float32 on a CPU"
    assert [offer.refused for offer in found] == [""] * 4


def test_what_does_not_fit_says_what_it_needs_and_what_there_is(loaded: LanguageModel) -> None:
    found = offers(loaded, 8 * 10**9)
    assert [bool(offer.refused) for offer in found] == [False, False, False, True]
    assert found[3].refused == "needs 37 GB of memory, 8.0 GB are free"
    assert offer_words(found[3], in_use=False, there=False) == f"Qwen2.5-7B-Instruct\n{found[3].refused}"


def test_a_button_says_what_a_model_takes(loaded: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "known_speed", lambda model: 350.0)
    monkeypatch.setattr(type(loaded.model), "num_parameters", lambda self: 134_515_008)
    found = offers(loaded, PLENTY)
    said = [offer_words(offer, in_use=offer.model.source == EMBEDDED, there=False) for offer in found]
    assert said[0] == "SmolLM2-135M-Instruct\nin use · its files are here · memory 0.5 GB · about 1.0 s a query"
    assert said[2] == "Qwen2.5-1.5B-Instruct\ndownload 3.1 GB · memory 6.2 GB · about 11 s a query"
    assert offer_words(found[1], in_use=False, there=True).startswith("Qwen2.5-0.5B-Instruct\nloaded · memory 2.0 GB")


def values(buttons: list[Any]) -> list[tuple[str, bool]]:
    return [(button.value.split("\n")[0], button.interactive) for button in buttons]


def test_a_model_loads_beside_the_one_before_which_keeps_answering(
    workspace: Workspace, session: Session, model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbsa_core.devices.free_memory", lambda device: PLENTY)
    encoded(workspace, session)
    names = [known.name for known in KNOWN]
    assert values(model_buttons(workspace, session)) == list(zip(names, [False, True, True, True], strict=True))
    other, loading, release = tiny_model("qwen2", max_position_embeddings=4096), threading.Event(), threading.Event()

    def load(source: str) -> LanguageModel:
        assert source == KNOWN[1].source
        loading.set()
        assert release.wait(SOON)
        return other

    monkeypatch.setattr(workspace.models, "load", load)
    job = workspace.load_model_job(session, KNOWN[1].source)
    assert loading.wait(SOON)
    assert "the one before it answers" in model_note(workspace, session)
    assert values(model_buttons(workspace, session)) == [(name, False) for name in names]
    answer = classify_text(workspace, session, "text about water", compare=False)
    assert (answer.prediction.method, answer.setup.task.model) == ("dbsa_fresh", model)
    release.set()
    assert job.wait(SOON)
    assert session.model_source == KNOWN[1].source
    assert f"{other.name} is loaded" in model_note(workspace, session)
    assert values(model_buttons(workspace, session)) == list(zip(names, [True, False, True, True], strict=True))


def test_before_a_model_is_there_names_alone_are_offered() -> None:
    workspace = Workspace()
    assert values(model_buttons(workspace, workspace.session(None))) == [
        (known.name, known.source != EMBEDDED) for known in KNOWN
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("known", "shape"),
    [
        (KNOWN[1], (896, 4864, 24, 14, 2, 151_936, True)),
        (KNOWN[2], (1536, 8960, 28, 12, 2, 151_936, True)),
        (KNOWN[3], (3584, 18_944, 28, 28, 4, 152_064, False)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_parameters_are_those_of_the_published_shapes(known: catalogue.KnownModel, shape: tuple[Any, ...]) -> None:
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    settings = dict(zip((*names, "vocab_size", "tie_word_embeddings"), shape, strict=True))
    with torch.device("meta"):
        model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**settings))
    assert model.num_parameters() == known.parameters
