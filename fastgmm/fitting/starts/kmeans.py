"""k-means, for the start of EM: greedy k-means++ seeding (Arthur & Vassilvitskii 2007) and Lloyd's iteration.

All random numbers are drawn before the work begins, so that several clusterings can be drawn in order and run side by
side. Large data are sampled twice: seeds, and centers near enough to move little afterwards, come from few rows.
"""

import math
from time import perf_counter
from typing import NamedTuple, TypeAlias

import numpy as np

from ...kernels import COMMON_FRAME
from ...sources.array import ArraySource
from ...sources.passes import allocate, work_per_row
from ...sources.source import Source

SEEDING_ROWS = 1 << 13  # size of the sample on which seeds are sought
SEEDING_ROWS_PER_CENTER = 64  # its size where there are many centers
SAMPLE_NUMBERS = 1 << 20  # numbers, rows times features, of the sample on which centers are sought
SAMPLE_ROWS_PER_CENTER = 256  # its size where there are many centers
SAMPLE_MOST_NUMBERS = 1 << 23  # values in the samples of other methods, which hold fewer rows where these are wide
SAMPLE_LEAST_ROWS = 256  # in them, however wide they are
MOST_PASSES = 100
TOLERANCE = 1e-4  # of the variance of all rows, by which centers must move
MOST_WORK = 1 << 26  # multiply-adds of a compiled call, so that Ctrl-C and a deadline need not wait

Random: TypeAlias = "np.random.RandomState | np.random.Generator"  # as text: numpy.random takes long to import


class Draws(NamedTuple):
    """The random numbers of one clustering."""

    sizes: list[int]  # of the samples to seek seeds and then centers on; the number of rows stands for all of them
    sample: int  # seed from which the samples are drawn when they are needed
    first: float  # at which part of the first sample, by weight, the first seed stands
    uniforms: np.ndarray  # (K - 1, number of trials), for the others


def draw(n_samples: int, n_features: int, n_centers: int, random_state: Random) -> Draws:
    """Draw what `seeds` and `kmeans` need."""
    many = max(SAMPLE_NUMBERS // n_features, SAMPLE_ROWS_PER_CENTER * n_centers)
    few = min(many, max(SEEDING_ROWS, SEEDING_ROWS_PER_CENTER * n_centers))
    sizes = sorted({min(few, n_samples), min(many, n_samples)})
    sample = 0 if sizes[0] == n_samples else int(random_state.choice(2**31 - 1))
    integer = getattr(random_state, "randint", None) or random_state.choice  # the same numbers, several times as fast
    first = (int(integer(sizes[0])) + 0.5) / sizes[0]
    return Draws(sizes, sample, first, random_state.uniform(size=(n_centers - 1, 3 + int(math.log(n_centers)))))


def sample_size(n_features: int, most: int, least: int) -> int:
    """The number of rows in a sample: as many as these limits allow, or fewer where they are wide."""
    return max(least, min(most, max(SAMPLE_MOST_NUMBERS // n_features, SAMPLE_LEAST_ROWS)))


def draw_rows(source: Source, size: int, random_state: Random) -> np.ndarray:
    """Indices of some rows in their order: the rows are cut into as many runs of equal length, each run gives one.

    Where rows have weights, runs are of equal weight, and heavy rows may come more than once.
    """
    uniforms = random_state.uniform(size=size)
    if source.weights is not None:
        return source.weighted_quantile_rows((np.arange(size) + uniforms) / size)
    ends = np.arange(size + 1) * source.n_samples // size
    return ends[:-1] + (uniforms * np.diff(ends)).astype(np.intp)


def choose_rows(source: Source, size: int, random_state: Random) -> np.ndarray:
    """Indices of different rows, drawn at random by their weights."""
    if source.weights is None:
        return random_state.choice(source.n_samples, size=size, replace=False)
    chances = source.weights.astype(np.float64)
    return random_state.choice(source.n_samples, size=size, replace=False, p=chances / chances.sum())


def seed(source: ArraySource, first: float, uniforms: np.ndarray, deadline: float = math.inf) -> np.ndarray:
    """Indices of rows spread over the data.

    Each next row is drawn with probability proportional to its weight times its squared distance to the nearest row
    chosen so far; of 3 + log K such candidates the one that lowers the sum of these distances most is taken. Past the
    deadline the others are taken at equal intervals.
    """
    chosen = np.empty(len(uniforms) + 1, np.intp)
    chosen[:1] = source.weighted_quantile_rows(np.array([first]))
    n_seeds, n_trials = len(chosen), uniforms.shape[1]
    points = source.points(n_trials) if n_seeds * work(source, n_trials) <= MOST_WORK else None
    if points is not None and perf_counter() < deadline:
        (X, origin, _), (n, d) = points, source.X.shape
        (workspace,) = allocate(source.arrays(COMMON_FRAME, n_trials))
        numbers = np.empty(n_trials * d + n, source.dtype), np.empty(n + n_trials), np.empty(n_trials, np.intp)
        source.kernels.seeds(X, source.weights, origin, uniforms, workspace, *numbers, chosen)
        source.release(X)
        return chosen
    closest = np.full(source.n_samples, np.inf, source.dtype)
    potential = source.potentials(source.rows(chosen[:1]), closest, update=True)[0]
    for c, draws in enumerate(uniforms, start=1):
        if perf_counter() >= deadline:
            left = len(chosen) - c
            chosen[c:] = source.weighted_quantile_rows((np.arange(left) + 0.5) / left)
            break
        shares = closest if source.weights is None else closest * source.weights
        cumulative = np.cumsum(shares, dtype=np.float64)
        candidates = np.minimum(np.searchsorted(cumulative, draws * potential), source.n_samples - 1)
        best = np.argmin(source.potentials(source.rows(candidates), closest))
        chosen[c] = candidates[best]
        potential = source.potentials(source.rows(chosen[c : c + 1]), closest, update=True)[0]
    return chosen


def settle(
    source: ArraySource, centers: np.ndarray, max_iter: int, least: float, nothing: float, deadline: float
) -> tuple[np.ndarray, int]:
    """Lloyd's iterations in compiled calls, where rows are few; and how many are left to `lloyd`.

    That is none where centers have moved by no more than `least`, squared and summed.
    """
    points = source.points(len(centers))
    if points is None:
        return centers, max_iter
    X, origin, scale = points
    (workspace,), centers = allocate(source.arrays(COMMON_FRAME, len(centers))), np.multiply(centers, scale, order="C")
    scratch = np.empty(centers.size, source.dtype), np.empty(len(centers) + centers.size + 1)
    limits, at_a_time = (least * scale**2, nothing * scale**2), max(1, MOST_WORK // work(source, len(centers)))
    while max_iter > 0 and perf_counter() < deadline:
        most = min(max_iter, at_a_time)
        left = source.kernels.lloyd(X, source.weights, origin, *limits, most, workspace, *scratch, centers)
        source.release(X)
        max_iter = 0 if left < 0 else max_iter - most + left
        if left > 0:  # a center has lost its rows
            break
    return centers / scale, max_iter


def work(source: ArraySource, n_centers: int) -> int:
    """Multiply-adds for the distances of all rows to so many centers."""
    return source.n_samples * work_per_row(COMMON_FRAME, source.n_features, n_centers)


def lloyd(
    source: ArraySource,
    centers: np.ndarray,
    max_iter: int = MOST_PASSES,
    tol: float = TOLERANCE,
    deadline: float = math.inf,
) -> np.ndarray:
    """Move centers to the means of their rows until they move less than `tol` times the variance of the data."""
    total = sum(source.squares.tolist())
    variance, nothing = total / source.total / source.n_features, np.finfo(source.dtype).eps ** 2 * total
    centers, left = settle(source, centers, max_iter, tol * variance, nothing, deadline)
    for _ in range(left):
        if perf_counter() >= deadline:
            break
        _, counts, sums, inertia = source.assign(centers)
        empty = counts == 0
        moved = np.where(empty[:, None], 0.0, sums / np.where(empty, 1.0, counts)[:, None])
        centers = centers + moved
        if empty.any() and inertia > nothing:
            centers[empty] = farthest(source, centers[~empty], int(empty.sum()))
        elif (moved**2).sum() <= tol * variance:
            break
    return centers


def farthest(source: ArraySource, centers: np.ndarray, count: int) -> np.ndarray:
    """The rows farthest from every center."""
    closest = np.full(source.n_samples, np.inf, source.dtype)
    for center in centers:
        source.potentials(center[None], closest, update=True)
    if source.weights is not None:
        closest *= source.weights > 0
    return source.rows(np.argpartition(closest, -count)[-count:])


def seeds(source: Source, draws: Draws, deadline: float = math.inf) -> np.ndarray:
    """Indices of rows (K,) chosen by k-means++."""
    rows = sample_rows(source, draws.sizes[0], draws.sample)
    chosen = seed(source.take(rows), draws.first, draws.uniforms, deadline)
    return chosen if rows is None else rows[chosen]


def kmeans(source: Source, draws: Draws, deadline: float = math.inf) -> np.ndarray:
    """Centers (K, D) of a k-means clustering, or how far it has come by the deadline."""
    centers = source.take(seeds(source, draws, deadline)).rows(slice(None))
    for size in draws.sizes:
        if perf_counter() < deadline:
            centers = lloyd(source.take(sample_rows(source, size, draws.sample)), centers, deadline=deadline)
    return centers


def sample_rows(source: Source, size: int, seed: int) -> np.ndarray | None:
    """Indices of a sample; None for all rows."""
    return None if size == source.n_samples else draw_rows(source, size, np.random.RandomState(seed))
