"""Work beside the program: it ends with it, whatever it is in the middle of."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from dbsa_core import background

ENDLESS = """
import threading, time, torch
from dbsa_core import background
from app.server.jobs import JobRegistry
begun = threading.Event()

def work(*_):
    states = torch.randn(400, 400)
    while True:
        states = (states @ states).clamp(-1, 1)
        begun.set()
"""
"""The interpreter breaks a daemon thread off inside an operation of PyTorch, and aborts."""


WARMING_UP = """
import torch
from dbsa_core import EncodeSettings, Setup, Task, make_method
from dbsa_core.data import Pool
from dbsa_core.stage2.steps import steps_of
from tests.tiny import tiny_model
rows = [(f"{colour} {thing}", label) for colour in ("red", "old") for thing, label in zip("abcdefgh", "xyxyxyxy")]
task = Task(tiny_model("llama", device="cuda", dtype=torch.bfloat16), Pool.of(rows))
setup = Setup.of(task, EncodeSettings(pool_tokens=400, block_size=2)).encode()
assert make_method("dbsa").fit(setup).predict("red a").cold
"""
"""A program of one query, which begins to compile for more of them."""


def ended(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=180)


@pytest.mark.slow
def test_work_that_does_not_heed_is_broken_off_in_python() -> None:
    done = ended(ENDLESS + "background.start('endless', work, lambda: print('asked to stop'))\nbegun.wait()")
    assert (done.returncode, done.stdout, done.stderr) == (0, "asked to stop\n", "")


@pytest.mark.slow
def test_a_program_ends_with_its_own_status_while_a_job_runs_and_another_waits() -> None:
    jobs = "jobs = JobRegistry()\nfor _ in '12': jobs.submit('me', 'endless', work)\nbegun.wait()\n"
    done = ended(ENDLESS + jobs + "raise SystemExit('no such file')")
    assert (done.returncode, done.stderr) == (1, "no such file\n")


def test_work_that_is_done_is_forgotten() -> None:
    stop = threading.Event()
    thread = background.start("short", stop.wait, stop.set)
    assert thread in background._stops
    stop.set()
    thread.join()
    assert thread not in background._stops


@pytest.mark.gpu
@pytest.mark.parametrize("seconds", [0.0, 1.0, 4.0])
def test_a_program_of_one_query_does_not_wait_for_the_compiler(seconds: float) -> None:
    done = ended(f"{WARMING_UP}\nimport time; time.sleep({seconds}); print(steps_of(task.model).warm_up)")
    assert done.returncode == 0, done.stderr
    assert "going on" in done.stdout
    assert "Traceback" not in done.stderr
