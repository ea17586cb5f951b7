"""Start the app: `python app.py`, then open the address that it prints."""

from __future__ import annotations

import argparse
import ipaddress
import os

# Read by Gradio when it is imported.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from app import build, launch_options
from app.server.example import Example
from app.server.workspace import EMBEDDED, Workspace
from dbsa_core.quiet import hush_libraries


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this computer only)")
    parser.add_argument("--port", type=int, default=None, help="port (default: 7860, or the next that is free)")
    parser.add_argument("--model", default=EMBEDDED, metavar="SOURCE", help="hub id, folder or .gguf file")
    parser.add_argument(
        "--allow-model",
        action="append",
        default=[],
        metavar="SOURCE",
        help="a further model that pages may load where --host is not the loopback; may be given several times",
    )
    return parser.parse_args(arguments)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main() -> None:
    options = parse()
    hush_libraries()
    allowed = None if is_loopback(options.host) and not options.allow_model else [EMBEDDED, *options.allow_model]
    workspace = Workspace(default_model=options.model, allowed_models=allowed)
    workspace.example = Example(workspace)
    workspace.example.start()
    build(workspace).launch(server_name=options.host, server_port=options.port, **launch_options())


if __name__ == "__main__":
    main()
