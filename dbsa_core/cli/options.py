"""The settings that the options of a command line mean.

Knows nothing about files, models or output.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dbsa_core.errors import ModelError, QueryError, SettingsError
from dbsa_core.methods import METHODS, Method, make_method
from dbsa_core.prompt import PromptTemplate, template
from dbsa_core.retrieve.embedder import check_installed
from dbsa_core.settings import EncodeSettings, QuerySettings, preset
from dbsa_core.tuning import METHOD as TUNED
from dbsa_core.tuning import TunedSettings, read_settings

_ENCODE_FIELDS = (
    "pool_tokens",
    "block_size",
    "window",
    "sink_blocks",
    "positions",
    "seed",
    "long_rows",
    "pool_precision",
)
_QUERY_FIELDS = (
    "ratio", "fresh_demonstrations", "retriever", "row_retriever", "embedder", "votes", "vote_weight", "order",
    "decode", "seed",
)  # fmt: skip
_WITHOUT_FRESH = (
    "With no similar examples (--fresh 0, or a preset of the paper) dbsa_fresh equals dbsa, so dbsa is run."
)


@dataclass(frozen=True)
class Choices:
    """What the options ask for, checked."""

    encode: EncodeSettings
    query: QuerySettings
    template: PromptTemplate
    methods: tuple[str, ...]
    notes: tuple[str, ...]
    """Sentences for the user on what an option leads to."""
    reject: bool = False
    """Whether a reject option is asked for."""
    tuned: TunedSettings | None = None
    """What `--settings` names."""

    def made(self) -> list[Method]:
        """The methods; what was tuned has settings of its own."""
        return [self._made(name) for name in self.methods]

    def _made(self, name: str) -> Method:
        return self.tuned.method() if self.tuned and name == TUNED else make_method(name, self.query)


def choices(args: argparse.Namespace) -> Choices:
    """The preset with what was given explicitly in its place; `SettingsError` for what is not accepted."""
    chosen, given = preset(args.preset), {name: value for name, value in vars(args).items() if value is not None}
    tuned = read_settings(given["settings"]) if "settings" in given else None
    if tuned and args.preset != "automatic":
        raise SettingsError(f"--settings and --preset {args.preset} were given; give one of them.")
    query = replace(chosen.query, **{name: given[name] for name in _QUERY_FIELDS if name in given})
    words = {name: given[name] for name in ("text_prefix", "label_prefix") if name in given}
    methods, notes = _methods(args, query, tuned) if "methods" in vars(args) else ((), ())
    if given.get("limit", 1) < 1:
        raise SettingsError(f"--limit is {args.limit}; it must be 1 test row or more. Leave it out to take all.")
    if given.get("rows", 1) < 1:
        raise SettingsError(f"--rows is {args.rows}; it must be 1 row or more. Leave it out to take the usual number.")
    _check_hold_out(given)
    if given.get("budget", 1.0) <= 0:
        raise SettingsError(f"--budget is {args.budget:g}; it must be more than 0 seconds.")
    return Choices(
        encode=_encoding(tuned.encode if tuned else chosen.encode, given),
        query=query,
        template=replace(template(args.prompt), **words),
        methods=methods,
        notes=notes,
        reject=given.get("reject", False) or (tuned is not None and tuned.reject),
        tuned=tuned,
    )


def _encoding(settings: EncodeSettings, given: Mapping[str, Any]) -> EncodeSettings:
    """With what was given in its place."""
    found = replace(settings, **{name: given[name] for name in _ENCODE_FIELDS if name in given})
    if "pattern" not in given:
        return found
    named = found.with_sparsity_pattern(given["pattern"])
    for name in ("window", "sink_blocks"):
        if name in given and getattr(named, name) != given[name]:
            option = f"--{name.replace('_', '-')}"
            raise SettingsError(
                f"--pattern {given['pattern']} and {option} {given[name]} were given; give one of them."
            )
    return named


def _check_hold_out(given: Mapping[str, Any]) -> None:
    if given.get("hold_out", 1) < 1:
        raise SettingsError(f"--hold-out is {given['hold_out']}; it must be 1 row or more. Leave it out to use --test.")
    if "hold_out" in given and (other := next((name for name in ("test", "limit") if name in given), None)):
        raise SettingsError(f"--hold-out and --{other} were given; test rows come from one place, so give one of them.")


def _installed_methods() -> list[str]:
    """All, but for those that need a sentence encoder where there is none."""
    try:
        check_installed()
    except ModelError:
        return [name for name in METHODS if name != "sentence_vectors"]
    return list(METHODS)


def _methods(
    args: argparse.Namespace, query: QuerySettings, tuned: TunedSettings | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of methods without repeats, and what is to be said about them."""
    named = [name.strip() for part in args.methods or () for name in part.split(",") if name.strip()]
    if args.methods and not named:
        raise SettingsError(f"--method is empty; give one or more of {', '.join(METHODS)}.")
    usual = _installed_methods() if args.command == "evaluate" else ["dbsa_fresh"]
    if tuned:
        usual = [TUNED, *(usual if args.command == "evaluate" else ())]
    names = named or usual
    for name in names:
        if name == TUNED and not tuned:
            raise SettingsError(f"The method {TUNED} is what `tune` chose; give --settings FILE.json, which it wrote.")
        if name != TUNED:
            make_method(name, query)
    notes = []
    # Under a preset of the paper, dbsa_fresh stays where it is named or all are run, and adds its usual number.
    without_fresh = args.fresh_demonstrations == 0 or (args.command == "classify" and not named)
    if "dbsa_fresh" in names and query.fresh_demonstrations == 0 and without_fresh:
        names = ["dbsa" if name == "dbsa_fresh" else name for name in names]
        notes.append(_WITHOUT_FRESH)
    elif args.fresh_demonstrations and "dbsa_fresh" not in names:
        notes.append("--fresh has no effect: it is for dbsa_fresh, which is not among the methods.")
    return tuple(dict.fromkeys(names)), tuple(notes)


def check_queries(args: argparse.Namespace) -> None:
    """Refuse what `classify` cannot start with."""
    if bool(args.query) == bool(args.queries):
        both = "not both of them" if args.query else "one of them is needed"
        raise QueryError(f"Give --query TEXT (it may be repeated) or --queries FILE; {both}.")
    check_out(args, args.queries, args.data)


def check_out(args: argparse.Namespace, *read: Path | None, kind: str = "csv") -> None:
    """Refuse a file of that kind that cannot be written, or is one of those that are read."""
    if args.out is None:
        return
    if args.out.suffix.lower() != f".{kind}":
        raise SettingsError(
            f'--out is "{args.out}"; it is written as {kind.upper()}, so give a name that ends in .{kind}.'
        )
    if args.out.is_dir() or not args.out.absolute().parent.is_dir():
        raise SettingsError(f'--out is "{args.out}"; give the name of a file in a folder that exists.')
    for source in read:
        if source is not None and args.out.exists() and source.exists() and args.out.samefile(source):
            raise SettingsError(f'--out is "{args.out}", which is also read; give another name.')


def options_of(args: argparse.Namespace) -> dict[str, Any]:
    """All options of one call as plain values, files by their whole path; what `--run` takes."""
    files = {name: str(value.absolute()) for name, value in vars(args).items() if isinstance(value, Path)}
    plain = {name: value for name, value in vars(args).items() if not isinstance(value, Path) and value is not None}
    return {name: value for name, value in {**plain, **files}.items() if name not in ("command", "json", "out", "run")}
