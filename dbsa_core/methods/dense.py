"""Prompts that are encoded densely anew for every query: what Retrieval ICL and zero-shot have in common.

Knows nothing about how the demonstrations were found.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dbsa_core.methods.answering import Question
from dbsa_core.methods.base import QUERY_ALONE, WHOLE_PROMPT, check_query_fits, fit_rows
from dbsa_core.settings import QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.stage2.prefix import Prefix
from dbsa_core.timing import Stopwatch


def dense_question(
    name: str,
    setup: Setup,
    settings: QuerySettings,
    query: str,
    nothing: Prefix,
    *,
    find: Callable[[str], list[int]],
    fewer: str = "choose a lower ratio",
    votes: Callable[[str], NDArray[np.float64] | None] = lambda text: None,
) -> Question:
    """The rows that `find` names for the text (nearest last) and the query, all encoded in one forward; `nothing` is an
    empty prefix, `fewer` how a user has fewer rows read, and `votes` those of classifiers on the text."""
    task = setup.task
    watch = Stopwatch(task.model.device)
    text, query_ids = task.query(query)
    positions = setup.plan.rope_length or task.model.max_positions
    start = task.prompter.prefix_ids
    check_query_fits(query_ids, len(start), task, positions)
    with watch.phase("retrieve"):
        found, added = find(text), votes(text)
        fixed = len(start) + len(query_ids) + task.longest_label
        rows, left_out = fit_rows(found, setup, positions, fixed)
    before = [token for row in rows for token in setup.row_ids(row)]
    note = f"{left_out} of {len(found)} demonstrations did not fit the model's {positions:,} positions."
    seconds = watch.finish()
    return Question(
        method=name,
        task=task,
        decode=settings.decode,
        text=text,
        prompt=(*start, *before, *query_ids),
        example_tokens=len(before),
        prefix=lambda: nothing,
        pool=nothing,
        prefix_tokens=0,
        advice=fewer if rows else "shorten the query",
        kind=WHOLE_PROMPT if rows else QUERY_ALONE,
        retrieve_seconds=seconds["retrieve"],
        seconds=seconds["total"],
        rows=tuple(rows),
        notes=(note,) if left_out else (),
        votes=added,
    )
