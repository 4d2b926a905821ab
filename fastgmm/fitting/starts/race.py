"""The start called "best": several cheap ones race through a few passes of EM, and the leader wins.

That the best of many short runs of EM goes on is due to Biernacki, Celeux and Govaert (2003); stopping the worse half
again and again is successive halving (Jamieson and Talwalkar 2016).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ...model.parameters import Parameters
from ...sources.complete import CompleteSource as Source
from ..em import expectation_maximization
from ..parallel import side_by_side
from .kmeans import Random, draw_rows
from .methods import Goal, Start, kmeans_centers, nearest, nearest_standardized, random_centers

RACE_ROWS = 1 << 14  # the race is run on a sample of this many rows,
RACE_ROWS_PER_COMPONENT = 256  # or of so many per component where that is more
CENTERS = (kmeans_centers, random_centers)  # who runs: these,
SCALES = (nearest, nearest_standardized)  # each with features as they are and with equal spreads
LEGS = (4, 8)  # passes of EM, after each of which the worse half stops


def from_race(source: Source, goal: Goal, random_state: Random) -> Start:
    """The parameters of who leads at the end, on a sample of the rows when there are many."""
    n_rows = max(RACE_ROWS, RACE_ROWS_PER_COMPONENT * goal.n_components)
    rows = None if source.n_samples <= n_rows else draw_rows(source, n_rows, random_state)
    track = source.take(rows)
    starts = [
        partial(scale, centers=centers(track, goal.n_components, random_state))
        for centers in CENTERS
        for scale in SCALES
    ]

    return lambda source: leader(source.take(rows), goal, starts).position()


def leader(
    track: Source, goal: Goal, starts: Sequence[Callable[..., Parameters]], legs: Sequence[int] = LEGS
) -> "Runner":
    """Who leads after all legs, of some starts called with `(track, goal=)`."""
    goal = goal._replace(maximize=goal.maximize.on(track))
    field = [Runner(goal, start) for start in starts]
    for n_passes in legs:
        runs = [partial(runner.run, n_passes=n_passes) for runner in field]
        side_by_side(track, goal.structure, goal.n_components, runs)
        field = sorted(field, key=lambda runner: -runner.bound)[: max(1, len(field) // 2)]
    return field[0]


@dataclass(slots=True)
class Runner:
    """One start and how far it has come."""

    goal: Goal
    start: Callable[..., Parameters]
    parameters: Parameters | None = None
    bound: float = -math.inf
    error: ValueError | None = None

    def run(self, source: Source, n_passes: int) -> None:
        """Go on for some passes; a covariance that becomes ill-defined puts it last."""
        try:
            if self.parameters is None:
                self.parameters = self.start(source, goal=self.goal)
            fit = expectation_maximization(
                source, self.goal.structure, self.parameters, tol=0.0, max_iter=n_passes, maximize=self.goal.maximize
            )
        except ValueError as error:
            self.bound, self.error = -math.inf, error
        else:
            self.parameters, self.bound = fit.parameters, fit.lower_bounds[-1]

    def position(self) -> Parameters:
        """Where it is."""
        if self.parameters is None:
            assert self.error is not None
            raise self.error
        return self.parameters
