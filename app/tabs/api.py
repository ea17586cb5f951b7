"""The endpoints for programs: the same work as the tabs', with plain values in and out.

Knows nothing about the page; `app.tabs.programs` says what each takes and answers.
Each client has a session of its own, with the bundled example in it from the start.
"""

# No `from __future__ import annotations`: Gradio reads the return types themselves.
from dataclasses import replace
from typing import Any, cast

import gradio as gr

from app.server.asking import classify_text, wait_until_ready
from app.server.drawing import drawn, notes, set_test_file
from app.server.encoding import begin_encoding, pool_state
from app.server.evaluated import Evaluated
from app.server.evaluating import begin_evaluation
from app.server.jobs import unexpected
from app.server.rejecting import allow, begin_fitting, choose_threshold, declare, fits_now, option_now
from app.server.rejecting import out_of_scope as out_of_scope_of
from app.server.session import Session
from app.server.stamps import stamp
from app.server.teaching import teach
from app.server.workspace import Workspace
from app.tabs.programs import ENDPOINTS, PUT_ADDRESS, programs_view
from dbsa_core.errors import DBSAError
from dbsa_core.files.tables import read_table
from dbsa_core.settings import EncodeSettings, PoolPrecision, QuerySettings
from dbsa_core.stage1.progress import Progress


def create_api(workspace: Workspace) -> None:
    endpoints = Endpoints(workspace)
    # A file has to come through a component, which checks that its path is an upload.
    of_files = {each.__name__: each for each in (endpoints.load_data, endpoints.load_test)}
    for name, function in of_files.items():
        words = ENDPOINTS[name]
        file = gr.File(visible=False, type="filepath", label=words.parameters["file"])
        names = [gr.Textbox(visible=False, label=words.parameters[each]) for each in ("text_column", "label_column")]
        found = gr.JSON(visible=False, label="answer")
        file.upload(function, [file, *names], found, api_name=name, api_description=words.what)
    others = {name: getattr(endpoints, name) for name in ENDPOINTS if name not in of_files}
    for name, function in others.items():
        _offer(name, function)
    gr.HTML(programs_view({**of_files, **others}), elem_id="programs", js_on_load=PUT_ADDRESS)


class Endpoints:
    """What each endpoint does, for the session of the client that asks; `ENDPOINTS` says what it takes."""

    def __init__(self, workspace: Workspace):
        self._workspace = workspace

    def _session(self, request: gr.Request) -> Session:
        return self._workspace.session(f"client-{request.session_hash}")

    def plan(
        self,
        request: gr.Request,
        pool_tokens: int | None = None,
        block_size: int | None = None,
        window: int = 2,
        sink_blocks: int = 1,
        pool_precision: str = "model",
    ) -> dict:
        with told():
            session = self._session(request)
            session.settings = EncodeSettings(
                pool_tokens, block_size, window, sink_blocks, pool_precision=cast(PoolPrecision, pool_precision)
            )
            found = self._workspace.plan(session)
            return {
                "sentence": found.sentence,
                "blocks": len(found.blocks),
                "rows": len(found.rows),
                "tokens": found.tokens,
                "seconds": found.seconds,
                "bytes": found.num_bytes,
                "peak_bytes": found.peak_bytes,
                "limited_by": found.limited_by,
                "notes": list(found.notes),
            }

    def encode(self, request: gr.Request) -> dict:
        with told():
            session = self._session(request)
            if pool_state(self._workspace, session).kind != "ready":
                begin_encoding(self._workspace, session)
            return status_of(self._workspace, session)

    def status(self, request: gr.Request) -> dict:
        with told():
            return status_of(self._workspace, self._session(request))

    def stop(self, request: gr.Request) -> dict:
        with told():
            session = self._session(request)
            self._workspace.stop(session, "encode")
            return status_of(self._workspace, session)

    def classify(self, request: gr.Request, query: str, ratio: float = 0.3, similar_examples: int = 8) -> dict:
        with told():
            session = self._session(request)
            session.query_settings = QuerySettings(ratio=ratio, fresh_demonstrations=similar_examples)
            answer = classify_text(self._workspace, session, query, compare=False, wait=True)
            return {**answer.prediction.as_json(), "used": dict(stamp(answer))}

    def teach(self, request: gr.Request, text: str, label: str) -> dict:
        with told():
            session = self._session(request)
            lesson = teach(self._workspace, session, text, label)
            return {"text": lesson.text, "label": lesson.label, "rows_taught": len(session.taught)}

    def reject(
        self, request: gr.Request, allowed: bool = True, out_of_scope: str | None = None, threshold: float | None = None
    ) -> dict:
        with told():
            session = self._session(request)
            declare(self._workspace, session, out_of_scope)
            allow(self._workspace, session, allowed)
            if allowed and not fits_now(self._workspace, session):
                wait_until_ready(self._workspace, session)
                begin_fitting(self._workspace, session).outcome()
            choose_threshold(self._workspace, session, threshold)
            return reject_of(self._workspace, session)

    def load_data(
        self, request: gr.Request, file: str | None, text_column: str | None = None, label_column: str | None = None
    ) -> dict:
        with told():
            if not file:
                raise DBSAError("There is no file; upload one.")
            data = self._workspace.set_data(
                self._session(request), read_table(file), text_column or None, label_column or None
            )
            problems = [problem.message for problem in data.pool.problems]
            columns = {"text_column": data.text_column, "label_column": data.label_column}
            found = {"rows": len(data.pool), "labels": list(data.pool.labels), **columns, "problems": problems}
            return {**found, "notes": list(data.table.notes)}

    def load_test(
        self, request: gr.Request, file: str | None, text_column: str | None = None, label_column: str | None = None
    ) -> dict:
        with told():
            if not file:
                raise DBSAError("There is no file; upload one.")
            session = self._session(request)
            set_test_file(session, read_table(file), text_column or None, label_column or None)
            found = drawn(session, wait_until_ready(self._workspace, session).setup)
            assert found.tested is not None
            columns = {"text_column": found.tested.text_column, "label_column": found.tested.label_column}
            return {"rows": len(found.rows), **columns, "notes": notes(session, found)}

    def evaluate(
        self,
        request: gr.Request,
        methods: str = "dbsa_fresh,tfidf",
        ratio: float = 0.3,
        similar_examples: int = 8,
        hold_out: int | None = 100,
        seed: int = 0,
        reject: bool = False,
    ) -> dict:
        with told():
            session = self._session(request)
            session.query_settings = QuerySettings(ratio=ratio, fresh_demonstrations=similar_examples)
            names = tuple(name.strip() for name in methods.split(",") if name.strip())
            session.wanted = replace(
                session.wanted,
                of_file=hold_out is None,
                hold_out=session.wanted.hold_out if hold_out is None else hold_out,
                seed=seed,
                methods=names,
                reject=reject,
            )
            run = begin_evaluation(self._workspace, session).outcome()
            return evaluation_of(run)


def _offer(name: str, function: Any) -> None:
    """One endpoint of plain values, which a client's list of endpoints shows with the meaning of each."""
    words = ENDPOINTS[name]
    offered = gr.api(function, api_name=name, api_description=words.what, concurrency_limit=8)
    # Gradio names the parameters "1st", "2nd", and describes none.
    block = gr.context.Context.root_block
    assert block is not None
    bound = block.fns[offered["id"]]
    for component, meaning in zip(bound.inputs, words.parameters.values(), strict=True):
        component.label, component.api_info()["additional_description"] = meaning, meaning
    for component in bound.outputs:
        component.label = "answer"


class told:
    """Errors inside of it reach the client as `gr.Error` with their message."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, DBSAError):
            raise gr.Error(str(error), print_exception=False) from error
        if isinstance(error, Exception) and not isinstance(error, gr.Error):
            raise gr.Error(unexpected(error, "answering a client"), print_exception=False) from error


def reject_of(workspace: Workspace, session: Session) -> dict[str, Any]:
    """What decides whether a label fits; numbers are None where nothing does."""
    option = option_now(workspace, session)
    point = option.point if option is not None else None
    return {
        "allowed": session.rejects,
        "out_of_scope": out_of_scope_of(session),
        "threshold": option.threshold if option is not None else None,
        "rows": option.rows if option is not None else None,
        "coverage": point.coverage if point is not None else None,
        "accuracy": point.accuracy if point is not None else None,
        "oos_recall": point.oos_recall if point is not None else None,
    }


def evaluation_of(run: Evaluated) -> dict[str, Any]:
    """Results, which method is better, and what it was made of."""
    from dbsa_core.evaluation.report import as_json

    return {**as_json(run.results), "settings": dict(run.settings), "left_out": dict(run.refused)}


def status_of(workspace: Workspace, session: Session) -> dict[str, Any]:
    """State of the encoding job ("none" before the first), and what queries read."""
    job, state = workspace.job(session, "encode"), pool_state(workspace, session)
    progress = job.progress if job is not None and isinstance(job.progress, Progress) else None
    return {
        "state": job.state if job is not None else "none",
        "message": job.message if job is not None else "",
        "blocks_done": progress.blocks_done if progress else 0,
        "blocks_total": progress.blocks_total if progress else 0,
        "seconds_left": round(progress.seconds_left, 1) if progress else None,
        "blocks_to_read": len(state.encoded.pool.blocks) if state.encoded is not None else 0,
        "changed_since": list(state.changed),
    }
