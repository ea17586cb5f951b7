"""What is sent of the heads: shares that add up, rows that add up to their block, a picture and words that agree."""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from app.ask import heads as module
from app.ask.by_row import apart_by_row
from app.ask.heads import MOST_CELLS, Columns, groups_of, groups_sentence, heads_panel, share_of
from app.ask.lists import below_view
from app.ask.shown import ShownAnswer, ShownAttention
from app.words import percent
from dbsa_core.prediction import NOWHERE, START, QueryAttention
from tests.app.ask.test_views import POOL, answer, attention
from tests.app.pages import text_of


def sent(page: str) -> dict[str, np.ndarray]:
    """What a page holds: mass [heads of all layers, columns], rows [heads of all layers, stretches], and the spread of
    each head."""
    found = {}
    count = int(re.findall(r'data-layers="(\d+)"', page)[0]) * int(re.findall(r'data-heads="(\d+)"', page)[0])
    for name, kind, scale in (("mass", "<u2", 65535), ("rows", "u1", 255), ("spread", "<u2", 65535)):
        for text in re.findall(rf'data-{name}="([^"]+)"', page):
            found[name] = np.frombuffer(base64.b64decode(text), kind).reshape(count, -1) / scale
    return found


def test_the_shares_of_every_head_are_sent_and_are_all_of_it(shown: ShownAnswer) -> None:
    made = shown.attention
    assert made is not None
    columns = Columns(shown)
    mass = sent(heads_panel(shown, columns))["mass"]
    heads = made.mass.reshape(-1, made.mass.shape[-1])
    assert mass.sum(-1) == pytest.approx(np.ones(len(mass)), abs=1e-3)
    for place, name in enumerate(made.names):
        assert mass[:, int(columns.of([name]))] == pytest.approx(heads[:, place], abs=1e-5)


def test_a_head_spreads_over_as_many_parts_as_equal_shares_would() -> None:
    """By the definition, in plain Python; and the two ends."""
    made = attention(9)
    for layer, head in np.ndindex(made.mass.shape[:2]):
        entropy = -sum(float(share) * math.log(float(share)) for share in made.mass[layer, head] if share > 0)
        assert float(made.spread[layer, head]) == pytest.approx(math.exp(entropy), rel=1e-4)
    count = len(made.names)
    mass = np.zeros((1, 3, count), np.float32)
    mass[0, 0, 2] = 1
    mass[0, 1, :4] = 0.25
    mass[0, 2] = 1 / count
    ends = ShownAttention(made.names, mass)
    assert ends.spread[0] == pytest.approx([1, 4, count])
    said = groups_sentence(ends, groups_of(ends, 1))
    assert said.endswith(
        f"A head spread over {(5 + count) / 3:.1f} of {count} parts on average, head 1 of layer 1 over fewest: 1.0."
    )


def test_the_spread_of_every_head_is_sent(shown: ShownAnswer) -> None:
    made = shown.attention
    assert made is not None
    page = heads_panel(shown, Columns(shown))
    found = sent(page)["spread"][:, 0] * len(made.names)
    assert found == pytest.approx(made.spread.ravel(), abs=1e-3)
    assert f'data-parts="{len(made.names)}"' in page
    assert '<option value="concentration">concentration</option>' in page
    alone = ShownAttention(("query",), np.ones((1, 2, 1), np.float32))
    page = heads_panel(answer(attention=alone), Columns(answer(attention=alone)))
    assert "concentration" not in page


def test_rows_are_sent_as_shares_of_their_block(shown: ShownAnswer) -> None:
    made = shown.attention
    assert made is not None
    assert made.by_row is not None
    columns = Columns(shown)
    page = below_view(shown)
    found = sent(page)
    some = 0
    for part in shown.parts:
        own = [row.stretch for row in part.rows if row.stretch is not None]
        if not own:
            continue
        some += len(own) > 1
        block = found["mass"][:, [int(columns.of([part.key]))]]
        assert columns.has(part.key)
        rows = made.by_row.reshape(len(block), -1)[:, own]
        assert block * found["rows"][:, own] ** 2 == pytest.approx(rows, abs=0.004)
        for row in part.rows:
            assert row.share == pytest.approx(float(made.by_row[..., row.stretch].mean()), abs=1e-5)
            assert f'data-stretch="{row.stretch}" data-number="row {row.number}"' in page
    assert some


def test_of_many_blocks_those_with_least_share_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEWEST_COLUMNS", 8)
    monkeypatch.setattr(module, "MOST_NUMBERS", 0)
    made = answer(attention=attention(40))
    assert made.attention is not None
    columns = Columns(made)
    own = [name for name in made.attention.names if columns.has(name)]
    assert len(own) == 7
    assert {"block 1", "similar 1", "similar 2", "query"} <= set(own)
    shares = made.attention.shares
    left = [name for name in made.attention.names if name not in own]
    least = min(shares[name] for name in own if name.startswith("block ") and name != "block 1")
    assert max(shares[name] for name in left) <= least
    assert columns.of(left) == "7"
    assert columns.mass[..., 7] == pytest.approx(share_of(made.attention, left), abs=1e-6)
    assert columns.mass.sum(-1) == pytest.approx(np.ones(columns.mass.shape[:2]), abs=1e-5)


def test_the_first_block_has_a_column_where_no_block_is_a_sink(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEWEST_COLUMNS", 8)
    monkeypatch.setattr(module, "MOST_NUMBERS", 0)
    found = attention(40)
    mass = found.mass.copy()
    mass[..., 0] = 0  # it has less than any other
    made = answer(attention=replace(found, mass=mass), pool=replace(POOL, sinks=0))
    assert Columns(made).has("block 1")


def test_groups_are_all_of_the_context() -> None:
    made = attention(3)
    with_sink = ShownAttention((*made.names[:-1], NOWHERE), made.mass)
    for found, names in ((made, ["retrieved", "first", "similar", "query"]),
                         (with_sink, ["retrieved", "first", "similar", "nowhere"]),
                         (attention(1, 0), ["first", "query"])):  # fmt: skip
        groups = groups_of(found, 1)
        assert list(groups) == names
        assert sorted(part for group in groups.values() for part in group.parts) == sorted(found.names)
    assert groups_of(made, 5)["first"].words == "the first blocks"


def test_the_sentence_has_the_numbers_of_the_picture() -> None:
    made = attention(3)
    groups = groups_of(made, 1)
    said = groups_sentence(made, groups)
    for group in groups.values():
        assert f"{percent(sum(made.shares[part] for part in group.parts))} on {group.words}" in said
    mass = share_of(made, groups["retrieved"].parts)
    layer, head = np.unravel_index(int(mass.argmax()), mass.shape)
    assert (
        f"Head {head + 1} of layer {layer + 1} gave most to 2 retrieved blocks: {percent(float(mass.max()))}." in said
    )
    page = heads_panel(answer(attention=made), Columns(answer(attention=made)))
    assert text_of(page).endswith(said)
    (darkest,) = re.findall(r'data-level="10" d="([^"]+)"', page)
    assert f"M{head * 560 / 3:.1f} {layer * 50:.1f}h" in darkest
    assert darkest.count("M") == (mass > 0.9 * mass.max()).sum()
    assert sum(path.count("M") for path in re.findall(r'data-level="\d+" d="([^"]*)"', page)) == 12
    assert json.loads(unescape(re.findall(r'data-groups="([^"]+)"', page)[0]))["query"]["columns"] == [5]


def test_heads_that_are_too_many_are_not_told_apart() -> None:
    huge = ShownAttention(("block 1", "block 2"), np.full((MOST_CELLS, 2, 2), 0.5, np.float32))
    made = answer(attention=huge)
    assert heads_panel(made, Columns(made)) == ""
    assert heads_panel(answer(attention=None), Columns(made)) == ""


def by_block() -> QueryAttention:
    """Two blocks, of which the second has more; a beginning of the text stands in the first."""
    stretches = np.array([0.1, 0.1, 0.05, 0.3, 0.2, 0.05, 0.2], np.float32) * np.ones((2, 3, 1), np.float32)
    rows = ((START, 4, 5), (7, 8), (9,), ())
    mass = np.stack([stretches[..., :3].sum(-1), stretches[..., 3:5].sum(-1), stretches[..., 5], stretches[..., 6]], -1)
    return QueryAttention(("block 0", "block 3", "similar example 1", "query"), mass, rows, stretches[..., :6])


def test_rows_of_the_blocks_with_most_are_kept_whole() -> None:
    whole = apart_by_row(by_block())
    assert whole.means == pytest.approx({4: 0.1, 5: 0.05, 7: 0.3, 8: 0.2})
    assert whole.places == {7: 0, 8: 1, 4: 3, 5: 4}
    assert whole.start == 2
    assert whole.kept is not None
    assert whole.kept.mean(axis=(0, 1)) == pytest.approx([0.3, 0.2, 0.1, 0.1, 0.05])
    some = apart_by_row(by_block(), most=13)
    assert some.means == whole.means
    assert (some.places, some.start) == ({7: 0, 8: 1}, None)
    none = apart_by_row(by_block(), most=11)
    assert (none.kept, none.places) == (None, {})
    assert apart_by_row(None).means == apart_by_row(replace(by_block(), by_row=None)).means == {}
