"""Many-shot in-context learning with Dynamic Block-Sparse Attention (arXiv 2503.08640).

Knows nothing about screens. A labelled file becomes a `Pool`, a model and a pool become a `Task`, a plan of it is
encoded block by block, and a method classifies queries by reading a few of the blocks.

A name is imported when it is first used, so that what needs no model, such as reading files, does not wait for PyTorch.
"""

import importlib
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbsa_core.data import Demonstration, Pool, build_pool
    from dbsa_core.errors import DBSAError
    from dbsa_core.evaluation import evaluate
    from dbsa_core.files.tables import read_table
    from dbsa_core.label_issues import find_label_issues
    from dbsa_core.methods import METHODS, make_method
    from dbsa_core.model.language_model import LanguageModel
    from dbsa_core.planning import plan
    from dbsa_core.prediction import Prediction
    from dbsa_core.prompt import PromptTemplate
    from dbsa_core.saved import load_setup, save_setup
    from dbsa_core.settings import EncodeSettings, QuerySettings
    from dbsa_core.setup import Setup, append, encode
    from dbsa_core.stage1.encoding import EncodedPool
    from dbsa_core.task import Task
    from dbsa_core.tuning import TunedSettings, read_settings, tune

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "DBSAError",
    "Demonstration",
    "EncodeSettings",
    "EncodedPool",
    "LanguageModel",
    "Pool",
    "Prediction",
    "PromptTemplate",
    "QuerySettings",
    "Setup",
    "Task",
    "TunedSettings",
    "append",
    "build_pool",
    "encode",
    "evaluate",
    "find_label_issues",
    "load_setup",
    "make_method",
    "plan",
    "read_settings",
    "read_table",
    "save_setup",
    "tune",
]

_HOMES = {
    "DBSAError": "dbsa_core.errors",
    "Demonstration": "dbsa_core.data",
    "EncodeSettings": "dbsa_core.settings",
    "EncodedPool": "dbsa_core.stage1.encoding",
    "LanguageModel": "dbsa_core.model.language_model",
    "METHODS": "dbsa_core.methods",
    "Pool": "dbsa_core.data",
    "Prediction": "dbsa_core.prediction",
    "PromptTemplate": "dbsa_core.prompt",
    "QuerySettings": "dbsa_core.settings",
    "Setup": "dbsa_core.setup",
    "Task": "dbsa_core.task",
    "TunedSettings": "dbsa_core.tuning",
    "append": "dbsa_core.setup",
    "build_pool": "dbsa_core.data",
    "encode": "dbsa_core.setup",
    "evaluate": "dbsa_core.evaluation",
    "find_label_issues": "dbsa_core.label_issues",
    "load_setup": "dbsa_core.saved",
    "make_method": "dbsa_core.methods",
    "plan": "dbsa_core.planning",
    "read_settings": "dbsa_core.tuning",
    "read_table": "dbsa_core.files.tables",
    "save_setup": "dbsa_core.saved",
    "tune": "dbsa_core.tuning",
}
"""The module of each public name."""
_lock = threading.RLock()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _lock:  # of two threads that import transformers at once, one may find it half done
        value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
