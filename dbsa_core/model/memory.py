"""Memory that is free, and running out of it, told as a sentence that says what to do.

Knows nothing about what needed it.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from dbsa_core.errors import CapacityError


def free_memory(device: torch.device) -> int:
    """Bytes that are free on the device, what PyTorch keeps for its next tensors included."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    return int(psutil.virtual_memory().available)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether PyTorch (on a GPU or a CPU) or Python could not get the memory that it asked for."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


@contextmanager
def memory_told(device: torch.device, what_and_advice: str) -> Iterator[None]:
    """Within it, running out of memory is a `CapacityError`: "Memory of cuda:0 ran out " and what is given here."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        # The frames of the failed forward hold its tensors for as long as somebody looks at the error.
        traceback.clear_frames(error.__traceback__)
        raise CapacityError(f"Memory of {device} ran out {what_and_advice}") from error
