"""Runs: the answers that a server has given, as they were shown, for whoever has the link of one.

Knows nothing about screens. A run is some tens of kilobytes; the pool that it read is not kept with it.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.ask.from_prediction import shown_answer, shown_method
from app.ask.plain import as_json, from_json
from app.ask.shown import ShownAnswer, ShownMethod
from app.server.answered import Answer
from app.server.stamps import stamp
from dbsa_core.prediction import Prediction

BUDGET_BYTES = 64 << 20
READ_BYTES = 4 << 20
"""Of those that are kept as they are shown too, and need not be read again."""


class Runs:
    """Answers by id, within so many bytes; those that nobody has looked at for longest go first."""

    def __init__(self, budget_bytes: int = BUDGET_BYTES):
        self._budget_bytes = budget_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._read: OrderedDict[str, tuple[bytes, ShownAnswer]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, run: str) -> ShownAnswer | None:
        """The answer as it was shown; None where it is not kept."""
        with self._lock:
            found = self._kept.get(run)
            if found is None:
                return None
            self._kept.move_to_end(run)
            if run in self._read and self._read[run][0] is found:
                self._read.move_to_end(run)
                return self._read[run][1]
        shown = from_json(json.loads(zlib.decompress(found)))
        with self._lock:
            self._read[run] = found, shown
            self._read.move_to_end(run)
            while sum(len(written) for written, _ in self._read.values()) > READ_BYTES and len(self._read) > 1:
                self._read.popitem(last=False)
        return shown

    def of(self, answer: Answer) -> ShownAnswer:
        """A session's answer as it is shown; it is a run from then on."""
        found = self.get(answer.id)
        if found is None:
            found = shown_answer(answer.prediction, answer.setup, answer.settings, answer.name, stamp=stamp(answer))
            self.keep(answer.id, found)
        return found

    def compare(self, answer: Answer, other: Prediction, fit_seconds: float) -> None:
        """Add what another method answered, and the seconds before its first answer."""
        shown, made = self.of(answer), shown_method(other, answer.setup, answer.settings, fit_seconds)
        others = [found for found in shown.compared if found.method != made.method]
        self.keep(answer.id, replace(shown, compared=(*others, made)))

    def judged(self, answer: Answer) -> None:
        """The answer is the same, and whether any label fits is judged anew."""
        shown = self.of(answer)
        made = shown_method(answer.prediction, answer.setup, answer.settings)
        made = replace(made, measured=shown.method.measured, fit_seconds=shown.method.fit_seconds)
        self.keep(answer.id, replace(shown, method=made, stamp=stamp(answer)))

    def measured(self, answer: Answer, seconds: Mapping[str, Sequence[float]]) -> None:
        """Add what further runs of some of its methods took, by name."""

        def timed(method: ShownMethod) -> ShownMethod:
            more = tuple(seconds.get(method.method, ()))
            return replace(method, measured=more) if more else method

        shown = self.of(answer)
        made = replace(shown, method=timed(shown.method), compared=tuple(map(timed, shown.compared)))
        self.keep(answer.id, made)

    def keep(self, run: str, shown: ShownAnswer) -> None:
        """The answer is a run of that id, in place of what the id stood for."""
        written = zlib.compress(json.dumps(as_json(shown)).encode())
        with self._lock:
            self._bytes += len(written) - len(self._kept.pop(run, b""))
            self._kept[run] = written
            while self._bytes > self._budget_bytes and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1])
