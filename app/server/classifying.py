"""A session's file of texts: classified in the background, corrected row by row, handed back.

Knows nothing about Gradio.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dbsa_core as dbsa
from app.server.answered import Encoded
from app.server.asking import wait_until_ready
from app.server.batch import Classified, Rows, classify_rows
from app.server.data import Data
from app.server.handing_back import hand_back
from app.server.jobs import Job
from app.server.rejecting import judging, option_in_force
from app.server.session import Session
from app.server.teaching import teach, with_lessons
from app.server.workspace import Workspace
from dbsa_core.data import read_queries
from dbsa_core.errors import DataError, DBSAError
from dbsa_core.files.tables import Table
from dbsa_core.tested import column_of_labels, labels_of

if TYPE_CHECKING:
    from dbsa_core.methods import Method
    from dbsa_core.settings import QuerySettings


def classify_the_file(
    workspace: Workspace,
    session: Session,
    text_column: str | None,
    label_column: str | None = None,
    *,
    spreadsheet_safe: bool = False,
) -> Job:
    """Classify every row of the session's file of queries, in the background, with what is taught meanwhile.

    The job's progress, and its result, is a `Classified`. `label_column`: of right labels, to measure by.
    """
    table = session.queries
    if table is None:
        raise DataError("There is no file to classify yet; upload one.")
    texts = read_queries(table, text_column)
    pool = wait_until_ready(workspace, session)
    settings, name = session.query_settings, session.method_name()
    read = with_lessons(session, pool.setup)
    fitted = judging(session, read, settings, dbsa.make_method(name, settings).fit(read))
    labels, names = pool.data.pool.labels, pool.data.label_names
    gold = labels_of(table, label_column, labels, names) if label_column else []
    rows = Rows(table, text_column or guess_text_column(table) or "", texts, label_column, gold)
    found = Classified(rows, pool.data.pool, _used(session, pool, fitted, settings))
    if (option := option_in_force(session, read, settings, fitted)) is not None:
        found.used["reject"] = {"threshold": option.threshold, "out_of_scope": option.out_of_scope, "rows": option.rows}

    def method() -> Method:
        """Fitted to what is taught by now, as long as the session's data are those."""
        nonlocal read, fitted
        if session.has_data(pool.setup.task.pool) and (now := with_lessons(session, pool.setup)) is not read:
            read = now
            fitted = judging(session, read, settings, dbsa.make_method(name, settings).fit(read))
            found.used["taught_rows"] = len(session.taught)
        return fitted

    def work(job: Job) -> Classified:
        job.report(found)
        classify_rows(found, method, cancelled=job.cancelled, give_way=workspace.turnstile.give_way)
        write(workspace, found, spreadsheet_safe=spreadsheet_safe)
        return found

    return workspace.submit(session, "classify_file", work)


def classified(workspace: Workspace, session: Session) -> Classified | None:
    """The session's file with the answers that there are so far."""
    job = workspace.job(session, "classify_file")
    return job.progress if job is not None and isinstance(job.progress, Classified) else None


def write(workspace: Workspace, found: Classified, *, spreadsheet_safe: bool) -> None:
    """Make the files to take away; where that fails, the answers stay and say so."""
    written = None
    while written is not found.corrected:  # a label may be taught meanwhile
        written = found.corrected
        try:
            found.files, found.left_behind = hand_back(found, workspace.folder, spreadsheet_safe=spreadsheet_safe)
            found.unwritten = ""
        except DBSAError as error:
            found.files, found.unwritten = [], str(error)


def correct_row(
    workspace: Workspace, session: Session, row: int, label: str, *, spreadsheet_safe: bool = False
) -> None:
    """Teach the label of a row of the session's file, by its place from 0; all rows of that text have it then."""
    found, job = classified(workspace, session), workspace.job(session, "classify_file")
    if found is None or not 0 <= row < found.done:
        raise DataError("This row is not among those that were classified; classify the file again.")
    if not session.has_data(found.pool):
        now = session.data.name if session.data is not None else "nothing"
        raise DataError(
            f"The file was classified by {found.used['data']['name']}, and {now} is in use now. To teach a label, use "
            "that file again, or classify this one again."
        )
    lesson = teach(workspace, session, found.rows.texts[row], label)
    found.correct(lesson.text, lesson.label)
    if job is not None and not job.active:
        write(workspace, found, spreadsheet_safe=spreadsheet_safe)


def guess_text_column(table: Table) -> str | None:
    """The column whose cells `read_queries` would take by itself; None where it cannot tell."""
    try:
        texts = read_queries(table)
    except DataError:
        return None
    return next((str(name) for name in table.frame.columns if _cells(table, str(name)) == texts), None)


def guess_gold_column(table: Table, text_column: str | None, data: Data | None) -> str | None:
    """The column that holds labels of the data; None where there is none (see `column_of_labels`)."""
    if data is None:
        return None
    labels, names = data.pool.labels, data.label_names
    return column_of_labels(table, labels, names, but=text_column, first=data.label_column)


def _cells(table: Table, column: str) -> list[str] | None:
    try:
        return read_queries(table, column)
    except DataError:
        return None


def _used(session: Session, pool: Encoded, method: Method, settings: QuerySettings) -> dict[str, Any]:
    """All that answers are made of, as plain values."""
    encoded, pattern = pool.pool, pool.pool.pattern
    return {
        "made_by": f"DBSA {dbsa.__version__}",
        "begun": datetime.now().astimezone().isoformat(timespec="seconds"),
        "model": pool.setup.task.model.name,
        "data": {"name": pool.data.name, "rows": len(pool.data.pool), "labels": len(pool.data.pool.labels)},
        "method": {"name": method.name, "title": method.title, "may_read": method.may_read},
        "settings": {name: value for name, value in asdict(settings).items() if name in method.uses},
        "pool": {
            "rows": len(encoded.rows),
            "blocks": len(encoded.blocks),
            "blocks_planned": encoded.blocks_planned,
            "tokens": encoded.tokens,
            "seconds": round(encoded.seconds, 3),
            **asdict(pattern),
            "seed": pool.settings.seed,
            "long_rows": pool.settings.long_rows,
            "precision": pool.settings.pool_precision,
        },
        "template": asdict(pool.template),
        "taught_rows": len(session.taught),
    }
