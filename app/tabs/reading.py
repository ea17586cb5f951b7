"""How a file is read where its content does not tell: the controls that the tabs with an upload share.

Knows nothing about what the file is for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from dbsa_core.files.tables import Table

DELIMITERS = [("Detect", ""), ("Comma", ","), ("Semicolon", ";"), ("Tab", "\t"), ("Pipe", "|")]
ENCODINGS = [
    ("Detect", ""),
    *("utf-8", "utf-16", "windows-1252", "iso-8859-15", "windows-1250", "windows-1251", "windows-1254", "koi8-r"),
    *("shift_jis", "euc_jp", "gb18030", "big5", "euc_kr", "cp874"),
]
NAMES, ROW = "names", "row"
FIRST_LINES = [("Detect", ""), ("Names of the columns", NAMES), ("A row like the others", ROW)]


@dataclass(frozen=True)
class Reading:
    """The controls of one upload."""

    delimiter: gr.Dropdown
    encoding: gr.Dropdown
    sheet: gr.Dropdown
    first_line: gr.Dropdown

    @property
    def inputs(self) -> list[Any]:
        """In the order of `options`' arguments."""
        return [self.delimiter, self.encoding, self.sheet, self.first_line]

    @property
    def inputs_of_new_file(self) -> list[Any]:
        """The same for a file that has just come, which is not read by the sheet of the one before."""
        return [self.delimiter, self.encoding, gr.State(None), self.first_line]

    @property
    def changes(self) -> list[Any]:
        """What a user's change of any of them triggers."""
        return [control.input for control in self.inputs]


def create_reading(prefix: str, *, detects_first_line: bool) -> Reading:
    """The controls, folded; `prefix` begins their ids."""
    lines = FIRST_LINES if detects_first_line else FIRST_LINES[1:]
    with gr.Accordion("How the file is read", open=False, elem_id=f"{prefix}-reading"):
        return Reading(
            gr.Dropdown(DELIMITERS, value="", label="Delimiter between fields", elem_id=f"{prefix}-delimiter"),
            gr.Dropdown(
                ENCODINGS,
                value="",
                label="Encoding of the characters",
                allow_custom_value=True,
                elem_id=f"{prefix}-encoding",
            ),
            gr.Dropdown([], label="Sheet of the workbook", visible=False, elem_id=f"{prefix}-sheet"),
            gr.Dropdown(lines, value=lines[0][1], label="The first line holds", elem_id=f"{prefix}-first-line"),
        )


def options(delimiter: str, encoding: str, sheet: str | None, first_line: str) -> dict[str, Any]:
    """What `read_table` and `read_query_table` are told; `has_header` None where it is to be detected."""
    return {
        "delimiter": delimiter or None,
        "encoding": encoding or None,
        "sheet": sheet or None,
        "has_header": {NAMES: True, ROW: False}.get(first_line),
    }


def sheet_choices(table: Table | None) -> Any:
    """The sheets of the workbook that was read, with the one that it was read from; hidden where there is no choice."""
    names = list(table.sheets) if table is not None else []
    return gr.Dropdown(choices=names, value=table.sheet if table is not None else None, visible=len(names) > 1)
