"""Starting the app: its options, `build`, which makes its page over a `Workspace`, and what Gradio is launched with."""

from __future__ import annotations

import argparse
import ipaddress
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from app.ask.heads import CSS as HEADS_CSS
from app.ask.history import CSS as HISTORY_CSS
from app.ask.inside import CSS as INSIDE_CSS
from app.ask.linked import CSS as LINKED_CSS
from app.ask.style import CSS as ASK_CSS
from app.ask.what_if import CSS as WHAT_IF_CSS
from app.away.style import SAVE_CSS
from app.evaluation.style import CSS as EVALUATION_CSS
from app.explore.style import CSS as EXPLORE_CSS
from app.mask.patterns import CSS as PATTERNS_CSS
from app.mask.style import CSS as MASK_CSS
from app.rows.summary import CSS as TALLY_CSS
from app.rows.table import CSS as ROWS_CSS
from app.server.example import Example
from app.server.models import load_model
from app.server.troubles import MODEL, note
from app.server.workspace import EMBEDDED, Workspace
from app.tabs.address import ARRIVE, TABS, copied_from, run_of, tells
from app.tabs.api import create_api
from app.tabs.ask import create_ask_tab
from app.tabs.classify_file import create_classify_file_tab
from app.tabs.data import create_data_tab
from app.tabs.encode import create_encode_tab
from app.tabs.evaluate import create_evaluate_tab
from app.tabs.label_issues import CSS as ISSUES_CSS
from app.tabs.method import CSS as METHOD_CSS
from app.tabs.model import CSS as MODEL_CSS
from app.tabs.page import CSS as PAGE_CSS
from app.tabs.page import create_page
from app.tabs.programs import CSS as PROGRAMS_CSS
from app.tabs.taught import CSS as TAUGHT_CSS
from app.theme import CSS, make_theme
from dbsa_core.folders import default_cache_folder
from dbsa_core.quiet import hush_libraries, hush_warnings

_CREATE = {
    "ask": create_ask_tab,
    "data": create_data_tab,
    "encode": create_encode_tab,
    "classify-file": create_classify_file_tab,
    "evaluate": create_evaluate_tab,
}
TITLE = "Dynamic Block-Sparse Attention"
MAX_UPLOAD = "200mb"
PROGRAM = "dbsa app" if Path(sys.argv[0]).stem == "dbsa" else None
"""As help names it; None: after the script."""


def build(workspace: Workspace) -> gr.Blocks:
    """The page, not launched yet: `build(workspace).launch(**launch_options())`."""
    with gr.Blocks(title=TITLE, analytics_enabled=False) as demo:
        page = create_page(workspace)
        with page.tabs:
            for tab, name in TABS.items():
                with gr.Tab(name, id=tab) as opened:
                    _CREATE[tab](page)
                opened.select(None, None, None, js=tells(tab), api_visibility="private")
        page.bind_last()
        create_api(workspace)

        def attach(session_id: str | None, arrival: str) -> list[Any]:
            """Take up the browser tab's session, or begin one, and show it, or the run that its address names."""
            copied = copied_from(arrival)
            session = workspace.copy_session(session_id or "", copied) if copied else workspace.session(session_id)
            session.look_at(run_of(arrival))
            job = workspace.example.job if workspace.example else None
            if job is not None and job.state == "failed" and session.data is None:
                note(session, MODEL, job.message)
            return [session.id, str(session.asked_for), *page.state(session), *page.render(session)]

        demo.load(
            None, None, [page.session_id, page.arrival], js=ARRIVE, api_visibility="private", show_progress="hidden"
        ).then(
            attach,
            [page.session_id, page.arrival],
            [page.session_id, page.seen, *page.fixed, *page.restored_outputs],
            api_visibility="private",
            show_progress="hidden",
            queue=False,
        )
    demo.queue(max_size=64, default_concurrency_limit=4, api_open=False)
    return demo


STYLES = (CSS, PAGE_CSS, ASK_CSS, MASK_CSS, LINKED_CSS, HEADS_CSS, INSIDE_CSS, WHAT_IF_CSS, HISTORY_CSS, TAUGHT_CSS,
          ISSUES_CSS, METHOD_CSS, MODEL_CSS, ROWS_CSS, TALLY_CSS, EXPLORE_CSS, PROGRAMS_CSS, EVALUATION_CSS, SAVE_CSS,
          PATTERNS_CSS)  # fmt: skip
"""What stands later wins."""


def launch_options() -> dict[str, Any]:
    """What `launch` needs for this page: looks, limits, and nothing sent away or left behind in the browser."""
    return {
        "theme": make_theme(),
        "css": "".join(STYLES),
        "show_error": True,
        "run_history": False,
        "enable_monitoring": False,
        "max_file_size": MAX_UPLOAD,
        "footer_links": [],
    }


def free_port() -> int:
    """Of this computer. Gradio's own search may meet that of another process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


@contextmanager
def served(workspace: Workspace, demo: gr.Blocks) -> Iterator[str]:
    """The address of `build(workspace)` on this computer, for as long as it is needed: for scripts and tests."""
    _, url, _ = demo.launch(
        server_name="127.0.0.1", server_port=free_port(), prevent_thread_lock=True, quiet=True, inbrowser=False,
        **launch_options(),
    )  # fmt: skip
    try:
        yield url
    finally:
        workspace.jobs.close()
        demo.close(verbose=False)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Serve the app, then open the address that is printed.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this computer only)")
    parser.add_argument("--port", type=int, default=None, help="port (default: 7860, or the next that is free)")
    parser.add_argument(
        "--model",
        default=EMBEDDED,
        metavar="SOURCE",
        help="hub id, folder or .gguf file; with @int8 or @nf4 behind it weights take 8 or 4 bits",
    )
    parser.add_argument(
        "--allow-model",
        action="append",
        default=[],
        metavar="SOURCE",
        help="a further model that pages may load where --host is not the loopback; may be given several times",
    )
    parser.add_argument(
        "--pools",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="where pools are saved (default: in the user's cache folder, and nowhere where others can reach the app)",
    )
    return parser.parse_args(arguments)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _load_quietly(source: str) -> Any:
    hush_libraries()
    return load_model(source)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the app until it is stopped, with the options of one command line (by default the process's)."""
    options = parse(arguments)
    hush_warnings()
    alone = is_loopback(options.host)
    allowed = None if alone and not options.allow_model else [EMBEDDED, *options.allow_model]
    pools = options.pools or (default_cache_folder() / "pools" if alone else None)
    workspace = Workspace(default_model=options.model, allowed_models=allowed, load=_load_quietly, pools=pools)
    workspace.example = Example(workspace)
    listening = threading.Event()
    workspace.example.start(after=listening)
    demo = build(workspace)
    demo.launch(server_name=options.host, server_port=options.port, prevent_thread_lock=True, **launch_options())
    listening.set()
    # So that the end of a service is one like any other, with nothing left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    demo.block_thread()
