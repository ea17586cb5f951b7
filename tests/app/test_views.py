"""Views: what they say, and that no user text reaches the page as HTML."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from app import views
from app.server.workspace import Workspace
from app.tabs.header import header_view
from app.theme import CSS, make_theme
from app.words import duration, measured, ordinal, percent, whole_percent
from dbsa_core.blocks import BlockPattern
from dbsa_core.methods import Setup
from dbsa_core.stage1.progress import Progress
from dbsa_core.stage2.step import Size
from dbsa_core.stage2.steps import WarmUp, steps_of
from tests.app.pages import IMAGE, SCRIPT, check_harmless, text_of
from tests.tiny import tiny_model

# --- no user text is HTML ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["error", "warning", "info"])
def test_message_escapes(kind: str) -> None:
    page = views.message_view(f"{SCRIPT} and {IMAGE}", kind)
    check_harmless(page)
    assert "&lt;script&gt;" in page


def test_plan_view_escapes(setup: Setup) -> None:
    page = views.plan_view(replace(setup.plan, limited_by=SCRIPT, notes=(IMAGE,)))
    check_harmless(page)
    assert "&lt;img" in page


# --- numbers in words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blocks", "ratio", "pattern", "words"),
    [
        (27, 0.3, BlockPattern(), "30 % of 27 blocks = 8 blocks, the sink included"),
        (27, 0.3, BlockPattern(sink_blocks=0), "30 % of 27 blocks = 8 blocks, the first block included"),
        (27, 0.3, BlockPattern(sink_blocks=2), "30 % of 27 blocks = 8 blocks, the 2 sinks included"),
        (27, 1.0, BlockPattern(), "100 % of 27 blocks = all 27 blocks"),
        (
            27,
            0.01,
            BlockPattern(),
            "1 % of 27 blocks is raised to 2 blocks, the fewest that are read: the sink and the best match",
        ),
        (1, 0.3, BlockPattern(), "30 % of 1 block = the only block"),
        (2, 0.3, BlockPattern(), "30 % of 2 blocks = all 2 blocks"),
        (1000, 0.125, BlockPattern(), "12.5 % of 1,000 blocks = 125 blocks, the sink included"),
        (0, 0.3, BlockPattern(), "No blocks yet: encode a pool first."),
    ],
)
def test_ratio_text(blocks: int, ratio: float, pattern: BlockPattern, words: str) -> None:
    assert views.ratio_text(blocks, ratio, pattern) == words


@pytest.mark.parametrize("ratio", [0.0, -1.0, 1.5, math.nan])
def test_ratio_text_says_what_is_accepted(ratio: float) -> None:
    assert "above 0 and at most 1" in views.ratio_text(27, ratio, BlockPattern())


def test_percent_never_rounds_to_none_or_all() -> None:
    shares = (0, 0.00001, 0.103, 0.9, 0.99999, 1)
    assert [percent(share) for share in shares] == ["0 %", "< 0.1 %", "10.3 %", "90.0 %", "> 99.9 %", "100 %"]


def test_duration() -> None:
    seconds = (0.2, 59.4, 59.6, 185, 7800)
    words = ["less than 1 s", "59 s", "1 min 00 s", "3 min 05 s", "2 h 10 min"]
    assert [duration(value) for value in seconds] == words


def test_whole_percent_never_rounds_to_none_or_all() -> None:
    shares = (0, 0.001, 0.103, 0.9, 0.999, 1)
    assert [whole_percent(share) for share in shares] == ["0 %", "< 1 %", "10 %", "90 %", "> 99 %", "100 %"]


def test_measured_seconds_and_ordinals() -> None:
    assert [measured(s) for s in (0.0004, 0.0383, 1.26, 75)] == ["< 1 ms", "38 ms", "1.3 s", "1 min 15 s"]
    found = [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 112)]
    assert found == ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th"]


@pytest.mark.parametrize("sinks", [0, 1, 2])
@pytest.mark.parametrize("previous", [0, 1, 3])
@pytest.mark.parametrize("blocks", [1, 2, 7])
def test_density_counts_what_the_pattern_sees(sinks: int, previous: int, blocks: int) -> None:
    pattern = BlockPattern(1, sinks, previous)
    seen = sum(pattern.sees(row, column) for row in range(blocks) for column in range(blocks))
    pairs = blocks * (blocks + 1) // 2
    assert views.density_words(pattern, blocks) == f"{seen} of {pairs} block pairs, {percent(seen / pairs)}"


# --- data and encoding ------------------------------------------------------------------------------------------------


def test_plan_view(setup: Setup) -> None:
    plan = setup.plan
    page = text_of(views.plan_view(plan))
    assert plan.sentence in page.replace("&#x27;", "'")
    assert views.density_words(plan.pattern, len(plan.blocks)) in page
    assert f"{percent(plan.density)} of full attention" in page.replace("&#x27;", "'")
    assert f"Tokens {plan.tokens:,}" in page
    assert "Limited by your budget" in page
    kept, reserved, most = map(views.size_words, (plan.kept_bytes, plan.num_bytes, plan.peak_bytes))
    assert f"Memory for keys and values {kept} ({reserved} with room for more rows)" in page
    assert f"Memory while encoding up to {most}, keys and values included" in page
    assert f"Blocks {len(plan.blocks)} × 2 demonstrations" in page


def test_progress() -> None:
    progress = Progress(12, 27, 400, 1000, 4.0)
    running = text_of(views.progress_view(progress, "running"))
    assert running == "Encoding: block 12 of 27 40.0 % · 400 of 1,000 tokens · 100 tokens/s · 6 s left"
    assert 'aria-valuenow="40"' in views.progress_view(progress, "running")
    assert text_of(views.progress_view(progress, "stopped")).startswith("Stopped after block 12 of 27.")
    assert text_of(views.progress_view(progress, "failed")).startswith("Encoding failed after block 12 of 27.")
    assert text_of(views.progress_view(None, "none")) == "Not encoded yet."
    assert text_of(views.progress_view(None, "running")) == "Encoding: starting"
    assert "Ready: 27 blocks" in views.progress_view(Progress(27, 27, 1000, 1000, 9.0), "ready")
    for state in ("none", "running", "stopped", "ready", "failed", "changed"):
        for known in (None, progress, Progress(0, 0, 0, 0, 0.0)):
            check_harmless(views.progress_view(known, state, SCRIPT))


def test_message() -> None:
    assert views.message_view("") == ""
    assert 'role="alert"' in views.message_view("No file.")
    assert text_of(views.message_view("Stale.", "warning")) == "Warning Stale."


# --- the theme --------------------------------------------------------------------------------------------------------


def test_nothing_is_fetched_for_the_look() -> None:
    made = make_theme()
    assert not made._stylesheets
    assert not made._font_css
    assert "url(" not in CSS
    assert "@import" not in CSS


def test_css_braces_and_variables_match() -> None:
    assert CSS.count("{") == CSS.count("}")
    light, dark = CSS.split(".dark {")[:2]
    names = set(re.findall(r"(--dbsa-[\w-]+):", light))
    assert names == set(re.findall(r"(--dbsa-[\w-]+):", dark.split("}")[0]))
    assert set(re.findall(r"var\((--dbsa-[\w-]+)\)", CSS)) <= names


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_contrast(mode: int) -> None:
    colours = dict(re.findall(r"--dbsa-([\w-]+): (#\w{6})", CSS.split(".dark {")[mode]))
    page = ("#ffffff", "#171c24")[mode]
    pairs = [(colours["muted"], page), (colours["chip-text"], colours["chip"])]
    pairs += [(colours[f"{kind}-text"], colours[kind]) for kind in ("error", "warning", "info")]
    pairs += [(colours["mark-text"], colours[mark]) for mark in ("m1", "m2")]
    pairs.append(("#171c24", colours["m3"]))
    for text, ground in pairs:
        high, low = sorted((_luminance(text), _luminance(ground)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def test_the_header_names_a_gpu_that_lies_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace()
    session, model = workspace.session(None), tiny_model("llama")
    monkeypatch.setattr("dbsa_core.devices.unused_gpu", lambda: "GPU found, but idle")
    assert "GPU" not in text_of(header_view(workspace, session)), "PyTorch, which knows, is loaded with the model"
    monkeypatch.setattr(workspace, "loaded", lambda source: model)
    assert "GPU found, but idle" in text_of(header_view(workspace, session))
    monkeypatch.setattr("dbsa_core.devices.unused_gpu", lambda: None)
    assert "GPU" not in text_of(header_view(workspace, session))


def test_the_header_tells_what_a_warm_up_took(monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace()
    session, model = workspace.session(None), tiny_model("llama")
    monkeypatch.setattr(workspace, "loaded", lambda source: model)
    assert "Warm-up" not in text_of(header_view(workspace, session))
    steps_of(model).warm_ups.append(WarmUp(Size(32, 64, 4), compiled=True, seconds=7.41))
    assert "Warm-up, once: 7.4 s for 1 size of queries" in text_of(header_view(workspace, session))
