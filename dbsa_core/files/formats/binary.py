"""Parquet files to columns.

Knows nothing about names of files: the content comes as bytes.
"""

import io
import json
from typing import Any

from dbsa_core.errors import DataError
from dbsa_core.files.formats import Parsed, too_many_rows


def read_parquet(data: bytes, source: str, max_bytes: int, max_rows: int) -> Parsed:
    """Columns of text and numbers: bytes that are UTF-8 are text, codes get the names that the file has for them."""
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(data))
        groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
        unpacked = sum(group.total_byte_size for group in groups)
        if unpacked <= 10 * max_bytes and file.metadata.num_rows <= max_rows:
            table = file.read(use_threads=False)
            columns = [_texts(column.to_pylist()) for column in table.columns]
            names = _class_names(table.schema.metadata or {})
            parsed = Parsed("parquet", list(table.column_names), columns, range(1, table.num_rows + 1))
            return _with_names(parsed, names)
        rows = file.metadata.num_rows
    except Exception as error:  # pyarrow raises a dozen kinds on damaged input
        raise DataError(
            f'"{source}" is a damaged Parquet file and cannot be read ({type(error).__name__}). Save it again.'
        ) from error
    if rows > max_rows:
        raise DataError(too_many_rows(source, max_rows))
    raise DataError(f'"{source}" unpacks to {unpacked:,} bytes; accepted are up to {10 * max_bytes:,}.')


def _texts(column: list[Any]) -> list[Any]:
    """A column of bytes as text where all of them are UTF-8; as it is elsewhere."""
    if not any(isinstance(cell, bytes) for cell in column):
        return column
    try:
        return [cell.decode() if isinstance(cell, bytes) else cell for cell in column]
    except UnicodeDecodeError:
        return column


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Names of coded labels by column, as the `datasets` library writes them into a schema."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            name: [str(label) for label in feature["names"]]
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _with_names(parsed: Parsed, names: dict[str, list[str]]) -> Parsed:
    for place, name in enumerate(parsed.header):
        own, column = names.get(name), parsed.columns[place]
        if own is None or not all(cell is None or _is_code(cell, len(own)) for cell in column):
            continue
        # -1 is what that library writes where there is no label.
        parsed.columns[place] = [None if cell is None or cell < 0 else own[cell] for cell in column]
        parsed.notes.append(f'The codes in "{name}" were replaced by the names that the file has for them.')
    return parsed


def _is_code(cell: object, count: int) -> bool:
    return isinstance(cell, int) and not isinstance(cell, bool) and -1 <= cell < count
