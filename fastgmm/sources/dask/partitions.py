"""The rows of one chunk of a Dask collection, and the functions of them that run on the worker that holds them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ... import kernels
from ...model.kernel_model import KernelModel
from ...model.masked import masked
from ...model.parameters import Parameters
from ...model.statistics import Statistics
from ...model.structure import Structure
from ..array import ArraySource
from ..complete import Labels
from ..incomplete.source import IncompleteSource
from ..numbers import to_floats
from ..rows import as_rows, observed_columns
from ..source import Model
from ..threads import Workers


class Placed:
    """Rows in memory, with their weights, that can travel to another worker."""

    X: np.ndarray
    weights: np.ndarray | None
    workers: Workers

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.X, self.workers.n_threads, None, self.weights)

    def __sizeof__(self) -> int:  # by which Dask decides where to work and what to keep
        return self.X.nbytes


class Partition(Placed, ArraySource):
    """The rows of one chunk; origin and patterns, once computed, stay with it."""


class IncompletePartition(Placed, IncompleteSource):
    """The rows of one chunk where values may be missing."""

    def __init__(
        self,
        X: np.ndarray,
        n_threads: int | Workers | None = None,
        kernels: ModuleType | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        super().__init__(ArraySource(X, n_threads, kernels, weights))
        self.X = X


AnyPartition = Partition | IncompletePartition


class Summary(NamedTuple):
    """Shape and missing or infinite values of the rows of a chunk."""

    shape: tuple[int, ...]
    infinite: bool
    observed: np.ndarray | None  # which columns hold values, (D,), where some are missing


# ---- passes over the rows of a partition


def expectation(partition: AnyPartition, parameters: Parameters, structure: Structure) -> Statistics:
    """E-step."""
    return partition.statistics(structure, parameters)


def given(partition: Partition, responsibilities: np.ndarray, structure: Structure, means: np.ndarray) -> Statistics:
    """Statistics for responsibilities (n, K) from outside."""
    return partition.statistics_given(structure, means, lambda rows: responsibilities[rows])


def labeled(partition: Partition, labels: Labels, structure: Structure, means: np.ndarray) -> Statistics:
    """Statistics where each row belongs to one component."""
    return partition.statistics_labeled(structure, means, labels)


def total_log_likelihood(partition: AnyPartition, model: Model) -> float:
    """The sum of log p(x)."""
    return partition.total * partition.log_likelihood(model) if partition.total else 0.0


def sums_of(partition: Partition, model: KernelModel) -> np.ndarray:
    """What the kernels leave."""
    return partition.sums(model)


def scatter_of(partition: Partition) -> np.ndarray:
    """Scatter about the origin."""
    return partition.scatter


def squares_of(partition: Partition) -> np.ndarray:
    """Sums of squares about the origin."""
    return partition.squares


def extent_of(partition: AnyPartition, axes: np.ndarray | None) -> np.ndarray:
    """Smallest and largest values along features or axes, and their number."""
    return partition.extent(axes)


# ---- tasks


def load(chunk: Any, dtype: np.dtype, n_threads: int, kind: type[AnyPartition]) -> AnyPartition:
    """A chunk as a partition."""
    return kind(np.asarray(to_floats(chunk, "X"), dtype), n_threads)


def remade(partition: AnyPartition, weights: np.ndarray | None, kind: type[AnyPartition]) -> AnyPartition:
    """The same rows as a partition of another kind, or with other weights."""
    return kind(partition.X, partition.workers.n_threads, weights=weights)


def summary(partition: AnyPartition) -> Summary:
    """Shape and missing or infinite values of the rows of a partition."""
    X = partition.X
    if kernels.CHOSEN.all_finite(X):
        return Summary(X.shape, False, None)
    return Summary(X.shape, bool(np.isinf(X).any()), observed_columns(X))


def rows_of(partition: AnyPartition, indices: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Some rows of a partition."""
    return partition.X[indices]


def apply(partition: AnyPartition, *own: Any, function: Callable, frame: dict[str, Any], **arguments: Any) -> Any:
    """A function of a partition, called with the origin and the units that all partitions share."""
    vars(partition).update(frame)
    return masked(function)(partition, *own, **arguments)


def rows_apply(
    chunk: np.ndarray,
    function: Callable,
    model: Model,
    estimator: str,
    n_threads: int,
    kind: type[AnyPartition],
    block_info: Any = None,
) -> np.ndarray:
    """A function of the rows of one chunk and a model, called where the chunk is computed."""
    start = block_info[0]["array-location"][0][0] if block_info else 0
    first = 0 if np.isnan(start) else int(start)
    rows = as_rows(chunk, estimator, min_samples=0, first=first, allow_missing=kind.has_gaps)
    with kind(rows, n_threads) as partition:
        return masked(function)(partition, model)
