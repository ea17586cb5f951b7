"""Free memory is that of the container, where it has less than the machine."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from dbsa_core import ram

GB = 2**30


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with 16 GB free; returns the folder of its control groups."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=16 * GB))
    monkeypatch.setattr(ram, "PROCESS", tmp_path / "self")
    monkeypatch.setattr(ram, "GROUPS", tmp_path / "groups")
    (tmp_path / "groups").mkdir()
    return tmp_path / "groups"


def belongs_to(machine: Path, *lines: str) -> None:
    (machine.parent / "self").write_text("".join(f"{line}\n" for line in lines))


def group(folder: Path, limit: object, usage: int, files: int, version: int = 2) -> None:
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(names, (limit, usage), strict=True):
        (folder / name).write_text(f"{value}\n")
    key = "inactive_file" if version == 2 else "total_inactive_file"
    (folder / "memory.stat").write_text(f"anon 5\n{key} {files}\nslab 7\n")


def test_without_groups_it_is_the_machines(machine: Path) -> None:
    assert ram.free_ram() == 16 * GB
    belongs_to(machine, "0::/", "3:cpuset:/", "2:memory:/gone")
    assert ram.free_ram() == 16 * GB


def test_files_that_the_kernel_gives_up_are_free(machine: Path) -> None:
    belongs_to(machine, "0::/")
    group(machine, 4 * GB, 3 * GB, GB)
    assert ram.free_ram() == 2 * GB
    group(machine, 4 * GB, 5 * GB, 0)
    assert ram.free_ram() == 0
    group(machine, 64 * GB, GB, 0)
    assert ram.free_ram() == 16 * GB, "a limit gives no memory that the machine has not"


def test_the_limits_of_all_groups_above_hold_too(machine: Path) -> None:
    belongs_to(machine, "0::/user.slice/app")
    group(machine / "user.slice" / "app", "max", GB, 0)
    assert ram.free_ram() == 16 * GB
    group(machine / "user.slice", 3 * GB, GB, 0)
    assert ram.free_ram() == 2 * GB
    group(machine, 2 * GB, GB, 0)
    assert ram.free_ram() == GB


@pytest.mark.parametrize("path", ["/docker/1", "/a/group/of/the/host"])
def test_version_1_is_read_too_by_its_own_path_or_the_containers(machine: Path, path: str) -> None:
    belongs_to(machine, "7:blkio:/", f"4:hugetlb,memory:{path}", "1:cpu:/")
    where = machine / "memory" if "host" in path else machine / "memory" / path.lstrip("/")
    group(where, 2 * GB, GB, GB // 2, version=1)
    group(machine / "cpu", 1, 1, 0, version=1)
    assert ram.free_ram() == GB + GB // 2
