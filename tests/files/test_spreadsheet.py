"""Cells made safe for spreadsheets: none is a formula, and each can be had back."""

import pytest

from dbsa_core.files.spreadsheet import restored, safe, safe_row

CELLS = ["", "plain", "=1+1", "+", "-1", "@x", "\tx", "\rx", "'=x", "''=x", "'plain", "a=b", " =x", "'", "-"]


@pytest.mark.parametrize("cell", CELLS, ids=ascii)
def test_no_cell_begins_like_a_formula_and_each_can_be_had_back(cell: str) -> None:
    assert not safe(cell).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert restored(safe(cell)) == cell


def test_what_is_no_formula_stays_as_it_is() -> None:
    assert safe_row(["plain", "'plain", "a=b", "it's", ""]) == ["plain", "'plain", "a=b", "it's", ""]
