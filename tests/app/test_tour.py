"""The tour of `docs/TOUR.md`: a browser follows it word for word, and its pictures and links are there."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page

from tests.app.serving import GRADIO_ON_PANDAS_3
from tools.tour import PICTURES, TOUR, Walk, follow, instructions

pytestmark = GRADIO_ON_PANDAS_3


@pytest.mark.browser
def test_the_tour_leads_where_it_says(page: Page) -> None:
    follow(page)


def test_its_pictures_and_links_are_there() -> None:
    text = TOUR.read_text(encoding="utf-8")
    shown = {words for kind, words in instructions(text) if kind == "picture"}
    assert shown == {path.stem for path in PICTURES.glob("*.png")}
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) == len(shown) + 4
    assert all((TOUR.parent / link).is_file() for link in links)


def test_a_walk_keeps_to_the_page() -> None:
    text = (
        "Start.\n## 1. Go\nPress **Go\non**, type `this` and *read*.\n![p](tour/end.png)\n## Now your own\n**Not this**"
    )
    assert instructions(text) == [("press", "Go on"), ("type", "this"), ("read", "read"), ("picture", "end")]
    walk = Walk(None, text)  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match=r"the walk goes on with .*picture.*, the page with .*Go on"):
        walk.picture("end")
    with pytest.raises(AssertionError, match=r"the page goes on with \('press', 'Go on'\)"):
        walk.ends()
