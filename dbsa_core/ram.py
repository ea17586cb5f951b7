"""Free memory of this machine, or of the container that the process lives in where that has less.

Knows nothing about PyTorch. Limits of a container are those of Linux's control groups (version 2, or 1): what is read
there counts files that the kernel keeps in memory and gives up on demand, which are taken off again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

PROCESS, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class _Files:
    """What a version of control groups calls its files."""

    root: Path
    limit: str
    usage: str
    given_up: str
    """A key of `memory.stat`."""


def free_ram() -> int:
    """Bytes that this process can still get."""
    return min((int(psutil.virtual_memory().available), *_left_in_groups()))


def _left_in_groups() -> Iterator[int]:
    """Of every limit that holds for this process, what is left of it."""
    try:
        lines = PROCESS.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root = GROUPS / "unified" if (GROUPS / "unified").is_dir() else GROUPS
            files = _Files(root, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            files = _Files(GROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = files.root / path.lstrip("/")
        for folder in (group, *group.parents):
            left = _left(folder, files)
            if left is not None:
                yield left
            if folder == files.root:
                break


def _left(folder: Path, files: _Files) -> int | None:
    """None where the group has no limit, or cannot be seen from here."""
    try:
        limit, usage = (int((folder / name).read_text()) for name in (files.limit, files.usage))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return max(0, limit - usage + int(stat.get(files.given_up, 0)))
    except (OSError, ValueError):  # "max" is no number
        return None
