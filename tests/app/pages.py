"""Looking at HTML that a view made: its text, and that no user text in it is HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser

SCRIPT, IMAGE = "<script>alert(1)</script>", "<img src=x onerror=alert(1)>"
ROWS = [
    ("card lost", "lost_card"),
    ("my card late", "card_late"),
    (SCRIPT + " card", "refund"),
    ("card", IMAGE),
    ("refund it", "refund"),
    ("my cash", "refund"),
    ("my card is lost", "lost_card"),
    ("card here", "card_late"),
    ("where is it", "card_late"),
    ("no refund", "refund"),
]
"""Texts and labels, two of which are evil."""


class Tags(HTMLParser):
    """Which tags and attributes a page has."""

    def __init__(self, page: str):
        super().__init__()
        self.seen: list[str] = []
        self.opened: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append((tag, attrs))
        self.seen += [tag, *(name for name, _ in attrs)]
        self.open += [tag] if tag not in ("wbr", "br", "input") else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_harmless(page: str) -> None:
    assert SCRIPT not in page
    assert IMAGE not in page
    tags = Tags(page)
    assert not tags.open
    assert not {"script", "img", "iframe", "link"} & set(tags.seen)
    assert not [name for name in tags.seen if name.startswith("on")]


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", page)).strip()
