"""The command line: `dbsa encode|classify|evaluate`, or `python -m dbsa_core` without an installation.

Knows nothing about how anything is computed.
"""

from dbsa_core.cli.commands import main

__all__ = ["main"]
