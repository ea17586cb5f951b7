"""Rows of a second file, behind a session's own: joined to its data, and encoded as further blocks.

Knows nothing about screens. No block that is encoded is made anew; the pool from before answers until all is done.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from app.server.answered import Encoded
from app.server.data import Data
from app.server.encoding import make_room, put_in_force
from app.server.jobs import Job
from app.server.session import Session
from app.server.workspace import Workspace
from dbsa_core.data import Demonstration, choose_columns, match_labels
from dbsa_core.errors import Cancelled, CapacityError, DataError
from dbsa_core.files.tables import Table
from dbsa_core.interrupt import interruptible
from dbsa_core.stage1.progress import Progress

if TYPE_CHECKING:
    from dbsa_core import Setup


@dataclass(frozen=True)
class Appended:
    """What became of a second file."""

    source: str
    rows: int
    """That were new."""
    encoded: int
    blocks: int
    why: str
    """Why the others are not encoded; "" where all are. They are among the rows that are searched."""


def joined(data: Data, table: Table) -> tuple[Data, list[Demonstration]]:
    """The data with the table's rows behind their own, and the demonstrations that this adds.

    Columns of the same names are the same; those of texts and labels are guessed where the names differ. Labels are
    taken as the data spell them where exactly one fits. Rows are numbered on. Raises `DataError` where the table adds
    nothing, or where with it the data's own rows would be read otherwise.
    """
    own = (data.text_column, data.label_column)
    columns = own if set(own) <= set(map(str, table.frame.columns)) else choose_columns(table, None, None)
    frame = table.frame.rename(columns=dict(zip(columns, own, strict=True)))
    known, cells = list(data.label_names) or list(data.pool.labels), frame[data.label_column].tolist()
    spelled, _ = match_labels([cell or "" for cell in cells], known)
    frame[data.label_column] = [label or None for label in spelled]
    before = data.table
    last = max(before.row_numbers, default=0)
    whole = pd.concat([before.frame, frame], ignore_index=True).astype(object)
    name = f"{data.name} + {table.source}"
    made = replace(
        before,
        frame=whole.where(whole.notna(), None),
        row_numbers=(*before.row_numbers, *(last + number for number in table.row_numbers)),
        notes=(*before.notes, f"Row {last + 1:,} is the first of {table.source}.", *table.notes),
        ragged_rows=(*before.ragged_rows, *(last + number for number in table.ragged_rows)),
        unusable_columns={**table.unusable_columns, **before.unusable_columns},
        source=before.source,
        workbook=None,
        header_row=0,
    )
    whole_data = replace(Data.of(made, *own, names=data.label_names, excluded=data.excluded), name=name)
    rows, count = whole_data.pool.demonstrations, len(data.pool)
    if rows[:count] != data.pool.demonstrations:
        raise DataError(
            f"With the rows of {table.source}, rows of {data.name} would be read otherwise: labels are spelled in "
            "another way there. Join the two into one file, and encode that."
        )
    if len(rows) == count:
        raise DataError(f"{table.source} adds no row: all of its texts and labels stand in {data.name} already.")
    return whole_data, list(rows[count:])


def append_file(workspace: Workspace, session: Session, table: Table) -> Job:
    """Append the rows of a second file to the session's data and pool, in the background; the job's result says what
    became of them. Raises `DataError` where there is no complete pool, and as `joined` does."""
    found, data = workspace.ready(session), session.data
    if found is None or data is None or not found.pool.complete:
        raise DataError("There is no complete pool to append to yet. Press Encode first, and append when it is ready.")
    whole, rows = joined(data, table)
    lessons = session.taught

    def work(job: Job) -> Appended:
        longer, before, longest = found.setup.extended(rows), found.pool, found.setup.plan.longest_row
        task = longer.task
        fitting = [row for row in range(len(data.pool), len(task.pool)) if row not in longer.not_beside]
        why = f"longer than the {longest:,} tokens that a row may take here" if len(fitting) < len(rows) else ""
        done, stopped = _in_steps(workspace, job, longer, fitting)
        pool = done.encoded_pool()
        added = len(pool.blocks) - len(before.blocks)
        known = replace(whole, pool=replace(task.pool, problems=whole.pool.problems))
        with session.lock:
            if session.data is not data:
                raise DataError(f"Other data are in use by now; the rows of {table.source} were appended to nothing.")
            session.data, session.table = known, known.table
            session._task = (task.model, known.pool, task.template), task
            put_in_force(session, Encoded(done, known, found.settings))
            session.set_taught(lessons)
        make_room(workspace, session)
        workspace.announce()
        return Appended(table.source, len(rows), len(pool.rows) - len(before.rows), added, stopped or why)

    return workspace.submit(session, "encode", work)


def _in_steps(workspace: Workspace, job: Job, base: Setup, rows: list[int]) -> tuple[Setup, str]:
    """The setup with as many of those of its rows as could be encoded, and what stopped that."""
    from dbsa_core import append
    from dbsa_core.devices import policy_for

    before = base.encoded_pool()
    size = before.pattern.demonstrations_per_block
    blocks = -(-len(rows) // size)
    grown, done, why = base, 0, ""
    each = before.tokens / max(1, len(before.blocks))
    step = size * max(1, int(policy_for(base.task.model.device).step_tokens / max(1.0, each)))
    job.report(_progress(before.tokens, len(before.blocks), blocks, each, before.seconds))
    while done < len(rows):
        workspace.turnstile.give_way()
        if job.cancelled():
            why = "encoding was stopped"
            break
        chunk = rows[done : done + step]
        pool = grown.encoded_pool()
        tokens = pool.tokens + each * len(chunk) / size
        if tokens * pool.bytes_per_token > workspace.budget_bytes:
            why = f"this server keeps at most {workspace.budget_bytes / 1e6:,.0f} MB of encoded pools"
            break
        try:
            with interruptible(job.cancelled):
                grown = append(grown, chunk)
        except CapacityError as error:
            why = str(error)
            break
        except Cancelled:
            why = "encoding was stopped"
            break
        done += len(chunk)
        pool = grown.encoded_pool()
        if pool.out_of_memory:
            why = pool.out_of_memory
            break
        left = blocks - (len(pool.blocks) - len(before.blocks))
        job.report(_progress(pool.tokens, len(pool.blocks), left, each, pool.seconds))
    return grown, why


def _progress(tokens: int, blocks: int, left: int, each: float, seconds: float) -> Progress:
    return Progress(blocks, blocks + left, tokens, int(tokens + left * each), seconds)
