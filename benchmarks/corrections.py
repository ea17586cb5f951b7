"""Which corrections of answers make them more accurate?

    python benchmarks/corrections.py [--data FOLDER] [--model MODEL] [--rows 400] [--pool-tokens 28000] [--sets trec,..]

Asked are rows of the training files that no method reads (`draw_validation`), never test rows. What a correction fits,
it fits on other ones of these rows than it is judged by, in five folds. Writes
`benchmarks/results/corrections-<device>.json` with rows of `{dataset, correction, n, right, right_each, accuracy,
accuracy_low, accuracy_high, value}`: `value` is the mean of what was fitted, where that is one number. Rows of the same
run, by its configuration, for sets that are not named are kept: it may be measured in pieces.
With `--scores FOLDER` the label scores are kept there, and no model is asked where they are.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import dbsa_core as dbsa  # noqa: E402  # the script runs without an installation
from benchmarks import corrected  # noqa: E402
from benchmarks.corrected import Asked, Correction  # noqa: E402
from benchmarks.pieces import Pieces, hits, options  # noqa: E402
from benchmarks.small_accuracy import SEED, task_of  # noqa: E402
from dbsa_core.attention import parts  # noqa: E402
from dbsa_core.attention.partial import Partial  # noqa: E402
from dbsa_core.classifiers import CLASSIFIERS  # noqa: E402
from dbsa_core.retrieve import DEFAULT_EMBEDDER  # noqa: E402
from dbsa_core.stage2 import scoring  # noqa: E402
from dbsa_core.validation import Validation, draw_validation  # noqa: E402

BASE = "hybrid 8, 0.3"
_FEW = dbsa.QuerySettings(row_retriever="hybrid")
_MORE = dbsa.QuerySettings(ratio=0.1, fresh_demonstrations=16, retriever="hybrid", row_retriever="hybrid")
READ: Mapping[str, tuple[str, dbsa.QuerySettings]] = {
    BASE: ("dbsa_fresh", _FEW),
    "bm25 8, 0.3": ("dbsa_fresh", dbsa.QuerySettings()),
    "hybrid 8, 0.1": ("dbsa_fresh", replace(_FEW, ratio=0.1)),
    "hybrid 16, 0.1": ("dbsa_fresh", _MORE),
    "dense 16, 0.1": ("dbsa_fresh", replace(_MORE, retriever="dense", row_retriever="dense")),
    "hybrid 32, 0.1": ("dbsa_fresh", replace(_MORE, fresh_demonstrations=32)),
    "paper, 0.3": ("dbsa", dbsa.QuerySettings()),
    "hybrid 32 alone": ("nearest", replace(_MORE, fresh_demonstrations=32)),
}
"""Ways of reading: similar rows by what and how many, and the ratio."""
WEIGHED = {f"context x {scale:g}, temperature {heat:g}": (scale, heat) for scale, heat in
           ((1, 0.9), (1, 1.1), (0.5, 1), (2, 1))}  # fmt: skip
"""The same as `BASE` with the cached context's attention weighed by a scale and sharpened by a temperature."""
SCORES = "{}.npz"


@contextmanager
def context_weighed(scale: float, temperature: float) -> Iterator[None]:
    """Within it, what a query attends to of its blocks weighs `scale` times as much beside its similar rows and itself,
    and its scores on them are divided by `temperature` (arXiv 2502.05431, where the shared prefix is left as it is:
    here the first block is). At 1 and 1, nothing is changed."""
    stock = parts.stretches_attention

    def weighed(queries: torch.Tensor, *others: Any) -> Partial:
        divided = queries / temperature
        divided[0] = queries[0]
        found = stock(divided, *others)
        assert found.log_sum_exp is not None
        weight = torch.full_like(found.log_sum_exp, float(np.log(scale)))
        weight[0] = 0.0
        return Partial(found.output, found.log_sum_exp + weight)

    # Captured queries and batches have a kernel of their own, which is left as it is.
    with (
        mock.patch.object(parts, "stretches_attention", weighed),
        mock.patch.object(scoring, "can_capture", return_value=False),
        mock.patch.object(scoring, "_step_for", return_value=scoring.Found()),
    ):
        yield


def scores_of(name: str, settings: dbsa.QuerySettings, asked: Validation) -> np.ndarray:
    """Log-probabilities [rows, labels] of one way of reading."""
    method = dbsa.make_method(name, settings).fit(asked.setup)
    answers = method.predict_many([row.text for row in asked.demonstrations])
    return np.array([found.scores.log_probs for found in answers])


def votes_of(asked: Validation) -> dict[str, np.ndarray]:
    """Log-probabilities [rows, labels] by classifiers of the rows that may be read, and by the nearest of them."""
    setup, task = asked.setup, asked.setup.task
    rows = np.array([row for row in range(len(task.pool)) if row not in setup.unread])
    places = {label: place for place, label in enumerate(task.pool.labels)}
    labels = np.array([places[task.pool.demonstrations[row].label] for row in rows])
    texts, embeddings = [row.text for row in asked.demonstrations], task.embeddings(DEFAULT_EMBEDDER)
    embeddings.ahead(texts)
    vectors, queries = embeddings.vectors[rows], np.array([embeddings.query(text) for text in texts])
    found = {"nearest": corrected.votes_of_nearest(queries, vectors, labels, len(places))}
    for name in CLASSIFIERS:
        settings = dbsa.QuerySettings(votes=name)
        found[name] = np.array([setup.votes(settings, text) for text in texts])
    return found


CORRECTIONS: Mapping[str, Correction] = {
    **{name: partial(corrected.as_read, name) for name in (*READ, *WEIGHED)},
    "bias": partial(corrected.biased, BASE),
    "batch calibration": partial(corrected.batch_calibrated, BASE),
    "mean of 2": partial(corrected.averaged, (BASE, "dense 16, 0.1")),
    "mean of 3": partial(corrected.averaged, (BASE, "dense 16, 0.1", "hybrid 32, 0.1")),
    "adaptive": partial(corrected.adaptive, "hybrid 8, 0.1", BASE),
    **{
        f"votes of {names}{said}": partial(corrected.voted, BASE, names.split("+"), weight=weight)
        for names in ("words", "nearest", "vectors", "words+vectors")
        for said, weight in (("", None), (", weight 1", 1.0))
    },
    "votes of words+vectors, bias": partial(corrected.voted_and_biased, BASE, CLASSIFIERS),
    "mean of 2, votes of words+vectors": partial(corrected.averaged_and_voted, (BASE, "dense 16, 0.1"), CLASSIFIERS),
    **{f"{name}; votes of words+vectors": partial(corrected.voted, name, CLASSIFIERS) for name in READ if name != BASE},
    **{f"{name} alone": partial(corrected.by_votes_alone, name) for name in ("words", "nearest", "vectors")},
}
"""By name; those of no way of reading are of `BASE`."""


def asked_of(
    name: str, args: argparse.Namespace, model: dbsa.LanguageModel, before: Asked | None, path: Path | None
) -> Asked:
    """Ask the model in every way that it was not asked in before; each is kept at once, where there is a path."""
    task, _ = task_of(name, args.data / name, model, 0)
    setup = dbsa.Setup.of(task, dbsa.EncodeSettings(pool_tokens=args.pool_tokens, seed=SEED))
    asked = draw_validation(setup, rows=args.rows, seed=SEED).encode()
    places = {label: place for place, label in enumerate(task.pool.labels)}
    gold = np.array([places[row.label] for row in asked.demonstrations])
    if before is not None and not np.array_equal(before.gold, gold):
        raise SystemExit(f"The scores that were kept of {name} are of other rows; give another folder.")
    found = before or Asked(gold, {}, {})
    scores = {**found.scores}
    for way in [way for way in (*READ, *WEIGHED) if way not in scores]:
        begun = time.perf_counter()
        with context_weighed(*WEIGHED[way]) if way in WEIGHED else nullcontext():
            scores[way] = scores_of(*READ.get(way, READ[BASE]), asked)
        print(f"{name}, {way}: {time.perf_counter() - begun:.0f} s", flush=True)
        if path is not None:
            kept(Asked(gold, scores, found.votes), path)
    begun = time.perf_counter()
    votes = found.votes or votes_of(asked)
    print(f"{name}, votes: {time.perf_counter() - begun:.0f} s", flush=True)
    return Asked(gold, scores, votes)


def kept(asked: Asked, path: Path) -> None:
    """In a file that `read_back` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f"scores/{name}": of for name, of in asked.scores.items()}
    arrays |= {f"votes/{name}": of for name, of in asked.votes.items()}
    np.savez_compressed(path, gold=asked.gold, **arrays)


def read_back(path: Path) -> Asked:
    found = np.load(path)
    of: dict[str, dict[str, Any]] = {"scores": {}, "votes": {}}
    for key in found.files:
        kind, _, name = key.partition("/")
        if kind in of:
            of[kind][name] = found[key]
    return Asked(found["gold"], of["scores"], of["votes"])


def measured(correction: str, asked: Asked) -> dict[str, Any]:
    scores, fits = corrected.crossed(CORRECTIONS[correction], asked)
    value = float(np.mean([fit.value for fit in fits]))
    return {
        "correction": correction,
        **hits((scores.argmax(1) == asked.gold).tolist()),
        "value": value if np.isfinite(value) else None,
    }


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--pool-tokens", type=int, default=28_000)
    parser.add_argument("--scores", type=Path, default=None, help="a folder of the label scores, kept between runs")
    args = parser.parse_args()
    model, sets, found = Pieces.begin(args, "corrections", pool_tokens=args.pool_tokens, rows=args.rows)
    for name in sets:
        begun = time.perf_counter()
        path = None if args.scores is None else args.scores / SCORES.format(name)
        asked = read_back(path) if path is not None and path.is_file() else None
        if asked is None or not asked.votes or not {*READ, *WEIGHED} <= asked.scores.keys():
            asked = asked_of(name, args, model, asked, path)
            if path is not None:
                kept(asked, path)
        for correction in CORRECTIONS:
            row = {"dataset": name, **measured(correction, asked)}
            found.rows.append(row)
            value = "" if row["value"] is None else f"{row['value']:.2f}"
            print(f"{name:10s} {correction:40s} {row['accuracy']:.3f} {value}", flush=True)
        print(f"{name}: {time.perf_counter() - begun:.0f} s", flush=True)
        found.write()


if __name__ == "__main__":
    main()
