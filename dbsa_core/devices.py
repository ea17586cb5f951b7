"""What depends on the kind of device, all in one place: nobody else asks whether it is a GPU.

Knows nothing about models or blocks. The sizes are those at which a device is filled and memory stays bounded.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache, lru_cache
from typing import Any

import torch

from dbsa_core.errors import ModelError
from dbsa_core.ram import free_ram

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


class Kernels(Enum):
    """Whose attention kernels there are, beside PyTorch's public functions."""

    CPU = "CPU"
    CUDA = "CUDA"
    NONE = "none"


Forward = Callable[[], torch.Tensor]
WARMING_RUNS = 2
"""Of a function before it is captured: the first one compiles, and kernels choose their ways."""


@dataclass(frozen=True)
class DevicePolicy:
    """What is done differently on one kind of device."""

    kernels: Kernels
    dtype: torch.dtype
    """Of weights and caches, where the user names none."""
    encode_tokens: int
    """Blocks go through the model together up to so many tokens: enough to fill the device, few enough to bound
    memory."""
    encode_products: float
    """Up to more tokens, where a layer has so few weights that it would multiply less than this: the device would wait
    for the host to launch it."""
    most_encode_tokens: int
    """But never more."""
    step_tokens: int
    """Tokens that are encoded between two looks at waiting queries."""
    whole_prompt_tokens: int
    """A prompt of up to so many tokens with nothing before it goes in one forward where memory allows it."""
    batch_tokens: int
    """Tokens of queries that are asked together: enough to fill the device."""
    batch_query_tokens: int
    """A query of more, with its labels, is asked alone: it keeps the device as busy by itself."""
    nodes_at_once: int
    """Trie nodes that best-first scoring expands in one forward."""
    reads_in_place: bool
    """Whether a query reads chosen blocks where they stand, by a query rotated for each; else their keys are gathered
    and rotated for it."""
    captures: bool
    """Whether `capture` makes a graph of kernels."""
    capture: Callable[[Forward, torch.device, AbstractContextManager[object]], Forward]
    """Makes of a function of device memory alone one that does the same again and returns the same tensor: a graph that
    is replayed. The function is run a few times before; the lock is held while the graph is captured."""
    bounds_time: bool
    """Whether encoding takes so long that the default budget is bounded by time."""
    wait: Callable[[torch.device], None]
    """Returns when the device has done all work given to it."""
    mark: Callable[[torch.device], Callable[[], None]]
    """Of the work given to the device until now; what it returns waits until that is done."""
    chunks_ahead: int
    """Chunks of blocks that the device is given before the one that it works on is done: the host prepares the next
    meanwhile."""
    free_bytes: Callable[[torch.device], int]
    kept_by_libraries: int
    """Bytes that kernels keep for themselves once they have multiplied and attended (benchmarks/cpu.py)."""
    takes_reserved: bool
    """Whether memory is taken when it is reserved. Else it is taken page by page as it is written, and a process that
    takes more than there is is killed without being told: it has to look beforehand."""


def _nothing(_: torch.device) -> None:
    """Work was done when its call returned."""


def _done(_: torch.device) -> Callable[[], None]:
    return lambda: None


def _event(device: torch.device) -> Callable[[], None]:
    with torch.cuda.device(device):
        event: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
    wait: Callable[[], None] = event.synchronize
    return wait


def _synchronize(device: torch.device) -> None:
    """Of this thread's stream alone: while another thread captures a graph, nobody may wait for the whole device."""
    torch.cuda.current_stream(device).synchronize()


def _as_it_is(function: Forward, device: torch.device, lock: AbstractContextManager[object]) -> Forward:
    return function


def _graph_of(function: Forward, device: torch.device, lock: AbstractContextManager[object]) -> Forward:
    with torch.cuda.device(device):
        stream, graph = torch.cuda.Stream(device), torch.cuda.CUDAGraph()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(WARMING_RUNS):
                function()
        stream.synchronize()
        with lock, torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            result = function()

    def replay() -> torch.Tensor:
        graph.replay()
        return result

    return replay


def _free_ram(_: torch.device) -> int:
    return free_ram()


def _free_on_gpu(device: torch.device) -> int:
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + kept


CPU = DevicePolicy(
    kernels=Kernels.CPU,
    dtype=torch.float32,
    encode_tokens=1024,
    encode_products=0.0,
    most_encode_tokens=1024,
    step_tokens=512,
    whole_prompt_tokens=0,
    batch_tokens=512,
    batch_query_tokens=512,
    nodes_at_once=8,
    # Gathering is no slower here (benchmarks/cpu.py), so keys stay as the paper keeps them.
    reads_in_place=False,
    captures=False,
    capture=_as_it_is,
    bounds_time=True,
    wait=_nothing,
    mark=_done,
    chunks_ahead=0,
    free_bytes=_free_ram,
    kept_by_libraries=12_000_000,
    takes_reserved=False,
)
CUDA = DevicePolicy(
    kernels=Kernels.CUDA,
    dtype=torch.bfloat16,
    encode_tokens=8192,
    encode_products=1e12,
    most_encode_tokens=32_768,
    step_tokens=32_768,
    # SDPA's kernel for a causal square is almost twice as fast as that for queries behind earlier keys.
    whole_prompt_tokens=32_768,
    batch_tokens=4096,
    # Beyond, captured steps are as fast or faster: batch6_77_* in benchmarks/gpu.py.
    batch_query_tokens=320,
    nodes_at_once=64,
    reads_in_place=True,
    captures=True,
    capture=_graph_of,
    bounds_time=False,
    wait=_synchronize,
    mark=_event,
    chunks_ahead=1,
    free_bytes=_free_on_gpu,
    # Kept since the model was probed.
    kept_by_libraries=0,
    takes_reserved=True,
)
OTHER = replace(CPU, kernels=Kernels.NONE, bounds_time=False)
"""A kind that is not known is used by PyTorch's public functions alone."""
POLICIES = {"cpu": CPU, "cuda": CUDA}


def policy_for(device: torch.device) -> DevicePolicy:
    """The policy of a device's kind, `OTHER` where it is neither a CPU nor a GPU of CUDA's interface."""
    return POLICIES.get(device.type, OTHER)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on the device, what PyTorch keeps for its next tensors included."""
    return policy_for(device).free_bytes(device)


@dataclass(frozen=True)
class GPU:
    """What kernels of our own are launched by."""

    processors: int
    shared_bytes: int
    """Shared memory that one program may take."""
    copies_tiles: bool
    """Whether it has the tensor memory accelerator, which copies tiles of a memory to a program (since Hopper)."""


HOPPER = 9
"""Major number of the compute capability."""


@cache
def gpu_of(device: torch.device) -> GPU:
    """Raises `RuntimeError` where the device is none of CUDA's interface."""
    found: Any = torch.cuda.get_device_properties(device)
    return GPU(found.multi_processor_count, found.shared_memory_per_block_optin, found.major >= HOPPER)


def placement(device: str | torch.device | None, dtype: torch.dtype | str | None) -> tuple[torch.device, torch.dtype]:
    """The device and dtype to use: CUDA and bfloat16 where there is a GPU, else the CPU and float32.

    Raises `ModelError` for a device that is not there and a dtype that is not known.
    """
    if str(device).partition(":")[0] == "cuda" and not torch.cuda.is_available():
        raise ModelError("The device 'cuda' was asked for, but PyTorch sees no GPU here; use 'cpu' or leave it out.")
    try:
        found = torch.device(device if device is not None else "cuda" if torch.cuda.is_available() else "cpu")
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:  # a name that is none, a GPU that is not there, no such build
        raise ModelError(f"The device {str(device)!r} cannot be used here; use 'cpu' or leave it out.") from error
    if isinstance(dtype, str):
        if dtype not in DTYPES:
            raise ModelError(f"The dtype {dtype!r} is not known; accepted are {', '.join(DTYPES)}.")
        dtype = DTYPES[dtype]
    return found, dtype or policy_for(found).dtype


def unused_gpu() -> str:
    """Why an NVIDIA GPU of this machine is not used, as a sentence for the user; "" where one is, or there is none."""
    if torch.cuda.is_available() or not _nvidia_gpu():
        return ""
    if torch.version.cuda is None:
        return "GPU found, but this PyTorch is a CPU build; `make install DEVICE=cuda` installs the other."
    return (
        f"GPU found, but this PyTorch is built for CUDA {torch.version.cuda} and cannot use it; update NVIDIA's "
        "driver, or take a build for its CUDA: `make install TORCH_INDEX=<URL>`, see pytorch.org/get-started."
    )


@lru_cache(maxsize=1)
def _nvidia_gpu() -> bool:
    """Whether NVIDIA's driver lists a GPU; the Makefile asks it the same."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and "GPU " in listed.stdout
