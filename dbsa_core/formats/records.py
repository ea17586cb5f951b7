"""JSON and JSON lines to columns.

Knows nothing about encodings: the text is decoded.
"""

import json
from collections.abc import Sequence
from typing import Any

from dbsa_core.errors import DataError
from dbsa_core.formats import MAX_COLUMNS, Parsed, few, reason, shortened, too_many_columns


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
    records = content if isinstance(content, list) else _records_inside(content, source)
    if isinstance(records, dict):
        return _json_columns(records, source)
    return _records(records, range(1, len(records) + 1), source, "json", "item")


def _records_inside(content: object, source: str) -> list[Any] | dict[str, list[Any]]:
    """The list of objects inside of an object, or the object itself where it holds columns."""
    wanted = 'Give a list of objects such as [{"text": "...", "label": "..."}].'
    if not isinstance(content, dict):
        raise DataError(f'"{source}" holds a single JSON value ({_json_kind(content)}), not a list. {wanted}')
    lists = {name: value for name, value in content.items() if isinstance(value, list)}
    tables = [name for name, value in lists.items() if value and isinstance(value[0], dict)]
    if len(tables) == 1:
        return list(lists[tables[0]])
    if len(tables) > 1:
        raise DataError(f'"{source}" holds several lists of objects ({few(tables)}). Give a file with one of them.')
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


def _json_kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
