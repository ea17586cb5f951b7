"""One answer as files: a page that stands alone, and what was read and where the query looked as CSV and JSON.

Knows nothing about sessions.
"""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from app.ask.shown import Pieces, ShownAnswer, ShownAttention, ShownMethod, ShownPart, ShownRow, ShownTokens
from app.away.page import standalone
from dbsa_core.data import TAUGHT
from dbsa_core.errors import DataError

DIGITS, TOKEN_DIGITS = 6, 8
"""Of a share, and of a token's, behind the point."""


def write_files(answer: ShownAnswer, folder: Path, *, texts: bool) -> list[Path]:
    """Into a folder of its own in `folder`: the page, what was read and the attention as CSV, and all as JSON.
    `DataError` where they cannot be written."""
    name = re.sub(r"[^\w-]+", "-", answer.method.label).strip("-")[:40] or "answer"
    files = {
        f"page-{name}.html": standalone(answer, texts=texts),
        f"read-{name}.csv": read_csv(answer, texts=texts),
        f"answer-{name}.json": json.dumps(answer_json(answer, texts=texts), ensure_ascii=False, indent=1) + "\n",
    }
    if answer.attention is not None:
        files[f"attention-{name}.csv"] = attention_csv(answer.attention)
    try:
        place = Path(tempfile.mkdtemp(dir=folder))
        for file, content in files.items():
            # The byte order mark lets spreadsheets read the file as UTF-8.
            encoding = "utf-8-sig" if file.endswith(".csv") else "utf-8"
            (place / file).write_text(content, encoding=encoding, newline="")
    except OSError as error:
        raise DataError(
            f"The files cannot be written ({error.strerror or error}). The answer is kept: make room on the server's "
            "disk, then make them again."
        ) from error
    return [place / file for file in files]


def read_csv(answer: ShownAnswer, *, texts: bool) -> str:
    """A line for each row that was read: its block or place among the similar rows, why that was read, and shares of
    the attention of the query's last token, as the mean of all heads."""
    names = ["part", "why", "score", "part_share", "row", "label", "cosine", "row_share"]
    lines = ([*_cells(part, row), *([_plain(row.text)] if texts else [])] for part in answer.parts for row in part.rows)
    return _csv([*names, *(["text"] if texts else [])], lines)


def _cells(part: ShownPart, row: ShownRow) -> list[Any]:
    number = "taught" if row.number == TAUGHT else row.number
    own = row.share if row.share is not None else part.share if len(part.rows) == 1 else None
    shares = [_rounded(part.share), number, _plain(row.label), _rounded(row.near), _rounded(own)]
    return [part.key, part.note, _rounded(part.score), *shares]


def attention_csv(attention: ShownAttention) -> str:
    """A line for each layer, head (both from 1) and part of the context: its share of that head's attention."""
    layers, heads, _ = attention.mass.shape
    lines = (
        (layer + 1, head + 1, name, _rounded(share))
        for layer in range(layers)
        for head in range(heads)
        for name, share in zip(attention.names, attention.mass[layer, head].tolist(), strict=True)
    )
    return _csv(["layer", "head", "part", "share"], lines)


def answer_json(answer: ShownAnswer, *, texts: bool) -> dict[str, Any]:
    """All of it by name; `attention.by_head` is [layer][head][part]."""
    return {
        "query": answer.query,
        "answers": [_method(method) for method in (answer.method, *answer.compared)],
        "used": dict(answer.stamp),
        "pool": {
            "name": answer.pool.name,
            "rows": answer.pool.rows,
            "rows_encoded": answer.pool.encoded,
            "blocks": answer.pool.blocks,
            "blocks_planned": answer.pool.planned,
            "demonstrations_per_block": answer.pool.block_size,
            "sink_blocks": answer.pool.sinks,
            "previous_blocks": answer.pool.window,
            "density": _rounded(answer.pool.density),
        },
        "blocks_read": [block + 1 for block in answer.read],
        "read": [_part(part, texts) for part in answer.parts],
        "attention": _attention(answer.attention) if answer.attention is not None else None,
    }


def _method(method: ShownMethod) -> dict[str, Any]:
    return {
        "method": method.method,
        "label": method.label or None,
        "check": method.check or None,
        "probabilities": {label.name: _rounded(label.probability) for label in method.best},
        "seconds": {name: _rounded(value) for name, value in method.seconds.items()},
        "context_tokens": method.context_tokens,
        "rows_encoded_with_the_query": method.rows_anew,
    }


def _part(part: ShownPart, texts: bool) -> dict[str, Any]:
    rows = [
        {
            "row": "taught" if row.number == TAUGHT else row.number,
            "label": _plain(row.label),
            "cosine": _rounded(row.near),
            "share": _rounded(row.share),
            **({"text": _plain(row.text)} if texts else {}),
        }
        for row in part.rows
    ]
    return {
        "part": part.key,
        "why": part.note,
        "score": _rounded(part.score),
        "share": _rounded(part.share),
        "rows": rows,
        "tokens": _tokens(part.tokens, texts) if part.tokens is not None else None,
    }


def _tokens(tokens: ShownTokens, texts: bool) -> dict[str, Any]:
    shares = [round(share, TOKEN_DIGITS) for share in tokens.shares.tolist()]
    return {
        "saw_before": {one.name: one.tokens for one in tokens.before},
        "shares": shares,
        **({"texts": list(tokens.texts)} if texts else {}),
    }


def _attention(attention: ShownAttention) -> dict[str, Any]:
    layers, heads, _ = attention.mass.shape
    return {
        "of": "the query's last token",
        "layers": layers,
        "heads": heads,
        "parts": list(attention.names),
        "mean": [_rounded(share) for share in attention.shares.values()],
        "by_head": [[[_rounded(one) for one in head] for head in layer] for layer in attention.mass.tolist()],
    }


def _plain(pieces: Pieces) -> str:
    return "".join(text for text, _ in pieces)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), DIGITS)


def _csv(names: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(names)
    table.writerows(lines)
    return written.getvalue()
