"""The rows of one chunk of a Dask collection, and what is done with them on the worker that holds them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ... import kernels
from ...model.parameters import Parameters
from ...model.statistics import Statistics
from ...model.structure import Structure
from ..array import ArraySource
from ..incomplete.source import IncompleteSource
from ..rows import as_rows, observed_columns, to_floats
from ..source import Labels
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


class Block(Placed, ArraySource):
    """The rows of one chunk; what it has found out about them stays with it."""


class IncompleteBlock(Placed, IncompleteSource):
    """The same where values may be missing."""

    def __init__(
        self,
        X: np.ndarray,
        n_threads: int | Workers | None = None,
        kernels: ModuleType | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        super().__init__(ArraySource(X, n_threads, kernels, weights))
        self.X = X


AnyBlock = Block | IncompleteBlock


class Summary(NamedTuple):
    """What there is to know of the rows of a chunk before they are used."""

    shape: tuple[int, ...]
    infinite: bool
    observed: np.ndarray | None  # which columns hold values, (D,), where some are missing


# ---- passes over the rows of a block


def expectation(block: AnyBlock, parameters: Parameters, structure: Structure) -> Statistics:
    """E-step."""
    return block.statistics(structure, parameters)


def given(block: Block, responsibilities: np.ndarray, structure: Structure, means: np.ndarray) -> Statistics:
    """Statistics for responsibilities (n, K) from outside."""
    return block.statistics_given(structure, means, lambda rows: responsibilities[rows])


def labeled(block: Block, labels: Labels, structure: Structure, means: np.ndarray) -> Statistics:
    """Statistics where each row belongs to one component."""
    return block.statistics_labeled(structure, means, labels)


def total_log_likelihood(block: AnyBlock, model: Any) -> float:
    """The sum of log p(x)."""
    return block.total * block.log_likelihood(model) if block.total else 0.0


def spread(block: Block) -> np.ndarray:
    """Scatter about the origin."""
    return block.scatter


# ---- tasks


def load(chunk: Any, dtype: np.dtype, n_threads: int, kind: type[AnyBlock]) -> AnyBlock:
    """A chunk as a block."""
    return kind(np.asarray(to_floats(chunk, "X"), dtype), n_threads)


def remade(block: AnyBlock, weights: np.ndarray | None, kind: type[AnyBlock]) -> AnyBlock:
    """The same rows as a block of another kind, or with other weights."""
    return kind(block.X, block.workers.n_threads, weights=weights)


def summary(block: AnyBlock) -> Summary:
    """What there is to know of a block before it is used."""
    X = block.X
    if kernels.CHOSEN.all_finite(X):
        return Summary(X.shape, False, None)
    return Summary(X.shape, bool(np.isinf(X).any()), observed_columns(X))


def rows_of(block: AnyBlock, indices: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Some rows of a block."""
    return block.X[indices]


def apply(block: AnyBlock, *own: Any, function: Callable, origin: np.ndarray | None, **arguments: Any) -> Any:
    """What a function says of a block, in the frame that all blocks share where they need one."""
    if origin is not None:
        vars(block)["origin"] = origin
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the M-step refuses or repairs what overflows
        return function(block, *own, **arguments)


def rows_apply(
    chunk: np.ndarray,
    function: Callable,
    model: Any,
    estimator: str,
    n_threads: int,
    kind: type[AnyBlock],
    block_info: Any = None,
) -> np.ndarray:
    """What a function says of the rows of one chunk alone."""
    start = block_info[0]["array-location"][0][0] if block_info else 0
    first, allow_nan = 0 if np.isnan(start) else int(start), kind is IncompleteBlock
    rows = as_rows(chunk, estimator, min_samples=0, first=first, allow_nan=allow_nan)
    with kind(rows, n_threads) as block:
        return function(block, model)
