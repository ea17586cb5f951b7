"""How accurate are the methods, and how fast: the whole table, three seeds of the pool for each data set.

    python benchmarks/accuracy.py [--data FOLDER] [--model MODEL] [--sets trec,..] [--seeds 0,1,2] [--rows 300]
        [--pool-tokens 28000] [--methods dbsa,..] [--minutes 9] [--settings FOLDER] [--small]

Test rows are drawn with the seed, and so is the pool. `dbsa_tuned` answers by settings that `tune` chose for a set
beforehand, on rows of the training file and the pool of the first seed; they stand in `--settings`, one file a set, and
are tuned only where there is none. What was measured is not measured again, and with `--minutes` nothing is begun that
would end later: called again, it goes on. `--small` is for a CPU: few rows of smaller pools, with the bundled example;
sets that are not there are left out.

Writes `benchmarks/results/accuracy-<device>.json` with rows of `{dataset, method, seed, n, accuracy, accuracy_low,
accuracy_high, in_scope_accuracy, oos_recall, macro_f1, setup_seconds, latency_p50_seconds, latency_p95_seconds,
may_read, test_rows, right_each, seen_each, at_..., ...}` (as `evaluate` reports them; rows of a set's test file; one 0
or 1 for each row that was drawn: whether it was answered rightly, and whether its text stands in the training file
too). Where a label is out of scope, each method is there with a reject option as well (`+reject`); `dbsa_tuned` is with
one where that was tuned, and then `dbsa_tuned-reject` is without. `at_cost` and `at_recall` of a method with one:
`{threshold, accuracy, in_scope_accuracy, oos_recall}` of the same answers by the greatest threshold that costs no more
than a point of in-scope accuracy on the rows that it was fitted on (`RejectOption.at_cost`), and by the least one that
refuses four in five of those that no label fits (`at_recall`).
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import dbsa_core as dbsa  # noqa: E402  # the script runs without an installation
from benchmarks.accuracy_draws import COST, RECALL, SCOPE, WITHOUT_OPTION, drawn_rows  # noqa: E402
from benchmarks.pieces import Pieces, options  # noqa: E402
from dbsa_core.evaluation.result import WITH_OPTION, Evaluation  # noqa: E402
from dbsa_core.methods import Method  # noqa: E402
from dbsa_core.prompt import template  # noqa: E402
from dbsa_core.reject import RejectOption  # noqa: E402
from dbsa_core.scope import guessed_out_of_scope  # noqa: E402
from dbsa_core.tuning import BUDGET_SECONDS, TunedSettings, read_settings  # noqa: E402
from dbsa_core.tuning.settings_file import METHOD  # noqa: E402

METHODS = ("dbsa", "dbsa_fresh", METHOD, "fixed_icl", "fixed_icl_fresh", "retrieval_icl", "retrieval_icl_file",
           "nearest", "zero_shot", "tfidf", "sentence_vectors")  # fmt: skip
EXAMPLE = "example"
SMALL = {"sets": f"{EXAMPLE},trec,banking77,nlu", "seeds": "0", "rows": 40, "pool_tokens": 4000,
         "methods": f"dbsa,dbsa_fresh,{METHOD},nearest,tfidf"}  # fmt: skip


@dataclass
class Piece:
    """A data set with one seed of the pool."""

    name: str
    seed: int
    setup: dbsa.Setup
    test: list[dbsa.Demonstration]
    total: int
    """Rows of the test file."""

    @classmethod
    def of(cls, name: str, folder: Path, model: dbsa.LanguageModel, seed: int, rows: int, pool_tokens: int) -> Piece:
        pool = dbsa.build_pool(dbsa.read_table(folder / "train.csv"))
        task = dbsa.Task(model, pool, *([template(name)] if name != EXAMPLE else []))
        whole = dbsa.build_pool(dbsa.read_table(folder / "test.csv")).demonstrations
        test = [whole[at] for at in drawn_rows(len(whole), seed, rows)]
        setup = dbsa.Setup.of(task, dbsa.EncodeSettings(pool_tokens=pool_tokens, seed=seed))
        return cls(name, seed, setup, test, len(whole))

    @property
    def out_of_scope(self) -> str | None:
        return guessed_out_of_scope(self.setup.task.pool.labels)

    def row(self, found: Evaluation, tuned: TunedSettings | None) -> dict[str, Any]:
        method = found.method
        if tuned is not None and tuned.reject and method.startswith(METHOD):
            method = METHOD if method.endswith(WITH_OPTION) else METHOD + WITHOUT_OPTION
        known = {row.text for row in self.setup.task.pool.demonstrations}
        return {
            "dataset": self.name,
            "in_scope_accuracy": None,
            "oos_recall": None,
            **found.as_json(),
            "method": method,
            "seed": self.seed,
            "may_read": found.may_read,
            "test_rows": self.total,
            "right_each": "".join("01"[each] for each in found.right),
            "seen_each": "".join("01"[row.text in known] for row in self.test),
            **(at_other_thresholds(found, found.option) if found.option is not None else {}),
        }


def at_other_thresholds(found: Evaluation, option: RejectOption) -> dict[str, dict[str, float]]:
    """`at_cost` and `at_recall`."""
    return {
        "at_cost": decided(found, option.at_cost(COST).threshold),
        "at_recall": decided(found, option.at_recall(RECALL).threshold),
    }


def decided(found: Evaluation, threshold: float) -> dict[str, float]:
    """What the same answers are by that threshold."""
    predicted = tuple(
        (found.out_of_scope or "") if score is not None and score < threshold else nearest
        for nearest, score in zip(found.nearest, found.in_scope_scores, strict=True)
    )
    plain = replace(found, predicted=predicted).as_json()
    return {"threshold": threshold} | {name: plain[name] for name in SCOPE}


def freeze(path: Path, piece: Piece, budget: float) -> None:
    """Tune for the piece's data and pool, and write the settings there."""
    found = dbsa.tune(piece.setup.encode(), out_of_scope=piece.out_of_scope, budget_seconds=budget, seed=piece.seed)
    print(f"{piece.name}: tuned in {found.seconds:.0f} s. {found.sentence}", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    found.settings.write(path)


def measured(piece: Piece, methods: list[Method], tuned: TunedSettings | None) -> list[dict[str, Any]]:
    """Those methods' rows, with reject options where a label is out of scope."""
    label = piece.out_of_scope
    results = dbsa.evaluate(methods, piece.setup, piece.test, out_of_scope=label, reject=label is not None)
    for found in results:
        more = f"  in scope {found.in_scope_accuracy}  recall {found.oos_recall}" if label is not None else ""
        print(f"{piece.name:10s} {piece.seed} {found.method:26s} {found.accuracy_estimate}  "
              f"p50 {found.latency_p50_seconds:.4f} s{more}", flush=True)  # fmt: skip
    return [piece.row(found, tuned) for found in results]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--pool-tokens", type=int, default=28_000)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--minutes", type=float, default=None, help="begin nothing that would end later")
    parser.add_argument("--budget", type=float, default=BUDGET_SECONDS, help="seconds of tuning for a set")
    parser.add_argument("--settings", type=Path, default=None, help="left out: results/tuned-<device>")
    parser.add_argument("--small", action="store_true", help="few rows of small pools, for a CPU")
    if parser.parse_known_args()[0].small:
        parser.set_defaults(**SMALL)
    args = parser.parse_args()
    begun, longest = time.perf_counter(), 0.0
    model, sets, pieces = Pieces.begin(args, "accuracy", again=False, pool_tokens=args.pool_tokens, rows=args.rows)
    frozen = args.out / f"tuned-{model.device.type}"
    seeds, methods = [int(seed) for seed in args.seeds.split(",")], args.methods.split(",")
    for name, seed in [(name, seed) for seed in seeds for name in sets]:
        there = {row["method"] for row in pieces.rows if (row["dataset"], row["seed"]) == (name, seed)}
        if not (left := [method for method in methods if method not in there]):
            continue
        spent = time.perf_counter() - begun
        if args.minutes is not None and spent + longest > 60 * args.minutes:
            print(f"Stopped before {name}, seed {seed}: the time is up. The same again goes on.")
            break
        folder = ROOT / "assets" / EXAMPLE if name == EXAMPLE else args.data / name
        if not folder.is_dir():
            print(f"{name} is left out: there is no {folder.name} in the folder of the data.")
            continue
        piece = Piece.of(name, folder, model, seed, args.rows, args.pool_tokens)
        path = (args.settings or frozen) / f"{name}.json"
        if METHOD in left and not path.is_file():
            first = piece if seed == seeds[0] else Piece.of(name, folder, model, seeds[0], 1, args.pool_tokens)
            freeze(path, first, args.budget)
        tuned = read_settings(path) if METHOD in left else None
        made = [tuned.method() if tuned is not None and each == METHOD else dbsa.make_method(each) for each in left]
        pieces.rows += measured(piece, made, tuned)
        pieces.write()
        longest = max(longest, time.perf_counter() - begun - spent)
        print(f"{name}, seed {seed}: {time.perf_counter() - begun - spent:.0f} s", flush=True)


if __name__ == "__main__":
    main()
