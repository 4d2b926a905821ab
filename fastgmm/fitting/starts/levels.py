"""Starts by EM on samples: few rows lead most of the way, and a fit of many begins near its end.

Each level is a sample of some times as many rows as the one before, which is drawn from it. A level is left when an EM
step gains less than its rows can tell: between two mixtures whose mean log-likelihoods differ by g the logarithm of the
ratio of densities has a variance of about 2 g, so that of n rows only gains above 2 / n are more than chance.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from ...model.parameters import Parameters
from ...model.structure import Structure
from ...sources.complete import CompleteSource
from ..convergence import STEP
from ..em import expectation_maximization
from ..settings import Settings
from .cleaned import clean_rows
from .kmeans import Random, draw_rows
from .methods import Goal, Start
from .race import from_race

LEAST_ROWS = 1 << 13  # of the first level
ROWS_PER_COMPONENT = 256
ROWS_PER_PARAMETER = 8  # with 4, starts that fit chance win more often
GROWTH = 8  # how many times as many rows the next level has
LEAST_GROWTH = 2  # of the last one
LEAST_PART = 4  # all rows are at least so many times those of a level
MOST_NUMBERS = 1 << 22  # values in a level, which is held in memory
CHANCE = 2.0  # divided by the number of rows, what they gain by chance
PART_OF_TOL = 0.1  # gains below it, which end a level, are far below those that end a fit
LEAST_TOL = 1e-5  # for each row, of an objective that is a sum over rows
LEAST_COUNT = 2  # times the rows that a covariance takes, in each component

Method = Callable[[CompleteSource, Goal, Random], Start]


def level_sizes(n_samples: int, n_features: int, structure: Structure, n_components: int) -> list[int]:
    """How many rows the levels of a fit have; none where rows are few, or wide, or one component takes them all.

    Each has `GROWTH` times as many as the one before, but for the last, which is as large as any may be.
    """
    n_parameters = structure.n_parameters(n_components, n_features)
    size = max(LEAST_ROWS, ROWS_PER_COMPONENT * n_components, ROWS_PER_PARAMETER * n_parameters)
    if n_components == 1 or n_samples < GROWTH * size:
        return []
    sizes, most = list[int](), min(n_samples // LEAST_PART, MOST_NUMBERS // n_features)
    while size <= most:
        sizes.append(size)
        size *= GROWTH
    if sizes and most >= LEAST_GROWTH * sizes[-1]:
        sizes.append(most)
    return sizes


def saves_passes(goal: Goal, settings: Settings) -> bool:
    """Whether `tol` ends a fit: where it is of all rows together, and tiny for one of them, `max_iter` does."""
    n_rows = goal.m_step.rows_summed
    return n_rows == 1 or settings.tol >= LEAST_TOL * n_rows


def least_count(goal: Goal, n_features: int) -> int:
    """A component of fewer rows of a sample is no ground to go on from, unless a prior says what it is."""
    if goal.m_step.proper:
        return 0
    own = n_features if goal.structure.triangular and not goal.structure.shared else 1
    return LEAST_COUNT * (own + 1)


def from_sound_race(source: CompleteSource, goal: Goal, random_state: Random) -> Start:
    """The best of several starts on the first level, of those if any that have enough rows of each component.

    With noise as many more begin from the rows that have near neighbors.
    """
    least = least_count(goal, source.n_features)
    clean = clean_rows(source, goal.n_components) if goal.structure.noisy else None
    return from_race(source, goal, random_state, least, clean)


@dataclass
class FromLevels:
    """A start by EM on levels of these sizes, begun by a method on the first of them.

    A level that has too few rows of a component is given up, and the next one begins anew; the start on all rows is
    `otherwise`. Rows of samples are drawn by their weights, and have none.
    """

    goal: Goal
    sizes: list[int]
    settings: Settings
    method: Method
    otherwise: Method
    seed: int  # of the random numbers, which are drawn when they are needed
    passes: list[tuple[int, int]] = field(default_factory=list)  # rows of each level, and how many passes it took

    def __call__(self, source: CompleteSource) -> Parameters:
        random_state = np.random.RandomState(self.seed)
        largest = source.take(draw_rows(source, self.sizes[-1], random_state))
        parameters, before = None, 0
        for size in self.sizes:
            enough = parameters is not None and size < GROWTH * before and self.tol_per_row >= CHANCE / before
            if enough or perf_counter() >= self.goal.deadline:
                break
            rows = largest if size == self.sizes[-1] else largest.take(draw_rows(largest, size, random_state))
            parameters, before = self.reached(rows, parameters, random_state), size
        if parameters is None:
            return self.otherwise(source, self.goal, random_state)(source)
        return parameters

    @property
    def tol_per_row(self) -> float:
        """The gain per row that ends the fit of all rows."""
        return self.settings.tol / self.goal.m_step.rows_summed

    def reached(self, rows: CompleteSource, parameters: Parameters | None, random_state: Random) -> Parameters | None:
        """Where EM leads on a level; None where it has too few rows of a component."""
        goal = self.goal._replace(m_step=self.goal.m_step.on(rows))
        try:
            if parameters is None:
                parameters = self.method(rows, goal, random_state)(rows)
            fit = expectation_maximization(rows, goal.m_step, parameters, self.settings_on(rows, goal))
        except ValueError:  # a covariance is ill-defined
            return None
        self.passes.append((rows.n_samples, len(fit.lower_bounds)))
        smallest = fit.parameters.weights.min() * rows.n_samples
        few = goal.m_step.repairs or smallest < least_count(goal, rows.n_features)
        return None if few else fit.parameters

    def settings_on(self, rows: CompleteSource, goal: Goal) -> Settings:
        """How EM goes on on a level: what is going to be given up ends at once."""
        return Settings(
            max(PART_OF_TOL * self.tol_per_row, CHANCE / rows.n_samples) * goal.m_step.rows_summed,
            self.settings.max_iter,
            STEP,
            acceleration="squarem",
            callback=lambda *_: bool(goal.m_step.repairs),
            deadline=goal.deadline,
        )
