"""Prompts that are encoded densely anew for every query: what Retrieval ICL and zero-shot have in common.

Knows nothing about how the demonstrations were found.
"""

from __future__ import annotations

from collections.abc import Callable

from dbsa_core.methods.base import QUERY_ALONE, WHOLE_PROMPT, check_query_fits, fit_rows, query_memory
from dbsa_core.prediction import Prediction
from dbsa_core.settings import QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.stage2.prefix import Prefix
from dbsa_core.stage2.scoring import score_labels
from dbsa_core.timing import Stopwatch


def answer_densely(
    name: str,
    setup: Setup,
    settings: QuerySettings,
    query: str,
    nothing: Prefix,
    *,
    find: Callable[[str], list[int]],
    fewer: str = "choose a lower ratio",
) -> Prediction:
    """Classify behind the rows that `find` names for the text (nearest last), all encoded in one forward with it;
    `nothing` is an empty prefix, and `fewer` how a user has fewer rows read."""
    task = setup.task
    watch = Stopwatch(task.model.device)
    text, query_ids = task.query(query)
    positions = setup.plan.rope_length or task.model.max_positions
    start = task.prompter.prefix_ids
    check_query_fits(query_ids, len(start), task, positions)
    with watch.phase("retrieve"):
        found = find(text)
        fixed = len(start) + len(query_ids) + task.longest_label
        rows, left_out = fit_rows(found, setup, positions, fixed)
    prompt = (*start, *(token for row in rows for token in setup.row_ids(row)), *query_ids)
    advice = fewer if rows else "shorten the query"
    with query_memory(task, len(prompt), advice), watch.phase("forward"):
        scores = score_labels(nothing, prompt, task.trie, decode=settings.decode)
    note = f"{left_out} of {len(found)} demonstrations did not fit the model's {positions:,} positions."
    return Prediction(
        method=name,
        query=text,
        scores=scores,
        context_tokens=len(prompt),
        example_tokens=len(prompt) - len(query_ids) - len(start),
        seconds=watch.finish(),
        cold=task.model.first_of(WHOLE_PROMPT if rows else QUERY_ALONE) or scores.warming_up,
        demonstration_rows=tuple(rows),
        equal_rows=task.rows_equal_to(text),
        taught=task.taught_label(text),
        notes=(note,) if left_out else (),
    )
