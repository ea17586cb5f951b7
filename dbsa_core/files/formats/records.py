"""JSON and JSON lines to columns.

Knows nothing about encodings: the text is decoded.
"""

import json
from collections.abc import Sequence
from typing import Any

from dbsa_core.errors import DataError
from dbsa_core.files.formats import MAX_COLUMNS, Parsed, few, reason, shortened, too_many_columns

_TRAIN = frozenset({"train", "training", "train_data"})


def read_json(text: str, source: str) -> Parsed:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f'"{source}" is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}. '
            'Give a list of objects such as [{"text": "...", "label": "..."}].'
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f'"{source}" cannot be read as JSON: {reason(error)}. Give a list of flat objects.') from error
    notes: list[str] = []
    records = content if isinstance(content, list) else _records_inside(content, source, notes)
    if isinstance(records, dict):
        return _json_columns(records, source)
    parsed = _records(records, range(1, len(records) + 1), source, "json", "item")
    parsed.notes[:0] = notes
    return parsed


def _records_inside(content: object, source: str, notes: list[str]) -> list[Any] | dict[str, list[Any]]:
    """The list of rows inside of an object, or the object itself where it holds columns."""
    wanted = 'Give a list of objects such as [{"text": "...", "label": "..."}].'
    if not isinstance(content, dict):
        raise DataError(f'"{source}" holds a single JSON value ({_json_kind(content)}), not a list. {wanted}')
    lists = {name: value for name, value in content.items() if isinstance(value, list)}
    tables = [name for name, value in lists.items() if value and isinstance(value[0], dict | list)]
    # Splits under their names, as data sets are published: the one to learn from.
    train = next((name for name in tables if name.strip().casefold() in _TRAIN), None)
    if len(tables) > 1 and train is not None:
        others = few([name for name in lists if name != train])
        notes.append(f'The file holds several lists of rows; "{train}" was read, and not {others}.')
        return list(lists[train])
    if len(tables) == 1:
        return list(lists[tables[0]])
    if len(tables) > 1:
        raise DataError(f'"{source}" holds several lists of rows ({few(tables)}). Give a file with one of them.')
    if not lists or len(lists) != len(content):
        raise DataError(f'"{source}" holds a JSON object without a list of objects in it, not a list. {wanted}')
    return lists


def _json_columns(columns: dict[str, list[Any]], source: str) -> Parsed:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = few([f'"{shortened(name)}": {length:,}' for name, length in lengths.items()])
        raise DataError(f'The columns of "{source}" differ in length ({shown}). Give every column as many values.')
    return Parsed("json", list(columns), list(columns.values()), range(1, next(iter(lengths.values())) + 1))


def read_jsonl(text: str, source: str) -> Parsed:
    records, numbers = [], []
    for number, line in enumerate(text.split("\n"), 1):  # splitlines would cut at separators that JSON texts may hold
        if not line or line.isspace():
            continue
        try:
            records.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            place = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            raise DataError(
                f'Line {number} of "{source}" is not valid JSON: {reason(error)}{place}. '
                'Each line has to be one object such as {"text": "...", "label": "..."}.'
            ) from error
        numbers.append(number)
    return _records(records, numbers, source, "jsonl", "line")


def _records(records: list[Any], numbers: Sequence[int], source: str, format: str, unit: str) -> Parsed:
    if records and all(isinstance(record, str) for record in records):
        return Parsed(format, ["text"], [records], numbers, ["The file is a list of texts; they became one column."])
    width = len(records[0]) if records and isinstance(records[0], list) else 0
    if width and all(_is_tuple(record, width) for record in records):
        return _tuples(records, numbers, format)
    names: dict[str, None] = {}
    for number, record in zip(numbers, records, strict=True):
        if not isinstance(record, dict):
            raise DataError(
                f'{unit.capitalize()} {number} of "{source}" is {_json_kind(record)}, not an object. '
                'Each has to be an object such as {"text": "...", "label": "..."}.'
            )
        names.update(dict.fromkeys(record))
        if len(names) > MAX_COLUMNS:
            raise DataError(too_many_columns(source, len(names)))
    return Parsed(format, list(names), [[record.get(name) for record in records] for name in names], numbers)


def _is_tuple(record: object, width: int) -> bool:
    """Whether it is a list of so many plain values."""
    plain = str | int | float | bool | None
    return isinstance(record, list) and len(record) == width > 1 and all(isinstance(cell, plain) for cell in record)


def _tuples(records: list[list[Any]], numbers: Sequence[int], format: str) -> Parsed:
    """Lists of as many values each: pairs are text and label, whichever of them stands first."""
    columns = [list(column) for column in zip(*records, strict=True)]
    names = [f"column {place}" for place in range(1, len(columns) + 1)]
    if len(columns) == 2 and all(isinstance(cell, str) for column in columns for cell in column):
        first, second = (sum(map(len, column)) for column in columns)
        names = ["text", "label"] if first >= second else ["label", "text"]
    said = f"The rows are lists of {len(columns)} values; they became the columns {', '.join(names)}."
    return Parsed(format, names, columns, numbers, [said])


def _json_kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
