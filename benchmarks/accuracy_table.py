"""The tables of `benchmarks/accuracy.py`: the first part of docs/RESULTS.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy_draws import COST, RECALL, SCOPE, WITHOUT_OPTION, drawn_rows
from benchmarks.markdown import ALL_SETS, NAMES, number, paragraph, versions
from dbsa_core.evaluation.measures import Estimate
from dbsa_core.evaluation.result import WITH_OPTION, WORD_COUNTS

Row = dict[str, Any]
OURS, SLOWEST = "dbsa_tuned", "retrieval_icl_file"
IN_README = (OURS, "dbsa_fresh", "dbsa", WORD_COUNTS)
RESAMPLES = 4_000
NAMED = {**ALL_SETS, "example": "Bundled example"}
READS = {"encoded": "the pool", "all": "the whole file", "none": "no row"}
OPTION = (
    "Where a label is out of scope (Clinic-150), each method stands there with a reject option too, which is fitted on "
    "rows of the training file; on other sets it is the method as it is."
)
PUBLISHED = 0.926
"""Mean of ordinary fine-tuned encoders on these sets, as published."""


@lru_cache(maxsize=32)
def _resamples(count: int, seed: int) -> NDArray[np.float32]:
    """[RESAMPLES, count]: how often each of so many rows is in each resample."""
    draw = np.random.default_rng(seed)
    return draw.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(np.float32)


class Table:
    """Rows by method and data set, each data set's by its seeds."""

    def __init__(self, found: dict[str, Any]):
        self.rows: list[Row] = found["rows"]
        self.asked: int = found["config"]["rows"]
        self.sets = [name for name in NAMED if any(row["dataset"] == name for row in self.rows)]
        by_seed = ({row["seed"] for row in self.rows if row["dataset"] == name} for name in self.sets)
        self.seeds = sorted(set.intersection(*by_seed))
        """Those of which something was measured on all sets: it is measured in pieces."""
        self.rows = [row for row in self.rows if row["seed"] in self.seeds]
        self._means: dict[tuple[str, bool], Estimate] = {}

    def of(self, method: str, name: str) -> list[Row]:
        """One a seed; without a reject option where there is none with one on that set."""
        for each in (method, _plain(method)):
            if found := [row for row in self.rows if (row["method"], row["dataset"]) == (each, name)]:
                return sorted(found, key=lambda row: row["seed"])
        return []

    def methods(self) -> list[str]:
        """Those that were measured on all sets with all seeds."""
        names = dict.fromkeys(row["method"] for row in self.rows)
        return [name for name in names if all(len(self.of(name, each)) == len(self.seeds) for each in self.sets)]

    def mean(self, method: str, *, unseen: bool = False) -> Estimate:
        """Of the sets' accuracies, with its interval of 95 %; `unseen`: of rows alone whose text is not in the training
        file."""
        if (method, unseen) not in self._means:
            hits = ([self._hits(row, unseen) for row in self.of(method, name)] for name in self.sets)
            self._means[method, unseen] = self._bootstrapped(hits)
        return self._means[method, unseen]

    def difference(self, method: str, other: str, only: str | None = None) -> Estimate:
        """In the mean of the sets, or on one `only`, on the same rows."""
        sets = self.sets if only is None else [only]
        pairs = ([*zip(self.of(method, name), self.of(other, name), strict=True)] for name in sets)
        return self._bootstrapped(
            [(self._hits(one, False)[0], self._hits(one, False)[1] - self._hits(two, False)[1]) for one, two in each]
            for each in pairs
        )

    def latency(self, method: str) -> float:
        """Seconds of a query, the mean over sets and seeds of their medians."""
        return float(np.mean([row["latency_p50_seconds"] for name in self.sets for row in self.of(method, name)]))

    def share(self, method: str, name: str, key: str = "accuracy", of: str = "") -> float:
        return float(np.mean([(row[of] if of else row)[key] for row in self.of(method, name)]))

    def _hits(self, row: Row, unseen: bool) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Which rows of the test file were asked about, and whether each was right."""
        places = np.array(drawn_rows(row["test_rows"], row["seed"], self.asked))
        right = np.array([*map(int, row["right_each"])], float)
        kept = np.array([each == "0" for each in row["seen_each"]]) if unseen else np.ones(len(right), bool)
        return places[kept], right[kept]

    def _bootstrapped(self, sets: Iterable[Sequence[tuple[NDArray[np.intp], NDArray[np.float64]]]]) -> Estimate:
        """Mean of the sets' means; test rows are resampled within each set, a row with all seeds that drew it."""
        values, resampled, each = [], np.zeros(RESAMPLES), list(sets)
        for place_of_set, seeds in enumerate(each):
            at, value = (np.concatenate([pair[side] for pair in seeds]) for side in (0, 1))
            _, place = np.unique(at, return_inverse=True)
            sums, counts = np.bincount(place, value), np.bincount(place)
            drawn = _resamples(len(sums), place_of_set)
            values.append(sums.sum() / counts.sum())
            resampled += (drawn @ sums) / (drawn @ counts) / len(each)
        low, high = np.quantile(resampled, [0.025, 0.975])
        return Estimate(float(np.mean(values)), float(low), float(high))


def methods_section(found: dict[str, Any]) -> list[str]:
    """All of it."""
    table, config = Table(found), found["config"]
    methods = table.methods()
    command = "make accuracy" if "example" in table.sets else "python benchmarks/accuracy.py --model ..."
    lines = [
        f"## Accuracy, {config['model']}",
        "",
        paragraph(
            f"`{command}`: {config['model']}, pools of",
            f"{config['pool_tokens']:,} tokens drawn with the seed{'s' if len(table.seeds) > 1 else ''}",
            f"{', '.join(map(str, table.seeds))}, up to",
            f"{config['rows']} test rows a set and seed (drawn with the seed); {found['device']}, {found['dtype']},",
            f"{versions(found)}. `dbsa_tuned` answers by",
            "settings that `tune` chose for a set beforehand, on rows of its training file",
            "(`benchmarks/results/tuned-*/`). Means are of the sets, with intervals of 95 %: test rows are resampled",
            f"within each set, {RESAMPLES:,} times.",
            *([OPTION] if any(row["oos_recall"] is not None for row in table.rows) else []),
        ),
        "",
    ]
    if left := [name for name in dict.fromkeys(row["method"] for row in found["rows"]) if name not in methods]:
        lines += [f"Not yet measured on every set with every seed: {', '.join(f'`{name}`' for name in left)}.", ""]
    lines += _means(table, methods)
    lines += ["", *_against(table, methods), "", *_scope(table, methods)]
    return lines


def _means(table: Table, methods: Sequence[str]) -> list[str]:
    heads = ["method", "may read", *(NAMED[name] for name in table.sets), "mean", "texts not in the file", "ms"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    order = sorted(methods, key=lambda each: (_reads(table, each), -table.mean(each).value))
    for method in order:
        shares = [f"{table.share(method, name):.3f}" for name in table.sets]
        mean, unseen = _interval(table.mean(method)), f"{table.mean(method, unseen=True).value:.3f}"
        cells = [_called(method), READS[_reads(table, method)], *shares, mean, unseen]
        lines.append(f"| {' | '.join(cells)} | {number(1000 * table.latency(method))} |")
    return lines


def _against(table: Table, methods: Sequence[str]) -> list[str]:
    if OURS not in methods:
        return []
    mine = table.mean(OURS)
    published = f"Ordinary fine-tuned encoders, as published: {PUBLISHED:.3f}." if {*table.sets} == {*ALL_SETS} else ""
    lines = [
        paragraph(
            f"`{OURS}` answers {_interval(mine)} of the test rows rightly.",
            published,
            "Beside each baseline, with a reject option or without, whichever is the better:",
        ),
        "",
        "| baseline | points behind | 95 % | beyond chance |",
        "|---|---|---|---|",
    ]
    for method in _baselines(methods):
        best = max(_ways(method, methods), key=lambda each: table.mean(each).value)
        found = table.difference(OURS, best)
        points = [100 * value for value in (found.value, found.low, found.high)]
        lines.append(
            f"| {_called(best)} | {points[0]:.1f} | {points[1]:+.1f} to {points[2]:+.1f} | "
            f"{'yes' if found.low > 0 else 'no'} |"
        )
    if WORD_COUNTS in methods:
        lines += ["", _beside_word_counts(table, methods)]
    if SLOWEST in methods:
        share = table.latency(OURS) / table.latency(SLOWEST)
        lines += ["", f"A query of `{OURS}` takes {share:.2f} of the time of `{SLOWEST}`."]
    if paper := {"fixed_icl", "retrieval_icl", "dbsa"} & {*methods}:
        rivals = [table.mean(each).value for each in paper - {"dbsa"}]
        if "dbsa" in paper and rivals:
            ratio = table.mean("dbsa").value / max(rivals)
            lines += ["", f"DBSA as in the paper has {ratio:.1%} of the best of Fixed and Retrieval ICL from the pool."]
    return lines


def readme_accuracy(on_gpu: dict[str, Any], on_cpu: dict[str, Any]) -> str:
    """The means of the table of a GPU, and a sentence on that of a CPU."""
    table, small = Table(on_gpu), Table(on_cpu)
    methods = table.methods()
    lines = ["| | accuracy | ms a query |", "|---|---|---|"]
    plain = [each for each in methods if each == _plain(each)]
    best = {each: max(_ways(each, methods), key=lambda way: table.mean(way).value) for each in plain}
    for method in sorted(plain, key=lambda each: -table.mean(best[each]).value):
        lines.append(
            f"| {NAMES[method]} | {_interval(table.mean(best[method]))} | {number(1000 * table.latency(method))} |"
        )
    config, draws = on_gpu["config"], len(table.seeds)
    about = paragraph(
        f"{config['model']} on one {on_gpu['device']}, pools of {config['pool_tokens']:,} tokens,",
        f"{draws} draw{'s' if draws > 1 else ''} of up to {config['rows']} test rows; the mean of",
        f"{', '.join(NAMED[name] for name in table.sets)}, with intervals of 95 %; with a reject option where that is",
        f"better. Ordinary fine-tuned encoders have {PUBLISHED} there, as published. Each set by itself, and which",
        "differences are beyond chance: [docs/RESULTS.md](docs/RESULTS.md).",
    )
    each = [f"{NAMES[name]}: {_interval(small.mean(name))}" for name in IN_README]
    beside = paragraph(
        f"With the embedded model on a CPU (`make accuracy`), pools of {on_cpu['config']['pool_tokens']:,} tokens,",
        f"{on_cpu['config']['rows']} test rows of each of {', '.join(NAMED[name] for name in small.sets)}:",
        f"{'; '.join(each)}. A query of the first takes {small.latency(OURS):.1f} s.",
    )
    refused = [_refused(table, name) for name in table.sets if all("at_recall" in row for row in table.of(OURS, name))]
    return "\n\n".join(["\n".join(lines), about, *refused, beside])


def _refused(table: Table, name: str) -> str:
    """What ours makes of a set that has a label out of scope."""
    right, recall = (table.share(OURS, name, key) for key in SCOPE[1:])
    other, less = (table.share(OURS, name, key, "at_recall") for key in SCOPE[1:])
    return paragraph(
        f"{NAMED[name]} has texts that no label fits: tuned DBSA refuses {recall:.2f} of them and answers {right:.3f}",
        f"of the others rightly; with a threshold for a recall of {RECALL} (`--reject-recall {RECALL}`) it refuses",
        f"{less:.2f}, and {other:.3f} of the others are right.",
    )


def _beside_word_counts(table: Table, methods: Sequence[str]) -> str:
    """Set by set: a word-count model must not be better unnoticed."""
    each, below = [], []
    for name in table.sets:
        other = max(_ways(WORD_COUNTS, methods), key=lambda way: table.share(way, name))
        found = table.difference(OURS, other, name)
        points = [100 * value for value in (found.value, found.low, found.high)]
        each.append(f"{NAMED[name]} {points[0]:+.1f} ({points[1]:+.1f} to {points[2]:+.1f})")
        below += [NAMED[name]] if found.high < 0 else []
    told = f"It is **below** beyond chance on {', '.join(below)}." if below else "It is below beyond chance on none."
    return paragraph(f"Beside a word-count model (`{WORD_COUNTS}`), in points on each set: {', '.join(each)}. {told}")


def _ways(method: str, methods: Sequence[str]) -> list[str]:
    """With a reject option and without, of what was measured."""
    return [each for each in (method, method + WITH_OPTION) if each in methods]


def _scope(table: Table, methods: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for name in table.sets:
        mine = [each for each in methods if all(row["oos_recall"] is not None for row in table.of(each, name))]
        if not mine:
            continue
        lines += [
            paragraph(
                f"{NAMED[name]}, of whose test rows some have the label out of scope: accuracy, that in scope, and",
                "recall out of scope. *At a cost of a point*: by the greatest threshold that costs no more than a",
                "point of the accuracy in scope on the rows that the option was fitted on",
                f"(`RejectOption.at_cost({COST})`, `--reject-cost {COST}`); *at a recall of {RECALL}*: by the least",
                f"that refuses so much of those that no label fits there (`at_recall({RECALL})`,",
                f"`--reject-recall {RECALL}`); where that is empty, it was not measured.",
            ),
            "",
            "| method | accuracy | in scope | recall | "
            f"at a cost of a point | in scope | recall | at a recall of {RECALL} | in scope | recall |",
            "|" + "---|" * 10,
        ]
        for each in sorted(mine, key=lambda each: -table.share(each, name)):
            cells = [f"{table.share(each, name, key):.3f}" for key in SCOPE]
            for other in ("at_cost", "at_recall"):
                known = all(other in row for row in table.of(each, name))
                cells += [f"{table.share(each, name, key, other):.3f}" if known else "" for key in SCOPE]
            lines.append(f"| {_called(each)} | {' | '.join(cells)} |")
    return lines


def _baselines(methods: Sequence[str]) -> list[str]:
    return [each for each in methods if not each.startswith("dbsa") and each == _plain(each)]


def _reads(table: Table, method: str) -> str:
    found: str = table.of(method, table.sets[0])[0]["may_read"]
    return found


def _plain(method: str) -> str:
    """In the registry."""
    return method.removesuffix(WITH_OPTION).removesuffix(WITHOUT_OPTION)


def _called(method: str) -> str:
    plain = _plain(method)
    more = {WITH_OPTION: ", with a reject option", WITHOUT_OPTION: ", without its reject option"}
    return f"`{plain}`: {NAMES.get(plain, plain)}{more.get(method.removeprefix(plain), '')}"


def _interval(found: Estimate) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
