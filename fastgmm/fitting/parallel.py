"""Several fits on the same rows at once."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from ..model.structure import Structure
from ..sources.groups import GROUP_WORK
from ..sources.source import Source

R = TypeVar("R")

LEAST_WORK = 1 << 20  # multiply-adds of a pass below which threads wait for the interpreter most of the time


def side_by_side(
    source: Source, structure: Structure, n_components: int, tasks: Sequence[Callable[[Source], R]]
) -> list[R]:
    """Results of tasks on the same rows, each on one thread where passes over the rows are too short to be shared."""
    if len(tasks) == 1 or not LEAST_WORK <= source.work(structure, n_components) < GROUP_WORK:
        return [task(source) for task in tasks]
    _ = source.origin  # computed once
    quiet, handling, results = source.inline(), np.geterr(), list[R]()

    def work(task: Callable[[Source], R]) -> R:
        with np.errstate(**handling):  # which threads do not inherit
            return task(quiet)

    source.workers.run(work, tasks, len(tasks), results.append)
    return results
