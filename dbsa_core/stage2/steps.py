"""Which queries are answered by a captured step, and how steps come to be: in the background, while others answer.

Knows nothing about methods. A query of a new size is answered the plain way; meanwhile one thread captures the step for
its size, first as the model is, then with compiled layers, which takes seconds once for all sizes.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import weakref
from bisect import bisect_left
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache

import torch

from dbsa_core import background
from dbsa_core.attention.query_attention import has_kernel
from dbsa_core.devices import policy_for
from dbsa_core.model.compiled import ONE_AT_A_TIME, recompiling, twin_of
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prompt import Ids
from dbsa_core.stage2.prefix import Prefix
from dbsa_core.stage2.step import QueryStep, Score, Size, log_probs_of
from dbsa_core.store import Arena

log = logging.getLogger(__name__)

PROMPTS = (32, 64, 96, 128, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024)
NODES = (32, 64, 96, 128, 192, 256, 320, 384, 512)
BLOCKS = (4, 8, 12, 16, 24, 32, 48, 64)
"""Rooms of a step: a query takes the smallest that holds it, and the plain way where none does."""
KEPT_PER_POOL = 12
"""Steps that are kept, the longest unused goes first: each holds its activations."""


def size_for(prompt: int, nodes: int, blocks: int) -> Size | None:
    """The room for a query, if there is one."""
    wanted = zip((PROMPTS, NODES, BLOCKS), (prompt, nodes, blocks), strict=True)
    found = [rooms[at] if (at := bisect_left(rooms, count)) < len(rooms) else None for rooms, count in wanted]
    return None if None in found else Size(*found)  # type: ignore[arg-type]


@dataclass(frozen=True)
class WarmUp:
    """What was done before queries of a size could be answered by their step."""

    size: Size
    compiled: bool
    seconds: float


@dataclass(frozen=True)
class Found:
    """The step that answers a query, if there is one yet."""

    step: QueryStep | None = None
    warming_up: bool = False
    """Whether a faster one for such queries is being made."""


@dataclass(eq=False)
class Steps:
    """The captured steps of a model, by arena and size; get them by `steps_of`."""

    model: weakref.ref[LanguageModel]
    warm_ups: list[WarmUp] = field(default_factory=list)
    compiles: bool = True
    """Whether layers are compiled; becomes False where that failed."""
    _ready: weakref.WeakKeyDictionary[Arena, dict[Size, QueryStep]] = field(default_factory=weakref.WeakKeyDictionary)
    _asked: weakref.WeakKeyDictionary[Arena, set[Size]] = field(default_factory=weakref.WeakKeyDictionary)
    _work: queue.Queue[tuple[weakref.ref[Arena], Size] | None] = field(default_factory=queue.Queue)
    _failed: set[Size] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None
    _possible: bool | None = None

    def find(self, prefix: Prefix, prompt: Ids, nodes: int) -> Found:
        """The step that answers this query with so many nodes; where there is none, or one with much more room, the
        right one is begun."""
        wanted = self._wanted(prefix, prompt, nodes)
        if wanted is None:
            return Found()
        arena, size = wanted
        with self._lock:
            held = self._ready.setdefault(arena, {})
            found = min((other for other in held if other.holds(size)), key=lambda other: other.tokens, default=None)
            if found is None or found.wastes(size):
                self._ask(arena, size)
            if found is None:
                return Found(warming_up=size in self._asked.get(arena, ()))
            held[found] = held.pop(found)  # the last one used stands last
            return Found(held[found], warming_up=found in self._asked.get(arena, ()))

    def wait(self) -> None:
        """Return when all that was asked for is captured and compiled, or failed."""
        self._work.join()

    @property
    def warm_up(self) -> str:
        """What has been prepared in this process, in words; "" where nothing was asked for."""
        if not self.warm_ups and not self._work.unfinished_tasks:
            return ""
        seconds, sizes = sum(done.seconds for done in self.warm_ups), len({done.size for done in self.warm_ups})
        told = f"{seconds:.1f} s for {sizes} {'size' if sizes == 1 else 'sizes'} of queries"
        return f"{told}, going on" if self._work.unfinished_tasks else told

    def _wanted(self, prefix: Prefix, prompt: Ids, nodes: int) -> tuple[Arena, Size] | None:
        model, blocks = prefix.model, prefix.blocks
        if blocks is None or prefix.length > prefix.blocks_end or model.hook.closed:
            return None
        if self._possible is None:
            self._possible = can_capture(model)
        if not self._possible:
            return None
        size = size_for(len(prompt), nodes, len(blocks.firsts))
        return None if size is None else (blocks.arena, size)

    def _ask(self, arena: Arena, size: Size) -> None:
        asked = self._asked.setdefault(arena, set())
        if size in asked or size in self._failed:
            return
        asked.add(size)
        self._work.put((weakref.ref(arena), size))
        if self._thread is None:
            self._thread = background.start("dbsa-steps", self._run, lambda: self._work.put(None))

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            ref, size = item
            arena, model = ref(), self.model()
            try:
                if arena is not None and model is not None:
                    self._make(model, arena, size)
            finally:
                if arena is not None:
                    with self._lock:
                        self._asked[arena].discard(size)
                del arena, model  # not held while waiting
                self._work.task_done()

    def _make(self, model: LanguageModel, arena: Arena, size: Size) -> None:
        """First as the model is, unless layers are compiled already."""
        already = self.compiles and any(done.compiled for done in self.warm_ups)
        for compiled in [*([] if already else [False]), *([True] if self.compiles else [])]:
            begun = time.perf_counter()
            try:
                self._keep(arena, size, captured(model, arena, size, compiled=compiled))
            except Exception as error:  # whatever the compiler or the device lacks: others go on answering
                self._give_up(size, error, compiled=compiled)
                return
            self.warm_ups.append(WarmUp(size, compiled, time.perf_counter() - begun))
            log.info(
                f"Queries of up to {size.prompt} + {size.nodes} tokens and {size.blocks} blocks: "
                f"{'compiled and captured' if compiled else 'captured'} in {self.warm_ups[-1].seconds:.1f} s."
            )

    def _give_up(self, size: Size, error: Exception, *, compiled: bool) -> None:
        if compiled:
            self.compiles = False
        else:
            self._failed.add(size)
        what = "Layers are not compiled" if compiled else f"Queries of {size} are answered the plain way"
        log.warning(f"{what}: {type(error).__name__}: {error}")

    def _keep(self, arena: Arena, size: Size, step: QueryStep) -> None:
        with self._lock:
            held = self._ready.setdefault(arena, {})
            held.pop(size, None)
            held[size] = step
            while len(held) > KEPT_PER_POOL:
                del held[next(iter(held))]


def captured(model: LanguageModel, arena: Arena, size: Size, *, compiled: bool = False) -> QueryStep:
    """The step of a size, captured as a graph of kernels on a device that has such."""
    step = QueryStep(model, arena, size)
    runner, score = (twin_of(model), _compiled_score()) if compiled else (step.stock, log_probs_of)
    with ONE_AT_A_TIME, recompiling() if compiled else nullcontext():
        capture = policy_for(model.device).capture
        step.run = capture(lambda: step.forward(runner, score), model.device, model.lock)
    return step


def can_capture(model: LanguageModel) -> bool:
    """Whether the model's queries can be steps: all layers read in place with one kind of RoPE tables, on a device that
    captures and has a kernel for them."""
    heads = torch.empty(1, model.shape.head_dim, dtype=model.shape.dtype, device=model.device)
    return model.moves_alike and policy_for(model.device).captures and has_kernel(heads)


_steps: weakref.WeakKeyDictionary[LanguageModel, Steps] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


@cache
def _compiled_score() -> Score:
    return torch.compile(log_probs_of, dynamic=True)


def steps_of(model: LanguageModel) -> Steps:
    """The steps of a model, one thread for all of them."""
    with _lock:
        if model not in _steps:
            _steps[model] = Steps(weakref.ref(model))
        return _steps[model]
