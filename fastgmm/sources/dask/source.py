"""Rows of a dask.array or Dask DataFrame: work is done where the chunks lie, and only statistics travel."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial, reduce
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ...model.cached import cached
from ...model.kernel_model import KernelModel
from ...model.parameters import Parameters
from ...model.statistics import Statistics
from ...model.structure import Structure
from ..array import ArraySource
from ..chunks import ChunkSource
from ..columns import Names, feature_names
from ..complete import CompleteSource, Labels
from ..numbers import to_floats
from ..passes import GROUP_WORK, Sums
from ..rows import as_rows, check_size
from ..source import Model, Source, joined_extents
from .partitions import (
    IncompletePartition,
    Partition,
    apply,
    expectation,
    extent_of,
    given,
    labeled,
    load,
    remade,
    rows_apply,
    rows_of,
    scatter_of,
    squares_of,
    summary,
    sums_of,
    total_log_likelihood,
)
from .schedulers import Scheduler, scheduler

FAN_IN = 4  # statistics merged at a time
GATHERED_BYTES = 1 << 22  # up to which statistics are merged here: the same tree, with fewer steps on the cluster


class Part(NamedTuple):
    """A partition and which of all rows it holds."""

    partition: Any  # a handle
    rows: slice
    observed: np.ndarray | None  # which columns hold values, (D,), where some are missing


class DaskSource(CompleteSource):
    """Rows that lie in the memory of a cluster, or of this process where there is none.

    Each chunk becomes a partition of rows once, which stays where it is. Each pass leaves the statistics of each
    partition; they are merged four at a time in the order of the partitions, so that all bits depend on the chunks
    alone. Samples of the rows are drawn on the cluster and gathered; weights are known here, since samples are drawn by
    them. With `allow_missing` values may be missing: `IncompleteDask` then answers for the rows.
    """

    def __init__(
        self,
        X: Any,
        estimator: str,
        n_threads: int | None = None,
        min_samples: int = 1,
        allow_missing: bool = False,
    ) -> None:
        self.collection = checked(X)
        self.estimator = estimator
        self.min_samples = min_samples
        self.n_features = int(X.shape[1])
        self.dtype = to_floats(X._meta, "X").dtype
        self.n_partition_threads = n_threads
        self.allow_missing = allow_missing
        super().__init__(n_threads=n_threads)
        lengths = (float("nan"),) if is_table(X) else self.collection.chunks[0]
        if not np.isnan(lengths).any():
            self.n_samples = int(sum(lengths))
            check_size((self.n_samples, self.n_features), estimator, min_samples)

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        vars(self).pop("parts", None)  # by which the cluster learns that the rows are no longer needed

    @cached
    def n_samples(self) -> int:
        """Number of rows; where chunks do not tell their lengths, it takes to load them."""
        return self.parts[-1].rows.stop

    @property
    def kind(self) -> type[Partition] | type[IncompletePartition]:
        """The class of the partitions."""
        return IncompletePartition if self.allow_missing else Partition

    @cached
    def scheduler(self) -> Scheduler:
        """The scheduler of the tasks, the caller's cluster if there is one."""
        return scheduler()

    @cached
    def parts(self) -> list[Part]:
        """The rows, loaded and checked."""
        chunks = list(np.ravel(self.collection.to_delayed()))
        n_threads = self.n_partition_threads or max(1, self.scheduler.n_threads // len(chunks))
        partitions = self.scheduler.hold([task(load, chunk, self.dtype, n_threads, self.kind) for chunk in chunks])
        summaries = self.scheduler.gather(self.scheduler.map(summary, partitions))
        parts, stop = [], 0
        for chunk, partition, (shape, infinite, observed) in zip(chunks, partitions, summaries, strict=True):
            start, stop = stop, stop + shape[0]
            if shape[1] != self.n_features:
                raise ValueError(
                    f"The chunk of X from row {start} on has shape {shape}, but X has {self.n_features} features. "
                    "Give the chunks the shapes that they claim."
                )
            if infinite or (observed is not None and not self.allow_missing):
                self._refuse(chunk, start)
            if shape[0] > 0:
                parts.append(Part(partition, slice(start, stop), observed))
        claimed = vars(self).get("n_samples", stop)
        if claimed != stop:
            raise ValueError(
                f"X claims {claimed} rows, but its chunks hold {stop}: call X.compute_chunk_sizes() first."
            )
        check_size((stop, self.n_features), self.estimator, self.min_samples)
        return parts

    def weigh(self, weights: np.ndarray) -> None:
        """Give each row its weight."""
        self.weights = np.ascontiguousarray(weights, self.dtype)
        self._remake()

    def close_gaps(self) -> None:
        """Learn that no value is missing."""
        self.allow_missing = False
        self._remake()

    def _remake(self) -> None:
        """Make partitions anew."""
        remake = partial(remade, kind=self.kind)
        vars(self)["parts"] = [
            part._replace(partition=self.scheduler.map(remake, [part.partition], [self._weights(part.rows)])[0])
            for part in self.parts
        ]

    @property
    def observed(self) -> np.ndarray | None:
        """Which columns hold values, (D,), where some are missing."""
        if all(part.observed is None for part in self.parts):
            return None
        complete = np.ones(self.n_features, dtype=bool)
        return np.any([complete if part.observed is None else part.observed for part in self.parts], axis=0)

    def read(self, groups: list[slice]) -> Iterator[np.ndarray]:
        chunks = (self.scheduler.gather(self.scheduler.map(rows_of, [partition]))[0] for partition in self.handles)
        return ChunkSource(chunks, (self.n_samples, self.n_features), self.dtype).read(groups)

    def take(self, indices: np.ndarray | None) -> ArraySource:
        if indices is None:
            everything = np.concatenate(self.scheduler.gather(self.scheduler.map(rows_of, self.handles)))
            return ArraySource(everything, self.workers, self.kernels, self.weights)
        order = np.argsort(indices, kind="stable")
        wanted, X = indices[order], np.empty((len(indices), self.n_features), self.dtype)
        bounds = np.searchsorted(wanted, [part.rows.start for part in self.parts] + [self.n_samples])
        asked = [
            (part.partition, wanted[start:stop] - part.rows.start)
            for part, start, stop in zip(self.parts, bounds[:-1], bounds[1:], strict=True)
            if start < stop
        ]
        X[order] = np.concatenate(self.scheduler.gather(self.scheduler.map(rows_of, *zip(*asked, strict=True))))
        return ArraySource(X, self.workers, self.kernels)

    def work(self, structure: Structure, n_components: int) -> int:
        return max(GROUP_WORK, super().work(structure, n_components))  # always shared, by the cluster

    # ---- passes

    @cached
    def scatter(self) -> np.ndarray:
        """Scatter of all rows about the origin, (D, D)."""
        return np.sum(self.scheduler.gather(self._apply(scatter_of)), axis=0)

    @cached
    def squares(self) -> np.ndarray:
        """Sums of squares of all rows about the origin along each feature, (D,)."""
        return np.sum(self.scheduler.gather(self._apply(squares_of)), axis=0)

    def extent(self, axes: np.ndarray | None = None) -> np.ndarray:
        return joined_extents(*self.scheduler.gather(self._apply(extent_of, axes=axes)))

    def statistics(self, structure: Structure, parameters: Parameters) -> Statistics:
        n_bytes = parameters.covariances.nbytes + parameters.precisions_cholesky.nbytes + parameters.means.nbytes
        shared = self.scheduler.share(parameters, n_bytes)
        found = self._apply(expectation, [shared] * len(self.parts), structure=structure)
        return self._merged(found, structure, parameters.means)

    def statistics_given(
        self, structure: Structure, means: np.ndarray, responsibilities: Callable[[slice], np.ndarray]
    ) -> Statistics:
        found = []
        for part in self.parts:  # one at a time: they may be more than fits into memory here
            own = np.ascontiguousarray(responsibilities(part.rows), self.dtype)
            call = partial(apply, function=given, frame=self.frame, structure=structure, means=means)
            found += self.scheduler.gather(self.scheduler.map(call, [part.partition], [own]))
        return merged_in_order(found)

    def statistics_labeled(self, structure: Structure, means: np.ndarray, labels: Labels) -> Statistics:
        own = [labels.part(part.rows) for part in self.parts]
        return self._merged(self._apply(labeled, own, structure=structure, means=means), structure, means)

    def sums(self, model: KernelModel) -> np.ndarray:
        total = Sums(self._n_sums(model))
        for part in self.scheduler.gather(self._apply(sums_of, model=model)):
            total.add(part)
        return total.total

    def log_likelihood(self, model: Model) -> float:
        sums = self.scheduler.gather(self._apply(total_log_likelihood, model=model))
        return float(sum(sums)) / self.total

    # ---- answers for each row, which stay lazy

    def log_likelihoods(self, model: Model, out: np.ndarray | None = None) -> Any:
        return self._lazily(Source.log_likelihoods, model, self.dtype, out)

    def responsibilities(self, model: Model, out: np.ndarray | None = None) -> Any:
        return self._lazily(Source.responsibilities, model, self.dtype, out, model.n_columns)

    def labels(self, model: Model, out: np.ndarray | None = None) -> Any:
        return self._lazily(Source.labels, model, np.dtype(np.int64), out)

    def _lazily(self, function: Callable, model: Model, dtype: np.dtype, out: np.ndarray | None, *columns: int) -> Any:
        """A dask.array of what a function of a partition and the model returns."""
        if out is not None:
            raise TypeError("The result for a Dask collection stays lazy: leave `out` away, and see dask.array.store.")
        array = self.collection.to_dask_array() if is_table(self.collection) else self.collection
        return array.map_blocks(
            rows_apply,
            function=function,
            model=model,
            estimator=self.estimator,
            n_threads=self.n_partition_threads or 1,
            kind=self.kind,
            dtype=dtype,
            drop_axis=None if columns else 1,
            chunks=(array.chunks[0], *((column,) for column in columns)),
            meta=np.empty((0,) * (1 + len(columns)), dtype),
        )

    # ---- tasks

    @property
    def handles(self) -> list[Any]:
        """The partitions, wherever they are."""
        return [part.partition for part in self.parts]

    def _apply(self, function: Callable, *columns: list[Any], **arguments: Any) -> list[Any]:
        """Handles of what a function of partitions returns; each partition has its own item of each column."""
        return self.scheduler.map(
            partial(apply, function=function, frame=self.frame, **arguments), self.handles, *columns
        )

    @property
    def frame(self) -> dict[str, Any]:
        """The units, and the point, that sums over partitions have in common; rows with gaps need no point."""
        return {"units": self.units} if self.allow_missing else {"units": self.units, "origin": self.origin}

    def _merged(self, found: list[Any], structure: Structure, means: np.ndarray) -> Statistics:
        """The sum of all partitions' statistics: a tree, carried out where that takes least time."""
        n_numbers = len(means) + means.size + math.prod(structure.covariance_shape(*means.shape))
        if 8 * n_numbers * len(found) <= GATHERED_BYTES:
            return merged_in_order(self.scheduler.gather(found))
        return self.scheduler.gather([tree(found, partial(self.scheduler.map, merged))])[0]

    def _refuse(self, chunk: Any, start: int) -> NoReturn:
        """Raise the error for a chunk that holds NaN or infinity, whose column it names."""
        check = task(as_rows, chunk, self.estimator, min_samples=0, first=start, allow_missing=self.allow_missing)
        self.scheduler.gather(self.scheduler.hold([check]))
        raise ValueError(f"The chunk of X from row {start} on changes when it is computed again: persist X before.")


# ---- the order of sums


def tree(items: list[Any], combine: Callable[[list[list[Any]]], list[Any]]) -> Any:
    """All items combined into one: four neighbors at a time, level by level."""
    while len(items) > 1:
        items = combine([items[i : i + FAN_IN] for i in range(0, len(items), FAN_IN)])
    return items[0]


def merged(group: list[Statistics]) -> Statistics:
    """The statistics of a few partitions together."""
    return reduce(Statistics.merge, group)


def merged_in_order(statistics: list[Statistics]) -> Statistics:
    """The statistics of all partitions, summed here as the cluster would."""
    return tree(statistics, lambda groups: [merged(group) for group in groups])


# ---- Dask's collections


def is_dask(X: Any) -> bool:
    """Whether something is Dask's, found out without importing it."""
    return type(X).__module__.partition(".")[0] == "dask"


def is_table(X: Any) -> bool:
    """Whether it is a Dask DataFrame."""
    return hasattr(X, "to_dask_array")


def checked(X: Any) -> Any:
    """A collection of two dimensions, whose chunks hold whole rows."""
    if not isinstance(getattr(X, "ndim", None), int):
        raise TypeError(f"X is a {type(X).__name__} of Dask. Pass a dask.array or a Dask DataFrame.")
    if X.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {X.ndim}D Dask collection instead. Reshape your data: X.reshape(-1, 1) if it has "
            "a single feature; of a DataFrame take X[[name]], not X[name]."
        )
    if is_table(X):
        names = feature_names(X)
        if names is None:
            return X
        return X.map_partitions(same_columns, names, meta=X._meta, enforce_metadata=False)
    if np.isnan(X.shape[1]):
        raise ValueError("The number of columns of X is unknown: call X.compute_chunk_sizes() first.")
    return X if len(X.chunks[1]) == 1 else X.rechunk({1: -1})


def same_columns(table: Any, names: np.ndarray, partition_info: Any = None) -> Any:
    """A partition of a DataFrame, whose columns must have the names that the whole claims."""
    where = f"Partition {partition_info['number']}: " if partition_info else ""
    Names("", names).check(table, where)
    return table


def task(function: Callable, chunk: Any, *arguments: Any, **named: Any) -> Any:
    """A delayed call."""
    from dask.delayed import delayed

    return delayed(function)(chunk, *arguments, **named)
