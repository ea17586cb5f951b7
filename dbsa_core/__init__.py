"""Many-shot in-context learning with Dynamic Block-Sparse Attention (arXiv 2503.08640).

Knows nothing about screens. A labelled file becomes a `Pool`, a model and a pool become a `Task`, a plan of it is
encoded block by block, and a method classifies queries by reading a few of the blocks.
"""

from dbsa_core.data import Demonstration, Pool, build_pool
from dbsa_core.errors import DBSAError
from dbsa_core.evaluation import evaluate
from dbsa_core.files.tables import read_table
from dbsa_core.methods import METHODS, make_method
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.planning import plan
from dbsa_core.prediction import Prediction
from dbsa_core.prompt import PromptTemplate
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.setup import Setup, append, encode
from dbsa_core.stage1.encoding import EncodedPool
from dbsa_core.task import Task

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
    "append",
    "build_pool",
    "encode",
    "evaluate",
    "make_method",
    "plan",
    "read_table",
]
