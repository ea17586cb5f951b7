"""Which of a file's rows are looked at, in which order: plain values that a page hands back and forth."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import Literal, Protocol

from app.server.batch import RowAnswer
from dbsa_core.prediction import AS_TAUGHT, NEED_A_LOOK, NO_ANSWER, NO_LABEL, UNSURE

Show = Literal["all", "look", "label"]
ROWS_A_PAGE = 25
_RANKS = {NO_ANSWER: 0, NO_LABEL: 1, UNSURE: 2, None: 3, AS_TAUGHT: 4}


@dataclass(frozen=True)
class Look:
    """Rows of one page."""

    show: Show = "all"
    """All, those that need a look, or those of `label`."""
    label: str = ""
    worst_first: bool = False
    """Rather than in the file's order."""
    page: int = 0

    @classmethod
    def of(cls, written: str) -> Look:
        """What `written` says; the first page of all rows where it says nothing, or nothing that can be read."""
        try:
            found = cls(**json.loads(written))
            valid = found.show in ("all", "look", "label") and isinstance(found.page, int) and found.page >= 0
            return found if valid and isinstance(found.label, str) else cls()
        except (TypeError, ValueError):
            return cls()

    @property
    def written(self) -> str:
        return json.dumps(asdict(self))

    def to(self, *, page: int = 0, **changes: object) -> Look:
        """Another one, by default its first page."""
        return replace(self, page=page, **changes)  # type: ignore[arg-type]

    def rows(self, answers: list[RowAnswer]) -> list[int]:
        """Places of all rows that it shows, over all its pages."""
        found = [place for place, answer in enumerate(answers) if self._shows(answer)]
        return sorted(found, key=lambda place: _rank(answers[place])) if self.worst_first else found

    def _shows(self, answer: RowAnswer) -> bool:
        if self.show == "look":
            return answer.check in NEED_A_LOOK
        return self.show == "all" or answer.label == self.label


def _rank(answer: RowAnswer) -> tuple[int, float]:
    return _RANKS[answer.check], answer.probability if answer.probability is not None else 0.0


class Written(Protocol):
    """Rows to look at."""

    @property
    def written(self) -> str: ...


class Paged(Written, Protocol):
    """One page of them."""

    @property
    def page(self) -> int: ...

    def to(self, *, page: int) -> Written: ...


def first_shown(look: Paged, chosen: int) -> int:
    """Which of so many rows its page begins with; that of the last page where there is no such page."""
    return min(look.page, max(0, chosen - 1) // ROWS_A_PAGE) * ROWS_A_PAGE


def turning(look: Paged, chosen: int) -> list[str]:
    """The way to the pages around it, of so many rows; nothing where they are one page."""
    if chosen <= ROWS_A_PAGE:
        return []
    first = first_shown(look, chosen)
    page, last = first // ROWS_A_PAGE, min(first + ROWS_A_PAGE, chosen)
    return [
        _turn("Previous", look.to(page=page - 1), page > 0),
        f'<span class="dbsa-muted dbsa-at">{first + 1:,} to {last:,} of {chosen:,}</span>',
        _turn("Next", look.to(page=page + 1), last < chosen),
    ]


def _turn(text: str, look: Written, possible: bool) -> str:
    if possible:
        return look_button(text, look)
    return f'<button type="button" class="dbsa-look" data-event="" disabled>{text}</button>'


def look_button(text: str, look: Written, *, pressed: bool | None = None, title: str = "") -> str:
    """A button that leads to those rows; `pressed` where it is one of several to choose from. `title` says more."""
    state = f' title="{escape(title)}"' if title else ""
    return f'<button type="button" class="dbsa-look" {leads_to(look, pressed)}{state}>{escape(text)}</button>'


def leads_to(look: Written, pressed: bool | None = None) -> str:
    """The attributes of such a button."""
    state = "" if pressed is None else f' aria-pressed="{"true" if pressed else "false"}"'
    return f'data-look="{escape(look.written)}" data-event="select"{state}'
