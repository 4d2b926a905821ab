"""The base of all sources: statistics for EM, and densities, responsibilities and labels of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from copy import copy
from functools import reduce
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np

from .. import kernels as compiled
from ..kernels import COMMON_FRAME
from ..model.cached import cached
from ..model.factors import correlations
from ..model.fitted import Fitted
from ..model.noise import Box
from ..model.parameters import Parameters
from ..model.statistics import Statistics
from ..model.structure import Structure
from ..model.units import Units
from .passes import BLOCK, Arrays, AtOnce, Group, Pass, Sums, Workspace, chooses, cut, near_rows, work_per_row
from .threads import Workers

if TYPE_CHECKING:
    from .array import ArraySource
    from .complete import CompleteSource

TURNED_FEATURES = 256  # up to which a box along principal axes is looked at
FLAT = 1e12  # condition of the correlations of rows that lie in a plane, to rounding
LARGEST_NUMBERS = 1 << 17  # responsibilities looked at together


class Model(Protocol):
    """A mixture as the kernels of a source read it."""

    @property
    def kind(self) -> int:
        """The geometry of the kernels: TRIANGULAR, DIAGONAL or COMMON_FRAME."""

    @property
    def centers(self) -> np.ndarray:
        """One for each component, (K, D)."""

    @property
    def n_columns(self) -> int:
        """How many responsibilities a row has: one for each component, and one for noise where there is some."""

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What the kernels are given."""


def joined_extents(*parts: np.ndarray) -> np.ndarray:
    """The extent of all rows from those of parts of them."""
    lowest, highest, counts = np.stack(parts, axis=1)
    return np.stack([np.fmin.reduce(lowest), np.fmax.reduce(highest), counts.sum(axis=0)])


class Source(ABC):
    """Rows, possibly weighted and possibly with gaps, that can be read again and again in groups.

    Rows are cut into groups by their number and the size of the model alone, each group leaves its own sums, and sums
    are added in the order of the groups: the bits of every result are the same for any number of threads, and for any
    place that rows come from.

    Attributes
    ----------
    n_samples, n_features : int
    dtype : numpy.dtype
        float32 or float64.
    weights : ndarray of shape (n_samples,), or None for 1 each
        Of the type of the rows, about 1 in the mean.
    weight_unit : float
        What the user gave where they are 1: a power of two.
    origin : ndarray of shape (n_features,)
        A point amid the rows.
    units : Units
        Powers of two near the spread of each feature.
    squares : ndarray of shape (n_features,)
        Sums of squares of all rows about the origin, in double precision whatever that of the rows.
    scatter : ndarray of shape (n_features, n_features)
        Scatter of all rows about the origin, likewise: for structures with matrices alone.
    has_gaps : bool
        Whether NaN stands for values that are missing.
    feature_names : ndarray of str of shape (n_features,), or None
        Names of the columns where they have some.
    in_memory : bool
        Whether the rows lie in the memory of this process, so that several jobs may read them at a time.
    """

    n_samples: int
    n_features: int
    dtype: np.dtype
    origin: np.ndarray
    units: Units
    squares: np.ndarray
    scatter: np.ndarray
    has_gaps: ClassVar[bool] = False
    feature_names: np.ndarray | None = None
    weight_unit: float = 1.0

    def __init__(
        self,
        weights: np.ndarray | None = None,
        n_threads: int | Workers | None = None,
        kernels: ModuleType | None = None,
    ) -> None:
        self.weights = None if weights is None else np.ascontiguousarray(weights, self.dtype)
        self.workers = n_threads if isinstance(n_threads, Workers) else Workers(n_threads)
        self.kernels = kernels or compiled.CHOSEN
        self.idle: dict[tuple[np.dtype, ...], list[Workspace]] = {}  # workspaces, kept from pass to pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.workers.close()

    # ---- rows

    @property
    def in_memory(self) -> bool:
        """Whether the rows lie in the memory of this process."""
        return False

    @abstractmethod
    def read(self, groups: list[slice]) -> Iterator[np.ndarray]:
        """The rows of consecutive groups, one group after the other."""

    def release(self, X: np.ndarray) -> None:  # noqa: B027
        """Learn that a group of rows is no longer needed in this pass; most sources need not know."""

    @abstractmethod
    def take(self, indices: np.ndarray | None) -> ArraySource:
        """Some rows in memory, without weights, or for None all rows with theirs; on the same threads."""

    @abstractmethod
    def subset(self, indices: np.ndarray) -> Source:
        """Some rows in memory, with their weights and gaps; on the same threads."""

    def start_indices(self, n_components: int) -> np.ndarray | None:
        """Indices of the rows that `imputed` has; None for all."""
        return None

    @abstractmethod
    def imputed(self, n_components: int, structure: Structure) -> CompleteSource:
        """Rows without gaps, from which a start of mixtures of a structure is found."""

    def extent(self, axes: np.ndarray | None = None) -> np.ndarray:
        """Smallest and largest values, and their number, (3, D), of rows of positive weight along features or axes."""
        found = np.full((3, self.n_features), [[np.inf], [-np.inf], [0.0]])

        def task(_: Workspace, group: Group) -> np.ndarray:
            X = group.X if self.weights is None else group.X[self.weights[group.rows] > 0]
            if not len(X):
                return np.full_like(found, [[np.inf], [-np.inf], [0.0]])
            Y = X if axes is None else X.astype(np.float64, copy=False) @ axes.T
            counts = (~np.isnan(Y)).sum(axis=0) if self.has_gaps else np.full(len(found[0]), len(Y))
            return np.stack([np.fmin.reduce(Y, axis=0), np.fmax.reduce(Y, axis=0), counts])

        def collect(part: np.ndarray) -> None:
            found[:] = joined_extents(found, part)

        Pass(self, self._cut(COMMON_FRAME, 1)).run(task, collect)
        return found

    @cached
    def box(self) -> Box:
        """The smaller of two boxes about the rows: along the features, or along the principal axes, as in mclust.

        The latter is about the complete rows, if these are most.
        """
        lower, upper, counts = self.extent()
        own = Box(lower, upper - lower)
        if not 1 < len(lower) <= TURNED_FEATURES:
            return own
        scatter = self.scatter
        if not np.isfinite(scatter).all() or not np.linalg.cond(correlations(scatter)) < FLAT:
            return own
        axes = np.linalg.eigh(scatter)[1].T
        low, high, complete = self.extent(axes)
        turned = Box(low, high - low, axes)
        return turned if 2 * complete[0] > counts.max() and turned.log_volume < own.log_volume else own

    @abstractmethod
    def moments(self, structure: Structure) -> tuple[np.ndarray, np.ndarray]:
        """Mean (D,) and covariance of all rows, as the structure has that of one component."""

    def single_threaded(self) -> Self:
        """The same rows, worked on by the calling thread alone."""
        serial = copy(self)
        serial.workers = Workers(1)
        return serial

    def until(self, deadline: float) -> Self:
        """The same rows, of which a pass in several groups raises OutOfTime after a reading of `time.perf_counter`."""
        limited = copy(self)
        limited.workers = self.workers.until(deadline)
        return limited

    @cached
    def total(self) -> float:
        """The number of rows, or the sum of their weights."""
        return self.n_samples if self.weights is None else float(self.weights.sum(dtype=np.float64))

    def weighted_quantile_rows(self, fractions: np.ndarray) -> np.ndarray:
        """Indices of the rows at which these fractions of the total weight are reached; all weights are positive."""
        if self.weights is None:
            return (fractions * self.n_samples).astype(np.intp)
        reached = np.cumsum(self.weights, dtype=np.float64)
        last = np.searchsorted(reached, reached[-1])
        return np.minimum(np.searchsorted(reached, fractions * reached[-1], side="right"), last)

    # ---- EM

    @property
    def log_volume(self) -> float:
        """The `log_volume` of its statistics: densities are per volume of the source's own units."""
        return 0.0

    @abstractmethod
    def statistics(self, structure: Structure, parameters: Parameters) -> Statistics:
        """E-step and accumulation in one pass."""

    def remembering(self, structure: Structure, n_components: int) -> Self:
        """The same rows for the passes of one fit, of which each may heed what the one before has shown of a row."""
        return self

    def at_once(self, structure: Structure, n_components: int) -> AtOnce | None:
        """All rows as the kernels see them, where a single call may pass over them again and again; else None."""
        return None

    def work(self, structure: Structure, n_components: int) -> int:
        """Multiply-adds of a pass over the rows; from `GROUP_WORK` on threads share it."""
        return self.n_samples * work_per_row(structure.kind, self.n_features, n_components)

    # ---- densities, responsibilities and labels under a mixture

    @abstractmethod
    def model(self, fitted: Fitted) -> Any:
        """The mixture as the kernels for these rows read it."""

    def log_likelihood(self, model: Model) -> float:
        """The mean of log p(x) over all rows."""
        sums = Sums(1)

        def task(workspace: Workspace, group: Group) -> np.ndarray:
            values, out = np.empty(len(group.X), self.dtype), sums.part()
            self.posterior(group.X, model, values, None, None, workspace=workspace)
            out[0] = self._total_of(values, group.rows)
            return out

        self._pass(model.kind, len(model.centers), accumulating=False).run(task, sums.add)
        return float(sums.total[0]) / self.total

    def icl_terms(self, model: Model) -> tuple[float, float]:
        """The mean of log p(x) over all rows, and of the log of the largest responsibility."""
        step = max(BLOCK, LARGEST_NUMBERS // len(model.centers))
        sums = Sums(2)

        def task(workspace: Workspace, group: Group) -> np.ndarray:
            (values, largest), out = np.empty((2, len(group.X)), self.dtype), sums.part()
            for start in range(0, len(group.X), step):
                part = slice(start, start + step)
                shares = np.empty((len(group.X[part]), model.n_columns), self.dtype)
                self.posterior(group.X[part], model, values[part], shares, None, workspace=workspace)
                np.log(reduce(np.maximum, shares.T), out=largest[part])  # ten times as fast as shares.max(axis=1)
            out[:] = self._total_of(values, group.rows), self._total_of(largest, group.rows)
            return out

        self._pass(model.kind, len(model.centers), accumulating=False).run(task, sums.add)
        log_likelihood, log_largest = sums.total / self.total
        return float(log_likelihood), float(log_largest)

    def log_likelihoods(self, model: Model, out: np.ndarray | None = None) -> np.ndarray:
        """log p(x) of each row, (N,)."""
        out = np.empty(self.n_samples, self.dtype) if out is None else out
        self._posterior(model, out, None, None)
        return out

    def responsibilities(self, model: Model, out: np.ndarray | None = None) -> np.ndarray:
        """Posterior probability of each component for each row, (N, K), or (N, K + 1) with noise, the last one."""
        out = np.empty((self.n_samples, model.n_columns), self.dtype) if out is None else out
        self._posterior(model, None, out, None)
        return out

    def labels(self, model: Model, out: np.ndarray | None = None) -> np.ndarray:
        """Most probable component of each row, (N,); -1 for noise."""
        out = np.empty(self.n_samples, np.int64) if out is None else out
        self._posterior(model, None, None, out)
        return out

    @abstractmethod
    def posterior(
        self, X: np.ndarray, model: Any, *outputs: np.ndarray | None, workspace: Workspace | None = None
    ) -> None:
        """Log-likelihoods, responsibilities and labels of some rows, where wanted."""

    def _posterior(self, model: Any, *outputs: np.ndarray | None) -> None:
        """Run `posterior` over all groups, each filling its rows of the outputs."""
        groups = self._cut(model.kind, len(model.centers))
        if len(groups) == 1:  # perhaps a single row, that has no time for more
            (X,) = self.read(groups)
            self.posterior(X, model, *outputs)
            self.release(X)
            return

        def task(workspace: Workspace, group: Group) -> None:
            parts = (None if out is None else out[group.rows] for out in outputs)
            self.posterior(group.X, model, *parts, workspace=workspace)

        self._pass(model.kind, len(model.centers), accumulating=False).run(task, lambda _: None)

    # ---- passes over the rows

    @abstractmethod
    def arrays(self, kind: int, n_components: int, *, accumulating: bool) -> Arrays:
        """Sizes and types of the kernels' workspace for a model of this size."""

    def _cut(self, kind: int, n_components: int) -> list[slice]:
        """The groups of rows for a model of this size."""
        row_bytes, size = self.n_features * self.dtype.itemsize, (kind, self.n_features, n_components)
        fewest = near_rows(self.n_samples, n_components) if chooses(self.n_samples, *size) else 0
        return cut(self.n_samples, work_per_row(*size), row_bytes, fewest)

    def _pass(self, kind: int, n_components: int, *, accumulating: bool = True) -> Pass:
        """A pass of the kernels for a model of this size."""
        arrays = self.arrays(kind, n_components, accumulating=accumulating)
        return Pass(self, self._cut(kind, n_components), arrays)

    def _weights(self, rows: slice) -> np.ndarray | None:
        """The weights of some rows."""
        return None if self.weights is None else self.weights[rows]

    def _total_of(self, values: np.ndarray, rows: slice) -> float:
        """The sum of a number of each of some rows, times their weights."""
        weights = self._weights(rows)
        if weights is not None:
            values = np.where(weights > 0, values, 0) * weights.astype(np.float64)
        return float(values.sum(dtype=np.float64))
