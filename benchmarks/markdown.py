"""What tables of benchmarks are made of: results read, numbers in words, names.

Knows nothing about which tables there are.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from dbsa_core.intervals import wilson_interval

RESULTS = Path(__file__).resolve().parent / "results"
NAMES = {
    "dbsa": "DBSA, as in the paper",
    "dbsa_fresh": "DBSA + 8 similar examples",
    "dbsa_tuned": "DBSA, tuned for the file",
    "fixed_icl": "Fixed ICL",
    "fixed_icl_fresh": "Fixed ICL + 8 similar examples",
    "retrieval_icl": "Retrieval ICL, from the pool",
    "retrieval_icl_file": "Retrieval ICL, from the whole file",
    "nearest": "8 similar examples alone",
    "zero_shot": "Zero-shot",
    "tfidf": "TF-IDF + logistic regression, no language model",
    "sentence_vectors": "Sentence vectors + logistic regression, no language model",
}
SETS = {"trec": "TREC", "banking77": "Banking-77", "nlu": "NLU"}
ALL_SETS = {"clinc150": "Clinic-150", **SETS, "trec_fine": "TREC-fine"}


def read(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def versions(found: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found["versions"].items())


def paragraph(*parts: str) -> str:
    return textwrap.fill(" ".join(filter(None, parts)), 120, break_long_words=False, break_on_hyphens=False)


def number(value: float) -> str:
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def with_interval(share: float, count: int) -> str:
    """A share of so many rows with its interval of 95 %."""
    low, high = wilson_interval(round(share * count), count)
    return f"{share:.3f} ({low:.3f} to {high:.3f})"
