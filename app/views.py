"""What the app shows as HTML: plan, progress and messages, and the pieces that views are made of.

Pure functions of core values; knows nothing about Gradio. Every piece of user text goes through `html.escape`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from app.words import count, duration, percent
from dbsa_core.blocks import BlockPattern, chosen_blocks
from dbsa_core.errors import SettingsError
from dbsa_core.masks import NOT_SEEN, pair_counts
from dbsa_core.stage1.progress import Progress

if TYPE_CHECKING:
    from dbsa_core.planning import EncodingPlan

_MESSAGES = {"error": ("Error", "alert"), "warning": ("Warning", "status"), "info": ("Note", "status")}


# --- numbers in words -------------------------------------------------------------------------------------------------


def density_words(pattern: BlockPattern, num_blocks: int) -> str:
    """ "99 of 378 block pairs, 26.2 %": the pairs that stage 1 computes, of those of full causal attention."""
    counts = pair_counts(num_blocks, pattern)
    pairs = sum(counts.values())
    seen = pairs - counts[NOT_SEEN]
    return f"{seen:,} of {pairs:,} block pairs, {percent(seen / pairs if pairs else 1.0)}"


def ratio_text(plan_or_encoded_blocks: int, ratio: float, pattern: BlockPattern) -> str:
    """What a ratio means for so many blocks, in plain text: "30 % of 27 blocks = 8 blocks, the sink included"."""
    total = plan_or_encoded_blocks
    if total < 1:
        return "No blocks yet: encode a pool first."
    try:
        read = chosen_blocks(ratio, total, pattern)
    except SettingsError as error:
        return str(error)
    head = f"{100 * ratio:.3g} % of {count(total, 'block')}"
    first = {0: "the first block", 1: "the sink"}.get(pattern.sink_blocks, f"the {pattern.sink_blocks} sinks")
    if read == total:
        return f"{head} = {'the only block' if total == 1 else f'all {total:,} blocks'}"
    if read > math.floor(ratio * total + 0.5):
        return f"{head} is raised to {read:,} blocks, the fewest that are read: {first} and the best match"
    return f"{head} = {read:,} blocks, {first} included"


def size_words(num_bytes: int) -> str:
    """ "46 MB"."""
    if num_bytes < 1e6:
        return f"{num_bytes / 1e3:,.0f} kB"
    return f"{num_bytes / 1e6:,.0f} MB" if num_bytes < 1e10 else f"{num_bytes / 1e9:,.1f} GB"


# --- pieces of HTML ---------------------------------------------------------------------------------------------------


def view(name: str, *parts: str) -> str:
    """A whole view of that name; `parts` are HTML."""
    return f'<div class="dbsa dbsa-{name}">{"".join(parts)}</div>'


def breakable(text: str) -> str:
    """Escaped; a line may end behind an underscore."""
    return escape(text).replace("_", "_<wbr>")


def muted(text: str) -> str:
    """A paragraph of plain text beside the main thing."""
    return f'<p class="dbsa-muted">{escape(text)}</p>'


def facts(named: Iterable[tuple[str, str]]) -> str:
    """Names and values side by side; both are plain text."""
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in named)
    return f'<dl class="dbsa-facts">{rows}</dl>'


def bar(name: str, share: float, value: str) -> str:
    """One row of a bar chart: name, bar and value; `share` is that of the bar's full width."""
    width = 100 * min(1.0, max(0.0, share))
    return (
        f'<div class="dbsa-row"><span class="dbsa-name" title="{escape(name)}">{escape(name)}</span>'
        f'<span class="dbsa-track"><span class="dbsa-fill" style="width:{width:.2f}%"></span></span>'
        f'<span class="dbsa-value">{escape(value)}</span></div>'
    )


def progress_bar(name: str, share: float) -> str:
    """How much of something is done, from 0 to 1."""
    return (
        f'<div class="dbsa-progressbar" role="progressbar" aria-label="{escape(name)}" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{100 * share:.0f}"><span style="width:{100 * share:.1f}%"></span></div>'
    )


def scrolling(table: str, name: str) -> str:
    """A table that may be wider than the page, by name, for who uses a keyboard or a screen reader."""
    return f'<div class="dbsa-scroll" role="region" aria-label="{escape(name)}" tabindex="0">{table}</div>'


def live_paragraph(text: str) -> str:
    """Plain text that a screen reader says when it changes."""
    return f'<p class="dbsa" aria-live="polite">{escape(text)}</p>'


def notes_list(notes: Iterable[str]) -> str:
    """Sentences of plain text, one a line; "" for none."""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="dbsa-notes">{items}</ul>' if items else ""


def message_view(text: str, kind: str = "error") -> str:
    """A strip with a message; "" for no text. `kind`: error, warning or info."""
    if not text:
        return ""
    word, role = _MESSAGES[kind]
    body = f"<strong>{word}</strong><span>{escape(text)}</span>"
    return f'<div class="dbsa dbsa-message dbsa-{kind}" role="{role}">{body}</div>'


# --- encoding ---------------------------------------------------------------------------------------------------------


def plan_view(plan: EncodingPlan) -> str:
    """What encoding will do, before it is paid for."""
    size, total = plan.pattern.demonstrations_per_block, len(plan.blocks)
    last = len(plan.blocks[-1].rows) if plan.blocks else size
    shape = f"{total:,} × {count(size, 'demonstration')}"
    if last != size:
        shape = f"{shape} (the last has {last:,})" if total > 1 else f"1 × {count(last, 'demonstration')}"
    named = [
        ("Blocks", shape),
        ("Tokens", f"{plan.tokens:,}"),
        ("Attention computed", f"{percent(plan.density)} of full attention's token pairs"),
        ("Block by block", density_words(plan.pattern, total)),
        (
            "Memory for keys and values",
            f"{size_words(plan.kept_bytes)} ({size_words(plan.num_bytes)} with room for more rows)",
        ),
        ("Memory while encoding", f"up to {size_words(plan.peak_bytes)}, keys and values included"),
        ("Limited by", plan.limited_by),
    ]
    return view("plan", f'<p class="dbsa-lead">{escape(plan.sentence)}</p>', facts(named), notes_list(plan.notes))


def progress_view(progress: Progress | None, state: str, note: str = "") -> str:
    """How far the encoding is. `state`: none, running, stopped, ready, failed or changed; `note` stands below."""
    at = _place(progress)
    heads = {
        "none": "Not encoded yet.",
        "running": f"Encoding: {at or 'starting'}",
        "stopped": f"Stopped after {at}." if at else "Stopped before any block.",
        "ready": f"Ready: {count(progress.blocks_total, 'block')} encoded." if progress else "Ready.",
        "failed": f"Encoding failed after {at}." if at else "Encoding failed.",
        "changed": "Encode anew to use what was changed.",
    }
    share = 1.0 if state == "ready" else _share(progress)
    details = _speed(progress, state)
    return view(
        f"progress dbsa-is-{escape(state)}",
        f'<p class="dbsa-lead" aria-live="polite">{escape(heads[state])}</p>',
        progress_bar("Encoding", share) if state != "none" else "",
        muted(details) if details else "",
        f"<p>{escape(note)}</p>" if note else "",
    )


def _place(progress: Progress | None) -> str:
    return f"block {progress.blocks_done:,} of {progress.blocks_total:,}" if progress else ""


def _share(progress: Progress | None) -> float:
    return progress.tokens_done / progress.tokens_total if progress and progress.tokens_total else 0.0


def _speed(progress: Progress | None, state: str) -> str:
    if progress is None or not progress.tokens_done or state == "none":
        return ""
    parts = [percent(_share(progress))] if state == "running" else []
    parts.append(f"{progress.tokens_done:,} of {progress.tokens_total:,} tokens")
    parts.append(f"{progress.tokens_per_second:,.0f} tokens/s")
    if state != "running":
        return " · ".join([*parts, f"took {duration(progress.seconds)}"])
    left = progress.seconds_left
    return " · ".join([*parts, f"{duration(left)} left" if math.isfinite(left) else "time left unknown"])
