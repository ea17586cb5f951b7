"""Running out of memory, told as a sentence that says what to do.

Knows nothing about what needed it.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dbsa_core.errors import CapacityError


def is_out_of_memory(error: BaseException) -> bool:
    """Whether PyTorch (on a GPU or a CPU) or Python could not get the memory that it asked for."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def memory_ran_out(error: BaseException) -> bool:
    """Whether it is such an error; then the memory of what failed is let go, however long somebody looks at it."""
    found = is_out_of_memory(error)
    if found:
        traceback.clear_frames(error.__traceback__)
    return found


@contextmanager
def memory_told(device: torch.device, what_and_advice: str) -> Iterator[None]:
    """Within it, running out of memory is a `CapacityError`: "Memory of cuda:0 ran out " and what is given here."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not memory_ran_out(error):
            raise
        raise CapacityError(f"Memory of {device} ran out {what_and_advice}") from error
