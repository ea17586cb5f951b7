"""What PyTorch's compiler must have done before any thread runs a module.

Knows nothing about models.
"""

from __future__ import annotations

import logging
from functools import cache

log = logging.getLogger(__name__)


@cache
def trace_before_compiling() -> None:
    """The first time a process compiles, the compiler traces a function, and for those milliseconds it takes every
    module that any thread runs for a part of that function: what other threads compute fails ("module is not installed
    as a submodule"). It keeps what it traced, so that is done here, when nothing runs yet."""
    try:
        from torch._inductor.loop_body import InterpreterShim  # takes a second, which only those who compile should pay

        InterpreterShim._dummy_gm()
    except (ImportError, AttributeError) as error:  # another version, which does it elsewhere or not at all
        log.info("The compiler traces when it compiles first: %s", error)
