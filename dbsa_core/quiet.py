"""What libraries say of themselves, kept off a user's terminal.

For processes that are the product's own (the command line, the app); the library leaves its caller's filters alone.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings

import huggingface_hub  # noqa: F401  # both set their level when they are imported, so that must be over
import transformers  # noqa: F401


def hush_libraries() -> None:
    """Show no warning that a library addresses to programmers, for the rest of this process.

    `python -W ...`, PYTHONWARNINGS, TRANSFORMERS_VERBOSITY and HF_HUB_VERBOSITY are obeyed where they are given.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    if "TRANSFORMERS_VERBOSITY" not in os.environ:
        logging.getLogger("transformers").setLevel(logging.ERROR)
    if "HF_HUB_VERBOSITY" not in os.environ:
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
