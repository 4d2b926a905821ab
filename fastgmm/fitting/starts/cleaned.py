"""A start from rows that have near neighbors: where outliers are far away, clusters of all rows would be theirs.

In clutter, and in clusters of about the same density, the volume of the ball to the k-th neighbor of a row has a gamma
distribution of shape k with one of two rates, which EM tells apart.

Source: S. Byers, A. E. Raftery, Nearest-neighbor clutter removal for estimating features in spatial point processes,
Journal of the American Statistical Association 93, 1998.
"""

import numpy as np

from ...sources.complete import CompleteSource
from .hierarchical import SAMPLE_ROWS, spread

NEIGHBOR = 12  # k
LEAST_ROWS = 4 * NEIGHBOR  # of which it tells something
ITERATIONS = 100
BLOCK = 1 << 20  # distances worked out together
RANGE = 600.0  # of logarithms of volumes, relative to their median


def clean_rows(source: CompleteSource, n_components: int = 1) -> CompleteSource | None:
    """The rows of a sample that have near neighbors; None where these are all of it, or too few for a start."""
    rows = source
    if source.n_samples > SAMPLE_ROWS:
        rows = source.subset(source.weighted_quantile_rows((np.arange(SAMPLE_ROWS) + 0.5) / SAMPLE_ROWS))
    if rows.n_samples < LEAST_ROWS:
        return None
    points = rows.take(None).rows(slice(None))
    dense = ~clutter((points - rows.origin) / spread(points, rows.weights))
    return None if dense.all() or dense.sum() < max(LEAST_ROWS, n_components) else rows.subset(np.flatnonzero(dense))


def clutter(points: np.ndarray) -> np.ndarray:
    """Which points (n, D) lie in clutter, (n,)."""
    radii = np.sqrt(np.maximum(kth_squares(points), np.finfo(float).tiny))
    logs = points.shape[1] * np.log(radii)
    volumes = np.exp(np.clip(logs - np.median(logs), -RANGE, RANGE))
    dense = radii <= radii.min() + np.ptp(radii) / 3
    if dense.all():
        return ~dense
    share = dense.mean()
    rates = np.array([1 / volumes[dense].mean(), 1 / volumes[~dense].mean()])
    for _ in range(ITERATIONS):
        odds = NEIGHBOR * (np.log(rates[0] / rates[1]) - volumes * (rates[0] - rates[1])) + np.log(share / (1 - share))
        r = 1 / (1 + np.exp(-np.clip(odds, -RANGE, RANGE)))
        share, sums = r.mean(), np.array([r.sum(), (1 - r).sum()])
        if not sums.min() > 1:
            break
        rates = sums / np.array([r @ volumes, (1 - r) @ volumes])
    return odds < 0


def kth_squares(points: np.ndarray) -> np.ndarray:
    """Squared distance of each point to its k-th neighbor, (n,)."""
    n, found = len(points), []
    norms = (points**2).sum(axis=1)
    for start in range(0, n, max(1, BLOCK // n)):
        own = slice(start, start + max(1, BLOCK // n))
        squares = norms[own, None] + norms - 2 * np.einsum("id,jd->ij", points[own], points)
        found.append(np.partition(squares, NEIGHBOR, axis=1)[:, NEIGHBOR])
    return np.concatenate(found)
