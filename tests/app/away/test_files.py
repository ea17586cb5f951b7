"""An answer as CSV and JSON: the numbers are its own, and texts are there only where that was said."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.ask.shown import ShownAnswer, ShownTokens
from app.away import files
from app.away.files import answer_json, attention_csv, read_csv, write_files
from dbsa_core.data import TAUGHT
from dbsa_core.errors import DataError


def test_what_was_read_has_a_line_for_each_row(shown: ShownAnswer) -> None:
    lines = list(csv.DictReader(io.StringIO(read_csv(shown, texts=True))))
    rows = [(part, row) for part in shown.parts for row in part.rows]
    assert len(lines) == len(rows)
    for line, (part, row) in zip(lines, rows, strict=True):
        assert (line["part"], line["why"], line["row"]) == (part.key, part.note, str(row.number))
        assert line["text"] == "".join(text for text, _ in row.text)
        assert line["label"] == "".join(text for text, _ in row.label)
        assert float(line["part_share"]) == pytest.approx(part.share, abs=1e-6)
    of_blocks = [line for line in lines if line["part"].startswith("block")]
    assert all(line["row_share"] for line in of_blocks)
    assert "text" not in next(csv.DictReader(io.StringIO(read_csv(shown, texts=False))))


def test_every_heads_attention_is_all_of_it(shown: ShownAnswer) -> None:
    assert shown.attention is not None
    found: dict[tuple[int, int], dict[str, float]] = defaultdict(dict)
    for line in csv.DictReader(io.StringIO(attention_csv(shown.attention))):
        found[int(line["layer"]), int(line["head"])][line["part"]] = float(line["share"])
    layers, heads, _ = shown.attention.mass.shape
    assert set(found) == {(layer + 1, head + 1) for layer in range(layers) for head in range(heads)}
    for (layer, head), shares in found.items():
        assert tuple(shares) == shown.attention.names
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert [*shares.values()] == pytest.approx(shown.attention.mass[layer - 1, head - 1].tolist(), abs=1e-6)


def test_the_json_has_the_same_numbers(shown: ShownAnswer) -> None:
    plain = json.loads(json.dumps(answer_json(shown, texts=True)))
    assert shown.attention is not None
    assert np.allclose(plain["attention"]["by_head"], shown.attention.mass, atol=1e-6)
    assert plain["attention"]["parts"] == list(shown.attention.names)
    assert plain["blocks_read"] == [block + 1 for block in shown.read]
    assert [each["method"] for each in plain["answers"]] == ["dbsa_fresh", "retrieval_icl"]
    assert plain["answers"][0]["label"] == shown.method.label
    assert plain["answers"][0]["seconds"]["total"] == pytest.approx(shown.method.seconds["total"], abs=1e-6)
    assert len(plain["read"]) == len(shown.parts)
    assert all("text" in row for part in plain["read"] for row in part["rows"])
    bare = answer_json(shown, texts=False)
    assert not any("text" in row for part in bare["read"] for row in part["rows"])
    for made, silent, part in zip(plain["read"], bare["read"], shown.parts, strict=True):
        assert part.tokens is not None
        assert made["tokens"]["shares"] == pytest.approx(part.tokens.shares.tolist(), abs=1e-8)
        assert sum(made["tokens"]["shares"]) == pytest.approx(made["share"], abs=1e-4)
        assert made["tokens"]["texts"] == [*part.tokens.texts]
        assert made["tokens"]["saw_before"] == {run.name: run.tokens for run in part.tokens.before}
        assert silent["tokens"] == {name: value for name, value in made["tokens"].items() if name != "texts"}


def test_no_file_without_texts_has_one(shown: ShownAnswer, tmp_path: Path) -> None:
    row = shown.parts[0].rows[0]
    secret = replace(row, text=(("a secret ", 0), ("of the file", 2)), number=TAUGHT)
    tokens = ShownTokens(("a secret ", "token"), np.ones(2, np.float32), ())
    kept = replace(shown, parts=(replace(shown.parts[0], rows=(secret,), tokens=tokens), *shown.parts[1:]))
    bare, whole = (write_files(kept, tmp_path, texts=texts) for texts in (False, True))
    assert {path.suffix for path in bare} == {".html", ".csv", ".json"}
    assert len(bare) == len(whole) == 4
    for path in bare:
        assert "secret" not in path.read_text(encoding="utf-8"), path.name
    holding = {path.name.split("-")[0] for path in whole if "secret" in path.read_text(encoding="utf-8")}
    assert holding == {"page", "read", "answer"}
    assert "taught" in next(path for path in bare if path.name.startswith("read")).read_text(encoding="utf-8-sig")


def test_an_answer_without_attention_has_no_file_of_it(shown: ShownAnswer, tmp_path: Path) -> None:
    parts = tuple(replace(part, share=None) for part in shown.parts)
    found = write_files(replace(shown, attention=None, parts=parts), tmp_path, texts=False)
    assert len(found) == 3
    assert answer_json(replace(shown, attention=None), texts=False)["attention"] is None


def test_a_full_disk_is_said(shown: ShownAnswer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.tempfile, "mkdtemp", full)
    with pytest.raises(DataError, match=r"cannot be written \(No space left on device\). The answer is kept"):
        write_files(shown, tmp_path, texts=False)
