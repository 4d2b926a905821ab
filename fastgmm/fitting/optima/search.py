"""Rounds of candidates, of which the best goes on to its optimum; until the best of all is found again and again.

In a round some candidates run a few passes of EM, the best of them go on for some more, and the best of these to its
end, unless it falls behind the best optimum known. Candidates are fresh starts, or moves and perturbations of the best
optima. The search ends when fresh starts have come to the best optimum twice, so that others are unlikely to be above
it, and some rounds have found nothing better; or when it has had its passes, or its time.

That the worse part of many short runs stops again and again is successive halving (K. Jamieson and A. Talwalkar,
AISTATS 2016). To judge by how often an optimum is found anew whether there may be better ones is due to C. G. E.
Boender and A. H. G. Rinnooy Kan, Mathematical Programming 37, 1987.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from time import perf_counter
from typing import NamedTuple

import numpy as np

from ...model.parameters import Parameters
from ...sources.array import ArraySource
from ..convergence import MAX_TIME
from ..em import Fit
from ..parallel import side_by_side
from ..records import FitRecord, Searched
from ..restarts import Leg, Plan, Progress, Restart, Restarts, forecast
from ..settings import Settings
from ..soundness import on_enough_rows, repaired
from ..starts import prepare
from ..starts.methods import Goal, fixed
from ..starts.race import Contender
from .cloud import Cloud
from .moves import moved, perturbed

MOST_PASSES = 4500  # of EM over the rows of the search
RUNGS = ((4, 3), (12, 1))  # passes, and how many candidates go on after them
LEG = 20  # passes, after which a fit is compared with the best; then after twice as many, and so on
FRESH, MOVES, PERTURBED = "fresh", "moves", "perturbations"
ROUNDS = (MOVES, MOVES, PERTURBED, MOVES, MOVES, FRESH)  # after a first one of fresh starts, again and again
SIZES = {MOVES: 8, PERTURBED: 4}
FIRST_KMEANS = ("kmeans, standardized", "kmeans, principal axes", "kmeans, few directions")
FURTHER_KMEANS = ("kmeans, principal axes", "kmeans, standardized", "kmeans, few directions", "kmeans")
CHEAP = (  # starts that take no clustering
    *("random rows",) * 2,
    "random rows, narrow",
    *("nearest, standardized",) * 2,
    "nearest, sphered",
    "random",
)
BEST_OF = 3  # optima from which moves go
OF_THE_BEST = 0.6  # of them, from the best
FOUND, IDLE = 2, 3  # rounds of fresh starts that have come to the best optimum, and rounds without gain, at the end
NATS = 1e-2  # within which log-likelihoods of all rows are those of one optimum,
TOLERANCES = 10.0  # or within so many times `tol` for each row


class Candidate(NamedTuple):
    """A start by name, called with a source and a goal."""

    name: str
    start: Callable[..., Parameters]


class Search(Restarts):
    """The search on some rows in memory, whose best fit counts. The first plans go on to their ends before it begins.

    Random numbers are drawn candidate by candidate before a round begins, and rounds are judged when they have ended:
    nothing but times depends on threads.
    """

    def __init__(
        self,
        source: ArraySource,
        goal: Goal,
        plans: Sequence[Plan],
        settings: Settings,
        seed: int,
        *,
        progress: Progress,
    ) -> None:
        settings = settings._replace(acceleration=settings.acceleration or "squarem")
        super().__init__(source, goal.n_components, plans, settings, progress=progress, in_order=True)
        self.goal, self.random_state = goal, np.random.default_rng(seed)
        self.cloud = Cloud(source, goal.structure)
        self.tolerance = max(NATS / source.total, TOLERANCES * settings.tol)
        self.rounds = self.found = self.idle = self.raced = 0

    def run(self) -> tuple[Fit, list[FitRecord]]:
        """The best fit of all, and a record of each that has gone beyond its first passes."""
        for restart in self.restarts:
            self._finish(restart)
            if restart.error is not None:
                raise restart.error
        self.explore()
        best = self.best()
        assert best.fit is not None
        if self.leg.stop_reason not in (None, MAX_TIME):
            best.fit.stop_reason = self.leg.stop_reason
        return best.fit, self.records()

    def explore(self) -> None:
        """Rounds until the end."""
        kinds = cycle(ROUNDS)
        while not self.over:
            self._round(next(kinds) if self.rounds > 0 and self.optima() else FRESH)

    @property
    def over(self) -> bool:
        """Whether the search has come to its end."""
        late = perf_counter() >= self.settings.deadline and len(self.restarts) > 0
        if late or self.leg.stop_reason is not None or self.n_components == 1 or self.settings.max_iter == 0:
            return True
        return self.passes >= MOST_PASSES or (self.found >= FOUND and self.idle >= IDLE)

    @property
    def passes(self) -> int:
        """Passes of EM so far."""
        return self.raced + sum(restart.n_iter for restart in self.restarts)

    @property
    def searched(self) -> Searched:
        """What the search has done."""
        return Searched(self.rounds, self.found, self.passes)

    def optima(self) -> list[Restart]:
        """Different optima, the best first; of spurious ones none, if there are others."""
        ended = [one for one in self.restarts if one.lower_bounds and one.error is None and not one.dropped]
        honest = [one for one in ended if self.sound(one)]
        different = list[Restart]()
        for one in sorted(honest or ended, key=lambda one: -one.bound):
            if not different or one.bound < different[-1].bound - self.tolerance:
                different.append(one)
        return different

    # ---- a round

    def _round(self, kind: str) -> None:
        """Let candidates race, and the winner go on to its end."""
        before = self.optima()[:1]
        candidates = self._fresh() if kind == FRESH else self._near(kind)
        winner = self._race(candidates)
        self.rounds, self.idle = self.rounds + 1, self.idle + 1
        if winner is None:
            return
        contender, name = winner
        plan = Plan(fixed(contender.reached()), contender.goal.m_step, name)
        restart = Restart(len(self.restarts), plan, -math.inf)
        self.restarts.append(restart)
        self._finish(restart)
        best = self.optima()[:1]
        if best and (
            not before
            or best[0].bound > before[0].bound + self.tolerance
            or self.sound(best[0]) > self.sound(before[0])
        ):
            self.idle = self.found = 0
        ended = not restart.dropped and restart.error is None
        self.found += kind == FRESH and ended and abs(restart.bound - best[0].bound) <= self.tolerance

    def _seed(self) -> int:
        return int(self.random_state.integers(2**31))

    def _fresh(self) -> list[Candidate]:
        """Starts of many kinds."""
        turn = self.rounds // len(ROUNDS) - 1
        clusterings = FIRST_KMEANS if self.rounds == 0 else FURTHER_KMEANS[turn % len(FURTHER_KMEANS) :][:1]
        names = (*clusterings, *CHEAP)
        return [Candidate(name, partial(_prepared, method=name, seed=self._seed())) for name in names]

    def _near(self, kind: str) -> list[Candidate]:
        """Changes of the best optima."""
        optima, candidates = self.optima()[:BEST_OF], list[Candidate]()
        for _ in range(SIZES[kind]):
            which = 0
            if kind == MOVES and len(optima) > 1 and self.random_state.uniform() >= OF_THE_BEST:
                which = 1 + int(self.random_state.uniform() * (len(optima) - 1))
            fit = optima[which].fit
            assert fit is not None
            change = _moved if kind == MOVES else _perturbed
            start = partial(change, cloud=self.cloud, parameters=fit.parameters, seed=self._seed())
            candidates.append(Candidate(kind, start))
        return candidates

    def _race(self, candidates: Sequence[Candidate]) -> tuple[Contender, str] | None:
        """The candidate that is best after all rungs; None if none can be carried out."""
        left = []
        for name, start in candidates:
            left.append((Contender(self.goal._replace(m_step=self.goal.m_step.on(self.source)), start), name))
        for n_passes, n_left in RUNGS:
            runs = [partial(contender.run, n_passes=n_passes) for contender, _ in left]
            side_by_side(self.source, self.goal.structure, self.n_components, runs)
            self.raced += n_passes * len(runs)
            able = [one for one in left if one[0].value > -math.inf]
            able.sort(key=lambda one: (self._spurious(one[0]), -one[0].value))
            left = able[:n_left]
        return left[0] if left else None

    def _spurious(self, contender: Contender) -> bool:
        """Whether it is on its way to an optimum that is not the rows' own."""
        m_step = contender.goal.m_step
        return repaired(m_step) or not on_enough_rows(self.source, m_step, contender.reached())

    # ---- to the end

    def _finish(self, restart: Restart) -> None:
        """Go on to the end, unless it falls behind the best, or something is repaired."""
        limit, known = LEG, self.optima()[:1]
        least = known[0].lower_bound - self.tolerance if known and self.sound(known[0]) else -math.inf
        while self._goes_on(restart):
            self.leg = Leg(min(restart.n_iter + limit, self.settings.max_iter), self.settings, self.progress)
            restart.run(self.source, self.leg)
            limit *= 2
            if least > -math.inf and self._goes_on(restart) and self._hopeless(restart, least):
                self._drop(restart)

    def _hopeless(self, restart: Restart, least: float) -> bool:
        return repaired(restart.plan.m_step) or hopeful(restart.lower_bounds) < least

    def _goes_on(self, restart: Restart) -> bool:
        return not (restart.ended or restart.dropped or restart.error or self.leg.stop_reason)


def _prepared(source: ArraySource, goal: Goal, method: str, seed: int) -> Parameters:
    return prepare(source, goal, method, np.random.default_rng(seed))(source)


def _moved(source: ArraySource, goal: Goal, cloud: Cloud, parameters: Parameters, seed: int) -> Parameters:
    return moved(cloud, parameters, np.random.default_rng(seed))


def _perturbed(source: ArraySource, goal: Goal, cloud: Cloud, parameters: Parameters, seed: int) -> Parameters:
    return perturbed(cloud, goal, parameters, np.random.default_rng(seed))


def hopeful(bounds: Sequence[float]) -> float:
    """A bound that EM will hardly pass, by its gains in the last legs: SQUAREM does not gain step by step."""
    step = max(1, len(bounds) // 4)
    return forecast(bounds[-1 - 2 * step], bounds[-1 - step], bounds[-1])
