"""The start called "best": several cheap ones run a few passes of EM, and the best one goes on.

That the best of many short runs of EM goes on is due to Biernacki, Celeux and Govaert (2003); stopping the worse half
again and again is successive halving (Jamieson and Talwalkar 2016).
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

from ...model.parameters import Parameters
from ...sources.complete import CompleteSource
from ..em import expectation_maximization
from ..parallel import side_by_side
from ..settings import Settings
from .kmeans import Random, draw_rows, sample_size
from .methods import Goal, Start, kmeans_centers, nearest, nearest_standardized, random_centers

RACE_ROWS = 1 << 14  # size of the subsample on which starts are compared
RACE_ROWS_PER_COMPONENT = 256  # its size where there are many components
CENTERS = (kmeans_centers, random_centers)  # where components may start
SCALES = (nearest, nearest_standardized)  # rows go to the nearest center with features as they are, or of equal spread
RUNGS = (4, 8)  # passes of EM, after each of which the worse half stops


def from_race(
    source: CompleteSource,
    goal: Goal,
    random_state: Random,
    least: float = 0.0,
    clean: CompleteSource | None = None,
) -> Start:
    """The parameters of the best start after all rungs, on a subsample of the rows when there are many.

    One that leaves a component fewer than the `least` rows counts if all do. As many more begin from the `clean` rows.
    """
    n_rows = sample_size(source.n_features, RACE_ROWS, RACE_ROWS_PER_COMPONENT * goal.n_components)
    rows = None if source.n_samples <= n_rows else draw_rows(source, n_rows, random_state)
    subsample = source.take(rows)
    starts = drawn_starts(subsample, goal, random_state)
    if clean is not None:
        starts += [partial(elsewhere, start=start, rows=clean) for start in drawn_starts(clean, goal, random_state)]

    return lambda source: best_start(source.take(rows), goal, starts, least=least).reached()


def drawn_starts(source: CompleteSource, goal: Goal, random_state: Random) -> list[Callable[..., Parameters]]:
    """Draw the cheap starts."""
    return [partial(scale, centers=centers(source, goal, random_state)) for centers in CENTERS for scale in SCALES]


def elsewhere(_: CompleteSource, goal: Goal, start: Callable[..., Parameters], rows: CompleteSource) -> Parameters:
    """A start from other rows than those of the race."""
    return start(rows, goal=goal)


def best_start(
    subsample: CompleteSource,
    goal: Goal,
    starts: Sequence[Callable[..., Parameters]],
    rungs: Sequence[int] = RUNGS,
    least: float = 0.0,
) -> "Contender":
    """The start with the largest objective after all rungs, of some called with `(subsample, goal=)`.

    Those that leave every component the `least` rows come before others.
    """
    contenders = [Contender(goal._replace(m_step=goal.m_step.on(subsample)), start) for start in starts]
    for n_passes in rungs:
        runs = [partial(contender.run, n_passes=n_passes) for contender in contenders]
        side_by_side(subsample, goal.structure, goal.n_components, runs)
        ranking = sorted(contenders, key=lambda one: (one.smallest * subsample.n_samples < least, -one.value))
        contenders = ranking[: max(1, len(ranking) // 2)]
    return contenders[0]


class Contender:
    """A start, and how far EM has come from there: parameters and objective, or the error that ended it."""

    def __init__(
        self,
        goal: Goal,
        start: Callable[..., Parameters],
        parameters: Parameters | None = None,
        value: float = -math.inf,
    ) -> None:
        self.goal, self.start = goal, start
        self.parameters, self.value = parameters, value
        self.error: ValueError | None = None

    def run(self, source: CompleteSource, n_passes: int) -> None:
        """Go on for some passes; a covariance that becomes ill-defined puts it last."""
        try:
            if self.parameters is None:
                self.parameters = self.start(source, goal=self.goal)
            settings = Settings(tol=0.0, max_iter=n_passes, deadline=self.goal.deadline)
            fit = expectation_maximization(source, self.goal.m_step, self.parameters, settings)
        except ValueError as error:
            self.value, self.error = -math.inf, error
        else:
            self.parameters, self.value = fit.parameters, fit.bound

    @property
    def smallest(self) -> float:
        """The smallest weight of a component, zero where there is none."""
        return 0.0 if self.parameters is None else float(self.parameters.weights.min())

    def reached(self) -> Parameters:
        """The parameters that it has reached; the error where it could not even start."""
        if self.parameters is None:
            assert self.error is not None
            raise self.error
        return self.parameters
