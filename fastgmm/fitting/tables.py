"""Fits of tables of few rows from k-means, whole and in one compiled call, of one table or of thousands.

They are those of starts/ and em.py, of the same steps and with the same bits. What takes more than these (a component
that empties or collapses, rows without density) is told, and left to them.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from types import ModuleType
from typing import NamedTuple

import numpy as np

from ..kernels import COMMON_FRAME, DIAGONAL, TRIANGULAR
from ..model.parameters import Parameters
from ..model.spread import ROUNDING
from ..model.steps import LARGEST_RATIO
from ..model.structure import Structure
from ..model.units import LOG_2, Units
from ..sources import passes
from ..sources.array import ArraySource
from ..sources.passes import work_per_row
from ..sources.source import Source
from .mstep import MaximumLikelihood, MStep, least_counts
from .repair import EPS, LEAST_FLOAT32, LEAST_FLOAT64, RIDGE, rounding_parts
from .settings import Settings
from .starts.kmeans import MOST_PASSES, SEEDING_ROWS, TOLERANCE, Draws
from .starts.methods import FromKMeans, Start
from .whole import CONVERGED, GOES_ON, Reached, work_of_iteration

FIRST = np.zeros(1, np.intp)
MOST_WORK = 1 << 28  # multiply-adds of a call for one table, so that Ctrl-C need not wait


class Tables(NamedTuple):
    """Rows of tables, and where each starts and ends."""

    X: np.ndarray  # (N, D)
    weights: np.ndarray | None  # (N,)
    spans: np.ndarray  # (P, 2)
    totals: np.ndarray  # (P,) numbers of rows, or sums of their weights


class Limits(NamedTuple):
    """The arguments of an estimator that these fits heed."""

    tol: float
    max_iter: int
    reg_covar: float | None  # None: by the variance of all rows, as "auto"
    degenerate: str

    @lru_cache(maxsize=256)  # noqa: B019 -- a few numbers are kept, no rows
    def numbers(self, dtype: np.dtype, n_features: int) -> np.ndarray:
        """What the kernels heed of rows of a type."""
        resolution = float(np.finfo(dtype).eps)
        least = LEAST_FLOAT32 if resolution > EPS else LEAST_FLOAT64
        of_rounding = least, *rounding_parts(resolution, n_features)
        others = self.tol, TOLERANCE, LARGEST_RATIO[dtype], resolution
        by_rows = RIDGE if self.reg_covar is None else 0.0, LEAST_FLOAT64, float(np.finfo(dtype).max) / 4, ROUNDING
        return np.array([*least_counts(resolution, self.degenerate), *of_rounding, *others, *by_rows])


class Found(NamedTuple):
    """What became of the tables: parameters, bounds in their units, and how iterations have ended.

    `seconds` is what all starts together have taken.
    """

    seconds: float
    weights: np.ndarray  # (P, K)
    means: np.ndarray  # (P, K, D)
    covariances: np.ndarray  # (P, ...)
    factors: np.ndarray
    axes: np.ndarray | None  # (P, D, D)
    bounds: np.ndarray  # (P, most)
    n_iter: np.ndarray  # (P,)
    ended: np.ndarray  # (P,)
    origins: np.ndarray  # (P, D)
    units: np.ndarray  # (P, D)
    squares: np.ndarray  # (P, D)
    scatters: np.ndarray | None  # (P, D, D)

    @property
    def usual(self) -> np.ndarray:
        """Whether a table is ordinary, (P,)."""
        return (self.ended == GOES_ON) | (self.ended == CONVERGED)

    @property
    def converged(self) -> np.ndarray:
        """Whether the iterations of a table have converged, (P,)."""
        return self.ended == CONVERGED

    @property
    def log_volumes(self) -> np.ndarray:
        """By how much bounds exceed those in the units of the data, (P,)."""
        return LOG_2 * (np.frexp(self.units)[1].sum(axis=1) - self.units.shape[1])

    def parameters(self, i: int) -> Parameters:
        """Those of one table."""
        axes = None if self.axes is None else self.axes[i]
        return Parameters(self.weights[i], self.means[i], self.covariances[i], self.factors[i], axes=axes)


@lru_cache(maxsize=256)
def work(structure: Structure, n_features: int, n_components: int) -> int:
    """Multiply-adds for a row in a pass of the kind that takes most."""
    wide = TRIANGULAR if structure.triangular else DIAGONAL
    kinds = ((structure.kind, n_components), (wide, n_components), (COMMON_FRAME, n_components + 5))  # trials
    return max(work_per_row(kind, n_features, count) for kind, count in kinds)


def few(structure: Structure, n_features: int, n_components: int) -> int:
    """How many rows a table may have to be fitted in a call: one group in every pass, of which no sample is drawn."""
    return min(SEEDING_ROWS, (passes.GROUP_WORK - 1) // work(structure, n_features, n_components))


def numbers_of(draws: Draws) -> list[float]:
    """Random numbers of k-means as the kernels take them: 1 + (K - 1) trials."""
    return [draws.first, *draws.uniforms.ravel().tolist()]


@lru_cache(maxsize=256)
def places_in(structure: Structure, n_components: int, n_features: int) -> tuple[list[int], tuple[int, ...]]:
    """Where means, covariances, factors and kept axes begin and end behind weights, and the shape of factors."""
    k, d = n_components, n_features
    shape = structure.covariance_shape(k, d)
    return np.cumsum([k, k * d, math.prod(shape), math.prod(shape), structure.keeps_axes * d * d]).tolist(), shape


def cut(spans: np.ndarray, most_rows: int | None) -> list[slice | None]:
    """Some tables at a time, with at least so many rows but for the last ones; None for all of them."""
    if most_rows is None:
        return [None]
    parts = np.cumsum(spans[:, 1] - spans[:, 0]) // max(1, most_rows)
    firsts = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), len(spans)]
    return [slice(*ends) for ends in pairwise(firsts)]


@lru_cache(maxsize=256)
def sizes(kernels: ModuleType, *arguments: int) -> tuple[int, int]:
    """How much scratch a call takes."""
    found: tuple[int, int] = kernels.tables_sizes(*arguments)
    return found


def fit_tables(
    kernels: ModuleType,
    structure: Structure,
    n_components: int,
    tables: Tables,
    longest: int,
    draws: np.ndarray,
    which: np.ndarray,
    limits: Limits,
    most_rows: int | None = None,
) -> Found:
    """Fit each table, of at most `longest` rows, from k-means by some of the random numbers, as far as it is ordinary.

    Ctrl-C waits until so many rows are done.
    """
    X, n_tables, k, d = tables.X, len(tables.spans), n_components, tables.X.shape[1]
    how, dtype = structure.how, X.dtype
    n_trials = (draws.shape[1] - 1) // (k - 1) if k > 1 else 3
    n_doubles, n_numbers = sizes(kernels, *how[:-1], d, k, n_trials, longest, dtype.itemsize)
    ends, shape = places_in(structure, k, d)
    places = np.empty((n_tables, 3 * d + (d * d if structure.shared else 0)))
    parameters, bounds = np.empty((n_tables, ends[4])), np.empty((n_tables, limits.max_iter))
    n_iter, ended = np.empty((2, n_tables), np.intp)
    scratch = np.empty(n_doubles), np.empty(n_numbers, dtype)
    numbers, added = limits.numbers(dtype, d), np.array([limits.reg_covar or 0.0])
    seconds, each = 0.0, (tables.spans, tables.totals, which, places, parameters, bounds, n_iter, ended)
    for part in cut(tables.spans, most_rows):
        spans, totals, its_draws, *results = each if part is None else [array[part] for array in each]
        rows = X, tables.weights, spans, totals, draws, its_draws
        seconds += kernels.fit_tables(*rows, k, *how, numbers, added, *scratch, *results)
    return Found(
        seconds,
        parameters[:, :k],
        parameters[:, k : ends[1]].reshape(n_tables, k, d),
        parameters[:, ends[1] : ends[2]].reshape(n_tables, *shape),
        parameters[:, ends[2] : ends[3]].reshape(n_tables, *shape),
        parameters[:, ends[3] :].reshape(n_tables, d, d) if ends[4] > ends[3] else None,
        bounds,
        n_iter,
        ended,
        places[:, :d],
        places[:, d : 2 * d],
        places[:, 2 * d : 3 * d],
        places[:, 3 * d :].reshape(n_tables, d, d) if structure.shared else None,
    )


# ---- a single table


class Whole(NamedTuple):
    """A fit from its start on: the iterations, and how many seconds the start took."""

    reached: Reached
    seconds: float


def from_kmeans_at_once(
    source: Source, start: Start, m_step: MStep, settings: Settings, *, whole: bool = False
) -> Whole | None:
    """A fit in one call, or its first iterations, unless it must be `whole`.

    None where rows are many, or anything is unusual.
    """
    if not (isinstance(start, FromKMeans) and isinstance(source, ArraySource) and settings.plain):
        return None
    structure, k, d, draws = m_step.structure, start.goal.n_components, source.n_features, start.draws
    most = min(settings.max_iter, MOST_WORK // work_of_iteration(source, structure, k) - MOST_PASSES)
    if most <= 0 or (whole and most < settings.max_iter) or not structure.compiled:
        return None
    limits = limits_of(m_step, settings.tol, most)
    if limits is None or source.mapping is not None or source.n_samples > few(structure, d, k):
        return None
    n_samples, numbers = source.n_samples, np.array([numbers_of(draws)])
    tables = Tables(source.X, source.weights, np.array([[0, n_samples]]), np.array([float(source.total)]))
    found = fit_tables(source.kernels, structure, k, tables, n_samples, numbers, FIRST, limits)
    if not found.usual[0]:
        return None
    located = {"origin": found.origins[0], "units": Units.of_sizes(found.units[0]), "squares": found.squares[0]}
    vars(source).update(located if found.scatters is None else {**located, "scatter": found.scatters[0]})
    bounds, converged = found.bounds[0, : found.n_iter[0]].tolist(), bool(found.ended[0] == CONVERGED)
    offset = source.log_volume
    reached = Reached(found.parameters(0), -math.inf, bounds, offset, converged, bounds[-1] - offset)
    return Whole(reached, found.seconds)


def limits_of(m_step: MStep, tol: float, max_iter: int) -> Limits | None:
    """What these fits heed; None for M-steps that take more than they have."""
    if type(m_step) is not MaximumLikelihood or m_step.constraints:
        return None
    reg_covar = m_step.reg_covar
    return Limits(tol, max_iter, None if isinstance(reg_covar, str) else reg_covar, m_step.degenerate)
