"""What does `tune` choose for each data set, what does it bring, and how long does it take?

    python benchmarks/tuning.py [--data FOLDER] [--model MODEL] [--rows 300] [--pool-tokens 28000] [--sets trec,..]

Chosen is by rows of the training files that no method reads, and judged by as many other ones; never by test rows.
Writes `benchmarks/results/tuning-<device>.json` with rows of `{dataset, asked, name, n, right, right_each, accuracy,
accuracy_low, accuracy_high, latency_p50_seconds, p, role, on_frontier, reading, votes, vote_weight, tuning_seconds,
reject, in_scope_accuracy, oos_recall}`: where `asked` is "chosen by" one for each candidate, `p` being against the
preferred one; where it is "other rows" one for what was chosen, for what is preferred by other files, and for the
default settings, and with a label out of scope one more of each with a reject option. Rows of the same run, by its
configuration, for sets that are not named are kept: it may be measured in pieces.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import dbsa_core as dbsa  # noqa: E402  # the script runs without an installation
from benchmarks.pieces import Pieces, hits, options  # noqa: E402
from benchmarks.small_accuracy import SEED, task_of  # noqa: E402
from dbsa_core import QuerySettings  # noqa: E402
from dbsa_core.methods.dbsa import Dbsa  # noqa: E402
from dbsa_core.prediction import Prediction  # noqa: E402
from dbsa_core.reject import Rejecting, RejectOptions  # noqa: E402
from dbsa_core.scope import guessed_out_of_scope  # noqa: E402
from dbsa_core.tuning import BUDGET_SECONDS, Tuned, described  # noqa: E402
from dbsa_core.validation import Validation, draw_validation  # noqa: E402

CHOSEN_BY, OTHERS = "chosen by", "other rows"


def judged(name: str, found: Tuned, drawn: Validation, label: str | None) -> list[dict[str, Any]]:
    """What was chosen, what is preferred and the default settings, on rows that it was not chosen by; with a label out
    of scope also with a reject option, which is fitted on other rows too."""
    rows, texts = [], [row.text for row in drawn.demonstrations]
    asked: dict[QuerySettings, dict[bool, list[Prediction]]] = {}
    options = RejectOptions(drawn.setup, label)
    preferred = found.candidates[found.preferred].settings or QuerySettings()
    for role, settings in (
        ("chosen", found.settings.query),
        ("preferred", preferred),
        ("default", QuerySettings()),
    ):
        if settings not in asked:
            method = Dbsa(settings).fit(drawn.setup)
            plain = [found for found in method.predict_many(texts) if isinstance(found, Prediction)]
            asked[settings] = {False: plain}
            if label is not None:
                asked[settings][True] = [*map(Rejecting(method, options.fit(method)).judged, plain)]
        for reject, answers in asked[settings].items():
            right = [answer.label == row.label for answer, row in zip(answers, drawn.demonstrations, strict=True)]
            within = [each for each, row in zip(right, drawn.demonstrations, strict=True) if row.label != label]
            outside = [each for each, row in zip(right, drawn.demonstrations, strict=True) if row.label == label]
            about = {"dataset": name, "asked": OTHERS, "role": role, "reject": reject, **hits(right)}
            recall = sum(outside) / len(outside) if outside else None
            rows.append({**about, "in_scope_accuracy": sum(within) / len(within), "oos_recall": recall})
    return rows


def rows_of(name: str, found: Tuned) -> list[dict[str, Any]]:
    """One for each candidate."""
    told, rows = found.as_json()["candidates"], []
    for each, plain in zip(found.candidates, told, strict=True):
        settings, weight = each.settings, None
        reading, votes = "none", each.name
        if settings is not None:
            reading, votes = described(replace(settings, votes="none")), settings.votes
            weight = settings.vote_weight if settings.voters else None
        rows.append(
            {"dataset": name, "asked": CHOSEN_BY, **plain, **hits(each.right.tolist()), "reading": reading,
             "votes": votes, "vote_weight": weight, "tuning_seconds": found.seconds}
        )  # fmt: skip
    return rows


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--pool-tokens", type=int, default=28_000)
    parser.add_argument("--budget", type=float, default=BUDGET_SECONDS)
    args = parser.parse_args()
    config = {"rows": args.rows, "pool_tokens": args.pool_tokens, "budget": args.budget}
    model, sets, found = Pieces.begin(args, "tuning", **config)
    for name in sets:
        task, _ = task_of(name, args.data / name, model, 0)
        setup = dbsa.Setup.of(task, dbsa.EncodeSettings(pool_tokens=args.pool_tokens, seed=SEED))
        label = guessed_out_of_scope(task.pool.labels)
        drawn = draw_validation(setup, rows=args.rows, out_of_scope=label, seed=SEED + 1).encode()
        tuned = dbsa.tune(drawn.setup, rows=args.rows, budget_seconds=args.budget, out_of_scope=label, seed=SEED)
        found.rows += rows_of(name, tuned) + judged(name, tuned, drawn, label)
        found.write()
        print(f"{name}: {tuned.seconds:.1f} s, reject {tuned.settings.reject}. {tuned.sentence}", flush=True)


if __name__ == "__main__":
    main()
