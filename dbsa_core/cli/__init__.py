"""The command line: `dbsa encode|classify|evaluate|label-issues`, or `python -m dbsa_core` without an installation.

Knows nothing about how anything is computed, nor about the commands that other packages bring: they are found as entry
points of the group `dbsa.commands`, as the app's is.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import NoReturn

from dbsa_core.quiet import hush_libraries


def run() -> NoReturn:
    """The process's command line, from its arguments to its exit code."""
    hush_libraries()
    from dbsa_core.cli.commands import main  # what it imports has been hushed

    brought = {point.name: point for point in entry_points(group="dbsa.commands")}
    if len(sys.argv) > 1 and sys.argv[1] in brought:
        sys.exit(brought[sys.argv[1]].load()(sys.argv[2:]))
    sys.exit(main(further=sorted(brought)))
