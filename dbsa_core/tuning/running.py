"""Tuning: ways of reading are asked about the same rows one after the other, classifiers' votes are added to their
answers, and what is behind the best beyond chance is asked no further.

Knows nothing about files or screens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from dbsa_core.devices import policy_for
from dbsa_core.errors import ModelError
from dbsa_core.evaluation.measures import mean_difference, paired
from dbsa_core.interrupt import stop_if_cancelled
from dbsa_core.methods.dbsa import Dbsa
from dbsa_core.reject import LEAST, option_and_kept, sample_of
from dbsa_core.reject.signs import embedder_of, nearness
from dbsa_core.settings import QuerySettings
from dbsa_core.setup import Setup
from dbsa_core.stage1.progress import OnProgress
from dbsa_core.tuning.choice import Candidate, Choice, choose
from dbsa_core.tuning.readings import DEFAULT, described, readings_of, votes_to_try
from dbsa_core.tuning.settings_file import TunedSettings
from dbsa_core.tuning.trial import Trial, vote_seconds, votes_on
from dbsa_core.tuning.tuned import LEAST_ROWS, Tuned
from dbsa_core.validation import Validation, draw_validation

BUDGET_SECONDS = 300.0
ROUNDS = 6
"""Of rows, between which a way of reading may be dropped."""
HOPELESS = 0.1
"""It is where it is behind by this chance or less."""

OnTrial = Callable[[str, int, int], None]
"""Told what is being asked, how many answers there are, and how many there may be."""


def tune(
    setup: Setup,
    settings: QuerySettings | None = None,
    *,
    rows: int | None = None,
    budget_seconds: float = BUDGET_SECONDS,
    out_of_scope: str | None = None,
    seed: int = 0,
    stop: Callable[[], bool] = lambda: False,
    on_progress: OnTrial | None = None,
    on_encoding: OnProgress | None = None,
) -> Tuned:
    """Choose how queries are answered: retriever, number of similar rows, ratio, and votes with their weight.

    Asked are up to `rows` rows of the file that nothing reads or is fitted on (`draw_validation`); where there are
    fewer than `LEAST_ROWS`, none is, and what did best on other files is chosen. What has not been asked within the
    budget, which counts from the call, or when `stop()` says so, is not chosen. All else of `settings` (encoder, order,
    seed) stays.

    Chosen is what did best on other files (`readings`), unless another one is better beyond chance (McNemar's test,
    Holm's correction), or takes half of the time and is hardly less accurate at worst (`choose`). A weight is fitted on
    all rows, and judged by weights that were fitted on other ones. With a label `out_of_scope`, each way is judged with
    a reject option, likewise, where the mean of in-scope accuracy and out-of-scope recall is better with one by an
    interval of 95 %.

    Work within `interruptible` can be stopped, and is lost then. Raises `CapacityError` where memory holds nothing of
    what is tried.
    """
    begun, base = perf_counter(), settings or DEFAULT
    drawn = draw_validation(setup, rows=rows, out_of_scope=out_of_scope, seed=seed)
    if drawn.demonstrations:
        drawn = drawn.encode(on_encoding)
    vectors, notes = _vectors(setup, base)
    names = votes_to_try(vectors=vectors)
    votes = votes_on(drawn, base.embedder, names)
    tried = readings_of(base, vectors=vectors, slow=policy_for(setup.task.model.device).bounds_time)
    alone = {"none": votes["none"]}  # the paper's way of reading has no votes
    trials = [Trial(each, drawn, votes if each.fresh_demonstrations else alone) for each in tried]
    clock = _Clock(begun, budget_seconds, stop)
    _ask(trials, clock, on_progress)
    if clock.up:
        notes.append(f"Not everything was asked: {'it was stopped' if stop() else 'time was up'}.")
    return _chosen(trials, setup, out_of_scope, seed, begun, notes)


def _vectors(setup: Setup, base: QuerySettings) -> tuple[bool, list[str]]:
    """Whether texts can be made vectors here; if not, what is to be said."""
    try:
        _ = setup.task.embeddings(base.embedder).vectors
    except ModelError as error:
        return False, [f"Nothing was tried that reads sentence vectors: {error}"]
    return True, []


@dataclass
class _Clock:
    begun: float
    budget: float
    stop: Callable[[], bool]
    up: bool = False

    def allows(self, seconds: float, share: float = 1.0) -> bool:
        """Whether so many more are within that share of the budget."""
        stop_if_cancelled()
        if self.stop() or perf_counter() - self.begun + seconds > share * self.budget:
            self.up = True
        return not self.up

    def over(self) -> bool:
        """Whether it is time to stop."""
        stop_if_cancelled()
        return self.stop() or perf_counter() - self.begun > self.budget


def _ask(trials: Sequence[Trial], clock: _Clock, told: OnTrial | None) -> None:
    """All of them about the same rows: as many as the first one is asked about in half of the time."""
    if (total := len(trials[0].drawn.demonstrations)) < LEAST_ROWS:
        return
    always = {at for at, trial in enumerate(trials) if at == 0 or _is_default(trial.settings)}
    leader: NDArray[np.bool_] | None = None
    for at, trial in enumerate(trials):
        step = max(1, -(-total // ROUNDS))
        while trial.refused is None and len(trial.answers) < total:
            each = trial.seconds / len(trial.answers) if trial.answers else 0.0
            first = leader is None and not trial.answers
            if not first and not clock.allows(step * each, 0.5 if leader is None else 1.0):
                break
            trial.ask(min(step, total - len(trial.answers)))
            if told:
                told(described(trial.settings), at * total + len(trial.answers), len(trials) * total)
            if at not in always and leader is not None and _hopeless(trial, leader):
                break
        if leader is None and trial.refused is None and trial.answers:
            total, clock.up = len(trial.answers), clock.stop()
        if trial.refused is None and len(trial.answers) == total:
            if told:
                told(f"the time of a query with {described(trial.settings)}", (at + 1) * total, len(trials) * total)
            trial.time(clock.over)
            best = _best(trial)
            leader = best if leader is None or best.sum() > leader.sum() else leader


def _is_default(settings: QuerySettings) -> bool:
    names = ("ratio", "fresh_demonstrations", "retriever", "row_retriever")
    return all(getattr(settings, name) == getattr(DEFAULT, name) for name in names)


def _is_untuned(candidate: Candidate) -> bool:
    found = candidate.settings
    if found is None or candidate.reject or found.votes != "none":
        return False
    return candidate.complete and _is_default(found)


def _best(trial: Trial) -> NDArray[np.bool_]:
    """[answers]: whether each is right with the votes that make most of them right."""
    return max((trial.right(votes) for votes in trial.votes), key=lambda right: int(right.sum()))


def _hopeless(trial: Trial, leader: NDArray[np.bool_]) -> bool:
    from scipy.stats import binom

    right = _best(trial)
    if len(right) < LEAST_ROWS:
        return False
    wins, losses, _ = paired(right.tolist(), leader[: len(right)].tolist())
    return bool(wins < losses and binom.cdf(wins, wins + losses, 0.5) <= HOPELESS)


def _chosen(
    trials: Sequence[Trial],
    setup: Setup,
    out_of_scope: str | None,
    seed: int,
    begun: float,
    notes: list[str],
) -> Tuned:
    usable = [trial for trial in trials if trial.refused is None]
    if not usable:
        assert trials[0].refused is not None
        raise trials[0].refused
    rows = len(usable[0].answers)
    candidates, of_trial = _candidates(usable, rows, seed, out_of_scope)
    preferred = max(at for at, trial in of_trial.items() if trial is usable[0])  # with all votes
    default = next((at for at, each in enumerate(candidates) if _is_untuned(each)), None)
    asked = rows or len(trials[0].drawn.demonstrations)
    why = f"only {asked} rows of the file could be asked about, too few to choose by"
    few = Choice(preferred, why, (None,) * len(candidates))
    choice = few if rows < LEAST_ROWS else choose(candidates, preferred)
    found = candidates[choice.place]
    assert found.settings is not None
    kept = TunedSettings(
        found.settings,
        setup.plan.settings,
        found.reject,
        out_of_scope,
        setup.task.model.name,
        setup.task.pool.fingerprint,
    )
    tuned = Tuned(
        kept, tuple(candidates), choice.place, preferred, default, choice.why, choice.p_values, rows,
        perf_counter() - begun, tuple(notes),
    )  # fmt: skip
    return replace(tuned, settings=replace(kept, evidence=tuned.as_json()))


def _candidates(
    trials: Sequence[Trial], rows: int, seed: int, out_of_scope: str | None
) -> tuple[list[Candidate], dict[int, Trial]]:
    """Every way of reading that was asked, with all votes; then classifiers alone. And the trial of each place.

    Each is with a reject option where one helps; of the default settings, there is one without it too.
    """
    near = _Nearness(trials[0].drawn, out_of_scope)
    found: list[Candidate] = []
    of_trial: dict[int, Trial] = {}
    for trial in trials:
        if not trial.answers and rows:
            continue
        complete = len(trial.answers) == rows
        for votes in [*trial.votes][0 if complete else -1 :]:
            settings, right = _weighed(trial, votes, seed if complete and rows >= LEAST_ROWS else None)
            latency = _latency(trial, settings)
            plain = Candidate(described(settings), settings, right, rows, latency=latency)
            judged = _rejecting(trial, settings, out_of_scope, near) if complete and out_of_scope is not None else None
            if judged is None or _is_untuned(plain):
                of_trial[len(found)] = trial
                found.append(plain)
            if judged is not None:
                of_trial[len(found)] = trial
                name = f"{plain.name}, with a reject option"
                found.append(replace(plain, name=name, right=judged, reject=True))
    if rows:
        first = max(trials, key=lambda trial: len(trial.votes))
        for votes in (each for each in first.votes if each != "none" and "+" not in each):
            right = first.votes[votes][:rows].argmax(axis=1) == first.gold[:rows]
            found.append(Candidate(f"a classifier of {votes} alone", None, right, rows))
    return found, of_trial


def _weighed(trial: Trial, votes: str, seed: int | None) -> tuple[QuerySettings, NDArray[np.bool_]]:
    """Settings with the votes' fitted weight, and [answers] which are right then; without a seed, with weight 1."""
    if votes == "none" or seed is None:
        return replace(trial.settings, votes=votes), trial.right(votes)
    weight, right = trial.fitted_weight(votes, seed)
    return replace(trial.settings, votes=votes, vote_weight=weight), right


def _latency(trial: Trial, settings: QuerySettings) -> float | None:
    """With what the votes take."""
    if trial.latency is None:
        return None
    texts = [row.text for row in trial.drawn.demonstrations]
    return trial.latency + vote_seconds(trial.drawn.setup, settings, texts)


class _Nearness:
    """Of the rows' texts, for reject options; told once for all ways of reading."""

    def __init__(self, drawn: Validation, out_of_scope: str | None):
        self._drawn, self._out_of_scope = drawn, out_of_scope
        self._known: dict[str | None, dict[str, float]] = {}

    def by(self, embedder: str | None) -> dict[str, float]:
        """By text."""
        if embedder not in self._known:
            texts = [row.text for row in self._drawn.demonstrations]
            near = (nearness(text, self._drawn.setup, self._out_of_scope, embedder) for text in texts)
            self._known[embedder] = dict(zip(texts, near, strict=True))
        return self._known[embedder]


def _rejecting(trial: Trial, settings: QuerySettings, out_of_scope: str, near: _Nearness) -> NDArray[np.bool_] | None:
    """[answers]: which are right with a reject option that was fitted on other rows; None where the mean of in-scope
    accuracy and out-of-scope recall is not greater with one beyond chance, or there are too few rows for one."""
    pairs = list(zip(trial.drawn.demonstrations, trial.with_votes(settings), strict=False))
    answered = [(row, found) for row, found in pairs if found is not None]
    embedder = embedder_of(Dbsa(settings))
    sample = sample_of(answered, trial.drawn.setup, out_of_scope, embedder, near.by(embedder))
    if min(int(sample.in_scope.sum()), int((~sample.in_scope).sum())) < LEAST:
        return None
    kept = option_and_kept(sample, out_of_scope)[1]
    with_option = np.where(sample.in_scope, kept & sample.right, ~kept)
    plain = np.array([found.label == row.label for row, found in answered], bool)
    kinds = (sample.in_scope, ~sample.in_scope)
    if mean_difference([paired(with_option[kind].tolist(), plain[kind].tolist()) for kind in kinds]).low <= 0:
        return None
    right = np.zeros(len(pairs), bool)
    right[[at for at, (_, found) in enumerate(pairs) if found is not None]] = with_option
    return right
