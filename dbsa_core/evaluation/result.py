"""What an evaluation found: each method's answers to the test rows, and what they took.

Knows nothing about how it was found, nor how it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, combinations
from typing import Any

from dbsa_core.costs import break_even
from dbsa_core.evaluation.measures import (
    Bin,
    Comparison,
    Estimate,
    calibration_error,
    compared,
    macro_f1,
    reliability,
    share,
)
from dbsa_core.methods import MayRead
from dbsa_core.prediction import REFUSED
from dbsa_core.reject import RejectOption

WORD_COUNTS = "tfidf"
"""The method that a language model has to beat."""
WITH_OPTION = "+reject"
"""Behind a method's name where its answers are those with a reject option."""


@dataclass(frozen=True)
class Evaluation:
    """One method's result. Answers are those to many rows asked together, and so is the throughput; latencies are those
    of whole queries, each asked alone, the first (cold) one left out."""

    method: str
    title: str
    """What people call it."""
    may_read: MayRead
    """Which rows it may read: those that are encoded, all of the file, or none."""
    setup_seconds: float
    latency_n: int
    """Queries whose latency was measured: those of a sample that were answered."""
    latency_p50_seconds: float
    latency_p95_seconds: float
    latency_iqr_seconds: float
    """Spread: the 75th percentile less the 25th."""
    throughput_n: int
    """Queries that were answered together, those left out that were the first of their kind."""
    queries_per_second: float | None
    """Of them, each with all that it takes; None where the evaluation was stopped before."""
    context_tokens: float
    """Tokens that a label attends to, on average."""
    example_tokens: float
    """Of demonstrations that went through the model with a query, on average."""
    kv_bytes: int
    """Keys and values that it keeps between queries."""
    gold: tuple[str, ...]
    predicted: tuple[str, ...]
    probabilities: tuple[float | None, ...]
    """Of the label; None where there is no answer, and for greedy decoding."""
    unseen_labels: tuple[str, ...] = ()
    """Labels of test rows that are not among the candidates: such rows count as wrong."""
    unanswered: int = 0
    """Test rows that fit no context; they count as wrong, and have "" in `predicted`."""
    out_of_scope: str | None = None
    """The label of texts that fit no other one."""
    nearest: tuple[str, ...] = ()
    """With a reject option, the labels that were the answers if it refused nothing; else empty."""
    in_scope_scores: tuple[float | None, ...] = ()
    """From 0, no label fits, to 1; None where there is no answer."""
    option: RejectOption | None = None
    """The reject option, where there is one."""
    among: tuple[int, ...] | None = None
    """Places of its rows among the test rows; None where they are the first ones."""
    no_option: str = ""
    """Why it is shown without a reject option, where one was asked for."""

    @property
    def threshold(self) -> float | None:
        """Rows of a lower score are refused; None without a reject option."""
        return self.option.threshold if self.option is not None else None

    @property
    def n(self) -> int:
        return len(self.gold)

    @property
    def places(self) -> Sequence[int]:
        """Of its rows among the test rows."""
        return range(self.n) if self.among is None else self.among

    @cached_property
    def right(self) -> tuple[bool, ...]:
        """Whether each row was answered by its label."""
        return tuple(answer == label for answer, label in zip(self.predicted, self.gold, strict=True))

    @property
    def wrong(self) -> int:
        """Rows that were not."""
        return self.n - sum(self.right)

    @property
    def accuracy(self) -> float:
        return self.accuracy_estimate.value

    @cached_property
    def accuracy_estimate(self) -> Estimate:
        """With its interval."""
        return share(sum(self.right), self.n)

    @cached_property
    def macro_f1(self) -> Estimate:
        return macro_f1(self.gold, self.predicted)

    @cached_property
    def in_scope_accuracy(self) -> Estimate | None:
        """Of the rows that have another label than `out_of_scope`; None where no label is that, or no row is so."""
        return self._share_of(in_scope=True)

    @cached_property
    def oos_recall(self) -> Estimate | None:
        """Share of the rows of that label that were answered so; None where no label is that, or no row has it."""
        return self._share_of(in_scope=False)

    def _share_of(self, *, in_scope: bool) -> Estimate | None:
        if self.out_of_scope is None:
            return None
        mine = [
            hit for hit, label in zip(self.right, self.gold, strict=True) if (label != self.out_of_scope) is in_scope
        ]
        return share(sum(mine), len(mine)) if mine else None

    @cached_property
    def coverage(self) -> Estimate | None:
        """Share of the rows that were answered with a label that is not the one out of scope; None without a reject
        option."""
        return share(sum(self._kept), self.n) if self.threshold is not None else None

    @cached_property
    def answered_accuracy(self) -> Estimate | None:
        """Accuracy of those; None without a reject option, or where there are none."""
        if self.threshold is None or not any(self._kept):
            return None
        return share(sum(kept and hit for kept, hit in zip(self._kept, self.right, strict=True)), sum(self._kept))

    @property
    def _kept(self) -> list[bool]:
        return [answer not in ("", REFUSED, self.out_of_scope) for answer in self.predicted]

    def coverage_curve(self) -> list[tuple[float, float, float]]:
        """Of each threshold that tells rows apart: itself, the share of rows that it answers with a label, and how many
        of these are right. Empty without a reject option."""
        known = [
            (score, answer == label)
            for score, answer, label in zip(self.in_scope_scores, self.nearest, self.gold, strict=False)
            if score is not None
        ]
        ranked = sorted(known, key=lambda each: -each[0])
        right = accumulate(hit for _, hit in ranked)
        found = [(ranked[at][0], (at + 1) / self.n, hits / (at + 1)) for at, hits in enumerate(right)]
        return [each for at, each in enumerate(found) if at + 1 == len(found) or found[at + 1][0] < each[0]]

    @cached_property
    def reliability(self) -> tuple[Bin, ...]:
        """Accuracy of answers by their probability; empty for greedy decoding."""
        known = [(p, hit) for p, hit in zip(self.probabilities, self.right, strict=True) if p is not None]
        return reliability([p for p, _ in known], [hit for _, hit in known])

    @property
    def calibration_error(self) -> float | None:
        return calibration_error(self.reliability) if self.reliability else None

    def confusion(self) -> dict[tuple[str, str], int]:
        """How many rows have these two labels: right, and answered. The most frequent mistakes first."""
        counts: dict[tuple[str, str], int] = {}
        for pair in zip(self.gold, self.predicted, strict=True):
            counts[pair] = counts.get(pair, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: (item[0][0] == item[0][1], -item[1], item[0])))

    def paid_for_itself(self, other: Evaluation) -> int | None:
        """From how many queries on it has taken less time in all than the other; None where it is never so."""
        setup = self.setup_seconds, other.setup_seconds
        return break_even(setup, (self.latency_p50_seconds, other.latency_p50_seconds))

    def as_json(self) -> dict[str, Any]:
        """Without the single answers; a share has its interval in `..._low` and `..._high`."""
        found: dict[str, Any] = {"method": self.method, "n": self.n}
        for name, estimate in self._estimates().items():
            found |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        found["calibration_error"] = self.calibration_error
        found["setup_seconds"] = self.setup_seconds
        latencies = ("latency_n", "latency_p50_seconds", "latency_p95_seconds", "latency_iqr_seconds")
        rest = (*latencies, "throughput_n", "queries_per_second", "context_tokens", "example_tokens", "kv_bytes")
        found |= {name: getattr(self, name) for name in rest}
        if self.threshold is not None:
            found["threshold"] = self.threshold
        if self.no_option:
            found["no_option"] = self.no_option
        if self.unseen_labels:
            found["unseen_labels"] = list(self.unseen_labels)
        if self.unanswered:
            found["unanswered"] = self.unanswered
        return found

    def _estimates(self) -> dict[str, Estimate]:
        found = {"accuracy": self.accuracy_estimate, "macro_f1": self.macro_f1}
        apart = {"in_scope_accuracy": self.in_scope_accuracy, "oos_recall": self.oos_recall}
        apart |= {"coverage": self.coverage, "answered_accuracy": self.answered_accuracy}
        return found | {name: estimate for name, estimate in apart.items() if estimate is not None}


def comparisons(results: Sequence[Evaluation]) -> list[Comparison]:
    """Of every two methods, on the rows that both were asked."""
    return [compared(one.method, other.method, one.right, other.right) for one, other in combinations(results, 2)]


def may_refuse(results: Sequence[Evaluation]) -> bool:
    """Whether some of them are with a reject option."""
    return any(found.threshold is not None for found in results)


def without_option(results: Sequence[Evaluation]) -> list[str]:
    """Why some of them are shown without a reject option, where one was asked for, in sentences."""
    left = [found for found in results if found.no_option]
    return [f"{found.title} is shown without a reject option: {found.no_option}" for found in left]


def beaten_by_word_counts(results: Sequence[Evaluation]) -> str:
    """What to say where the classifier of words is better than every other method beyond noise; else ""."""
    counts = [found for found in results if found.method.removesuffix(WITH_OPTION) == WORD_COUNTS]
    others = [found for found in results if found not in counts]
    if not counts or not others:
        return ""
    words = max(counts, key=lambda found: found.accuracy)
    against = [compared(words.method, found.method, words.right, found.right) for found in others]
    if not all(each.significant and each.difference.value > 0 for each in against):
        return ""
    return (
        f"A word-count model is more accurate on these rows ({words.accuracy_estimate}, {words.setup_seconds:.1f} s to "
        "train). A larger model may change that."
    )
