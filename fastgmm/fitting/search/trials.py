"""Candidates for a mixture, and what becomes of them: fits from one start after another, of which the best is kept."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ...model.parameters import Parameters
from ...model.structure import Structure
from ...sources.complete import CompleteSource
from ...sources.source import Source
from ..convergence import INTERRUPT, Options
from ..em import Fit, expectation_maximization
from ..mstep import Maximization
from ..parallel import Job, share_out
from ..restarts import FitRecord
from ..starts.methods import Goal
from ..starts.race import Runner

FLOOR = 2.0  # times reg_covar: a smaller variance is more regularization than data

R = TypeVar("R")


class Candidate(NamedTuple):
    """What may be fitted."""

    structure: Structure
    n_components: int


class Place(NamedTuple):
    """All rows and a sample of them."""

    source: Source
    sample: CompleteSource


@dataclass(frozen=True, slots=True)
class Settings:
    """How every candidate is fitted."""

    tol: float
    max_iter: int
    reg_covar: float | str
    degenerate: str
    options: Callable[[], Options]  # as of now: the clock starts with the fit
    method: Any  # where EM starts: None for clusters of the sample, else as for `prepare`
    n_starts: int
    price: float  # what a parameter must gain in mean log-likelihood
    in_order: bool  # whether candidates have to wait for each other


@dataclass(slots=True)
class Outcome:
    """What became of a candidate: its best fit, or the error it ended with."""

    fit: Fit | None = None
    lower_bound: float = -math.inf
    degenerate: bool = False
    records: list[FitRecord] = field(default_factory=list)
    error: Exception | None = None

    def keep(self, fit: Fit, degenerate: bool, record: FitRecord) -> None:
        """Take the fit if it is better: sound rather than degenerate, then by its likelihood."""
        self.records.append(record)
        if self.fit is None or (not degenerate, record.lower_bound) > (not self.degenerate, self.lower_bound):
            self.fit, self.lower_bound, self.degenerate, self.error = fit, record.lower_bound, degenerate, None

    def keep_all(self, other: "Outcome") -> None:
        """Take the fit of another outcome if it is better, with the records of all its fits."""
        if other.fit is not None:
            *before, last = other.records
            self.records += before
            self.keep(other.fit, other.degenerate, last._replace(lower_bound=other.lower_bound))


class Trials:
    """Fits of candidates to the same rows."""

    def __init__(self, place: Place, settings: Settings) -> None:
        for rows in place:
            _ = rows.origin, rows.total, rows.scatter  # computed once
        self.place, self.settings = place, settings
        self.stopped = False

    @property
    def whole(self) -> bool:
        """Whether the sample is all rows."""
        return self.place.sample.n_samples == self.place.source.n_samples

    def score(self, candidate: Candidate, outcome: Outcome) -> tuple[bool, float]:
        """What candidates are compared by, the less the better: soundness, then the likelihood and its price."""
        if outcome.fit is None:
            return True, math.inf
        n_parameters = candidate.structure.n_parameters(candidate.n_components, self.place.source.n_features)
        return outcome.degenerate, self.settings.price * n_parameters - outcome.lower_bound

    def work(self, candidate: Candidate) -> int:
        """Multiply-adds of a pass over all rows."""
        return self.place.source.work(*candidate)

    def goal(self, candidate: Candidate, source: Source) -> Goal:
        """What a fit of a candidate to some rows is to reach."""
        settings = self.settings
        maximize = Maximization(source, candidate.structure, settings.reg_covar, settings.degenerate)
        return Goal(*candidate, maximize)

    def attempt(
        self,
        candidate: Candidate,
        outcome: Outcome,
        source: Source,
        start: Callable[[Goal], Parameters],
        tol: float | None = None,
    ) -> None:
        """Run EM once; what it ends with, be it an error, goes to the outcome."""
        begun, settings, goal = perf_counter(), self.settings, self.goal(candidate, source)
        try:
            parameters = start(goal)
            started = perf_counter()
            fit = expectation_maximization(
                source,
                candidate.structure,
                parameters,
                tol=settings.tol if tol is None else tol,
                max_iter=settings.max_iter,
                maximize=goal.maximize,
                options=settings.options(),
                on_iteration=self._check,
            )
            if fit.stop_reason == INTERRUPT:
                raise KeyboardInterrupt
            degenerate = is_degenerate(goal.maximize, fit)
        except Exception as error:
            if outcome.fit is None:
                outcome.error = error
            return
        except BaseException:
            self.stopped = True
            raise
        bounds = fit.lower_bounds or [-math.inf]
        seconds = started - begun, perf_counter() - started
        record = FitRecord(*seconds, len(fit.lower_bounds), bounds[0], bounds[-1], fit.converged, False)
        outcome.keep(fit, degenerate, record)

    def go_on(self, candidate: Candidate, outcome: Outcome, source: Source, tol: float) -> None:
        """Continue the fit of a candidate, which has converged, to a smaller tolerance."""
        before = outcome.fit
        assert before is not None
        more = Outcome()
        self.attempt(candidate, more, source, lambda _: before.parameters, tol)
        if more.fit is not None:
            bounds = [*before.lower_bounds, *more.fit.lower_bounds]
            more.fit = replace(more.fit, lower_bounds=bounds, stop_reason=before.stop_reason)
            outcome.keep_all(more)

    def attempt_promising(self, candidate: Candidate, outcome: Outcome, place: Place, runner: Runner | None) -> None:
        """Fit a candidate from where a short run on the sample has come, if that is better there than its fit."""
        if runner is None or runner.parameters is None:
            return
        if outcome.fit is not None and not outcome.degenerate:
            known = place.sample.statistics(candidate.structure, outcome.fit.parameters)
            if not runner.bound > known.mean_log_likelihood:
                return
        self.attempt(candidate, outcome, place.source, lambda _: runner.position())

    def together(self, jobs: Sequence[Job[R]]) -> list[R]:
        """Results of jobs, called with all rows and the sample; an interruption of one ends the others."""
        try:
            return share_out(self.place, jobs, in_order=self.settings.in_order)
        except BaseException:
            self.stopped = True
            raise

    def _check(self, n_iter: int, lower_bound: float, change: float) -> None:
        """End a fit when the sweep has ended."""
        if self.stopped:
            raise KeyboardInterrupt


def is_degenerate(maximize: Maximization, fit: Fit) -> bool:
    """Whether a component has collapsed, so that nothing but regularization or repair bounds the likelihood.

    Where all rows together have no spread in some direction, that says nothing of a component.
    """
    if any(repair.iteration > 0 for repair in fit.repairs):
        return True
    source, structure, covariances = maximize.source, maximize.structure, fit.parameters.covariances
    reg_covar = np.asarray(maximize.reg_covar, dtype=np.float64)
    if not reg_covar.any():
        return False
    if structure.triangular:
        smallest = smallest_variance(covariances, reg_covar)
    else:
        smallest = float((structure.diagonals(covariances) / reg_covar).min())
    return smallest <= FLOOR < smallest_variance(source.scatter / source.total, reg_covar) + 1


def smallest_variance(covariances: np.ndarray, unit: np.ndarray) -> float:
    """The smallest variance in any direction, with each feature's variance in some unit."""
    scale = np.sqrt(np.broadcast_to(unit, covariances.shape[-1:]))
    relative = covariances / (scale[:, None] * scale)
    return float(np.linalg.eigvalsh(relative).min()) if np.isfinite(relative).all() else math.inf
