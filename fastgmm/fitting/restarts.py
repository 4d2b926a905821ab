"""Several starts, of which the best fit is kept: side by side, and the hopeless ones are dropped on the way."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple, Protocol

from ..model.structure import Structure
from ..sources.source import Source
from .convergence import CALLBACK, INTERRUPT, MAX_ITER, MAX_TIME
from .em import Fit, expectation_maximization
from .mstep import MStep
from .parallel import side_by_side
from .records import FitRecord, Searched
from .settings import Settings
from .soundness import repaired, sound
from .starts import StartingValues, cleaned, completed, method_of, on_levels, sizes_of_levels
from .starts.kmeans import Random
from .starts.levels import FromLevels
from .starts.methods import Goal, Start
from .tables import from_kmeans_at_once

FIRST_LEG = 10  # iterations after which restarts are compared for the first time; then after twice as many, and so on
PATIENCE = 10.0  # a restart goes on while so many times its projected gain would make it the best
MEMORY = 5  # iterations whose most hopeful projection counts: EM may rest on a plateau and climb again


class Plan(NamedTuple):
    """A start, the M-step by which EM goes on from there, and what kind of start it is."""

    start: Start
    m_step: MStep
    kind: str = ""

    @property
    def levels(self) -> tuple[tuple[int, int], ...]:
        """Rows and passes of the levels on which it has begun."""
        return tuple(self.start.passes) if isinstance(self.start, FromLevels) else ()


def drawn_plans(
    source: Source,
    structure: Structure,
    n_components: int,
    settings: Settings,
    given: StartingValues,
    method: Any,
    random_state: Random,
) -> list[Plan]:
    """Draw the starts, one after the other, while there is time; with noise one more, of rows with near neighbors.

    Of several by k-means all but the first are of other kinds, or in other spaces.
    """
    draws: list[Callable[..., Start | None]] = [completed] * settings.n_init
    if structure.noisy and isinstance(method, str) and all(one is None for one in given):
        draws.append(cleaned)
    plans = list[Plan]()
    for number, draw in enumerate(draws):
        if plans and perf_counter() >= settings.deadline:
            break
        m_step = settings.m_step(source, structure)
        goal = Goal(structure, n_components, m_step, settings.deadline)
        own = method if draw is cleaned else method_of(method, number, given)
        start: Start | None = None
        sizes = sizes_of_levels(source, goal, settings, given, method)
        if not sizes:
            start = draw(source, given, goal, own, random_state)
        elif draw is not cleaned:  # which race with others there
            start = on_levels(sizes, goal, own, settings, random_state)
        if start is not None:
            kind = own if isinstance(own, str) else "init_params"
            plans.append(Plan(start, m_step, kind if draw is completed else f"{kind}, cleaned"))
    return plans


class Plans(NamedTuple):
    """Starts, and where the random numbers of a search begin, if there is to be one."""

    starts: list[Plan]
    seed: int | None = None


class Progress(Protocol):
    """Reports how restarts proceed."""

    def begin(self, number: int, seconds: float = 0.0) -> None:
        """A restart begins, or goes on after the seconds it has had."""

    def iteration(self, number: int, n_iter: int, lower_bound: float, change: float) -> None:
        """It has done an iteration."""

    def end(self, number: int, lower_bound: float, stop_reason: str) -> None:
        """It has ended."""

    def drop(self, number: int) -> None:
        """It is abandoned."""


class Restarts:
    """Several starts on the same rows, of which the best fit counts.

    If hopeless ones are to be dropped, restarts go on in legs and are compared after each, all with the same number of
    iterations: nothing depends on how many run at a time. SQUAREM, which does not gain step by step, drops none.
    `in_order` keeps restarts from running side by side; `first` is the number of the first of them.
    """

    def __init__(
        self,
        source: Source,
        n_components: int,
        plans: Sequence[Plan],
        settings: Settings,
        *,
        progress: Progress,
        previous_bound: float = -math.inf,
        in_order: bool = False,
        first: int = 0,
    ) -> None:
        self.source, self.n_components, self.settings, self.progress = source, n_components, settings, progress
        self.in_order = in_order or len(plans) == 1
        self.restarts = [Restart(number, plan, previous_bound) for number, plan in enumerate(plans, first)]
        self.leg = Leg(settings.max_iter, settings, progress)

    @property
    def searched(self) -> Searched | None:
        """What a search has done; there is none."""
        return None

    def run(self) -> tuple[Fit, list[FitRecord]]:
        """The fit with the largest lower bound, and a record of each; the error of the first that fails."""
        restarts, max_iter = self.restarts, self.settings.max_iter
        in_legs = self.settings.drop_restarts and self.settings.acceleration is None and len(restarts) > 1
        running, limit = restarts, FIRST_LEG if in_legs else max_iter
        while running:
            self.leg.limit = min(limit, max_iter)
            self._run(running)
            for restart in running:
                if restart.error is not None:
                    raise restart.error
            if self.leg.stop_reason is not None:
                break
            running = [restart for restart in running if not restart.ended]
            if in_legs:
                intact = [restart for restart in restarts if not repaired(restart.plan.m_step)]
                highest = max(restart.lower_bound for restart in intact or restarts)
                for restart in running:
                    if (intact and restart not in intact) or projected(restart.lower_bounds) < highest:
                        self._drop(restart)
                running, limit = [restart for restart in running if not restart.dropped], 2 * limit
        best = self.best() if max_iter > 0 else restarts[-1]
        assert best.fit is not None
        if self.leg.stop_reason is not None:
            best.fit.stop_reason = self.leg.stop_reason
        return best.fit, self.records()

    def cut_short(self, error: BaseException) -> tuple[Fit, list[FitRecord]] | None:
        """The best fit so far, and the records, where Ctrl-C or an error of the callback has ended `run`.

        None where no iteration has ended, or the fit itself has failed.
        """
        if self.leg.stop_reason is None and isinstance(error, Exception):
            return None
        if self.leg.stop_reason is None or isinstance(error, KeyboardInterrupt):
            self.leg.stop_reason = INTERRUPT
        with suppress(KeyboardInterrupt):  # pressed again: no waiting for the others
            self.source.workers.close()
        best = self.best()
        if best.fit is None or not best.lower_bounds:
            return None
        return best.fit.cut(self.leg.stop_reason), self.records()

    def best(self) -> "Restart":
        """The sound restart with the largest lower bound, the first of them; a spurious one if there is no other."""
        if len(self.restarts) == 1:
            return self.restarts[0]
        return max(self.restarts, key=lambda restart: (restart.error is None, self.sound(restart), restart.bound))

    def sound(self, restart: "Restart") -> bool:
        """Whether a restart has come to an optimum of the rows' own."""
        if restart.fit is None or not restart.lower_bounds:
            return False
        if restart.judged is None or restart.judged[0] != restart.n_iter:
            restart.judged = restart.n_iter, sound(self.source, restart.plan.m_step, restart.fit.parameters)
        return restart.judged[1]

    def records(self) -> list[FitRecord]:
        """A record of each."""
        if len(self.restarts) == 1:
            return [self.restarts[0].record()]
        return [restart.record()._replace(sound=self.sound(restart)) for restart in self.restarts]

    def _drop(self, restart: "Restart") -> None:
        """Give one up."""
        restart.dropped = True
        self.leg.stop_reason = CALLBACK  # if this raises
        self.progress.drop(restart.number)
        self.leg.stop_reason = None

    def _run(self, running: Sequence["Restart"]) -> None:
        """Begin or go on with some."""
        tasks = [partial(restart.run, leg=self.leg) for restart in running]
        try:
            if self.in_order or len(tasks) == 1:
                for task in tasks:
                    task(self.source)
            else:
                side_by_side(self.source, running[0].plan.m_step.structure, self.n_components, tasks)
        except BaseException as error:
            if self.leg.stop_reason is None and not isinstance(error, Exception):
                self.leg.stop_reason = INTERRUPT  # by which the other threads learn of it
            raise


def alone(source: Source, plans: Sequence[Plan], settings: Settings) -> tuple[Fit, list[FitRecord]] | None:
    """What `Restarts` would return of a single start; None where that takes more than one compiled call."""
    if len(plans) > 1:
        return None
    begun, (start, m_step, kind) = perf_counter(), plans[0]
    whole = from_kmeans_at_once(source, start, m_step, settings, whole=True)
    if whole is None:
        return None
    fit = Fit(whole.reached.parameters, repairs=m_step.repairs, m_step=m_step)
    fit.add(whole.reached, None)
    bounds, seconds_em = fit.lower_bounds, perf_counter() - begun - whole.seconds
    record = FitRecord(whole.seconds, seconds_em, len(bounds), bounds[0], bounds[-1], fit.converged, False, kind)
    return fit, [record]


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


@dataclass
class Leg:
    """A stretch of all restarts: up to which iteration, and what ends it before."""

    limit: int
    settings: Settings
    progress: Progress
    first_failed: float = math.inf  # number of the first restart that has failed: those after it need not go on
    stop_reason: str | None = None  # why all have to end


class Stopped(Exception):
    """Raised in a restart that need not go on."""


@dataclass
class Restart:
    """One start and how far its fit has come."""

    number: int
    plan: Plan
    previous_bound: float
    fit: Fit | None = None
    error: Exception | None = None
    ended: bool = False
    dropped: bool = False
    telling: bool = False  # whether progress is being reported
    judged: tuple[int, bool] | None = None  # after how many iterations it was found to be sound, or not
    seconds_initialization: float = 0.0
    seconds_em: float = 0.0

    def run(self, source: Source, leg: Leg) -> None:
        """Begin or go on; of errors the one of the first restart counts, as if they ran in order.

        Ctrl-C, and what a callback raises, end all restarts at once.
        """
        try:
            if self.number < leg.first_failed and leg.stop_reason is None:
                self._run(source, leg)
        except Stopped:
            pass
        except BaseException as error:
            told = self.telling or (self.fit is not None and self.fit.stop_reason == CALLBACK)
            if isinstance(error, Exception) and not told:
                self.error, leg.first_failed = error, min(self.number, leg.first_failed)
                return
            leg.stop_reason = CALLBACK if told and not isinstance(error, KeyboardInterrupt) else INTERRUPT
            raise

    def _run(self, source: Source, leg: Leg) -> None:
        """Find the start if there is none yet, and iterate up to the limit."""
        progress, begun = leg.progress, perf_counter()
        self.telling = True
        progress.begin(self.number, self.seconds_initialization + self.seconds_em)
        self.telling = False
        settings, (start, m_step, _) = leg.settings._replace(max_iter=leg.limit), self.plan
        fit, started, iterated = self.fit, begun, None
        if fit is None:
            whole = from_kmeans_at_once(source, start, m_step, settings)
            if whole is None:
                fit, started = Fit(start(source)), perf_counter()
            else:
                iterated, started = whole.reached, begun + whole.seconds
                fit = Fit(iterated.parameters, repairs=m_step.repairs, m_step=m_step)
            self.fit = fit

        def on_iteration(n_iter: int, lower_bound: float, change: float) -> None:
            if self.number > leg.first_failed or leg.stop_reason is not None:
                raise Stopped
            progress.iteration(self.number, n_iter, lower_bound, change)

        try:
            if iterated is not None:
                fit.add(iterated, on_iteration)
            if not fit.converged:
                expectation_maximization(
                    source,
                    m_step,
                    fit.parameters,
                    settings,
                    previous_bound=self.previous_bound,
                    on_iteration=on_iteration,
                    fit=fit,
                )
        finally:
            self.seconds_initialization += started - begun
            self.seconds_em += perf_counter() - started
        if fit.stop_reason in (MAX_TIME, CALLBACK):
            leg.stop_reason = fit.stop_reason
        self.ended = fit.stop_reason != MAX_ITER or self.n_iter >= leg.settings.max_iter
        if self.ended and leg.settings.max_iter > 0:
            self.telling = True
            progress.end(self.number, self.lower_bound, fit.stop_reason)
            self.telling = False

    @property
    def lower_bounds(self) -> list[float]:
        """The bound of each iteration."""
        return [] if self.fit is None else self.fit.lower_bounds

    @property
    def lower_bound(self) -> float:
        """The last of them."""
        return self.lower_bounds[-1] if self.lower_bounds else -math.inf

    @property
    def bound(self) -> float:
        """The last one in the units of the source, by which restarts are compared."""
        return -math.inf if self.fit is None else self.fit.bound

    @property
    def n_iter(self) -> int:
        """Number of iterations so far."""
        return len(self.lower_bounds)

    def record(self) -> FitRecord:
        """Its record, for the user."""
        return FitRecord(
            self.seconds_initialization,
            self.seconds_em,
            self.n_iter,
            self.lower_bounds[0] if self.lower_bounds else -math.inf,
            self.lower_bound,
            self.fit is not None and self.fit.converged,
            self.dropped,
            self.plan.kind,
            levels=self.plan.levels,
        )
