"""Encoding in steps, so that it can be watched, stopped, and let people's queries pass.

Knows nothing about sessions. Importing it loads PyTorch, so that is done where something is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from dbsa_core import EncodedPool, Task
from dbsa_core.blocks import Block
from dbsa_core.devices import policy_for
from dbsa_core.errors import Cancelled
from dbsa_core.interrupt import interruptible
from dbsa_core.planning import EncodingPlan
from dbsa_core.speed import note_encoding
from dbsa_core.stage1.encoding import append_blocks, encode_blocks
from dbsa_core.stage1.progress import OnProgress, Progress

QUERYABLE_TOKENS = 1_000
"""From here on, what is done is published: with less, a query finds next to nothing to read."""


def encode_in_steps(
    task: Task,
    plan: EncodingPlan,
    *,
    publish: Callable[[EncodedPool], None],
    report: OnProgress,
    cancelled: Callable[[], bool],
    give_way: Callable[[], None],
) -> EncodedPool:
    """Carry a plan out a few blocks at a time, publishing each state, so that queries can read what is done.

    Raises `Cancelled` where it was stopped before the first block was done; later, what is done is returned.
    """
    encoded: EncodedPool | None = None
    report(Progress(0, len(plan.blocks), 0, plan.tokens, 0.0))
    for step in _steps(plan.blocks, policy_for(task.model.device).step_tokens):
        give_way()
        if cancelled():
            break
        try:
            with interruptible(cancelled):
                encoded = _encode_step(task, plan, encoded, step)
        except Cancelled:
            break
        if encoded.tokens >= QUERYABLE_TOKENS or encoded.complete:
            publish(encoded)
        # The pool's own seconds: those of encoding, without the queries that were let pass.
        report(Progress(len(encoded.blocks), len(plan.blocks), encoded.tokens, plan.tokens, encoded.seconds))
    if encoded is None:
        raise Cancelled("Stopped before the first block was done; nothing was encoded.")
    note_encoding(task.model, encoded.tokens, encoded.seconds)
    return encoded


def _encode_step(task: Task, plan: EncodingPlan, encoded: EncodedPool | None, step: Sequence[Block]) -> EncodedPool:
    if encoded is None:
        done = encode_blocks(
            task.model,
            task.pool,
            step,
            plan.pattern,
            task.template,
            rope_length=plan.rope_length,
            expected_tokens=plan.tokens,
        )
    else:
        done = append_blocks(task.model, encoded, task.pool, step)
    return replace(done, blocks_planned=len(plan.blocks))


def _steps(blocks: Sequence[Block], tokens: int) -> Iterator[list[Block]]:
    step: list[Block] = []
    for block in blocks:
        step.append(block)
        if sum(map(len, step)) >= tokens:
            yield step
            step = []
    if step:
        yield step
