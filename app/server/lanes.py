"""Which kinds of job wait for one another.

Knows nothing about what they do.
"""

from __future__ import annotations

from app.server.jobs import Lane

_ENCODING, _COMPARING, _DISK, _QUERIES = Lane("encoding"), Lane("comparisons"), Lane("disk"), Lane("queries", workers=8)
LANES = {
    "model": Lane("models", abandons=True),
    "encode": _ENCODING,
    "settle": _ENCODING,
    "reject": _ENCODING,
    "query": _QUERIES,
    "what_if": _QUERIES,
    "compare": _COMPARING,
    "measure": _COMPARING,
    "classify_file": Lane("files"),
    "evaluate": Lane("evaluations"),
    "label_issues": Lane("label-issues"),
    "tune": Lane("tuning"),
    "save": _DISK,
    "load": _DISK,
}
"""By kind of job, so that a model that never comes holds nobody up."""
