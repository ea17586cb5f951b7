"""What a figure was measured with.

Knows nothing about benchmarks.
"""

from __future__ import annotations

import platform

import torch
import transformers


def versions() -> dict[str, str]:
    """Of Python and of the libraries that decide about speed."""
    return {"python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__}
