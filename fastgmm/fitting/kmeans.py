"""k-means, for the start of EM: greedy k-means++ seeding (Arthur & Vassilvitskii 2007) and Lloyd's iteration."""

import math

import numpy as np

from ..sources.array import ArraySource

SAMPLE_NUMBERS = 1 << 22  # seeds and centers are sought on a sample of about this many numbers at the most,
SAMPLE_ROWS_PER_CENTER = 256  # and of at least so many rows per center

Random = np.random.RandomState | np.random.Generator


def subsample(source: ArraySource, n_centers: int, random_state: Random) -> tuple[ArraySource, np.ndarray | None]:
    """Rows drawn without replacement, in their order, and their indices; the source itself when it is small."""
    n_rows = max(SAMPLE_NUMBERS // source.n_features, SAMPLE_ROWS_PER_CENTER * n_centers)
    if source.n_samples <= n_rows:
        return source, None
    rows = np.sort(random_state.choice(source.n_samples, n_rows, replace=False))
    return source.take(rows), rows


def seed(source: ArraySource, n_centers: int, random_state: Random) -> np.ndarray:
    """Indices of `n_centers` rows spread over the data.

    Each next row is drawn with probability proportional to its squared distance to the nearest row chosen so far; of
    2 + log K such candidates the one that lowers the sum of these distances most is taken.
    """
    n_trials = 2 + int(math.log(n_centers))
    chosen = np.empty(n_centers, np.intp)
    chosen[0] = random_state.choice(source.n_samples)
    closest = np.full(source.n_samples, np.inf, source.dtype)
    potential = source.potentials(source.rows(chosen[:1]), closest, update=True)[0]
    for c in range(1, n_centers):
        cumulative = np.cumsum(closest, dtype=np.float64)
        draws = random_state.uniform(size=n_trials) * potential
        candidates = np.minimum(np.searchsorted(cumulative, draws), source.n_samples - 1)
        best = np.argmin(source.potentials(source.rows(candidates), closest))
        chosen[c] = candidates[best]
        potential = source.potentials(source.rows(chosen[c : c + 1]), closest, update=True)[0]
    return chosen


def lloyd(source: ArraySource, centers: np.ndarray, max_iter: int = 100, tol: float = 1e-4) -> np.ndarray:
    """Move centers to the means of their rows until they move less than `tol` times the variance of the data."""
    variance = np.trace(source.scatter) / source.n_samples / source.n_features
    for _ in range(max_iter):
        _, counts, sums, _ = source.assign(centers)
        empty = counts == 0
        moved = np.where(empty[:, None], 0.0, sums / np.maximum(counts, 1)[:, None])
        centers = centers + moved
        if empty.any():
            centers[empty] = farthest(source, centers[~empty], int(empty.sum()))
        elif (moved**2).sum() <= tol * variance:
            break
    return centers


def farthest(source: ArraySource, centers: np.ndarray, count: int) -> np.ndarray:
    """The rows farthest from every center."""
    closest = np.full(source.n_samples, np.inf, source.dtype)
    for center in centers:
        source.potentials(center[None], closest, update=True)
    return source.rows(np.argsort(closest)[-count:])


def kmeans(source: ArraySource, n_centers: int, random_state: Random) -> np.ndarray:
    """Centers (K, D) of a k-means clustering, sought on a sample when the data are large."""
    sample, _ = subsample(source, n_centers, random_state)
    return lloyd(sample, sample.rows(seed(sample, n_centers, random_state)))
