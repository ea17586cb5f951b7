"""On the Encode tab: by which way queries are answered, as tuned for the file, by default, or as in the paper; what
tuning chose, what else it tried, and its settings as a file.

Knows nothing about how settings are tuned.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.server.jobs import Job
from app.server.session import Session
from app.server.troubles import SETTINGS
from app.server.tuning import (
    KIND,
    Asked,
    TunedFor,
    begin_tuning,
    choose_way,
    take_file,
    tuned_now,
    way_of,
    write_tuned,
)
from app.server.workspace import Workspace
from app.tabs.page import Page, kept_by_page
from app.views import live_paragraph, muted, progress_bar, scrolling, view
from app.words import count, duration

if TYPE_CHECKING:
    from dbsa_core.tuning import Tuned

WAYS = [
    ("Best for this file (tuned)", "tuned"),
    ("Default", "default"),
    ("As in the paper", "paper"),
    ("As set below", "own"),
]

CSS = """
.dbsa.dbsa-tried table.dbsa-table td:not(:first-child) { white-space: nowrap; }
.dbsa.dbsa-tried table.dbsa-table td, .dbsa.dbsa-tried table.dbsa-table th { text-align: left;
  vertical-align: baseline; }
.dbsa.dbsa-tried table.dbsa-table tbody th { white-space: normal; min-width: 8rem; }
.dbsa.dbsa-tried table.dbsa-table thead th { white-space: nowrap; word-break: keep-all; overflow-wrap: normal; }
.dbsa.dbsa-tried table.dbsa-table small { display: block; color: var(--dbsa-muted); font-weight: 400; }
.dbsa.dbsa-tried tr.dbsa-chosen th, .dbsa.dbsa-tried tr.dbsa-chosen td { font-weight: 600; }
.dbsa.dbsa-tried .dbsa-scroll { max-height: 24rem; }
"""


def create_method(page: Page) -> None:
    workspace = page.workspace
    way = gr.Radio(WAYS, value="default", label="Method", elem_id="method")
    said = gr.HTML(elem_id="tuned-said")
    with gr.Row():
        again = gr.Button("Tune again", size="sm", min_width=90, visible=False, elem_id="tune-again")
        stop = gr.Button("Stop", size="sm", min_width=90, variant="stop", visible=False, elem_id="stop-tuning")
        make = gr.Button("Settings as a file", size="sm", min_width=130, visible=False, elem_id="make-settings")
        given = gr.UploadButton(
            "Use a file of settings", size="sm", min_width=150, file_types=[".json"], elem_id="settings-file"
        )
    made = gr.File(label="The settings", visible=False, interactive=False, elem_id="settings-made")
    with gr.Accordion("What was tried", open=False, visible=False, elem_id="tried") as panel:
        tried = gr.HTML()
    seen = kept_by_page()
    shown = [way, said, again, stop, make, made, panel, tried, seen]

    def rendered(session: Session) -> Sequence[Any]:
        return render(workspace, session)

    def choose(session: Session, chosen: str) -> Sequence[Any]:
        choose_way(workspace, session, chosen)
        return rendered(session)

    def begin(session: Session) -> Sequence[Any]:
        begin_tuning(workspace, session)
        return rendered(session)

    def halt(session: Session) -> Sequence[Any]:
        workspace.stop(session, KIND)
        return rendered(session)

    def write(session: Session) -> Sequence[Any]:
        return [gr.File(value=str(write_tuned(workspace, session)), visible=True)]

    def take(session: Session, path: str) -> Sequence[Any]:
        notes = take_file(workspace, session, Path(path))
        found = list(rendered(session))
        found[1] += "".join(map(muted, notes))
        return found

    def watch(session: Session, before: str) -> Sequence[Any]:
        """The choice is left to whoever is making it, unless something else was taken up."""
        now = stand(workspace, session)
        if now == before:
            return [gr.skip() for _ in shown]
        found = list(rendered(session))
        if now.split("\n")[0] == before.split("\n")[0]:
            found[0] = gr.skip()
        return found

    quiet: dict[str, Any] = {"cause": SETTINGS, "show_progress": "hidden"}
    page.on(way.input, choose, [way], shown, refused=rendered, **quiet)
    page.on(again.click, begin, [], shown, **quiet)
    page.on(stop.click, halt, [], shown, **quiet)
    page.on(make.click, write, [], [made])
    page.on(given.upload, take, [given], shown, refused=rendered, **quiet)
    page.watch(watch, [seen], shown)
    page.restore(shown, rendered)


def render(workspace: Workspace, session: Session) -> list[Any]:
    """All of it, as the session has it."""
    job, tuned = workspace.job(session, KIND), tuned_now(session)
    running, there = job is not None and job.active, tuned is not None
    found = tuned.found if tuned is not None and tuned.found is not None and tuned.found.rows else None
    return [
        "tuned" if running else way_of(session),
        said_view(workspace, session, job, tuned),
        gr.Button(visible=there and not running),
        gr.Button(value="Stopping" if job is not None and job.stopping else "Stop", visible=running),
        gr.Button(visible=there and not running),
        gr.File(value=None, visible=False),  # what was made is of other settings
        gr.Accordion(visible=found is not None),
        tried_view(found) if found is not None else "",
        stand(workspace, session),
    ]


def stand(workspace: Workspace, session: Session) -> str:
    """Two lines: by which way queries are answered, and all else that is shown."""
    job, tuned = workspace.job(session, KIND), tuned_now(session)
    running = job is not None and job.active
    state = f"{job.id}:{job.state}:{job.stopping}:{job.progress}" if job is not None else ""
    way = "tuned" if running else way_of(session)
    ready = workspace.ready(session) is not None
    return f"{way} {session.retuned}\n{state} {id(tuned) if tuned else 0} {ready}"


def said_view(workspace: Workspace, session: Session, job: Job | None, tuned: TunedFor | None) -> str:
    """What is under way; what was chosen; or what there is to do, and what that takes."""
    if job is not None and job.active:
        if not isinstance(job.progress, Asked):
            return live_paragraph("Tuning for this file: getting ready.")
        done, total = job.progress.done, job.progress.total
        so_far = f"Tuning for this file: {job.progress.what}, {done:,} of {total:,} answers at most."
        return view("progress", live_paragraph(so_far), progress_bar("Tuning", done / max(1, total)))
    if tuned is not None:
        told = tuned.found.sentence if tuned.found is not None else _from_file(tuned)
        helps = (
            " A reject option makes it better still: “Texts that fit no label” below."
            if _may_reject(tuned, session)
            else ""
        )
        return view("tuned-said", live_paragraph(told + helps), *map(muted, tuned.found.notes if tuned.found else ()))
    if workspace.ready(session) is None:
        return muted("“Best for this file” is tuned once a pool is encoded.")
    return muted(price_words(workspace, session))


def _from_file(tuned: TunedFor) -> str:
    said = str(tuned.settings.evidence.get("sentence", ""))
    return f"From a file of settings. {said}"


def _may_reject(tuned: TunedFor, session: Session) -> bool:
    return tuned.settings.reject and not session.rejects


def price_words(workspace: Workspace, session: Session) -> str:
    """What tuning takes."""
    from dbsa_core.tuning import BUDGET_SECONDS, tuned  # with the model, and not before it: it loads PyTorch
    from dbsa_core.validation import rows_for

    pool = workspace.ready(session)
    assert pool is not None
    rows = min(rows_for(pool.setup), len(pool.setup.task.pool) // 3)
    if rows < tuned.LEAST_ROWS:
        return (
            f"“Best for this file” takes what did best on other files: the {count(rows, 'row')} that could be asked "
            "about here are too few to choose by."
        )
    return (
        f"“Best for this file” asks about up to {count(rows, 'row')} of the file in several ways, which takes "
        f"{duration(BUDGET_SECONDS)} at most, and chooses by the answers."
    )


def tried_view(found: Tuned) -> str:
    """Every way that was tried, the most accurate first."""
    optimal = set(found.frontier)
    order = sorted(range(len(found.candidates)), key=lambda at: _place(found, at))
    rows = "".join(_row(found, at, at in optimal) for at in order)
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("Answered by", "Right", "A query"))
    table = f'<table class="dbsa-table"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    about = muted(
        "Right with 95 % intervals. Those marked “frontier” no other one beats in accuracy or time without being worse "
        f"in the other. Each was asked about {count(found.rows, 'row')}, if no fewer are said."
    )
    return view("tried", scrolling(table, "What was tried"), about)


def _place(found: Tuned, at: int) -> tuple[bool, float]:
    each = found.candidates[at]
    return not each.complete, -each.accuracy.value if len(each.right) else 0.0


def _row(found: Tuned, at: int, optimal: bool) -> str:
    each = found.candidates[at]
    words = found.roles(at)[-1:]
    words += ["frontier"] if optimal else []
    words += [f"asked about {len(each.right):,}"] if not each.complete else []
    took = "" if each.latency is None else duration(each.latency)
    mark = ' class="dbsa-chosen"' if at == found.chosen else ""
    right, found_in = each.accuracy, ""
    if len(each.right):
        found_in = f"{right.value:.1%}<small>{right.low:.1%} to {right.high:.1%}</small>"
    about = f"<small>{', '.join(words)}</small>" if words else ""
    return f'<tr{mark}><th scope="row">{escape(each.name)}{about}</th><td>{found_in}</td><td>{took}</td></tr>'
