"""Candidates for a mixture and their outcomes: fits from one start after another, of which the best is kept."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

from ...model.parameters import Parameters
from ...model.structure import Structure
from ...sources.complete import CompleteSource
from ...sources.source import Source
from ..convergence import CALLBACK, INTERRUPT
from ..em import Fit, expectation_maximization
from ..mstep import MStep
from ..optima.sampled import searching
from ..parallel import Job, share_out
from ..records import FitRecord
from ..restarts import Plan
from ..settings import Settings
from ..soundness import on_enough_rows
from ..starts.methods import Goal, fixed
from ..starts.race import Contender

R = TypeVar("R")


class Candidate(NamedTuple):
    """A mixture that may be fitted: its structure and its number of components."""

    structure: Structure
    n_components: int


class Data(NamedTuple):
    """All rows and a sample of them."""

    source: Source
    sample: CompleteSource


@dataclass(slots=True)
class Outcome:
    """The outcome of a candidate: its best fit, or the error it ended with."""

    fit: Fit | None = None
    lower_bound: float = -math.inf
    degenerate: bool = False  # a component has collapsed
    spurious: bool = False  # or rests on hardly any rows
    records: list[FitRecord] = field(default_factory=list)
    error: Exception | None = None

    @property
    def sound(self) -> bool:
        """Whether the rows, and neither repairs nor hardly any rows, hold all components of the fit."""
        return not (self.degenerate or self.spurious)

    def keep(self, fit: Fit, degenerate: bool, spurious: bool, record: FitRecord) -> None:
        """Take the fit if it is better: sound rather than spurious rather than degenerate, then by its likelihood."""
        self.records.append(record._replace(sound=not (degenerate or spurious)))
        known = not self.degenerate, not self.spurious, self.lower_bound
        if self.fit is None or (not degenerate, not spurious, record.lower_bound) > known:
            self.fit, self.lower_bound, self.error = fit, record.lower_bound, None
            self.degenerate, self.spurious = degenerate, spurious

    def keep_all(self, other: "Outcome") -> None:
        """Take the fit of another outcome if it is better, with the records of all its fits."""
        if other.fit is not None:
            *before, last = other.records
            self.records += before
            self.keep(other.fit, other.degenerate, other.spurious, last._replace(lower_bound=other.lower_bound))


class Trials:
    """Fits of candidates to the same rows."""

    def __init__(
        self,
        data: Data,
        settings: Settings,
        penalty: float,
        candidates: Collection[Candidate],
        m_steps: Mapping[Candidate, MStep] | None = None,
    ) -> None:
        self.data, self.settings = data, settings
        self.penalty = penalty  # what a parameter must gain in mean log-likelihood
        self.candidates = candidates  # those asked for: there are others on the way
        self._own = {} if m_steps is None else m_steps  # of candidates; others have those of their structures
        self._of_structures = {
            structure: settings.m_step(data.source, structure)
            for structure in dict.fromkeys(candidate.structure for candidate in candidates)
        }
        self.stopped = False
        self.any_fit = False  # of one that is asked for

    @property
    def whole(self) -> bool:
        """Whether the sample is all rows."""
        return self.data.sample.n_samples == self.data.source.n_samples

    def score(self, candidate: Candidate, outcome: Outcome) -> tuple[bool, float]:
        """The score of a candidate, the less the better: soundness first, then the penalized likelihood."""
        if outcome.fit is None:
            return True, math.inf
        n_parameters = candidate.structure.n_parameters(candidate.n_components, self.data.source.n_features)
        return not outcome.sound, self.penalty * n_parameters - outcome.fit.log_likelihood

    def work(self, candidate: Candidate) -> int:
        """Multiply-adds of a pass over all rows."""
        return self.data.source.work(*candidate)

    def goal(self, candidate: Candidate, source: Source) -> Goal:
        """The goal of a fit of a candidate to some rows, under the priors that all rows give."""
        m_step = self._own.get(candidate) or self._of_structures[candidate.structure]
        return Goal(*candidate, m_step.on(source), self.settings.deadline)

    @property
    def late(self) -> bool:
        """Whether there is no time for a further fit, one being there."""
        return self.any_fit and perf_counter() >= self.settings.deadline

    def attempt(
        self,
        candidate: Candidate,
        outcome: Outcome,
        source: Source,
        start: Callable[[Goal], Parameters],
        **limits: Any,
    ) -> int:
        """Run EM once; what it ends with, be it an error, goes to the outcome. Returns the number of passes.

        What Ctrl-C or the callback cuts short goes there as far as it has come, and all ends. `limits` replace
        settings.
        """
        if self.late:
            if outcome.fit is None and outcome.error is None:
                outcome.error = TimeoutError("max_time was over before this candidate's turn")
            return 0
        started = begun = perf_counter()
        goal, settings = self.goal(candidate, source), self.settings._replace(**limits)
        fit: Fit | None = None
        try:
            fit = Fit(start(goal))
            started = perf_counter()
            expectation_maximization(source, goal.m_step, fit.parameters, settings, on_iteration=self._check, fit=fit)
            verdict = judged(source, goal.m_step, fit.parameters)
        except BaseException as error:
            told = fit is not None and fit.stop_reason == CALLBACK
            if isinstance(error, Exception) and not told:
                if outcome.fit is None:
                    outcome.error = error
                return 0
            self.stopped = True
            if fit is not None and fit.lower_bounds:
                fit = fit.cut(CALLBACK if told and not isinstance(error, KeyboardInterrupt) else INTERRUPT)
                outcome.keep(fit, *judged(source, goal.m_step, fit.parameters), recorded(fit, begun, started))
            raise
        record = recorded(fit, begun, started)
        outcome.keep(fit, *verdict, record)
        self.any_fit = self.any_fit or candidate in self.candidates
        return record.n_iter

    def search(self, candidate: Candidate, outcome: Outcome, source: Source, seed: int) -> None:
        """Search for better optima than the fit of a candidate; what is found goes to the outcome, as by `attempt`."""
        assert outcome.fit is not None
        plan = Plan(fixed(outcome.fit.parameters), self.goal(candidate, source).m_step)
        progress = Unsaid(self._check)
        search = searching(source, candidate.n_components, [plan], self.settings, seed, progress=progress)
        try:
            fit, records = search.run()
        except BaseException as error:
            found = search.cut_short(error)
            if found is None and isinstance(error, Exception):
                return
            self.stopped = True
            if found is not None:
                self._take(candidate, outcome, source, *found)
            raise
        self._take(candidate, outcome, source, fit, records)

    def _take(
        self, candidate: Candidate, outcome: Outcome, source: Source, fit: Fit, records: Sequence[FitRecord]
    ) -> None:
        """Keep the fit that a search has found if it is better, with the records of all its fits."""
        m_step = fit.m_step or self.goal(candidate, source).m_step
        bound = fit.lower_bounds[-1]
        own = next(i for i, record in enumerate(records) if record.lower_bound == bound)
        outcome.records += [*records[:own], *records[own + 1 :]]
        outcome.keep(fit, *judged(source, m_step, fit.parameters), records[own])

    def go_on(self, candidate: Candidate, outcome: Outcome, source: Source, **limits: Any) -> None:
        """Continue the fit of a candidate, which has converged, within other limits."""
        before = outcome.fit
        assert before is not None
        more = Outcome()
        self.attempt(candidate, more, source, lambda _: before.parameters, **limits)
        if more.fit is not None:
            bounds = [*before.lower_bounds, *more.fit.lower_bounds]
            more.fit = replace(more.fit, lower_bounds=bounds, stop_reason=before.stop_reason)
            outcome.keep_all(more)

    def attempt_promising(self, candidate: Candidate, outcome: Outcome, data: Data, contender: Contender | None) -> int:
        """Fit a candidate from where a short run on the sample has come, if that is better there than its fit.

        Returns the number of passes over all rows.
        """
        if contender is None or contender.parameters is None or self.late:
            return 0
        if outcome.fit is not None and outcome.sound:
            parameters, m_step = outcome.fit.parameters, self.goal(candidate, data.sample).m_step
            known = data.sample.statistics(candidate.structure, m_step.evaluated(parameters))
            if not contender.value > m_step.value(known, parameters):
                return 0
        return self.attempt(candidate, outcome, data.source, lambda _: contender.reached())

    def together(self, jobs: Sequence[Job[R]]) -> list[R]:
        """Results of jobs, called with all rows and the sample; an interruption of one ends the others."""
        try:
            return share_out(self.data, jobs, in_order=self.settings.callback is not None)
        except BaseException:
            self.stopped = True
            raise

    def _check(self, n_iter: int, lower_bound: float, change: float) -> None:
        """End a fit when the sweep has ended."""
        if self.stopped:
            raise KeyboardInterrupt


class Unsaid(NamedTuple):
    """Reports nothing of a search's fits, and ends them when the sweep has ended."""

    check: Callable[[int, float, float], None]

    def begin(self, number: int, seconds: float = 0.0) -> None:
        """Say nothing."""

    def iteration(self, number: int, n_iter: int, lower_bound: float, change: float) -> None:
        """End a fit when the sweep has ended."""
        self.check(n_iter, lower_bound, change)

    def end(self, number: int, lower_bound: float, stop_reason: str) -> None:
        """Say nothing."""

    def drop(self, number: int) -> None:
        """Say nothing."""


def judged(source: Source, m_step: MStep, parameters: Parameters) -> tuple[bool, bool]:
    """Whether a component has collapsed, or else rests on hardly any rows."""
    degenerate = not m_step.sound(parameters)
    return degenerate, not (degenerate or on_enough_rows(source, m_step, parameters))


def recorded(fit: Fit, begun: float, started: float) -> FitRecord:
    """The record of a fit that has ended now."""
    bounds, seconds = fit.lower_bounds or [-math.inf], (started - begun, perf_counter() - started)
    return FitRecord(*seconds, len(fit.lower_bounds), bounds[0], bounds[-1], fit.converged, False)
