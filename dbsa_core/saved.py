"""Encoded pools on disk: saved, and loaded again for the same task and plan, or with them as a whole setup.

Knows nothing about tensors' files: `store.disk` does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbsa_core.blocks import Block, BlockPattern
from dbsa_core.data import Demonstration, Pool
from dbsa_core.errors import DataError, DBSAError
from dbsa_core.folders import replacing
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.planning import EncodingPlan, costed
from dbsa_core.prompt import PromptTemplate
from dbsa_core.settings import EncodeSettings
from dbsa_core.setup import Setup
from dbsa_core.stage1.encoding import EncodedPool
from dbsa_core.stage1.memory import arena_for, forms_to_load, in_forms
from dbsa_core.store import KeyForm
from dbsa_core.store.disk import as_identity, saved_pool, write_blocks
from dbsa_core.task import Task

if TYPE_CHECKING:
    import torch

FORMAT = 1
SETUP, BLOCKS = "setup.json", "blocks"
"""In the folder of a saved setup: what it is, and the folder of its blocks."""


def _identity(pool: Pool, blocks: Sequence[Block], **rest: Any) -> dict[str, Any]:
    """`rest`: model_signature, template, dtype, pattern and rope_length."""
    rows = [[block.id, list(block.rows), len(block)] for block in blocks]
    return as_identity(fingerprint=pool.fingerprint, blocks=rows, **rest)


def _kept_as(dtype: torch.dtype, *, int8: bool) -> str:
    return f"int8 of {dtype}" if int8 else str(dtype)


# --- a pool, of a task and a plan that are known ----------------------------------------------------------------------


def save_pool(encoded: EncodedPool, folder: Path) -> None:
    """Write an encoded pool to `folder`, replacing what is there."""
    blocks = {block.id: encoded.store.get(block.id) for block in encoded.blocks}
    identity = _identity(
        encoded.pool,
        encoded.blocks,
        model_signature=encoded.model_signature,
        template=encoded.template,
        dtype=_kept_as(encoded.store.dtype, int8=encoded.int8) if blocks else "",
        pattern=encoded.pattern,
        rope_length=encoded.rope_length,
    )
    write_blocks(folder, identity, encoded.store.forms, blocks, encoded.seconds)


def load_pool(folder: Path, task: Task, plan: EncodingPlan) -> EncodedPool | None:
    """The pool in `folder` if it is this task's, encoded whole after this plan; None where there is none.

    Keys are kept in the form of the file, or rotated once where this device reads them so. Raises `DataError` where the
    folder holds another pool, or one that cannot be read.
    """
    return _load(folder, task, plan, plan.blocks, len(plan.blocks))


def _load(
    folder: Path, task: Task, plan: EncodingPlan, blocks: Sequence[Block], blocks_planned: int
) -> EncodedPool | None:
    """The pool of exactly those blocks."""
    model, shape = task.model, task.model.shape
    identity = _identity(
        task.pool,
        blocks,
        model_signature=model.signature,
        template=task.template,
        dtype=_kept_as(shape.dtype, int8=plan.settings.int8),
        pattern=plan.pattern,
        rope_length=plan.rope_length,
    )
    found = saved_pool(folder, identity, len(blocks))
    if found is None:
        return None
    saved = found.forms or (KeyForm.BEFORE_ROPE,) * shape.layers
    forms = forms_to_load(model, saved)
    tokens = max(plan.tokens, sum(map(len, blocks)))
    int8 = plan.settings.int8
    store = arena_for(model, tokens, forms, int8=int8).extended(0, [len(block) for block in blocks])
    for block in blocks:
        size = (shape.layers, shape.kv_heads, len(block), shape.head_dim)
        store.put(block.id, in_forms(model, found.block(block.id, size, model.device, int8=int8), saved, forms))
    return EncodedPool(
        pool=task.pool,
        blocks=tuple(blocks),
        pattern=plan.pattern,
        template=task.template,
        store=store,
        model_signature=model.signature,
        rope_length=plan.rope_length,
        blocks_planned=blocks_planned,
        seconds=found.seconds,
    )


# --- a setup: rows, plan and pool -------------------------------------------------------------------------------------


def save_setup(setup: Setup, folder: Path) -> None:
    """Write rows, plan and encoded pool to `folder`, replacing what is there; `load_setup` needs nothing but the model.

    What was appended and what was taught is part of it, and so is a pool whose encoding was stopped. Raises
    `SettingsError` where nothing is encoded, and `DataError` where the folder cannot be written; then it is as it was.
    """
    encoded, pool, plan = setup.encoded_pool(), setup.task.pool, setup.plan
    about = {
        "format": FORMAT,
        "model": {"name": setup.task.model.name, "signature": encoded.model_signature},
        "template": asdict(setup.task.template),
        "labels": list(pool.labels),
        "rows": [[row.text, row.label, row.row] for row in pool.demonstrations],
        "plan": _plain(plan),
        "blocks": [list(block.rows) for block in encoded.blocks],
        "blocks_planned": encoded.blocks_planned,
    }
    try:
        with replacing(folder) as partial:
            save_pool(replace(encoded, pool=pool), partial / BLOCKS)  # more may have been taught since
            (partial / SETUP).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
    except OSError as error:
        raise DataError(
            f'"{folder}" cannot be written ({error.strerror or error}). Make room on the disk, or give another folder.'
        ) from error


def load_setup(folder: Path, model: LanguageModel) -> Setup:
    """The setup that `save_setup` wrote, ready to be fitted; nothing is encoded.

    Raises `DataError` where the folder holds none, one of another model, or one that is damaged.
    """
    about = _read(folder)
    try:
        name, signature = about["model"]["name"], about["model"]["signature"]
        if signature != model.signature:
            raise DataError(
                f'The pool in "{folder.name}" was encoded by {name}, and {model.name} is given here; its keys and '
                "values are of that model alone. Load that model (in the same precision), or encode anew."
            )
        rows = [Demonstration(str(text), str(label), int(row)) for text, label, row in about["rows"]]
        task = Task(model, Pool.of(rows, about["labels"]), PromptTemplate(**about["template"]))
        plan = _planned(task, about["plan"])
        blocks = _blocks(task, plan, about["blocks"])
        encoded = _load(folder / BLOCKS, task, plan, blocks, int(about["blocks_planned"]))
        if encoded is not None:
            return Setup(task, plan, encoded)
    except DBSAError:
        raise
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _damaged(folder, error) from error
    raise _damaged(folder, "its blocks are missing")


def _read(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / SETUP).read_text(encoding="utf-8"))
        version = about["format"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f'There is no saved pool in "{folder}". Give a folder that save_setup wrote.') from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, error) from error
    if version != FORMAT:
        raise DataError(
            f'The pool in "{folder}" is of format {version!r}, and {FORMAT} is known here. Encode anew, or load it by '
            "the version of this package that wrote it."
        )
    return dict(about)


def _damaged(folder: Path, why: object) -> DataError:
    return DataError(f'The pool in "{folder}" is damaged ({why}); encode anew.')


def _plain(plan: EncodingPlan) -> dict[str, Any]:
    """A plan without its tokens, which the rows give, and without its estimate."""
    kept = ("labels_covered", "labels_total", "labels_too_long", "num_bytes", "rope_length", "limited_by")
    found = {name: getattr(plan, name) for name in (*kept, "rows_total", "longest_row")}
    blocks = [list(block.rows) for block in plan.blocks]
    lists = {"too_long": list(plan.too_long), "notes": list(plan.notes), "blocks": blocks}
    return {**found, **lists, "settings": asdict(plan.settings), "pattern": asdict(plan.pattern)}


def _planned(task: Task, saved: dict[str, Any]) -> EncodingPlan:
    rest = {name: value for name, value in saved.items() if name not in ("settings", "pattern", "blocks")}
    plan = EncodingPlan(
        **{**rest, "too_long": tuple(rest["too_long"]), "notes": tuple(rest["notes"])},
        settings=EncodeSettings(**saved["settings"]),
        pattern=BlockPattern(**saved["pattern"]),
        blocks=(),
        estimate=lambda: 0.0,
        peak=lambda: 0,
        model_signature=task.model.signature,
    )
    return costed(task, replace(plan, blocks=_blocks(task, plan, saved["blocks"])))


def _blocks(task: Task, plan: EncodingPlan, rows_of: Sequence[Sequence[int]]) -> tuple[Block, ...]:
    """Blocks of those rows, with the tokens that the rows have in this task."""
    blocks = []
    for place, rows in enumerate(rows_of):
        if not all(0 <= row < len(task.pool) for row in rows):
            raise ValueError(f"block {place} names rows that are not there")
        prefix = task.prompter.prefix_ids if place == 0 else ()
        blocks.append(Block(place, tuple(rows), (*prefix, *(t for row in rows for t in plan.row_ids(task, row)))))
    return tuple(blocks)
