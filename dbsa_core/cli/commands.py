"""The commands: encode, classify and evaluate; and which there are.

Knows nothing about how anything is computed: it reads options and files, calls the library and hands results on.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from transformers.utils import logging as transformers_logging

import dbsa_core
from dbsa_core.cli.arguments import parse
from dbsa_core.cli.beginning import out_of_scope_of, set_up
from dbsa_core.cli.files import Queries, read_data, read_query_file, read_test
from dbsa_core.cli.issues import label_issues_command
from dbsa_core.cli.options import Choices, check_queries, choices, options_of
from dbsa_core.cli.output import (
    Answer,
    Console,
    CsvTable,
    evaluation_header,
    evaluation_line,
    header,
)
from dbsa_core.cli.tuning import tune_command
from dbsa_core.data import Demonstration
from dbsa_core.errors import DataError, DBSAError
from dbsa_core.evaluation import RUN, Evaluation, EvaluationStopped, beaten_by_word_counts, evaluate, read_run
from dbsa_core.methods import Method, OnRefused, Refusal, Setup, fit_methods
from dbsa_core.prediction import NO_TEXT, Prediction
from dbsa_core.reject import Rejecting, RejectOption, RejectOptions
from dbsa_core.stage1.encoding import EncodedPool
from dbsa_core.stage2.steps import steps_of
from dbsa_core.validation import draw_validation

BAD_INPUT, STOPPED, UNREAD = 2, 130, 141
"""Exit codes; the last two are those of a shell's SIGINT and SIGPIPE."""


def main(arguments: Sequence[str] | None = None, *, further: Sequence[str] = ()) -> int:
    """Carry out one command line (by default the process's) and return the exit code.

    `further` commands are those that the caller carries out: here they are named, in help and errors.
    """
    console = Console(sys.stdout, sys.stderr)
    try:
        args = parse(arguments, further)
        # Whatever a library prints must not stand between the results.
        with redirect_stdout(console.err), _logging_to(console):
            _COMMANDS[args.command](args, choices(args), console)
    except DBSAError as error:
        console.say(f"dbsa: {error}")
        return BAD_INPUT
    except KeyboardInterrupt:
        console.say("dbsa: stopped.")
        return STOPPED
    except BrokenPipeError:
        console.close()
        return UNREAD
    return 0


class _ToConsole(logging.Handler):
    def __init__(self, console: Console):
        super().__init__(logging.INFO)
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        self.console.say(record.getMessage())


@contextmanager
def _logging_to(console: Console) -> Iterator[None]:
    """The library's log as notes, and none of transformers' progress bars."""
    transformers_logging.disable_progress_bar()
    log, handler = logging.getLogger("dbsa_core"), _ToConsole(console)
    level, propagate = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate


# --- encode -----------------------------------------------------------------------------------------------------------


def _encode(args: argparse.Namespace, chosen: Choices, console: Console) -> None:
    setup = set_up(args, chosen, read_data(args, console), console)
    summary = _summary(setup, setup.encode(on_progress=console.encoding).encoded_pool())
    if args.json:
        console.json(summary)
        return
    console.result(
        f"{summary['rows']:,} rows in {summary['blocks']:,} blocks of {summary['block_size']}: "
        f"{summary['tokens']:,} tokens, {summary['bytes'] / 1e6:,.1f} MB, {summary['seconds']:.1f} s "
        f"({summary['tokens_per_second']:,.0f} tokens/s).\n"
        f"{summary['density']:.1%} of dense attention was computed; {summary['labels_covered']:,} of "
        f"{summary['labels_total']:,} labels are covered."
    )


def _summary(setup: Setup, encoded: EncodedPool) -> dict[str, Any]:
    return {
        "model": setup.task.model.name,
        "rows": len(encoded.rows),
        "rows_total": setup.plan.rows_total,
        "blocks": len(encoded.blocks),
        "block_size": encoded.pattern.demonstrations_per_block,
        "tokens": encoded.tokens,
        "bytes": encoded.num_bytes,
        "seconds": encoded.seconds,
        "tokens_per_second": encoded.tokens / encoded.seconds,
        "density": setup.plan.density,
        "labels_covered": setup.plan.labels_covered,
        "labels_total": setup.plan.labels_total,
        "limited_by": setup.plan.limited_by,
        "out_of_memory": encoded.out_of_memory,
        "notes": list(setup.plan.notes),
        "settings": asdict(setup.plan.settings),
    }


# --- classify ---------------------------------------------------------------------------------------------------------


def _classify(args: argparse.Namespace, chosen: Choices, console: Console) -> None:
    check_queries(args)
    data = read_data(args, console)
    queries = read_query_file(args, data, console)
    wanted = _threshold_asked_for(args)
    reject = chosen.reject or wanted is not None
    out_of_scope = out_of_scope_of(args, chosen, data, console) if reject else None
    setup = set_up(args, chosen, data, console)
    methods = _fitted(chosen, setup, console)
    if reject:
        options = RejectOptions(methods[0].setup or setup, out_of_scope)
        methods = [_rejecting(method, options, wanted, console) for method in methods]
    columns = header(queries.columns, [method.name for method in methods])
    printed = not (args.json or args.query)
    table = CsvTable(columns, console, out=args.out, printed=printed, safe=args.spreadsheet_safe)
    failed = []
    for cells, answers in zip(queries.cells, _answers(queries, methods, console), strict=True):
        failed += [answer for answer in answers if answer.prediction is None]
        table.add([*cells, *(cell for answer in answers for cell in answer.cells())])
        if args.json:
            for answer in answers:
                console.json(answer.as_json())
        elif args.query:
            console.result("\n".join([answers[0].query, *(answer.as_text() for answer in answers)]))
    _report(args, queries, failed, console)
    _report_warm_up(setup, console)


def _report_warm_up(setup: Setup, console: Console) -> None:
    if told := steps_of(setup.task.model).warm_up:
        console.say(f"Warm-up, once in a process: {told}.")


def _fitted(chosen: Choices, setup: Setup, console: Console) -> list[Method]:
    """The methods, ready; one whose context does not fit is left out as long as another fits."""
    methods = chosen.made()
    ready = fit_methods(methods, setup, on_progress=console.encoding, on_refused=_left_out(console, len(methods)))
    return [fitted.method for fitted in ready]


Rethreshold = Callable[[RejectOption], RejectOption]
"""The same option with another threshold."""


def _threshold_asked_for(args: argparse.Namespace) -> Rethreshold | None:
    """At most one of these options is given."""
    if args.reject_threshold is not None:
        return lambda option: option.with_threshold(args.reject_threshold)
    if args.reject_cost is not None:
        return lambda option: option.at_cost(args.reject_cost)
    if args.reject_recall is not None:
        return lambda option: option.at_recall(args.reject_recall)
    return None


def _rejecting(method: Method, options: RejectOptions, wanted: Rethreshold | None, console: Console) -> Method:
    """The method with a reject option fitted to it, with the threshold that was asked for."""
    told = partial(_validating, console, method.name)
    option = options.fit(method, on_progress=told, on_encoding=console.encoding)
    option = option if wanted is None else wanted(option)
    console.say(f"{method.name}: {option.sentence}")
    return Rejecting(method, option)


def _validating(console: Console, method: str, done: int, total: int) -> None:
    console.progress(f"{method}: validation row {done:,} of {total:,}", last=done == total)


def _left_out(console: Console, methods: int) -> OnRefused | None:
    """Says which method is left out; None where it is the only one, whose error ends the run."""
    return (lambda name, error: console.say(f"{name} is left out: {error}")) if methods > 1 else None


def _answers(queries: Queries, methods: Sequence[Method], console: Console) -> Iterator[list[Answer]]:
    """For each query the answers of all methods; rows of a file that cannot be classified have none."""
    begun, total = time.monotonic(), len(queries.texts)
    asked = [text for text in queries.texts if text]
    found = [(method.name, method.predict_many(asked)) for method in methods]
    for number, (text, row) in enumerate(zip(queries.texts, queries.rows, strict=True), start=1):
        yield [_answer(name, answers, text, row, console) for name, answers in found]
        if row is not None:
            left = (time.monotonic() - begun) / number * (total - number)
            console.progress(f"row {number:,} of {total:,}, {left:.0f} s left", last=number == total)


def _answer(
    method: str, answers: Iterator[Prediction | Refusal], text: str, row: int | None, console: Console
) -> Answer:
    if not text:
        return Answer(method, text, None, NO_TEXT, row)
    found = next(answers)
    if isinstance(found, Prediction):
        return Answer(method, text, found, row=row)
    if row is None:
        raise found
    console.say(f"Row {row}, {method}: {found}")
    return Answer(method, text, None, str(found), row)


def _report(args: argparse.Namespace, queries: Queries, failed: Sequence[Answer], console: Console) -> None:
    empty = sum(not text for text in queries.texts)
    unfit = len({answer.row for answer in failed if answer.query})
    if empty or unfit:
        console.say(
            f"Of {len(queries.texts):,} rows, {empty:,} without a text and {unfit:,} with a text that does not fit "
            "have no label."
        )
    if args.out:
        console.say(f"{len(queries.texts):,} rows were written to {args.out}.")


# --- evaluate ---------------------------------------------------------------------------------------------------------


def _evaluate(args: argparse.Namespace, chosen: Choices, console: Console) -> None:
    data = read_data(args, console)
    test = [] if args.hold_out is not None else read_test(args, chosen.encode.seed, data, console)
    if not test and args.hold_out is None:
        raise DataError("There are no test rows to evaluate on; give a test file with at least one labelled row.")
    out_of_scope = out_of_scope_of(args, chosen, data, console)
    setup = set_up(args, _as_before(args, chosen), data, console)
    options = options_of(args) | {"pool_tokens": setup.plan.tokens}
    if args.hold_out is not None:
        setup, test = _held_out(args, setup, console)
    _report_test(test, setup, console)

    methods = chosen.made()
    try:
        found = evaluate(
            methods,
            setup,
            test,
            out_of_scope=out_of_scope,
            reject=chosen.reject,
            folder=args.out,
            about={"options": options, "dbsa": dbsa_core.__version__},
            on_progress=lambda done, total: console.progress(f"{done:,} of {total:,} queries", last=done == total),
            on_validation=partial(_validating, console),
            on_encoding=console.encoding,
            on_refused=_left_out(console, len(methods)),
        )
    except EvaluationStopped as stop:
        _show(stop.results, args, console)
        if stop.results:
            console.say(f"Stopped after {stop.results[0].n:,} of {len(test):,} test rows; the results are of those.")
        if args.out:
            console.say(f"What was answered is kept in {args.out}; the same command goes on with it.")
        raise
    _show(found, args, console)
    if args.out:
        console.say(f"The report is {args.out / 'report.html'}; answers.csv beside it has every answer.")
    _report_warm_up(setup, console)


def _as_before(args: argparse.Namespace, chosen: Choices) -> Choices:
    """A run that goes on encodes as many tokens as it did, whatever this machine would allow now."""
    if args.out is None or chosen.encode.pool_tokens is not None or not (args.out / RUN).is_file():
        return chosen
    run = read_run(args.out / RUN)
    tokens = run["about"].get("options", {}).get("pool_tokens", run["settings"]["encode"]["pool_tokens"])
    return replace(chosen, encode=replace(chosen.encode, pool_tokens=tokens))


def _held_out(args: argparse.Namespace, setup: Setup, console: Console) -> tuple[Setup, list[Demonstration]]:
    """The setup without some of the file's rows, and these."""
    drawn = draw_validation(setup, rows=args.hold_out, seed=args.hold_out_seed or 0)
    if not drawn.demonstrations:
        raise DataError("No row of the labelled file can be held out: each label keeps one; give --test FILE.")
    again = "" if drawn.setup.blocks == setup.blocks else " The pool is planned anew without them."
    console.say(f"{len(drawn.demonstrations):,} rows of the labelled file are held out, and read by no method.{again}")
    return drawn.setup, list(drawn.demonstrations)


def _show(results: Sequence[Evaluation], args: argparse.Namespace, console: Console) -> None:
    if results and not args.json:
        console.result(evaluation_header(results))
    for found in results:
        if args.json:
            console.json(found.as_json())
        else:
            console.result(evaluation_line(found, results))
    if told := beaten_by_word_counts(results):
        console.say(told)
    for found in results:
        if found.unanswered:
            console.say(
                f"{found.method}: {found.unanswered:,} test rows are too long for a context; they count as wrong, and "
                f"times are of the other {found.latency_n:,}."
            )


def _report_test(test: Sequence[Demonstration], setup: Setup, console: Console) -> None:
    labels = set(setup.task.pool.labels)
    unseen = sorted({row.label for row in test} - labels)
    if unseen:
        count = sum(row.label not in labels for row in test)
        names = ", ".join(unseen[:5]) + (f" and {len(unseen) - 5:,} more" if len(unseen) > 5 else "")
        console.say(f"{count:,} test rows have labels that the labelled file lacks ({names}); they count as wrong.")
    repeated = sum(any(row not in setup.held_out for row in setup.task.rows_equal_to(each.text)) for each in test)
    console.say(f"{repeated:,} of the {len(test):,} test rows have a text that the labelled file has too.")


_COMMANDS = {
    "encode": _encode,
    "classify": _classify,
    "tune": tune_command,
    "evaluate": _evaluate,
    "label-issues": label_issues_command,
}
