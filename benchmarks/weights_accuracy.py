"""What do weights of 8 and 4 bits change in the answers? Beside the model as it was saved, on three public data sets.

    python benchmarks/weights_accuracy.py --model MODEL [--data FOLDER] [--rows 250] [--pool-tokens 28000]

For each kind of weights the same rows are encoded, and the same test rows, drawn with a seed, are asked. Writes
`benchmarks/results/weights-accuracy-<device>.json` behind each data set, with rows of `{dataset, method, weights, n,
pool_tokens, accuracy, same_label}`: the share of test rows with the right label, and with the label that the model as
it was saved gives.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import dbsa_core as dbsa  # noqa: E402  # the script runs without an installation
from benchmarks.int8_accuracy import METHODS, answers, options, share  # noqa: E402
from benchmarks.small_accuracy import SEED, SETS, described, task_of  # noqa: E402
from dbsa_core.errors import ModelError  # noqa: E402
from dbsa_core.model.weights import WEIGHTS  # noqa: E402

Labels = dict[tuple[str, str], list[str]]
"""By data set and method: what the model as it was saved answers."""


def run(
    name: str, folder: Path, model: dbsa.LanguageModel, count: int, pool_tokens: int, whole: Labels
) -> list[dict[str, Any]]:
    """Both methods on one data set."""
    task, drawn = task_of(name, folder, model, count)
    setup = dbsa.Setup.of(task, dbsa.EncodeSettings(pool_tokens=pool_tokens, seed=SEED)).encode()
    rows = []
    for method in METHODS:
        labels = [label for label, _ in answers(method, setup, [row.text for row in drawn], backwards=False)]
        rows.append(
            {
                "dataset": name,
                "method": method,
                "weights": model.weights,
                "n": len(drawn),
                "pool_tokens": setup.encoded_pool().tokens,
                "accuracy": share(labels, [row.label for row in drawn]),
                "same_label": share(labels, whole.setdefault((name, method), labels)),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    arguments = options(__doc__, 250)
    rows: list[dict[str, Any]] = []
    whole: Labels = {}
    arguments.out.mkdir(parents=True, exist_ok=True)
    for weights in WEIGHTS:
        try:
            model = dbsa.LanguageModel.load(arguments.model, device=arguments.device, weights=weights)
        except ModelError as error:
            print(f"{weights} is left out: {error}", flush=True)
            continue
        for name in SETS:
            rows += run(name, arguments.data / name, model, arguments.rows, arguments.pool_tokens, whole)
            config = {"model": model.name.split(",")[0], "seed": SEED, "rows": arguments.rows}
            target = arguments.out / f"weights-accuracy-{model.device.type}.json"
            target.write_text(json.dumps({**described(model, config), "rows": rows}, indent=1) + "\n", encoding="utf-8")
        del model
    print(f"written: {target.name}")


if __name__ == "__main__":
    main()
