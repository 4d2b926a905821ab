"""Further starts, other in kind than the first: clusters that k-means finds are much alike from start to start.

k-means looks for clusters in other spaces, along principal axes or in a few random directions; or rows go to the
nearest of some random ones; or components stand on random rows, each with the covariance of all rows, or with less.
Starts that differ find better optima than more starts of one kind.

Sources: projections, S. Dasgupta, Experiments with random projection, UAI 2000; principal axes scaled by the roots of
their deviations, L. Scrucca and A. E. Raftery, Improved initialisation of model-based clustering using Gaussian
hierarchical partitions, Advances in Data Analysis and Classification 9, 2015.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from ...model.parameters import Parameters
from ...model.statistics import Statistics
from ...sources.array import ArraySource
from ...sources.complete import CompleteSource, Known
from ...sources.passes import Group
from .hierarchical import spread
from .kmeans import SAMPLE_NUMBERS, SAMPLE_ROWS_PER_CENTER, Random, choose_rows, draw, draw_rows, kmeans
from .methods import Goal, Start, from_labels

FEW_DIRECTIONS = 3  # at most, of a random projection
MOST_FEATURES, WIDE_DIRECTIONS = 256, 64  # of more features so many random directions stand for all
LEAST_VARIANCE = 1e-8  # of a principal axis, relative to the mean one: others are taken for as narrow

Axes = Callable[[np.ndarray, np.ndarray | None], np.ndarray]  # (D, d), from rows about a point and their weights
Space = Callable[[int, Random], tuple[int, Axes]]  # draws random numbers; also tells d


class NearestAlong(NamedTuple):
    """Labels of the nearest of some centers (K, d) along axes (D, d) through an origin."""

    centers: np.ndarray
    axes: np.ndarray
    origin: np.ndarray

    def of(self, source: CompleteSource, group: Group) -> np.ndarray:
        return turned(source, group.X, None, self.axes, self.origin).assign(self.centers)[0]

    def part(self, rows: slice) -> "NearestAlong":
        return self


def turned(
    source: CompleteSource, X: np.ndarray, weights: np.ndarray | None, axes: np.ndarray, origin: np.ndarray
) -> ArraySource:
    """Some rows of a source along axes through an origin."""
    along = np.einsum("ni,ij->nj", X - origin, axes).astype(source.dtype, copy=False)
    return ArraySource(along, source.workers, source.kernels, weights)


# ---- spaces


def principal(points: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Principal axes (D, D) of standardized features, in units of these, and the variance along each (D,)."""
    scale = spread(points, weights)
    standardized = points / scale
    correlations = np.cov(standardized, rowvar=False, aweights=weights, bias=True).reshape(len(scale), len(scale))
    variances, axes = np.linalg.eigh(correlations)
    return axes / scale[:, None], np.maximum(variances, LEAST_VARIANCE)


def space(power: float | None, *, few: bool = False) -> Space:
    """Features of equal spread, or principal axes, along which deviations get such a power of the variance less.

    Or a `few` random directions there; of wide rows more of them stand for all.
    """

    def drawn(n_features: int, random_state: Random) -> tuple[int, Axes]:
        wide, directions = n_features > MOST_FEATURES, None
        if few or wide:
            d = min(1 + int(random_state.uniform() * FEW_DIRECTIONS), n_features) if few else WIDE_DIRECTIONS
            directions = random_state.normal(size=(n_features, d))

        def axes(points: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
            if wide or power is None:
                own = 1 / spread(points, weights)
                return np.diag(own) if directions is None else own[:, None] * directions
            found, variances = principal(points, weights)
            found /= variances**power
            return found if directions is None else found @ directions

        return n_features if directions is None else directions.shape[1], axes

    return drawn


standardized = space(None)
along_principal_axes = space(0.25)
sphered = space(0.5)
in_few_directions = space(0.5, few=True)


# ---- starts


def sample_of(source: CompleteSource, goal: Goal, random_state: Random) -> np.ndarray | None:
    """Rows on which centers are sought; None for all."""
    size = max(SAMPLE_NUMBERS // source.n_features, SAMPLE_ROWS_PER_CENTER * goal.n_components)
    return draw_rows(source, size, random_state) if size < source.n_samples else None


def from_kmeans_in(space: Space) -> Callable[[CompleteSource, Goal, Random], Start]:
    """Each row belongs to the nearest center of a k-means clustering in another space."""

    def prepared(source: CompleteSource, goal: Goal, random_state: Random) -> Start:
        indices = sample_of(source, goal, random_state)
        n_directions, axes_of = space(source.n_features, random_state)
        n_rows = source.n_samples if indices is None else len(indices)
        draws = draw(n_rows, n_directions, goal.n_components, random_state)

        def start(source: CompleteSource) -> Parameters:
            rows, origin = source.take(indices), source.origin
            axes = axes_of(rows.rows(slice(None)) - origin, rows.weights)
            points = turned(source, rows.X, rows.weights, axes, origin)
            centers = kmeans(points, draws, goal.deadline)
            if indices is None:
                return from_labels(source, goal, Known(points.assign(centers)[0]))
            return from_labels(source, goal, NearestAlong(centers, axes, origin))

        return start

    return prepared


def from_nearest_in(space: Space) -> Callable[[CompleteSource, Goal, Random], Start]:
    """Each row belongs to the nearest of some random rows in another space."""

    def prepared(source: CompleteSource, goal: Goal, random_state: Random) -> Start:
        indices = sample_of(source, goal, random_state)
        _, axes_of = space(source.n_features, random_state)
        chosen = choose_rows(source, goal.n_components, random_state)

        def start(source: CompleteSource) -> Parameters:
            rows, origin = source.take(indices), source.origin
            axes = axes_of(rows.rows(slice(None)) - origin, rows.weights)
            centers = (source.take(chosen).rows(slice(None)) - origin) @ axes
            return from_labels(source, goal, NearestAlong(centers, axes, origin))

        return start

    return prepared


def from_pooled(source: CompleteSource, goal: Goal, random_state: Random, *, narrow: bool = False) -> Start:
    """Components stand on rows chosen at random, with equal weights and the covariance of all rows.

    Narrow ones have a part of its volume each, that of their weight.
    """
    chosen = choose_rows(source, goal.n_components, random_state)
    structure, k = goal.structure, goal.n_components
    part = k ** (-2 / source.n_features) if narrow else 1.0

    def start(source: CompleteSource) -> Parameters:
        expanded, means = structure.expanded, source.take(chosen).rows(slice(None))
        _, covariance = source.moments(expanded)
        counts, sums = np.full(k, source.total / k), np.zeros_like(means)
        scatters = np.repeat((counts[0] * part * covariance)[None], k, axis=0)
        own = source.total, float(np.finfo(source.dtype).eps), expanded.layout.name
        return goal.m_step(structure.pool(Statistics(means, counts, sums, scatters, 0.0, *own)))

    return start


FURTHER: dict[str, Callable[[CompleteSource, Goal, Random], Start]] = {
    "kmeans, standardized": from_kmeans_in(standardized),
    "kmeans, principal axes": from_kmeans_in(along_principal_axes),
    "kmeans, few directions": from_kmeans_in(in_few_directions),
    "nearest, standardized": from_nearest_in(standardized),
    "nearest, sphered": from_nearest_in(sphered),
    "random rows": from_pooled,
    "random rows, narrow": partial(from_pooled, narrow=True),
}
TURNS = (  # what starts by k-means are, one after the other
    "kmeans",
    "kmeans, principal axes",
    "kmeans, few directions",
    "random rows",
    "kmeans, standardized",
    *("kmeans, few directions", "random rows") * 2,
    "kmeans, few directions",
)
