"""Runs: the answers that a server has given, as they were shown, for whoever has the link of one.

Knows nothing about screens. A run is a few kilobytes; the pool that it read is not kept with it.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections import OrderedDict

from app.ask.from_prediction import shown_answer
from app.ask.shown import ShownAnswer, as_json, from_json
from app.server.session import Answer
from app.server.stamps import stamp
from dbsa_core.prediction import Prediction

BUDGET_BYTES = 64 << 20


class Runs:
    """Answers by id, within so many bytes; those that nobody has looked at for longest go first."""

    def __init__(self, budget_bytes: int = BUDGET_BYTES):
        self._budget_bytes = budget_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, run: str) -> ShownAnswer | None:
        """The answer as it was shown; None where it is not kept."""
        with self._lock:
            found = self._kept.get(run)
            if found is None:
                return None
            self._kept.move_to_end(run)
        return from_json(json.loads(zlib.decompress(found)))

    def of(self, answer: Answer) -> ShownAnswer:
        """A session's answer as it is shown; it is a run from then on."""
        return self.get(answer.id) or self._keep(answer)

    def compare(self, answer: Answer, other: Prediction) -> None:
        """Add what the answer is compared with."""
        self._keep(answer, other)

    def _keep(self, answer: Answer, other: Prediction | None = None) -> ShownAnswer:
        shown = shown_answer(answer.prediction, answer.setup, answer.settings, answer.name, other, stamp(answer))
        written = zlib.compress(json.dumps(as_json(shown)).encode())
        with self._lock:
            self._bytes += len(written) - len(self._kept.pop(answer.id, b""))
            self._kept[answer.id] = written
            while self._bytes > self._budget_bytes and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return shown
