"""The app on a free port, in this process, for tests that speak to it from outside."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from app import launch
from app.server.workspace import Workspace

SOON = 20_000
"""Milliseconds."""
NEVER_COMES = "nobody/never-comes"
"""A model whose loading does not end, as of a hub that does not answer."""
GRADIO_ON_PANDAS_3 = [
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting'"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
]
"""Gradio's queue counts its events with calls that pandas 3 has deprecated."""


@contextmanager
def served(workspace: Workspace) -> Iterator[str]:
    """The address of the page over `workspace`."""
    demo = launch.build(workspace)
    with ExitStack() as stack:
        with warnings.catch_warnings():
            # Gradio's own server thread, not ours.
            warnings.simplefilter("ignore")
            url = stack.enter_context(launch.served(workspace, demo))
        yield url
