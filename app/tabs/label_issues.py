"""On the Data tab: rows whose label may be wrong, looked for when asked, each with what speaks against it.

Knows nothing about how they are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from app.server.jobs import Job
from app.server.label_issues import (
    KIND,
    Search,
    begin_search,
    search_of,
    taught_as,
    teach_suggested,
    write_issues,
)
from app.server.session import Session
from app.server.troubles import SETTINGS
from app.server.workspace import Workspace
from app.tabs.behaviour import BEHAVIOUR, PRESSED
from app.tabs.page import Page, kept_by_page
from app.views import breakable, live_paragraph, muted, progress_bar, scrolling, view
from app.words import count, duration, percent, shortened

if TYPE_CHECKING:
    from dbsa_core.label_issues import LabelIssue

SHOWN = 100
"""Rows; all of them are in the file to take away."""
TEXT_LENGTH = 240
WHAT = (
    "Rows whose label is disputed by classifiers of the other rows, by the rows nearest to them, and by the model, "
    "which answers without having read them."
)

CSS = """
.dbsa.dbsa-issues table.dbsa-table { width: 100%; }
.dbsa.dbsa-issues table.dbsa-table td, .dbsa.dbsa-issues table.dbsa-table thead th { text-align: left; }
.dbsa.dbsa-issues table.dbsa-table td { vertical-align: top; }
.dbsa.dbsa-issues table.dbsa-table tbody th { vertical-align: top; }
.dbsa.dbsa-issues .dbsa-scroll { max-height: 32rem; }
.dbsa.dbsa-issues td.dbsa-issue-text { min-width: 14rem; overflow-wrap: anywhere; }
.dbsa.dbsa-issues td.dbsa-issue-near, .dbsa.dbsa-issues button { white-space: nowrap; }
@media (max-width: 760px) {
  .dbsa.dbsa-issues table.dbsa-table td:not(.dbsa-issue-text) { min-width: 0; }
  .dbsa.dbsa-issues td.dbsa-issue-text { min-width: 8rem; }
  .dbsa.dbsa-issues .dbsa-issue-near { display: none; }
}
"""


def create_label_issues(page: Page) -> None:
    workspace = page.workspace
    gr.Markdown("## Labels that may be wrong")
    with gr.Row():
        start = gr.Button("Look for them", size="sm", scale=0, min_width=160, elem_id="find-issues")
        stop = gr.Button("Stop", size="sm", scale=0, min_width=100, interactive=False, elem_id="stop-issues")
        make = gr.Button("The list as a file", size="sm", scale=0, min_width=160, visible=False, elem_id="make-issues")
    said = gr.HTML(elem_id="issues-said")
    made = gr.File(label="The list", visible=False, interactive=False, elem_id="issues-file")
    listed = gr.HTML(elem_id="label-issues", js_on_load=BEHAVIOUR)
    seen, pressed = kept_by_page(), kept_by_page()
    shown = [start, stop, make, said, made, listed, seen]

    def begin(session: Session) -> Sequence[Any]:
        begin_search(workspace, session)
        return render(workspace, session)

    def halt(session: Session) -> Sequence[Any]:
        workspace.stop(session, KIND)
        return render(workspace, session)

    def write(session: Session) -> Sequence[Any]:
        return [gr.File(value=str(write_issues(workspace, session)), visible=True)]

    def correct(session: Session, place: str) -> Sequence[Any]:
        teach_suggested(workspace, session, int(place) if place.isdecimal() else -1)
        return render(workspace, session)

    def watch(session: Session, seen: str) -> Sequence[Any]:
        return render(workspace, session) if _stand(workspace, session) != seen else [gr.skip() for _ in shown]

    quiet = {"cause": SETTINGS, "show_progress": "hidden"}
    page.on(start.click, begin, [], shown, **quiet)
    page.on(stop.click, halt, [], shown, **quiet)
    page.on(make.click, write, [], [made])
    page.on(listed.submit, correct, [pressed], shown, js=PRESSED, **quiet)
    page.watch(watch, [seen], shown)
    page.restore(shown, lambda session: render(workspace, session))


def render(workspace: Workspace, session: Session) -> list[Any]:
    """Buttons as they can be pressed now, how far it is, no file, the list, and what all that stands for."""
    stand, job, search = _stand(workspace, session), workspace.job(session, KIND), search_of(workspace, session)
    running, there = job is not None and job.active, search is not None and bool(search.issues)
    return [
        gr.Button(value="Look again" if search is not None else "Look for them", interactive=not running),
        gr.Button(value="Stopping" if job is not None and job.stopping else "Stop", interactive=running),
        gr.Button(visible=there and not running),
        said_view(workspace, session, job, search),
        gr.File(value=None, visible=False),  # what was made is of another list
        issues_view(search, session) if search is not None and there else "",
        stand,
    ]


def _stand(workspace: Workspace, session: Session) -> str:
    """Changes whenever what is shown does."""
    job, search = workspace.job(session, KIND), search_of(workspace, session)
    state = f"{job.id}:{job.state}:{job.stopping}" if job is not None else ""
    at = f"{search.what}:{search.done}:{search.total}:{len(search.issues)}" if search is not None else ""
    data = session.data.pool.fingerprint if session.data is not None else ""
    price = "" if job is not None else price_words(workspace, session)
    return f"{data} {state} {at} {hash(session.taught)} {price}"


def said_view(workspace: Workspace, session: Session, job: Job | None, search: Search | None) -> str:
    """What it is about, how far it is, or what it came to."""
    if session.data is None:
        return ""
    if job is None or (search is None and not job.active):
        return view("issues-said", muted(WHAT + price_words(workspace, session)))
    if search is None:
        return live_paragraph("Another file is being looked at; stop that first.")
    if job.state == "failed":
        return live_paragraph(f"They were not looked for: {job.message}")
    if job.active and not search.what:
        return live_paragraph("Waiting for the model.")
    if job.active:
        share = search.done / max(1, search.total)
        so_far = f"; {count(len(search.issues), 'row')} found by now" if search.issues else ""
        return view(
            "progress",
            live_paragraph(f"{search.what}: {search.done:,} of {search.total:,}{so_far}"),
            progress_bar("Labels that may be wrong", share),
        )
    return view("issues-said", live_paragraph(ended_words(search)))


def price_words(workspace: Workspace, session: Session) -> str:
    """What it takes, as far as it is known."""
    model, answer = workspace.loaded(session.model_source), session.answer
    if model is None:
        return ""
    from dbsa_core.label_issues import rows_to_ask  # with the model, and not before it: it loads PyTorch

    rows, same = rows_to_ask(model), answer is not None and answer.setup.task.model is model
    seconds = rows * answer.prediction.seconds["total"] if answer is not None and same else None
    took = f", about {duration(seconds)}" if seconds is not None else ""
    return f" It is asked about {rows:,} rows at most{took}."


def ended_words(search: Search) -> str:
    """What came out, in sentences."""
    if (whole := search.whole) is None:
        asked = f" after the model was asked about {search.done:,} of {search.total:,} rows" if search.asks else ""
        kept = " What is below was found by then." if search.issues else ""
        return f"Stopped{asked}.{kept}"
    return f"{whole.sentence} It took {duration(whole.seconds)}."


def issues_view(search: Search, session: Session) -> str:
    """The rows, the most disputed first."""
    heads = ("Row", "Text", "Label", "The model answers")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    head += '<th scope="col" class="dbsa-issue-near">Nearest rows</th><td></td>'
    body = "".join(_row(place, issue, session) for place, issue in enumerate(search.issues[:SHOWN]))
    table = f'<table class="dbsa-table dbsa-rows"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    more = len(search.issues) - SHOWN
    rest = muted(f"{count(more, 'row')} more stand in the list as a file.") if more > 0 else ""
    return view("issues", scrolling(table, "Labels that may be wrong"), rest)


def _row(place: int, issue: LabelIssue, session: Session) -> str:
    row, taught = issue.demonstration, taught_as(session, issue)
    text = escape(shortened(row.text, TEXT_LENGTH))
    answered = f"{breakable(issue.suggested)} {percent(issue.probability)}"
    nearest = f"{issue.nearest_as_suggested} of {len(issue.nearest)} have that label"
    name = escape(f"Teach {issue.suggested} for row {row.row}")
    act = f'<button type="button" data-event="submit" value="{place}" aria-label="{name}">Teach it</button>'
    if taught is not None:
        act = f"taught: {breakable(taught)}"
    return (
        f'<tr><th scope="row">{row.row:,}</th><td class="dbsa-issue-text">{text}</td>'
        f'<td>{breakable(row.label)}</td><td class="dbsa-issue-answer">{answered}</td>'
        f'<td class="dbsa-issue-near">{nearest}</td><td>{act}</td></tr>'
    )
