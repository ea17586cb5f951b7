"""Parquet files and Excel workbooks to columns.

Knows nothing about names of files: the content comes as bytes.
"""

import io
import warnings
import zipfile
from typing import Any

import pandas as pd

from dbsa_core.errors import DataError
from dbsa_core.formats import Parsed, as_text, too_many_rows


def read_parquet(data: bytes, source: str, max_bytes: int, max_rows: int) -> Parsed:
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(data))
        groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
        unpacked = sum(group.total_byte_size for group in groups)
        if unpacked <= 10 * max_bytes and file.metadata.num_rows <= max_rows:
            table = file.read(use_threads=False)
            columns = [column.to_pylist() for column in table.columns]
            return Parsed("parquet", list(table.column_names), columns, range(1, table.num_rows + 1))
        rows = file.metadata.num_rows
    except Exception as error:  # pyarrow raises a dozen kinds on damaged input
        raise DataError(
            f'"{source}" is a damaged Parquet file and cannot be read ({type(error).__name__}). Save it again.'
        ) from error
    if rows > max_rows:
        raise DataError(too_many_rows(source, max_rows))
    raise DataError(f'"{source}" unpacks to {unpacked:,} bytes; accepted are up to {10 * max_bytes:,}.')


def read_xlsx(data: bytes, source: str, max_bytes: int, max_rows: int) -> Parsed:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > 10 * max_bytes:
        raise DataError(f'"{source}" unpacks to {unpacked:,} bytes; accepted are up to {10 * max_bytes:,}.')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns about styles and extensions, which hold no data
            sheets, name, rows = _first_sheet(data, max_rows)
    except Exception as error:  # openpyxl raises a dozen kinds on damaged input
        raise DataError(
            f'"{source}" is a damaged Excel workbook and cannot be read ({type(error).__name__}). '
            "Open and save it again, or export it as CSV."
        ) from error
    filled = [(number, row) for number, row in enumerate(rows) if any(cell is not None for cell in row)]
    if not filled:
        raise DataError(f'"{source}" is an Excel workbook without any filled cell. Give one with a header row.')
    (first, header), body = filled[0], filled[1:]
    used = [any(row[index] is not None for _, row in filled) for index in range(len(header))]
    last = len(used) - used[::-1].index(True)
    columns = [[row[index] for _, row in body] for index in range(last)]
    parsed = Parsed(
        "xlsx", [as_text(cell) or "" for cell in header[:last]], columns, [number - first for number, _ in body]
    )
    if len(sheets) > 1:
        parsed.notes.append(f'The workbook has {len(sheets)} sheets; "{name}" was read.')
    return parsed


def _first_sheet(data: bytes, max_rows: int) -> tuple[list[str], str, list[list[Any]]]:
    """All sheets' names, and the name and cells of the first sheet that holds anything."""
    with pd.ExcelFile(io.BytesIO(data), engine="openpyxl") as book:
        sheets = [str(name) for name in book.sheet_names]
        for name in sheets:
            frame = book.parse(name, header=None, dtype=object, na_filter=False, nrows=max_rows + 2)
            rows = [
                [None if cell == "" or (isinstance(cell, float) and cell != cell) else cell for cell in row]
                for row in frame.to_numpy(dtype=object).tolist()
            ]
            if rows:
                return sheets, name, rows
        return sheets, sheets[0], []
