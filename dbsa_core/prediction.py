"""What a method answers.

Knows nothing about how it was computed; plain values, fit for JSON and for screens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dbsa_core.stage2.label_scores import LabelScores

UNSURE, NO_LABEL, AS_TAUGHT, NO_ANSWER = "Unsure", "May fit no label", "As you taught", "No answer"
REFUSED = "None of the labels"
"""The answer, and what is to be said of it, where a reject option finds that no label fits."""
"""What is to be said of an answer, at most one of them."""
NO_TEXT = "The cell is empty."
"""The problem of a row without a text."""
NEED_A_LOOK = frozenset({UNSURE, NO_LABEL, REFUSED, NO_ANSWER})
"""Those that a person should look at."""

_CHECKS = (
    f"{UNSURE}: less than twice as probable as the runner-up; {NO_LABEL}: more than half of the model's probability "
    f"lies outside the labels; {REFUSED}: the in-scope score is below the threshold of the reject option, which then "
    f"takes the place of the check before; {AS_TAUGHT}: a person gave the label"
)
COLUMN_MEANINGS = {
    "label": "the answer",
    "probability": "of the label, among the candidate labels; empty where no label fits",
    "probability_low": "the least that it may be; as probability where every label was scored",
    "probability_high": "the greatest that it may be",
    "margin": "probability less that of the runner-up",
    "runner_up": "the most probable of the other labels",
    "in_scope_score": "from 0 (no label fits) to 1, by the reject option; empty without one",
    "check": f"{_CHECKS}; {NO_ANSWER}: see problem",
    "problem": "why there is no answer",
}
FIELD_MEANINGS = {
    "query": "the text",
    "method": "which method answered",
    "label": f"{COLUMN_MEANINGS['label']}; where no label fits, the one for such texts, or {REFUSED!r}",
    "nearest_label": "the most probable label that is not for texts that fit none",
    "model_label": "the most probable label without the votes of classifiers; the same where none vote",
    "in_scope_score": "from 0 (no label fits) to 1, by the reject option; null without one",
    "in_scope_threshold": "no label fits where the score is below; null without a reject option",
    "probability": "of the label, among the candidate labels; null where no label fits, and for greedy decoding",
    **{name: COLUMN_MEANINGS[name] for name in ("probability_low", "probability_high", "margin")},
    "probabilities": "of each candidate label, best first; an estimate for unscored_labels; empty for greedy decoding",
    "probability_intervals": "[least, greatest] of each label; empty where every label was scored",
    "unscored_labels": "labels that were not scored one by one, since they cannot be the answer",
    "outside_mass": "[least, greatest] probability of all that is no candidate label",
    "may_fit_no_label": "whether more than half of the model's probability lies outside the labels",
    "check": f'{_CHECKS}; or "" where there is nothing to be said',
    "block_ids": "the blocks that were read, from 0, in the order of the context",
    "fresh_rows": "rows encoded with the query: indices into the encoded rows, from 0",
    "equal_rows": "rows of the same text, but for case: indices into the encoded rows, from 0",
    "taught": "whether a person gave the label for this very text",
    "context_tokens": "tokens that the label's first token attends to",
    "example_tokens": "tokens of the rows that were encoded with the query",
    "decoding": "how the labels were scored: one_pass, best_first or greedy; or classifier, by no language model",
    "cold": "whether this was the model's first query of its kind, which may be slower",
    "notes": "what else is to be said, in sentences",
    "together": "how many queries went through the model together; its seconds are its share of theirs",
    "seconds": "by phase, and in total",
}
"""What `Prediction.as_json` holds."""
ANSWER_COLUMNS = tuple(COLUMN_MEANINGS)
"""What a table of answers holds of each; `Prediction.answer` and `no_answer` give the values."""


def no_answer(problem: str) -> tuple[str | float | None, ...]:
    """The values of `ANSWER_COLUMNS` where there is no answer."""
    return (*[None] * (len(ANSWER_COLUMNS) - 2), NO_ANSWER, problem)


@dataclass(frozen=True)
class Selection:
    """The blocks that a query read."""

    block_ids: tuple[int, ...]
    """In the order of the context, sink first."""
    scores: Mapping[int, float]
    """Retrieval score of every block of the pool, chosen or not."""
    dropped: tuple[int, ...] = ()
    """Blocks that the ratio meant but the model's positions did not hold, lowest-ranked first."""


START = -1
"""Stands for a row where the tokens are those that a tokenizer puts before any text, such as a BOS."""
NOWHERE = "attention sink"
"""The part of a context that is no token: what a model's sink scores take, as those of GPT-OSS do."""


@dataclass(frozen=True)
class ContextPart:
    """A part of what a query reads: tokens from `start` on, in stretches of a row each."""

    name: str
    start: int
    ends: tuple[int, ...]
    """Of its stretches."""
    rows: tuple[int, ...]
    """Of its stretches: indices into the pool's demonstrations, or `START`; empty where it is one that has none."""

    @property
    def stretches(self) -> tuple[tuple[int, int], ...]:
        """(start, end) of each."""
        return tuple(zip((self.start, *self.ends[:-1]), self.ends, strict=True))


@dataclass(frozen=True)
class QueryAttention:
    """Where the query's last token looked."""

    spans: tuple[str, ...]
    """Names of the parts of the context: "block 3", "similar example 1", "query", and where the model has sink scores
    `NOWHERE`."""
    mass: np.ndarray
    """float32 [layers, heads, spans]; sums to 1 over the spans."""
    rows: tuple[tuple[int, ...], ...] = ()
    """Of each span its rows in order: indices into the pool's demonstrations, or `START`."""
    by_row: np.ndarray | None = None
    """float32 [layers, heads, all of these rows]; those of a span sum to its mass."""
    by_token: tuple[np.ndarray, ...] = ()
    """Of each span float32 [tokens], the mean of all heads; they sum to the mean of its mass. Of `NOWHERE` there is
    none."""

    @classmethod
    def of(cls, parts: Sequence[ContextPart], stretches: np.ndarray, tokens: np.ndarray) -> QueryAttention:
        """From the mass of each part's stretches, float32 [layers, heads, stretches], and behind them that of the sink
        scores where the model has any. `tokens` is that of the whole context's tokens, as the mean of all heads."""
        counts = [len(part.ends) for part in parts]
        names, rows = [part.name for part in parts], [part.rows for part in parts]
        if stretches.shape[-1] > sum(counts):
            names, rows, counts = [*names, NOWHERE], [*rows, ()], [*counts, 1]
        firsts = np.cumsum([0, *counts[:-1]])
        of_rows = np.concatenate([np.full(count, bool(own)) for count, own in zip(counts, rows, strict=True)])
        mass = np.add.reduceat(stretches, firsts, axis=-1)
        by_token = tuple(tokens[part.start : part.ends[-1]] for part in parts)
        return cls(tuple(names), mass, tuple(rows), stretches[..., of_rows], by_token)


@dataclass(frozen=True)
class Verdict:
    """Whether any label fits a text, by a reject option."""

    score: float
    """From 0, no label fits, to 1."""
    threshold: float
    """No label fits where the score is below."""
    out_of_scope: str | None = None
    """The label that such texts get; None where there is none for them."""

    @property
    def refuses(self) -> bool:
        return self.score < self.threshold


@dataclass(frozen=True)
class Prediction:
    """One answer of one method; arrays are in the order of `labels`, the pool's."""

    method: str
    query: str
    scores: LabelScores
    context_tokens: int
    """Tokens that the label's first token attends to: blocks, fresh demonstrations and query."""
    seconds: Mapping[str, float]
    """`retrieve`, `assemble`, `forward`, `total`; on a GPU measured after synchronising."""
    cold: bool
    """The first forward of its kind by this model in this process, which may be slower. Methods that read a cached
    context are of one kind; a prompt of demonstrations and query, and a query alone, are two more."""
    selection: Selection | None = None
    example_tokens: int = 0
    """Of the tokens that went through the model for this query (`scores.tokens`), those of demonstrations."""
    demonstration_rows: tuple[int, ...] = ()
    """Rows encoded with the query, in their order: fresh demonstrations, or Retrieval ICL's."""
    equal_rows: tuple[int, ...] = ()
    """Rows of the pool whose text is the query's, but for case; what was taught stands last."""
    taught: str | None = None
    """The label that was taught for this very text, but for case: it is the answer, whatever the scores say."""
    notes: tuple[str, ...] = ()
    together: int = 1
    """Queries that went through the model with it, itself included; `seconds` are its share."""
    attention: QueryAttention | None = field(default=None, repr=False)
    verdict: Verdict | None = None
    """Whether any label fits, where a reject option was asked (`dbsa_core.reject`)."""

    @property
    def labels(self) -> tuple[str, ...]:
        return self.scores.labels

    @property
    def label(self) -> str:
        """The answer: as it was taught; or where no label fits, the one for such texts, or `REFUSED`; else the most
        probable label, with a reject option that of the others."""
        if self.taught is not None:
            return self.taught
        if self.refused:
            return (self.verdict and self.verdict.out_of_scope) or REFUSED
        return self.nearest_label

    @property
    def refused(self) -> bool:
        """Whether a reject option found that no label fits."""
        return self.taught is None and self.verdict is not None and self.verdict.refuses

    @property
    def nearest_label(self) -> str:
        """The most probable label that is not the one for texts that fit none, be the answer what it is."""
        return self.labels[self._nearest]

    @property
    def _nearest(self) -> int:
        return self.scores.best_but(self.verdict.out_of_scope if self.verdict is not None else None)

    @property
    def in_scope_score(self) -> float | None:
        """From 0, no label fits, to 1; None without a reject option."""
        return self.verdict.score if self.verdict is not None else None

    @property
    def _place(self) -> int | None:
        """Of the answer among the labels; None where no label fits."""
        if self.taught is not None:
            return self.labels.index(self.taught)
        return None if self.refused else self._nearest

    @property
    def probabilities(self) -> dict[str, float]:
        """Probability of each candidate label among the candidates, best first; empty for greedy decoding."""
        values = self.scores.probabilities
        return {} if values is None else {self.labels[i]: float(values[i]) for i in self.scores.ranked()}

    @property
    def probability(self) -> float | None:
        """Of the label among the candidate labels; None where no label fits, and for greedy decoding, which knows
        none."""
        values, place = self.scores.probabilities, self._place
        return None if values is None or place is None else float(values[place])

    @property
    def interval(self) -> tuple[float, float] | None:
        """Least and greatest value of `probability`, equal where every label was scored; None where that is None."""
        bounds, place = self.scores.intervals, self._place
        return None if bounds is None or place is None else (float(bounds[0, place]), float(bounds[1, place]))

    @property
    def runner_up(self) -> str | None:
        """The most probable of the other labels; where no label fits, the nearest; None where greedy knows none."""
        if self.refused:
            return self.nearest_label
        others = (index for index in self.scores.ranked() if index != self._place)
        return next((self.labels[index] for index in others if np.isfinite(self.scores.log_probs[index])), None)

    @property
    def margin(self) -> float | None:
        """Probability of the label less that of the runner-up, so below 0 where the model would not have answered as
        it was taught; None where there is no probability."""
        values, place = self.scores.probabilities, self._place
        if values is None or place is None:
            return None
        return float(values[place] - np.delete(values, place).max()) if len(values) > 1 else 1.0

    @property
    def may_fit_no_label(self) -> bool:
        """Whether more than half of the model's probability lies outside the candidate labels."""
        return self.scores.outside_mass[0] > 0.5

    @property
    def check(self) -> str:
        """`REFUSED`, or `NO_LABEL` where no reject option was asked; or `UNSURE`, where the label is less than twice as
        probable as the runner-up; or `AS_TAUGHT`; or "" where there is nothing to be said."""
        if self.taught is not None:
            return AS_TAUGHT
        if self.refused:
            return REFUSED
        if self.verdict is None and self.may_fit_no_label:
            return NO_LABEL
        values = self.scores.probabilities
        if values is None or len(values) < 2:
            return ""
        second, best = np.sort(values)[-2:]
        return UNSURE if best < 2 * second else ""

    @property
    def phases(self) -> dict[str, float]:
        """The seconds, `forward` parted into `examples`, the demonstrations that were encoded anew, and `query`, text
        and labels. They go through the model together: the parting is by tokens."""
        share = self.example_tokens / self.scores.tokens if self.scores.tokens else 0.0
        forward = self.seconds.get("forward", 0.0)
        others = {name: seconds for name, seconds in self.seconds.items() if name not in ("forward", "total")}
        return {**others, "examples": share * forward, "query": (1 - share) * forward}

    def answer(self) -> tuple[str | float | None, ...]:
        """The values of `ANSWER_COLUMNS`, probabilities to six digits; None where there is none, also for `check`."""
        low, high = self.interval or (None, None)
        numbers = [None if x is None else round(x, 6) for x in (self.probability, low, high, self.margin)]
        score = None if self.in_scope_score is None else round(self.in_scope_score, 6)
        return (self.label, *numbers, self.runner_up, score, self.check or None, None)

    def as_json(self) -> dict[str, Any]:
        """One object of plain values: the fields of `FIELD_MEANINGS`.

        Blocks are numbered by `Block.id`; rows are indices into `Pool.demonstrations`, whose `row` is the row in the
        file.
        """
        low, high = self.interval or (None, None)
        scores, intervals = self.scores, {}
        if scores.intervals is not None and not scores.exact:
            intervals = {self.labels[i]: [float(bound) for bound in scores.intervals[:, i]] for i in scores.ranked()}
        return {
            "query": self.query,
            "method": self.method,
            "label": self.label,
            "nearest_label": self.nearest_label,
            "model_label": self.scores.by_model.label,
            "in_scope_score": self.in_scope_score,
            "in_scope_threshold": self.verdict.threshold if self.verdict is not None else None,
            "probability": self.probability,
            "probability_low": low,
            "probability_high": high,
            "margin": self.margin,
            "probabilities": self.probabilities,
            "probability_intervals": intervals,
            "unscored_labels": [self.labels[index] for index in scores.unscored],
            "outside_mass": list(scores.outside_mass),
            "may_fit_no_label": self.may_fit_no_label,
            "check": self.check,
            "block_ids": list(self.selection.block_ids) if self.selection else [],
            "fresh_rows": list(self.demonstration_rows),
            "equal_rows": list(self.equal_rows),
            "taught": self.taught is not None,
            "context_tokens": self.context_tokens,
            "example_tokens": self.example_tokens,
            "decoding": scores.way,
            "cold": self.cold,
            "together": self.together,
            "notes": list(self.notes),
            "seconds": dict(self.seconds),
        }
