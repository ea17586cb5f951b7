"""Peak memory of this process, as Linux tells it.

Not by `getrusage`: its figure survives fork and exec, so that a child that needs less than its parent did reports the
parent's.
"""

from __future__ import annotations

from pathlib import Path

_PROCESS = Path("/proc/self")


def peak_resident_bytes() -> int:
    """Largest resident set so far, or since `forget_peak`."""
    status = (_PROCESS / "status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def forget_peak() -> None:
    """Begin to look for the largest resident set anew (proc(5))."""
    (_PROCESS / "clear_refs").write_text("5")
