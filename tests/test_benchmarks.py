"""What benchmarks measure is what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cpu import Sample, in_turn
from benchmarks.peak import forget_peak, peak_resident_bytes

ROOT = Path(__file__).resolve().parents[1]
MEGABYTE = 1_000_000
on_linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").is_file(), reason="memory is read as on Linux")


@on_linux
def test_a_child_tells_its_own_peak_not_its_parents() -> None:
    held = bytearray(400 * MEGABYTE)
    program = "from benchmarks.peak import peak_resident_bytes; print(peak_resident_bytes())"
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert peak_resident_bytes() > len(held)
    assert int(told) < 100 * MEGABYTE


@on_linux
def test_a_peak_is_of_the_time_since_the_last_was_forgotten() -> None:
    forget_peak()
    before = peak_resident_bytes()
    held = bytearray(200 * MEGABYTE)
    assert 190 * MEGABYTE < peak_resident_bytes() - before < 210 * MEGABYTE
    del held
    assert peak_resident_bytes() - before > 190 * MEGABYTE, "a peak stays"
    forget_peak()
    assert peak_resident_bytes() - before < 50 * MEGABYTE


def test_a_ratio_is_the_median_of_the_turns_ratios_with_its_spread() -> None:
    """A machine that slows down by half midway hits both sides alike."""
    found = Sample.of([1.0, 2.0, 1.2, 4.0], [2.0, 4.0, 2.0, 8.0])
    assert found.value == 0.5
    assert (found.n, found.iqr) == (4, pytest.approx(0.025))
    assert Sample.of([3.0, 1.0, 2.0]) == Sample(2.0, 3, 1.0)


def test_parts_take_turns() -> None:
    order: list[str] = []
    seconds = in_turn({name: lambda name=name: order.append(name) for name in "abc"}, 3)  # type: ignore[misc]
    assert order == list("abcabcabc")
    assert {name: len(values) for name, values in seconds.items()} == dict.fromkeys("abc", 3)
