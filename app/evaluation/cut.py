"""Which of an evaluation's test rows are looked at: plain values that a page hands back and forth."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from app.server.evaluated import Evaluated

if TYPE_CHECKING:
    from dbsa_core.evaluation import Evaluation

Show = Literal["all", "wrong", "cell", "label", "answer", "only"]


@dataclass(frozen=True)
class Cut:
    """Rows of one page, and whose confusion matrix stands beside them."""

    run: str = ""
    """Id of the evaluation; the newest for one that there is not."""
    method: str = ""
    """Its name; the first one's for one that there is not."""
    show: Show = "wrong"
    """All rows; those that the method answered wrongly; those of a cell (`gold`, `answer`); those that have the label
    `gold`, or were answered `answer`; those that the method alone answered rightly, and `other` did not."""
    gold: str = ""
    answer: str = ""
    other: str = ""
    page: int = 0

    @classmethod
    def of(cls, written: str) -> Cut:
        """What `written` says; the first page of wrong rows where it says nothing, or nothing that can be read."""
        try:
            found = cls(**json.loads(written))
            texts = (found.run, found.method, found.gold, found.answer, found.other)
            valid = found.show in get_args(Show) and isinstance(found.page, int) and found.page >= 0
            return found if valid and all(isinstance(text, str) for text in texts) else cls()
        except (TypeError, ValueError):
            return cls()

    @property
    def written(self) -> str:
        return json.dumps(asdict(self))

    def to(self, show: Show | None = None, *, page: int = 0, **changes: str) -> Cut:
        """Another one, by default its first page; with `show`, of no cell or label but those given."""
        if show is not None:
            changes = {"gold": "", "answer": "", "other": "", **changes}
        return replace(self, show=show or self.show, page=page, **changes)

    def is_page_of(self, other: Cut) -> bool:
        """Whether it is that one, on whichever page."""
        return other.to(page=self.page) == self

    def settled(self, run: Evaluated) -> Cut:
        """The same with the run and the method that it means."""
        found = self.result(run)
        return replace(self, run=run.id, method=found.method if found is not None else "")

    def result(self, run: Evaluated) -> Evaluation | None:
        """Of the method; None where there is no result yet."""
        return run.result(self.method) or (run.results[0] if run.results else None)

    def rows(self, run: Evaluated) -> list[int]:
        """Places in the results of all rows that it shows, over all its pages."""
        found = self.result(run)
        if found is None:
            return []
        other = run.result(self.other)
        gold, predicted, right = found.gold, found.predicted, found.right
        shown: dict[str, Callable[[int], bool]] = {
            "all": lambda at: True,
            "wrong": lambda at: not right[at],
            "cell": lambda at: (gold[at], predicted[at]) == (self.gold, self.answer),
            "label": lambda at: gold[at] == self.gold,
            "answer": lambda at: predicted[at] == self.answer,
            "only": lambda at: other is not None and right[at] and not other.right[at],
        }
        return [at for at in range(found.n) if shown[self.show](at)]
