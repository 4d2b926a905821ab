"""The methods of finding a start: each draws its random numbers first, and is then a function of the rows alone.

So several starts can be drawn one after the other and carried out side by side, with the same results.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ...model.parameters import Parameters
from ...model.statistics import Statistics
from ...model.structure import Structure
from ...model.structures import SPHERICAL
from ...sources.array import ArraySource
from ...sources.complete import CompleteSource, Known, Labels, Nearest
from ..mstep import MStep
from .hierarchical import clusters, draw_sample, grow, spread
from .kmeans import Draws, Random, choose_rows, draw, kmeans, seeds

HASTY_ROWS = 1 << 15  # of which the parameters of a start are estimated where there is no time for all rows
HASTY_ROWS_PER_COMPONENT = 256  # their number where there are many components


class Goal(NamedTuple):
    """A mixture to be fitted: its structure, its number of components, the M-step of the fit, and by when.

    Past the `deadline`, a reading of `time.perf_counter`, a start takes the shortest way to some parameters.
    """

    structure: Structure
    n_components: int
    m_step: MStep
    deadline: float = math.inf


Start = Callable[[Any], Parameters]  # called with the source that it was drawn for
Centers = Callable[[CompleteSource], np.ndarray]  # (K, D), from such a source


@dataclass(frozen=True, slots=True)
class FromKMeans:
    """A start by k-means whose random numbers are drawn."""

    goal: Goal
    draws: Draws

    def __call__(self, source: CompleteSource) -> Parameters:
        if self.goal.n_components == 1:  # which takes all rows, wherever its center is
            return from_centers(source, self.goal, source.origin[None])
        return from_centers(source, self.goal, kmeans(source, self.draws, self.goal.deadline))


def from_kmeans(source: CompleteSource, goal: Goal, random_state: Random) -> Start:
    """Each row belongs to the nearest center of a k-means clustering."""
    return FromKMeans(goal, draw(source.n_samples, source.n_features, goal.n_components, random_state))


def from_kmeans_seeds(source: CompleteSource, goal: Goal, random_state: Random) -> Start:
    """Components stand on rows chosen by k-means++."""
    draws = draw(source.n_samples, source.n_features, goal.n_components, random_state)
    return lambda source: from_rows(source, goal, seeds(source, draws, goal.deadline))


def from_random_rows(source: CompleteSource, goal: Goal, random_state: Random) -> Start:
    """Components stand on rows chosen at random."""
    rows = choose_rows(source, goal.n_components, random_state)
    return lambda source: from_rows(source, goal, rows)


def from_random(source: CompleteSource, goal: Goal, random_state: Random) -> Start:
    """Responsibilities are uniform random numbers, normalized, drawn row by row: used at once, they are too many."""

    def draw(rows: slice) -> np.ndarray:
        responsibilities = random_state.uniform(size=(rows.stop - rows.start, goal.n_components)).astype(source.dtype)
        return responsibilities / responsibilities.sum(axis=1, keepdims=True)

    frame = np.tile(source.origin, (goal.n_components, 1))
    parameters = goal.m_step(source.statistics_given(goal.structure, frame, draw))
    return lambda _: parameters


def from_hierarchy(source: CompleteSource, goal: Goal, random_state: Random) -> Start:
    """Each row belongs to its cluster in Ward's hierarchy, or to the nearest cluster where that is of a sample."""
    sample = draw_sample(source, goal.n_components, random_state)
    return lambda source: from_labels(
        source, goal, clusters(source, grow(source, sample, goal.deadline), goal.n_components)
    )


def fixed(parameters: Parameters) -> Start:
    """Parameters that are known already."""
    return lambda _: parameters


# ---- centers, for k-means and for the race


def kmeans_centers(source: CompleteSource, goal: Goal, random_state: Random) -> Centers:
    """The centers of a k-means clustering."""
    draws = draw(source.n_samples, source.n_features, goal.n_components, random_state)
    return lambda source: kmeans(source, draws, goal.deadline)


def random_centers(source: CompleteSource, goal: Goal, random_state: Random) -> Centers:
    """Rows chosen at random."""
    rows = choose_rows(source, goal.n_components, random_state)
    return lambda source: source.take(rows).rows(slice(None))


# ---- what the methods have in common


def nearest(source: CompleteSource, goal: Goal, centers: Centers) -> Parameters:
    """Each row belongs to the nearest center."""
    return from_centers(source, goal, centers(source))


def nearest_standardized(source: CompleteSource, goal: Goal, centers: Centers) -> Parameters:
    """Each row belongs to the nearest center where all features have the same spread."""
    rows = source.take(None)
    points = rows.rows(slice(None))
    scale = spread(points, rows.weights)
    points -= source.origin
    points /= scale
    scaled = ArraySource(points.astype(source.dtype, copy=False), source.workers, source.kernels, rows.weights)
    return from_labels(source, goal, Known(scaled.assign(centers(scaled))[0]))


def from_rows(source: CompleteSource, goal: Goal, indices: np.ndarray) -> Parameters:
    """Each component owns one row alone, so that its covariance is `reg_covar` times the identity."""
    rows = source.take(indices)
    own = Known(np.arange(len(indices)))
    return goal.m_step(rows.statistics_labeled(goal.structure, rows.rows(slice(None)), own))


def from_centers(source: CompleteSource, goal: Goal, centers: np.ndarray) -> Parameters:
    """Each row belongs to the nearest center."""
    source = hastened(source, goal)
    return goal.m_step(source.statistics_labeled(goal.structure, centers, Nearest(centers)))


def from_labels(source: CompleteSource, goal: Goal, labels: Labels) -> Parameters:
    """Each row belongs to the component of its label."""
    source = source if isinstance(labels, Known) else hastened(source, goal)
    frame = np.tile(source.origin, (goal.n_components, 1))
    means = centroids(source.statistics_labeled(SPHERICAL, frame, labels))
    return goal.m_step(source.statistics_labeled(goal.structure, means, labels))


def hastened(source: CompleteSource, goal: Goal) -> CompleteSource:
    """The rows, or past the deadline some of them."""
    size = max(HASTY_ROWS, HASTY_ROWS_PER_COMPONENT * goal.n_components)
    if perf_counter() < goal.deadline or source.n_samples <= size:
        return source
    return source.take(source.weighted_quantile_rows((np.arange(size) + 0.5) / size))


def from_responsibilities(
    source: CompleteSource, goal: Goal, responsibilities: Callable[[slice], np.ndarray]
) -> Parameters:
    """Rows belong to components as a function of a slice of rows says: a pass for the means, and one about them."""
    frame = np.tile(source.origin, (goal.n_components, 1))
    means = centroids(source.statistics_given(SPHERICAL, frame, responsibilities))
    return goal.m_step(source.statistics_given(goal.structure, means, responsibilities))


def centroids(statistics: Statistics) -> np.ndarray:
    """The mean of each component's rows (K, D); where it has none, the point that statistics were taken about."""
    counts = statistics.counts[:, None]
    return statistics.reference + np.where(counts > 0, statistics.sums / np.where(counts > 0, counts, 1.0), 0.0)
