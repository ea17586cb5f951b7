"""What encoding will do, before it is paid for: rows, blocks, seconds and bytes, within the budget of tokens.

Knows nothing about queries; it encodes nothing but a short probe of the speed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import cached_property

from dbsa_core.blocks import Block, BlockPattern, draw_rows, group, label_rows, mask_density, with_prefix
from dbsa_core.devices import free_memory, policy_for
from dbsa_core.errors import CapacityError
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prompt import Ids
from dbsa_core.settings import EncodeSettings
from dbsa_core.speed import estimated_seconds, measured_speed
from dbsa_core.stage1.memory import bytes_per_token
from dbsa_core.stage1.working import peak_bytes, tokens_in_memory
from dbsa_core.store import with_spare
from dbsa_core.task import Task

CPU_SECONDS = 30.0
"""On a CPU the default budget is what this time encodes."""
MEMORY_SHARE = 0.4
"""Of the free memory, this share may be filled with a pool by default."""
QUERY_POSITIONS = 1024
"""Positions kept free for a query by default, or a quarter of the model's where that is less."""
ROWS_PER_WINDOW = 8
"""A row longer than this part of the budget and of the model's positions is too long for a block."""


def query_positions(model: LanguageModel) -> int:
    """Positions that a plan keeps free for a query and its labels."""
    return min(QUERY_POSITIONS, model.max_positions // 4)


@dataclass(frozen=True)
class Limit:
    """One bound on the pool's tokens, and why."""

    tokens: int
    reason: str
    is_time: bool = False
    """Whether it bounds the time alone: such a limit gives way to labels."""


def limits(task: Task, settings: EncodeSettings) -> list[Limit]:
    """What bounds the tokens of a pool; the smallest is the default budget, unless labels need more time."""
    model, of_file = task.model, _of_file(task)
    found = [of_file]
    if settings.positions == "sequential":
        found.append(Limit(model.max_positions - query_positions(model), "the model's context"))
    memory = tokens_in_memory(model, int(MEMORY_SHARE * free_memory(model.device)), int8=settings.int8)
    found.append(Limit(memory, "free memory"))
    if policy_for(model.device).bounds_time:
        tokens = int(CPU_SECONDS * measured_speed(model, of_file.tokens))
        found.append(Limit(tokens, f"about {CPU_SECONDS:.0f} s of encoding on this CPU", is_time=True))
    return found


def _of_file(task: Task) -> Limit:
    return Limit(sum(map(len, task.row_ids)) + len(task.prompter.prefix_ids), "the file")


@dataclass(frozen=True)
class EncodingPlan:
    """What `encode` will do."""

    settings: EncodeSettings
    pattern: BlockPattern
    blocks: tuple[Block, ...]
    rows_total: int
    labels_covered: int
    labels_total: int
    labels_too_long: int
    """Labels without a row that is short enough for a block."""
    estimate: Callable[[], float] = field(repr=False, compare=False)
    """Seconds that encoding will take; the model's speed is measured where it is not known yet."""
    num_bytes: int
    """Memory for keys and values, room for appended rows included."""
    rope_length: int | None
    model_signature: str
    limited_by: str
    """What set the budget, in words."""
    too_long: tuple[int, ...]
    """Rows of the pool that are too long for a block."""
    longest_row: int
    """Tokens that a row may take, in blocks and beside a query alike."""
    peak: Callable[[], int] = field(repr=False, compare=False)
    """Bytes that encoding takes at its most, beside the model; the model's layers are tried where that is not known."""
    notes: tuple[str, ...] = ()

    @cached_property
    def seconds(self) -> float:
        """`estimate`, asked when it is first wanted: it may take seconds itself."""
        return self.estimate()

    @cached_property
    def peak_bytes(self) -> int:
        """Memory that encoding takes at its most, beside the model: keys and values, what is computed on the way, and
        the room for appended rows where the device takes that at once. `peak`, asked when it is first wanted."""
        return self.peak()

    @property
    def kept_bytes(self) -> int:
        """Memory for the keys and values of its blocks alone."""
        return self.num_bytes // with_spare(self.tokens) * self.tokens

    def encodes_as(self, other: EncodingPlan) -> bool:
        """Whether both make the same pool of the same data, whatever their settings say."""
        one, another = ((plan.blocks, plan.pattern, plan.rope_length, plan.settings.int8) for plan in (self, other))
        return one == another

    @property
    def rows(self) -> tuple[int, ...]:
        return tuple(row for block in self.blocks for row in block.rows)

    @property
    def cuts_long_rows(self) -> bool:
        """Whether rows that are too long are read cut; else they are not read at all."""
        return self.settings.cuts_long_rows

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
        """The plan in words; labels that are left out come first."""
        rows = len(self.rows)
        which = f"{rows:,} of {self.rows_total:,} rows" if rows < self.rows_total else f"All {rows:,} rows"
        rest = "; the other rows stay searchable as similar examples" if rows < self.rows_total else ""
        return (
            f"{self._left_out}{which} will be encoded (about {_seconds(self.seconds)}, {_megabytes(self.peak_bytes)}), "
            f"covering {self.labels_covered:,} of {self.labels_total:,} labels{rest}."
        )

    @property
    def _left_out(self) -> str:
        missing = self.labels_total - self.labels_covered
        if not missing:
            return ""
        why = [f"{self.limited_by} has no room for a row of each"] if missing > self.labels_too_long else []
        if self.labels_too_long:
            which = "they" if missing == self.labels_too_long else f"{self.labels_too_long:,} of them"
            why.append(f"{which} have no row that is short enough for a block")
        return (
            f"{missing:,} of {self.labels_total:,} labels are left out of the blocks, and stay candidates: "
            f"{', and '.join(why)}. "
        )


def _row_ids(task: Task, row: int, cut_to: int | None) -> Ids:
    return task.row_ids[row] if cut_to is None else task.truncated(row, cut_to)


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return "1 s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.0f} MB" if num_bytes < 1e10 else f"{num_bytes / 1e9:,.0f} GB"


def plan(task: Task, settings: EncodeSettings | None = None, *, without: Collection[int] = ()) -> EncodingPlan:
    """Draw rows within the budget and group them; every label comes first, and the candidate labels stay the file's.
    Rows of `without` are not drawn.

    Raises `CapacityError` where not one row fits, or where the budget's keys and values exceed the free memory.
    """
    settings = settings or EncodeSettings()
    budget, limited_by, notes = _budget(task, settings)
    longest = _longest_row(task, budget)
    too_long = tuple(row for row, ids in enumerate(task.row_ids) if len(ids) > longest)
    cut = settings.cuts_long_rows
    lengths = _lengths(task, settings, longest)
    for row in without:
        lengths[row] = longest + 1
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
            f"The block size of {pattern.demonstrations_per_block} is more than the {len(rows)} rows: there is one "
            "block, and nothing is sparse."
        )
    made = EncodingPlan(
        settings=settings,
        pattern=pattern,
        blocks=tuple(blocks),
        rows_total=len(task.pool),
        labels_covered=len({task.pool.demonstrations[row].label for row in rows}),
        labels_total=len(task.pool.labels),
        labels_too_long=len(task.pool.labels) - len(_labels(task, settings, longest)),
        estimate=lambda: 0.0,
        num_bytes=with_spare(tokens) * bytes_per_token(task.model, int8=settings.int8),
        rope_length=task.model.rope.pinned_length(tokens + QUERY_POSITIONS, task.model.max_positions),
        model_signature=task.model.signature,
        limited_by=limited_by,
        too_long=too_long,
        longest_row=longest,
        peak=lambda: 0,
        notes=tuple(notes),
    )
    return costed(task, made)


def under_pattern(task: Task, made: EncodingPlan, name: str) -> EncodingPlan:
    """The plan of the same blocks under one of `settings.SPARSITY_PATTERNS`."""
    settings = made.settings.with_sparsity_pattern(name)
    return costed(task, replace(made, settings=settings, pattern=settings.pattern(len(made.rows))))


def costed(task: Task, made: EncodingPlan) -> EncodingPlan:
    """With what its blocks take under its pattern, reckoned when it is asked for."""
    lengths = [len(block) for block in made.blocks]
    return replace(
        made,
        estimate=lambda: estimated_seconds(task.model, lengths, made.pattern),
        peak=lambda: peak_bytes(task.model, made.blocks, made.pattern, int8=made.settings.int8),
    )


def most_tokens(task: Task, settings: EncodeSettings) -> Limit:
    """The largest budget that a user can ask for: what the file, the model's context and memory hold.

    Unlike the default it keeps no positions free for a query, which reads a part of the pool, and may take any time.
    """
    return min(_bound(task, settings), _of_file(task), key=lambda limit: limit.tokens)


def _bound(task: Task, settings: EncodeSettings) -> Limit:
    """What holds the keys and values of no more tokens than these."""
    memory = tokens_in_memory(task.model, free_memory(task.model.device), int8=settings.int8)
    hard = [Limit(memory, "free memory")]
    if settings.positions == "sequential":
        hard.append(Limit(task.model.max_positions, "the model's context"))
    return min(hard, key=lambda limit: limit.tokens)


def _budget(task: Task, settings: EncodeSettings) -> tuple[int, str, list[str]]:
    if settings.pool_tokens is None:
        found = _automatic(task, settings)
        return found.tokens, found.reason, []
    bound = _bound(task, settings)
    if settings.pool_tokens <= bound.tokens:
        return settings.pool_tokens, "your budget", []
    note = f"{settings.pool_tokens:,} pool tokens were asked for; {bound.reason} holds {bound.tokens:,}."
    if bound.reason != "free memory":
        note += " Local positions lift this limit."
    return bound.tokens, bound.reason, [note]


def _automatic(task: Task, settings: EncodeSettings) -> Limit:
    """The smallest limit; where that is time and it leaves labels out, as much more as covers them."""
    found = limits(task, settings)
    smallest = min(found, key=lambda limit: limit.tokens)
    if not smallest.is_time:
        return smallest
    allowed = min((limit for limit in found if not limit.is_time), key=lambda limit: limit.tokens)
    needed = _covering(task, settings, smallest.tokens, allowed.tokens)
    if needed >= allowed.tokens:
        return allowed
    return smallest if needed <= smallest.tokens else Limit(needed, "one row of every label")


def _covering(task: Task, settings: EncodeSettings, budget: int, allowed: int) -> int:
    """The least budget of at least `budget`, and at most `allowed`, with which every label is drawn that can be."""
    possible = _labels(task, settings, _longest_row(task, allowed))
    while budget < allowed:
        longest = _longest_row(task, budget)
        lengths = _lengths(task, settings, longest)
        rows = label_rows(task.pool, lengths, settings.seed, longest)
        needed = len(task.prompter.prefix_ids) + sum(lengths[row] for row in rows)
        if needed <= budget and len(rows) == len(possible):
            break
        # A label whose rows are all too long asks for a budget that makes them short enough.
        drawn = {task.pool.demonstrations[row].label for row in rows}
        shortest = max((tokens for label, tokens in possible.items() if label not in drawn), default=0)
        budget = max(needed, ROWS_PER_WINDOW * shortest)
    return min(budget, allowed)


def _labels(task: Task, settings: EncodeSettings, longest: int) -> dict[str, int]:
    """Every label that has a row of at most `longest` tokens, and the tokens of its shortest row."""
    shortest: dict[str, int] = {}
    for demonstration, tokens in zip(task.pool.demonstrations, _lengths(task, settings, longest), strict=True):
        if tokens <= longest:
            shortest[demonstration.label] = min(tokens, shortest.get(demonstration.label, tokens))
    return shortest


def _longest_row(task: Task, budget: int) -> int:
    return max(64, min(budget, task.model.max_positions) // ROWS_PER_WINDOW)


def _lengths(task: Task, settings: EncodeSettings, longest: int) -> list[int]:
    """Tokens of every row, cut where long rows are."""
    return [min(len(ids), longest) if settings.cuts_long_rows else len(ids) for ids in task.row_ids]
