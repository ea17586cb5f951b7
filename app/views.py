"""What the app shows as HTML: data, plan, progress, predictions, latency and messages.

Pure functions of core values; knows nothing about Gradio. Every piece of user text goes through `html.escape`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from app.blocks_view import blocks_html, fresh_html, muted, view
from dbsa_core.blocks import BlockPattern, chosen_blocks
from dbsa_core.data import Pool, Problem
from dbsa_core.errors import SettingsError
from dbsa_core.files.tables import Table
from dbsa_core.planning import EncodingPlan
from dbsa_core.prediction import Prediction
from dbsa_core.stage1.encoding import Progress
from dbsa_core.stage2.label_scores import LabelScores

__all__ = [
    "blocks_html",
    "comparison_note",
    "density_words",
    "duration",
    "fresh_html",
    "latency_table",
    "message_view",
    "percent",
    "plan_view",
    "pool_summary",
    "prediction_card",
    "problems_view",
    "progress_view",
    "ratio_text",
]

LABEL_BARS = 20
"""Labels of the class balance that get a bar of their own; the others are summed up."""
PHASES = ("retrieve", "assemble", "forward")
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", " ": "space"}
_MESSAGES = {"error": ("Error", "alert"), "warning": ("Warning", "status"), "info": ("Note", "status")}


# --- numbers in words -------------------------------------------------------------------------------------------------


def percent(share: float) -> str:
    """ "10.3 %"; what is not 0 or 1 is never rounded to it, and they are "0 %" and "100 %"."""
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    if 0 < share < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %"


def duration(seconds: float) -> str:
    """ "45 s", "3 min 05 s" or "2 h 10 min", for estimates."""
    if seconds < 1:
        return "less than 1 s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


def density_words(pattern: BlockPattern, num_blocks: int) -> str:
    """ "99 of 378 block pairs, 26.2 %": the pairs that stage 1 computes, of those of full causal attention."""
    seen = sum(1 + min(block, pattern.sink_blocks + pattern.previous_blocks) for block in range(num_blocks))
    pairs = num_blocks * (num_blocks + 1) // 2
    return f"{seen:,} of {pairs:,} block pairs, {percent(seen / pairs if pairs else 1.0)}"


def ratio_text(plan_or_encoded_blocks: int, ratio: float, pattern: BlockPattern) -> str:
    """What a ratio means for so many blocks, in plain text: "30 % of 27 blocks = 8 blocks, the sink included"."""
    total = plan_or_encoded_blocks
    if total < 1:
        return "No blocks yet: encode a pool first."
    try:
        count = chosen_blocks(ratio, total, pattern)
    except SettingsError as error:
        return str(error)
    head = f"{100 * ratio:.3g} % of {_count(total, 'block')}"
    first = {0: "the first block", 1: "the sink"}.get(pattern.sink_blocks, f"the {pattern.sink_blocks} sinks")
    if count == total:
        return f"{head} = {'the only block' if total == 1 else f'all {total:,} blocks'}"
    if count > math.floor(ratio * total + 0.5):
        return f"{head} is raised to {count:,} blocks, the fewest that are read: {first} and the best match"
    return f"{head} = {count:,} blocks, {first} included"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _size(num_bytes: int) -> str:
    if num_bytes < 1e6:
        return f"{num_bytes / 1e3:,.0f} kB"
    return f"{num_bytes / 1e6:,.0f} MB" if num_bytes < 1e10 else f"{num_bytes / 1e9:,.1f} GB"


# --- pieces of HTML ---------------------------------------------------------------------------------------------------


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    """Names and values side by side; both are plain text."""
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return f'<dl class="dbsa-facts">{rows}</dl>'


def _bar(name: str, share: float, value: str, kind: str = "") -> str:
    """One row of a bar chart: name, bar and value; `share` is that of the bar's full width."""
    width = 100 * min(1.0, max(0.0, share))
    return (
        f'<div class="dbsa-row{kind}"><span class="dbsa-name" title="{escape(name)}">{escape(name)}</span>'
        f'<span class="dbsa-track"><span class="dbsa-fill" style="width:{width:.2f}%"></span></span>'
        f'<span class="dbsa-value">{escape(value)}</span></div>'
    )


def _notes(notes: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="dbsa-notes">{items}</ul>' if items else ""


def message_view(text: str, kind: str = "error") -> str:
    """A strip with a message; "" for no text. `kind`: error, warning or info."""
    if not text:
        return ""
    word, role = _MESSAGES[kind]
    body = f"<strong>{word}</strong><span>{escape(text)}</span>"
    return f'<div class="dbsa dbsa-message dbsa-{kind}" role="{role}">{body}</div>'


def comparison_note(estimate_seconds: float) -> str:
    """What comparing will cost."""
    text = (
        "Retrieval ICL encodes its demonstrations anew for every query, with full attention; comparing takes about "
        f"{duration(estimate_seconds)}."
    )
    return view("comparison", muted(text))


# --- data -------------------------------------------------------------------------------------------------------------


def problems_view(pool: Pool) -> str:
    """The quality problems of a pool, those that cost rows first."""
    if not pool.problems:
        return view("problems", muted(f"No problems found in {_count(len(pool), 'row')}."))
    ordered = sorted(pool.problems, key=lambda problem: not problem.excluded)
    return view("problems", f"<ul>{''.join(map(_problem, ordered))}</ul>")


def _problem(problem: Problem) -> str:
    kind, word = ("out", "left out") if problem.excluded else ("kept", "kept" if problem.rows else "note")
    return f'<li><span class="dbsa-tag dbsa-{kind}">{word}</span> <span>{escape(problem.message)}</span></li>'


def pool_summary(pool: Pool, table: Table) -> str:
    """What was read, how it is spread over the labels, and how long the texts are."""
    rows = _count(len(pool), "row")
    left_out = len(table.row_numbers) + len(table.ragged_rows) - len(pool)
    facts = [("File", table.source), ("Format", table.format)]
    if table.delimiter is not None:
        facts.append(("Delimiter", _DELIMITERS.get(table.delimiter, repr(table.delimiter))))
    if table.encoding is not None:
        facts.append(("Encoding", table.encoding))
    facts += [("Rows", f"{rows}, {left_out:,} left out" if left_out > 0 else rows), ("Labels", f"{len(pool.labels):,}")]
    if lengths := [len(text) for text in pool.texts]:
        median, high = np.percentile(lengths, [50, 95])
        facts.append(("Text length", f"median {median:,.0f}, 95 % up to {high:,.0f} characters"))
    return view("pool", _facts(facts), _balance(pool), _notes(table.notes))


def _balance(pool: Pool) -> str:
    counts = Counter(dict.fromkeys(pool.labels, 0))
    counts.update(demonstration.label for demonstration in pool.demonstrations)
    ordered = counts.most_common()
    largest = max(1, ordered[0][1]) if ordered else 1
    bars = "".join(_bar(label, count / largest, f"{count:,}") for label, count in ordered[:LABEL_BARS])
    rest = [count for _, count in ordered[LABEL_BARS:]]
    tail = ""
    if rest:
        each = f"{rest[0]:,}" if rest[0] == rest[-1] else f"{rest[-1]:,} to {rest[0]:,}"
        tail = muted(f"{_count(len(rest), 'more label')}: {_count(sum(rest), 'row')} together, {each} each.")
    return f'<h4>Rows per label</h4><div class="dbsa-bars dbsa-balance">{bars}</div>{tail}'


# --- encoding ---------------------------------------------------------------------------------------------------------


def plan_view(plan: EncodingPlan) -> str:
    """What encoding will do, before it is paid for."""
    size, total = plan.pattern.demonstrations_per_block, len(plan.blocks)
    last = len(plan.blocks[-1].rows) if plan.blocks else size
    shape = f"{total:,} × {_count(size, 'demonstration')}"
    if last != size:
        shape = f"{shape} (the last has {last:,})" if total > 1 else f"1 × {_count(last, 'demonstration')}"
    facts = [
        ("Blocks", shape),
        ("Tokens", f"{plan.tokens:,}"),
        ("Attention computed", f"{percent(plan.density)} of full attention's token pairs"),
        ("Block by block", density_words(plan.pattern, total)),
        ("Memory for keys and values", _size(plan.num_bytes)),
        ("Limited by", plan.limited_by),
    ]
    return view("plan", f'<p class="dbsa-lead">{escape(plan.sentence)}</p>', _facts(facts), _notes(plan.notes))


def progress_view(progress: Progress | None, state: str) -> str:
    """How far the encoding is. `state`: none, running, stopped, ready, failed or stale."""
    at = _place(progress)
    heads = {
        "none": "Not encoded yet.",
        "running": f"Encoding: {at or 'starting'}",
        "stopped": f"Stopped after {at}; the blocks that are done can be asked." if at else "Stopped before any block.",
        "ready": f"Ready: {_count(progress.blocks_total, 'block')} encoded" if progress else "Ready.",
        "failed": f"Encoding failed after {at}." if at else "Encoding failed.",
        "stale": "Stale: settings or data changed since this pool was encoded. Encode anew to use them.",
    }
    share = 1.0 if state == "ready" else _share(progress)
    bar = (
        f'<div class="dbsa-progressbar" role="progressbar" aria-label="Encoding" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{100 * share:.0f}"><span style="width:{100 * share:.1f}%"></span></div>'
    )
    shown = bar if state != "none" else ""
    details = _speed(progress, state)
    return view(
        f"progress dbsa-is-{escape(state)}",
        f'<p class="dbsa-lead" aria-live="polite">{escape(heads[state])}</p>',
        shown,
        muted(details) if details else "",
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


# --- predictions ------------------------------------------------------------------------------------------------------


def prediction_card(prediction: Prediction, *, title: str, top: int = 5) -> str:
    """One method's answer: the label, the best probabilities, what they are, and what to know about them."""
    scores = prediction.scores
    ranked = scores.ranked() if scores.probabilities is not None else []
    bars = "".join(_label_bar(scores, index) for index in ranked[:top])
    tags = ['<span class="dbsa-tag">first use, may be slower</span>'] if prediction.cold else []
    if equal := len(prediction.equal_rows):
        tags.append(f'<span class="dbsa-tag dbsa-out">query equals {_count(equal, "demonstration")}</span>')
    if prediction.may_fit_no_label:
        tags.append('<span class="dbsa-tag dbsa-out">May fit no label</span>')
    tokens = f"{prediction.context_tokens:,} tokens of context · {_took(prediction)}"
    return view(
        "card",
        f'<div class="dbsa-cardhead"><span class="dbsa-title">{escape(title)}</span>{"".join(tags)}</div>',
        f'<p class="dbsa-label">{escape(prediction.label)}</p>',
        f'<p class="dbsa-margin">{escape(_margin(prediction))}</p>',
        f'<div class="dbsa-bars">{bars}</div>',
        muted(f"{_count(len(ranked) - top, 'more label')} below.") if len(ranked) > top else "",
        muted(_meaning(prediction)),
        muted(tokens),
        _notes(prediction.notes),
    )


def _label_bar(scores: LabelScores, index: int) -> str:
    assert scores.probabilities is not None
    assert scores.intervals is not None
    low, high = (float(bound) for bound in scores.intervals[:, index])
    kind = " dbsa-best" if index == scores.best else ""
    return _bar(scores.labels[index], float(scores.probabilities[index]), _between(low, high), kind)


def _between(low: float, high: float) -> str:
    """One number, or two where they differ in what is shown."""
    if low == 0 < high:
        return f"at most {percent(high)}"
    return percent(low) if percent(low) == percent(high) else f"{percent(low)} to {percent(high)}"


def _took(prediction: Prediction) -> str:
    return f"{prediction.seconds.get('total', 0.0):.2f} s"


def _margin(prediction: Prediction) -> str:
    if prediction.interval is None or prediction.margin is None:
        return "no probability: greedy decoding follows one label only"
    own = _between(*prediction.interval)
    if prediction.runner_up is None:
        return own
    return f"{own}, {100 * prediction.margin:.1f} points ahead of {prediction.runner_up}"


def _meaning(prediction: Prediction) -> str:
    """What the probabilities are, in one line."""
    scores = prediction.scores
    total, left = len(scores.labels), int((~np.isfinite(scores.log_probs)).sum())
    if scores.way == "greedy":
        others = f"{left:,} candidate labels were" if left > 1 else "candidate label was"
        parts = [f"The other {others} not scored."] if left else []
    elif scores.exact:
        parts = [f"Softmax over the {total:,} candidate labels of their exact log-probabilities."]
    else:
        parts = [
            f"Softmax over the {total:,} candidate labels; {left:,} of them were not scored one by one, so that each "
            "probability is known to within 1 point."
        ]
    least, most = scores.outside_mass
    if most >= 0.0005 and (least > 0 or scores.way != "greedy"):
        parts.append(f"{_between(least, most)} of the model's probability lies outside them.")
    return " ".join(parts)


# --- latency ----------------------------------------------------------------------------------------------------------


def latency_table(predictions: Sequence[Prediction], titles: Sequence[str]) -> str:
    """Seconds by phase with a column per method, and the ratios of the totals to the first method's."""
    if not predictions:
        return view("latency", muted("No timings yet."))
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    body = "".join(_phase_row(phase, predictions) for phase in (*PHASES, "total"))
    head = f'<thead><tr><th scope="col">Phase</th>{head}</tr></thead>'
    table = f'<table class="dbsa-table">{head}<tbody>{body}</tbody></table>'
    sentences = [_ratio(predictions[0], titles[0], *other) for other in zip(predictions[1:], titles[1:], strict=True)]
    cold = [title for prediction, title in zip(predictions, titles, strict=True) if prediction.cold]
    if cold:
        sentences.append(
            f"First use of {', '.join(cold)}: a warm-up is included or still going on, so ask again for a fair "
            "comparison."
        )
    if any(prediction.selection for prediction in predictions):
        sentences.append("Encoding the blocks, done once for all queries, is not part of these times.")
    return view("latency", f'<div class="dbsa-scroll">{table}</div>', _notes(sentences))


def _phase_row(phase: str, predictions: Sequence[Prediction]) -> str:
    cells = "".join(f"<td>{_phase_seconds(prediction.seconds.get(phase, 0.0))}</td>" for prediction in predictions)
    return f'<tr class="dbsa-{phase}"><th scope="row">{phase.capitalize()}</th>{cells}</tr>'


def _phase_seconds(seconds: float) -> str:
    return "–" if seconds == 0 else f"{seconds:.3f} s"


def _ratio(first: Prediction, title: str, other: Prediction, other_title: str) -> str:
    own, theirs = first.seconds.get("total", 0.0), other.seconds.get("total", 0.0)
    if not theirs:
        return f"{other_title} has no measured time."
    ratio = own / theirs
    if ratio < 1:
        return f"{title} takes {max(ratio, 0.0001):.2g} of {other_title}'s time."
    return f"{title} takes {ratio:,.1f} times as long as {other_title}."
