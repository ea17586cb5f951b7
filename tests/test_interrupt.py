"""Waiting for the model ends where the work was cancelled."""

from __future__ import annotations

import threading

import pytest

from dbsa_core.data import Pool
from dbsa_core.errors import Cancelled
from dbsa_core.interrupt import held, interruptible
from dbsa_core.methods import Setup, make_method
from dbsa_core.task import Task
from tests.tiny import tiny_model
from tests.tuning.test_running import PAIRS

SOON = 30.0


def test_a_query_that_waits_for_the_model_can_be_stopped() -> None:
    model = tiny_model()
    method = make_method("nearest").fit(Setup.of(Task(model, Pool.of(PAIRS[:20]))))
    there, over, stop = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        with model.lock:
            there.set()
            assert over.wait(SOON)

    holder = threading.Thread(target=hold)
    holder.start()
    assert there.wait(SOON)
    threading.Timer(0.2, stop.set).start()
    try:
        with interruptible(stop.is_set), pytest.raises(Cancelled):
            method.predict("apple and pear")
    finally:
        over.set()
        holder.join(SOON)
    assert method.predict("apple and pear").label


def test_a_lock_is_given_back_after_an_error() -> None:
    lock = threading.RLock()
    with pytest.raises(KeyError), held(lock):
        raise KeyError
    taken: list[bool] = []
    other = threading.Thread(target=lambda: taken.append(lock.acquire(timeout=SOON)))
    other.start()
    other.join()
    assert taken == [True]
