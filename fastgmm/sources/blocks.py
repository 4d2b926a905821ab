"""What is asked of rows and responsibilities together, a block at a time: no array of rows by components is kept."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from ..model.structure import KernelModel
from .source import Source

BLOCK = 1 << 16  # values that are worked on at a time

R = TypeVar("R")


def by_blocks(
    source: Source, model: KernelModel, task: Callable[[slice, np.ndarray, np.ndarray], R], values: int = 1
) -> list[R]:
    """What `task(rows, X, responsibilities)` returns for each block of rows, in their order.

    Threads share the blocks, which hold so many rows that `values` for each of their responsibilities fit in a cache.
    """
    step = max(1, BLOCK // (len(model.centers) * values))
    groups = [slice(start, min(start + step, source.n_samples)) for start in range(0, source.n_samples, step)]
    results: list[R] = []

    def run(block: tuple[slice, np.ndarray]) -> R:
        rows, X = block
        responsibilities = np.empty((len(X), len(model.centers)), source.dtype)
        source.posterior(X, model, None, responsibilities, None)
        result = task(rows, X, responsibilities)
        source.release(X)
        return result

    source.workers.run(run, zip(groups, source.blocks(groups), strict=True), len(groups), results.append)
    return results
