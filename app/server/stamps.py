"""What an answer used, and what of that is no longer in force.

Knows nothing about screens.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import fields

from app.server.asking import NEAREST, ready
from app.server.session import Answer, Encoded, Session, changed_settings
from app.server.workspace import Workspace
from app.words import count, out_of
from dbsa_core.settings import QuerySettings

_NAMES = {"retriever": "retriever", "order": "blocks in order", "decode": "decoding", "seed": "seed"}


def stamp(answer: Answer) -> tuple[tuple[str, str], ...]:
    """Names and values of all that the answer used: data, model, method, blocks, settings; and when it was asked."""
    setup, method = answer.setup, answer.prediction.method
    facts = [
        ("Asked", answer.asked.isoformat(sep=" ", timespec="seconds")),
        ("Data", f"{answer.name}, {count(len(setup.task.pool), 'row')}"),
        ("Model", setup.task.model.name),
        ("Method", method),
    ]
    if setup.encoded is not None:
        pattern = setup.plan.pattern
        sees = f"each sees {count(pattern.previous_blocks, 'block')} before it"
        sees += " and the shared first one" if pattern.sink_blocks else ""
        blocks = out_of(len(setup.encoded.blocks), setup.encoded.blocks_planned, "block")
        rows = f"{len(setup.encoded.rows):,} rows in {blocks} of {pattern.demonstrations_per_block:,}"
        facts.append(("Pool", f"{rows}; {sees}"))
    facts.append(("Settings", ", ".join(_setting(name, answer.settings) for name in _in_order(answer.uses))))
    return tuple(facts)


def outdated(workspace: Workspace, session: Session) -> str:
    """What the session's last answer used and would use no more: "From ratio 0.3; now 0.1."; "" where all is in force.

    A setting that the answer did not use is none of it, and neither is a pool that is still being made.
    """
    answer = session.answer
    return "" if answer is None else " ".join(_reasons(workspace, session, answer))


def _reasons(workspace: Workspace, session: Session, answer: Answer) -> Iterator[str]:
    task, data = answer.setup.task, session.data
    if not session.has_data(task.pool):
        yield f"From {answer.name}; now {data.name if data is not None else 'there are no data'}."
        return
    model = workspace.loaded(session.model_source)
    if model is not None and model is not task.model:
        yield f"From {task.model.name}; now {model.name}."
        return
    if (now := ready(workspace, session)) is None:
        if answer.setup.encoded is not None:
            yield "From a pool that is no longer kept; now the most similar rows alone answer."
            return
        if session.template != task.template:
            yield "From other words around texts and labels."
    elif answer.setup.encoded is not None and answer.setup.encoded is not now.pool:
        yield _of_another_pool(answer, now)
    method = session.method_name()
    uses = answer.uses
    if answer.prediction.method != NEAREST and answer.prediction.method != method:
        uses |= {"fresh_demonstrations"}
    for name in _in_order(uses):
        then, current = getattr(answer.settings, name), getattr(session.query_settings, name)
        if then != current:
            yield f"From {_setting(name, answer.settings)}; now {_value(name, session.query_settings)}."


def _of_another_pool(answer: Answer, now: Encoded) -> str:
    then = answer.setup.plan
    if now.template != answer.setup.task.template:
        return "From other words around texts and labels."
    if reasons := changed_settings(then, now.setup.plan, then.settings, now.settings):
        return f"From another pool: {'; '.join(reasons)}."
    pool = answer.setup.encoded_pool()
    return f"From {out_of(len(pool.blocks), pool.blocks_planned, 'block')}; now {len(now.pool.blocks):,}."


def _in_order(names: Collection[str]) -> list[str]:
    return [field.name for field in fields(QuerySettings) if field.name in names]


def _setting(name: str, settings: QuerySettings) -> str:
    """ "ratio 0.3", "8 similar rows"."""
    value = _value(name, settings)
    if name == "fresh_demonstrations":
        return count(settings.fresh_demonstrations, "similar row")
    return f"{_NAMES.get(name, name)} {value}"


def _value(name: str, settings: QuerySettings) -> str:
    value = getattr(settings, name)
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")
