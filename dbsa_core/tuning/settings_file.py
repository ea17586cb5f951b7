"""What tuning chose, and the file that it is kept in.

Knows nothing about how it was chosen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dbsa_core.errors import DataError, SettingsError
from dbsa_core.methods import Method
from dbsa_core.methods.dbsa import Dbsa
from dbsa_core.settings import EncodeSettings, QuerySettings

METHOD = "dbsa_tuned"
"""Its name beside those of `METHODS`."""
FORMAT = 1
KIND = "settings that dbsa tuned"


@dataclass(frozen=True)
class TunedSettings:
    """Settings for one labelled file, and what speaks for them."""

    query: QuerySettings
    encode: EncodeSettings
    """Those that it was tuned with."""
    reject: bool = False
    """Whether a reject option is fitted, which may answer that no label fits."""
    out_of_scope: str | None = None
    """The label of texts that fit no other one."""
    model: str = ""
    """That it was tuned with;"""
    data: str = ""
    """and the fingerprint of the file's rows."""
    evidence: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Plain values: what was tried, and what came out."""

    def method(self) -> Method:
        """The method that they mean; `fit` it before use. Its name is `METHOD`."""
        return Dbsa(self.query, name=METHOD, called="DBSA, tuned")

    def notes(self, model: str, data: str) -> list[str]:
        """What is to be said where they are used with that model, and rows of that fingerprint."""
        found = []
        if self.model and model != self.model:
            found.append(f"The settings were tuned with the model {self.model}, and this is {model}; tune anew for it.")
        if self.data and data != self.data:
            found.append("The settings were tuned for other rows than those of the labelled file; tune anew for these.")
        return found

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": KIND, "format": FORMAT, "method": METHOD, **asdict(self)}

    def write(self, path: Path) -> None:
        """Into a file, which is replaced where there is one; `DataError` where it cannot be written."""
        try:
            path.write_text(json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise DataError(f'"{path}" cannot be written ({error.strerror}); give the name of another file.') from error


def read_settings(path: Path) -> TunedSettings:
    """What `TunedSettings.write` wrote.

    Raises `DataError` for a file that cannot be read or is no such file, and `SettingsError` for values in it that are
    not accepted.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f'"{path}" cannot be read ({error.strerror}); give a file that `tune` wrote.') from error
    except ValueError as error:
        raise DataError(f'"{path}" is no JSON ({error}); give a file that `tune` wrote.') from error
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise DataError(f'"{path}" holds no settings; give a file that `tune` wrote.')
    if found.get("format") != FORMAT:
        raise DataError(
            f'"{path}" is of format {found.get("format")!r}, and this version reads {FORMAT}; tune anew, or use the '
            "version that wrote it."
        )
    plain = {name: value for name, value in found.items() if name not in ("kind", "format", "method")}
    try:
        query, encode = QuerySettings(**plain.pop("query")), EncodeSettings(**plain.pop("encode"))
        return TunedSettings(query, encode, **plain)
    except SettingsError as error:
        raise SettingsError(f'"{path}": {error}') from error
    except (KeyError, TypeError) as error:
        raise DataError(f'"{path}" is not as `tune` writes it ({error}); tune anew.') from error
