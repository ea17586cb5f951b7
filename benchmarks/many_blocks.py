"""How long does the page take to show an answer over many blocks, and to show what is clicked or pointed at? A part of
`app.py`.

The answers are made up: 5 demonstrations a block, 30 % of the blocks read, 8 similar rows, 30 layers of 9 heads. The
page is the app's own, over such runs, with its Details open; it goes from one to the next as a link to a run does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page

from app.ask.by_row import MOST_NUMBERS
from app.ask.by_token import MOST_TOKENS
from app.ask.linked import about
from app.ask.shown import (
    Before,
    ShownAnswer,
    ShownAttention,
    ShownLabel,
    ShownMethod,
    ShownPart,
    ShownPool,
    ShownRow,
    ShownTokens,
)
from app.launch import build, served
from app.server.runs import Runs
from app.server.workspace import Workspace
from benchmarks.cpu import Sample, row
from dbsa_core.blocks import BlockPattern, mask_density

BLOCKS = (200, 2_000, 20_000)
LAYERS, HEADS, SIZE, SIMILAR, RATIO = 30, 9, 5, 8, 0.3
TURNS = 5
LONG = 1_000
"""Tokens of the block that is looked into."""

SHOW = """
([run, answer]) => new Promise(done => {
  const read = document.querySelector('#read'), begun = performance.now();
  performance.clearResourceTimings();
  new MutationObserver((_, watcher) => {
    if (read.querySelector('[data-answer]')?.dataset.answer !== answer) return;
    watcher.disconnect();
    requestAnimationFrame(() => setTimeout(() => {
      const sent = performance.getEntriesByType('resource').reduce((sum, one) => sum + one.transferSize, 0);
      done([performance.now() - begun, sent]);
    }));
  }).observe(read, {childList: true, subtree: true, attributes: true});
  const link = document.createElement('a');
  link.dataset.runLink = run;
  document.body.append(link);
  link.click();
  link.remove();
})
"""
"""Follows the link to a run: milliseconds until it is painted, and the bytes that came."""

CLICK = """
at => new Promise(done => {
  const bars = [...document.querySelectorAll('.dbsa-columns button')], begun = performance.now();
  bars[at % bars.length].click();
  requestAnimationFrame(() => setTimeout(() => {
    const shown = document.querySelectorAll('.dbsa-columns .dbsa-chosen').length;
    done(shown ? performance.now() - begun : NaN);
  }));
})
"""
"""Clicks a bar: milliseconds until all views with what it stands for are painted."""

HEAD = """
at => new Promise(done => {
  const grid = document.querySelector('.dbsa-grid svg'), box = grid.getBoundingClientRect(), begun = performance.now();
  const [clientX, clientY] = [box.left + box.width * at, box.top + box.height * at];
  grid.dispatchEvent(new MouseEvent('click', {bubbles: true, clientX, clientY}));
  requestAnimationFrame(() => setTimeout(() => {
    const shown = document.querySelector('.dbsa-whose').textContent.startsWith('head');
    done(shown ? performance.now() - begun : NaN);
  }));
})
"""
"""Clicks a head: milliseconds until all views are painted with where it looked."""

POINT = """
at => new Promise(done => {
  const mask = document.querySelector('#whole-mask .dbsa-cells svg'), box = mask.getBoundingClientRect();
  const [clientX, clientY] = [box.left + box.width * at, box.top + box.height * (at + 0.2)];
  const begun = performance.now();
  mask.dispatchEvent(new PointerEvent('pointermove', {bubbles: true, clientX, clientY, pointerType: 'mouse'}));
  requestAnimationFrame(() => setTimeout(() => {
    const said = document.querySelector('#whole-mask .dbsa-cellsaid').textContent;
    done(/^Blocks? [0-9]/.test(said) ? performance.now() - begun : NaN);
  }));
})
"""
"""Moves over the whole mask: milliseconds until its words, its close-up and all other views are painted."""

INSIDE = """
size => new Promise(done => {
  const all = [...document.querySelectorAll('.dbsa-inside')];
  const inside = all.find(one => one.dataset.lengths.split(' ').length === size);
  inside.closest('.dbsa-entry').querySelector('[data-link]').click();
  const summary = inside.querySelector('summary'), begun = performance.now();
  summary.click();
  requestAnimationFrame(() => setTimeout(() => {
    const passed = performance.now() - begun, shown = inside.querySelectorAll('.dbsa-tokens > span').length;
    summary.click();
    done(shown === size ? passed : NaN);
  }));
})
"""
"""Looks into the long block, and out again: milliseconds until its tokens are painted."""


def made_up(blocks: int) -> ShownAnswer:
    draw = np.random.default_rng(blocks)
    read = (0, *sorted(draw.choice(np.arange(1, blocks), int(RATIO * blocks) - 1, replace=False).tolist()))
    keys = (*(f"block {block + 1}" for block in read), *(f"similar {place}" for place in range(SIMILAR, 0, -1)))
    mass = draw.gamma(0.3, size=(LAYERS, HEADS, len(keys) + 1)).astype(np.float32)
    attention = ShownAttention((*keys, "query"), mass / mass.sum(-1, keepdims=True))

    # Of the blocks with most, as many as an answer keeps, what every head gave to each row.
    best = sorted(keys, key=lambda key: -attention.shares[key])
    kept = [key for key in best if key.startswith("block")][: MOST_NUMBERS // (LAYERS * HEADS * SIZE)]
    apart = draw.dirichlet(np.full(SIZE, 0.5), size=(LAYERS, HEADS, len(kept))).astype(np.float32)
    whole = attention.mass[..., [keys.index(key) for key in kept]]
    by_row = (apart * whole[..., None]).reshape(LAYERS, HEADS, -1)
    attention = replace(attention, by_row=by_row)
    means = by_row.mean(axis=(0, 1))

    def rows(key: str) -> tuple[ShownRow, ...]:
        text = (("How do I connect my ", 0), ("robot", 2), (" to the new network of the house?", 0))
        first = SIZE * kept.index(key) if key in kept else None
        places = [None if first is None else first + at for at in range(SIZE if key.startswith("block") else 1)]
        shares = [None if place is None else float(means[place]) for place in places]
        return tuple(
            ShownRow(text, (("wifi_connection", 0),), 17, False, share=share, stretch=place)
            for share, place in zip(shares, places, strict=True)
        )

    # And token by token, as many as an answer tells apart; the block with most is as long as one of 50 demonstrations.
    lengths = {key: 20 * SIZE if key.startswith("block") else 20 for key in best} | {kept[0]: LONG}
    total = np.cumsum([lengths[key] for key in best])
    apart_by_token = {key for key, end in zip(best, total, strict=True) if end <= MOST_TOKENS}

    def tokens(key: str) -> ShownTokens | None:
        if key not in apart_by_token:
            return None
        shares = draw.dirichlet(np.full(lengths[key], 0.3)).astype(np.float32) * attention.shares[key]
        words = ("Text", ":", " How", " do", " I", " connect", " my", " robot", "?", "\n") * (lengths[key] // 10)
        return ShownTokens(words, shares, (Before("sink", "block 1", 20 * SIZE),))

    parts = [
        ShownPart(key, key.capitalize(), "score 4.8", float(place), attention.shares[key], rows(key), tokens(key))
        for place, key in enumerate(keys)
    ]
    parts.sort(key=lambda part: -(part.share or 0))
    labels = tuple(ShownLabel(f"label {place}", 0.2, 0.2, 0.2) for place in range(5))
    method = ShownMethod(
        method="dbsa_fresh",
        title="DBSA + similar rows",
        may_read="all",
        label="label 0",
        labels=77,
        best=labels,
        check="",
        equal_rows=(),
        meaning="",
        notes=(),
        seconds={"total": 1.0},
        fit_seconds=0.0,
        context_tokens=20 * SIZE * len(read),
        rows_anew=SIMILAR,
        cold=False,
    )
    density = mask_density([SIZE] * blocks, BlockPattern(SIZE, 1, 2))
    pool = ShownPool("made up", SIZE * blocks, SIZE * blocks, blocks, blocks, SIZE, 1, 2, density, 1.0)
    stamp = (("Asked", "2026-01-01 00:00:00"), ("Data", "made up"), ("Model", "none"))
    return ShownAnswer(f"Over {blocks} blocks", pool, method, read, tuple(parts), attention, (), stamp)


@contextmanager
def page_over(browser: Browser, runs: Runs, first: str) -> Iterator[Page]:
    """The app's page at one of the runs."""
    workspace = Workspace()
    workspace.runs = runs
    with served(workspace, build(workspace)) as url:
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.goto(f"{url}?run={first}")
        page.wait_for_selector("#blocks .dbsa-entry")
        yield page


def many_blocks(browser: Browser) -> list[dict[str, Any]]:
    """Rows for `benchmarks/results/app.json`."""
    answers = {f"made-up-{blocks}": made_up(blocks) for blocks in BLOCKS}
    shown: dict[str, list[float]] = {run: [] for run in answers}
    clicked: dict[str, list[float]] = {run: [] for run in answers}
    heads: dict[str, list[float]] = {run: [] for run in answers}
    over: dict[str, list[float]] = {run: [] for run in answers}
    inside: dict[str, list[float]] = {run: [] for run in answers}
    sent: dict[str, float] = {}
    runs, (first, *others) = Runs(), answers
    runs.keep(first, answers[first])
    with page_over(browser, runs, first) as page:
        page.locator("#details").get_by_role("button", name="Details").click()
        for turn in range(TURNS + 1):  # the first is the warm-up
            for run in (*others, first):
                runs.keep(run, answers[run])  # as if it had just been answered
                milliseconds, sent[run] = page.evaluate(SHOW, [run, about(answers[run])])
                page.wait_for_timeout(100)  # what links the views is told of new ones in a moment of its own
                clicks = [page.evaluate(CLICK, place) for place in (3, 6)]
                looks = [page.evaluate(HEAD, place) for place in (0.3, 0.6)]
                moves = [page.evaluate(POINT, place) for place in (0.3, 0.4)]
                look = page.evaluate(INSIDE, LONG)
                if turn:
                    inside[run].append(look / 1000)
                    shown[run].append(milliseconds / 1000)
                    clicked[run] += [click / 1000 for click in clicks]
                    heads[run] += [look / 1000 for look in looks]
                    over[run] += [move / 1000 for move in moves]
    rows = []
    for run, answer in answers.items():
        name = f"{answer.pool.blocks:,} blocks: "
        due = 0.5 if answer.pool.blocks <= 2000 else None
        rows += [
            row(f"{name}a run to its pictures on the screen", Sample.of(shown[run]), "s", due),
            row(f"{name}sent for it", Sample(sent[run] / 1e6), "MB"),
            row(f"{name}click to all views", Sample.of(clicked[run]), "s", 0.1),
            row(f"{name}click on a head to all views", Sample.of(heads[run]), "s", 0.1),
            row(f"{name}move over the whole mask to its words", Sample.of(over[run]), "s", 0.1),
            row(f"{name}a block of {LONG:,} tokens to its tokens", Sample.of(inside[run]), "s", 0.1),
        ]
    return rows
