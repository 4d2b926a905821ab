"""The rows of one chunk of a Dask collection, and what is done with them on the worker that holds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import kernels
from ..model.parameters import Parameters
from ..model.statistics import Statistics
from ..model.structure import KernelModel, Structure
from .array import ArraySource
from .rows import as_rows, to_floats
from .source import Labels


class Block(ArraySource):
    """The rows of one chunk; what it has found out about them stays with it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.X, self.workers.n_threads, None, self.weights)

    def __sizeof__(self) -> int:  # by which Dask decides where to work and what to keep
        return self.X.nbytes


# ---- passes over the rows of a block


def expectation(block: Block, parameters: Parameters, structure: Structure) -> Statistics:
    """E-step."""
    return block.statistics(structure, parameters)


def given(block: Block, responsibilities: np.ndarray, structure: Structure, means: np.ndarray) -> Statistics:
    """Statistics for responsibilities (n, K) from outside."""
    return block.statistics_given(structure, means, lambda rows: responsibilities[rows])


def labeled(block: Block, labels: Labels, structure: Structure, means: np.ndarray) -> Statistics:
    """Statistics where each row belongs to one component."""
    return block.statistics_labeled(structure, means, labels)


def total_log_likelihood(block: Block, model: KernelModel) -> float:
    """The sum of log p(x)."""
    return block.total * block.log_likelihood(model) if block.total else 0.0


def spread(block: Block) -> np.ndarray:
    """Scatter about the origin."""
    return block.scatter


# ---- tasks


def load(chunk: Any, dtype: np.dtype, n_threads: int) -> Block:
    """A chunk as a block."""
    return Block(np.asarray(to_floats(chunk, "X"), dtype), n_threads)


def weighted(block: Block, weights: np.ndarray) -> Block:
    """The same rows with weights."""
    return Block(block.X, block.workers.n_threads, weights=weights)


def summary(block: Block) -> tuple[tuple[int, ...], bool]:
    """Shape of a block, and whether it is finite."""
    return block.X.shape, bool(kernels.CHOSEN.all_finite(block.X))


def rows_of(block: Block, indices: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Some rows of a block."""
    return block.X[indices]


def apply(block: Block, *own: Any, function: Callable, origin: np.ndarray, **arguments: Any) -> Any:
    """What a function says of a block in the frame that all blocks share."""
    vars(block)["origin"] = origin
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the M-step refuses or repairs what overflows
        return function(block, *own, **arguments)


def rows_apply(
    chunk: np.ndarray, function: Callable, model: KernelModel, estimator: str, n_threads: int, block_info: Any = None
) -> np.ndarray:
    """What a function says of the rows of one chunk alone."""
    start = block_info[0]["array-location"][0][0] if block_info else 0
    rows = as_rows(chunk, estimator, min_samples=0, first=0 if np.isnan(start) else int(start))
    with Block(rows, n_threads) as block:
        return function(block, model)
