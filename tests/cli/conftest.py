"""A tiny model and a small file, for the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.random_model import byte_tokenizer
from dbsa_core.cli.commands import main
from tests.cli.outcome import LABELS, Outcome, Run, write_rows
from tests.tiny import WIDE, stock_model


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for one another cost a tiny model more than they bring, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers with a real tokenizer of single bytes, as `save_pretrained` leaves them."""
    folder = tmp_path_factory.mktemp("model")
    byte_tokenizer().save_pretrained(folder)
    stock_model("llama", num_hidden_layers=2, max_position_embeddings=2048, **WIDE).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training file of 30 rows, and a test file beside it that shares one row and knows one label more."""
    folder = tmp_path_factory.mktemp("data")
    rows = [(f"the {('light', 'water', 'frame')[i % 3]} is bad {i}", LABELS[i % 3]) for i in range(30)]
    write_rows(
        folder / "test.csv", [rows[0], ("the roof leaks", "roof"), *((f"new light {i}", "lamp") for i in range(6))]
    )
    return write_rows(folder / "train.csv", rows)


@pytest.fixture
def run(model_folder: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command in this process on the tiny model; `data=None` leaves --data out."""

    def run(command: str, *options: object, data: Path | None = data) -> Outcome:
        place = ["--model", str(model_folder), "--pool-tokens", "700"] + (["--data", str(data)] if data else [])
        code = main([command, *place, *map(str, options)])
        return Outcome(code, *capsys.readouterr())

    return run
