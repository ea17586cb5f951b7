"""How many bytes the tensors take that some work has in memory at a time, counted as they come and go.

Knows nothing about the work, and nothing about what a device's allocator keeps beside them.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it, tensors on `device` that this thread's operators make are counted; what was there before is not.

    `opened` are operators that are run by these functions instead, so that what they make inside is counted too.
    """

    def __init__(self, device: torch.device, opened: Mapping[Any, Callable[..., Any]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device, self._opened = device, opened
        self.now: int = 0
        self.peak: int = 0
        """Bytes of the tensors that are alive, and the most that were at a time."""
        self._seen: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        for given in tree_leaves((args, kwargs)):
            self._know(given, 0)
        if func in self._opened:
            with self:
                made = self._opened[func](*args, **(kwargs or {}))
        else:
            made = func(*args, **(kwargs or {}))
        for result in tree_leaves(made):
            self._know(result, 1)
        return made

    def _know(self, value: Any, times: int) -> None:
        """Count a tensor's memory `times`, unless it is known: what is first seen as an argument was there before."""
        if not isinstance(value, torch.Tensor) or value.device != self.device:
            return
        storage = value.untyped_storage()
        key = id(storage)
        if key in self._seen and self._seen[key]() is storage:
            return
        counted = times * storage.nbytes()
        self.now += counted
        self.peak = max(self.peak, self.now)

        def gone(_: object) -> None:
            self.now -= counted

        self._seen[key] = weakref.ref(storage, gone)
