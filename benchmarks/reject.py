"""What does a reject option bring: the same answers with it and without, on test rows that may fit no label?

    python benchmarks/reject.py [--data FOLDER] [--model MODEL] [--rows 1000] [--pool-tokens 28000] [--sets clinc150,..]

The options are fitted on rows of the training files. Writes `benchmarks/results/reject-<device>.json` with rows of
`{dataset, method, ...}` as `evaluate` reports them; a method's second row is with its reject option (`+reject`). Rows
of the same run, by its configuration, for sets that are not named are kept: it may be measured in pieces.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import dbsa_core as dbsa  # noqa: E402  # the script runs without an installation
from benchmarks.pieces import Pieces, options  # noqa: E402
from benchmarks.small_accuracy import SEED, task_of  # noqa: E402
from dbsa_core.scope import guessed_out_of_scope  # noqa: E402

METHODS = ("dbsa_fresh", "dbsa", "nearest", "tfidf")


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--pool-tokens", type=int, default=28_000)
    parser.add_argument("--methods", default=",".join(METHODS))
    args = parser.parse_args()
    model, sets, pieces = Pieces.begin(args, "reject", pool_tokens=args.pool_tokens, rows=args.rows)
    for name in sets:
        begun = time.perf_counter()
        task, test = task_of(name, args.data / name, model, args.rows)
        setup = dbsa.Setup.of(task, dbsa.EncodeSettings(pool_tokens=args.pool_tokens, seed=SEED))
        methods = [dbsa.make_method(method) for method in args.methods.split(",")]
        out_of_scope = guessed_out_of_scope(task.pool.labels)
        for found in dbsa.evaluate(methods, setup, test, out_of_scope=out_of_scope, reject=True):
            pieces.rows.append({"dataset": name, "out_of_scope": out_of_scope, **found.as_json()})
            more = f"  in scope {found.in_scope_accuracy}  recall {found.oos_recall}" if out_of_scope else ""
            more += f"  answered {found.coverage}  right of those {found.answered_accuracy}" if found.threshold else ""
            print(f"{name:10s} {found.method:18s} {found.accuracy_estimate}{more}", flush=True)
        print(f"{name}: {time.perf_counter() - begun:.0f} s", flush=True)
        pieces.write()


if __name__ == "__main__":
    main()
