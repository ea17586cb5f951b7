"""What of an answer is no longer in force.

Knows nothing about screens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.server.answered import Answer, Encoded
from app.server.session import NEAREST, Session, changed_settings
from app.server.stamps import in_order, setting_words, value_words
from app.server.teaching import with_lessons
from app.server.workspace import Workspace
from app.words import count, out_of
from dbsa_core.data import Demonstration


def outdated(workspace: Workspace, session: Session) -> str:
    """What the session's last answer used and would use no more: "From ratio 0.3; now 0.1."; "" where all is in force.

    A setting that the answer did not use is none of it, and neither is a pool that is still being made.
    """
    answer = session.answer
    return "" if answer is None else " ".join(_reasons(workspace, session, answer))


def _reasons(workspace: Workspace, session: Session, answer: Answer) -> Iterator[str]:
    task, data = answer.base.task, session.data
    if not session.has_data(task.pool):
        yield f"From {answer.name}; now {data.name if data is not None else 'there are no data'}."
        return
    model = workspace.loaded(session.model_source)
    if model is not None and model is not task.model:
        yield f"From {task.model.name}; now {model.name}."
        return
    if (now := workspace.ready(session)) is None:
        if answer.base.encoded is not None:
            yield "From a pool that is no longer kept; now the most similar rows alone answer."
            return
        if session.template != task.template:
            yield "From other words around texts and labels."
    elif answer.base.encoded is not None and answer.base.encoded is not now.pool:
        yield _of_another_pool(answer, now)
    if answer.taught != session.taught:
        yield f"From {count(len(answer.taught), 'row')} that you taught; now {_now(answer.taught, session.taught)}."
    elif answer.taught and now is not None and answer.setup.loose != with_lessons(session, now.setup).loose:
        yield "From rows that you taught, one by one; now they are encoded."
    method = session.method_name()
    uses = answer.uses
    if answer.prediction.method != NEAREST and answer.prediction.method != method:
        uses |= {"fresh_demonstrations"}
    for name in in_order(uses):
        then, current = getattr(answer.settings, name), getattr(session.query_settings, name)
        if then != current:
            yield f"From {setting_words(name, answer.settings)}; now {value_words(name, session.query_settings)}."


def _now(then: Sequence[Demonstration], now: Sequence[Demonstration]) -> str:
    return "others" if len(then) == len(now) else f"{len(now):,}"


def _of_another_pool(answer: Answer, now: Encoded) -> str:
    then = answer.base.plan
    if now.template != answer.base.task.template:
        return "From other words around texts and labels."
    if reasons := changed_settings(then, now.setup.plan, then.settings, now.settings):
        return f"From another pool: {'; '.join(reasons)}."
    pool = answer.base.encoded_pool()
    return f"From {out_of(len(pool.blocks), pool.blocks_planned, 'block')}; now {len(now.pool.blocks):,}."
