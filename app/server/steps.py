"""Encoding in steps, so that it can be watched, stopped, and let people's queries pass.

Knows nothing about sessions. Importing it loads PyTorch, so that is done where something is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from dbsa_core import EncodedPool, Task
from dbsa_core.blocks import Block
from dbsa_core.devices import policy_for
from dbsa_core.errors import Cancelled, CapacityError
from dbsa_core.interrupt import interruptible
from dbsa_core.planning import EncodingPlan
from dbsa_core.speed import note_encoding
from dbsa_core.stage1.encoding import append_blocks, encode_blocks
from dbsa_core.stage1.progress import OnProgress, Progress


def encode_in_steps(
    task: Task,
    plan: EncodingPlan,
    *,
    begun: EncodedPool | None = None,
    publish: Callable[[EncodedPool, bool], None],
    report: OnProgress,
    cancelled: Callable[[], bool],
    give_way: Callable[[], None],
) -> EncodedPool:
    """Carry a plan out a few blocks at a time, after those of `begun`, an earlier carrying-out that was stopped.

    `publish(encoded, last)` is told each state, so that queries can read what is done; `last` also where an error ends
    it, as a `CapacityError` does where memory runs out. Raises `Cancelled` where it was stopped before the first block
    was done; later, what is done is returned.
    """
    encoded, before = begun, Progress(0, len(plan.blocks), 0, plan.tokens, 0.0)
    if begun is not None:
        before = begun.progress(plan.tokens)
    report(before)
    try:
        for step in _steps(plan.blocks[before.blocks_done :], policy_for(task.model.device).step_tokens):
            give_way()
            if cancelled():
                break
            with interruptible(cancelled):
                encoded = _encode_step(task, plan, encoded, step)
            report(encoded.progress(plan.tokens))
            if encoded.out_of_memory:
                raise CapacityError(encoded.out_of_memory)
            if not encoded.complete:
                publish(encoded, False)
    except Cancelled:
        pass
    finally:
        if encoded is not None and encoded is not begun:
            publish(encoded, True)
    if encoded is None:
        raise Cancelled("Stopped before the first block was done; nothing was encoded.")
    if encoded is not begun:
        anew = encoded.area - (begun.area if begun is not None else 0)
        note_encoding(task.model, encoded.tokens - before.tokens_done, encoded.seconds - before.seconds, anew)
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
            int8=plan.settings.int8,
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
