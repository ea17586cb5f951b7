"""What is shown of an answer as plain values for a file, and back.

Knows nothing about HTML.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from app.ask.shown import (
    Before,
    Pieces,
    ShownAnswer,
    ShownAttention,
    ShownLabel,
    ShownMethod,
    ShownPart,
    ShownPool,
    ShownRow,
    ShownTokens,
)


def as_json(answer: ShownAnswer) -> dict[str, Any]:
    """Plain values; the attention as float16 in base64."""
    plain = asdict(answer)
    if (attention := answer.attention) is not None:
        plain["attention"] = {
            "names": list(attention.names),
            "shape": list(attention.mass.shape),
            "float16": _packed(attention.mass),
            "start": attention.start,
            "reach": attention.reach,
        }
        if attention.by_row is not None:
            plain["attention"]["rows"] = attention.by_row.shape[-1]
            plain["attention"]["by_row"] = _packed(attention.by_row)
    for part, own in zip(plain["parts"], answer.parts, strict=True):
        if own.tokens is not None:
            part["tokens"]["shares"] = _packed(own.tokens.shares)
    return plain


def from_json(plain: Mapping[str, Any]) -> ShownAnswer:
    """What `as_json` wrote. `KeyError`, `TypeError` or `ValueError` where it was of another form."""
    found = plain["attention"]
    attention = None
    if found is not None:
        shape, by_row = found["shape"], None
        if "by_row" in found:
            by_row = _unpacked(found["by_row"]).reshape(*shape[:2], found["rows"])
        mass = _unpacked(found["float16"]).reshape(shape)
        attention = ShownAttention(tuple(found["names"]), mass, by_row, found["start"], found["reach"])
    pool, method = ShownPool(**plain["pool"]), _method(plain["method"])
    compared = tuple(map(_method, plain["compared"]))
    parts = tuple(_part(part) for part in plain["parts"])
    read = tuple(plain["read"])
    stamp = tuple((name, value) for name, value in plain["stamp"])
    return ShownAnswer(plain["query"], pool, method, read, parts, attention, compared, stamp)


def _method(plain: Mapping[str, Any]) -> ShownMethod:
    lists = {"best": tuple(ShownLabel(**label) for label in plain["best"])}
    lists |= {name: tuple(plain[name]) for name in ("equal_rows", "notes", "measured")}
    return ShownMethod(**{**plain, **lists})


def _part(plain: Mapping[str, Any]) -> ShownPart:
    tokens = plain["tokens"] and _tokens(plain["tokens"])
    return ShownPart(**{**plain, "rows": tuple(map(_row, plain["rows"])), "tokens": tokens})


def _tokens(plain: Mapping[str, Any]) -> ShownTokens:
    before = tuple(Before(**one) for one in plain["before"])
    return ShownTokens(tuple(plain["texts"]), _unpacked(plain["shares"]), before)


def _row(plain: Mapping[str, Any]) -> ShownRow:
    return ShownRow(**{**plain, "text": _pieces(plain["text"]), "label": _pieces(plain["label"])})


def _pieces(plain: list[list[Any]]) -> Pieces:
    return tuple((text, strength) for text, strength in plain)


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(values.astype(np.float16).tobytes()).decode()


def _unpacked(packed: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed), np.float16).astype(np.float32)


def form() -> str:
    """The fields of all these values in words: a file that was written when they were others is not read."""
    kinds = (ShownAnswer, ShownPool, ShownMethod, ShownLabel, ShownPart, ShownRow, ShownTokens, Before, ShownAttention)
    return "; ".join(f"{kind.__name__} {' '.join(field.name for field in fields(kind))}" for kind in kinds)
