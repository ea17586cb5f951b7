"""Laws of timing: a clock is read when the device is idle, and a stopwatch has every phase."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

from dbsa_core.data import Pool
from dbsa_core.devices import CPU, POLICIES
from dbsa_core.planning import plan
from dbsa_core.settings import EncodeSettings
from dbsa_core.setup import Setup, append, encode
from dbsa_core.stage1 import encoding
from dbsa_core.stage1.progress import Progress
from dbsa_core.task import Task
from dbsa_core.timing import Stopwatch, now
from tests.tiny import tiny_model


class Stream:
    """A GPU's current stream that tells when it was waited for."""

    def __init__(self, device: torch.device, waited: list[torch.device]):
        self.device, self.waited = device, waited

    def synchronize(self) -> None:
        self.waited.append(self.device)


def waits(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(device, waited))
    return waited


def test_the_clock_of_a_gpu_is_read_once_it_has_done_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """This thread's work: while another captures a graph, the whole device cannot be waited for."""
    waited = waits(monkeypatch)
    device = torch.device("cuda", 1)
    assert now(torch.device("cpu")) <= now(device) <= now(torch.device("cpu"))
    assert waited == [device]


def test_a_stopwatch_waits_for_the_device_at_both_ends_of_a_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = waits(monkeypatch)
    watch = Stopwatch(torch.device("cuda"))
    assert len(waited) == 1
    with watch.phase("forward"):
        assert len(waited) == 2
    assert len(waited) == 3
    seconds = watch.finish()
    assert len(waited) == 4
    assert set(seconds) == {"retrieve", "assemble", "forward", "total"}
    assert seconds["retrieve"] == seconds["assemble"] == 0 < seconds["forward"] < seconds["total"]


def test_progress_counts_blocks_and_tokens_of_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POLICIES, "cpu", replace(CPU, encode_tokens=100))
    pool = Pool.of([(f"day {i} was {'very ' * (i % 4)}cold", "cold" if i % 2 else "hot") for i in range(12)])
    setup = Setup.of(Task(tiny_model("llama"), pool), EncodeSettings(block_size=1, pool_tokens=300))
    said: list[Progress] = []
    encoded = setup.encode(on_progress=said.append)
    counts = [(p.blocks_done, p.blocks_total, p.tokens_done, p.tokens_total) for p in said]
    blocks = encoded.blocks
    assert len(counts) > 2
    for done, total, tokens_done, tokens in counts:
        assert tokens_done == sum(len(block) for block in blocks[:done])
        assert (total, tokens) == (len(blocks), setup.plan.tokens)
    assert counts[-1] == (len(blocks), len(blocks), setup.plan.tokens, setup.plan.tokens)
    assert [done for done, *_ in counts] == sorted({done for done, *_ in counts})
    half = said[0]
    assert half.tokens_per_second == half.tokens_done / half.seconds
    assert half.seconds_left == pytest.approx((half.tokens_total - half.tokens_done) / half.tokens_per_second)

    said.clear()
    left = [row for row in range(12) if row not in setup.rows][:2]
    grown = append(encoded, left, on_progress=said.append)
    last, new = said[-1], grown.blocks[len(blocks) :]
    assert (last.blocks_done, last.blocks_total) == (len(new), len(new)) == (2, 2)
    assert last.tokens_done == last.tokens_total == sum(map(len, new))


def test_encoding_and_its_progress_are_timed_by_that_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU a call returns before the work is done: a plain clock would tell how fast it was asked for."""
    ticks = iter(range(10_000))

    def tick(device: torch.device) -> float:
        assert device.type == "cpu"
        return float(next(ticks))

    pool = Pool.of([(f"day {i} was cold", "cold" if i % 2 else "hot") for i in range(40)])
    task = Task(tiny_model("llama"), pool)
    made = plan(task, EncodeSettings(block_size=4))
    monkeypatch.setattr(encoding, "now", tick)
    monkeypatch.setattr(encoding, "marked", lambda device: partial(tick, device))
    said: list[Progress] = []
    encoded: Any = encode(task, made, on_progress=said.append)
    chunks = len(said)
    assert [progress.seconds for progress in said] == [float(n) for n in range(1, chunks + 1)]
    assert encoded.seconds == chunks + 2, "two readings of its own around those of the chunks"
