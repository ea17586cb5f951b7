"""What holds for reading files: every format gives the same cells, and every bad file a sentence."""

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from dbsa_core.data import build_pool, read_queries
from dbsa_core.errors import DataError, DBSAError
from dbsa_core.files.tables import Table, describe_rows, read_table

SHARED = Path(__file__).resolve().parents[3] / "shared/data"

ROWS = [
    {"text": "Where is my card?", "label": "card"},
    {"text": "Überweisung, bitte; schnell", "label": "NA"},
    {"text": 'She said "no"', "label": "null"},
    {"text": "two\nlines", "label": "None"},
]
FRAME = pd.DataFrame(ROWS, dtype=object)

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: str | bytes, name: str = "data.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


def csv_text(delimiter: str = ",") -> str:
    return FRAME.to_csv(index=False, sep=delimiter)


def xlsx_bytes(frame: pd.DataFrame = FRAME) -> bytes:
    buffer = io.BytesIO()
    frame.to_excel(buffer, index=False)
    return buffer.getvalue()


def parquet_bytes(frame: pd.DataFrame = FRAME) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def jsonl_text() -> str:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)


def cells(table: Table) -> list[list[str | None]]:
    return table.frame.to_numpy(dtype=object).tolist()


# --- laws -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("a.csv", csv_text(), "csv"),
        ("a.tsv", csv_text("\t"), "tsv"),
        ("a.json", json.dumps(ROWS), "json"),
        ("a.json", json.dumps(ROWS, indent=2), "json"),
        ("a.json", json.dumps({"version": 1, "data": ROWS}), "json"),
        ("a.json", json.dumps({name: [row[name] for row in ROWS] for name in ("text", "label")}), "json"),
        ("a.jsonl", jsonl_text(), "jsonl"),
        ("a.parquet", parquet_bytes(), "parquet"),
        ("a.xlsx", xlsx_bytes(), "xlsx"),
    ],
)
def test_every_format_gives_the_same_cells(write: Write, name: str, content: str | bytes, format: str) -> None:
    table = read_table(write(content, name))
    assert cells(table) == [list(row.values()) for row in ROWS]
    assert list(table.frame.columns) == ["text", "label"]
    assert (table.format, table.row_numbers, table.source, table.notes) == (format, (1, 2, 3, 4), name, ())


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "windows-1252"])
def test_delimiter_and_encoding_are_found(write: Write, delimiter: str, encoding: str) -> None:
    table = read_table(write(csv_text(delimiter), encoding=encoding))
    assert cells(table) == [list(row.values()) for row in ROWS]
    assert table.delimiter == delimiter
    assert table.encoding == encoding


def test_a_given_delimiter_and_encoding_win_over_detection(write: Write) -> None:
    table = read_table(write("text~label\ncaf\xe9~a\n", encoding="iso-8859-1"), delimiter="~", encoding="iso-8859-1")
    assert cells(table) == [["café", "a"]]
    assert table.delimiter == "~"


def test_text_of_another_script_is_not_read_as_windows_1252(write: Write) -> None:
    rows = "Где находится моя карта и когда она придёт,карта\nЯ хочу отменить перевод денег,перевод\n"
    text = "text,label\n" + rows * 20
    table = read_table(write(text, encoding="cp1251"))
    assert cells(table)[0] == ["Где находится моя карта и когда она придёт", "карта"]
    assert "not UTF-8" in table.notes[0]


def test_a_few_broken_bytes_do_not_turn_utf_8_into_windows_1252(write: Write) -> None:
    table = read_table(write(b"text,label\n" + "äöü,a\n".encode() * 5 + b"\xff,b\n"))
    assert cells(table)[0] == ["äöü", "a"]
    assert "first on line 7" in table.notes[0]


def test_excels_delimiter_hint_is_followed(write: Write) -> None:
    table = read_table(write("sep=;\ntext;label\na, b;x\n"))
    assert cells(table) == [["a, b", "x"]]


def test_a_single_column_is_read_whole_whatever_its_lines_hold(write: Write) -> None:
    table = read_table(write('text\nHello, how are you\nplain; words | more\n\n"quoted, ""twice"""\n\n'))
    assert table.delimiter is None
    assert [row[0] for row in cells(table)] == ["Hello, how are you", "plain; words | more", "", 'quoted, "twice"']


def test_a_list_of_sentences_is_not_split_at_its_commas(write: Write) -> None:
    table = read_table(write("Hello, how are you today\nI want a card\nNo\n"))
    assert table.frame.shape == (2, 1)
    assert "taken as the column's name" in table.notes[0]


def test_tabs_with_unpaired_quotation_marks_are_read_plainly(write: Write) -> None:
    table = read_table(write('text\tlabel\n"Hi" he said\ta\n"open\tb\n', "a.tsv"))
    assert cells(table) == [['"Hi" he said', "a"], ['"open', "b"]]
    assert "plain characters" in table.notes[0]


def test_words_that_pandas_takes_for_missing_stay_text(write: Write) -> None:
    words = ["NA", "null", "None", "nan", "N/A", "NaN", ""]
    table = read_table(write("text,label\n" + "".join(f"{word},{word}x\n" for word in words)))
    assert table.frame["text"].tolist() == words


def test_nulls_are_missing_and_numbers_become_plain_text(write: Write) -> None:
    records = [{"a": 3, "b": 3.0, "c": None, "d": 0.5}, {"a": True, "b": float("nan"), "d": 10**20}]
    expected = [["3", "3", None, "0.5"], ["true", None, None, str(10**20)]]
    assert cells(read_table(write(json.dumps(records), "a.json"))) == expected
    frame = pd.DataFrame({"a": [3, 4], "b": [3.0, None], "c": [None, "NA"], "d": [0.5, 2.0]})
    expected = [["3", "3", None, "0.5"], ["4", None, "NA", "2"]]
    assert cells(read_table(write(xlsx_bytes(frame), "a.xlsx"))) == expected
    assert cells(read_table(write(parquet_bytes(frame), "a.parquet"))) == expected


def test_rows_are_numbered_as_in_the_file(write: Write) -> None:
    assert read_table(write("\ntext,label\na,x\n\nb,y\n\n\n")).row_numbers == (1, 3)
    assert read_table(write('{"t": "a"}\n\n{"t": "b"}\n', "a.jsonl")).row_numbers == (1, 3)
    frame = pd.DataFrame({"text": ["a", None, "b"], "label": ["x", None, "y"]})
    assert read_table(write(xlsx_bytes(frame), "a.xlsx")).row_numbers == (1, 3)


def test_line_separators_inside_of_json_texts_do_not_end_a_line(write: Write) -> None:
    table = read_table(write('{"text": "a\u2028b\x85c"}\n{"text": "d"}\n', "a.jsonl"))
    assert table.frame["text"].tolist() == ["a\u2028b\x85c", "d"]


def test_half_characters_of_json_escapes_become_storable(write: Write) -> None:
    table = read_table(write('[{"te\\ud800xt": "a\\udc00b"}]', "a.json"))
    assert cells(table) == [["a\ufffdb"]]
    "".join(table.frame.columns).encode()


def test_a_list_of_plain_texts_is_one_column(write: Write) -> None:
    assert read_table(write('["a", "b"]', "a.json")).frame["text"].tolist() == ["a", "b"]


# --- stories: content against name ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "format", "note"),
    [
        ("a.csv", xlsx_bytes(), "xlsx", "named .csv but holds an Excel workbook"),
        ("a.csv", parquet_bytes(), "parquet", "named .csv but holds a Parquet file"),
        ("a.csv", jsonl_text(), "jsonl", "named .csv but holds JSON lines"),
        ("a.csv", json.dumps(ROWS), "json", "named .csv but holds JSON"),
        ("a.json", jsonl_text(), "jsonl", "named .json but holds JSON lines"),
        ("a.jsonl", json.dumps(ROWS, indent=1), "json", "named .jsonl but holds JSON"),
        ("a.json", csv_text(), "csv", "named .json but holds delimited text"),
        ("a.xlsx", csv_text(), "csv", "named .xlsx but holds delimited text"),
    ],
)
def test_content_counts_more_than_the_extension(
    write: Write, name: str, content: str | bytes, format: str, note: str
) -> None:
    table = read_table(write(content, name))
    assert table.format == format
    assert cells(table) == [list(row.values()) for row in ROWS]
    assert note in table.notes[0]


def zip_of(member: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, "content")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"%PDF-1.7\n1 0 obj", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "a PNG image"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "a JPEG image"),
        (gzip.compress(b"text,label\n"), "a gzip archive"),
        (zip_of("data.csv"), "a ZIP archive"),
        (zip_of("word/document.xml"), "a Word document"),
        (b"PK\x03\x04damaged", "a damaged ZIP archive or Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(40), "password-protected Office document"),
        (b"<!DOCTYPE html><html><body>x</body></html>", "a web page"),
        (bytes(range(1, 128)) * 3, "binary content"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "content",
)
def test_what_is_no_table_is_named(write: Write, content: bytes, kind: str) -> None:
    with pytest.raises(DataError, match=kind) as caught:
        read_table(write(content, "data.csv"))
    assert "CSV" in str(caught.value)


def test_names_of_columns_are_made_filled_and_distinct_with_a_note(write: Write) -> None:
    table = read_table(write("größe,text,,text,text (2), 标签 \n1,2,3,4,5,6\n"))
    assert list(table.frame.columns) == ["größe", "text", "column 3", "text (3)", "text (2)", "标签"]
    assert cells(table) == [["1", "2", "3", "4", "5", "6"]]
    assert any('no name in the header; column 3 is called "column 3"' in note for note in table.notes)
    assert any('"text" occurs more than once; column 4 is called "text (3)"' in note for note in table.notes)


def test_a_header_that_is_also_a_value_is_doubted(write: Write) -> None:
    table = read_table(write("Hi there,greeting\nBye,farewell\nHello,greeting\n"))
    assert "The first row may be data" in table.notes[0]


def test_ragged_rows_are_left_out_and_listed_never_shifted(write: Write) -> None:
    table = read_table(write("text,label\na,x\nb,y,z\nc,y,z\nd,x\n"))
    assert cells(table) == [["a", "x"], ["d", "x"]]
    assert table.row_numbers == (1, 4)
    assert table.ragged_rows == (2, 3)
    assert "2 rows (2, 3)" in table.notes[0]


@pytest.mark.parametrize(
    ("content", "expected", "missing"),
    [
        ("text,label\na,x,\nb,y,\n", [["a", "x"], ["b", "y"]], ""),
        ("text,label\na,x\nb,y,, \n", [["a", "x"], ["b", "y"]], ""),
        ("text,label,\na,x,\nb,y\n", [["a", "x"], ["b", "y"]], ""),
        ("text,label,note\na,x\nb,y,n\n", [["a", "x", ""], ["b", "y", "n"]], "1 row (1)"),
        ("text;label;note;more\na;x\nb;y;n\n", [["a", "x", "", ""], ["b", "y", "n", ""]], "2 rows (1, 2)"),
    ],
)
def test_empty_fields_too_many_and_last_ones_missing_cost_no_row(
    write: Write, content: str, expected: list[list[str]], missing: str
) -> None:
    table = read_table(write(content))
    assert cells(table) == expected
    assert table.row_numbers == (1, 2)
    assert not table.ragged_rows
    said = f"The last fields are missing, and were taken as empty, in {missing}."
    assert table.notes == ((said,) if missing else ())


TITLED = [
    "Support tickets week 12,\n,\nText,Label\n",
    "Support tickets week 12\n\nText,Label\n",
    "Support tickets week 12\nText,Label\n",
    "# exported by a tool\n# in May\nText,Label\n",
    "Tickets\n\nText,Label\n",
]


@pytest.mark.parametrize("head", TITLED)
def test_titles_above_the_names_are_left_out_with_a_note(write: Write, head: str) -> None:
    table = read_table(write(head + "the lamp is broken,a\nwhere is it,b\n"))
    assert list(table.frame.columns) == ["Text", "Label"]
    assert cells(table) == [["the lamp is broken", "a"], ["where is it", "b"]]
    assert table.row_numbers == (1, 2)
    assert "Left out as a title above the names" in table.notes[0]
    assert head.split("\n")[0].strip(",") in table.notes[0]


@pytest.mark.parametrize(
    "content",
    ["text,\na,x\nb,y\n", "text\nHello, you\nBye, you\n", "my message\nHello, how are you\nfine, thanks\n"],
)
def test_a_lone_name_is_no_title(write: Write, content: str) -> None:
    table = read_table(write(content))
    assert len(table.row_numbers) == 2
    assert not any("title" in note for note in table.notes)


def test_a_header_that_is_repeated_is_no_row(write: Write) -> None:
    table = read_table(write("text,label\na,x\nb,y\nText,label\ntext , label\nc,x\n"))
    assert cells(table) == [["a", "x"], ["b", "y"], ["Text", "label"], ["c", "x"]]
    assert table.row_numbers == (1, 2, 3, 5)
    assert "The header stands again in 1 row (4)" in table.notes[0]


@pytest.mark.parametrize(
    "hint", ["sep=;", "SEP=;", '"sep=;"', "sep=;;", "sep=;,,", " sep = ;", "'sep=;'", 'sep=";"', "sep=;\r"]
)
def test_every_spelling_of_the_delimiter_hint_is_followed(write: Write, hint: str) -> None:
    assert cells(read_table(write(f"{hint}\ntext;label\na, b;x\n"))) == [["a, b", "x"]]


@pytest.mark.parametrize("hint", ["sep=\t", r"sep=\t"])
def test_the_hint_may_name_a_tab(write: Write, hint: str) -> None:
    assert cells(read_table(write(f"{hint}\ntext\tlabel\na, b\tx\n"))) == [["a, b", "x"]]


@pytest.mark.parametrize("page", [
    "<table border=1><tr><td>text</td></tr></table>", "<!-- saved from the web --><table></table>",
    "<meta charset=utf-8><table></table>", "<html><body></body></html>", "\n  <div><table></table></div>",
])  # fmt: skip
@pytest.mark.parametrize("name", ["export.xls", "export.csv", "export.xlsx"])
def test_a_web_page_is_called_one_whatever_its_name(write: Write, name: str, page: str) -> None:
    with pytest.raises(DataError, match="holds a web page"):
        read_table(write(page, name))


def test_nested_json_columns_are_kept_as_json_text_and_marked(write: Write) -> None:
    table = read_table(write('[{"text": "a", "meta": null}, {"text": "b", "meta": {"k": [1]}}]', "a.json"))
    assert table.frame["meta"].tolist() == [None, '{"k": [1]}']
    assert table.unusable_columns == {"meta": "lists or objects (first in row 2)"}


def test_the_first_filled_sheet_of_a_workbook_is_read(write: Write) -> None:
    buffer = io.BytesIO()
    with pd.ExcelWriter(buffer) as book:
        pd.DataFrame().to_excel(book, sheet_name="empty", index=False)
        FRAME.to_excel(book, sheet_name="rows", index=False, startrow=2)
    table = read_table(write(buffer.getvalue(), "a.xlsx"))
    assert cells(table) == [list(row.values()) for row in ROWS]
    assert table.row_numbers == (1, 2, 3, 4)
    assert '2 sheets (empty, rows); "rows" was read' in table.notes[0]


def test_pairs_are_text_and_label_whichever_stands_first(write: Write) -> None:
    pairs = [["the lamp is broken", "damaged"], ["where is it", "tracking"]]
    for records, names in ((pairs, ["text", "label"]), ([pair[::-1] for pair in pairs], ["label", "text"])):
        table = read_table(write(json.dumps(records), "a.json"))
        assert list(table.frame.columns) == names
        assert table.frame["text"].tolist() == [text for text, _ in pairs]
        assert f"lists of 2 values; they became the columns {', '.join(names)}" in table.notes[0]
    lines = "\n".join(json.dumps([number, *pair]) for number, pair in enumerate(pairs))
    assert list(read_table(write(lines, "a.jsonl")).frame.columns) == ["column 1", "column 2", "column 3"]


def test_of_splits_under_their_names_the_one_to_learn_from_is_read(write: Write) -> None:
    rows = {"val": [["c d", "y"]], "train": [["a b", "x"], ["b c", "y"]], "oos_train": []}
    table = read_table(write(json.dumps(rows), "a.json"))
    assert table.frame["text"].tolist() == ["a b", "b c"]
    assert '"train" was read, and not val, oos_train' in table.notes[0]


def test_codes_of_a_parquet_file_get_the_names_of_its_schema(write: Write) -> None:
    import pyarrow
    import pyarrow.parquet

    features = {"label": {"names": ["damaged", "tracking"], "_type": "ClassLabel"}, "text": {"_type": "Value"}}
    schema = pyarrow.schema([("text", pyarrow.string()), ("label", pyarrow.int64()), ("code", pyarrow.int64())])
    schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    columns = {"text": ["a", "b", "c"], "label": [1, 0, -1], "code": [0, 1, 7]}
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), buffer)
    table = read_table(write(buffer.getvalue(), "a.parquet"))
    assert cells(table) == [["a", "tracking", "0"], ["b", "damaged", "1"], ["c", None, "7"]]
    assert table.notes == ('The codes in "label" were replaced by the names that the file has for them.',)


def test_bytes_of_a_parquet_file_are_text_where_all_of_them_are(write: Write) -> None:
    frame = pd.DataFrame({"text": ["größe".encode(), b"b"], "blob": [b"\xff\xfe", b"b"]})
    table = read_table(write(parquet_bytes(frame), "a.parquet"))
    assert table.frame["text"].tolist() == ["größe", "b"]
    assert table.unusable_columns == {"blob": "binary data (first in row 1)"}


# --- stories: what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", r"empty \(0 bytes\)"),
        ("a.csv", " \n\n", "nothing but white space"),
        ("a.csv", "text,label\n", r'only a header \("text", "label"\) and no data rows'),
        ("a.xlsx", xlsx_bytes(FRAME[:0]), "only a header"),
        ("a.xlsx", xlsx_bytes(pd.DataFrame()), "without any filled cell"),
        ("a.parquet", parquet_bytes(FRAME[:0]), "only a header"),
        ("a.json", "[]", "no data rows"),
        ("a.csv", "text,label\na,b,c\nd,e,f\n", "the 2 fields of the header; the rows have 3"),
        ("a.csv", 'text,label\na,x\n"b,x\nc,y\n', "opens on line 3 is never closed"),
        ("a.csv", 'text,label\r\na,x\r\n"b\r\nb",x\r\nc,"y\r\n', "opens on line 5 is never closed"),
        ("a.csv", 'text,label\n"b,x\nc,y\n"d",z\n', "opens on line 2 is closed in the middle of a cell, on line 4"),
        ("a.csv", "sep=,\n" + 'text,label\n"b,x\n', "opens on line 3"),
        ("a.jsonl", '{"text": "a"}\n{"text": "b"\n', 'Line 2 of "a.jsonl" is not valid JSON'),
        ("a.jsonl", '{"text": "a"}\n[1]\n', "Line 2 .* is a list, not an object"),
        ("a.json", '[{"text": "a"},\n{"text" "b"}]', "line 2, column 9"),
        ("a.json", '[{"text": "a"}, 3]', "Item 2 .* is a number, not an object"),
        ("a.json", '"words"', r"a single JSON value \(a text\), not a list"),
        ("a.json", '{"text": "a"}', "without a list of objects in it"),
        ("a.json", '{"a": ["x"], "b": ["y", "z"]}', 'differ in length .*"a": 1, "b": 2'),
        ("a.json", '{"one": [{"a": 1}], "other": [{"a": 1}]}', r"several lists of rows \(one, other\)"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", "[{" + '"a": ' + "1" * 5_000 + "}]", "cannot be read as JSON"),
        ("a.parquet", parquet_bytes()[:-20], "damaged Parquet file"),
        ("a.parquet", b"PAR1", "damaged Parquet file"),
        ("a.parquet", "not parquet", "does not hold a Parquet file"),
        ("a.xlsx", xlsx_bytes()[:2000], "damaged ZIP archive or Excel workbook"),
        ("a.csv", ",".join(f"c{i}" for i in range(1_001)) + "\n" + "," * 1_000, "1,001 or more columns"),
        ("a.csv", b"text,label\n\x81a\x8d\xffb\x8f\x90z,a\n", "neither text in UTF-8"),
        ("a.csv", b"\xff\xfea\x00,\x00b", "line 1 holds bytes that this encoding does not have"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 60 else "content",
)
def test_a_bad_file_gets_a_sentence(write: Write, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(write(content, name))


def test_files_that_are_not_there_or_not_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'no file ".*gone\.csv"'):
        read_table(tmp_path / "gone.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path)
    with pytest.raises(DataError):
        read_table("nul\0name")
    with pytest.raises(DataError, match="cannot be read"):
        read_table("x" * 5_000)


def test_limits_are_kept_and_named(write: Write) -> None:
    with pytest.raises(DataError, match="has 27 bytes; accepted are up to 10"):
        read_table(write("text,label\na,x\nb,y\nc,z\nd,w\n"), max_bytes=10)
    for content in (csv_text(), jsonl_text(), parquet_bytes(), xlsx_bytes()):
        with pytest.raises(DataError, match="more than 3 rows"):
            read_table(write(content), max_rows=3)
        assert len(read_table(write(content), max_rows=4).frame) == 4
    with pytest.raises(DataError, match="unpacks to"):
        read_table(write(xlsx_bytes(pd.DataFrame({"a": ["x" * 30_000] * 200, "b": "y"}))), max_bytes=20_000)


def test_settings_that_are_not_known_are_refused(write: Write) -> None:
    path = write(csv_text())
    with pytest.raises(DataError, match='encoding "klingon" is not known'):
        read_table(path, encoding="klingon")
    with pytest.raises(DataError, match='encoding "base64" is not known'):
        read_table(path, encoding="base64")
    with pytest.raises(DataError, match="cannot be read as ascii: line 3"):
        read_table(path, encoding="ascii")
    with pytest.raises(DataError, match='format "doc" is not known'):
        read_table(path, format="doc")
    with pytest.raises(DataError, match="to be read as xlsx"):
        read_table(path, format="xlsx")
    with pytest.raises(DataError, match="to be read as csv, but it holds an Excel workbook"):
        read_table(write(xlsx_bytes()), format="csv")
    with pytest.raises(DataError, match="delimiter ',,' is not accepted"):
        read_table(path, delimiter=",,")


def test_rows_are_described_briefly() -> None:
    assert describe_rows([3]) == "1 row (3)"
    assert describe_rows(range(1, 8)) == "7 rows (1, 2, 3, 4, 5 and 2 more)"


def _mutated(content: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        position = rng.randrange(len(damaged))
        byte = rng.choice([0, 10, 34, 44, 92, 123, rng.randrange(256)])
        damaged[position : position + rng.randint(0, 2)] = bytes([byte])
    return bytes(damaged[: rng.randint(1, len(damaged))] if rng.random() < 0.4 else damaged)


def outcome(path: Path) -> str:
    """What a user would see: the pool's size, or the sentence of an error of ours."""
    try:
        table = read_table(path)
        assert len(table.row_numbers) == len(table.frame) > 0
        read_queries(table, table.frame.columns[0])
        return f"A pool of {len(build_pool(table, table.frame.columns[0], table.frame.columns[-1]))}."
    except DBSAError as error:
        return str(error)


def test_no_content_whatever_escapes_the_exception_tree(write: Write) -> None:
    rng = random.Random(0)
    valid = [
        csv_text().encode(), csv_text(";").encode("utf-16"), csv_text("\t").encode("cp1252"), json.dumps(ROWS).encode(),
        jsonl_text().encode(), parquet_bytes(), xlsx_bytes(),
    ]  # fmt: skip
    names = ["a.csv", "a.tsv", "a.json", "a.jsonl", "a.parquet", "a.xlsx", "a.txt", "a"]
    contents = [rng.randbytes(rng.randint(1, 400)) for _ in range(100)]
    contents += [_mutated(content, rng) for content in valid for _ in range(50)]
    contents += [magic + rng.randbytes(200) for magic in (b"PAR1", b"PK\x03\x04", b"\xff\xfe", b"[", b"{") * 5]
    outcomes = [outcome(write(content, rng.choice(names))) for content in contents]
    assert [sentence for sentence in outcomes if not sentence.endswith(".")] == []
    assert 30 < sum(sentence.startswith("A pool") for sentence in outcomes) < len(outcomes) - 50


@pytest.mark.skipif(not SHARED.is_dir(), reason="the evaluation data is not here")
def test_trec_is_read_whole() -> None:
    table = read_table(SHARED / "trec/train.csv")
    assert table.frame.shape == (5452, 2)
    assert (table.format, table.delimiter, table.encoding, table.notes) == ("csv", ",", "utf-8", ())
