"""Stories of comparisons: any registered methods, a few at once, each with its price; and measuring them again."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from app.server.answered import Answer
from app.server.asking import classify_text
from app.server.comparing import (
    AT_MOST,
    MORE,
    Stand,
    choose,
    chosen,
    compare_with,
    estimate,
    measure,
    missing,
    offered,
    runs_alone,
)
from app.server.encoding import held_bytes
from app.server.jobs import Job
from app.server.lanes import LANES
from app.server.session import Session
from app.server.workspace import Workspace
from app.tabs.answer import milestone, render_views
from dbsa_core.errors import CapacityError, DataError
from dbsa_core.methods import METHODS
from dbsa_core.methods.fixed_icl import FixedIcl
from tests.app.pages import text_of
from tests.app.server.pools import SOON, encoded
from tests.asking import ASKING, WHOLE_POOL

QUERY = "text about water"


def asked(workspace: Workspace, session: Session) -> Answer:
    return classify_text(workspace, encoded(workspace, session), QUERY, compare=False)


def done(workspace: Workspace, session: Session, kind: str = "compare") -> Job:
    job = workspace.job(session, kind)
    assert job is not None
    assert job.wait(SOON)
    return job


def compared(workspace: Workspace, answer: Answer) -> list[str]:
    return [other.method for other in workspace.runs.of(answer).compared]


def shown(workspace: Workspace, session: Session) -> str:
    return text_of(render_views(workspace, session)[1])


def test_every_registered_method_but_the_answers_is_offered_with_its_price(
    workspace: Workspace, session: Session
) -> None:
    answer = asked(workspace, session)
    names = [method.name for method in offered(session)]
    assert names[0] == "retrieval_icl"
    assert {*names, "dbsa_fresh"} == set(METHODS)
    page = shown(workspace, session)
    for method in offered(session):
        found = estimate(session, answer, method)
        assert (found.each > 0) == (method.name in ASKING)
        assert (found.once > 0) == (method.name in WHOLE_POOL)
        assert found.trains == (0 if method.name in ASKING else 36)
        assert method.title in page
    encoded_rows = len(answer.setup.rows)
    assert f"Fixed ICL less than 1 s; may read the {encoded_rows} encoded rows" in page
    assert "Similar rows alone less than 1 s; may read all 36 rows" in page
    assert "Zero-shot less than 1 s; may read no rows" in page
    told = "TF-IDF + logistic regression less than 1 s, once it is trained on 36 rows; may read all 36 rows"
    assert told in page
    session.query_settings = replace(session.query_settings, fresh_demonstrations=0)
    assert {method.name for method in offered(session)} == set(names), "beside the answer that is shown"


def test_chosen_methods_answer_one_after_the_other_and_those_that_have_do_not_again(
    workspace: Workspace, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = asked(workspace, session)
    seen: list[Any] = []
    report = Job.report
    monkeypatch.setattr(Job, "report", lambda job, stand: seen.append(stand) or report(job, stand))
    choose(workspace, session, ["fixed_icl", "zero_shot"], alone=True)
    assert done(workspace, session).state == "done"
    assert compared(workspace, answer) == ["fixed_icl", "zero_shot"]
    assert [stand.running for stand in seen] == ["", "fixed_icl", "zero_shot"]
    page = shown(workspace, session)
    assert "Compared with: Fixed ICL" in page
    assert "Compared with: Zero-shot" in page
    assert "Zero-shot read no row." in page
    assert "Compared with: Retrieval ICL" not in page
    choose(workspace, session, ["fixed_icl", "zero_shot", "retrieval_icl"], alone=True)
    assert [stand.running for stand in seen[4:]] in (["retrieval_icl"], [])
    done(workspace, session)
    assert compared(workspace, answer) == ["fixed_icl", "zero_shot", "retrieval_icl"]
    assert missing(workspace, session) == []
    choose(workspace, session, ["retrieval_icl"], alone=True)
    page = shown(workspace, session)
    assert "Compared with: Fixed ICL" not in page, "it is kept, and not shown"
    choose(workspace, session, [], alone=True)
    assert "Compared with" not in shown(workspace, session)


def test_more_than_three_at_once_are_refused(workspace: Workspace, session: Session) -> None:
    asked(workspace, session)
    with pytest.raises(DataError, match=f"4 methods were chosen to compare with; at most {AT_MOST}"):
        choose(workspace, session, ["fixed_icl", "zero_shot", "retrieval_icl", "dbsa"], alone=False)
    choose(workspace, session, ["fixed_icl", "no such method"], alone=False)
    assert [method.name for method in chosen(session)] == ["fixed_icl"]


def test_it_begins_by_itself_only_where_that_is_ticked_and_the_tick_is_remembered(
    workspace: Workspace, session: Session
) -> None:
    asked(workspace, session)
    assert runs_alone(workspace, session), "a matter of seconds, and nobody said otherwise"
    choose(workspace, session, ["retrieval_icl"], alone=False)
    assert session.compares_alone is False
    classify_text(workspace, session, QUERY)
    assert workspace.job(session, "compare") is None
    assert "Retrieval ICL takes less than 1 s. Run comparison" in shown(workspace, session)
    assert workspace.copy_session("another-page-of-mine", session.id).compares_alone is False
    choose(workspace, session, ["retrieval_icl"], alone=True)
    assert done(workspace, session).state == "done", "the tick begins it"
    session.compares_alone = None
    classify_text(workspace, session, QUERY)
    assert done(workspace, session).state == "done"


def test_what_does_not_fit_says_why_and_the_others_answer(
    workspace: Workspace, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = asked(workspace, session)

    def refuse(self: FixedIcl, setup: Any) -> None:
        raise CapacityError("Fixed ICL needs the whole pool.")

    monkeypatch.setattr(FixedIcl, "fit", refuse)
    choose(workspace, session, ["fixed_icl", "retrieval_icl"], alone=True)
    job = done(workspace, session)
    assert (job.state, job.result) == ("done", Stand("", {"fixed_icl": "Fixed ICL needs the whole pool."}))
    assert compared(workspace, answer) == ["retrieval_icl"]
    assert "Fixed ICL gave no answer: Fixed ICL needs the whole pool. Try again" in shown(workspace, session)


def test_what_a_method_keeps_counts_and_must_fit_what_this_server_keeps(workspace: Workspace, session: Session) -> None:
    answer = asked(workspace, session)
    before = held_bytes([session])
    session.compared = ("fixed_icl",)
    workspace.budget_bytes = before
    compare_with(workspace, session)
    assert done(workspace, session).result.refused["fixed_icl"].startswith("Fixed ICL keeps ")
    workspace.budget_bytes = 10 * before
    compare_with(workspace, session)
    assert done(workspace, session).result.refused == {}
    kept = answer.setup.plan.tokens * answer.setup.task.model.shape.bytes_per_token
    assert held_bytes([session]) == before + kept
    assert estimate(session, answer, offered(session)[0]).once == 0


def test_what_is_fitted_once_is_told_apart_from_a_query(workspace: Workspace, session: Session) -> None:
    answer = asked(workspace, session)
    session.compared = ("fixed_icl",)
    compare_with(workspace, session)
    done(workspace, session)
    (other,) = workspace.runs.of(answer).compared
    assert other.fit_seconds > 0
    classify_text(workspace, session, "text about fire", compare=False)
    compare_with(workspace, session)
    done(workspace, session)
    fixed = next(method for method in offered(session) if method.name == "fixed_icl")
    assert session.answer is not None
    assert estimate(session, session.answer, fixed).once == 0, "it is fitted"


def test_methods_are_measured_in_turn(workspace: Workspace, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = asked(workspace, session)
    with pytest.raises(DataError, match="nothing to measure yet"):
        measure(workspace, session)
    choose(workspace, session, ["retrieval_icl", "zero_shot"], alone=True)
    done(workspace, session)
    before, turns = milestone(workspace, session), []
    for _, method, _ in list(session._methods.values()):
        predict = method.predict

        def spy(query: str, *, name: str = method.name, predict: Any = predict) -> Any:
            turns.append(name)
            return predict(query)

        monkeypatch.setattr(method, "predict", spy)
    measure(workspace, session)
    assert done(workspace, session, "measure").state == "done"
    assert turns == ["dbsa_fresh", "retrieval_icl", "zero_shot"] * MORE
    run = workspace.runs.of(answer)
    assert [len(method.measured) for method in (run.method, *run.compared)] == [MORE] * 3
    assert milestone(workspace, session) != before
    assert "Medians of 5 runs in turn: DBSA + similar rows" in shown(workspace, session)


def test_a_new_query_ends_what_is_being_measured(workspace: Workspace, session: Session) -> None:
    asked(workspace, session)
    compare_with(workspace, session)
    done(workspace, session)
    release = threading.Event()
    blocker = workspace.jobs.submit("somebody", "encode", lambda job: release.wait(SOON), LANES["encode"])
    job = measure(workspace, session)
    assert "Measuring: 0 of 5 runs of each. Stop" in shown(workspace, session)
    classify_text(workspace, session, QUERY, compare=False)
    assert job.cancelled()
    release.set()
    assert blocker.wait(SOON)
    assert job.wait(SOON)
    assert job.state == "stopped"
    assert "Medians" not in shown(workspace, session)
