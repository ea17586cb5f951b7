"""What do blocks have to see while they are encoded? The four patterns of the paper's ablation, on public data sets.

    python benchmarks/patterns.py --model MODEL [--data FOLDER] [--sets trec,..] [--seeds 0,1,2] [--rows 300]
        [--pool-tokens 28000] [--device cuda]

Test rows and pools are drawn as in `accuracy.py`; a pool is the same rows under every pattern. Writes
`benchmarks/results/patterns-<device>.json` with rows of `{dataset, seed, pattern, method, n, right, right_each,
accuracy, accuracy_low, accuracy_high, density, pool_tokens, bytes, encode_seconds, estimated_seconds}`:
`encode_seconds` of the second encoding (the first warms up), and before it `estimated_seconds`, from the first encoding
of the method's own pattern alone. Rows of sets that are not asked for stay as they are.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import dbsa_core as dbsa  # noqa: E402  # the script runs without an installation
from benchmarks.accuracy import Piece  # noqa: E402
from benchmarks.pieces import Pieces, hits, options  # noqa: E402
from dbsa_core.settings import SPARSITY_PATTERNS  # noqa: E402

METHODS = ("dbsa", "dbsa_fresh")
OWN = "sink-previous-self"
"""The method's own pattern, which is encoded first."""


def measured(
    name: str, folder: Path, model: dbsa.LanguageModel, seed: int, rows: int, tokens: int
) -> list[dict[str, Any]]:
    """All patterns and methods on one data set and one pool."""
    piece, found = Piece.of(name, folder, model, seed, rows, tokens), []
    task, test = piece.setup.task, piece.test
    for pattern in (OWN, *(each for each in SPARSITY_PATTERNS if each != OWN)):
        settings = piece.setup.plan.settings.with_sparsity_pattern(pattern)
        planned = dbsa.Setup.of(task, settings).plan
        estimated = planned.seconds
        for _ in range(2):
            setup = dbsa.Setup.of(task, settings).encode()
        encoded = setup.encoded_pool()
        for method in METHODS:
            answers = dbsa.make_method(method).fit(setup).predict_many([row.text for row in test])
            labels = [one.label if isinstance(one, dbsa.Prediction) else None for one in answers]
            row = {
                "dataset": name,
                "seed": seed,
                "pattern": pattern,
                "method": method,
                **hits([label == row.label for label, row in zip(labels, test, strict=True)]),
                "density": planned.density,
                "pool_tokens": encoded.tokens,
                "bytes": encoded.num_bytes,
                "encode_seconds": encoded.seconds,
                "estimated_seconds": estimated,
            }
            print(f"{name:10s} {seed} {pattern:18s} {method:11s} {row['accuracy']:.3f}  density {planned.density:.3f}  "
                  f"encoded in {encoded.seconds:.3f} s, estimated {estimated:.3f} s", flush=True)  # fmt: skip
            found.append(row)
    return found


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--pool-tokens", type=int, default=28_000)
    parser.add_argument("--seeds", default="0,1,2")
    args = parser.parse_args()
    told = {"pool_tokens": args.pool_tokens, "rows": args.rows, "seeds": args.seeds}
    model, sets, pieces = Pieces.begin(args, "patterns", **told)
    for name in sets:
        for seed in map(int, args.seeds.split(",")):
            pieces.rows += measured(name, args.data / name, model, seed, args.rows, args.pool_tokens)
            pieces.write()


if __name__ == "__main__":
    main()
