"""Where EM starts: the methods by name, and what the user may give in place of one.

A start draws its random numbers first and is then a function of the rows alone, so that several can be drawn one after
the other and carried out side by side. It returns the parameters of one M-step.

To add a method: write a function `(source, goal, random_state) -> Start` and name it in `METHODS`; the checks of
`init_params` and the command line read the names there. A start must not know how EM goes on, but for the race and
levels.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...model.parameters import Parameters
from ...sources.complete import CompleteSource
from ...sources.source import Source
from ..mstep import MaximumLikelihood
from ..settings import Settings
from .cleaned import clean_rows
from .given import from_array, from_callable
from .kmeans import Random
from .levels import FromLevels, from_sound_race, level_sizes, saves_passes
from .methods import Goal, Start, fixed, from_hierarchy, from_kmeans, from_kmeans_seeds, from_random, from_random_rows
from .race import from_race
from .spaces import FURTHER, TURNS

METHODS: dict[str, Callable[[CompleteSource, Goal, Random], Start]] = {
    "kmeans": from_kmeans,
    "k-means++": from_kmeans_seeds,
    "random": from_random,
    "random_from_data": from_random_rows,
    "hierarchical": from_hierarchy,
    "best": from_race,
}


def prepare(source: CompleteSource, goal: Goal, method: Any, random_state: Random) -> Start:
    """Draw the random numbers of a start: `method` is a name, a function, or an array of labels or responsibilities."""
    if isinstance(method, str):
        return (METHODS | FURTHER)[method](source, goal, random_state)
    if callable(method):
        return from_callable(source, goal, method, random_state)
    return from_array(source, goal, method)


def method_of(method: Any, number: int, given: "StartingValues") -> Any:
    """The method of a start of several: those by k-means take turns with others where nothing is given."""
    if not isinstance(method, str) or method != "kmeans" or any(one is not None for one in given):
        return method
    return TURNS[number % len(TURNS)]


def sizes_of_levels(source: Source, goal: Goal, settings: Settings, given: "StartingValues", method: Any) -> list[int]:
    """How many rows the samples have on which EM begins; none where it takes all rows at once."""
    by_kmeans = isinstance(method, str) and method == "kmeans" and all(one is None for one in given)
    if not (by_kmeans and settings.sampled and saves_passes(goal, settings)) or source.has_gaps:
        return []
    return level_sizes(source.n_samples, source.n_features, goal.structure, goal.n_components)


def on_levels(sizes: list[int], goal: Goal, method: str, settings: Settings, random_state: Random) -> FromLevels:
    """Draw a start by EM on samples of these sizes."""
    own = (METHODS | FURTHER)[method]
    first = from_sound_race if method == "kmeans" else own
    otherwise = first if goal.structure.noisy else own
    return FromLevels(goal, sizes, settings, first, otherwise, int(random_state.choice(2**31 - 1)))


class StartingValues(NamedTuple):
    """Starting values from the user, each of which may be missing."""

    weights: np.ndarray | None = None
    means: np.ndarray | None = None
    precisions: np.ndarray | None = None


def completed(source: Source, given: StartingValues, goal: Goal, method: Any, random_state: Random) -> Start:
    """Draw a start: the given values, and for the others those that a method finds."""
    structure, k, started = goal.structure, goal.n_components, goal.m_step.started
    weights, means, precisions = given
    if weights is not None and means is not None and precisions is not None:
        return fixed(goal.m_step.started(structure.nearest(structure.from_precisions(weights, means, precisions))))
    sample = source.start_indices(k)
    if sample is not None and not isinstance(method, str) and not callable(method):
        values = np.asarray(method)
        method = values[sample] if len(values) == source.n_samples else values
    if precisions is not None:  # the covariances found are not needed, nor are their repairs
        goal = goal._replace(m_step=MaximumLikelihood(source, structure.layout, reg_covar=1.0, degenerate="repair"))
    drawn = prepare(source.imputed(k, structure), goal, method, random_state)
    if not source.has_gaps and weights is None and means is None and precisions is None:
        return drawn

    def start(source: Source) -> Parameters:
        found = drawn(source.imputed(k, structure))
        if means is not None and isinstance(method, str):
            order = closest_pairs(means, found.means)
            found = structure.reorder(found, order)
            goal.m_step.renumber(order)
        pi, mu = found.weights if weights is None else weights, found.means if means is None else means
        if precisions is None:
            own = found.noise if weights is None else None  # of a part that the method, or the weights leave
            return started(replace(found, weights=pi, means=mu, noise=own))
        return started(structure.nearest(structure.from_precisions(pi, mu, precisions)))

    return start


def cleaned(source: Source, given: StartingValues, goal: Goal, method: str, random_state: Random) -> Start | None:
    """Draw a start of the rows that have near neighbors, nothing being given; None where nothing is to be cleaned."""
    clean = clean_rows(source.imputed(goal.n_components, goal.structure), goal.n_components)
    if clean is None:
        return None
    drawn = prepare(clean, goal, method, random_state)
    return lambda _: drawn(clean)


def closest_pairs(means: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Which of the means found belongs to each of the given ones, (K,): the closest pair first, then the next.

    For a method finds components in an order of its own, and a mean must not get the covariance of another one's rows.
    """
    away = np.array([((found - mean) ** 2).sum(axis=1) for mean in means])
    order = np.full(len(means), -1)
    taken = np.zeros(len(means), dtype=bool)
    for given, own in zip(*np.unravel_index(away.argsort(axis=None, kind="stable"), away.shape), strict=True):
        if order[given] < 0 and not taken[own]:
            order[given], taken[own] = own, True
    return order
