"""The files that a command names: labelled rows, texts to classify, test rows, names of coded labels.

Knows nothing about models.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbsa_core.cli.output import Console
from dbsa_core.data import (
    Demonstration,
    Pool,
    build_pool,
    choose_columns,
    clean_text,
    read_queries,
    read_query_table,
)
from dbsa_core.errors import DataError, QueryError
from dbsa_core.example import example_file
from dbsa_core.files.cells import quoted
from dbsa_core.files.tables import Table, describe_rows, read_table
from dbsa_core.tested import read_tested

EXAMPLE = example_file("train.csv")


@dataclass(frozen=True)
class Data:
    """The labelled file."""

    path: Path
    pool: Pool
    text_column: str
    label_column: str
    label_names: Mapping[str, str] = field(default_factory=dict)
    """Of codes."""


@dataclass(frozen=True)
class Queries:
    """Texts to classify, with the columns they came with."""

    texts: list[str]
    columns: list[str]
    cells: list[list[str]]
    rows: list[int | None]
    """Data rows of the file; None for texts from the command line."""


def _options(args: argparse.Namespace, prefix: str = "") -> dict[str, Any]:
    """How a file is to be read, as far as it was said."""
    names = ("encoding", "delimiter", "sheet")
    return {name: value for name in names if (value := getattr(args, f"{prefix}{name}", None)) is not None}


def _has_header(args: argparse.Namespace, prefix: str = "") -> bool:
    return not getattr(args, f"{prefix}no_header", False)


def _told(table: Table, console: Console) -> Table:
    for note in table.notes:
        console.say(f"{table.source}: {note}")
    return table


def read_data(args: argparse.Namespace, console: Console) -> Data:
    """The labelled file, or the bundled example, with all that is to be said about it."""
    path = args.data
    if path is None:
        if not EXAMPLE.is_file():
            raise DataError("Give --data FILE, a file with a column of texts and a column of labels.")
        path = EXAMPLE
        console.say("No --data was given: the bundled example is used.")
    table = _told(read_table(path, has_header=_has_header(args), **_options(args)), console)
    text, label = choose_columns(table, args.text_column, args.label_column)
    names = _label_names(args.label_names) if args.label_names else None
    pool = build_pool(table, text, label, label_names=names)
    console.say(f'{table.source}: {len(pool):,} rows, {len(pool.labels):,} labels; texts "{text}", labels "{label}".')
    for problem in pool.problems:
        console.say(f"{table.source}: {problem.message}")
    return Data(path, pool, text, label, names or {})


def _label_names(path: Path) -> dict[str, str]:
    """Code to name: a JSON object, or a table whose first two columns are codes and names."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.suffix.lower() == ".json" else None
    except (OSError, ValueError) as error:
        raise DataError(
            f'"{path.name}" cannot be read as names of labels ({error}). Give a JSON object such as '
            '{"0": "refund"}, or a table of two columns, code and name.'
        ) from error
    if isinstance(content, dict):
        return {str(code): name for code, name in content.items()}
    table = read_table(path)
    if len(table.frame.columns) < 2:
        raise DataError(f'"{path.name}" has one column; names of labels need two, the code and its name.')
    # Its first line may be names of columns or a code and a name: a code too many does no harm.
    pairs = [list(map(str, table.frame.columns)), *table.frame.to_numpy().tolist()]
    return {clean_text(code): clean_text(name) for code, name, *_ in pairs if code and name}


def read_query_file(args: argparse.Namespace, data: Data, console: Console) -> Queries:
    """The texts of --query, or the rows of --queries."""
    if args.queries is None:
        texts = [clean_text(text) for text in args.query]
        if "" in texts:
            raise QueryError("The query is empty; type a text to classify.")
        return Queries(texts, ["query"], [[text] for text in texts], [None] * len(texts))
    known = {data.text_column, *([args.text_column] if args.text_column else [])}
    header = None if _has_header(args, "queries_") else False
    table = read_query_table(args.queries, has_header=header, known=known, **_options(args, "queries_"))
    _told(table, console)
    columns = [str(name) for name in table.frame.columns]
    # The file's own column of that name, where there is one; a file of queries need not look like the labelled one.
    name = data.text_column if data.text_column in columns else None
    if name is None and args.text_column:
        console.say(f'{table.source} has no column "{args.text_column}"; its column of texts is guessed.')
    texts = read_queries(table, name)
    cells = [["" if cell is None else cell for cell in row] for row in table.frame.to_numpy().tolist()]
    if table.ragged_rows:
        console.say(f"{table.source}: left out for their number of fields: {describe_rows(table.ragged_rows)}.")
    return Queries(texts, columns, cells, list(table.row_numbers))


def read_test(args: argparse.Namespace, seed: int, data: Data, console: Console) -> list[Demonstration]:
    """The labelled test rows, with labels as the labelled file spells them where exactly one fits."""
    path = args.test or data.path.with_name("test.csv")
    if args.test is None and (not path.is_file() or path.samefile(data.path)):
        raise DataError(
            f'There is no test.csv beside "{data.path.name}"; give --test FILE with labelled test rows, or '
            "--hold-out N to ask about N rows of the labelled file."
        )
    table = _told(read_table(path, has_header=_has_header(args, "test_"), **_options(args, "test_")), console)
    columns = (data.text_column, data.label_column)
    found = read_tested(table, data.pool.labels, known=columns, label_names=data.label_names)
    filled = list(found.demonstrations)
    console.say(
        f'{table.source}: {len(filled):,} test rows; texts "{found.text_column}", labels "{found.label_column}".'
    )
    if found.empty:
        console.say(f"{table.source}: left out for an empty text or label: {describe_rows(found.empty)}.")
    if matched := found.matched:
        shown = "; ".join(f"{quoted([given])} as {quoted([label])}" for given, label in list(matched.items())[:5])
        console.say(
            f"{table.source}: {len(matched):,} labels are spelled otherwise than in the labelled file and are taken "
            f"for its own ({shown})."
        )
    if args.limit is None or args.limit >= len(filled):
        return filled
    drawn = sorted(random.Random(seed).sample(range(len(filled)), args.limit))
    console.say(f"{args.limit:,} of the {len(filled):,} test rows are drawn (seed {seed}).")
    return [filled[index] for index in drawn]
