"""The options of the command line: which there are, and what they are called.

Knows nothing about files, models or output, nor about what options mean together.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from dbsa_core.classifiers import VOTES
from dbsa_core.errors import SettingsError
from dbsa_core.evaluation.folder import read_run
from dbsa_core.label_issues import ROWS, ROWS_ON_CPU
from dbsa_core.methods import METHODS
from dbsa_core.model.weights import AS_SAVED, WEIGHTS
from dbsa_core.prompt import PRESETS
from dbsa_core.retrieve import DEFAULT_EMBEDDER, RETRIEVERS
from dbsa_core.settings import ORDERS, SETTING_PRESETS, SPARSITY_PATTERNS
from dbsa_core.tuning import BUDGET_SECONDS
from dbsa_core.tuning import METHOD as TUNED
from dbsa_core.validation import ROWS as VALIDATION_ROWS
from dbsa_core.validation import ROWS_ON_CPU as VALIDATION_ROWS_ON_CPU

_PROGRAM = "dbsa" if Path(sys.argv[0]).stem == "dbsa" else "python -m dbsa_core"


class _Parser(argparse.ArgumentParser):
    """Raises `SettingsError` with one sentence instead of printing the usage and leaving the process."""

    def __init__(self, **options: Any):
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message.removeprefix('argument ')} (`{self.prog} --help` lists what is accepted).")


def parse(arguments: Sequence[str] | None = None, further: Sequence[str] = ()) -> argparse.Namespace:
    """The options of one call; `SettingsError` for what cannot be read. `--help` prints, and leaves by SystemExit.

    `further` commands are named in messages and help; who has them carries them out before.
    """
    parser = _Parser(
        prog=_PROGRAM,
        description="Many-shot text classification from a labelled file.",
        epilog=f"Further commands: {_names(further)}." if further else None,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    add = commands.add_parser
    encode = add("encode", help="encode a labelled file's rows and print what that costs", description=_ENCODE_ABOUT)
    classify = add("classify", help="classify texts by a labelled file", description=_CLASSIFY_ABOUT)
    tune = add("tune", help="choose settings for a labelled file", description=_TUNE_ABOUT)
    evaluate = add("evaluate", help="compare methods on a labelled test file", description=_EVALUATE_ABOUT)
    issues = add("label-issues", help="list rows whose label may be wrong", description=_ISSUES_ABOUT)
    for command in (encode, classify, tune, evaluate, issues):
        _add_data(command)
        _add_model(command)
        _add_encoding(command)
    for command in (encode, classify, evaluate):
        command.add_argument("--settings", type=Path, metavar="FILE.json", help=_SETTINGS)
    _add_queries(classify)
    _add_test(evaluate)
    _add_methods(classify, f"dbsa_fresh, dbsa with a preset of the paper, {TUNED} with --settings")
    _add_methods(evaluate, f"all, and {TUNED} with --settings")
    _add_tuning(tune)
    _add_issues(issues)
    _add_scope(tune)
    _add_thresholds(_add_reject(classify, "may answer that no label fits, by a threshold fitted on rows of --data"))
    _add_reject(evaluate, "show each method also with a reject option, fitted on rows of --data")
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] not in commands.choices and not given[0].startswith("-"):
        parser.error(f"There is no command {given[0]!r}; give one of {_names([*commands.choices, *further])}")
    args = parser.parse_args(given)
    if getattr(args, "run", None) is not None:
        own = {name: value for name, value in read_run(args.run)["about"].get("options", {}).items() if name in args}
        if args.methods:
            del own["methods"]  # else they were added to
        evaluate.set_defaults(**own)
        args = parser.parse_args(given)
    if args.command is None:
        parser.error(f"Give a command, one of {_names([*commands.choices, *further])}")
    return args


_SAFE = (
    "in CSV, put ' before cells that begin with = + - @, a tab or a carriage return, which spreadsheets take for "
    "formulas (to get a cell back, take one ' away before those)"
)
_ENCODE_ABOUT = "Draw rows of --data, encode them block by block, and print rows, blocks, tokens, bytes and seconds."
_CLASSIFY_ABOUT = "Classify the texts of --query, or every row of --queries, by the labelled rows of --data."
_ISSUES_ABOUT = (
    "Rows of --data whose label is disputed by classifiers of the other rows, by their nearest rows, and by the model, "
    "which has not read them; the most disputed first. Nothing is encoded."
)
_TUNE_ABOUT = (
    "Choose how texts are answered by --data: retrievers, number of similar examples, ratio, and votes of classifiers, "
    "by rows of --data that no method reads meanwhile. What did best on other files stays, unless another choice is "
    "better beyond chance, or takes half of the time and is hardly less accurate at worst."
)
_SETTINGS = (
    f"what `tune` wrote: adds the method {TUNED}, which reads as it says, whatever else is given; encodes as it says, "
    "unless options say otherwise; and fits a reject option where it says so"
)
_EVALUATE_ABOUT = "Accuracy, setup seconds and latency of methods on the labelled rows of --test."


def _add_data(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data", type=Path, metavar="FILE", help="labelled rows: CSV, TSV, JSON, JSONL, Parquet or .xlsx (the example)"
    )
    group.add_argument("--text-column", metavar="NAME", help="column of the texts (guessed)")
    group.add_argument("--label-column", metavar="NAME", help="column of the labels (guessed)")
    group.add_argument(
        "--label-names", type=Path, metavar="FILE",
        help="names of coded labels: a JSON object, or a table of code and name",
    )  # fmt: skip
    _add_reading(group, "")
    parser.add_argument("--json", action="store_true", help="print JSON only, one object a line; the rest is on stderr")


def _add_reading(group: argparse._ArgumentGroup, prefix: str) -> None:
    """How one file is read, where its content does not tell."""
    of = f" of --{prefix[:-1]}" if prefix else " of --data"
    add = group.add_argument
    add(f"--{prefix}encoding", metavar="NAME", help=f"encoding{of}, such as windows-1252 (detected)")
    add(f"--{prefix}delimiter", type=_delimiter, metavar="SIGN", help=f"sign between the fields{of} (detected)")
    add(f"--{prefix}sheet", metavar="NAME", help=f"sheet{of}, an Excel workbook (the first visible one)")
    add(f"--{prefix}no-header", action="store_true", help=f"the first line{of} is a row, not names of columns")


def _delimiter(text: str) -> str:
    return {"tab": "\t", "\\t": "\t"}.get(text.lower(), text)


def _add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model and prompt")
    group.add_argument(
        "--model", default="embedded", help="embedded, a hub id, a folder or a GGUF file (default: embedded)"
    )
    group.add_argument("--device", help="cpu or cuda (cuda where there is a GPU)")
    group.add_argument("--dtype", help="float32, bfloat16 or float16 (bfloat16 on a GPU, else float32)")
    group.add_argument(
        "--weights", metavar="KIND", default=AS_SAVED, help=f"keep weights as {_names(WEIGHTS)} (model: as they are)"
    )
    group.add_argument("--prompt", default="default", metavar="NAME", help=f"words of the prompt: {_names(PRESETS)}")
    group.add_argument("--text-prefix", metavar="WORD", help="the word before a text, instead of --prompt's")
    group.add_argument("--label-prefix", metavar="WORD", help="the word before a label, instead of --prompt's")


def _add_encoding(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("encoding")
    group.add_argument("--preset", default="automatic", metavar="NAME", help=f"settings: {_names(SETTING_PRESETS)}")
    group.add_argument("--pool-tokens", type=_whole, metavar="N", help="tokens to encode (what file and machine allow)")
    group.add_argument("--block-size", type=_whole, metavar="N", help="examples a block (by the number of rows)")
    group.add_argument(
        "--pattern", metavar="NAME", help=f"what blocks see: {_names(SPARSITY_PATTERNS)} (sink-previous-self)"
    )
    group.add_argument("--window", type=_whole, metavar="N", help="previous blocks that a block sees (2)")
    group.add_argument("--sink-blocks", type=_whole, metavar="N", help="first blocks that every block sees (1)")
    group.add_argument("--positions", metavar="KIND", help="sequential, or local for pools beyond the model's context")
    group.add_argument(
        "--pool-precision", metavar="KIND", help="model, or int8 for about half the memory of half precision (model)"
    )
    group.add_argument("--long-rows", metavar="WAY", help="exclude or truncate rows too long for a block (exclude)")
    group.add_argument("--seed", type=_whole, metavar="N", help="of every random draw (42)")


def _add_queries(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("queries")
    group.add_argument("--query", action="append", metavar="TEXT", help="a text to classify; may be repeated")
    group.add_argument("--queries", type=Path, metavar="FILE", help="a file of texts, one a row")
    group.add_argument(
        "--out", type=Path, metavar="FILE.csv", help="write the queries' own columns, labels and probabilities there"
    )
    group.add_argument("--spreadsheet-safe", action="store_true", help=_SAFE)
    _add_reading(group, "queries-")


def _add_test(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("test")
    group.add_argument("--test", type=Path, metavar="FILE", help="labelled test rows (test.csv beside --data)")
    _add_reading(group, "test-")
    group.add_argument("--limit", type=_whole, metavar="N", help="draw so many test rows, by --seed (all)")
    group.add_argument(
        "--hold-out", type=_whole, metavar="N",
        help="instead of --test, ask about so many rows of --data, which no method reads then (at most a third)",
    )  # fmt: skip
    group.add_argument("--hold-out-seed", type=_whole, metavar="N", help="draws them (0)")
    group.add_argument(
        "--out", type=Path, metavar="FOLDER",
        help="keep every answer and write the report there; given again, a run that was stopped goes on",
    )  # fmt: skip
    group.add_argument(
        "--run", type=Path, metavar="FILE", help="take all options from the run.json of an evaluation; others go before"
    )


def _add_reject(parser: argparse.ArgumentParser, reject: str) -> argparse._ArgumentGroup:
    group = _add_scope(parser)
    group.add_argument("--reject", action="store_true", help=reject)
    return group


def _add_thresholds(group: argparse._ArgumentGroup) -> None:
    one = group.add_mutually_exclusive_group()
    one.add_argument(
        "--reject-threshold", type=_number, metavar="T",
        help="none fits below this in-scope score, from 0 (refuses nothing) to 1; implies --reject (as fitted)",
    )  # fmt: skip
    one.add_argument(
        "--reject-cost", type=_number, metavar="C",
        help="refuse as much as costs no more than so much of the accuracy on texts that a label fits (0.01: a point "
        "of a hundred), by the rows that it is fitted on; implies --reject",
    )  # fmt: skip
    one.add_argument(
        "--reject-recall", type=_number, metavar="R",
        help="refuse as little as refuses so much of the texts that no label fits (0.8: four of five), by the rows "
        "that it is fitted on; implies --reject",
    )  # fmt: skip


def _add_scope(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("texts that fit no label")
    group.add_argument(
        "--out-of-scope", metavar="LABEL", help="the label of texts that fit no other one (guessed by its name)"
    )
    group.add_argument("--no-out-of-scope", action="store_true", help="none is, whatever labels are called")
    return group


def _add_methods(parser: argparse.ArgumentParser, default: str) -> None:
    group = parser.add_argument_group("methods")
    group.add_argument(
        "--method", "--methods", dest="methods", action="append", metavar="NAMES",
        help=f"comma-separated, or repeated: {_names(METHODS)} ({default})",
    )  # fmt: skip
    group.add_argument("--ratio", type=_number, metavar="R", help="share of the blocks that a query reads (0.3)")
    group.add_argument("--retriever", metavar="NAME", help=f"ranks the blocks: {_names(RETRIEVERS)} (bm25)")
    _add_rows(group, "that dbsa_fresh adds to a query", ", and the rows of Retrieval ICL", "in dbsa_fresh and nearest")
    group.add_argument("--order", metavar="NAME", help=f"of the chosen blocks: {_names(ORDERS)} (pool)")
    group.add_argument("--decode", metavar="WAY", help="exact probabilities, or greedy decoding (exact)")


def _add_rows(group: argparse._ArgumentGroup, beside: str, also: str, where: str) -> None:
    """What is found of a file's rows, and learned from them."""
    group.add_argument(
        "--fresh", dest="fresh_demonstrations", type=_whole, metavar="N", help=f"similar examples {beside} (8)"
    )
    group.add_argument(
        "--row-retriever", metavar="NAME", help=f"finds similar examples{also}: {_names(RETRIEVERS)} (bm25)"
    )
    _add_embedder(group)
    group.add_argument(
        "--votes", metavar="NAMES", help=f"classifiers of the rows that vote {where}: {_names(VOTES)} (none)"
    )
    group.add_argument(
        "--vote-weight", type=_number, metavar="W", help="of their log-probabilities beside the model's (1)"
    )


def _add_embedder(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--embedder", metavar="MODEL",
        help=f"sentence encoder of dense and hybrid retrievers and of votes: a hub id or a folder ({DEFAULT_EMBEDDER})",
    )  # fmt: skip


def _add_tuning(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tuning")
    group.add_argument("--out", type=Path, metavar="FILE.json", help="write the settings there, for --settings")
    group.add_argument(
        "--rows", type=_whole, metavar="N",
        help=f"choose by so many rows at most ({VALIDATION_ROWS}; {VALIDATION_ROWS_ON_CPU} on a CPU)",
    )  # fmt: skip
    group.add_argument(
        "--budget", type=_number, metavar="SECONDS", default=BUDGET_SECONDS,
        help=f"choose by what was asked in so many seconds ({BUDGET_SECONDS:g})",
    )  # fmt: skip
    _add_embedder(group)


def _add_issues(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("labels that may be wrong")
    group.add_argument(
        "--rows", type=_whole, metavar="N",
        help=f"ask the model about so many rows at most ({ROWS:,}; {ROWS_ON_CPU} on a CPU)",
    )  # fmt: skip
    group.add_argument("--out", type=Path, metavar="FILE.csv", help="write the list there")
    group.add_argument("--spreadsheet-safe", action="store_true", help=_SAFE)
    _add_rows(group, "that the model reads beside a text, 8 at least", "", "beside the model")


def _names(names: Any) -> str:
    return ", ".join(names)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
