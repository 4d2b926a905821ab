"""A pass over rows: they are read in groups, threads work on the groups, and results are collected in their order.

Groups depend on the number of rows, their size and the model alone, so that bits do not depend on threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from ..kernels import DENSE, TRIANGULAR
from .threads import Workers

R = TypeVar("R")

GROUP_WORK = 1 << 23  # multiply-adds below which cutting rows into groups costs more than threads bring
MOST_GROUPS = 64
MOST_GROUP_WORK = 1 << 30  # above which Ctrl-C would have to wait too long
MOST_GROUP_BYTES = 1 << 24  # above which a few groups would be much memory where rows are read from files
BLOCK = 512  # groups are whole blocks of the kernels
WIDE_BLOCK = 64  # which are shorter where rows are so wide that a group would be much memory
CHOICE = 32  # components from which some may be left out of boxes of rows in sums,
CHOICE_OF_ROWS = 64  # and from which in what is asked of single rows
PRUNED_FEATURES, PRUNED_OF_ROWS = 12, 32  # from how many on whitening of single rows may end early
BOX_FEATURES = 1, 4  # how many features such rows have, at least and at most
NEAR_ROWS = 80  # for each component in a group where rows of a group near each other are worked on together,
FEWEST_NEAR, MOST_NEAR = 4096, 65536  # at least and at most

Workspace = tuple[np.ndarray, ...]  # the arrays that a kernel works in
Arrays = tuple[tuple[int, np.dtype], ...]  # their sizes and types


def allocate(arrays: Arrays) -> Workspace:
    """New arrays of these sizes and types."""
    return tuple([np.empty(size, dtype) for size, dtype in arrays])


# ---- groups


class Group(NamedTuple):
    """Consecutive rows: where they stand, the rows themselves, and responsibilities where these are given."""

    rows: slice
    X: np.ndarray
    given: np.ndarray | None = None


class AtOnce(NamedTuple):
    """All rows for calls that pass over them by themselves."""

    X: np.ndarray
    group_rows: int  # of each group, except for the last
    choosing: bool  # whether kernels may leave out components of rows that are far from them


def work_per_row(kind: int, n_features: int, n_components: int) -> int:
    """Multiply-adds for one row, with 20 for exp and the sum over components."""
    per_component = (n_features + 5, 6, 3, 3, 7)[kind] * n_features
    of_frame = (0, 0, 0, 1, 2)[kind] * n_features**2
    return n_components * (per_component + 20) + of_frame


def chooses(n_samples: int, kind: int, n_features: int, n_components: int, *, sums: bool = True) -> bool:
    """Whether kernels may choose which components a row is worked out for: by its place among the others."""
    if DENSE or kind != TRIANGULAR or n_samples * work_per_row(kind, n_features, n_components) < GROUP_WORK:
        return False
    if n_features >= PRUNED_FEATURES:  # sums: see pruning
        return not sums and n_components >= PRUNED_OF_ROWS
    least, most = BOX_FEATURES
    return least <= n_features <= most and n_components >= (CHOICE if sums else CHOICE_OF_ROWS)


def near_rows(n_samples: int, n_components: int) -> int:
    """How many rows a group has for enough of them to be near each other, if this leaves enough groups."""
    wanted = min(max(FEWEST_NEAR, NEAR_ROWS * n_components), MOST_NEAR)
    return min(wanted, max(FEWEST_NEAR // 2, 16 * n_components, n_samples // 16))


def cut(n_samples: int, work: int, row_bytes: int, fewest: int = 0) -> list[slice]:
    """Groups of whole blocks: a power of two of them, so that they spread evenly over threads; or of `fewest` rows."""
    if n_samples * work < GROUP_WORK and n_samples * row_bytes <= MOST_GROUP_BYTES:
        return [slice(0, n_samples)]
    wanted = n_samples * work // GROUP_WORK
    most = MOST_GROUP_BYTES // row_bytes
    most = most // BLOCK * BLOCK or max(WIDE_BLOCK, most // WIDE_BLOCK * WIDE_BLOCK)
    n_groups = min(1 << wanted.bit_length(), MOST_GROUPS)
    rows = max(BLOCK, min(-(-n_samples // n_groups), MOST_GROUP_WORK // work))
    rows = min(-(-max(rows, fewest) // BLOCK) * BLOCK, most)
    return cut_evenly(n_samples, rows)


def cut_evenly(n_samples: int, rows: int) -> list[slice]:
    """Groups of so many rows each, the last of what is left."""
    return [slice(start, min(start + rows, n_samples)) for start in range(0, n_samples, rows)]


# ---- passes


class Readable(Protocol):
    """A source, as far as a pass needs it."""

    dtype: np.dtype
    workers: Workers
    idle: dict[tuple[np.dtype, ...], list[Workspace]]

    def read(self, groups: list[slice]) -> Iterator[np.ndarray]:
        """The rows of consecutive groups, one group after the other."""

    def release(self, X: np.ndarray) -> None:
        """Learn that a group of rows is no longer needed in this pass."""


class Pass:
    """One reading of all rows, in groups, with a workspace for each thread that is kept from pass to pass."""

    def __init__(self, source: Readable, groups: list[slice], arrays: Arrays = ()) -> None:
        self.source, self.groups, self.arrays = source, groups, arrays

    def run(
        self,
        task: Callable[[Workspace, Group], R],
        collect: Callable[[R], object],
        given: Callable[[slice], np.ndarray] | None = None,
    ) -> None:
        """`task(workspace, group)` for every group, in parallel when there are several; results in order.

        Responsibilities that are `given` are asked for group by group in the order of the rows.
        """
        source, groups = self.source, self.groups
        idle = source.idle.setdefault(tuple([dtype for _, dtype in self.arrays]), [])
        if len(groups) == 1:  # perhaps a few rows, that have no time for more
            (rows,), (X,) = groups, source.read(groups)
            workspace = self._workspace(idle)
            result = task(workspace, self._group(rows, X, given))
            idle.append(workspace)
            source.release(X)
            collect(result)
            return
        lent: list[Workspace] = []

        def prepare() -> Callable[[Group], R]:
            workspace = self._workspace(idle)
            lent.append(workspace)
            return partial(task, workspace)

        items = (self._group(rows, X, given) for rows, X in zip(groups, source.read(groups), strict=True))
        source.workers.share(prepare, items, len(groups), collect, lambda group: source.release(group.X))
        idle += lent  # not after an error, when other threads may still be at work

    def _group(self, rows: slice, X: np.ndarray, given: Callable[[slice], np.ndarray] | None) -> Group:
        """A group of rows, with the responsibilities that are given for it."""
        return Group(rows, X, None if given is None else np.ascontiguousarray(given(rows), self.source.dtype))

    def _workspace(self, idle: list[Workspace]) -> Workspace:
        """A workspace that nobody uses, if it is large enough, or a new one that takes its place."""
        try:
            workspace = idle.pop()
        except IndexError:
            return allocate(self.arrays)
        for numbers, (size, _) in zip(workspace, self.arrays, strict=True):
            if len(numbers) < size:
                return allocate(self.arrays)
        return workspace


class Sums:
    """Numbers that each group of rows leaves, added up in the order of the groups."""

    def __init__(self, size: int) -> None:
        self.total = np.zeros(size)
        self._spare: list[np.ndarray] = []  # arrays that have been added, to be used again

    def part(self) -> np.ndarray:
        """An array for what one group leaves."""
        try:
            return self._spare.pop()
        except IndexError:
            return np.empty(len(self.total))

    def add(self, part: np.ndarray) -> None:
        """Add what one group has left."""
        np.add(self.total, part, out=self.total)
        self._spare.append(part)
