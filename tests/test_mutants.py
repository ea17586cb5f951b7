"""The faults of `tests/mutants.py` can still be planted: a fault whose text is gone would test nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants import FAULTS, Fault, stale


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_stands_once_in_its_file(fault: Fault) -> None:
    assert stale(fault) is None
    assert fault.old != fault.new


def test_there_are_enough_faults_each_named_once() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 28


def test_a_stale_fault_is_told(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("")
    file = tmp_path / "a.py"
    for text, times in (("x = 1\n", 1), ("x = 2\n", 0), ("x = 1\nx = 1\n", 2)):
        file.write_text(text)
        told = stale(Fault("a fault", "a.py", "x = 1", "x = 3", "a"), tmp_path)
        assert (told is None) == (times == 1)
        assert told is None or f"stands {times} times" in told
    file.write_text("x = 1\n")
    assert "there is no tests/test_b.py" in str(stale(Fault("a fault", "a.py", "x = 1", "x = 3", "b"), tmp_path))
