"""From a query that a method made ready to its answer: alone, or together with others in as few forwards as memory
allows.

Knows nothing about how a method chooses what is read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dbsa_core.data import clean_text
from dbsa_core.devices import free_memory, policy_for
from dbsa_core.errors import CapacityError, QueryError
from dbsa_core.methods.base import Refusal, fitted, query_memory
from dbsa_core.prediction import ContextPart, Prediction, QueryAttention, Selection
from dbsa_core.prompt import Ids
from dbsa_core.settings import QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.stage2.label_scores import LabelScores
from dbsa_core.stage2.prefix import Prefix
from dbsa_core.stage2.scoring import Decode, nodes_at_once, score_labels, score_together
from dbsa_core.task import Task
from dbsa_core.timing import PHASES, Stopwatch, now

log = logging.getLogger(__name__)

BATCH_LOGITS = 2**28
"""Numbers of the logits of one forward, at most."""
BATCH_SHARE = 0.25
"""Of the free memory, what the blocks may take that are gathered for the queries of one forward."""

EMBEDDED_AHEAD = 256
"""Queries whose vectors are made in one go, where a retriever reads vectors and the queries are known."""

Parts = Callable[[Prefix], Sequence[ContextPart]]
"""Of a context."""


@dataclass(frozen=True, eq=False)
class Question:
    """A query made ready: all that its answer takes but the forwards."""

    method: str
    task: Task
    decode: Decode
    text: str
    """As it is read."""
    prompt: Ids
    """What goes through the model with it: demonstrations, then the query."""
    example_tokens: int
    """Of the demonstrations in it."""
    prefix: Callable[[], Prefix]
    """What stands before the prompt."""
    pool: object
    """What `prefix` is made of: by it and the blocks that are chosen, questions have the same one."""
    prefix_tokens: int
    advice: str
    """How a user has less memory taken."""
    kind: str
    """Of forward, see `LanguageModel.first_of`."""
    retrieve_seconds: float
    seconds: float
    """Since it was asked."""
    gathered_bytes: int = 0
    """What `prefix` copies."""
    selection: Selection | None = None
    rows: tuple[int, ...] = ()
    """Those of the demonstrations in the prompt."""
    notes: tuple[str, ...] = ()
    votes: NDArray[np.float64] | None = None
    """Of classifiers: [labels], what is added to the model's log-probabilities."""

    @property
    def block_ids(self) -> tuple[int, ...]:
        """Of the prefix."""
        return self.selection.block_ids if self.selection is not None else ()

    @property
    def context_tokens(self) -> int:
        return self.prefix_tokens + len(self.prompt)

    def answer(
        self,
        scores: LabelScores,
        seconds: dict[str, float],
        *,
        cold: bool,
        together: int = 1,
        attention: QueryAttention | None = None,
    ) -> Prediction:
        return Prediction(
            method=self.method,
            query=self.text,
            scores=scores,
            context_tokens=self.context_tokens,
            example_tokens=self.example_tokens,
            seconds=seconds,
            cold=cold,
            selection=self.selection,
            demonstration_rows=self.rows,
            equal_rows=self.task.rows_equal_to(self.text),
            taught=self.task.taught_label(self.text),
            notes=(*self.notes, *_decided_by_votes(scores)),
            together=together,
            attention=attention,
        )


def _decided_by_votes(scores: LabelScores) -> tuple[str, ...]:
    if scores.by_model.label == scores.label:
        return ()
    return (f'The votes of classifiers decided: the model alone would answer "{scores.by_model.label}".',)


class Answers:
    """`predict` and `predict_many` of a method that makes questions."""

    name: str
    settings: QuerySettings
    _setup: Setup | None

    @property
    def uses(self) -> frozenset[str]:
        """See `Method.uses`."""
        raise NotImplementedError

    @property
    def setup(self) -> Setup | None:
        """See `Method.setup`."""
        return self._setup

    def question(self, query: str) -> Question:
        """Make a query ready. Raises `QueryError` for one that cannot be answered."""
        raise NotImplementedError

    def parts(self, question: Question) -> Parts | None:
        """The parts of its context, where the method tells where the query looked."""
        return None

    def predict(self, query: str, *, attention: bool = False) -> Prediction:
        """See `Method.predict`."""
        question = self.question(query)
        return answer_alone(question, self.parts(question) if attention else None)

    def predict_many(self, queries: Iterable[str]) -> Iterator[Prediction | Refusal]:
        """See `Method.predict_many`."""
        setup = fitted(self._setup, self.name)  # now, and not when the first answer is asked for
        if "embedder" in self.uses and isinstance(queries, Sequence):
            ahead = _Ahead(setup.task, self.settings.embedder, queries)
            return _answers(lambda query: ahead.shared(query, self.question(query)), ahead)
        return _answers(self.question, queries)


class _Ahead:
    """Queries that are known: their vectors are made many at a time, before the first of them is asked."""

    def __init__(self, task: Task, embedder: str, queries: Sequence[str]):
        self._task, self._embedder, self._queries = task, embedder, queries
        self._share: dict[str, float] = {}
        """Seconds that each query's vector took."""

    def __iter__(self) -> Iterator[str]:
        for at in range(0, len(self._queries), EMBEDDED_AHEAD):
            part, begun = self._queries[at : at + EMBEDDED_AHEAD], now(self._task.model.device)
            self._task.embeddings(self._embedder).ahead([text for text in map(clean_text, part) if text])
            self._share = dict.fromkeys(part, (now(self._task.model.device) - begun) / len(part))
            yield from part

    def shared(self, query: str, question: Question) -> Question:
        """The same with its share of the seconds."""
        more = self._share.get(query, 0.0)
        retrieve = question.retrieve_seconds + more
        return replace(question, retrieve_seconds=retrieve, seconds=question.seconds + more)


def answer_alone(question: Question, parts: Parts | None = None) -> Prediction:
    """The answer by forwards of its own; with `parts`, and where the query looked."""
    task, watch = question.task, Stopwatch(question.task.model.device)
    with query_memory(task, question.context_tokens, question.advice):
        with watch.phase("assemble") if question.selection is not None else nullcontext():
            prefix = question.prefix()
        read = parts(prefix) if parts is not None else None
        ranges = None if read is None else [stretch for part in read for stretch in part.stretches]
        with watch.phase("forward"):
            scores = score_labels(
                prefix, question.prompt, task.trie, decode=question.decode, spans=ranges, votes=question.votes
            )
    looked = None
    if read is not None and scores.mass is not None and scores.token_mass is not None:
        looked = QueryAttention.of(read, scores.mass.numpy(), scores.token_mass.numpy())
    seconds = watch.finish() | {"retrieve": question.retrieve_seconds}
    seconds["total"] += question.seconds
    cold = task.model.first_of(question.kind) or scores.warming_up
    return question.answer(scores, seconds, cold=cold, attention=looked)


def answer_together(questions: Sequence[Question]) -> list[Prediction]:
    """The answers of several questions of one method, task and pool, in as many forwards as one of them takes; what is
    chosen by several is read once. Seconds of the forwards are shared out by tokens."""
    task, begun = questions[0].task, now(questions[0].task.model.device)
    device, tokens = task.model.device, sum(question.context_tokens for question in questions)
    with query_memory(task, tokens, questions[0].advice):
        prefixes: dict[tuple[int, ...], Prefix] = {}
        for question in questions:
            if question.block_ids not in prefixes:
                prefixes[question.block_ids] = question.prefix()
        assembled = now(device)
        asked = [(prefixes[question.block_ids], question.prompt) for question in questions]
        votes = [question.votes for question in questions]
        found = score_together(asked, task.trie, decode=questions[0].decode, votes=votes)
    forward, assemble = now(device) - assembled, 0.0
    if questions[0].selection is not None:
        assemble = (assembled - begun) / len(questions)
    kinds = {question.kind for question in questions}
    cold = {kind for kind in kinds if task.model.first_of(f"{kind}, together")}
    ran, answers = sum(scores.tokens for scores in found), []
    for question, scores in zip(questions, found, strict=True):
        share = forward * scores.tokens / ran
        parts = {"retrieve": question.retrieve_seconds, "assemble": assemble, "forward": share}
        seconds = {name: parts[name] for name in PHASES} | {"total": question.seconds + assemble + share}
        answers.append(question.answer(scores, seconds, cold=question.kind in cold, together=len(questions)))
    return answers


def _answers(ask: Callable[[str], Question], queries: Iterable[str]) -> Iterator[Prediction | Refusal]:
    """As many at a time as fit one forward, in order."""
    waiting: list[Question | Refusal] = []
    room: _Room | None = None
    for query in queries:
        try:
            question = ask(query)
        except (QueryError, CapacityError) as error:
            waiting.append(error)
            continue
        except Exception:
            yield from _answered(waiting)
            raise
        if room is not None and not room.takes(question):
            yield from _answered(waiting)
            waiting, room = [], None
        room = room or _Room(question)
        room.add(question)
        waiting.append(question)
    yield from _answered(waiting)


def _answered(waiting: Sequence[Question | Refusal]) -> Iterator[Prediction | Refusal]:
    found = iter(_halved([one for one in waiting if isinstance(one, Question)]))
    for one in waiting:
        yield next(found) if isinstance(one, Question) else one


def _halved(questions: Sequence[Question]) -> list[Prediction | Refusal]:
    """Together, or in halves where memory does not hold them."""
    if len(questions) < 2:
        return [_alone(question) for question in questions]
    try:
        return [*answer_together(questions)]
    except CapacityError as error:
        half = len(questions) // 2
        log.info(f"{len(questions)} queries at once did not fit: {error} They are asked {half} at a time.")
    return [*_halved(questions[:half]), *_halved(questions[half:])]


def _alone(question: Question) -> Prediction | Refusal:
    try:
        return answer_alone(question)
    except CapacityError as error:
        return error


class _Room:
    """What one forward has room for."""

    def __init__(self, question: Question):
        model = question.task.model
        self._nodes = nodes_at_once(question.task.trie, model, question.decode)
        vocabulary = model.model.config.get_text_config().vocab_size
        policy = policy_for(model.device)
        self._tokens, self._most = policy.batch_tokens, policy.batch_query_tokens
        self._rows = BATCH_LOGITS // vocabulary
        self._bytes = BATCH_SHARE * free_memory(model.device)
        # A method may be taught, or fitted anew, between two answers.
        self._task, self._pool = question.task, question.pool
        self._longest = 0
        self._chosen: set[tuple[int, ...]] = set()

    def takes(self, question: Question) -> bool:
        """Whether there is room for one more, too."""
        gathers, own = self._gathers(question), self._own(question)
        alike = question.task is self._task and question.pool is self._pool
        if not alike or max(own, self._longest) > self._most:
            return False
        tokens, rows = self._tokens - own, self._rows - 1 - self._nodes
        return tokens >= 0 and rows >= 0 and gathers <= max(0, self._bytes)

    def add(self, question: Question) -> None:
        self._bytes -= self._gathers(question)
        own = self._own(question)
        self._tokens -= own
        self._longest = max(self._longest, own)
        self._rows -= 1 + self._nodes
        self._chosen.add(question.block_ids)

    def _own(self, question: Question) -> int:
        """Its tokens and its labels'."""
        return len(question.prompt) + self._nodes

    def _gathers(self, question: Question) -> int:
        return 0 if question.block_ids in self._chosen else question.gathered_bytes
