"""What tuning found, in numbers and in a sentence.

Knows nothing about how it was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dbsa_core.tuning.choice import Candidate, frontier
from dbsa_core.tuning.settings_file import TunedSettings

LEAST_ROWS = 40
"""With fewer, nothing is chosen by them."""


@dataclass(frozen=True, eq=False)
class Tuned:
    """What was chosen, and what else was tried."""

    settings: TunedSettings
    candidates: tuple[Candidate, ...]
    chosen: int
    """Place of the chosen one,"""
    preferred: int
    """of the one that is chosen unless the rows speak against it,"""
    default: int | None
    """and of the settings that hold where nothing is tuned; None where it was not asked."""
    why: str
    p_values: tuple[float | None, ...]
    """See `Choice`."""
    rows: int
    """That were asked about."""
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def frontier(self) -> list[int]:
        """Places of the candidates that none beats in accuracy or latency without being worse in the other, the fastest
        first."""
        return frontier(self.candidates)

    def roles(self, at: int) -> list[str]:
        """Which of "default", "preferred" and "chosen" the candidate at a place is."""
        places = {"default": self.default, "preferred": self.preferred, "chosen": self.chosen}
        return [role for role, place in places.items() if place == at]

    @property
    def sentence(self) -> str:
        """What was chosen, why, and what it brings."""
        chosen = self.candidates[self.chosen]
        if self.rows < LEAST_ROWS:
            return f"{self.why.capitalize()}: settings are those that did best on other files ({chosen.name})."
        found = f"By {self.rows:,} rows of the file that no method read: {chosen.name}; {self.why}."
        return f"{found} {chosen.accuracy} of them are answered right{self._beside_default()}.{self._beaten()}"

    def _beside_default(self) -> str:
        if self.default is None or self.default == self.chosen:
            return ""
        default = self.candidates[self.default]
        found = self.candidates[self.chosen].against(default)
        beyond = f"p = {found.p:.2g}" if found.significant else "no more than chance"
        return f", {default.accuracy} with the default settings ({beyond})"

    def _beaten(self) -> str:
        chosen = self.candidates[self.chosen]
        alone = [each for each in self.candidates if each.settings is None]
        for each in sorted(alone, key=lambda each: -int(each.right.sum())):
            found = each.against(chosen)
            if found.significant and found.difference.value > 0:
                return f" {each.name.capitalize()} is more accurate on these rows ({each.accuracy.value:.1%})."
        return ""

    def as_json(self) -> dict[str, Any]:
        """Plain values: all that was tried."""
        optimal = set(self.frontier)
        return {
            "sentence": self.sentence,
            "notes": list(self.notes),
            "rows": self.rows,
            "seconds": self.seconds,
            "candidates": [
                {**each.as_json(), "p": p, "role": next(reversed(self.roles(at)), ""), "on_frontier": at in optimal}
                for at, (each, p) in enumerate(zip(self.candidates, self.p_values, strict=True))
            ],
        }
