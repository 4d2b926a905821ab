"""Where EM starts, method by method: each draws its random numbers first, and is then a function of the rows alone.

So several starts can be drawn one after the other and carried out side by side, with the same results.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..model.parameters import Parameters
from ..model.structure import Structure
from ..model.structures import STRUCTURES
from ..sources.array import ArraySource
from .degeneracy import Maximization
from .hierarchical import draw_sample, grow, nearest_clusters, spread
from .kmeans import Random, draw, kmeans, seeds


class Goal(NamedTuple):
    """What is to be fitted."""

    structure: Structure
    n_components: int
    maximize: Maximization  # the M-step


Start = Callable[[ArraySource], Parameters]  # of the source it was drawn for
Centers = Callable[[ArraySource], np.ndarray]  # (K, D), likewise


def from_kmeans(source: ArraySource, goal: Goal, random_state: Random) -> Start:
    """Each row belongs to the nearest center of a k-means clustering."""
    centers = kmeans_centers(source, goal.n_components, random_state)
    return lambda source: nearest(source, goal, centers)


def from_kmeans_seeds(source: ArraySource, goal: Goal, random_state: Random) -> Start:
    """Components stand on rows chosen by k-means++."""
    draws = draw(source.n_samples, source.n_features, goal.n_components, random_state)
    return lambda source: from_rows(source, goal, seeds(source, draws))


def from_random_rows(source: ArraySource, goal: Goal, random_state: Random) -> Start:
    """Components stand on rows chosen at random."""
    rows = random_state.choice(source.n_samples, size=goal.n_components, replace=False)
    return lambda source: from_rows(source, goal, rows)


def from_random(source: ArraySource, goal: Goal, random_state: Random) -> Start:
    """Responsibilities are uniform random numbers, normalized, drawn row by row: used at once, they are too many."""

    def draw(rows: slice) -> np.ndarray:
        responsibilities = random_state.uniform(size=(rows.stop - rows.start, goal.n_components)).astype(source.dtype)
        return responsibilities / responsibilities.sum(axis=1, keepdims=True)

    frame = np.tile(source.origin, (goal.n_components, 1))
    parameters = goal.maximize(source.statistics_given(goal.structure, frame, draw))
    return lambda _: parameters


def from_hierarchy(source: ArraySource, goal: Goal, random_state: Random) -> Start:
    """Each row belongs to its cluster in Ward's hierarchy, or to the nearest cluster where that is of a sample."""
    sample = draw_sample(source.n_samples, goal.n_components, random_state)
    return lambda source: from_labels(source, goal, nearest_clusters(source, grow(source, sample), goal.n_components))


def fixed(parameters: Parameters) -> Start:
    """Parameters that are known already."""
    return lambda _: parameters


# ---- centers, for k-means and for the race


def kmeans_centers(source: ArraySource, n_components: int, random_state: Random) -> Centers:
    """The centers of a k-means clustering."""
    draws = draw(source.n_samples, source.n_features, n_components, random_state)
    return lambda source: kmeans(source, draws)


def random_centers(source: ArraySource, n_components: int, random_state: Random) -> Centers:
    """Rows chosen at random."""
    rows = random_state.choice(source.n_samples, size=n_components, replace=False)
    return lambda source: source.rows(rows)


# ---- what the methods have in common


def nearest(source: ArraySource, goal: Goal, centers: Centers) -> Parameters:
    """Each row belongs to the nearest center."""
    return from_centers(source, goal, centers(source))


def nearest_standardized(source: ArraySource, goal: Goal, centers: Centers) -> Parameters:
    """Each row belongs to the nearest center where all features have the same spread."""
    points = source.rows(slice(None))
    points = ((points - source.origin) / spread(points)).astype(source.dtype)
    scaled = type(source)(points, source.workers, source.kernels)
    return from_labels(source, goal, scaled.assign(centers(scaled))[0])


def from_rows(source: ArraySource, goal: Goal, indices: np.ndarray) -> Parameters:
    """Each component owns one row alone, so that its covariance is `reg_covar` times the identity."""
    rows = source.take(indices)
    identity = np.eye(len(indices))
    return goal.maximize(rows.statistics_given(goal.structure, rows.rows(slice(None)), lambda part: identity[part]))


def from_centers(source: ArraySource, goal: Goal, centers: np.ndarray) -> Parameters:
    """Each row belongs to the nearest center."""
    labels = source.assign(centers)[0]
    given = one_hot(labels, goal.n_components, source.dtype)
    return goal.maximize(source.statistics_given(goal.structure, centers, given))


def from_labels(source: ArraySource, goal: Goal, labels: np.ndarray) -> Parameters:
    """Each row belongs to the component of its label."""
    return from_responsibilities(source, goal, one_hot(labels, goal.n_components, source.dtype))


def from_responsibilities(
    source: ArraySource, goal: Goal, responsibilities: Callable[[slice], np.ndarray]
) -> Parameters:
    """Rows belong to components as a function of a slice of rows says: a pass for the means, and one about them."""
    frame = np.tile(source.origin, (goal.n_components, 1))
    about = source.statistics_given(STRUCTURES["spherical"], frame, responsibilities)
    with np.errstate(invalid="ignore"):
        shifts = np.where(about.counts[:, None] > 0, about.sums / about.counts[:, None], 0.0)
    return goal.maximize(source.statistics_given(goal.structure, frame + shifts, responsibilities))


def one_hot(labels: np.ndarray, n_components: int, dtype: np.dtype) -> Callable[[slice], np.ndarray]:
    """Responsibilities (n, K) of hard assignments, for slices of rows."""
    components = np.arange(n_components, dtype=labels.dtype)
    return lambda rows: (labels[rows, None] == components).astype(dtype)
