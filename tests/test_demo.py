"""The page that is seen without installing."""

from __future__ import annotations

from tools.make_demo import DEMO, demo


def test_the_demo_is_the_example_as_it_would_be_made_now() -> None:
    assert DEMO.read_text(encoding="utf-8") == demo(), "run `PYTHONPATH=. python tools/make_demo.py`"
