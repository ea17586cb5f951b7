"""Stories of corrections in a session: read at once, encoded once they fill a block, taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.server.answered import Answer
from app.server.asking import classify_text
from app.server.encoding import begin_encoding, pool_state
from app.server.in_force import outdated
from app.server.session import NEAREST, Session
from app.server.stamps import stamp
from app.server.teaching import forget, teach, with_lessons, write_file
from app.server.workspace import Workspace
from app.tabs.answer import milestone, render_views
from app.tabs.header import header_view
from dbsa_core.data import build_pool
from dbsa_core.errors import DataError
from dbsa_core.files.tables import read_table
from tests.app.pages import IMAGE, SCRIPT, check_harmless, text_of
from tests.app.server.pools import ROWS, SOON, encoded, write_csv

QUERY = "what about a brick"


def ask(workspace: Workspace, session: Session, query: str = QUERY) -> Answer:
    return classify_text(workspace, session, query, compare=False)


def shown(workspace: Workspace, session: Session) -> str:
    return text_of(render_views(workspace, session)[1])


def settled(workspace: Workspace, session: Session) -> None:
    job = workspace.job(session, "settle")
    assert job is not None
    assert job.wait(SOON)
    assert job.state == "done", job.message


@pytest.mark.parametrize("pool", [True, False], ids=["by the pool", "by similar rows alone"])
def test_a_correction_is_read_and_holds_from_the_next_query_on(
    workspace: Workspace, session: Session, pool: bool
) -> None:
    if pool:
        encoded(workspace, session)
    before = ask(workspace, session)
    assert "taught" not in shown(workspace, session)
    lesson = teach(workspace, session, f" {QUERY} ", "Wall Stone")
    assert (lesson.text, lesson.label) == (QUERY, "Wall Stone")
    assert outdated(workspace, session) == "From 0 rows that you taught; now 1."
    after = ask(workspace, session)
    assert outdated(workspace, session) == ""
    assert (after.prediction.label, after.prediction.method == NEAREST) == ("Wall Stone", not pool)
    assert after.prediction.labels == (*sorted((*before.prediction.labels, "Wall Stone")),)
    page = shown(workspace, session)
    assert "Wall Stone As you taught the model" in page
    assert "Uses 1 row that you taught." in page
    assert "This text stands in the file" not in page
    assert "taught by you" in text_of(render_views(workspace, session)[2])
    assert dict(stamp(after))["Taught"] == "1 row"
    assert dict(stamp(after))["Data"] == "train.csv, 36 rows"
    if pool:
        assert after.setup.encoded is before.setup.encoded, "nothing was encoded"
    another = ask(workspace, session, "what about the brick then")
    assert len(ROWS) in another.prediction.demonstration_rows
    assert another.prediction.taught is None


def test_the_page_tells_of_a_correction_and_offers_the_labels_most_probable_first(
    workspace: Workspace, session: Session
) -> None:
    encoded(workspace, session)
    found = ask(workspace, session).prediction
    page, before = render_views(workspace, session)[1], milestone(workspace, session)
    assert "Wrong? Choose the right label" in page
    places = [page.index(f'<option value="{label}">') for label in found.probabilities]
    assert places == sorted(places)
    teach(workspace, session, QUERY, "brick")
    assert milestone(workspace, session) != before
    assert "36 rows + 1 taught" in text_of(header_view(workspace, session))
    assert '<option value="brick">' in render_views(workspace, session)[1]
    answer = ask(workspace, session)
    session.look_at(answer.id[:-1] + "x")
    session.viewing = answer.id
    assert "Wrong?" not in render_views(workspace, session)[1], "a run is read-only"


def test_what_was_taught_is_harmless(workspace: Workspace, session: Session) -> None:
    ask(workspace, session)
    teach(workspace, session, SCRIPT, IMAGE)
    ask(workspace, session, SCRIPT)
    for page in render_views(workspace, session)[:4]:
        check_harmless(page)


def test_a_text_taught_anew_takes_the_place_of_what_was_taught(workspace: Workspace, session: Session) -> None:
    for label in ("fire", "stone"):
        teach(workspace, session, QUERY.upper() if label == "stone" else QUERY, label)
    assert [(row.text, row.label) for row in session.taught] == [(QUERY.upper(), "stone")]
    assert ask(workspace, session).prediction.label == "stone"


def test_what_is_taken_back_is_not_read_and_its_label_is_no_candidate(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    before = ask(workspace, session).prediction
    teach(workspace, session, QUERY, "brick")
    ask(workspace, session)
    forget(session, QUERY)
    assert outdated(workspace, session) == "From 1 row that you taught; now 0."
    after = ask(workspace, session).prediction
    assert (after.labels, after.taught) == (before.labels, None)
    assert after.scores.log_probs == pytest.approx(before.scores.log_probs)
    with pytest.raises(DataError, match="not among the rows that were taught"):
        forget(session, QUERY)


def test_what_cannot_be_taught_is_refused_and_changes_nothing(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    for text, label, said in (
        (QUERY, " ", "The label is empty"),
        ("", "fire", "The text is empty"),
        ("brick " * 300, "fire", r"tokens long, label included, and an example may take \d+ here"),
    ):
        with pytest.raises(DataError, match=said):
            teach(workspace, session, text, label)
    assert session.taught == ()
    nobody = workspace.session(None)
    with pytest.raises(DataError, match="There are no data yet"):
        teach(workspace, nobody, QUERY, "fire")


def test_rows_that_fill_a_block_are_encoded_behind_the_pool(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    base, others = workspace.ready(session), workspace.session(None)
    assert base is not None
    for number in range(5):
        teach(workspace, session, f"{QUERY} {number}", "brick")
        last = ask(workspace, session)
        assert (workspace.job(session, "settle") is not None) == (number >= 3), "a block is four rows"
    settled(workspace, session)
    said = "From rows that you taught, one by one; now they are encoded."
    assert outdated(workspace, session) in (said, "")  # the fifth may have been asked before or after
    now = ask(workspace, session)
    assert now.setup.blocks[-1].rows == tuple(range(len(ROWS), len(ROWS) + 4))
    assert now.setup.loose == (len(ROWS) + 4,)
    assert (now.base, now.setup.blocks[: len(base.setup.blocks)]) == (base.setup, base.setup.blocks)
    assert outdated(workspace, session) == ""
    assert pool_state(workspace, session).kind == "ready", "nothing is to be encoded anew"
    assert last.taught[:4] == now.taught[:4]
    assert workspace.ready(session) is base
    assert others.taught == ()
    # One of the block is taken back: all others are read one by one again, and encoded in a block of their own.
    forget(session, f"{QUERY} 1")
    assert len(ask(workspace, session).setup.loose) == 4
    settled(workspace, session)
    again = ask(workspace, session)
    assert len(again.setup.blocks) == len(base.setup.blocks) + 1
    assert {row.text for row in again.taught} == {f"{QUERY} {number}" for number in (0, 2, 3, 4)}
    assert again.setup.loose == ()


def test_one_pages_lessons_are_nobody_elses(workspace: Workspace, session: Session, tmp_path: Path) -> None:
    encoded(workspace, session)
    other = workspace.copy_session("another-page-of-mine", session.id)
    teach(workspace, session, QUERY, "brick")
    assert other.taught == ()
    assert "brick" not in ask(workspace, other).prediction.labels
    third = workspace.copy_session("a-third-page-of-mine", session.id)
    assert [row.label for row in third.taught] == ["brick"]
    forget(session, QUERY)
    assert [row.label for row in third.taught] == ["brick"]


def test_lessons_follow_the_names_of_labels_and_wait_for_their_own_data(
    workspace: Workspace, session: Session, tmp_path: Path
) -> None:
    assert session.data is not None
    table = session.data.table
    teach(workspace, session, QUERY, "fire")
    teach(workspace, session, f"{QUERY} too", "brick")
    workspace.set_data(session, table, names={"fire": "flames"})
    assert [row.label for row in session.taught] == ["flames", "brick"]
    elsewhere = read_table(write_csv(tmp_path / "other.csv", [("one", "x"), ("two", "y")]))
    workspace.set_data(session, elsewhere)
    assert session.taught == ()
    workspace.set_data(session, read_table(tmp_path / "train.csv"))
    assert [row.label for row in session.taught] == ["fire", "brick"], "the same data again"


def test_the_file_comes_with_the_rows_that_were_taught(workspace: Workspace, session: Session) -> None:
    with pytest.raises(DataError, match="Nothing was taught yet"):
        write_file(workspace, session)
    assert session.data is not None
    workspace.set_data(session, session.data.table, names={"fire": "flames"})
    teach(workspace, session, QUERY, "flames")
    teach(workspace, session, 'a "brick", then', "brick")
    path = write_file(workspace, session)
    assert path.name == "train-taught.csv"
    rows = [(row.text, row.label) for row in build_pool(read_table(path)).demonstrations]
    assert rows == [*ROWS, (QUERY, "fire"), ('a "brick", then', "brick")]


def test_a_pool_encoded_anew_is_read_with_what_was_taught(workspace: Workspace, session: Session) -> None:
    encoded(workspace, session)
    for number in range(4):
        teach(workspace, session, f"{QUERY} {number}", "brick")
    ask(workspace, session)
    settled(workspace, session)
    session.settings = type(session.settings)(pool_tokens=1500, block_size=3)
    assert begin_encoding(workspace, session).wait(SOON)
    found = workspace.ready(session)
    assert found is not None
    assert session.settled is None
    assert len(with_lessons(session, found.setup).loose) == 4
    ask(workspace, session)
    settled(workspace, session)
    assert len(ask(workspace, session).setup.blocks) == len(found.setup.blocks) + 1
