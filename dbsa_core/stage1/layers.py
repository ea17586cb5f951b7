"""By which layers chunks of blocks go: the model's, or those of its compiled twin once that is ready.

Knows nothing about pools. Compiling takes seconds, which one encoding rarely takes, and slows down what is done beside
it: it is begun in the background behind a model's second encoding.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from dataclasses import dataclass

from transformers import PreTrainedModel

from dbsa_core import background
from dbsa_core.blocks import Block, BlockPattern
from dbsa_core.model.compiled import recompiling, twin_of
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.stage1.memory import arena_for
from dbsa_core.stage1.packed import PackedStage

log = logging.getLogger(__name__)

TRIED_TOKENS = 96
"""Of each of the blocks that the layers are compiled with."""


@dataclass(eq=False)
class Layers:
    """Of one model; get them by `layers_of`."""

    model: weakref.ref[LanguageModel]
    int8: bool
    """How pools are kept that they are compiled for."""
    encodings: int = 0
    twin: PreTrainedModel | None = None
    """Once its layers are compiled."""
    compile_seconds: float = 0.0
    _thread: threading.Thread | None = None

    def encoded(self) -> None:
        """Say that an encoding is done."""
        self.encodings += 1
        if self.encodings > 1 and self._thread is None:
            self._thread = background.start("dbsa-layers", self._compile, lambda: None)

    def wait(self) -> None:
        """Return when the layers are compiled, or could not be; at once where it was not begun."""
        if self._thread is not None:
            self._thread.join()

    def _compile(self) -> None:
        model = self.model()
        if model is None:
            return
        begun = time.perf_counter()
        try:
            with recompiling():
                twin = twin_of(model)
                try_out(model, twin, int8=self.int8)
        except Exception as error:  # whatever the compiler lacks: encoding goes on by the model's own layers
            log.warning(f"Layers are not compiled for encoding: {type(error).__name__}: {error}")
            return
        self.compile_seconds, self.twin = time.perf_counter() - begun, twin
        log.info(f"Layers compiled for encoding in {self.compile_seconds:.1f} s.")


def try_out(model: LanguageModel, runner: PreTrainedModel, *, int8: bool = False) -> None:
    """Encode two small blocks: whatever sizes come later, they are no others to a compiler."""
    blocks = [Block(i, (i,), (1,) * (TRIED_TOKENS + i)) for i in range(2)]
    lengths = [len(block) for block in blocks]
    store = arena_for(model, sum(lengths), int8=int8).extended(0, lengths)
    PackedStage(model, store, BlockPattern(1), blocks, blocks).run(model, runner, locked=False)


_layers: weakref.WeakKeyDictionary[LanguageModel, dict[bool, Layers]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def layers_of(model: LanguageModel, *, int8: bool = False) -> Layers:
    """The layers of a model, for pools that are kept as the model makes them or as `int8`."""
    with _lock:
        of_model = _layers.setdefault(model, {})
        return of_model.setdefault(int8, Layers(weakref.ref(model), int8))
