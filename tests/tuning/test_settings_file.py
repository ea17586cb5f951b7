"""The file of settings: what was written is read, and what cannot be is refused with a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dbsa_core.errors import DataError, DBSAError
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.tuning import METHOD, TunedSettings, read_settings

SETTINGS = TunedSettings(
    QuerySettings(ratio=0.1, fresh_demonstrations=16, row_retriever="hybrid", votes="words+vectors", vote_weight=1.25),
    EncodeSettings(block_size=7, positions="local"),
    reject=True,
    out_of_scope="keines",
    model="tiny",
    data="abc",
    evidence={"rows": 3, "sentence": "müde"},
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    SETTINGS.write(tmp_path / "settings.json")
    assert read_settings(tmp_path / "settings.json") == SETTINGS
    method = read_settings(tmp_path / "settings.json").method()
    assert (method.name, method.title, method.settings) == (METHOD, "DBSA, tuned", SETTINGS.query)


def test_other_models_and_rows_are_told() -> None:
    assert SETTINGS.notes("tiny", "abc") == []
    assert "tuned with the model tiny, and this is large" in SETTINGS.notes("large", "abc")[0]
    assert "for other rows" in SETTINGS.notes("tiny", "xyz")[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "other"}, "holds no settings"),
        ({"format": 2}, "is of format 2, and this version reads 1"),
        ({"query": {"ratio": 7}}, "ratio"),
        ({"query": {"speed": 7}}, "is not as `tune` writes it"),
        ({"query": None}, "is not as `tune` writes it"),
        ({"colour": "red"}, "is not as `tune` writes it"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(SETTINGS.as_json() | changes), encoding="utf-8")
    with pytest.raises(DBSAError, match=said) as caught:
        read_settings(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", ["", "[1, 2]", "null", "a: 1", b"\xff\xfe{"])
def test_what_is_no_object_is_refused(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=r"settings\.json"):
        read_settings(path)


def test_a_field_that_is_missing_is_refused(tmp_path: Path) -> None:
    path, plain = tmp_path / "settings.json", SETTINGS.as_json()
    del plain["encode"]
    path.write_text(json.dumps(plain), encoding="utf-8")
    with pytest.raises(DataError, match="encode"):
        read_settings(path)


def test_a_file_that_is_not_there_or_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_settings(tmp_path / "none.json")
    with pytest.raises(DataError, match="cannot be written"):
        SETTINGS.write(tmp_path / "none" / "settings.json")
