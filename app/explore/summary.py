"""What was read of a file as HTML: how, which columns hold what, and how long its texts are.

Pure functions; every piece of user text goes through `html.escape`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from app.server.data import Data
from app.server.exploring import Rows
from app.views import facts, notes_list, view
from app.words import count, shortened
from dbsa_core.data import ColumnUse

OTHER_COLUMNS = 6
"""Of the columns that are not used, those that are explained; the others are counted."""
NAME_LENGTH = 60
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", " ": "space"}

CSS = """
.dbsa-pool .dbsa-mapping li { margin: 0 0 0.2rem; font-size: 0.92rem; }
.dbsa-pool .dbsa-mapping li.dbsa-unused { color: var(--dbsa-muted); font-size: 0.85rem; }
"""


def summary_view(data: Data, rows: Rows) -> str:
    """The file, its columns, and notes on how it was read."""
    table, pool = data.table, data.pool
    used = count(len(pool), "row")
    left_out = len(table.row_numbers) + len(table.ragged_rows) - len(pool)
    named = [("File", data.name), ("Format", table.format)]
    if table.delimiter is not None:
        named.append(("Delimiter", _DELIMITERS.get(table.delimiter, repr(table.delimiter))))
    if table.encoding is not None:
        named.append(("Encoding", table.encoding))
    named += [("Rows", f"{used}, {left_out:,} left out" if left_out > 0 else used), ("Labels", f"{len(pool.labels):,}")]
    if lengths := [len(text) for text in pool.texts]:
        median, high = np.percentile(lengths, [50, 95])
        named.append(("Text length", f"median {median:,.0f}, 95 % up to {high:,.0f} characters"))
    return view("pool", facts(named), _columns(rows.columns), notes_list(table.notes))


def _columns(columns: Sequence[ColumnUse]) -> str:
    used, others = [one for one in columns if one.use], [one for one in columns if not one.use]
    items = [f"<li>{_mapping(one)}</li>" for one in used]
    items += [f'<li class="dbsa-unused">{_mapping(one)}</li>' for one in others[:OTHER_COLUMNS]]
    if further := others[OTHER_COLUMNS:]:
        items.append(f'<li class="dbsa-unused">{count(len(further), "more column")} not used</li>')
    return f'<h3 class="dbsa-sub">Columns</h3><ul class="dbsa-mapping">{"".join(items)}</ul>'


def _mapping(column: ColumnUse) -> str:
    """ "label: 77 distinct values in 9,999 rows, used as the labels"."""
    name = f"<strong>{escape(shortened(column.name, NAME_LENGTH))}:</strong>"
    if not column.filled:
        return f"{name} not used, {escape(column.why or 'empty')}"
    said = f"{count(column.distinct, 'distinct value')} in {count(column.filled, 'row')}"
    if column.use == "texts":
        said = f"{said}, {column.mean_length:,.0f} characters on average"
    if column.use:
        return f"{name} {said}; it holds the {column.use}"
    why = f": {column.why}" if column.why and column.why != "unique values" else ""
    return f"{name} {said}; not used{escape(why)}"
