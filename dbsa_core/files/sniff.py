"""What the content of a file is: its kind, its encoding, its delimiter, and where its quoting breaks.

Looks at content alone; knows nothing about columns, tables or labels.
"""

import codecs
import csv
import io
import json
import re
import zipfile

from dbsa_core.errors import DataError
from dbsa_core.files.encodings import DEFAULT, guess_encoding, utf16_order
from dbsa_core.files.layout import header_index, look_like_names

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old (.xls) or password-protected Office document"),
    (b"ARROW1\x00\x00", "an Arrow/Feather file"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"{\\rtf", "an RTF document"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04\x95", "a Python pickle"),
    (b"\x80\x05\x95", "a Python pickle"),
    (b"version https://git-lfs.github.com/spec", "a Git LFS pointer instead of the file itself"),
)
_ZIP_MEMBERS = (
    ("word/document.xml", "a Word document"),
    ("ppt/presentation.xml", "a PowerPoint presentation"),
    ("xl/workbook.bin", "a binary (.xlsb) Excel workbook"),
    ("content.xml", "an OpenDocument file"),
)
_BOMS = (  # UTF-32 first: its little-endian mark begins with the one of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BINARY_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_NEW_LINE = re.compile(r"\r\n|\r|\n")
_QUOTED = re.compile(r'"[^"]*(?:""[^"]*)*"')
_MARKUP = re.compile(
    r"\s*(?:<!--.*?-->\s*)*<(?:!doctype|html|\?xml|head|body|table|div|meta|style|title|center|font|p)\b",
    re.IGNORECASE | re.DOTALL,
)


def binary_kind(data: bytes) -> tuple[str | None, str | None]:
    """The format that can be read ("xlsx", "parquet" or None) and what the bytes are, in words (None: perhaps text)."""
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_kind(data)
    if data.startswith(b"PAR1"):
        return "parquet", "a Parquet file"
    if re.match(rb"BZh[1-9]1AY&SY", data):
        return None, "a bzip2 archive"
    return None, next((name for magic, name in _SIGNATURES if data.startswith(magic)), None)


def _zip_kind(data: bytes) -> tuple[str | None, str]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = set(archive.namelist())
    except Exception:  # zipfile raises a dozen kinds on damaged input
        return None, "a damaged ZIP archive or Excel workbook"
    if "xl/workbook.xml" in members:
        return "xlsx", "an Excel workbook"
    return None, next((name for member, name in _ZIP_MEMBERS if member in members), "a ZIP archive")


def decode(data: bytes, source: str, encoding: str | None = None) -> tuple[str, str, list[str]]:
    """The text of `data`, the encoding it was read with, and notes for the user."""
    notes: list[str] = []
    if encoding is not None:
        text = _decode_as(data, source, encoding)
    else:
        encoding = _detect_encoding(data)
        if encoding is None:
            text, encoding, notes = _decode_legacy(data, source)
        else:
            text = _decode_as(data, source, encoding)
    text = text.removeprefix("\ufeff")
    _refuse_non_text(text, source)
    return text, encoding, notes


def _decode_as(data: bytes, source: str, encoding: str) -> str:
    try:
        codecs.lookup(encoding)
        return data.decode(encoding)
    except UnicodeError as error:
        line = data[: getattr(error, "start", 0)].count(b"\n") + 1
        raise DataError(
            f'"{source}" cannot be read as {encoding}: line {line} holds bytes that this encoding does not have. '
            "Save the file as UTF-8, or give another encoding such as windows-1252 or utf-16."
        ) from error
    except (LookupError, ValueError) as error:
        raise DataError(
            f'The encoding "{encoding}" is not known. Accepted are names such as utf-8, utf-16, windows-1252, '
            "iso-8859-1, shift_jis or gb18030; leave it out to have it detected."
        ) from error


def _detect_encoding(data: bytes) -> str | None:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return encoding
    if b"\0" in data[:4096] and (order := utf16_order(data[:65_536])):
        return order
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return "utf-8"


def _decode_legacy(data: bytes, source: str) -> tuple[str, str, list[str]]:
    """Text without a mark that is not valid UTF-8: damaged UTF-8, Windows-1252, or what its letters suggest."""
    text = data.decode("utf-8", errors="replace")
    broken = text.count("\ufffd")
    if len(text) - len(text.encode("ascii", errors="ignore")) - broken >= 4 * broken:
        line = text.count("\n", 0, text.index("\ufffd")) + 1
        return text, "utf-8", [f"{broken} characters are not valid UTF-8 (first on line {line}); each became \ufffd."]
    encoding = guess_encoding(data) or DEFAULT
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f'"{source}" is neither text in UTF-8, UTF-16 or Windows-1252 nor a table in a known binary format. '
            "Save it as UTF-8 text, or give its encoding."
        ) from error
    notes = [f"The file is not UTF-8; it was read as {encoding}. If letters look wrong, give the encoding."]
    return text, encoding, notes


def _refuse_non_text(text: str, source: str) -> None:
    if not text.strip():
        raise DataError(f'"{source}" holds nothing but white space. Give a file with a header row and data rows.')
    sample = text[:100_000]
    controls = len(_BINARY_CONTROLS.findall(sample))
    if controls > 8 and controls > 0.05 * len(sample):
        raise DataError(
            f'"{source}" holds binary content, not text. Accepted are CSV, TSV, JSON, JSONL, Parquet and .xlsx files.'
        )
    if _MARKUP.match(sample):
        raise DataError(
            f'"{source}" holds a web page or XML, not a table. Download the raw data file and give that one; '
            "accepted are CSV, TSV, JSON, JSONL, Parquet and .xlsx."
        )


def detect_delimiter(text: str, preferred: str | None = None) -> str | None:
    """The delimiter under which most rows have the header's number of fields; None for a single column."""
    best: tuple[float, bool, int, str] | None = None
    looks_like_names = False
    for delimiter in DELIMITERS:
        sample = _sample_rows(text, delimiter)
        rows = [row for row in sample[header_index(sample) :] if any(row)]
        width = len(rows[0]) if rows else 0
        if width < 2:
            continue
        agreeing = sum(len(row) == width for row in rows[1:]) / max(1, len(rows) - 1)
        if best is None or (agreeing, delimiter == preferred, width) > best[:3]:
            best = (agreeing, delimiter == preferred, width, delimiter)
            looks_like_names = look_like_names(rows[0])
    # A sentence with a comma on the first line of a list of sentences is not a header of two columns.
    if best is None or (best[0] < 0.5 and not looks_like_names):
        return None
    return best[3]


def _sample_rows(text: str, delimiter: str) -> list[list[str]]:
    sample = text[:65_536]
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
            rows.append(row)
            if len(rows) == 200:
                return rows
    except csv.Error:
        return rows
    return rows[:-1] if len(sample) < len(text) and len(rows) > 2 else rows


def text_format(text: str, suffix_format: str | None) -> str:
    """ "json", "jsonl" or "csv": by content, the extension deciding only where the content leaves it open."""
    stripped = text.strip()
    if stripped[0] not in "[{":
        if suffix_format in {"json", "jsonl"} and not (stripped[0].isalpha() and detect_delimiter(text)):
            return suffix_format
        return "csv"
    first_line, more_lines, _ = stripped.partition("\n")
    first_is_object = isinstance(_json_or_none(first_line), dict)
    if more_lines and first_is_object:
        return "jsonl"
    if suffix_format == "json":
        return "json"
    whole = isinstance(_json_or_none(stripped), dict | list)
    if suffix_format == "jsonl":
        return "json" if whole and not first_is_object else "jsonl"
    return "json" if whole else "csv"


def _json_or_none(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def quote_problem(text: str, source: str, delimiter: str, first_line: int) -> str:
    """Say where the quote opens that the rest of the text shows to be wrong."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start = 0
    reason = "is never closed"
    try:
        for _ in reader:
            start = reader.line_num
    except csv.Error as error:
        if "unexpected end" not in str(error):
            reason = f"is closed in the middle of a cell, on line {reader.line_num - 1 + first_line}"
    stream = io.StringIO(text, newline="")
    for _ in range(start):
        next(stream)
    record = stream.read()
    line = start + len(_NEW_LINE.findall(record, 0, _last_opening(record, delimiter))) + first_line
    return (
        f'"{source}": the quotation mark that opens on line {line} {reason}. Close it, and write a quotation mark '
        'inside of a quoted cell twice ("").'
    )


def _last_opening(record: str, delimiter: str) -> int:
    """The position at which the last quoted cell of a broken record opens."""
    field_end = re.compile(f"{re.escape(delimiter)}|[\r\n]")
    position = opening = 0
    while position < len(record):
        if record[position] == '"':
            opening = position
            closed = _QUOTED.match(record, position)
            if closed is None:
                break
            position = closed.end()
        end = field_end.match(record, position) if position > opening else field_end.search(record, position)
        if end is None or end[0] != delimiter:
            break
        position = end.end()
    return opening
