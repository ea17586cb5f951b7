"""What a page's address holds."""

from __future__ import annotations

from app.server.session import Session
from app.tabs.address import address_view, copied_from, opens, run_of
from tests.app.pages import check_harmless


def test_an_address_names_a_run_and_whose_page_was_duplicated() -> None:
    assert run_of("tab=encode&run=4fBc_-0") == "4fBc_-0"
    assert copied_from("tab=encode&copied=abc") == "abc"
    assert run_of("tab=encode") == run_of("") == copied_from("run=4") == ""


def test_what_a_link_says_stays_text() -> None:
    session = Session("a-visitor", "model")
    evil = run_of("run=%22%3E%3Cscript%3Ealert(1)%3C/script%3E%3Cimg+src%3Dx+onerror%3Dalert(1)%3E")
    assert evil.startswith('"><script>')
    session.look_at(evil)
    check_harmless(address_view(session))


def test_the_page_is_told_what_is_newer() -> None:
    session = Session("a-visitor", "model")
    seen = []
    for run in ("one", "", "two", "one"):
        session.look_at(run)
        seen.append(address_view(session))
    times = [float(view.split('data-at="')[1].split('"')[0]) for view in seen]
    assert times == sorted(times)
    assert [view.split('data-run="')[1].split('"')[0] for view in seen] == ["one", "", "two", "one"]


def test_a_tab_is_opened_by_its_name() -> None:
    assert "Classify a file" in opens("classify-file")
