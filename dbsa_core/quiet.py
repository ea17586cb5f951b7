"""What libraries say of themselves, kept off a user's terminal.

For processes that are the product's own (the command line, the app); the library leaves its caller's filters alone.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings


def hush_warnings() -> None:
    """Show no warning that a library addresses to programmers, for the rest of this process; nothing is imported.

    `python -W ...` and PYTHONWARNINGS are obeyed where they are given.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def hush_libraries() -> None:
    """The same, and nothing of what the libraries that load models log below an error; it imports them.

    TRANSFORMERS_VERBOSITY and HF_HUB_VERBOSITY are obeyed where they are given.
    """
    # Transformers imports torchao where it is installed, which tells of kernels for other machines that do not load.
    for name in ("torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Both set their level when they are imported, so that must be over.
    import huggingface_hub  # noqa: F401
    import transformers  # noqa: F401

    hush_warnings()
    if "TRANSFORMERS_VERBOSITY" not in os.environ:
        logging.getLogger("transformers").setLevel(logging.ERROR)
    if "HF_HUB_VERBOSITY" not in os.environ:
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
