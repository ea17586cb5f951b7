"""The app: `build` makes its page over a `Workspace`; nothing is started by importing it."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.server.example import Example
from app.server.workspace import Workspace
from app.tabs.api import create_api
from app.tabs.ask import create_ask_tab
from app.tabs.classify_file import create_classify_file_tab
from app.tabs.data import create_data_tab
from app.tabs.encode import create_encode_tab
from app.tabs.page import CSS as PAGE_CSS
from app.tabs.page import create_page, header_view, strip_view
from app.theme import CSS, make_theme

TITLE = "Dynamic Block-Sparse Attention"
MAX_UPLOAD = "200mb"


def build(workspace: Workspace | None = None) -> gr.Blocks:
    """The page, not launched yet: `build().launch(**launch_options())`. Starts encoding the bundled example."""
    if workspace is None:
        workspace = Workspace()
        workspace.example = Example(workspace)
        workspace.example.start()
    with gr.Blocks(title=TITLE, analytics_enabled=False) as demo:
        page = create_page(workspace)
        with gr.Tabs():
            with gr.Tab("Data", id="data"):
                create_data_tab(page)
            with gr.Tab("Encode", id="encode"):
                create_encode_tab(page)
            with gr.Tab("Ask", id="ask"):
                create_ask_tab(page)
            with gr.Tab("Classify a file", id="classify-file"):
                create_classify_file_tab(page)
        page.bind_last()
        create_api(workspace)

        def attach(session_id: str | None) -> list[Any]:
            """Take up the browser's session, or begin one, and show it as it stands."""
            session = workspace.session(session_id)
            job = workspace.example.job if workspace.example else None
            failed = job.message if job is not None and job.state == "failed" and session.data is None else ""
            shown = [header_view(workspace, session), strip_view(failed), page.beat(session)]
            return [session.id, *shown, *page.render(session)]

        fixed = [page.session_id, page.header, page.strip, page.pulse]
        demo.load(
            attach,
            [page.session_id],
            [*fixed, *page.restored_outputs],
            api_visibility="private",
            show_progress="hidden",
            concurrency_limit=8,
        )
    demo.queue(max_size=64, default_concurrency_limit=4, api_open=False)
    return demo


def launch_options() -> dict[str, Any]:
    """What `launch` needs for this page: looks, limits, and nothing sent away or left behind in the browser."""
    return {
        "theme": make_theme(),
        "css": CSS + PAGE_CSS,
        "show_error": True,
        "run_history": False,
        "enable_monitoring": False,
        "max_file_size": MAX_UPLOAD,
        "footer_links": ["api"],
    }
