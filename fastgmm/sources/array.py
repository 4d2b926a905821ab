"""Rows in memory: an array of any strides, or anything that looks like one."""

from collections.abc import Callable, Iterator
from copy import copy
from functools import cached_property
from types import ModuleType, TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from .. import kernels as compiled
from ..model.parameters import Parameters
from ..model.statistics import Statistics
from ..model.structure import DigitsLost, KernelModel, Structure
from ..model.structures import STRUCTURES
from .threads import Workers

TRIANGULAR, DIAGONAL, ISOTROPIC = range(3)  # kinds of kernels.pyx

GROUP_WORK = 1 << 23  # multiply-adds below which cutting rows into groups costs more than threads bring
MOST_GROUPS = 64
MOST_GROUP_WORK = 1 << 30  # above which Ctrl-C would have to wait too long
BLOCK = 512  # groups are whole blocks of the kernels


class ArraySource:
    """A two-dimensional float32 or float64 array, read in place.

    Rows are cut into groups by their number and the size of the model alone, each group leaves its own sums, and sums
    are added in the order of the groups: the bits of every result are the same for any number of threads.
    """

    def __init__(
        self, X: np.ndarray, n_threads: int | Workers | None = None, kernels: ModuleType | None = None
    ) -> None:
        self.X = X
        self.n_samples, self.n_features = X.shape
        self.dtype = X.dtype
        self.workers = n_threads if isinstance(n_threads, Workers) else Workers(n_threads)
        self.kernels = kernels or compiled.CHOSEN
        self._workspaces: dict[tuple[int, np.dtype], list[np.ndarray]] = {}  # idle ones, kept from pass to pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.workers.close()

    def rows(self, indices: np.ndarray | slice) -> np.ndarray:
        """Some rows, in float64."""
        return self.X[indices].astype(np.float64)

    def take(self, indices: np.ndarray) -> Self:
        """A source of some rows only, on the same threads."""
        return type(self)(self.X[indices], self.workers, self.kernels)

    def inline(self) -> Self:
        """The same rows, worked on by the calling thread alone."""
        quiet = copy(self)
        quiet.workers = Workers(1)
        return quiet

    @property
    def completed(self) -> "ArraySource":
        """The rows without gaps, for the starts of EM."""
        return self

    def work(self, structure: Structure, n_components: int) -> int:
        """Multiply-adds of a pass over the rows; from `GROUP_WORK` on threads share it."""
        return self.n_samples * work_per_row(structure.kind, self.n_features, n_components)

    # ---- what EM asks for

    def statistics(self, structure: Structure, parameters: Parameters) -> Statistics:
        """E-step and accumulation in one pass."""
        try:
            return self._collect(structure, parameters, None)
        except DigitsLost:
            return structure.pool(self.statistics(structure.direct, structure.split(parameters)))

    def statistics_given(
        self,
        structure: Structure,
        means: np.ndarray,
        responsibilities: Callable[[slice], np.ndarray],
    ) -> Statistics:
        """Statistics about `means` for responsibilities from outside, asked for group by group in the order of rows."""
        direct = structure.direct
        return structure.pool(self._collect(direct, direct.unit(means), responsibilities))

    # ---- what a model says of each row

    def log_likelihoods(self, model: KernelModel) -> np.ndarray:
        """log p(x) of each row, (N,)."""
        out = np.empty(self.n_samples, self.dtype)
        self._posterior(model, out, None, None)
        return out

    def responsibilities(self, model: KernelModel) -> np.ndarray:
        """Posterior probability of each component for each row, (N, K)."""
        out = np.empty((self.n_samples, len(model.centers)), self.dtype)
        self._posterior(model, None, out, None)
        return out

    def labels(self, model: KernelModel) -> np.ndarray:
        """Most probable component of each row, (N,)."""
        out = np.empty(self.n_samples, np.int64)
        self._posterior(model, None, None, out)
        return out

    # ---- what k-means asks for

    def assign(self, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Nearest centers (N,), how many rows each has, the sums of these rows about it, and the inertia."""
        labels = np.empty(self.n_samples, np.int32)
        about = (centers - self.origin).astype(self.dtype)

        def task(rows: slice, workspace: np.ndarray, out: np.ndarray) -> None:
            self.kernels.assign(self.X[rows], about, self.origin, workspace, labels[rows], out)

        sums = self._sum(task, len(centers) * (1 + self.n_features) + 1, ISOTROPIC, len(centers))
        counts, first = sums[: len(centers)], sums[len(centers) : -1].reshape(centers.shape)
        return labels, counts, first - counts[:, None] * (centers - self.origin), float(sums[-1])

    def potentials(self, candidates: np.ndarray, closest: np.ndarray, update: bool = False) -> np.ndarray:
        """Sum over rows of min(closest, squared distance to a candidate), for each; `update` keeps the minimum."""
        about = (candidates - self.origin).astype(self.dtype)

        def task(rows: slice, workspace: np.ndarray, out: np.ndarray) -> None:
            self.kernels.potentials(self.X[rows], about, self.origin, workspace, closest[rows], update, out)

        return self._sum(task, len(candidates), ISOTROPIC, len(candidates))

    # ---- what does not depend on parameters

    @cached_property
    def origin(self) -> np.ndarray:
        """A point amid the rows (D,): the mean of up to 1024 of them."""
        step = max(1, self.n_samples // 1024)
        return np.ascontiguousarray(self.X[::step]).mean(axis=0, dtype=np.float64)

    @cached_property
    def scatter(self) -> np.ndarray:
        """Scatter of all rows about the origin, (D, D), in double precision whatever that of the rows."""
        identity = np.eye(self.n_features)[None]
        unit = Parameters(np.ones(1), self.origin[None], identity, identity)
        model = STRUCTURES["full"].kernel_model(unit, np.dtype(np.float64))

        def task(rows: slice, workspace: np.ndarray, out: np.ndarray) -> None:
            X = self.X[rows].astype(np.float64, copy=False)
            self.kernels.accumulate(X, np.ones((len(X), 1)), *model, workspace, out)

        sums = self._sum(task, n_sums(model), TRIANGULAR, 1, dtype=np.dtype(np.float64))
        lower = np.zeros((self.n_features, self.n_features))
        lower[np.tril_indices(self.n_features)] = sums[1 + self.n_features : -1]
        return lower + np.tril(lower, -1).T

    # ---- passes over the rows

    def _collect(
        self, structure: Structure, parameters: Parameters, responsibilities: Callable[[slice], np.ndarray] | None
    ) -> Statistics:
        """Run `accumulate` over all groups and add up what they leave."""
        model = structure.kernel_model(parameters, self.dtype, self.origin)

        def task(item: tuple[slice, np.ndarray | None], workspace: np.ndarray, out: np.ndarray) -> None:
            rows, given = item
            self.kernels.accumulate(self.X[rows], given, *model, workspace, out)

        def items(groups: Iterator[slice]) -> Iterator[tuple[slice, np.ndarray | None]]:
            for rows in groups:
                given = None if responsibilities is None else responsibilities(rows)
                yield rows, given if given is None else np.ascontiguousarray(given, self.dtype)

        sums = self._sum(task, n_sums(model), model.kind, len(model.centers), prepare=items)
        return structure.statistics(parameters, model, sums, self, self.n_samples, float(np.finfo(self.dtype).eps))

    def _posterior(self, model: KernelModel, *outputs: np.ndarray | None) -> None:
        """Run `posterior` over all groups, each filling its rows of the outputs."""

        def task(rows: slice, workspace: np.ndarray) -> None:
            parts = (None if out is None else out[rows] for out in outputs)
            self.kernels.posterior(self.X[rows], *model, workspace, *parts)

        self._each(task, model.kind, len(model.centers), lambda _: None, accumulating=False)

    def _sum(self, task: Callable[..., None], size: int, kind: int, n_components: int, **how: Any) -> np.ndarray:
        """Sum over all groups of what `task(item, workspace, out)` leaves in its `out`."""
        total = np.zeros(size)
        spare: list[np.ndarray] = []

        def partial(item: object, workspace: np.ndarray) -> np.ndarray:
            out = reused(spare, size, np.float64)
            task(item, workspace, out)
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
        prepare: Callable[[Iterator[slice]], Iterator] = iter,
    ) -> None:
        """`task(rows, workspace)` for every group, in parallel when there are several; results in order."""
        dtype = dtype or self.dtype
        size = self.kernels.workspace_size(kind, self.n_features, n_components, accumulating, dtype.itemsize)
        idle = self._workspaces.setdefault((size, dtype), [])

        def run(item: object) -> object:
            workspace = reused(idle, size, dtype)
            result = task(item, workspace)
            idle.append(workspace)
            return result

        groups = cut(self.n_samples, work_per_row(kind, self.n_features, n_components))
        self.workers.run(run, prepare(iter(groups)), len(groups), collect)


def reused(spare: list[np.ndarray], size: int, dtype: DTypeLike) -> np.ndarray:
    """An array from the list, or a new one when it is empty."""
    try:
        return spare.pop()
    except IndexError:
        return np.empty(size, dtype)


def n_sums(model: KernelModel) -> int:
    """How many numbers `accumulate` leaves."""
    n_components, n_features = model.centers.shape
    second = {TRIANGULAR: n_features * (n_features + 1) // 2, DIAGONAL: n_features, ISOTROPIC: 1}[model.kind]
    return n_components * (1 + n_features + second) + 1


def work_per_row(kind: int, n_features: int, n_components: int) -> int:
    """Multiply-adds for one row, with 20 for exp and the sum over components."""
    per_component = {TRIANGULAR: n_features**2 + 5 * n_features, DIAGONAL: 6 * n_features, ISOTROPIC: 3 * n_features}
    return n_components * (per_component[kind] + 20)


def cut(n_samples: int, work: int) -> list[slice]:
    """Groups of whole blocks: a power of two of them, so that they spread evenly over threads."""
    wanted = n_samples * work // GROUP_WORK
    if wanted == 0:
        return [slice(0, n_samples)]
    n_groups = min(1 << wanted.bit_length(), MOST_GROUPS)
    rows = max(BLOCK, min(-(-n_samples // n_groups), MOST_GROUP_WORK // work))
    rows = -(-rows // BLOCK) * BLOCK
    return [slice(start, min(start + rows, n_samples)) for start in range(0, n_samples, rows)]
