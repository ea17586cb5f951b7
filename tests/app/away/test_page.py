"""A page that stands alone: it asks for nothing, holds texts only where that was said, and stays small."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape

import numpy as np
import pytest

from app.ask.lists import below_view
from app.ask.shown import ShownAnswer, ShownPart, ShownRow, ShownTokens
from app.away.page import LARGEST, LEFT_OUT, standalone, texts_in, without_texts
from tests.app.ask.test_views import POOL, answer, attention
from tests.app.pages import IMAGE, SCRIPT, Tags, text_of


def rows_of(shown: ShownAnswer) -> list[ShownRow]:
    return [row for part in shown.parts for row in part.rows]


def text(row: ShownRow) -> str:
    return "".join(piece for piece, _ in row.text)


def test_the_page_asks_for_nothing(shown: ShownAnswer) -> None:
    page = standalone(shown, texts=True)
    assert """content="default-src 'none'; """ in page
    outside = {*re.findall(r"https?://[^\s\"'`<]+", page)}
    assert outside == {"http://www.w3.org/2000/svg"}, "the name of SVG, which nobody asks for"
    assert not re.findall(r"@import|url\(|<link|\bsrc=", page.replace("img src=x", ""))
    styles, used = page.partition("</style>")[0], set(re.findall(r"var\((--[\w-]+)\)", page))
    assert used - set(re.findall(r"(--[\w-]+):", styles)) == set(), "colours that Gradio alone would have"


def test_the_views_are_those_of_the_app(shown: ShownAnswer) -> None:
    page = standalone(shown, texts=True)
    assert below_view(shown) in page
    for name in ("dbsa-cells", "dbsa-masks", "dbsa-grid", "dbsa-phases", 'data-save="svg"'):
        assert name in page
    assert 'data-event="retry"' not in page


def test_no_text_in_it_is_html(shown: ShownAnswer) -> None:
    evil = replace(shown, query=SCRIPT)
    page = standalone(evil, texts=True)
    assert SCRIPT not in page
    assert IMAGE not in page
    assert Tags(page.partition("</script>")[2].partition("<script>")[0].replace("</body>", "")).seen.count("img") == 0


def test_texts_are_in_it_only_where_that_was_said(shown: ShownAnswer) -> None:
    with_them, without = standalone(shown, texts=True), standalone(shown, texts=False)
    assert texts_in(shown) == len(rows_of(shown)) > 5
    texts = {text(row) for row in rows_of(shown)} - {shown.query}
    for one in texts:
        marked = "".join(rf"(?:<mark[^>]*>)?{re.escape(escape(letter))}(?:</mark>)?" for letter in one)
        assert re.search(marked, with_them), one
        assert not re.search(rf'class="dbsa-text">{marked}', without), one
    assert without.count(LEFT_OUT) == texts_in(shown)
    for row in rows_of(shown):
        assert f"row {row.number:,}" in without
    assert without_texts(shown).attention is shown.attention


def test_tokens_say_nothing_where_texts_are_left_out_and_their_shares_stay(shown: ShownAnswer) -> None:
    with_them, without = standalone(shown, texts=True), standalone(shown, texts=False)
    assert with_them.count(' data-text="') == without.count(' data-shares="') == len(shown.parts) > 4
    assert not {"data-text", "data-lengths"} & {*Tags(without.partition("<main>")[2].partition("</main>")[0]).seen}
    tokens = shown.parts[0].tokens
    assert tokens is not None
    secret = replace(shown.parts[0], tokens=replace(tokens, texts=("a secret",) * len(tokens.texts)))
    kept = replace(shown, parts=(secret, *shown.parts[1:]))
    assert "a secret" in standalone(kept, texts=True)
    assert "a secret" not in standalone(kept, texts=False)


def test_a_page_that_would_be_too_large_goes_without_tokens_first(shown: ShownAnswer) -> None:
    tokens = ShownTokens(("word ",) * 30_000, np.ones(30_000, np.float32), ())
    large = replace(shown, parts=tuple(replace(part, tokens=tokens) for part in shown.parts))
    page = standalone(large, texts=True)
    assert len(page.encode()) <= LARGEST
    assert "So that this page stays small, blocks cannot be seen token by token." in text_of(page)
    assert page.count("data-row=") == texts_in(shown)
    assert "dbsa-inside" not in page.partition("<main>")[2].partition("<script>")[0]


@pytest.mark.parametrize(("rows", "length"), [(5, 30_000), (400, 300)])
def test_a_page_of_long_texts_stays_small_and_says_so(rows: int, length: int) -> None:
    base = answer()
    looked = attention(40)
    row = ShownRow((("a", 0), ("word " * (length // 5), 1), ("end", 0)), (("label", 0),), 7, False)
    parts = [ShownPart(f"block {1 + 4 * at}", "Block", "score 1", 1.0, 0.01, (row,) * rows) for at in range(40)]
    large = replace(base, parts=tuple(parts), attention=looked, pool=replace(POOL, blocks=200, planned=200))
    page = standalone(large, texts=True)
    assert len(page.encode()) <= LARGEST
    words = re.search(r"So that this page stays small, blocks .*?; at most (\d+) rows? of each", text_of(page))
    assert words is not None
    assert page.count("data-row=") == 40 * min(rows, int(words[1]))
    small = standalone(replace(large, parts=tuple(parts[:1])), texts=True)
    assert "So that this page stays small" not in small or rows == 400
