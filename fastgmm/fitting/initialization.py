"""Where EM starts: the first responsibilities, and the parameters that follow from them."""

from collections.abc import Callable

import numpy as np

from ..model.parameters import Parameters
from ..model.statistics import Statistics
from ..model.structures import Structure
from ..sources.array import ArraySource
from .degeneracy import Maximization
from .kmeans import Random, kmeans, seed, subsample


def initialize(
    source: ArraySource,
    structure: Structure,
    n_components: int,
    method: str,
    random_state: Random,
    reg_covar: float | str,
    maximize: Maximization | None = None,
) -> Parameters:
    """Parameters at the start: one M-step from the responsibilities that `method` gives.

    `maximize` is the M-step, by default that of `structure` with `reg_covar`.
    """
    maximize = maximize or Maximization(source, structure, reg_covar)
    return maximize(METHODS[method](source, structure, n_components, random_state))


def from_kmeans(source: ArraySource, structure: Structure, n_components: int, random_state: Random) -> Statistics:
    """Each row belongs to the nearest center of a k-means clustering."""
    centers = kmeans(source, n_components, random_state)
    labels = source.assign(centers)[0]
    return source.statistics_given(structure, centers, lambda rows: one_hot(labels[rows], n_components))


def from_kmeans_seeds(source: ArraySource, structure: Structure, n_components: int, random_state: Random) -> Statistics:
    """Components stand on rows chosen by k-means++."""
    sample, rows = subsample(source, n_components, random_state)
    chosen = seed(sample, n_components, random_state)
    return from_rows(source, structure, chosen if rows is None else rows[chosen])


def from_random_rows(source: ArraySource, structure: Structure, n_components: int, random_state: Random) -> Statistics:
    """Components stand on rows chosen at random."""
    return from_rows(source, structure, random_state.choice(source.n_samples, size=n_components, replace=False))


def from_random(source: ArraySource, structure: Structure, n_components: int, random_state: Random) -> Statistics:
    """Responsibilities are uniform random numbers, normalized, drawn row by row."""

    def draw(rows: slice) -> np.ndarray:
        responsibilities = random_state.uniform(size=(rows.stop - rows.start, n_components)).astype(source.dtype)
        return responsibilities / responsibilities.sum(axis=1, keepdims=True)

    return source.statistics_given(structure, np.tile(source.origin, (n_components, 1)), draw)


def from_rows(source: ArraySource, structure: Structure, indices: np.ndarray) -> Statistics:
    """Each component owns one row alone, so that its covariance is `reg_covar` times the identity."""
    rows = source.take(indices)
    identity = np.eye(len(indices))
    return rows.statistics_given(structure, rows.rows(slice(None)), lambda part: identity[part])


def one_hot(labels: np.ndarray, n_components: int) -> np.ndarray:
    """Responsibilities (N, K) of hard assignments."""
    return (labels[:, None] == np.arange(n_components)).astype(np.float64)


METHODS: dict[str, Callable[[ArraySource, Structure, int, Random], Statistics]] = {
    "kmeans": from_kmeans,
    "k-means++": from_kmeans_seeds,
    "random": from_random,
    "random_from_data": from_random_rows,
}
