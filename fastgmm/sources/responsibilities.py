"""Functions of rows and their responsibilities together, applied to a few rows at a time.

No array of all rows by components is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from .passes import Group, Pass, Workspace, cut_evenly
from .source import Model, Source

NUMBERS = 1 << 16  # that are worked on at a time, for them to stay in a cache

R = TypeVar("R")


def map_responsibilities(
    source: Source, model: Model, function: Callable[[slice, np.ndarray, np.ndarray], R], values: int = 1
) -> list[R]:
    """Results of `function(rows, X, responsibilities)` for groups of rows, in their order.

    Threads share the groups, which hold so many rows that `values` for each of their responsibilities fit in a cache.
    """
    n_components, n_columns = len(model.centers), model.n_columns
    results: list[R] = []

    def task(workspace: Workspace, group: Group) -> R:
        responsibilities = np.empty((len(group.X), n_columns), source.dtype)
        source.posterior(group.X, model, None, responsibilities, None, workspace=workspace)
        return function(group.rows, group.X, responsibilities)

    rows = max(1, NUMBERS // (n_columns * values))
    arrays = source.arrays(model.kind, n_components, accumulating=False)
    Pass(source, cut_evenly(source.n_samples, rows), arrays).run(task, results.append)
    return results
