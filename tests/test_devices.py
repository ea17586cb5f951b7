"""What depends on the kind of device: one policy a kind, and nobody else asks."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dbsa_core import devices
from dbsa_core.devices import CPU, CUDA, OTHER, Kernels, free_memory, placement, policy_for
from dbsa_core.errors import ModelError

ROOT = Path(__file__).resolve().parents[1]
ASKED = [path for room in ("dbsa_core", "app") for path in sorted((ROOT / room).rglob("*.py"))]


def test_each_kind_of_device_has_its_policy() -> None:
    assert policy_for(torch.device("cpu")) is CPU
    assert policy_for(torch.device("cuda:3")) is CUDA
    assert policy_for(torch.device("mps")) is OTHER
    assert OTHER.kernels is Kernels.NONE, "nothing but what PyTorch promises"


@pytest.mark.parametrize("path", ASKED, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_else_asks_what_a_device_is(path: Path) -> None:
    """Neither by name nor by `torch.cuda`; what a user reads may name them."""
    if path == Path(devices.__file__):
        return
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and node.value in ("cpu", "cuda", "mps"):
            found.append(f"{node.value!r}, line {node.lineno}")
        if isinstance(node, ast.Attribute) and node.attr in ("is_cuda", "is_cpu", "is_mps"):
            found.append(f"{node.attr}, line {node.lineno}")
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("torch.cuda", "torch.backends"):
            found.append(f"{ast.unparse(node)}, line {node.lineno}")
        if isinstance(node, ast.Attribute) and node.attr == "type" and ast.unparse(node.value).endswith("device"):
            found.append(f"{ast.unparse(node)}, line {node.lineno}")
    assert not found, "ask `policy_for(device)`"


def test_memory_that_pytorch_keeps_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 700)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 400)
    assert free_memory(torch.device("cuda")) == 1300
    assert free_memory(torch.device("cpu")) > 10**7


def test_a_device_or_type_that_is_not_there_is_refused() -> None:
    with pytest.raises(ModelError, match="dtype 'int3' is not known; accepted are float32, bfloat16, float16, float64"):
        placement("cpu", "int3")
    with pytest.raises(ModelError, match="device 'toaster' cannot be used here; use 'cpu'"):
        placement("toaster", None)
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="PyTorch sees no GPU here; use 'cpu'"):
            placement("cuda:0", None)
    assert placement("cpu", None) == (torch.device("cpu"), torch.float32)


@pytest.fixture
def gpu_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose driver lists a GPU."""
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 (UUID: GPU-1)'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    devices._nvidia_gpu.cache_clear()
    yield
    devices._nvidia_gpu.cache_clear()


@pytest.mark.skipif(sys.platform == "win32", reason="the driver's command is a shell script here")
def test_a_gpu_that_this_pytorch_cannot_use_is_named(gpu_listed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert devices.unused_gpu().startswith("GPU found, but this PyTorch is a CPU build; `make install DEVICE=cuda`")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert "built for CUDA 13.0 and cannot use it" in devices.unused_gpu()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert devices.unused_gpu() == ""


def test_without_a_gpu_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("PATH", str(tmp_path))
    devices._nvidia_gpu.cache_clear()
    assert devices.unused_gpu() == ""
    devices._nvidia_gpu.cache_clear()
