"""What all sources of rows have in common: the passes over rows that fitting and prediction ask for."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from copy import copy
from functools import reduce
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike

from .. import kernels as compiled
from ..model.cached import cached
from ..model.parameters import Parameters
from ..model.statistics import Statistics
from ..model.structure import DigitsLost, KernelModel, Structure
from ..model.structures import STRUCTURES
from .groups import BLOCK, ISOTROPIC, TRIANGULAR, cut, work_per_row
from .threads import Workers

if TYPE_CHECKING:
    from .array import ArraySource

ORIGIN_ROWS = 1024  # whose mean is a point amid all rows
CERTAINTY_NUMBERS = 1 << 17  # responsibilities looked at together


class Group(NamedTuple):
    """Consecutive rows: where they stand, the rows themselves, and responsibilities where these are given."""

    rows: slice
    X: np.ndarray
    given: np.ndarray | None


class Labels(Protocol):
    """To which component each row belongs."""

    def of(self, source: "Source", group: Group) -> np.ndarray:
        """The components, int32, of a group of rows of a source."""

    def part(self, rows: slice) -> Self:
        """The same for a source of some consecutive rows only."""


class Source(ABC):
    """Rows, possibly weighted, that can be read again and again in groups.

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
    """

    n_samples: int
    n_features: int
    dtype: np.dtype

    def __init__(
        self,
        weights: np.ndarray | None = None,
        n_threads: int | Workers | None = None,
        kernels: ModuleType | None = None,
    ) -> None:
        self.weights = None if weights is None else np.ascontiguousarray(weights, self.dtype)
        self.workers = n_threads if isinstance(n_threads, Workers) else Workers(n_threads)
        self.kernels = kernels or compiled.CHOSEN
        self._workspaces: dict[tuple[int, np.dtype], list[np.ndarray]] = {}  # idle ones, kept from pass to pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.workers.close()

    @abstractmethod
    def blocks(self, groups: list[slice]) -> Iterator[np.ndarray]:
        """The rows of consecutive groups, one group after the other."""

    @abstractmethod
    def take(self, indices: np.ndarray | None) -> "ArraySource":
        """Some rows in memory, without weights, or for None all rows with theirs; on the same threads."""

    def release(self, X: np.ndarray) -> None:  # noqa: B027
        """Learn that a group of rows is no longer needed in this pass; most sources need not know."""

    def sample(self, n_components: int) -> np.ndarray | None:
        """Indices of the rows that `complete` has; None for all."""
        return None

    def complete(self, n_components: int) -> "Source":
        """Rows without gaps, from which a start is found."""
        return self

    def inline(self) -> Self:
        """The same rows, worked on by the calling thread alone."""
        quiet = copy(self)
        quiet.workers = Workers(1)
        return quiet

    def work(self, structure: Structure, n_components: int) -> int:
        """Multiply-adds of a pass over the rows; from `GROUP_WORK` on threads share it."""
        return self.n_samples * work_per_row(structure.kind, self.n_features, n_components)

    # ---- what does not depend on parameters

    @cached
    def total(self) -> float:
        """The number of rows, or the sum of their weights."""
        return self.n_samples if self.weights is None else float(self.weights.sum(dtype=np.float64))

    @cached
    def origin(self) -> np.ndarray:
        """A point amid the rows (D,): the mean of up to 1024 of them."""
        if self.weights is None:
            indices = np.arange(0, self.n_samples, max(1, self.n_samples // ORIGIN_ROWS))
        else:
            indices = self.at((np.arange(ORIGIN_ROWS) + 0.5) / ORIGIN_ROWS)
        return self.take(indices).X.mean(axis=0, dtype=np.float64)

    @cached
    def scatter(self) -> np.ndarray:
        """Scatter of all rows about the origin, (D, D), in double precision whatever that of the rows."""
        identity = np.eye(self.n_features)[None]
        unit = Parameters(np.ones(1), self.origin[None], identity, identity)
        model = STRUCTURES["full"].kernel_model(unit, np.dtype(np.float64))

        def task(group: Group, workspace: np.ndarray, out: np.ndarray) -> None:
            weights = self._weights(group.rows)
            weights = weights if weights is None else weights.astype(np.float64)
            X, labels = group.X.astype(np.float64, copy=False), np.zeros(len(group.X), np.int32)
            self.kernels.accumulate(X, None, labels, weights, *model, workspace, out)

        sums = self._sum(task, n_sums(model), TRIANGULAR, 1, dtype=np.dtype(np.float64))
        lower = np.zeros((self.n_features, self.n_features))
        lower[np.tril_indices(self.n_features)] = sums[1 + self.n_features : -1]
        return lower + np.tril(lower, -1).T

    def at(self, fractions: np.ndarray) -> np.ndarray:
        """Indices of the rows at which these fractions of the total weight are reached; all weights are positive."""
        if self.weights is None:
            return (fractions * self.n_samples).astype(np.intp)
        reached = np.cumsum(self.weights, dtype=np.float64)
        last = np.searchsorted(reached, reached[-1])
        return np.minimum(np.searchsorted(reached, fractions * reached[-1], side="right"), last)

    # ---- what EM asks for

    def statistics(self, structure: Structure, parameters: Parameters) -> Statistics:
        """E-step and accumulation in one pass."""
        try:
            return self._collect(structure, parameters)
        except DigitsLost:
            return structure.pool(self.statistics(structure.direct, structure.split(parameters)))

    def statistics_given(
        self, structure: Structure, means: np.ndarray, responsibilities: Callable[[slice], np.ndarray]
    ) -> Statistics:
        """Statistics about `means` for responsibilities from outside, asked for group by group in the order of rows."""
        direct = structure.direct
        return structure.pool(self._collect(direct, direct.unit(means), responsibilities=responsibilities))

    def statistics_labeled(self, structure: Structure, means: np.ndarray, labels: Labels) -> Statistics:
        """Statistics about `means` where each row belongs to one component."""
        direct = structure.direct
        return structure.pool(self._collect(direct, direct.unit(means), labels=labels))

    # ---- what a model says of each row

    def log_likelihood(self, model: Any) -> float:
        """The mean of log p(x) over all rows."""

        def task(group: Group, workspace: np.ndarray, out: np.ndarray) -> None:
            values = np.empty(len(group.X), self.dtype)
            self.posterior(group.X, model, values, None, None)
            out[0] = self._total_of(values, group.rows)

        return float(self._sum(task, 1, model.kind, len(model.centers), accumulating=False)[0]) / self.total

    def certainty(self, model: Any) -> tuple[float, float]:
        """The mean of log p(x) over all rows, and of the log of the largest responsibility."""
        step = max(BLOCK, CERTAINTY_NUMBERS // len(model.centers))

        def task(group: Group, workspace: np.ndarray, out: np.ndarray) -> None:
            values, largest = np.empty((2, len(group.X)), self.dtype)
            for start in range(0, len(group.X), step):
                part = slice(start, start + step)
                shares = np.empty((len(group.X[part]), len(model.centers)), self.dtype)
                self.posterior(group.X[part], model, values[part], shares, None)
                np.log(reduce(np.maximum, shares.T), out=largest[part])  # ten times as fast as shares.max(axis=1)
            out[:] = self._total_of(values, group.rows), self._total_of(largest, group.rows)

        sums = self._sum(task, 2, model.kind, len(model.centers), accumulating=False) / self.total
        return float(sums[0]), float(sums[1])

    def log_likelihoods(self, model: Any, out: np.ndarray | None = None) -> np.ndarray:
        """log p(x) of each row, (N,)."""
        out = np.empty(self.n_samples, self.dtype) if out is None else out
        self._posterior(model, out, None, None)
        return out

    def responsibilities(self, model: Any, out: np.ndarray | None = None) -> np.ndarray:
        """Posterior probability of each component for each row, (N, K)."""
        out = np.empty((self.n_samples, len(model.centers)), self.dtype) if out is None else out
        self._posterior(model, None, out, None)
        return out

    def labels(self, model: Any, out: np.ndarray | None = None) -> np.ndarray:
        """Most probable component of each row, (N,)."""
        out = np.empty(self.n_samples, np.int64) if out is None else out
        self._posterior(model, None, None, out)
        return out

    # ---- what k-means asks for

    def assign(self, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Nearest centers (N,), the weight that each has, the sums of these rows about it, and the inertia."""
        labels = np.empty(self.n_samples, np.int32)

        def task(group: Group, workspace: np.ndarray, out: np.ndarray) -> None:
            labels[group.rows] = self.nearest(group, centers, workspace, out)

        sums = self._sum(task, len(centers) * (1 + self.n_features) + 1, ISOTROPIC, len(centers))
        counts, first = sums[: len(centers)], sums[len(centers) : -1].reshape(centers.shape)
        return labels, counts, first - counts[:, None] * (centers - self.origin), float(sums[-1])

    def nearest(
        self, group: Group, centers: np.ndarray, workspace: np.ndarray | None = None, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Nearest centers (n,) of a group; `out` takes their weights, the sums about the origin, and the inertia."""
        if workspace is None:
            workspace = np.empty(self._workspace_size(ISOTROPIC, len(centers)), self.dtype)
        if out is None:
            out = np.empty(len(centers) * (1 + self.n_features) + 1)
        labels = np.empty(len(group.X), np.int32)
        about = (centers - self.origin).astype(self.dtype)
        self.kernels.assign(group.X, self._weights(group.rows), about, self.origin, workspace, labels, out)
        return labels

    def potentials(self, candidates: np.ndarray, closest: np.ndarray, update: bool = False) -> np.ndarray:
        """Sum over rows of min(closest, squared distance to a candidate), for each; `update` keeps the minimum."""
        about = (candidates - self.origin).astype(self.dtype)

        def task(group: Group, workspace: np.ndarray, out: np.ndarray) -> None:
            weights, near = self._weights(group.rows), closest[group.rows]
            self.kernels.potentials(group.X, weights, about, self.origin, workspace, near, update, out)

        return self._sum(task, len(candidates), ISOTROPIC, len(candidates))

    # ---- passes over the rows

    def posterior(self, X: np.ndarray, model: Any, *outputs: np.ndarray | None) -> None:
        """Log-likelihoods, responsibilities and labels of some rows, where wanted."""
        size = self._workspace_size(model.kind, len(model.centers), accumulating=False)
        self.kernels.posterior(X, *model, np.empty(size, self.dtype), *outputs)

    def _total_of(self, values: np.ndarray, rows: slice) -> float:
        """The sum of a number of each of some rows, times their weights."""
        weights = self._weights(rows)
        if weights is not None:
            values = np.where(weights > 0, values, 0) * weights.astype(np.float64)
        return float(values.sum(dtype=np.float64))

    def _weights(self, rows: slice) -> np.ndarray | None:
        """The weights of some rows."""
        return None if self.weights is None else self.weights[rows]

    def _collect(
        self,
        structure: Structure,
        parameters: Parameters,
        *,
        responsibilities: Callable[[slice], np.ndarray] | None = None,
        labels: Labels | None = None,
    ) -> Statistics:
        """Run `accumulate` over all groups and add up what they leave."""
        model = structure.kernel_model(parameters, self.dtype, self.origin if structure.framed else None)

        def task(group: Group, workspace: np.ndarray, out: np.ndarray) -> None:
            owners = None if labels is None else labels.of(self, group)
            weights = self._weights(group.rows)
            self.kernels.accumulate(group.X, group.given, owners, weights, *model, workspace, out)

        sums = self._sum(task, n_sums(model), model.kind, len(model.centers), given=responsibilities)
        return structure.statistics(parameters, model, sums, self, self.total, float(np.finfo(self.dtype).eps))

    def _posterior(self, model: KernelModel, *outputs: np.ndarray | None) -> None:
        """Run `posterior` over all groups, each filling its rows of the outputs."""
        groups = self._cut(model.kind, len(model.centers))
        if len(groups) == 1:  # perhaps a single row, that has no time for more
            (X,) = self.blocks(groups)
            self.posterior(X, model, *outputs)
            self.release(X)
            return

        def task(group: Group, workspace: np.ndarray) -> None:
            parts = (None if out is None else out[group.rows] for out in outputs)
            self.kernels.posterior(group.X, *model, workspace, *parts)

        self._each(task, model.kind, len(model.centers), lambda _: None, accumulating=False)

    def _sum(self, task: Callable[..., None], size: int, kind: int, n_components: int, **how: Any) -> np.ndarray:
        """Sum over all groups of what `task(group, workspace, out)` leaves in its `out`."""
        total = np.zeros(size)
        spare: list[np.ndarray] = []

        def partial(group: Group, workspace: np.ndarray) -> np.ndarray:
            out = reused(spare, size, np.float64)
            task(group, workspace, out)
            return out

        def add(sums: np.ndarray) -> None:
            np.add(total, sums, out=total)
            spare.append(sums)

        self._each(partial, kind, n_components, add, **how)
        return total

    def _each(
        self,
        task: Callable,
        kind: int,
        n_components: int,
        collect: Callable[[Any], object],
        *,
        dtype: np.dtype | None = None,
        accumulating: bool = True,
        given: Callable[[slice], np.ndarray] | None = None,
    ) -> None:
        """`task(group, workspace)` for every group, in parallel when there are several; results in order."""
        dtype = dtype or self.dtype
        size = self._workspace_size(kind, n_components, dtype, accumulating)
        idle = self._workspaces.setdefault((size, dtype), [])

        def run(group: Group) -> object:
            workspace = reused(idle, size, dtype)
            result = task(group, workspace)
            idle.append(workspace)
            self.release(group.X)
            return result

        def asked(rows: slice) -> np.ndarray | None:
            return None if given is None else np.ascontiguousarray(given(rows), self.dtype)

        groups = self._cut(kind, n_components)
        if len(groups) == 1:
            (rows,), (X,) = groups, self.blocks(groups)
            collect(run(Group(rows, X, asked(rows))))
            return
        blocks = zip(groups, self.blocks(groups), strict=True)
        self.workers.run(run, (Group(rows, X, asked(rows)) for rows, X in blocks), len(groups), collect)

    def _cut(self, kind: int, n_components: int) -> list[slice]:
        """The groups of rows for a model of this size."""
        row_bytes = self.n_features * self.dtype.itemsize
        return cut(self.n_samples, work_per_row(kind, self.n_features, n_components), row_bytes)

    def _workspace_size(
        self, kind: int, n_components: int, dtype: np.dtype | None = None, accumulating: bool = True
    ) -> int:
        """How many numbers the kernels' workspace must hold."""
        itemsize = (dtype or self.dtype).itemsize
        return self.kernels.workspace_size(kind, self.n_features, n_components, accumulating, itemsize)


def reused(spare: list[np.ndarray], size: int, dtype: DTypeLike) -> np.ndarray:
    """An array from the list, or a new one when it is empty."""
    try:
        return spare.pop()
    except IndexError:
        return np.empty(size, dtype)


def n_sums(model: KernelModel) -> int:
    """How many numbers `accumulate` leaves."""
    return int(compiled.CHOSEN.n_sums(model.kind, model.centers.shape[1], len(model.centers)))
