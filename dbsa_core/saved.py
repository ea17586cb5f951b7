"""Encoded pools on disk: saved, and loaded again for the same task and plan.

Knows nothing about files: `store.disk` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dbsa_core.planning import EncodingPlan
from dbsa_core.prompt import PromptTemplate
from dbsa_core.stage1.encoding import EncodedPool
from dbsa_core.stage1.memory import arena_for, forms_to_load, in_forms
from dbsa_core.store import KeyForm
from dbsa_core.store.disk import as_identity, saved_pool, write_blocks
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
    write_blocks(folder, identity, encoded.store.forms, blocks, encoded.seconds)


def load_pool(folder: Path, task: Task, plan: EncodingPlan) -> EncodedPool | None:
    """The pool in `folder` if it is this task's, encoded whole after this plan; None where there is none.

    Keys are kept in the form of the file, or rotated once where this device reads them so. Raises `DataError` where the
    folder holds another pool, or one that cannot be read.
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
    found = saved_pool(folder, identity, len(plan.blocks))
    if found is None:
        return None
    model, shape = task.model, task.model.shape
    saved = found.forms or (KeyForm.BEFORE_ROPE,) * shape.layers
    forms = forms_to_load(model, saved)
    store = arena_for(model, plan.tokens, forms).extended(0, [len(block) for block in plan.blocks])
    for block in plan.blocks:
        size = (shape.layers, shape.kv_heads, len(block), shape.head_dim)
        store.put(block.id, in_forms(model, found.block(block.id, size, model.device), saved, forms))
    return EncodedPool(
        pool=task.pool,
        blocks=plan.blocks,
        pattern=plan.pattern,
        template=task.template,
        store=store,
        model_signature=task.model.signature,
        rope_length=plan.rope_length,
        blocks_planned=len(plan.blocks),
        seconds=found.seconds,
    )
