"""Ways to classify a query, behind one protocol, and the registry that names them.

Knows nothing about files or screens. What a method costs is measured by `evaluate`, not by the method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from dbsa_core.errors import SettingsError
from dbsa_core.methods.base import MayRead, Method, Refusal
from dbsa_core.methods.classifier_alone import ClassifierAlone
from dbsa_core.methods.dbsa import Dbsa
from dbsa_core.methods.fitting import Fitted, OnRefused, fit_methods
from dbsa_core.methods.fixed_icl import FixedIcl
from dbsa_core.methods.nearest import Nearest
from dbsa_core.methods.retrieval_icl import RetrievalIcl
from dbsa_core.methods.zero_shot import ZeroShot
from dbsa_core.settings import QuerySettings
from dbsa_core.setup import Setup

DEFAULT_FRESH = QuerySettings().fresh_demonstrations


def _paper(settings: QuerySettings) -> Method:
    return Dbsa(replace(settings, fresh_demonstrations=0, votes="none", vote_weight=0.0), name="dbsa")


def _fresh(settings: QuerySettings) -> Method:
    return Dbsa(_with_similar(settings), name="dbsa_fresh")


def _fixed(settings: QuerySettings) -> Method:
    return FixedIcl(replace(settings, fresh_demonstrations=0))


def _fixed_fresh(settings: QuerySettings) -> Method:
    return FixedIcl(_with_similar(settings), name="fixed_icl_fresh")


def _whole_file(settings: QuerySettings) -> Method:
    return RetrievalIcl(settings, name="retrieval_icl_file", whole_file=True)


def _nearest(settings: QuerySettings) -> Method:
    return Nearest(_with_similar(settings))


def _sentence_vectors(settings: QuerySettings) -> Method:
    title = "Sentence vectors + logistic regression"
    return ClassifierAlone(settings, name="sentence_vectors", title=title, classifier="vectors")


def _with_similar(settings: QuerySettings) -> QuerySettings:
    return replace(settings, fresh_demonstrations=settings.fresh_demonstrations or DEFAULT_FRESH)


METHODS: Mapping[str, Callable[[QuerySettings], Method]] = MappingProxyType(
    {
        "dbsa": _paper,
        "dbsa_fresh": _fresh,
        "fixed_icl": _fixed,
        "fixed_icl_fresh": _fixed_fresh,
        "retrieval_icl": RetrievalIcl,
        "retrieval_icl_file": _whole_file,
        "nearest": _nearest,
        "zero_shot": ZeroShot,
        "tfidf": ClassifierAlone,
        "sentence_vectors": _sentence_vectors,
    }
)
"""`dbsa` is the paper's; `dbsa_fresh` (ours) adds the demonstrations most similar to the query, 8 unless told
otherwise, `fixed_icl_fresh` adds them to the whole pool (arXiv 2507.16217), and `nearest` reads those alone.
`retrieval_icl_file` may read rows that are not encoded too; `tfidf` and `sentence_vectors` are classifiers, without the
model, which may vote in `dbsa_fresh` and `nearest` (`QuerySettings.votes`)."""


def make_method(name: str, settings: QuerySettings | None = None) -> Method:
    """The method of that name; `fit` it before use."""
    if name not in METHODS:
        raise SettingsError(f"There is no method {name!r}; there are {', '.join(METHODS)}.")
    return METHODS[name](settings or QuerySettings())


__all__ = ["METHODS", "Fitted", "MayRead", "Method", "OnRefused", "Refusal", "Setup", "fit_methods", "make_method"]
