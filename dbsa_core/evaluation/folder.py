"""A folder in which an evaluation is kept while it runs, so that one that was stopped goes on where it was.

Knows nothing about methods: it keeps what they took, a line a step. `run.json` says with what it runs, and is compared
with what a run that is to go on says; `steps.jsonl` is what was done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dbsa_core.errors import DataError, SettingsError

FORMAT = 1
RUN, STEPS = "run.json", "steps.jsonl"
_DIFFERENCES = 4
"""Of the settings of two runs, as many are named."""


@dataclass(frozen=True)
class Answered:
    """One answer; a query that could not be answered has "" for its label."""

    label: str
    probability: float | None = None
    seconds: float = 0.0
    cold: bool = False
    context_tokens: int = 0
    example_tokens: int = 0
    problem: str = ""
    decided: str = ""
    """The answer with a reject option, where there is one; `label` is that without."""
    decided_probability: float | None = None
    nearest: str = ""
    """The most probable label that is not the one out of scope."""
    in_scope_score: float | None = None


@dataclass
class Taken:
    """What a method did so far."""

    setup_seconds: float = 0.0
    kv_bytes: int = 0
    alone: list[Answered] = field(default_factory=list)
    """Rows of the sample, each asked alone; the cold one left out."""
    together: list[Answered] = field(default_factory=list)
    """All rows, in order."""
    refused: str = ""
    """Why its context does not fit."""
    option: Mapping[str, Any] | None = None
    """Its reject option as plain values; or as `problem`, why it has none. None where none was tried."""

    @property
    def has_option(self) -> bool:
        """Whether it was asked with a reject option."""
        return self.option is not None and "problem" not in self.option


@dataclass
class Record:
    """What every method did so far, in memory."""

    taken: dict[str, Taken] = field(default_factory=dict)

    def fitted(self, method: str, setup_seconds: float, kv_bytes: int) -> None:
        """What a method took once. A run that goes on keeps what it took at first."""
        if method not in self.taken:
            self.taken[method] = Taken(setup_seconds, kv_bytes)
            self._write({"method": method, "setup_seconds": setup_seconds, "kv_bytes": kv_bytes})

    def alone(self, method: str, answer: Answered) -> None:
        """An answer to the next row of the sample."""
        self.taken[method].alone.append(answer)
        self._write({"method": method, "asked": "alone", **asdict(answer)})

    def together(self, method: str, answer: Answered) -> None:
        """An answer to the next row of all."""
        self.taken[method].together.append(answer)
        self._write({"method": method, "asked": "together", **asdict(answer)})

    def option(self, method: str, plain: Mapping[str, Any]) -> None:
        """A method's reject option."""
        self.taken[method].option = plain
        self._write({"method": method, "option": plain})

    def refused(self, method: str, reason: str) -> None:
        """That a method's context does not fit."""
        self.taken.setdefault(method, Taken()).refused = reason
        self._write({"method": method, "refused": reason})

    def _write(self, step: Mapping[str, Any]) -> None:
        """Keep it elsewhere too."""


@dataclass
class RunFolder(Record):
    """The same, and each step in a folder."""

    path: Path = field(default_factory=Path)

    @classmethod
    def open(cls, path: Path, settings: Mapping[str, Any], about: Mapping[str, Any]) -> RunFolder:
        """The folder of that path, begun with these settings, or gone on with where it is of the same ones.

        Both are plain values; `about` is kept beside the settings and not compared. Raises `SettingsError` where the
        folder holds a run of other settings, and `DataError` where it cannot be read or written.
        """
        settings = json.loads(json.dumps(settings))
        try:
            path.mkdir(parents=True, exist_ok=True)
            if (path / RUN).exists():
                _check_same(path, settings)
                return cls(dict(_steps(path / STEPS)), path)
            text = json.dumps({"format": FORMAT, "settings": settings, "about": about}, indent=1, ensure_ascii=False)
            (path / STEPS).write_text("", encoding="utf-8")
            (path / RUN).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise DataError(f'"{path}" cannot be written to ({error.strerror}); give another folder.') from error
        return cls({}, path)

    def _write(self, step: Mapping[str, Any]) -> None:
        try:
            with (self.path / STEPS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(step, ensure_ascii=False) + "\n")
        except OSError as error:
            raise DataError(f'"{self.path}" cannot be written to ({error.strerror}); what is there is kept.') from error


def read_run(path: Path) -> dict[str, Any]:
    """What a folder's `run.json` holds: `settings`, and what is kept beside them as `about`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f'"{path}" is not the {RUN} of an evaluation ({error}); give one that `evaluate` wrote.'
        ) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT or "settings" not in found:
        raise DataError(f'"{path}" is not the {RUN} of an evaluation of this version; give another folder.')
    return found


def _check_same(path: Path, settings: Mapping[str, Any]) -> None:
    before, now = dict(flat_settings(read_run(path / RUN)["settings"])), dict(flat_settings(settings))
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if names:
        told = "; ".join(f"{name}: {before.get(name)} there, {now.get(name)} now" for name in names[:_DIFFERENCES])
        more = f"; and {len(names) - _DIFFERENCES} more" if len(names) > _DIFFERENCES else ""
        raise SettingsError(
            f'"{path}" holds an evaluation of other settings ({told}{more}). Give another folder, or those settings to '
            "go on with it."
        )


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names as "encode.window", and values."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flat_settings(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _steps(path: Path) -> Iterator[tuple[str, Taken]]:
    """What is written there. A last line that was cut off is taken away: that step is done again."""
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        path.write_bytes(whole)
    found: dict[str, Taken] = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            step = json.loads(line)
            taken = found.setdefault(step.pop("method"), Taken())
            where = step.pop("asked", None)
            if where is not None:
                (taken.alone if where == "alone" else taken.together).append(Answered(**step))
            for name in ("setup_seconds", "kv_bytes", "refused", "option"):
                if where is None and name in step:
                    setattr(taken, name, step[name])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f'Line {number} of "{path}" cannot be read ({error}); give another folder.') from error
    yield from found.items()
