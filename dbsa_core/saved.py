"""Encoded pools on disk: saved, and loaded again for the same task and plan.

Knows nothing about files: `store.disk` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dbsa_core.planning import EncodingPlan
from dbsa_core.prompt import PromptTemplate
from dbsa_core.stage1 import EncodedPool
from dbsa_core.store.disk import as_identity, read_blocks, write_blocks
from dbsa_core.task import Task


def _identity(
    fingerprint: str, model_signature: str, template: PromptTemplate, dtype: str, **rest: Any
) -> dict[str, Any]:
    return as_identity(fingerprint=fingerprint, model_signature=model_signature, template=template, dtype=dtype, **rest)


def save_pool(encoded: EncodedPool, folder: Path) -> None:
    """Write an encoded pool to `folder`, replacing what is there."""
    blocks = {block.id: encoded.store.get(block.id) for block in encoded.blocks}
    dtype = str(next(iter(blocks.values())).keys.dtype) if blocks else ""
    identity = _identity(
        encoded.pool.fingerprint,
        encoded.model_signature,
        encoded.template,
        dtype,
        pattern=encoded.pattern,
        rope_length=encoded.rope_length,
        blocks=[[block.id, list(block.rows), len(block)] for block in encoded.blocks],
    )
    write_blocks(folder, identity, blocks, encoded.seconds)


def load_pool(folder: Path, task: Task, plan: EncodingPlan) -> EncodedPool | None:
    """The pool in `folder` if it is this task's, encoded whole after this plan; None where there is none.

    Raises `DataError` where the folder holds another pool, or one that cannot be read.
    """
    identity = _identity(
        task.pool.fingerprint,
        task.model.signature,
        task.template,
        str(task.model.shape.dtype),
        pattern=plan.pattern,
        rope_length=plan.rope_length,
        blocks=[[block.id, list(block.rows), len(block)] for block in plan.blocks],
    )
    found = read_blocks(folder, identity, [len(block) for block in plan.blocks], task.model.device)
    if found is None:
        return None
    store, seconds = found
    return EncodedPool(
        pool=task.pool,
        blocks=plan.blocks,
        pattern=plan.pattern,
        template=task.template,
        store=store,
        model_signature=task.model.signature,
        rope_length=plan.rope_length,
        blocks_planned=len(plan.blocks),
        seconds=seconds,
    )
