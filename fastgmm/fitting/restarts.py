"""Several starts, of which the best fit is kept: side by side, and the hopeless ones are dropped on the way."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from time import perf_counter
from typing import NamedTuple, Protocol

from ..model.structures import Structure
from ..sources.array import ArraySource
from .em import Fit
from .parallel import side_by_side
from .starts import Start

FIRST_LEG = 10  # iterations after which restarts are compared for the first time; then after twice as many, and so on
PATIENCE = 10.0  # how many times its projected gain a restart may lack to the best one,
MEMORY = 5  # by the most hopeful of so many projections: EM may rest on a plateau and climb again


class Plan(NamedTuple):
    """What a restart is to do."""

    start: Start
    em: Callable[..., Fit]  # (source, parameters=, max_iter=, previous_bound=, on_iteration=)


class Progress(Protocol):
    """Who is told how it goes."""

    def begin(self, number: int, seconds: float = 0.0) -> None:
        """A start begins its fit, or goes on after the seconds it has had."""

    def iteration(self, n_iter: int, lower_bound: float, change: float) -> None:
        """It has done an iteration."""

    def end(self, lower_bound: float, converged: bool) -> None:
        """It has ended."""

    def drop(self, number: int) -> None:
        """It is given up."""


class FitRecord(NamedTuple):
    """What became of one initialization.

    Attributes
    ----------
    seconds_initialization, seconds_em : float
        Time for the starting values, and for EM.
    n_iter : int
        Number of iterations.
    start_bound : float
        Mean log-likelihood per sample at the start; -inf if there was no iteration.
    lower_bound : float
        Mean log-likelihood per sample before the last M-step.
    converged : bool
        Whether EM ended because of ``tol``.
    dropped : bool
        Whether it was given up because it could hardly have become the best.
    """

    seconds_initialization: float
    seconds_em: float
    n_iter: int
    start_bound: float
    lower_bound: float
    converged: bool
    dropped: bool


def best_fit(
    source: ArraySource,
    structure: Structure,
    n_components: int,
    plans: Sequence[Plan],
    *,
    max_iter: int,
    drop: bool,
    progress: Progress,
    previous_bound: float = -math.inf,
    in_order: bool = False,
) -> tuple[Fit, list[FitRecord]]:
    """Run EM from each start; return the fit with the largest lower bound, and what became of all.

    If hopeless ones are to be dropped, restarts go on in legs and are compared after each, all with the same number of
    iterations: nothing depends on how many run at a time. `in_order` keeps them from running side by side.
    """
    restarts = [Restart(number, plan, previous_bound) for number, plan in enumerate(plans)]
    legs = drop and len(restarts) > 1
    running, limit, stop = restarts, FIRST_LEG if legs else max_iter, Event()
    while running:
        limit = min(limit, max_iter)
        tasks = [partial(r.run, limit=limit, last=max_iter, progress=progress, stop=stop) for r in running]
        try:
            if in_order:
                for task in tasks:
                    task(source)
            else:
                side_by_side(source, structure, n_components, tasks)
        except BaseException:
            stop.set()
            raise
        running = [restart for restart in running if not restart.ended]
        if legs:
            highest = max(restart.lower_bound for restart in restarts)
            for restart in running:
                if projected(restart.lower_bounds) < highest:
                    restart.dropped = True
                    progress.drop(restart.number)
            running, limit = [restart for restart in running if not restart.dropped], 2 * limit
    best = max(restarts, key=lambda restart: restart.lower_bound) if max_iter > 0 else restarts[-1]
    assert best.fit is not None
    return best.fit, [restart.record() for restart in restarts]


def projected(bounds: Sequence[float]) -> float:
    """A bound that EM will hardly pass: the most that any of the last few iterations made one expect."""
    return max(forecast(*bounds[end - 3 : end]) for end in range(len(bounds), len(bounds) - MEMORY, -1))


def forecast(before: float, last: float, now: float) -> float:
    """The bound now and `PATIENCE` times the gain that Aitken's rule projects from three of them.

    Where gains shrink by the same factor each time, those to come sum up to gain * factor / (1 - factor). As long as
    they grow there is no saying.
    """
    previous, gain = last - before, now - last
    if gain <= 0.0:
        return now
    return now + PATIENCE * gain**2 / (previous - gain) if gain < previous else math.inf


class Stopped(Exception):
    """Raised in the threads of the other restarts when one has failed or the user has interrupted."""


@dataclass(slots=True)
class Restart:
    """One start and how far its fit has come."""

    number: int
    plan: Plan
    previous_bound: float
    fit: Fit | None = None
    ended: bool = False
    dropped: bool = False
    seconds_initialization: float = 0.0
    seconds_em: float = 0.0

    def run(self, source: ArraySource, limit: int, last: int, progress: Progress, stop: Event) -> None:
        """Begin or go on, up to `limit` iterations, of which `last` are the most there will ever be."""
        try:
            self._run(source, limit, last, progress, stop)
        except BaseException:
            stop.set()
            raise

    def _run(self, source: ArraySource, limit: int, last: int, progress: Progress, stop: Event) -> None:
        """The same, without a word to the others when it fails."""
        progress.begin(self.number, self.seconds_initialization + self.seconds_em)
        done, begun = self.n_iter, perf_counter()
        parameters = self.plan.start(source) if self.fit is None else self.fit.parameters
        started = perf_counter()

        def on_iteration(n_iter: int, lower_bound: float, change: float) -> None:
            if stop.is_set():
                raise Stopped
            progress.iteration(done + n_iter, lower_bound, change)

        fit = self.plan.em(
            source,
            parameters=parameters,
            max_iter=limit - done,
            previous_bound=self.lower_bounds[-1] if self.lower_bounds else self.previous_bound,
            on_iteration=on_iteration,
        )
        self.seconds_initialization += started - begun
        self.seconds_em += perf_counter() - started
        self.fit = replace(fit, lower_bounds=self.lower_bounds + fit.lower_bounds)
        self.ended = fit.converged or self.n_iter < limit or self.n_iter >= last
        if self.ended and last > 0:
            progress.end(self.lower_bound, fit.converged)

    @property
    def lower_bounds(self) -> list[float]:
        """The mean log-likelihood before each M-step."""
        return [] if self.fit is None else self.fit.lower_bounds

    @property
    def lower_bound(self) -> float:
        """The last of them."""
        return self.lower_bounds[-1] if self.lower_bounds else -math.inf

    @property
    def n_iter(self) -> int:
        """How many there are."""
        return len(self.lower_bounds)

    def record(self) -> FitRecord:
        """What is told of it."""
        return FitRecord(
            self.seconds_initialization,
            self.seconds_em,
            self.n_iter,
            self.lower_bounds[0] if self.lower_bounds else -math.inf,
            self.lower_bound,
            self.fit is not None and self.fit.converged,
            self.dropped,
        )
