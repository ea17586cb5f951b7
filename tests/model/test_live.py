"""Bytes of the tensors that are alive: exactly those that were made within it, whoever holds their memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from dbsa_core.model.live import LiveBytes

CPU = torch.device("cpu")


def live(work: Callable[[LiveBytes], object], opened: Any = None) -> tuple[int, int]:
    """(peak, still alive) in units of a tensor of 1,000 float32."""
    with LiveBytes(CPU, opened or {}) as found:
        held = work(found)
    del held
    return found.peak // 4000, found.now // 4000


def test_the_most_at_a_time_is_counted_and_not_the_sum() -> None:
    def work(_: LiveBytes) -> None:
        for _i in range(5):
            a = torch.ones(1000)
            b = a * 2
            del a
            b + 1

    assert live(work) == (3, 0), "the last round's b, and a and b of this one"


def test_a_view_is_no_memory_and_holds_that_of_its_tensor() -> None:
    def work(found: LiveBytes) -> torch.Tensor:
        kept = torch.ones(2000)[:10].view(2, 5)
        assert found.now == 8000
        return kept.add_(1)

    assert live(work) == (2, 0)


def test_what_was_there_before_is_not_counted_nor_what_is_written_to_it() -> None:
    before = torch.ones(50_000)

    def work(_: LiveBytes) -> torch.Tensor:
        before.mul_(2)
        part = before[:1000]
        torch.add(part, part, out=before[1000:2000])
        return before + 1

    assert live(work) == (50, 0)
    assert live(lambda _: before[:3].clone()) == (0, 0)


def test_other_devices_are_not_counted() -> None:
    assert live(lambda _: torch.ones(1000, device="meta") + 1) == (0, 0)


def test_what_an_opened_operator_makes_inside_is_counted() -> None:
    def wasteful(x: torch.Tensor) -> torch.Tensor:
        big = x.repeat(7)
        return big[:1000] + 1

    library = torch.library.Library("dbsa_test", "FRAGMENT")  # type: ignore[no-untyped-call]
    library.define("wasteful(Tensor x) -> Tensor")  # type: ignore[no-untyped-call]
    library.impl("wasteful", wasteful, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    operator: Any = torch.ops.dbsa_test.wasteful.default
    given = torch.ones(1000)
    assert live(lambda _: operator(given)) == (1, 0), "else it is a box that nobody looks into"
    assert live(lambda _: operator(given), {operator: wasteful}) == (8, 0)


def test_it_is_left_when_work_fails() -> None:
    found = LiveBytes(CPU, {})
    with pytest.raises(RuntimeError, match="size of tensor"), found:
        torch.ones(1000) + torch.ones(3)
    kept = torch.ones(1000)
    assert found.now == 0
    assert found.peak == 4012
    del kept
