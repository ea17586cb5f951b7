"""What encoding will do, before it is paid for: rows, blocks, seconds and bytes, within the budget of tokens.

Knows nothing about queries; it encodes nothing but a short measured probe.
"""

from __future__ import annotations

import random
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil
import torch

from dbsa_core.blocks import Block, BlockPattern, draw_rows, group, mask_density, with_prefix
from dbsa_core.data import Pool
from dbsa_core.encode import EncodedPool, OnProgress, append_blocks, encode_blocks
from dbsa_core.errors import CapacityError, DataError
from dbsa_core.model import LanguageModel
from dbsa_core.prompt import Ids, PromptTemplate
from dbsa_core.settings import EncodeSettings
from dbsa_core.task import Task

CPU_SECONDS = 30.0
"""On a CPU the default budget is what this time encodes."""
MEMORY_SHARE = 0.4
"""Of the free memory, this share may be filled with a pool by default."""
QUERY_POSITIONS = 1024
"""Positions kept free for a query by default, or a quarter of the model's where that is less."""
ROWS_PER_WINDOW = 8
"""A row longer than this part of the budget and of the model's positions is too long for a block."""

_speeds: weakref.WeakKeyDictionary[LanguageModel, float] = weakref.WeakKeyDictionary()


def measured_speed(model: LanguageModel) -> float:
    """Tokens per second of block-sparse encoding, by a probe of about 400 tokens at first use."""
    if model not in _speeds:
        rng, pattern = random.Random(0), BlockPattern(1)
        size = max(8, min(128, model.max_positions // 8))
        vocabulary = model.model.config.get_text_config().vocab_size
        blocks = [Block(i, (i,), tuple(rng.randrange(vocabulary) for _ in range(size))) for i in range(4)]
        nothing = Pool((), (), "")
        for part in (blocks[:1], blocks):
            begun = time.perf_counter()
            encode_blocks(model, nothing, part, pattern, PromptTemplate(), chunk_tokens=size)
            if model.device.type == "cuda":
                torch.cuda.synchronize(model.device)
            _speeds[model] = len(part) * size / (time.perf_counter() - begun)
    return _speeds[model]


def query_positions(model: LanguageModel) -> int:
    """Positions that a plan keeps free for a query and its labels."""
    return min(QUERY_POSITIONS, model.max_positions // 4)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on the device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


@dataclass(frozen=True)
class Limit:
    """One bound on the pool's tokens, and why."""

    tokens: int
    reason: str


def limits(task: Task, settings: EncodeSettings) -> list[Limit]:
    """What bounds the tokens of a pool; the smallest is the default budget."""
    model = task.model
    found = [Limit(sum(map(len, task.row_ids)) + len(task.prompter.prefix_ids), "the file")]
    if settings.positions == "sequential":
        found.append(Limit(model.max_positions - query_positions(model), "the model's context"))
    memory = int(MEMORY_SHARE * free_memory(model.device) / model.shape.bytes_per_token)
    found.append(Limit(memory, "free memory"))
    if model.device.type == "cpu":
        tokens = int(CPU_SECONDS * measured_speed(model))
        found.append(Limit(tokens, f"about {CPU_SECONDS:.0f} s of encoding on this CPU"))
    return found


@dataclass(frozen=True)
class EncodingPlan:
    """What `encode` will do."""

    settings: EncodeSettings
    pattern: BlockPattern
    blocks: tuple[Block, ...]
    rows_total: int
    labels_covered: int
    labels_total: int
    seconds: float
    num_bytes: int
    rope_length: int | None
    limited_by: str
    """What set the budget, in words."""
    too_long: tuple[int, ...]
    """Rows of the pool that are too long for a block."""
    longest_row: int
    """Tokens that a row may take, in blocks and beside a query alike."""
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[int, ...]:
        return tuple(row for block in self.blocks for row in block.rows)

    @property
    def cuts_long_rows(self) -> bool:
        """Whether rows that are too long are read cut; else they are not read at all."""
        return self.settings.long_rows == "truncate"

    def row_ids(self, task: Task, row: int) -> Ids:
        """The ids by which every method reads a row of `task`: cut where long rows are."""
        return _row_ids(task, row, self.longest_row if self.cuts_long_rows else None)

    @property
    def tokens(self) -> int:
        return sum(len(block) for block in self.blocks)

    @property
    def density(self) -> float:
        """Share of dense causal attention that is computed."""
        return mask_density([len(block) for block in self.blocks], self.pattern)

    @property
    def sentence(self) -> str:
        """The plan in words."""
        rows = len(self.rows)
        which = f"{rows:,} of {self.rows_total:,} rows" if rows < self.rows_total else f"All {rows:,} rows"
        rest = "; the other rows stay searchable as similar examples" if rows < self.rows_total else ""
        return (
            f"{which} will be encoded (about {_seconds(self.seconds)}, {_megabytes(self.num_bytes)}), covering "
            f"{self.labels_covered:,} of {self.labels_total:,} labels{rest}."
        )


def _row_ids(task: Task, row: int, cut_to: int | None) -> Ids:
    return task.row_ids[row] if cut_to is None else task.truncated(row, cut_to)


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return "1 s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.0f} MB" if num_bytes < 1e10 else f"{num_bytes / 1e9:,.0f} GB"


def plan(task: Task, settings: EncodeSettings | None = None) -> EncodingPlan:
    """Draw rows within the budget and group them; every label comes first, and the candidate labels stay the file's.

    Raises `CapacityError` where not one row fits, or where the budget's keys and values exceed the free memory.
    """
    settings = settings or EncodeSettings()
    budget, limited_by, notes = _budget(task, settings)
    longest = max(64, min(budget, task.model.max_positions) // ROWS_PER_WINDOW)
    lengths = [len(ids) for ids in task.row_ids]
    too_long = tuple(row for row, tokens in enumerate(lengths) if tokens > longest)
    cut = settings.long_rows == "truncate"
    if cut:
        lengths = [min(tokens, longest) for tokens in lengths]
    rows = draw_rows(task.pool, lengths, budget - len(task.prompter.prefix_ids), settings.seed, longest)
    if not rows:
        raise CapacityError(
            f"Not one row fits a budget of {budget:,} tokens (the shortest has {min(lengths):,}, and a row may take "
            f"{longest:,}); raise pool tokens, or have long rows truncated."
        )
    ids = [_row_ids(task, row, longest if cut else None) for row in rows]
    pattern = settings.pattern(len(rows))
    blocks = with_prefix(group(rows, ids, pattern), task.prompter.prefix_ids)
    tokens = sum(map(len, blocks))
    if too_long:
        what = f"cut to {longest:,} tokens" if cut else "left out of blocks and similar examples alike"
        notes.append(
            f"{len(too_long):,} rows are longer than {longest:,} tokens, too long for a block, and are {what}."
        )
    if pattern.demonstrations_per_block > len(rows):
        notes.append(
            f"The block size of {pattern.demonstrations_per_block} is more than the {len(rows)} rows: "
            "there is one block, "
            "and nothing is sparse."
        )
    return EncodingPlan(
        settings=settings,
        pattern=pattern,
        blocks=tuple(blocks),
        rows_total=len(task.pool),
        labels_covered=len({task.pool.demonstrations[row].label for row in rows}),
        labels_total=len(task.pool.labels),
        seconds=tokens / measured_speed(task.model),
        num_bytes=tokens * task.model.shape.bytes_per_token,
        rope_length=task.model.rope.pinned_length(tokens + QUERY_POSITIONS, task.model.max_positions),
        limited_by=limited_by,
        too_long=too_long,
        longest_row=longest,
        notes=tuple(notes),
    )


def _budget(task: Task, settings: EncodeSettings) -> tuple[int, str, list[str]]:
    smallest = min(limits(task, settings), key=lambda limit: limit.tokens)
    if settings.pool_tokens is None:
        return smallest.tokens, smallest.reason, []
    hard = [Limit(free_memory(task.model.device) // task.model.shape.bytes_per_token, "free memory")]
    if settings.positions == "sequential":
        hard.append(Limit(task.model.max_positions, "the model's context"))
    bound = min(hard, key=lambda limit: limit.tokens)
    if settings.pool_tokens <= bound.tokens:
        return settings.pool_tokens, "your budget", []
    note = f"{settings.pool_tokens:,} pool tokens were asked for; {bound.reason} holds {bound.tokens:,}."
    if bound.reason != "free memory":
        note += " Local positions lift this limit."
    return bound.tokens, bound.reason, [note]


def encode(
    task: Task,
    plan: EncodingPlan,
    *,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> EncodedPool:
    """Carry a plan out; `cancelled()` is asked between blocks, and what is done is kept."""
    return encode_blocks(
        task.model,
        task.pool,
        plan.blocks,
        plan.pattern,
        task.template,
        rope_length=plan.rope_length,
        on_progress=on_progress,
        cancelled=cancelled,
    )


def append(
    task: Task, encoded: EncodedPool, rows: Sequence[int], *, on_progress: OnProgress | None = None
) -> EncodedPool:
    """Encode further rows of `task` (made by `Task.extended`, or rows that were not drawn) as new blocks."""
    known = set(encoded.rows)
    if again := [row for row in rows if row in known]:
        raise DataError(f"{len(again)} of the rows to append are encoded already; name rows that are not.")
    if task.pool.demonstrations[: len(encoded.pool)] != encoded.pool.demonstrations:
        raise DataError("The task's first rows are not those of the encoded pool; make it by Task.extended.")
    ids = [task.row_ids[row] for row in rows]
    blocks = group(rows, ids, encoded.pattern, first_block=len(encoded.blocks))
    return append_blocks(task.model, encoded, task.pool, blocks, on_progress=on_progress)
